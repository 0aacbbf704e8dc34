/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/snapshot.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "lib/kernel/address.h"
#include "lib/kernel/link.h"
#include "lib/kernel/route.h"

#define FOREVER UINT32_MAX

/* What the steps share. */
struct picture {
	struct rtnl *nl;
	struct watch *watch;
	const struct snapshot_query *query;
	struct link_list links;
	struct snapshot *snapshot;
};

static void set_name(char to[IFNAMSIZ], const char *from)
{
	snprintf(to, IFNAMSIZ, "%s", from);
}

static const struct link_info *link_named(const struct link_list *links, const char *name)
{
	for (size_t i = 0; i < links->count; i++)
		if (strcmp(links->list[i].name, name) == 0)
			return &links->list[i];
	return NULL;
}

/* ---- times ------------------------------------------------------------------------------- */

/* The kernel's stamps count 1/100 s of its jiffies, which stand still during suspend as
 * CLOCK_MONOTONIC does, and wrap after 497 days (include/net/addrconf.h cstamp_delta). */
static uint64_t stamp_usec(const struct snapshot_query *query, uint32_t stamp_cs)
{
	uint64_t monotonic_cs = query->monotonic_usec / 10000;
	uint32_t age_cs = (uint32_t)monotonic_cs - stamp_cs;

	if (age_cs > INT32_MAX || age_cs > monotonic_cs) /* a little ahead of our clock */
		age_cs = 0;
	return query->now_usec - query->monotonic_usec + (monotonic_cs - age_cs) * 10000;
}

static uint64_t until(const struct snapshot_query *query, uint32_t seconds)
{
	return seconds == FOREVER ? UINT64_MAX : query->now_usec + (uint64_t)seconds * 1000000;
}

/* ---- the WAN ----------------------------------------------------------------------------- */

struct best_default {
	const struct picture *picture;
	const struct link_info *link;
	uint32_t metric;
};

static bool may_be_wan(const struct picture *picture, const struct link_info *link)
{
	return link && !link->loopback && strcmp(link->name, picture->query->tunnel) != 0 &&
	       strcmp(link->name, picture->query->ppp) != 0;
}

static void consider_default(struct best_default *best, int index, uint32_t metric)
{
	const struct link_info *link = link_list_find(&best->picture->links, index);

	if (!may_be_wan(best->picture, link))
		return;
	/* Of equal ways (ECMP) the one that was there first, so that the answer stays the same. */
	if (best->link &&
	    (metric > best->metric || (metric == best->metric && link->index >= best->link->index)))
		return;
	best->link = link;
	best->metric = metric;
}

static int take_default(const struct nlmsghdr *message, void *userdata)
{
	struct best_default *best = userdata;
	struct route_info route;

	if (message->nlmsg_type != RTM_NEWROUTE || route_parse(message, &route) < 0)
		return 0;
	if (route.family != AF_INET6 || route.dst_len != 0 || route.type != RTN_UNICAST ||
	    route.table != RT_TABLE_MAIN || route.dead || route.expires_sec == 0)
		return 0;
	consider_default(best, route.oif, route.metric);
	if (route.oif_next)
		consider_default(best, route.oif_next, route.metric);
	return 0;
}

static void forget_default(void *userdata)
{
	((struct best_default *)userdata)->link = NULL;
}

/* Network programs take the default route away for a moment when a link flaps or they are
 * restarted: that alone does not make another WAN. */
static const struct link_info *wan_before(const struct picture *picture)
{
	const char *name = picture->query->wan_before;
	const struct link_info *link = name && name[0] ? link_named(&picture->links, name) : NULL;

	return may_be_wan(picture, link) ? link : NULL;
}

static int find_wan(const struct picture *picture, const struct link_info **ret,
		    struct fault *reterr)
{
	struct best_default best = {.picture = picture};
	const struct rtnl_reader reader = {take_default, forget_default, &best};
	const struct link_info *before;
	int r = 0;

	if (picture->query->wan[0]) {
		*ret = link_named(&picture->links, picture->query->wan);
		return 0;
	}
	r = rtnl_dump(picture->nl, route_dump_message(AF_INET6, RT_TABLE_MAIN, RTN_UNICAST, 0),
		      &reader, reterr, "read IPv6 routes");
	if (r < 0)
		return r;
	before = wan_before(picture);
	*ret = best.link && !(before && picture->query->wan_stays) ? best.link : before;
	return 0;
}

