/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network interface as the kernel shows it: read, never changed (tunnel.h changes the one that is
 * ours). Plain values, nothing to free.
 */
#pragma once

#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/kernel/rtnl.h"

#define LINK_KIND_MAX  16
#define LINK_ALIAS_MAX 64 /* as much of the alias as is looked at */

struct link_tunnel { /* IFLA_IPTUN_*, only with kind "ip6tnl" */
	struct in6_addr local, remote;
	int parent; /* ifindex, 0 = none; the interface may be gone */
	uint8_t protocol, hop_limit;
	uint32_t flags; /* IP6_TNL_F_*, as set from outside */
	uint32_t flowinfo, fwmark;
};

struct link_info {
	int index;
	char name[IFNAMSIZ];
	char kind[LINK_KIND_MAX]; /* "" for what was not made by a link kind */
	char alias[LINK_ALIAS_MAX];
	uint32_t mtu;
	uint32_t group;
	bool up;      /* by the administrator */
	bool carrier; /* IFF_LOWER_UP */
	bool loopback;
	bool no_link_local; /* IFLA_INET6_ADDR_GEN_MODE none, or no IPv6 on it at all */
	struct link_tunnel tunnel;
};

/* 1 found (ret written), 0 no such interface, negative errno. */
int link_by_name(struct rtnl *nl, const char *name, struct link_info *ret, struct fault *reterr);
int link_by_index(struct rtnl *nl, int index, struct link_info *ret, struct fault *reterr);

/* Interface index of a name, or -ENODEV with a sentence that names it. */
int link_index(struct rtnl *nl, const char *name, int *ret, struct fault *reterr);

/* Every interface of a kind ("" = all) in a list that the caller frees. */
struct link_list {
	struct link_info *list;
	size_t count;
};
int link_list_read(struct rtnl *nl, const char *kind, struct link_list *ret, struct fault *reterr);
void link_list_done(struct link_list *links);
#define _cleanup_link_list_ _cleanup_(link_list_done)
const struct link_info *link_list_find(const struct link_list *links, int index); /* or NULL */

/* A RTM_NEWLINK or RTM_DELLINK message. -EBADMSG when it is not a sound one. */
int link_parse(const struct nlmsghdr *message, struct link_info *ret);
