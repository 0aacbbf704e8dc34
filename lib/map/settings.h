/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the owner wrote, as values: no text that still has to be parsed, nothing that was not
 * checked. lib/config fills it, settings_done() frees it. Each field names its key in maped.conf.
 */
#pragma once

#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/text.h"
#include "lib/map/portset.h"
#include "lib/map/prefix.h"
#include "lib/map/rule.h"

enum prefix_mode {
	PREFIX_AUTO,
	PREFIX_RA,
	PREFIX_PD,
	PREFIX_STATIC,
};

struct wan_settings {
	char interface[IFNAMSIZ]; /* "" = auto: the interface of the IPv6 default route */
	enum prefix_mode prefix_mode;
	struct prefix6 prefix; /* only with PREFIX_STATIC */
};

enum tunnel_mode {
	TUNNEL_CREATE,
	TUNNEL_EXISTING, /* another program made it: the link itself is never touched */
};

/* Where a setting comes from, for complaints that come later. */
struct origin {
	unsigned int file; /* index into settings.files */
	unsigned int line; /* 1-based; 0 = nowhere */
};

struct map_settings {
	char provider[PROVIDER_NAME_MAX]; /* "" = auto */
	struct origin provider_origin;
	struct ruleset own_rules; /* map.rules, provider "custom" */
	bool br_given;
	struct in6_addr br; /* overrides the rule's */
	char tunnel[IFNAMSIZ];
	enum tunnel_mode tunnel_mode;
	uint32_t mtu; /* 0 = WAN MTU - 40; else 1280..65495 */
	bool default_route;
	uint32_t route_metric;
};

struct lan_settings {
	char (*interfaces)[IFNAMSIZ]; /* none = every interface but WAN, tunnel, PPPoE and loopback
				       */
	size_t interface_count;
};

enum nat_filtering { /* RFC 4787 section 5 */
		     FILTERING_ADDRESS_DEPENDENT,
		     FILTERING_ENDPOINT_INDEPENDENT,
		     FILTERING_ADDRESS_AND_PORT_DEPENDENT,
};

const char *nat_filtering_name(enum nat_filtering filtering);

struct nat_host { /* nat.hosts */
	struct prefix4 address;
	enum nat_filtering filtering;
};

/* Protocols as a bit set: "tcp", "udp", "tcp+udp". */
#define PROTO_TCP 1u
#define PROTO_UDP 2u

/* A service that may be reached: nat.open (router itself), pppoe.ports. */
struct service {
	unsigned int protocols; /* PROTO_* bits */
	struct port_range ports;
	struct origin origin;
};

struct nat_settings {
	enum nat_filtering filtering;
	struct nat_host *hosts;
	size_t host_count;
	bool inbound_accept;  /* nat.inbound: "drop" (false, default) or "accept" */
	struct service *open; /* nat.open: services of the router itself, on its MAP-E address */
	size_t open_count;
	uint32_t host_limit; /* ports one LAN host may hold; 0 = no limit */
	bool offload; /* TCP takes the kernel's fast path; lan.interfaces is not empty then */
};

enum forward_port {
	FORWARD_FIXED, /* port is the outer port or range */
	FORWARD_AUTO,  /* "auto": follows the port set */
	FORWARD_BLOCK, /* block and offset count in the port set */
};

#define FORWARD_COMMENT_MAX 48

struct forward {
	unsigned int protocols; /* PROTO_* bits */
	enum forward_port kind;
	struct port_range ports;           /* FORWARD_FIXED */
	unsigned int block, offset;        /* FORWARD_BLOCK, 0-based; FORWARD_AUTO: unused */
	struct in_addr to;                 /* LAN host */
	uint16_t to_port;                  /* first inner port; 0 = the outer port */
	char comment[FORWARD_COMMENT_MAX]; /* printable ASCII, may be "" */
	struct origin origin;
};

struct pppoe_host { /* a LAN source that always uses PPPoE */
	bool is_mac;
	struct ether_addr mac;
	struct prefix4 address;
};

struct pppoe_settings {
	bool enabled; /* the section is present */
	char interface[IFNAMSIZ];
	uint32_t table, mark, mask, rule_priority;
	uint32_t map_table; /* keeps connections on MAP-E that came in there */
	struct pppoe_host *hosts;
	size_t host_count;
	struct prefix4 *destinations;
	size_t destination_count;
	struct service *ports;
	size_t port_count;
	struct forward *forwards; /* FORWARD_FIXED only */
	size_t forward_count;
	bool unmappable, masquerade, mss_clamp, failover, fallback;
};

#define FIREWALLD_ZONE_MAX 18 /* with the NUL */

struct firewalld_settings {
	bool enabled; /* the section is present */
	char zone[FIREWALLD_ZONE_MAX];
};

struct settings {
	char **files; /* the file and those that it includes; may be none */
	unsigned int file_count;
	struct wan_settings wan;
	struct map_settings map;
	struct lan_settings lan;
	struct nat_settings nat;
	struct forward *forwards;
	size_t forward_count;
	struct pppoe_settings pppoe;
	struct firewalld_settings firewalld;
};

/* Everything an empty file means. Owns nothing. */
void settings_defaults(struct settings *settings);
void settings_done(struct settings *settings);

/* Adds "FILE:LINE"; or, for somebody who reads of a place in the same file, "line LINE". */
void settings_print_origin(const struct settings *settings, struct origin origin, struct text *out);
void settings_print_other_origin(const struct settings *settings, struct origin origin,
				 struct origin other, struct text *out);

/* The same forwards and nat.open, and the same word on which port set they are to fit. */
bool settings_forwards_equal(const struct settings *a, const struct settings *b);
#define _cleanup_settings_ _cleanup_(settings_done)
