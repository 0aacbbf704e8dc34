/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/tunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/ip6_tunnel.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/ip6tnl.h>
#include <string.h>

#define KIND       "ip6tnl"
#define HOP_LIMIT  64
#define BORN_GROUP PLAN_PROTOCOL

#define IPV6_LEAST_MTU 1280u /* RFC 8200 5 */

static void cleanup_link(struct rtnl_link **link)
{
	if (*link)
		rtnl_link_put(*link);
}

bool tunnel_is_ours(const struct link_info *link, const char *name)
{
	if (strcmp(link->alias, PLAN_ALIAS) == 0)
		return true;
	if (strcmp(link->kind, KIND) != 0 || link->group != BORN_GROUP)
		return false;
	return !link->alias[0] || (name[0] && strcmp(link->name, name) == 0);
}

/* The name that a plan gives to a tunnel of ours. */
static const char *own_name(const struct plan_tunnel *tunnel)
{
	return tunnel && tunnel->mode == TUNNEL_CREATE ? tunnel->name : "";
}

/* ---- messages ---------------------------------------------------------------------------- */

/* ip link {add|change} NAME type ip6tnl mode ipip6 local … remote … dev WAN encaplimit none
 * hoplimit 64. The kernel takes a change as a whole: what is not said would become zero. */
static int put_tunnel(struct rtnl_link *link, const struct plan_tunnel *want, int parent)
{
	struct in6_addr local = want->local, remote = want->remote;

	if (rtnl_link_ip6_tnl_set_link(link, (uint32_t)parent) < 0 ||
	    rtnl_link_ip6_tnl_set_local(link, &local) < 0 ||
	    rtnl_link_ip6_tnl_set_remote(link, &remote) < 0 ||
	    rtnl_link_ip6_tnl_set_ttl(link, HOP_LIMIT) < 0 ||
	    rtnl_link_ip6_tnl_set_tos(link, 0) < 0 ||
	    rtnl_link_ip6_tnl_set_encaplimit(link, 0) < 0 ||
	    rtnl_link_ip6_tnl_set_flags(link, IP6_TNL_F_IGN_ENCAP_LIMIT) < 0 ||
	    rtnl_link_ip6_tnl_set_flowinfo(link, 0) < 0 ||
	    rtnl_link_ip6_tnl_set_proto(link, IPPROTO_IPIP) < 0)
		return -ENOMEM;
	return 0;
}

/* index 0 makes a new one. The kernel sets its own MTU when the ends change; the one that stands in
 * the same message is applied after that. */
static struct nl_msg *tunnel_message(const struct plan_tunnel *want, int parent, int index)
{
	_cleanup_(cleanup_link) struct rtnl_link *link = rtnl_link_ip6_tnl_alloc();
	struct nl_msg *msg = NULL;

	if (!link || put_tunnel(link, want, parent) < 0)
		return NULL;
	if (index) {
		rtnl_link_set_ifindex(link, index);
	} else {
		rtnl_link_set_name(link, want->name);
		rtnl_link_set_group(link, BORN_GROUP);
	}
	rtnl_link_set_mtu(link, want->mtu);
	if (rtnl_link_build_add_request(link, index ? 0 : NLM_F_CREATE | NLM_F_EXCL, &msg) < 0)
		return NULL;
	return msg;
}

/* About a link by its name: a new one needs no reading back of its index. */
static struct nl_msg *link_message(int type, const char *name, unsigned int flags)
{
	const struct ifinfomsg header = {.ifi_flags = flags, .ifi_change = flags};
	_cleanup_nlmsg_ struct nl_msg *msg = rtnl_message(type, 0, &header, sizeof(header));

	if (!msg || nla_put_string(msg, IFLA_IFNAME, name) < 0)
		return NULL;
	return TAKE_PTR(msg);
}

static int put_no_link_local(struct nl_msg *msg)
{
	struct nlattr *families = nla_nest_start(msg, IFLA_AF_SPEC), *inet6;

	inet6 = families ? nla_nest_start(msg, AF_INET6) : NULL;
	if (!inet6 || nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE) < 0)
		return -ENOMEM;
	nla_nest_end(msg, inet6);
	nla_nest_end(msg, families);
	return 0;
}

/* ip link set NAME alias maped [addrgenmode none] */
static struct nl_msg *mark_message(const char *name, bool has_ipv6)
{
	_cleanup_nlmsg_ struct nl_msg *msg = link_message(RTM_NEWLINK, name, 0);

	if (!msg || nla_put(msg, IFLA_IFALIAS, sizeof(PLAN_ALIAS) - 1, PLAN_ALIAS) < 0 ||
	    (has_ipv6 && put_no_link_local(msg) < 0))
		return NULL;
	return TAKE_PTR(msg);
}