static int read_lines(const struct picture *picture, struct fault *reterr)
{
	struct snapshot *snapshot = picture->snapshot;
	const struct link_info *wan, *ppp;
	int r = find_wan(picture, &wan, reterr);

	if (r < 0)
		return r;
	if (wan) {
		snapshot->wan_found = true;
		snapshot->wan_index = wan->index;
		snapshot->wan_mtu = wan->mtu;
		snapshot->wan_up = wan->up;
		snapshot->wan_carrier = wan->carrier;
		set_name(snapshot->wan, wan->name);
	}
	ppp = picture->query->ppp[0] ? link_named(&picture->links, picture->query->ppp) : NULL;
	if (ppp) {
		snapshot->ppp_present = true;
		snapshot->ppp_index = ppp->index;
		snapshot->ppp_mtu = ppp->mtu;
		snapshot->ppp_up = ppp->up && ppp->carrier;
	}
	return 0;
}

static int read_ppp_address(const struct picture *picture, struct fault *reterr)
{
	struct snapshot *snapshot = picture->snapshot;
	_cleanup_address_list_ struct address_list addresses = {0};
	int r;

	if (!snapshot->ppp_present)
		return 0;
	r = address_list_read(picture->nl, AF_INET, &addresses, reterr);
	for (size_t i = 0; r >= 0 && i < addresses.count; i++)
		if (addresses.list[i].index == snapshot->ppp_index &&
		    snapshot->ppp_address.s_addr == 0)
			snapshot->ppp_address = addresses.list[i].ip4;
	/* pppd takes the address away before the interface, and the kernel all routes with it. */
	snapshot->ppp_up &= snapshot->ppp_address.s_addr != 0;
	return r;
}

/* ---- signs of a prefix ------------------------------------------------------------------- */

static bool is_lan(const struct picture *picture, int index)
{
	const struct snapshot_query *query = picture->query;
	const struct link_info *link = link_list_find(&picture->links, index);

	if (!link || link->loopback || strcmp(link->name, query->tunnel) == 0 ||
	    strcmp(link->name, query->ppp) == 0)
		return false;
	for (size_t i = 0; i < query->lan_count; i++)
		if (strcmp(link->name, query->lan[i]) == 0)
			return true;
	return query->lan_count == 0;
}

static bool is_own(const struct snapshot_query *query, const struct address_info *address)
{
	if (address->protocol == PLAN_PROTOCOL ||
	    (query->ours && address_is_ours(query->ours, address)))
		return true;
	for (size_t i = 0; i < query->own_count; i++)
		if (memcmp(&query->own[i], &address->ip6, sizeof(address->ip6)) == 0)
			return true;
	return false;
}

static int add_address(const struct picture *picture, const struct address_info *address,
		       enum prefix_source source)
{
	const struct snapshot_query *query = picture->query;
	struct candidate candidate = {
		.prefix = prefix6_make(&address->ip6, 64),
		.source = source,
		.deprecated = (address->flags & IFA_F_DEPRECATED) || address->preferred_sec == 0,
		.appeared_usec = stamp_usec(query, address->created_cs),
		.refreshed_usec = stamp_usec(query, address->updated_cs),
		.valid_until_usec = until(query, address->valid_sec),
	};

	if (picture->watch) {
		const struct signs *signs = watch_signs(picture->watch, query->now_usec);
		uint64_t revived_usec = signs_address_revived(signs, address->index, &address->ip6);

		candidate.appeared_usec = MAX_OF(candidate.appeared_usec, revived_usec);
	}
	return candidates_add(&picture->snapshot->candidates, &candidate);
}

