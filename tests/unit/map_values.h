/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of lib/map from text, and numbers by chance that are the same in every run. */
#pragma once

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/map/prefix.h"
#include "lib/map/rule.h"

static inline struct prefix6 p6(const char *text)
{
	struct prefix6 prefix;

	if (prefix6_parse(text, &prefix) < 0)
		fail_msg("%s is not an IPv6 prefix", text);
	return prefix;
}

static inline struct prefix4 p4(const char *text)
{
	struct prefix4 prefix;

	if (prefix4_parse(text, &prefix) < 0)
		fail_msg("%s is not an IPv4 prefix", text);
	return prefix;
}

static inline struct in6_addr ip6(const char *text)
{
	struct in6_addr addr;

	if (inet_pton(AF_INET6, text, &addr) != 1)
		fail_msg("%s is not an IPv6 address", text);
	return addr;
}

static inline struct map_rule rule_of(const char *ipv6_prefix, const char *ipv4_prefix,
				      unsigned int ea_length, unsigned int psid_offset)
{
	return (struct map_rule){
		.provider = "test",
		.ipv6_prefix = p6(ipv6_prefix),
		.ipv4_prefix = p4(ipv4_prefix),
		.ea_length = (uint8_t)ea_length,
		.psid_offset = (uint8_t)psid_offset,
		.br = ip6("2001:db8:ffff::1"),
	};
}

static inline void assert_ip6(const struct in6_addr *addr, const char *text)
{
	char buffer[INET6_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET6, addr, buffer, sizeof(buffer)), text);
}

static inline void assert_p6(const struct prefix6 *prefix, const char *text)
{
	char buffer[PREFIX6_TEXT_MAX];

	assert_string_equal(prefix6_format(prefix, buffer), text);
}

static inline void assert_p4(const struct prefix4 *prefix, const char *text)
{
	char buffer[PREFIX4_TEXT_MAX];

	assert_string_equal(prefix4_format(prefix, buffer), text);
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static inline uint64_t chance(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* 0 .. bound - 1 */
static inline unsigned int chance_below(uint64_t *seed, unsigned int bound)
{
	return (unsigned int)(chance(seed) % bound);
}

static inline struct in6_addr chance_in6(uint64_t *seed)
{
	struct in6_addr addr;

	for (size_t i = 0; i < sizeof(addr); i++)
		addr.s6_addr[i] = (uint8_t)chance(seed);
	return addr;
}