/* ip link set NAME up mtu … */
static struct nl_msg *up_message(const char *name, uint32_t mtu)
{
	_cleanup_nlmsg_ struct nl_msg *msg = link_message(RTM_NEWLINK, name, IFF_UP);

	if (!msg || nla_put_u32(msg, IFLA_MTU, mtu) < 0)
		return NULL;
	return TAKE_PTR(msg);
}

/* ---- comparing --------------------------------------------------------------------------- */

static bool same_ends(const struct link_tunnel *have, const struct plan_tunnel *want)
{
	return memcmp(&have->local, &want->local, sizeof(have->local)) == 0 &&
	       memcmp(&have->remote, &want->remote, sizeof(have->remote)) == 0;
}

static bool same_tunnel(const struct link_tunnel *have, const struct plan_tunnel *want, int parent)
{
	return same_ends(have, want) && have->parent == parent && have->protocol == IPPROTO_IPIP &&
	       have->hop_limit == HOP_LIMIT && have->flags == IP6_TNL_F_IGN_ENCAP_LIMIT &&
	       have->flowinfo == 0 && have->fwmark == 0;
}

/* ---- steps ------------------------------------------------------------------------------- */

static int remove_link(struct rtnl *nl, const char *name, struct fault *reterr)
{
	struct fault fault = {0};
	struct link_info link;
	int r = rtnl_change(nl, link_message(RTM_DELLINK, name, 0), &fault, "delete tunnel %s",
			    name);

	if (r == -ENODEV && link_by_name(nl, name, &link, NULL) == 0) /* gone by itself */
		return 0;
	if (r < 0 && reterr)
		*reterr = fault;
	return r < 0 ? r : 1;
}

/* The kernel refuses a second tunnel between the same ends and does not say which one stands. */
static int explain_conflict(struct rtnl *nl, const struct plan_tunnel *want, struct fault *reterr)
{
	_cleanup_link_list_ struct link_list links = {0};
	struct fault ignored = {0};
	char local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, &want->local, local, sizeof(local));
	inet_ntop(AF_INET6, &want->remote, remote, sizeof(remote));
	if (link_list_read(nl, KIND, &links, &ignored) == 0)
		for (size_t i = 0; i < links.count; i++)
			if (same_ends(&links.list[i].tunnel, want) &&
			    strcmp(links.list[i].name, want->name) != 0)
				return fault_set(reterr, -EEXIST,
						 "tunnel %s: another program's tunnel %s stands "
						 "between the same ends %s and %s",
						 want->name, links.list[i].name, local, remote);
	return fault_set(reterr, -EEXIST, "tunnel %s: another tunnel stands between %s and %s",
			 want->name, local, remote);
}

static int explain(struct rtnl *nl, const struct plan_tunnel *want, int code,
		   const struct fault *fault, struct fault *reterr)
{
	if (code == -EOPNOTSUPP)
		return fault_set(reterr, code,
				 "tunnel %s: this kernel has no ip6_tunnel "
				 "(module missing or CONFIG_IPV6_TUNNEL not set)",
				 want->name);
	if (code == -EEXIST)
		return explain_conflict(nl, want, reterr);
	if (reterr)
		*reterr = *fault;
	return code;
}

/* The kernel takes IPv6 from a link whose MTU is below the least one, and says so only when it is
 * asked to set something of it. */
static int mark(struct rtnl *nl, const char *name, bool has_ipv6, struct fault *reterr)
{
	struct fault fault = {0};
	int r = rtnl_change(nl, mark_message(name, has_ipv6), &fault, "mark tunnel %s", name);

	if (r == -EAFNOSUPPORT && has_ipv6)
		return rtnl_change(nl, mark_message(name, false), reterr, "mark tunnel %s", name);
	if (r < 0 && reterr)
		*reterr = fault;
	return r;
}

static bool regains_ipv6(const struct link_info *link, const struct plan_tunnel *want)
{
	return link->mtu > 0 && link->mtu < IPV6_LEAST_MTU && want->mtu >= IPV6_LEAST_MTU;
}

static int finish(struct rtnl *nl, const struct plan_tunnel *want, const struct link_info *link,
		  struct fault *reterr)
{
	int changed = 0, r;

	/* Before it is up: afterwards the link would have given itself a link-local address. */
	if (strcmp(link->alias, PLAN_ALIAS) != 0 || !link->no_link_local) {
		r = mark(nl, want->name, !link->no_link_local, reterr);
		if (r < 0)
			return r;
		changed++;
	}
	if (!link->up || link->mtu != want->mtu) {
		r = rtnl_change(nl, up_message(want->name, want->mtu), reterr,
				"set tunnel %s up with MTU %u", want->name, want->mtu);
		if (r < 0)
			return r;
		changed++;
	}
	if (regains_ipv6(link, want)) {
		r = mark(nl, want->name, true, reterr);
		if (r < 0)
			return r;
		changed++;
	}
	return changed;
}

