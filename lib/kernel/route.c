/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/addr.h>
#include <netlink/attr.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <string.h>

#include "lib/kernel/link.h"

static void cleanup_addr(struct nl_addr **addr)
{
	if (*addr)
		nl_addr_put(*addr);
}

static void cleanup_route(struct rtnl_route **route)
{
	if (*route)
		rtnl_route_put(*route);
}

/* ---- reading ----------------------------------------------------------------------------- */

static void copy_address(struct in6_addr *to, const struct nlattr *from)
{
	memcpy(to, nla_data(from), MIN_OF((size_t)nla_len(from), sizeof(*to)));
}

/* Interfaces of the first two ways; the gateway of the first. */
static void parse_multipath(const struct nlattr *multipath, struct route_info *ret)
{
	const struct rtnexthop *hop = nla_data(multipath);
	int left = nla_len(multipath), nth = 0;

	while (nth < 2 && left >= (int)sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) &&
	       hop->rtnh_len <= left) {
		if (nth++ == 0)
			ret->oif = hop->rtnh_ifindex;
		else
			ret->oif_next = hop->rtnh_ifindex;
		left -= (int)NLMSG_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
}

int route_parse(const struct nlmsghdr *message, struct route_info *ret)
{
	static const struct nla_policy policy[RTA_MAX + 1] = {
		[RTA_OIF] = {.type = NLA_U32},
		[RTA_PRIORITY] = {.type = NLA_U32},
		[RTA_TABLE] = {.type = NLA_U32},
		[RTA_DST] = {.minlen = sizeof(struct in_addr)},
		[RTA_GATEWAY] = {.minlen = sizeof(struct in_addr)},
		[RTA_CACHEINFO] = {.minlen = sizeof(struct rta_cacheinfo)},
	};
	const struct rtmsg *header = nlmsg_data(message);
	struct nlattr *tb[RTA_MAX + 1];
	struct route_info route = {0};

	if (nlmsg_parse((struct nlmsghdr *)message, sizeof(*header), tb, RTA_MAX, policy) < 0)
		return -EBADMSG;
	if ((header->rtm_family != AF_INET || header->rtm_dst_len > 32) &&
	    (header->rtm_family != AF_INET6 || header->rtm_dst_len > 128))
		return -EBADMSG;
	route.family = header->rtm_family;
	route.type = header->rtm_type;
	route.protocol = header->rtm_protocol;
	route.scope = header->rtm_scope;
	route.dst_len = header->rtm_dst_len;
	route.dead = header->rtm_flags & RTNH_F_DEAD;
	route.table = tb[RTA_TABLE] ? nla_get_u32(tb[RTA_TABLE]) : header->rtm_table;
	route.metric = tb[RTA_PRIORITY] ? nla_get_u32(tb[RTA_PRIORITY]) : 0;
	route.oif = tb[RTA_OIF] ? (int)nla_get_u32(tb[RTA_OIF]) : 0;
	route.expires_sec = UINT32_MAX;
	if (tb[RTA_DST])
		copy_address(&route.dst, tb[RTA_DST]);
	if (tb[RTA_GATEWAY]) {
		route.has_gateway = true;
		copy_address(&route.gateway, tb[RTA_GATEWAY]);
	}
	if (tb[RTA_MULTIPATH])
		parse_multipath(tb[RTA_MULTIPATH], &route);
	if (tb[RTA_CACHEINFO]) {
		struct rta_cacheinfo times;

		memcpy(&times, nla_data(tb[RTA_CACHEINFO]), sizeof(times));
		if (times.rta_expires != 0) /* 1/100 s; over, while it is not collected yet */
			route.expires_sec =
				times.rta_expires > 0 ? (uint32_t)times.rta_expires / 100 : 0;
	}
	*ret = route;
	return 0;
}

struct nl_msg *route_dump_message(int family, uint32_t table, uint8_t type, uint8_t protocol)
{
	const struct rtmsg header = {
		.rtm_family = (unsigned char)family,
		.rtm_type = type,
		.rtm_protocol = protocol,
	};
	_cleanup_nlmsg_ struct nl_msg *msg = rtnl_message(RTM_GETROUTE, 0, &header, sizeof(header));