static int read_addresses(const struct picture *picture, struct fault *reterr)
{
	const struct snapshot *snapshot = picture->snapshot;
	_cleanup_address_list_ struct address_list addresses = {0};
	int r = address_list_read(picture->nl, AF_INET6, &addresses, reterr);

	for (size_t i = 0; r >= 0 && i < addresses.count; i++) {
		const struct address_info *address = &addresses.list[i];

		if (address->scope != RT_SCOPE_UNIVERSE || !in6_is_global(&address->ip6) ||
		    (address->flags & (IFA_F_TEMPORARY | IFA_F_DADFAILED)) ||
		    is_own(picture->query, address))
			continue;
		if (snapshot->wan_found && address->index == snapshot->wan_index)
			r = add_address(picture, address, SOURCE_WAN_ADDR);
		else if (is_lan(picture, address->index))
			r = add_address(picture, address, SOURCE_LAN_ADDR);
		if (r < 0)
			return fault_errno(reterr, r, "list prefixes");
	}
	return r;
}

/* systemd-networkd and dhcpcd mark the route as DHCP's; scripts of other clients make it with the
 * ip command (boot) or as a static one. */
static bool is_delegated(const struct route_info *route)
{
	return signs_is_delegation(route) && route->expires_sec != 0 &&
	       (route->protocol == RTPROT_DHCP || route->protocol == RTPROT_STATIC ||
		route->protocol == RTPROT_BOOT);
}

struct delegations {
	const struct picture *picture;
	struct candidates found;
};

static int take_delegation(const struct nlmsghdr *message, void *userdata)
{
	struct delegations *delegations = userdata;
	const struct picture *picture = delegations->picture;
	struct candidate candidate = {.source = SOURCE_PD_ROUTE};
	struct route_info route;

	if (message->nlmsg_type != RTM_NEWROUTE || route_parse(message, &route) < 0 ||
	    !is_delegated(&route))
		return 0;
	candidate.prefix = prefix6_make(&route.dst, route.dst_len);
	candidate.valid_until_usec = until(picture->query, route.expires_sec);
	if (picture->watch)
		candidate.appeared_usec = signs_route_appeared(
			watch_signs(picture->watch, picture->query->now_usec), &candidate.prefix);
	return candidates_add(&delegations->found, &candidate);
}

static void forget_delegations(void *userdata)
{
	candidates_done(&((struct delegations *)userdata)->found);
}

static int read_delegations(const struct picture *picture, struct fault *reterr)
{
	struct delegations delegations = {.picture = picture};
	const struct rtnl_reader reader = {take_delegation, forget_delegations, &delegations};
	int r;

	r = rtnl_dump(picture->nl, route_dump_message(AF_INET6, RT_TABLE_MAIN, RTN_UNREACHABLE, 0),
		      &reader, reterr, "read delegated prefixes");
	for (size_t i = 0; r >= 0 && i < delegations.found.count; i++) {
		r = candidates_add(&picture->snapshot->candidates, &delegations.found.list[i]);
		if (r < 0)
			fault_errno(reterr, r, "list prefixes");
	}
	candidates_done(&delegations.found);
	return r;
}

static int add_announcements(const struct picture *picture, struct fault *reterr)
{
	const struct snapshot *snapshot = picture->snapshot;
	const struct signs *signs;
	uint64_t now_usec = picture->query->now_usec;
	int r = 0;

	if (!picture->watch || !snapshot->wan_found)
		return 0;
	signs = watch_signs(picture->watch, now_usec);
	for (size_t i = 0; r >= 0 && i < signs->announcement_count; i++) {
		const struct announcement *one = &signs->announcements[i];
		const struct candidate candidate = {
			.prefix = one->prefix,
			.source = SOURCE_RA_PIO,
			.deprecated = one->preferred_until_usec <= now_usec,
			.appeared_usec = one->appeared_usec,
			.refreshed_usec = one->refreshed_usec,
			.valid_until_usec = one->valid_until_usec,
		};

		if (one->index == snapshot->wan_index)
			r = candidates_add(&picture->snapshot->candidates, &candidate);
	}
	return r < 0 ? fault_errno(reterr, r, "list prefixes") : 0;
}

/* ---- foreign default routes -------------------------------------------------------------- */

struct rivals {
	const struct picture *picture;
	bool ours_seen; /* ours of the wanted metric: those of the same metric behind it lose */
};

static bool leads_elsewhere(const struct route_info *route)
{
	return route->type == RTN_UNICAST || route->type == RTN_UNREACHABLE ||
	       route->type == RTN_BLACKHOLE || route->type == RTN_PROHIBIT;
}

