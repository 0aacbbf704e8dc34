/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole wanted state of the box as plain data. plan_build() is a pure function of what the
 * owner wrote and what is known about the lines; no prefix and no PPPoE give the empty plan, and
 * undoing everything is applying that plan.
 *
 * What is ours in the kernel carries a mark: PLAN_PROTOCOL on routes and policy rules, the alias
 * PLAN_ALIAS on a link we made, and the nftables table PLAN_TABLE. What does not carry it is left
 * as found.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/text.h"
#include "lib/map/derive.h"
#include "lib/map/settings.h"

#define PLAN_PROTOCOL      77 /* rtm_protocol and FRA_PROTOCOL; unused in iproute2's rt_protos */
#define PLAN_ALIAS         "maped"
#define PLAN_TABLE         "maped" /* of the families ip and ip6 */
#define PLAN_MAIN_TABLE    254u    /* RT_TABLE_MAIN */
#define PLAN_ENCAPSULATION 40u     /* octets of the outer IPv6 header (RFC 7597 8.3) */
#define PLAN_FLOOR_METRIC  4294967295u

/* The ip6tnl to the border relay. name "" = none wanted. */
struct plan_tunnel {
	char name[IFNAMSIZ];
	enum tunnel_mode mode;  /* TUNNEL_EXISTING: only addresses and routes are ours */
	char wan[IFNAMSIZ];     /* the tunnel is bound to this interface */
	struct in6_addr local;  /* CE */
	struct in6_addr remote; /* BR */
	uint32_t mtu;
};

/* An address of ours. IPv6: the CE, /128, nodad, noprefixroute, preferred lifetime 0.
 * IPv4: the shared address, /32. */
struct plan_address {
	char interface[IFNAMSIZ];
	int family; /* AF_INET, AF_INET6 */
	union {
		struct in6_addr ip6;
		struct in_addr ip4;
	};
};

/* An IPv4 default route of ours. */
struct plan_route {
	uint32_t table;
	uint32_t metric;
	char interface[IFNAMSIZ]; /* "" = unreachable: the floor that keeps marked traffic waiting
				   */
};

/* An IPv4 policy rule: fwmark/mask -> table, or from source -> table. */
struct plan_rule {
	uint32_t priority;
	uint32_t mark, mask;   /* mask 0: any mark */
	struct in_addr source; /* 0.0.0.0: any source */
	uint32_t table;
	bool suppress_default; /* suppress_prefixlength 0: only routes more specific than a default
				*/
};

/* A kernel setting below /proc/sys. The value found is remembered and put back on stop. */
enum plan_sysctl_how {
	SYSCTL_SET,    /* the value must be this */
	SYSCTL_LOOSEN, /* rp_filter: strict (effective 1) becomes 2, anything else stays */
};

struct plan_sysctl {
	char path[64]; /* "net/ipv4/ip_forward" */
	enum plan_sysctl_how how;
	int value;
};

/* A forward whose outer ports are settled. */
struct nat_forward {
	unsigned int protocols;  /* PROTO_* */
	struct port_range ports; /* outer, inside the port set (MAP-E) */
	struct in_addr to;
	uint16_t to_port; /* first inner port; the range is as long as the outer one */
	char comment[FORWARD_COMMENT_MAX];
	struct origin origin; /* in the configuration */
};

/* An interface of the LAN; another one of the same name is another one. */
struct nat_device {
	char name[IFNAMSIZ];
	uint32_t index; /* ifindex */
};

struct nat_plan_pppoe {
	bool enabled; /* the section is present: marks are set and restored whether or not ppp is up
		       */
	char interface[IFNAMSIZ];
	uint32_t mark, map_mark, mask; /* both marks lie inside mask */
	struct in_addr address;        /* 0.0.0.0: not known yet */
	uint32_t mtu;                  /* 0: not known yet */
	const struct pppoe_host *hosts;
	size_t host_count;
	const struct prefix4 *destinations;
	size_t destination_count;
	const struct service *ports;
	size_t port_count;
	struct nat_forward *forwards; /* owned by the plan */
	size_t forward_count;
	bool unmappable, masquerade, mss_clamp;
	bool divert_unmappable; /* unmappable && MAP-E is a line at all */
};