	if (!msg || (table && nla_put_u32(msg, RTA_TABLE, table) < 0))
		return NULL;
	return TAKE_PTR(msg);
}

/* Ours, gathered. More than this many of ours is nothing we made; the rest goes next time. */
#define OURS_MAX 64

struct ours {
	struct route_info list[OURS_MAX];
	size_t count;
};

static int keep_ours(const struct nlmsghdr *message, void *userdata)
{
	struct ours *ours = userdata;
	struct route_info route;

	if (message->nlmsg_type != RTM_NEWROUTE || route_parse(message, &route) < 0)
		return 0;
	if (route.protocol != PLAN_PROTOCOL || route.dst_len != 0 || ours->count == OURS_MAX)
		return 0;
	if (route.type != RTN_UNICAST && route.type != RTN_UNREACHABLE)
		return 0;
	ours->list[ours->count++] = route;
	return 0;
}

static void forget(void *userdata)
{
	((struct ours *)userdata)->count = 0;
}

static int read_ours(struct rtnl *nl, struct ours *ret, struct fault *reterr)
{
	const struct rtnl_reader reader = {keep_ours, forget, ret};

	ret->count = 0;
	return rtnl_dump(nl, route_dump_message(AF_INET, 0, 0, PLAN_PROTOCOL), &reader, reterr,
			 "read routes");
}

/* ---- messages ---------------------------------------------------------------------------- */

static int put_way(struct rtnl_route *route, int oif)
{
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();

	if (!hop)
		return -ENOMEM;
	rtnl_route_nh_set_ifindex(hop, oif);
	rtnl_route_add_nexthop(route, hop); /* takes it */
	return 0;
}

/* default dev … table … metric … proto 77, or unreachable default */
static struct rtnl_route *build(const struct route_info *info)
{
	_cleanup_(cleanup_route) struct rtnl_route *route = rtnl_route_alloc();
	_cleanup_(cleanup_addr) struct nl_addr *any = NULL;
	const struct in_addr zero = {0};

	any = nl_addr_build(AF_INET, &zero, sizeof(zero));
	if (!route || !any)
		return NULL;
	nl_addr_set_prefixlen(any, 0);
	rtnl_route_set_family(route, AF_INET);
	rtnl_route_set_table(route, info->table);
	rtnl_route_set_priority(route, info->metric);
	rtnl_route_set_protocol(route, PLAN_PROTOCOL);
	rtnl_route_set_scope(route, info->scope);
	if (rtnl_route_set_type(route, info->type) < 0 || rtnl_route_set_dst(route, any) < 0 ||
	    (info->oif && put_way(route, info->oif) < 0))
		return NULL;
	return TAKE_PTR(route);
}

static struct nl_msg *add_message(const struct route_info *info)
{
	_cleanup_(cleanup_route) struct rtnl_route *route = build(info);
	struct nl_msg *msg = NULL;

	if (!route || rtnl_route_build_add_request(route, NLM_F_CREATE | NLM_F_APPEND, &msg) < 0)
		return NULL;
	return msg;
}

static struct nl_msg *delete_message(const struct route_info *info)
{
	_cleanup_(cleanup_route) struct rtnl_route *route = build(info);
	struct nl_msg *msg = NULL;

	if (!route || rtnl_route_build_del_request(route, 0, &msg) < 0)
		return NULL;
	return msg;
}

/* ---- comparing --------------------------------------------------------------------------- */

static struct route_info wanted_info(const struct plan_route *want, int oif)
{
	return (struct route_info){
		.family = AF_INET,
		.type = oif ? RTN_UNICAST : RTN_UNREACHABLE,
		.scope = oif ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.table = want->table,
		.metric = want->metric,
		.oif = oif,
	};
}

static bool same_route(const struct route_info *a, const struct route_info *b)
{
	return a->type == b->type && a->table == b->table && a->metric == b->metric &&
	       a->oif == b->oif && !a->has_gateway && !b->has_gateway && !a->oif_next &&
	       !b->oif_next;
}

#define ROUTE_TEXT_MAX 80

