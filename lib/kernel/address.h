/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses: the CE on the WAN and the shared IPv4 address on the tunnel.
 *
 * The CE is a /128 with nodad (NTT's RA sets a retransmit timer of 10 s, which DAD would wait),
 * noprefixroute (no on-link route appears) and preferred lifetime 0 (never chosen as a source by
 * itself; an explicit source, as the tunnel's, works). Both stay until they are removed.
 *
 * Ours are told from foreign ones by IFA_PROTO == PLAN_PROTOCOL, which the kernel keeps since 5.18.
 * Whoever changes an address overwrites that, too (`ip address change`), and older kernels do not
 * have it: what we put there ourselves is remembered in struct address_ours, and stays ours.
 */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>

#include "lib/kernel/rtnl.h"
#include "lib/map/plan.h"

/* One address as the kernel shows it. */
struct address_info {
	int index; /* of the interface */
	int family;
	union {
		struct in6_addr ip6;
		struct in_addr ip4;
	};
	uint8_t prefix_len;
	uint8_t scope;                     /* RT_SCOPE_* */
	uint8_t protocol;                  /* IFA_PROTO, 0 = not told */
	uint32_t flags;                    /* IFA_F_*, all 32 bits */
	uint32_t preferred_sec, valid_sec; /* UINT32_MAX = forever */
	uint32_t created_cs, updated_cs;   /* 1/100 s of the kernel's clock since boot, wrapping */
};

struct address_list {
	struct address_info *list;
	size_t count;
};

/* Every address of a family (AF_UNSPEC: of both); the caller frees the list. */
int address_list_read(struct rtnl *nl, int family, struct address_list *ret, struct fault *reterr);
void address_list_done(struct address_list *addresses);
#define _cleanup_address_list_ _cleanup_(address_list_done)

/* What this process put there, or found with our protocol. The functions below bring it up to date.
 * A plain value, {0} at the beginning. */
#define ADDRESS_OURS_MAX (2 * PLAN_ADDRESS_MAX) /* before and after a renumbering */

struct address_ours {
	struct address_info list[ADDRESS_OURS_MAX];
	size_t count;
	bool marked; /* the kernel keeps IFA_PROTO */
};

bool address_is_ours(const struct address_ours *ours, const struct address_info *address);

/* Ours, but not as we put it: another program has changed its lifetimes, flags or protocol. */
bool address_is_altered(const struct address_ours *ours, const struct address_info *address);

/* Adds what is missing and mends what is ours but altered. An address that another program put
 * there counts as present. Returns how many were sent, or negative errno; -ENODEV when an interface
 * is missing. */
int address_ensure(struct rtnl *nl, const struct plan_address *want, size_t count,
		   struct address_ours *ours, struct fault *reterr);

/* Ours that are not wanted, into a list that the caller frees. */
int address_stale(struct rtnl *nl, const struct plan_address *want, size_t count,
		  struct address_ours *ours, struct address_list *ret, struct fault *reterr);

/* Removes those of the list that belong to family. What is gone already is no mistake. */
int address_remove(struct rtnl *nl, int family, const struct address_list *stale,
		   struct address_ours *ours, struct fault *reterr);

/* address_ensure(), then everything stale is removed. */
int address_sync(struct rtnl *nl, const struct plan_address *want, size_t count,
		 struct address_ours *ours, struct fault *reterr);

/* A RTM_NEWADDR or RTM_DELADDR message. -EBADMSG when it is not a sound one. */
int address_parse(const struct nlmsghdr *message, struct address_info *ret);

/* "2001:db8::1/128", "192.0.2.1/32" */
#define ADDRESS_TEXT_MAX (INET6_ADDRSTRLEN + 4)
const char *address_format(const struct address_info *address,
			   char buffer[static ADDRESS_TEXT_MAX]);
