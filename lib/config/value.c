/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN "\"%.64s\""

int interface_parse(const char *text, char ret[static IFNAMSIZ], struct fault *reterr)
{
	size_t length = strlen(text);

	if (length == 0)
		return fault_set(reterr, -EINVAL, "an interface name is empty");
	if (length >= IFNAMSIZ)
		return fault_set(reterr, -EINVAL,
				 SHOWN " is too long for an interface (at most %d characters)",
				 text, IFNAMSIZ - 1);
	for (size_t i = 0; i < length; i++)
		if (!isgraph((unsigned char)text[i]) || strchr("/:%\"\\", text[i]))
			return fault_set(reterr, -EINVAL,
					 SHOWN " is no interface name: \"%c\" cannot be in it",
					 text, text[i]);
	if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0 || strcmp(text, "all") == 0 ||
	    strcmp(text, "default") == 0)
		return fault_set(reterr, -EINVAL, SHOWN " is no interface name", text);
	if (strcmp(text, "lo") == 0)
		return fault_set(reterr, -EINVAL, "\"lo\" is the loopback interface");
	memcpy(ret, text, length + 1);
	return 0;
}

int protocols_parse(const char *text, unsigned int *ret, struct fault *reterr)
{
	if (strcmp(text, "tcp") == 0)
		*ret = PROTO_TCP;
	else if (strcmp(text, "udp") == 0)
		*ret = PROTO_UDP;
	else if (strcmp(text, "tcp+udp") == 0 || strcmp(text, "udp+tcp") == 0)
		*ret = PROTO_TCP | PROTO_UDP;
	else
		return fault_set(reterr, -EINVAL,
				 "protocol " SHOWN " must be \"tcp\", \"udp\" or \"tcp+udp\"",
				 text);
	return 0;
}

/* Digits at *text, which moves behind them. False: none, or more than 65535, or 0. */
static bool take_port(const char **text, uint16_t *ret)
{
	unsigned int port = 0;
	const char *at = *text;

	while (isdigit((unsigned char)*at)) {
		port = port * 10 + (unsigned int)(*at++ - '0');
		if (port > UINT16_MAX)
			return false;
	}
	if (at == *text || port == 0)
		return false;
	*text = at;
	*ret = (uint16_t)port;
	return true;
}

int ports_parse(const char *text, struct port_range *ret, struct fault *reterr)
{
	struct port_range range;
	const char *at = text;

	if (!take_port(&at, &range.first))
		goto wrong;
	range.last = range.first;
	if (*at == '-') {
		at++;
		if (!take_port(&at, &range.last))
			goto wrong;
	}
	if (*at)
		goto wrong;
	if (range.first > range.last)
		return fault_set(reterr, -EINVAL, "port range " SHOWN " ends before it begins",
				 text);
	*ret = range;
	return 0;
wrong:
	return fault_set(reterr, -EINVAL, SHOWN " is no port or range of ports (1 to 65535)", text);
}

int service_parse(const char *text, struct service *ret, struct fault *reterr)
{
	const char *slash = strchr(text, '/');
	struct service service;
	char protocol[16];
	int r;

	if (!slash || (size_t)(slash - text) >= sizeof(protocol))
		return fault_set(reterr, -EINVAL,
				 SHOWN " is no service; write \"tcp/22\" or \"udp/5000-5010\"",
				 text);
	snprintf(protocol, sizeof(protocol), "%.*s", (int)(slash - text), text);
	r = protocols_parse(protocol, &service.protocols, reterr);
	if (r < 0)
		return r;
	r = ports_parse(slash + 1, &service.ports, reterr);
	if (r < 0)
		return r;
	*ret = service;
	return 0;
}

