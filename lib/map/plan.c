/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/plan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The failover route stands behind MAP-E's default route by this much. */
#define FAILOVER_METRIC_STEP 1024u

/* port = "auto" leaves these to services that ask for them by number. */
#define WELL_KNOWN_PORTS 1024

/* ---- opened ports and forwards ----------------------------------------------------------- */

static bool ranges_overlap(struct port_range a, struct port_range b)
{
	return a.first <= b.last && b.first <= a.last;
}

static int block_forward_ports(const struct forward *forward, const struct portset *set,
			       struct port_range *ret)
{
	uint16_t port;

	if (forward->block >= portset_block_count(set) ||
	    forward->offset >= portset_block_size(set))
		return -ERANGE;
	port = (uint16_t)(portset_block(set, forward->block).first + forward->offset);
	*ret = (struct port_range){port, port};
	return 0;
}

/* Ports of a forward whose place does not depend on the others. */
static int settled_ports(const struct forward *forward, const struct portset *set,
			 struct port_range *ret)
{
	switch (forward->kind) {
	case FORWARD_FIXED:
		if (!portset_has_range(set, forward->ports))
			return -ERANGE;
		*ret = forward->ports;
		return 0;
	case FORWARD_BLOCK:
		return block_forward_ports(forward, set, ret);
	case FORWARD_AUTO:
		break;
	}
	return -ERANGE;
}

static bool port_is_settled(const struct settings *settings, const struct portset *set,
			    uint16_t port)
{
	struct port_range one = {port, port}, other;

	for (size_t i = 0; i < settings->forward_count; i++)
		if (settled_ports(&settings->forwards[i], set, &other) == 0 &&
		    ranges_overlap(one, other))
			return true;
	for (size_t i = 0; i < settings->nat.open_count; i++)
		if (portset_has_range(set, settings->nat.open[i].ports) &&
		    ranges_overlap(one, settings->nat.open[i].ports))
			return true;
	return false;
}

int plan_forward_ports(const struct settings *settings, size_t index, const struct portset *set,
		       struct port_range *ret)
{
	const struct forward *forward = &settings->forwards[index];
	bool has_high = portset_nth(set, portset_count(set) - 1) >= WELL_KNOWN_PORTS;
	unsigned int ahead = 0; /* auto forwards before this one in the file */

	if (forward->kind != FORWARD_AUTO)
		return settled_ports(forward, set, ret);
	for (size_t i = 0; i < index; i++)
		ahead += settings->forwards[i].kind == FORWARD_AUTO;
	for (unsigned int n = 0; n < portset_count(set); n++) {
		uint16_t port = portset_nth(set, n);

		if (port == 0 || (has_high && port < WELL_KNOWN_PORTS) ||
		    port_is_settled(settings, set, port))
			continue;
		if (ahead-- == 0) {
			*ret = (struct port_range){port, port};
			return 0;
		}
	}
	return -ERANGE;
}

static void complain_ports_outside(struct port_range ports, const struct portset *set,
				   struct text *complaints)
{
	uint16_t below, above;
	unsigned int found = portset_nearest(set, ports.first, &below, &above);

	if (ports.first == ports.last)
		text_add(complaints, "port %u is", ports.first);
	else
		text_add(complaints, "ports %u-%u are", ports.first, ports.last);
	text_add(complaints, " not in the port set of this line; ");
	if (portset_has(set, ports.first))
		text_add(complaints, "the range is longer than what is free after %u", ports.first);
	else if (found == 2)
		text_add(complaints, "nearest usable ports: %u and %u", below, above);
	else
		text_add(complaints, "nearest usable port: %u", below ? below : above);
	text_add(complaints, "; longest run: %u ports\n", portset_longest_run(set));
}

static void complain_outside(const struct settings *settings, const struct forward *forward,
			     const struct portset *set, struct text *complaints)
{
	text_add(complaints, "%s:%u: forward: ", settings->file, forward->line);
	if (forward->kind == FORWARD_BLOCK) {
		text_add(complaints,
			 "block %u, offset %u: the port set has %u blocks of %u ports\n",
			 forward->block, forward->offset, portset_block_count(set),
			 portset_block_size(set));
		return;
	}
	if (forward->kind == FORWARD_AUTO) {
		text_add(complaints, "no port of the set is left for port = \"auto\"\n");
		return;
	}
	complain_ports_outside(forward->ports, set, complaints);
}

/* What is opened beyond the set would never be seen here: it belongs to other subscribers. */
static int plan_open(const struct settings *settings, const struct portset *set,
		     struct nat_plan *nat, struct text *complaints)
{
	const struct nat_settings *from = &settings->nat;