static const char *describe(const struct route_info *route, const char *interface,
			    char buffer[static ROUTE_TEXT_MAX])
{
	snprintf(buffer, ROUTE_TEXT_MAX, "%s%s%s table %u metric %u",
		 route->type == RTN_UNREACHABLE ? "unreachable default" : "default",
		 interface[0] ? " dev " : "", interface, route->table, route->metric);
	return buffer;
}

/* ---- steps ------------------------------------------------------------------------------- */

static int resolve(struct rtnl *nl, const struct plan_route *want, struct route_info *ret,
		   struct fault *reterr)
{
	int oif = 0, r = 0;

	if (want->interface[0])
		r = link_index(nl, want->interface, &oif, reterr);
	if (r >= 0)
		*ret = wanted_info(want, oif);
	return r;
}

static bool stands(const struct ours *ours, const struct route_info *route)
{
	for (size_t i = 0; i < ours->count; i++)
		if (same_route(&ours->list[i], route))
			return true;
	return false;
}

int route_ensure(struct rtnl *nl, const struct plan_route *want, size_t count, struct fault *reterr)
{
	struct ours ours = {.count = 0};
	int changed = 0, r;

	if (count == 0)
		return 0;
	r = read_ours(nl, &ours, reterr);
	for (size_t i = 0; r >= 0 && i < count; i++) {
		struct route_info route;
		char text[ROUTE_TEXT_MAX];

		r = resolve(nl, &want[i], &route, reterr);
		if (r < 0 || stands(&ours, &route))
			continue;
		r = rtnl_change(nl, add_message(&route), reterr, "add route %s",
				describe(&route, want[i].interface, text));
		changed += r >= 0;
	}
	return r < 0 ? r : changed;
}

static int remove_one(struct rtnl *nl, const struct route_info *route, struct fault *reterr)
{
	char text[ROUTE_TEXT_MAX], name[IFNAMSIZ] = "";
	struct fault fault = {0};
	struct ours ours = {.count = 0};
	int r;

	if (route->oif)
		(void)if_indextoname((unsigned int)route->oif, name);
	r = rtnl_change(nl, delete_message(route), &fault, "delete route %s",
			describe(route, name, text));
	/* Gone by itself meanwhile, or with its interface? */
	if ((r == -ESRCH || r == -ENODEV) && read_ours(nl, &ours, NULL) == 0 &&
	    !stands(&ours, route))
		return 0;
	if (r < 0 && reterr)
		*reterr = fault;
	return r < 0 ? r : 1;
}

int route_prune(struct rtnl *nl, const struct plan_route *want, size_t count, struct fault *reterr)
{
	struct ours ours, wanted = {.count = 0};
	int changed = 0, r;

	if (count > OURS_MAX)
		return fault_errno(reterr, -E2BIG, "compare routes");
	r = read_ours(nl, &ours, reterr);
	if (r < 0 || ours.count == 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		struct fault fault = {0};

		r = resolve(nl, &want[i], &wanted.list[wanted.count], &fault);
		/* Its interface is gone, and the route with it. An ENODEV alone is no proof. */
		if (r == -ENODEV && if_nametoindex(want[i].interface) == 0)
			continue;
		if (r < 0) {
			if (reterr)
				*reterr = fault;
			return r;
		}
		wanted.count++;
	}
	r = 0;
	for (size_t i = 0; r >= 0 && i < ours.count; i++) {
		if (stands(&wanted, &ours.list[i]))
			continue;
		r = remove_one(nl, &ours.list[i], reterr);
		changed += r > 0;
	}
	return r < 0 ? r : changed;
}

int route_sync(struct rtnl *nl, const struct plan_route *want, size_t count, struct fault *reterr)
{
	int added, removed;

	added = route_ensure(nl, want, count, reterr);
	if (added < 0)
		return added;
	removed = route_prune(nl, want, count, reterr);
	return removed < 0 ? removed : added + removed;
}

int route_stands(struct rtnl *nl, struct fault *reterr)
{
	struct ours ours = {.count = 0};
	int r = read_ours(nl, &ours, reterr);

	return r < 0 ? r : ours.count > 0;
}
