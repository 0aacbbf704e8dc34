/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nat_forget.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/nat_map.h"

/* ---- the past ----------------------------------------------------------------------------- */

static void ways_done(struct nat_ways *ways)
{
	free(ways->list);
	*ways = (struct nat_ways){0};
}

void nat_past_done(struct nat_past *past)
{
	ways_done(&past->map);
	ways_done(&past->pppoe);
	free(past->hosts);
	*past = (struct nat_past){0};
}

static void add_way(struct nat_ways *ways, unsigned int protocols, struct nat_way way)
{
	if (protocols & PROTO_UDP)
		ways->list[ways->count++] = way;
}

static int begin_ways(struct nat_ways *ret, struct in_addr address,
		      const struct nat_forward *forwards, size_t count, size_t more)
{
	*ret = (struct nat_ways){.address = address};
	ret->list = calloc(count + more + 1, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		add_way(ret, forwards[i].protocols,
			(struct nat_way){forwards[i].ports, forwards[i].to, forwards[i].to_port});
	return 0;
}

static int map_ways(const struct nat_plan *plan, struct nat_ways *ret)
{
	struct in_addr own = plan->address.addr;
	int r = begin_ways(ret, own, plan->forwards, plan->forward_count, plan->open_count + 1);

	if (r < 0)
		return r;
	for (size_t i = 0; i < plan->open_count; i++)
		add_way(ret, plan->open[i].protocols,
			(struct nat_way){plan->open[i].ports, own, plan->open[i].ports.first});
	if (plan->inbound_accept)
		add_way(ret, PROTO_UDP, (struct nat_way){{0, UINT16_MAX}, own, 0});
	return 0;
}

static void replace(struct nat_ways *ways, struct nat_ways by)
{
	ways_done(ways);
	*ways = by;
}

static int keep_filtering(struct nat_past *past, const struct nat_plan *plan)
{
	struct nat_host *hosts = calloc(plan->host_count + 1, sizeof(*hosts));

	if (!hosts)
		return -ENOMEM;
	for (size_t i = 0; i < plan->host_count; i++)
		hosts[i] = plan->hosts[i];
	free(past->hosts);
	past->hosts = hosts;
	past->host_count = plan->host_count;
	past->filtering = plan->filtering;
	past->filters = true;
	return 0;
}

static bool is_same_host(const struct nat_host *one, const struct nat_host *other)
{
	return one->filtering == other->filtering && one->address.len == other->address.len &&
	       one->address.addr.s_addr == other->address.addr.s_addr;
}

bool nat_past_filters_otherwise(const struct nat_past *past, const struct nat_plan *want)
{
	if (!past->filters || !want->map)
		return false;
	if (past->filtering != want->filtering || past->host_count != want->host_count)
		return true;
	for (size_t i = 0; i < want->host_count; i++)
		if (!is_same_host(&past->hosts[i], &want->hosts[i]))
			return true;
	return false;
}

int nat_past_keep(struct nat_past *past, const struct nat_plan *plan)
{
	const struct nat_plan_pppoe *pppoe = &plan->pppoe;
	struct nat_ways ways;

	if (plan->map) {
		if (keep_filtering(past, plan) < 0 || map_ways(plan, &ways) < 0)
			return -ENOMEM;
		replace(&past->map, ways);
	}
	if (pppoe->enabled && pppoe->address.s_addr != 0) {
		if (begin_ways(&ways, pppoe->address, pppoe->forwards, pppoe->forward_count, 0) < 0)
			return -ENOMEM;
		replace(&past->pppoe, ways);
	}
	return 0;
}

/* ---- ways that are gone ------------------------------------------------------------------- */

struct end {
	struct in_addr host;
	uint16_t port;
};

/* The ways of a line as they were, and as they are. */
struct change {
	const struct nat_ways *had, *have;
};

static bool lead_to(const struct nat_ways *ways, uint16_t port, struct end end)
{
	for (size_t i = 0; i < ways->count; i++) {
		const struct nat_way *way = &ways->list[i];

		if (port_is_in(port, way->ports) && way->to.s_addr == end.host.s_addr &&
		    way->to_port + (port - way->ports.first) == end.port)
			return true;
	}
	return false;
}

static bool has_lost(const struct change *change, uint16_t port, struct end end)
{
	return lead_to(change->had, port, end) && !lead_to(change->have, port, end);
}

static bool loses_some(const struct change *change, const struct nat_way *way)
{
	for (uint32_t port = way->ports.first; port <= way->ports.last; port++) {
		uint32_t inner = way->to_port + (port - way->ports.first);

		if (!lead_to(change->have, (uint16_t)port, (struct end){way->to, (uint16_t)inner}))
			return true;
	}
	return false;
}

/* Of another address everything has gone already. */
static bool loses(const struct change *change)
{
	if (change->had->address.s_addr != change->have->address.s_addr)
		return false;
	for (size_t i = 0; i < change->had->count; i++)
		if (loses_some(change, &change->had->list[i]))
			return true;
	return false;
}

static bool came_by_lost(void *userdata, const struct conntrack_entry *entry)
{
	return entry->protocol == IPPROTO_UDP &&
	       has_lost(userdata, entry->original.destination_port,
			(struct end){entry->reply.source, entry->reply.source_port});
}

static int drop_lost(struct conntrack *ct, struct change *change, struct fault *reterr)
{
	if (!ct || !loses(change))
		return 0;
	return conntrack_drop_entered(ct, change->had->address, came_by_lost, change, reterr);
}

/* ---- elements ----------------------------------------------------------------------------- */

/* A map that leads from a port of ours to a LAN endpoint. */
struct led {
	const struct nat_plan *plan;
	const struct change *change;
	unsigned int filterings; /* what it says is right for hosts with one of these: bits */
};

#define ADDRESS_DEPENDENT    (1u << FILTERING_ADDRESS_DEPENDENT)
#define ENDPOINT_INDEPENDENT (1u << FILTERING_ENDPOINT_INDEPENDENT)

static uint16_t port_at(const void *row, size_t word)
{
	uint16_t port;

	memcpy(&port, (const uint8_t *)row + word * sizeof(uint32_t), sizeof(port));
	return ntohs(port);
}

static bool leads_wrong(void *userdata, const void *key, const void *data)
{
	const struct led *led = userdata;
	struct end end;

	if (!data) /* another program has made a set of the map */
		return false;
	memcpy(&end.host, data, sizeof(end.host));
	end.port = port_at(data, 1);
	return !(led->filterings & 1u << filtering_of(led->plan, end.host)) ||
	       has_lost(led->change, port_at(key, 0), end);
}

static int forget_led(struct nft *nft, const struct nat_plan *plan, const struct change *change,
		      struct fault *reterr)
{
	const struct {
		const char *map;
		struct led led;
	} all[] = {
		{"map_contacted", {plan, change, ADDRESS_DEPENDENT | ENDPOINT_INDEPENDENT}},
		{"map_open", {plan, change, ENDPOINT_INDEPENDENT}},
		{"map_answered", {plan, change, ~0u}},
	};

	if (plan->host_count == 0 && !loses(change))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct led led = all[i].led;
		int r;

		if (plan->host_count == 0) /* the map is asked for all of them, or for none */
			led.filterings = ~0u;
		r = nft_remove_elements(nft, PLAN_TABLE, all[i].map, leads_wrong, &led, reterr);
		if (r < 0)
			return r;
	}
	return 0;
}