	if (from->open_count == 0)
		return 0;
	nat->open = calloc(from->open_count, sizeof(*nat->open));
	if (!nat->open)
		return -ENOMEM;
	for (size_t i = 0; i < from->open_count; i++) {
		if (portset_has_range(set, from->open[i].ports)) {
			nat->open[nat->open_count++] = from->open[i];
			continue;
		}
		text_add(complaints, "%s:%u: nat.open[%zu]: ", settings->file, from->open[i].line,
			 i);
		complain_ports_outside(from->open[i].ports, set, complaints);
	}
	return 0;
}

static struct nat_forward settled_forward(const struct forward *forward, struct port_range ports)
{
	struct nat_forward out = {
		.protocols = forward->protocols,
		.ports = ports,
		.to = forward->to,
		.to_port = forward->to_port ? forward->to_port : ports.first,
		.line = forward->line,
	};

	memcpy(out.comment, forward->comment, sizeof(out.comment));
	return out;
}

/* A forward that is in the plan already and wants one of these ports too. "block" follows the port
 * set, so that the reader of the file cannot see where it meets another. */
static const struct nat_forward *meeting(const struct nat_plan *nat, unsigned int protocols,
					 struct port_range ports)
{
	for (size_t i = 0; i < nat->forward_count; i++)
		if ((nat->forwards[i].protocols & protocols) &&
		    ranges_overlap(nat->forwards[i].ports, ports))
			return &nat->forwards[i];
	return NULL;
}

/* Everybody can read it (systemctl status): the other's host is not named. */
static void complain_taken(const struct settings *settings, const struct forward *forward,
			   struct port_range ports, const struct nat_forward *other,
			   struct text *complaints)
{
	text_add(complaints, "%s:%u: forward: port %u is that of the forward in line %u already\n",
		 settings->file, forward->line, MAX_OF(ports.first, other->ports.first),
		 other->line);
}

/* The number of the nat.open that has one of these ports already, and is in the plan. */
static int opened_before(const struct settings *settings, const struct portset *set,
			 unsigned int protocols, struct port_range ports)
{
	for (size_t i = 0; i < settings->nat.open_count; i++) {
		const struct service *open = &settings->nat.open[i];

		if ((open->protocols & protocols) && portset_has_range(set, open->ports) &&
		    ranges_overlap(open->ports, ports))
			return (int)i;
	}
	return -1;
}

static bool is_taken(const struct settings *settings, const struct portset *set,
		     const struct nat_plan *nat, const struct forward *forward,
		     struct port_range ports, struct text *complaints)
{
	const struct nat_forward *other = meeting(nat, forward->protocols, ports);
	int index = opened_before(settings, set, forward->protocols, ports);
	const struct service *open = index < 0 ? NULL : &settings->nat.open[index];

	if (other)
		complain_taken(settings, forward, ports, other, complaints);
	else if (open)
		text_add(complaints,
			 "%s:%u: forward: its port %u is already used by nat.open[%d] (line %u)\n",
			 settings->file, forward->line, MAX_OF(ports.first, open->ports.first),
			 index, open->line);
	return other || open;
}

static int plan_forwards(const struct settings *settings, const struct portset *set,
			 struct nat_plan *nat, struct text *complaints)
{
	if (settings->forward_count == 0)
		return 0;
	nat->forwards = calloc(settings->forward_count, sizeof(*nat->forwards));
	if (!nat->forwards)
		return -ENOMEM;
	for (size_t i = 0; i < settings->forward_count; i++) {
		const struct forward *forward = &settings->forwards[i];
		struct port_range ports;

		if (plan_forward_ports(settings, i, set, &ports) < 0) {
			complain_outside(settings, forward, set, complaints);
			continue;
		}
		if (is_taken(settings, set, nat, forward, ports, complaints))
			continue;
		nat->forwards[nat->forward_count++] = settled_forward(forward, ports);
	}
	return 0;
}

static int plan_pppoe_forwards(const struct pppoe_settings *pppoe, struct nat_plan_pppoe *nat)
{
	if (pppoe->forward_count == 0)
		return 0;
	nat->forwards = calloc(pppoe->forward_count, sizeof(*nat->forwards));
	if (!nat->forwards)
		return -ENOMEM;
	for (size_t i = 0; i < pppoe->forward_count; i++)
		nat->forwards[nat->forward_count++] =
			settled_forward(&pppoe->forwards[i], pppoe->forwards[i].ports);
	return 0;
}

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
