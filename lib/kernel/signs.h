/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What no dump tells about a prefix, remembered from events: that an RA announced it, when its
 * delegated route appeared, and that an address of it was deprecated and is preferred again.
 *
 * Bounded tables in the caller's storage; when one is full, what was confirmed longest ago goes.
 * Times are CLOCK_BOOTTIME microseconds of the caller.
 */
#pragma once

#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/kernel/address.h"
#include "lib/kernel/link.h"
#include "lib/kernel/route.h"
#include "lib/map/prefix.h"

/* A prefix that an RA announced and that is still valid. */
struct announcement {
	int index; /* of the interface */
	struct prefix6 prefix;
	bool on_link, autonomous;
	uint64_t appeared_usec;  /* first, or first after it had been deprecated */
	uint64_t refreshed_usec; /* last */
	uint64_t preferred_until_usec, valid_until_usec; /* UINT64_MAX = forever */
};

struct route_sign {
	struct prefix6 prefix;
	uint64_t appeared_usec;
};

struct address_sign {
	int index;
	struct in6_addr address;
	bool deprecated;
	uint64_t changed_usec; /* when deprecated got its value */
};

#define SIGNS_ANNOUNCEMENT_MAX 32
#define SIGNS_ROUTE_MAX        16
#define SIGNS_ADDRESS_MAX      32

struct signs {
	struct announcement announcements[SIGNS_ANNOUNCEMENT_MAX];
	size_t announcement_count;
	struct route_sign routes[SIGNS_ROUTE_MAX];
	size_t route_count;
	struct address_sign addresses[SIGNS_ADDRESS_MAX];
	size_t address_count;
};

/* A delegated prefix is shown as an unreachable route of the main table of this length. */
#define SIGNS_DELEGATED_MIN 44u
#define SIGNS_DELEGATED_MAX 64u
bool signs_is_delegation(const struct route_info *route);

/* Each takes one event; the bool of the first tells whether it said something usable. */
bool signs_take_prefix(struct signs *signs, const struct nlmsghdr *message, uint64_t now_usec);
void signs_take_link(struct signs *signs, const struct link_info *link, bool gone);
void signs_take_route(struct signs *signs, const struct route_info *route, bool gone, bool replaced,
		      uint64_t now_usec);
void signs_take_address(struct signs *signs, const struct address_info *address, bool gone,
			uint64_t now_usec);

/* One that a former process remembered. What was heard since then counts more. */
void signs_recall(struct signs *signs, const struct announcement *one);

/* Forgets announcements on links that are not among these, or down. */
void signs_compare_links(struct signs *signs, const struct link_list *links);

/* Forgets announcements that are no longer valid. */
void signs_expire(struct signs *signs, uint64_t now_usec);

/* 0 = not seen to appear (it stood before we listened). */
uint64_t signs_route_appeared(const struct signs *signs, const struct prefix6 *prefix);

/* When the address was preferred again after it had been deprecated, 0 = never seen. */
uint64_t signs_address_revived(const struct signs *signs, int index,
			       const struct in6_addr *address);