static int create(struct rtnl *nl, const struct plan_tunnel *want, int parent, struct fault *reterr)
{
	const struct link_info fresh = {0}; /* neither marked nor up */
	struct fault fault = {0};
	int r;

	r = rtnl_change(nl, tunnel_message(want, parent, 0), &fault, "create tunnel %s",
			want->name);
	if (r < 0)
		return explain(nl, want, r, &fault, reterr);
	r = finish(nl, want, &fresh, reterr);
	if (r < 0) {
		remove_link(nl, want->name, NULL);
		return r;
	}
	return 1 + r;
}

static int change(struct rtnl *nl, const struct plan_tunnel *want, int parent,
		  struct link_info *link, struct fault *reterr)
{
	struct fault fault = {0};
	int changed = 0, r;

	if (!same_tunnel(&link->tunnel, want, parent)) {
		r = rtnl_change(nl, tunnel_message(want, parent, link->index), &fault,
				"change tunnel %s", want->name);
		if (r < 0)
			return explain(nl, want, r, &fault, reterr);
		/* Read again: whether the MTU of the message won is up to the kernel. */
		r = link_by_index(nl, link->index, link, reterr);
		if (r == 0)
			r = fault_set(reterr, -ENODEV, "tunnel %s vanished while it was changed",
				      want->name);
		if (r < 0)
			return r;
		changed++;
	}
	r = finish(nl, want, link, reterr);
	return r < 0 ? r : changed + r;
}

/* Every tunnel of ours but the one named keep. have: the name that it had. */
static int remove_others(struct rtnl *nl, const char *keep, const char *have, struct fault *reterr)
{
	_cleanup_link_list_ struct link_list links = {0};
	int changed = 0, r;

	r = link_list_read(nl, KIND, &links, reterr);
	if (r < 0)
		return r;
	for (size_t i = 0; i < links.count; i++) {
		if (!tunnel_is_ours(&links.list[i], have) || strcmp(links.list[i].name, keep) == 0)
			continue;
		r = remove_link(nl, links.list[i].name, reterr);
		if (r < 0)
			return r;
		changed += r;
	}
	return changed;
}

static int look_at_existing(struct rtnl *nl, const struct plan_tunnel *want, struct fault *reterr)
{
	struct link_info link;
	int r = link_by_name(nl, want->name, &link, reterr);

	if (r < 0)
		return r;
	if (r == 0)
		return fault_set(reterr, -ENODEV,
				 "tunnel %s does not exist yet (tunnel_mode is \"existing\": "
				 "another program makes it)",
				 want->name);
	if (!link.up)
		return fault_set(reterr, -ENETDOWN,
				 "tunnel %s is down (tunnel_mode is \"existing\": "
				 "the program that made it sets it up)",
				 want->name);
	return 0;
}

static int create_or_change(struct rtnl *nl, const struct plan_tunnel *want, struct fault *reterr)
{
	struct link_info link;
	int parent, r;

	r = link_index(nl, want->wan, &parent, reterr);
	if (r < 0)
		return r;
	r = link_by_name(nl, want->name, &link, reterr);
	if (r < 0)
		return r;
	if (r == 0)
		return create(nl, want, parent, reterr);
	if (!tunnel_is_ours(&link, want->name))
		return fault_set(reterr, -EEXIST,
				 "interface %s exists and was not made by maped (%s): "
				 "choose another name in map.tunnel",
				 want->name, link.kind[0] ? link.kind : "no link kind");
	if (strcmp(link.kind, KIND) != 0) {
		r = remove_link(nl, link.name, reterr);
		return r < 0 ? r : create(nl, want, parent, reterr);
	}
	return change(nl, want, parent, &link, reterr);
}

int tunnel_sync(struct rtnl *nl, const struct plan_tunnel *want, const struct plan_tunnel *have,
		struct fault *reterr)
{
	bool own = want->name[0] && want->mode == TUNNEL_CREATE;
	int removed, r = 0;

	/* First: an old tunnel under another name would stand between the same ends. */
	removed = remove_others(nl, own ? want->name : "", own_name(have), reterr);
	if (removed < 0 || !want->name[0])
		return removed;
	r = own ? create_or_change(nl, want, reterr) : look_at_existing(nl, want, reterr);
	return r < 0 ? r : removed + r;
}

int tunnel_stands(struct rtnl *nl, struct fault *reterr)
{
	_cleanup_link_list_ struct link_list links = {0};
	int r = link_list_read(nl, KIND, &links, reterr);

	for (size_t i = 0; r == 0 && i < links.count; i++)
		r = tunnel_is_ours(&links.list[i], "");
	return r;
}