int target_parse(const char *text, struct in_addr *ret, uint16_t *ret_port, struct fault *reterr)
{
	const char *colon = strchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : strlen(text);
	char host[INET_ADDRSTRLEN];
	struct in_addr addr;
	uint16_t port = 0;

	if (length >= sizeof(host))
		goto wrong;
	memcpy(host, text, length);
	host[length] = '\0';
	if (inet_pton(AF_INET, host, &addr) != 1)
		goto wrong;
	if (!in4_is_host(addr))
		return fault_set(reterr, -EINVAL, "\"%s\" cannot be the address of a LAN host",
				 host);
	if (colon) {
		const char *at = colon + 1;

		if (!take_port(&at, &port))
			return fault_set(reterr, -EINVAL, SHOWN " has no port (1 to 65535)", text);
		if (*at == '-')
			return fault_set(reterr, -EINVAL,
					 SHOWN ": write the first port only, the range is as long "
					       "as the outer one",
					 text);
		if (*at)
			goto wrong;
	}
	*ret = addr;
	*ret_port = port;
	return 0;
wrong:
	return fault_set(reterr, -EINVAL,
			 SHOWN " is no LAN host; write \"192.168.1.10\" or \"192.168.1.10:80\"",
			 text);
}

int ether_parse(const char *text, struct ether_addr *ret, struct fault *reterr)
{
	static const struct ether_addr nobody = {0};
	struct ether_addr addr;
	const char *at = text;

	for (size_t i = 0; i < sizeof(addr.ether_addr_octet); i++) {
		char octet[3] = "";

		if (i > 0 && *at++ != ':')
			goto wrong;
		if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1]))
			goto wrong;
		memcpy(octet, at, 2);
		addr.ether_addr_octet[i] = (uint8_t)strtoul(octet, NULL, 16);
		at += 2;
	}
	if (*at)
		goto wrong;
	if (addr.ether_addr_octet[0] & 1 || memcmp(&addr, &nobody, sizeof(addr)) == 0)
		return fault_set(reterr, -EINVAL, SHOWN " is not the address of one station", text);
	*ret = addr;
	return 0;
wrong:
	return fault_set(reterr, -EINVAL, SHOWN " is no MAC address", text);
}

/* The address and the length of a text that is a prefix but for bits behind its length. */
static bool split_prefix(const char *text, int family, void *ret_addr, unsigned int *ret_len)
{
	const char *slash = strchr(text, '/');
	char addr[INET6_ADDRSTRLEN];

	if (!slash || (size_t)(slash - text) >= sizeof(addr))
		return false;
	snprintf(addr, sizeof(addr), "%.*s", (int)(slash - text), text);
	*ret_len = (unsigned int)strtoul(slash + 1, NULL, 10);
	return inet_pton(family, addr, ret_addr) == 1;
}

static int fault_host_bits(struct fault *reterr, const char *text, const char *meant)
{
	return fault_set(reterr, -EINVAL,
			 SHOWN " has bits set behind its length; did you mean \"%s\"?", text,
			 meant);
}

int prefix4_value(const char *text, struct prefix4 *ret, struct fault *reterr)
{
	char meant[PREFIX4_TEXT_MAX];
	struct in_addr addr;
	unsigned int len;
	int r = prefix4_parse(text, ret);

	if (r == -EDOM && split_prefix(text, AF_INET, &addr, &len) && len <= 32) {
		struct prefix4 prefix = prefix4_make(addr, len);

		return fault_host_bits(reterr, text, prefix4_format(&prefix, meant));
	}
	if (r < 0)
		return fault_set(reterr, -EINVAL, SHOWN " is no IPv4 address or prefix", text);
	return 0;
}

int prefix6_value(const char *text, struct prefix6 *ret, struct fault *reterr)
{
	char meant[PREFIX6_TEXT_MAX];
	struct in6_addr addr;
	unsigned int len;
	int r = prefix6_parse(text, ret);

	if (r == -EDOM && split_prefix(text, AF_INET6, &addr, &len) && len <= 128) {
		struct prefix6 prefix = prefix6_make(&addr, len);

		return fault_host_bits(reterr, text, prefix6_format(&prefix, meant));
	}
	if (r < 0)
		return fault_set(reterr, -EINVAL, SHOWN " is no IPv6 prefix", text);
	return 0;
}

int in6_value(const char *text, struct in6_addr *ret, struct fault *reterr)
{
	struct in6_addr addr;

	if (inet_pton(AF_INET6, text, &addr) != 1)
		return fault_set(reterr, -EINVAL, SHOWN " is no IPv6 address", text);
	if (!in6_is_global(&addr))
		return fault_set(reterr, -EINVAL,
				 SHOWN " is not a global unicast address (2000::/3)", text);
	*ret = addr;
	return 0;
}
