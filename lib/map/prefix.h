/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IPv6 and IPv4 prefixes as plain values: text in, text out, and the bits between. Pure.
 *
 * A prefix whose host bits are not zero is never made by this module.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct prefix6 {
	struct in6_addr addr;
	uint8_t len; /* bits, 0..128 */
};

struct prefix4 {
	struct in_addr addr; /* network order, as everywhere */
	uint8_t len;         /* bits, 0..32 */
};

#define PREFIX6_TEXT_MAX (INET6_ADDRSTRLEN + 4)
#define PREFIX4_TEXT_MAX (INET_ADDRSTRLEN + 4)

/* "2400:4050::/34"; an address without "/len" is a /128 (/32). -EINVAL when it is not a prefix
 * (blanks, zones and leading zeros in the length included), -EDOM when bits behind the length are
 * set (ret is not touched in either case). */
int prefix6_parse(const char *text, struct prefix6 *ret);
int prefix4_parse(const char *text, struct prefix4 *ret);

/* RFC 5952 text with "/len" into buffer, which is returned. */
const char *prefix6_format(const struct prefix6 *prefix, char buffer[static PREFIX6_TEXT_MAX]);
const char *prefix4_format(const struct prefix4 *prefix, char buffer[static PREFIX4_TEXT_MAX]);

/* The first len bits (0..128, 0..32; more counts as the whole) of an address, the rest zero. */
struct prefix6 prefix6_make(const struct in6_addr *addr, unsigned int len);
struct prefix4 prefix4_make(struct in_addr addr, unsigned int len);

bool prefix6_equal(const struct prefix6 *a, const struct prefix6 *b);
bool prefix4_equal(const struct prefix4 *a, const struct prefix4 *b);

/* True when addr (or the whole inner prefix) lies in outer. */
bool prefix6_has(const struct prefix6 *outer, const struct in6_addr *addr);
bool prefix6_covers(const struct prefix6 *outer, const struct prefix6 *inner);
bool prefix4_has(const struct prefix4 *outer, struct in_addr addr);

/* An address a single host can have: not 0/8, 127/8, 169.254/16 (RFC 3927 2.7: never forwarded),
 * multicast, class E or broadcast. A prefix: whether there is any in it. */
bool in4_is_host(struct in_addr addr);
bool prefix4_has_hosts(const struct prefix4 *prefix);

/* count bits (0..64) from bit position start (0 = the most significant), right-aligned. Bits behind
 * the end of the address are zero. */
uint64_t in6_bits(const struct in6_addr *addr, unsigned int start, unsigned int count);

/* fc00::/7 (RFC 4193); 2000::/3, the global unicast space in use (RFC 4291, IANA). */
bool in6_is_ula(const struct in6_addr *addr);
bool in6_is_global(const struct in6_addr *addr);