static void insert_rival(struct snapshot *snapshot, const struct foreign_route *rival)
{
	size_t i = snapshot->foreign_count;

	while (i > 0 && snapshot->foreign[i - 1].metric > rival->metric)
		i--;
	if (i == SNAPSHOT_FOREIGN_MAX)
		return;
	if (snapshot->foreign_count < SNAPSHOT_FOREIGN_MAX)
		snapshot->foreign_count++;
	memmove(&snapshot->foreign[i + 1], &snapshot->foreign[i],
		(snapshot->foreign_count - i - 1) * sizeof(*rival));
	snapshot->foreign[i] = *rival;
}

static int take_rival(const struct nlmsghdr *message, void *userdata)
{
	struct rivals *rivals = userdata;
	const struct snapshot_query *query = rivals->picture->query;
	const struct link_info *link;
	struct foreign_route rival;
	struct route_info route;

	if (message->nlmsg_type != RTM_NEWROUTE || route_parse(message, &route) < 0)
		return 0;
	if (route.family != AF_INET || route.dst_len != 0 || route.table != RT_TABLE_MAIN ||
	    route.dead || !leads_elsewhere(&route) || route.metric > query->route_metric)
		return 0;
	if (route.protocol == PLAN_PROTOCOL) {
		rivals->ours_seen |= route.metric == query->route_metric;
		return 0;
	}
	link = link_list_find(&rivals->picture->links, route.oif);
	if ((link && strcmp(link->name, query->tunnel) == 0) ||
	    (rivals->ours_seen && route.metric == query->route_metric))
		return 0;
	rival = (struct foreign_route){
		.metric = route.metric,
		.protocol = route.protocol,
		.has_gateway = route.has_gateway,
	};
	memcpy(&rival.gateway, &route.gateway, sizeof(rival.gateway));
	set_name(rival.interface, link ? link->name : "");
	insert_rival(rivals->picture->snapshot, &rival);
	return 0;
}

static void forget_rivals(void *userdata)
{
	struct rivals *rivals = userdata;

	rivals->ours_seen = false;
	rivals->picture->snapshot->foreign_count = 0;
}

static int read_rivals(const struct picture *picture, struct fault *reterr)
{
	struct rivals rivals = {.picture = picture};
	const struct rtnl_reader reader = {take_rival, forget_rivals, &rivals};

	return rtnl_dump(picture->nl, route_dump_message(AF_INET, RT_TABLE_MAIN, 0, 0), &reader,
			 reterr, "read IPv4 routes");
}

const char *foreign_route_format(const struct foreign_route *route,
				 char buffer[static FOREIGN_ROUTE_TEXT_MAX])
{
	char gateway[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &route->gateway, gateway, sizeof(gateway));
	snprintf(buffer, FOREIGN_ROUTE_TEXT_MAX, "%sdefault%s%s%s%s metric %u",
		 route->interface[0] ? "" : "unreachable ", route->has_gateway ? " via " : "",
		 route->has_gateway ? gateway : "", route->interface[0] ? " dev " : "",
		 route->interface, route->metric);
	return buffer;
}

/* ---- the whole --------------------------------------------------------------------------- */

int snapshot_read(struct rtnl *nl, struct watch *watch, const struct snapshot_query *query,
		  struct snapshot *ret, struct fault *reterr)
{
	_cleanup_snapshot_ struct snapshot snapshot = {0};
	struct picture picture = {nl, watch, query, {0}, &snapshot};
	int r;

	r = link_list_read(nl, "", &picture.links, reterr);
	if (r >= 0 && watch)
		watch_compare_links(watch, &picture.links);
	if (r >= 0)
		r = read_lines(&picture, reterr);
	if (r >= 0)
		r = read_ppp_address(&picture, reterr);
	if (r >= 0)
		r = read_addresses(&picture, reterr);
	if (r >= 0)
		r = read_delegations(&picture, reterr);
	if (r >= 0)
		r = add_announcements(&picture, reterr);
	if (r >= 0)
		r = read_rivals(&picture, reterr);
	link_list_done(&picture.links);
	if (r < 0)
		return r;
	*ret = snapshot;
	snapshot = (struct snapshot){0};
	return 0;
}

void snapshot_done(struct snapshot *snapshot)
{
	candidates_done(&snapshot->candidates);
}
