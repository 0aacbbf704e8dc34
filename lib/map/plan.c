/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/plan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/map/plan_ports.h"

/* The failover route stands behind MAP-E's default route by this much. */
#define FAILOVER_METRIC_STEP 1024u

/* ---- objects ----------------------------------------------------------------------------- */

static void set_name(char to[IFNAMSIZ], const char *from)
{
	size_t length = strnlen(from, IFNAMSIZ - 1);

	memcpy(to, from, length);
	memset(to + length, 0, IFNAMSIZ - length);
}

static void add_address(struct plan *plan, const char *interface, int family, const void *address)
{
	struct plan_address *out = &plan->addresses[plan->address_count++];

	*out = (struct plan_address){.family = family};
	set_name(out->interface, interface);
	if (family == AF_INET6)
		memcpy(&out->ip6, address, sizeof(out->ip6));
	else
		memcpy(&out->ip4, address, sizeof(out->ip4));
}

static void add_route(struct plan *plan, uint32_t table, uint32_t metric, const char *interface)
{
	struct plan_route *out = &plan->routes[plan->route_count++];

	*out = (struct plan_route){.table = table, .metric = metric};
	set_name(out->interface, interface);
}

/* Into table, but for what the main table knows better than by its default: the LAN. */
static void add_rules(struct plan *plan, uint32_t priority, struct plan_rule match, uint32_t table)
{
	match.priority = priority - 1;
	match.table = PLAN_MAIN_TABLE;
	match.suppress_default = true;
	plan->rules[plan->rule_count++] = match;
	match.priority = priority;
	match.table = table;
	match.suppress_default = false;
	plan->rules[plan->rule_count++] = match;
}

static struct plan_sysctl *add_sysctl(struct plan *plan, enum plan_sysctl_how how, int value)
{
	struct plan_sysctl *out = &plan->sysctls[plan->sysctl_count++];

	*out = (struct plan_sysctl){.how = how, .value = value};
	return out;
}

/* Answers may come in by another line than the one the table names: rp_filter must not be strict.
 */
static void loosen_rp_filter(struct plan *plan, const char *interface)
{
	struct plan_sysctl *out = add_sysctl(plan, SYSCTL_LOOSEN, 2);

	snprintf(out->path, sizeof(out->path), "net/ipv4/conf/%.*s/rp_filter", IFNAMSIZ - 1,
		 interface);
}

/* rp_filter looks with the mark that a packet carries, too. Without it, no default route in the
 * main table means no packet from the line (net/ipv4/fib_frontend.c). */
static void filter_by_mark(struct plan *plan, const char *interface)
{
	struct plan_sysctl *out = add_sysctl(plan, SYSCTL_SET, 1);

	snprintf(out->path, sizeof(out->path), "net/ipv4/conf/%.*s/src_valid_mark", IFNAMSIZ - 1,
		 interface);
}

static void allow_forwarding(struct plan *plan)
{
	struct plan_sysctl *out = add_sysctl(plan, SYSCTL_SET, 1);

	snprintf(out->path, sizeof(out->path), "net/ipv4/ip_forward");
}

/* ---- the two lines ----------------------------------------------------------------------- */

static int plan_devices(const struct lan_settings *lan, const uint32_t *indexes,
			struct nat_plan *nat)
{
	if (!indexes || lan->interface_count == 0)
		return 0;
	nat->devices = calloc(lan->interface_count, sizeof(*nat->devices));
	if (!nat->devices)
		return -ENOMEM;
	for (size_t i = 0; i < lan->interface_count; i++) {
		struct nat_device *device = &nat->devices[nat->device_count];

		if (!indexes[i])
			continue;
		set_name(device->name, lan->interfaces[i]);
		device->index = indexes[i];
		nat->device_count++;
	}
	return 0;
}

static uint32_t tunnel_mtu(const struct settings *settings, const struct plan_lines *lines)
{
	if (settings->map.mtu)
		return settings->map.mtu;
	return lines->wan_mtu > PLAN_ENCAPSULATION ? lines->wan_mtu - PLAN_ENCAPSULATION : 0;
}

static int plan_map(const struct settings *settings, const struct map_params *params,
		    const struct plan_lines *lines, struct plan *plan, struct text *complaints)
{
	const struct map_settings *map = &settings->map;
	struct nat_plan *nat = &plan->nat;

	set_name(plan->tunnel.name, map->tunnel);
	set_name(plan->tunnel.wan, lines->wan);
	plan->tunnel.mode = map->tunnel_mode;
	plan->tunnel.local = params->ce;
	plan->tunnel.remote = params->br;
	plan->tunnel.mtu = tunnel_mtu(settings, lines);

	add_address(plan, lines->wan, AF_INET6, &params->ce);
	add_address(plan, map->tunnel, AF_INET, &params->ipv4.addr);
	if (map->default_route && lines->map_usable)
		add_route(plan, PLAN_MAIN_TABLE, map->route_metric, map->tunnel);
	loosen_rp_filter(plan, map->tunnel);

	nat->present = true;
	nat->map = true;
	set_name(nat->tunnel, map->tunnel);
	set_name(nat->wan, lines->wan);
	nat->ce = params->ce;
	nat->br = params->br;
	nat->address = params->ipv4;
	nat->ports = params->ports;
	nat->tunnel_mtu = plan->tunnel.mtu;
	nat->filtering = settings->nat.filtering;
	nat->hosts = settings->nat.hosts;
	nat->host_count = settings->nat.host_count;
	nat->inbound_accept = settings->nat.inbound_accept;
	nat->host_limit = settings->nat.host_limit;
	nat->offload = settings->nat.offload;
	if (nat->offload && plan_devices(&settings->lan, lines->lan, nat) < 0)
		return -ENOMEM;
	if (plan_open(settings, &params->ports, nat, complaints) < 0)
		return -ENOMEM;
	return plan_forwards(settings, &params->ports, nat, complaints);
}