/* An endpoint must not go on using a port that is a forward now, or the router's. */
static bool owner_of_reserved(void *userdata, const void *key, const void *data)
{
	const struct nat_plan *const *plan = userdata;

	(void)key;
	return data && is_reserved(*plan, port_at(data, 0));
}

static int forget_reserved(struct nft *nft, const struct nat_plan *plan, struct fault *reterr)
{
	if (plan->forward_count + plan->open_count == 0 || portset_is_whole(&plan->ports))
		return 0;
	for (size_t i = 0; i < NAT_KINDS; i++) {
		int r = nft_remove_elements(nft, PLAN_TABLE, nat_kinds[i]->owner, owner_of_reserved,
					    &plan, reterr);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- both lines --------------------------------------------------------------------------- */

/* What the host of a forward has taught by answering would let its peers in again; so the first
 * drop stops it answering, and the second takes what came between. */
static int forget_map(struct nft *nft, struct conntrack *ct, struct change *change,
		      const struct nat_plan *want, struct fault *reterr)
{
	int r = drop_lost(ct, change, reterr);

	if (r == 0)
		r = forget_led(nft, want, change, reterr);
	if (r == 0)
		r = drop_lost(ct, change, reterr);
	return r < 0 ? r : forget_reserved(nft, want, reterr);
}

int nat_forget(struct nft *nft, struct conntrack *ct, const struct nat_past *past,
	       const struct nat_plan *want, struct fault *reterr)
{
	_cleanup_nat_past_ struct nat_past now = {0};
	struct change map = {&past->map, &now.map}, pppoe = {&past->pppoe, &now.pppoe};
	int r = nat_past_keep(&now, want);

	if (r < 0)
		return fault_errno(reterr, r, "compare with the forwards before");
	if (want->map)
		r = forget_map(nft, ct, &map, want, reterr);
	return r < 0 ? r : drop_lost(ct, &pppoe, reterr);
}
