/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/prefix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/macro.h"

/* A decimal number without sign, blanks or leading zeros, at most max. */
static int length_parse(const char *text, unsigned int max, unsigned int *ret)
{
	unsigned int value = 0;

	if (!text[0] || (text[0] == '0' && text[1]))
		return -EINVAL;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return -EINVAL;
		value = value * 10 + (unsigned int)(*c - '0');
		if (value > max)
			return -EINVAL;
	}
	*ret = value;
	return 0;
}

/* Splits "address/len"; without a slash the length is max, the whole address. */
static int prefix_split(const char *text, char address[static INET6_ADDRSTRLEN], unsigned int max,
			unsigned int *ret_len)
{
	size_t length = strcspn(text, "/");
	unsigned int len = max;
	int r;

	if (length >= INET6_ADDRSTRLEN)
		return -EINVAL;
	if (text[length] == '/') {
		r = length_parse(text + length + 1, max, &len);
		if (r < 0)
			return r;
	}
	memcpy(address, text, length);
	address[length] = '\0';
	*ret_len = len;
	return 0;
}

int prefix6_parse(const char *text, struct prefix6 *ret)
{
	char address[INET6_ADDRSTRLEN];
	struct prefix6 made;
	struct in6_addr addr;
	unsigned int len;
	int r;

	r = prefix_split(text, address, 128, &len);
	if (r < 0)
		return r;
	if (inet_pton(AF_INET6, address, &addr) != 1)
		return -EINVAL;
	made = prefix6_make(&addr, len);
	if (memcmp(&made.addr, &addr, sizeof(addr)) != 0)
		return -EDOM;
	*ret = made;
	return 0;
}

int prefix4_parse(const char *text, struct prefix4 *ret)
{
	char address[INET6_ADDRSTRLEN];
	struct prefix4 made;
	struct in_addr addr;
	unsigned int len;
	int r;

	r = prefix_split(text, address, 32, &len);
	if (r < 0)
		return r;
	if (inet_pton(AF_INET, address, &addr) != 1)
		return -EINVAL;
	made = prefix4_make(addr, len);
	if (made.addr.s_addr != addr.s_addr)
		return -EDOM;
	*ret = made;
	return 0;
}

const char *prefix6_format(const struct prefix6 *prefix, char buffer[static PREFIX6_TEXT_MAX])
{
	char address[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, &prefix->addr, address, sizeof(address));
	snprintf(buffer, PREFIX6_TEXT_MAX, "%s/%u", address, prefix->len);
	return buffer;
}

const char *prefix4_format(const struct prefix4 *prefix, char buffer[static PREFIX4_TEXT_MAX])
{
	char address[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &prefix->addr, address, sizeof(address));
	snprintf(buffer, PREFIX4_TEXT_MAX, "%s/%u", address, prefix->len);
	return buffer;
}

/* The mask of octet number index when the first len bits of an address count. */
static uint8_t octet_mask(unsigned int len, unsigned int index)
{
	if (len >= 8 * (index + 1))
		return 0xff;
	if (len <= 8 * index)
		return 0;
	return (uint8_t)(0xff00u >> (len - 8 * index));
}

struct prefix6 prefix6_make(const struct in6_addr *addr, unsigned int len)
{
	struct prefix6 prefix = {.len = (uint8_t)MIN_OF(len, 128u)};

	for (unsigned int i = 0; i < 16; i++)
		prefix.addr.s6_addr[i] = addr->s6_addr[i] & octet_mask(prefix.len, i);
	return prefix;
}

struct prefix4 prefix4_make(struct in_addr addr, unsigned int len)
{
	struct prefix4 prefix = {.len = (uint8_t)MIN_OF(len, 32u)};
	uint32_t mask = (uint32_t)(0xffffffffull << (32 - prefix.len));

	prefix.addr.s_addr = addr.s_addr & htonl(mask);
	return prefix;
}

bool prefix6_equal(const struct prefix6 *a, const struct prefix6 *b)
{
	return a->len == b->len && memcmp(&a->addr, &b->addr, sizeof(a->addr)) == 0;
}

bool prefix4_equal(const struct prefix4 *a, const struct prefix4 *b)
{
	return a->len == b->len && a->addr.s_addr == b->addr.s_addr;
}

bool prefix6_has(const struct prefix6 *outer, const struct in6_addr *addr)
{
	for (unsigned int i = 0; i < 16; i++)
		if ((outer->addr.s6_addr[i] ^ addr->s6_addr[i]) & octet_mask(outer->len, i))
			return false;
	return true;
}

bool prefix6_covers(const struct prefix6 *outer, const struct prefix6 *inner)
{
	return inner->len >= outer->len && prefix6_has(outer, &inner->addr);
}

bool prefix4_has(const struct prefix4 *outer, struct in_addr addr)
{
	return prefix4_make(addr, outer->len).addr.s_addr == outer->addr.s_addr;
}

bool in4_is_host(struct in_addr addr)
{
	const struct prefix4 one = {addr, 32};

	return prefix4_has_hosts(&one);
}

bool prefix4_has_hosts(const struct prefix4 *prefix)
{
	static const struct {
		uint32_t addr;
		uint8_t len;
	} without[] = {{0x00000000, 8}, {0x7f000000, 8}, {0xa9fe0000, 16}, {0xe0000000, 3}};

	for (size_t i = 0; i < ARRAY_SIZE(without); i++) {
		const struct prefix4 block = {{htonl(without[i].addr)}, without[i].len};

		if (prefix->len >= block.len && prefix4_has(&block, prefix->addr))
			return false;
	}
	return true;
}

uint64_t in6_bits(const struct in6_addr *addr, unsigned int start, unsigned int count)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < MIN_OF(count, 64u); i++) {
		unsigned int at = start + i;
		unsigned int bit = at < 128 ? addr->s6_addr[at / 8] >> (7 - at % 8) & 1u : 0;

		value = value << 1 | bit;
	}
	return value;
}

bool in6_is_ula(const struct in6_addr *addr)
{
	return (addr->s6_addr[0] & 0xfe) == 0xfc;
}

bool in6_is_global(const struct in6_addr *addr)
{
	return (addr->s6_addr[0] & 0xe0) == 0x20;
}