/* A second value inside mask for connections that belong to MAP-E: the next one that is neither 0
 * nor mark. 0 when the mask has room for one value only. The bits of a mask need not be neighbours:
 * with ones in the gaps a carry runs across them. */
static uint32_t sibling_mark(uint32_t mark, uint32_t mask)
{
	uint32_t lowest = mask & (~mask + 1);
	uint32_t other = ((mark | ~mask) + 1) & mask;

	if (other == 0)
		other = lowest;
	return other == mark ? 0 : other;
}

static void plan_pppoe_routing(const struct settings *settings, const struct plan_lines *lines,
			       uint32_t map_mark, struct plan *plan)
{
	const struct pppoe_settings *pppoe = &settings->pppoe;
	uint32_t behind = settings->map.route_metric > UINT32_MAX - FAILOVER_METRIC_STEP
				  ? UINT32_MAX
				  : settings->map.route_metric + FAILOVER_METRIC_STEP;

	if (lines->ppp_up) {
		add_route(plan, pppoe->table, 0, pppoe->interface);
		if (pppoe->failover && settings->map.default_route)
			add_route(plan, PLAN_MAIN_TABLE, behind, pppoe->interface);
		loosen_rp_filter(plan, pppoe->interface);
		filter_by_mark(plan, pppoe->interface);
	}
	/* Without the floor, marked packets would fall through to the main table and leave by the
	 * other line while this one is down. */
	if (!pppoe->fallback)
		add_route(plan, pppoe->table, PLAN_FLOOR_METRIC, "");
	add_rules(plan, pppoe->rule_priority,
		  (struct plan_rule){.mark = pppoe->mark, .mask = pppoe->mask}, pppoe->table);
	/* The router itself needs a route before it can make a packet that could be marked. */
	if (lines->ppp_address.s_addr != 0)
		add_rules(plan, pppoe->rule_priority,
			  (struct plan_rule){.source = lines->ppp_address}, pppoe->table);

	if (map_mark == 0)
		return;
	if (plan->tunnel.name[0]) {
		add_route(plan, pppoe->map_table, 0, plan->tunnel.name);
		filter_by_mark(plan, settings->map.tunnel);
	}
	add_route(plan, pppoe->map_table, PLAN_FLOOR_METRIC, "");
	add_rules(plan, pppoe->rule_priority,
		  (struct plan_rule){.mark = map_mark, .mask = pppoe->mask}, pppoe->map_table);
}

static int plan_pppoe(const struct settings *settings, const struct plan_lines *lines,
		      struct plan *plan)
{
	const struct pppoe_settings *pppoe = &settings->pppoe;
	struct nat_plan_pppoe *nat = &plan->nat.pppoe;

	plan->nat.present = true;
	nat->enabled = true;
	set_name(nat->interface, pppoe->interface);
	nat->mark = pppoe->mark;
	nat->mask = pppoe->mask;
	nat->map_mark = sibling_mark(pppoe->mark, pppoe->mask);
	nat->address = lines->ppp_address;
	nat->mtu = lines->ppp_mtu;
	nat->hosts = pppoe->hosts;
	nat->host_count = pppoe->host_count;
	nat->destinations = pppoe->destinations;
	nat->destination_count = pppoe->destination_count;
	nat->ports = pppoe->ports;
	nat->port_count = pppoe->port_count;
	nat->unmappable = pppoe->unmappable;
	nat->masquerade = pppoe->masquerade;
	nat->mss_clamp = pppoe->mss_clamp;
	nat->divert_unmappable =
		pppoe->unmappable && plan->nat.map && !portset_is_whole(&plan->nat.ports);
	plan_pppoe_routing(settings, lines, nat->map_mark, plan);
	return plan_pppoe_forwards(pppoe, nat);
}

int plan_build(const struct settings *settings, const struct map_params *params,
	       const struct plan_lines *lines, struct plan *ret, struct text *complaints)
{
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	int r;

	if (params) {
		r = plan_map(settings, params, lines, &plan, complaints);
		if (r < 0)
			return r;
	}
	if (settings->pppoe.enabled) {
		r = plan_pppoe(settings, lines, &plan);
		if (r < 0)
			return r;
	}
	if (plan.nat.present)
		allow_forwarding(&plan);
	*ret = plan;
	plan = PLAN_EMPTY;
	return 0;
}

void plan_done(struct plan *plan)
{
	free(plan->nat.devices);
	free(plan->nat.open);
	free(plan->nat.forwards);
	free(plan->nat.pppoe.forwards);
	*plan = PLAN_EMPTY;
}

bool plan_equal(const struct plan *a, const struct plan *b)
{
	_cleanup_text_ struct text one = TEXT_INIT, other = TEXT_INIT;

	plan_print(a, &one);
	plan_print(b, &other);
	/* A text that could not be built is equal to nothing: the caller then compares with the
	 * kernel once more than needed. */
	return !text_failed(&one) && !text_failed(&other) &&
	       strcmp(text_get(&one), text_get(&other)) == 0;
}