/* What the nftables table has to do; lib/kernel/nat.c says how. */
struct nat_plan {
	bool present; /* false: no table */
	bool map;     /* the MAP-E part: fields down to device_count are valid */
	char tunnel[IFNAMSIZ];
	char wan[IFNAMSIZ];     /* the BR is beyond it */
	struct in6_addr ce, br; /* the tunnel's ends; :: = not known */
	struct prefix4 address; /* the shared (/32) address, or the first of an IPv4 prefix */
	struct portset ports;   /* whole: every protocol is mapped */
	uint32_t tunnel_mtu;
	enum nat_filtering filtering;
	const struct nat_host *hosts; /* borrowed from the settings, as the other const pointers */
	size_t host_count;
	bool inbound_accept;
	struct service *open; /* inside the port set; owned by the plan */
	size_t open_count;
	uint32_t host_limit;
	bool offload;               /* TCP between these and the tunnel takes the fast path */
	struct nat_device *devices; /* the LAN's that are there; owned by the plan */
	size_t device_count;
	struct nat_forward *forwards; /* owned by the plan */
	size_t forward_count;
	struct nat_plan_pppoe pppoe;
};

#define PLAN_ADDRESS_MAX 2
#define PLAN_ROUTE_MAX   6
#define PLAN_RULE_MAX    6
#define PLAN_SYSCTL_MAX  8

struct plan {
	struct plan_tunnel tunnel;
	struct plan_address addresses[PLAN_ADDRESS_MAX];
	size_t address_count;
	struct plan_route routes[PLAN_ROUTE_MAX];
	size_t route_count;
	struct plan_rule rules[PLAN_RULE_MAX];
	size_t rule_count;
	struct plan_sysctl sysctls[PLAN_SYSCTL_MAX];
	size_t sysctl_count;
	struct nat_plan nat;
};

/* What is known about the lines when a plan is made. */
struct plan_lines {
	char wan[IFNAMSIZ]; /* resolved name, never "auto" */
	uint32_t wan_mtu;
	bool map_usable; /* false: MAP-E is built but traffic should take the other line */
	bool ppp_up;     /* the PPPoE interface exists, is up and has an address */
	/* The ifindex of each of lan.interfaces, 0 while it is not there; NULL: none is. */
	const uint32_t *lan;
	/* Of the PPPoE interface, or what it had last while it is away; 0: never seen. */
	struct in_addr ppp_address;
	uint32_t ppp_mtu;
};

#define PLAN_EMPTY ((struct plan){0})

/* params NULL: MAP-E is not wanted now. settings must outlive the plan. A forward or an opened
 * port that does not fit the port set, and a forward that meets one before it or an opened port, is
 * left out and named in complaints, "FILE:LINE: sentence" a line: a reload refuses them, a
 * renumbering goes on without them. 0 or -ENOMEM; ret is
 * overwritten. */
int plan_build(const struct settings *settings, const struct map_params *params,
	       const struct plan_lines *lines, struct plan *ret, struct text *complaints);

void plan_done(struct plan *plan);
#define _cleanup_plan_ _cleanup_(plan_done)

/* Text for people, tests and `maped --print-plan`: one object a line, in a fixed order. */
void plan_print(const struct plan *plan, struct text *out);

bool plan_equal(const struct plan *a, const struct plan *b);

/* Outer ports of forward number index in this port set: where "auto" and "block" lead. auto
 * forwards take the lowest ports that no other forward and no nat.open of settings uses. -ERANGE:
 * not (or nowhere) in the set. */
int plan_forward_ports(const struct settings *settings, size_t index, const struct portset *set,
		       struct port_range *ret);
