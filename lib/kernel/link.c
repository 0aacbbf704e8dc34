/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/link.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/ip6_tunnel.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>

/* What the kernel adds to the flags by itself: IP6_TNL_F_CAP_* (net/ip6_tunnel.h). */
#define TUNNEL_FLAGS_OF_KERNEL 0x70000u

static void copy_text(char *to, size_t size, const struct nlattr *from)
{
	size_t length = strnlen(nla_data(from), (size_t)nla_len(from));

	length = MIN_OF(length, size - 1);
	memcpy(to, nla_data(from), length);
	to[length] = '\0';
}

static void parse_tunnel(struct nlattr *data, struct link_tunnel *ret)
{
	static const struct nla_policy policy[IFLA_IPTUN_MAX + 1] = {
		[IFLA_IPTUN_LINK] = {.type = NLA_U32},
		[IFLA_IPTUN_LOCAL] = {.minlen = sizeof(struct in6_addr)},
		[IFLA_IPTUN_REMOTE] = {.minlen = sizeof(struct in6_addr)},
		[IFLA_IPTUN_TTL] = {.type = NLA_U8},
		[IFLA_IPTUN_FLOWINFO] = {.type = NLA_U32},
		[IFLA_IPTUN_FLAGS] = {.type = NLA_U32},
		[IFLA_IPTUN_PROTO] = {.type = NLA_U8},
		[IFLA_IPTUN_FWMARK] = {.type = NLA_U32},
	};
	struct nlattr *tb[IFLA_IPTUN_MAX + 1];

	if (nla_parse_nested(tb, IFLA_IPTUN_MAX, data, policy) < 0)
		return;
	if (tb[IFLA_IPTUN_LINK])
		ret->parent = (int)nla_get_u32(tb[IFLA_IPTUN_LINK]);
	if (tb[IFLA_IPTUN_LOCAL])
		memcpy(&ret->local, nla_data(tb[IFLA_IPTUN_LOCAL]), sizeof(ret->local));
	if (tb[IFLA_IPTUN_REMOTE])
		memcpy(&ret->remote, nla_data(tb[IFLA_IPTUN_REMOTE]), sizeof(ret->remote));
	if (tb[IFLA_IPTUN_TTL])
		ret->hop_limit = nla_get_u8(tb[IFLA_IPTUN_TTL]);
	if (tb[IFLA_IPTUN_FLOWINFO])
		ret->flowinfo = nla_get_u32(tb[IFLA_IPTUN_FLOWINFO]);
	if (tb[IFLA_IPTUN_FLAGS])
		ret->flags = nla_get_u32(tb[IFLA_IPTUN_FLAGS]) & ~TUNNEL_FLAGS_OF_KERNEL;
	if (tb[IFLA_IPTUN_PROTO])
		ret->protocol = nla_get_u8(tb[IFLA_IPTUN_PROTO]);
	if (tb[IFLA_IPTUN_FWMARK])
		ret->fwmark = nla_get_u32(tb[IFLA_IPTUN_FWMARK]);
}

static void parse_kind(struct nlattr *info, struct link_info *ret)
{
	struct nlattr *tb[IFLA_INFO_MAX + 1];

	if (nla_parse_nested(tb, IFLA_INFO_MAX, info, NULL) < 0 || !tb[IFLA_INFO_KIND])
		return;
	copy_text(ret->kind, sizeof(ret->kind), tb[IFLA_INFO_KIND]);
	if (tb[IFLA_INFO_DATA] && strcmp(ret->kind, "ip6tnl") == 0)
		parse_tunnel(tb[IFLA_INFO_DATA], &ret->tunnel);
}

static void parse_families(struct nlattr *families, struct link_info *ret)
{
	struct nlattr *inet6 = nla_find(nla_data(families), nla_len(families), AF_INET6), *mode;

	if (!inet6)
		return;
	ret->no_link_local = false;
	mode = nla_find(nla_data(inet6), nla_len(inet6), IFLA_INET6_ADDR_GEN_MODE);
	if (mode && nla_len(mode) >= 1)
		ret->no_link_local = nla_get_u8(mode) == IN6_ADDR_GEN_MODE_NONE;
}

int link_parse(const struct nlmsghdr *message, struct link_info *ret)
{
	static const struct nla_policy policy[IFLA_MAX + 1] = {
		[IFLA_MTU] = {.type = NLA_U32},
		[IFLA_GROUP] = {.type = NLA_U32},
		[IFLA_LINKINFO] = {.type = NLA_NESTED},
		[IFLA_AF_SPEC] = {.type = NLA_NESTED},
	};
	const struct ifinfomsg *header = nlmsg_data(message);
	struct nlattr *tb[IFLA_MAX + 1];
	struct link_info link = {0};

	if (nlmsg_parse((struct nlmsghdr *)message, sizeof(*header), tb, IFLA_MAX, policy) < 0 ||
	    header->ifi_index <= 0 || !tb[IFLA_IFNAME])
		return -EBADMSG;
	link.index = header->ifi_index;
	link.up = header->ifi_flags & IFF_UP;
	link.carrier = header->ifi_flags & IFF_LOWER_UP;
	link.loopback = header->ifi_flags & IFF_LOOPBACK;
	link.no_link_local = true; /* below an MTU of 1280 the kernel takes IPv6 away */
	copy_text(link.name, sizeof(link.name), tb[IFLA_IFNAME]);
	if (tb[IFLA_IFALIAS])
		copy_text(link.alias, sizeof(link.alias), tb[IFLA_IFALIAS]);
	if (tb[IFLA_MTU])
		link.mtu = nla_get_u32(tb[IFLA_MTU]);
	if (tb[IFLA_GROUP])
		link.group = nla_get_u32(tb[IFLA_GROUP]);
	if (tb[IFLA_LINKINFO])
		parse_kind(tb[IFLA_LINKINFO], &link);
	if (tb[IFLA_AF_SPEC])
		parse_families(tb[IFLA_AF_SPEC], &link);
	*ret = link;
	return 0;
}

/* ---- one --------------------------------------------------------------------------------- */

struct one {
	struct link_info link;
	bool found;
};

static int keep_one(const struct nlmsghdr *message, void *userdata)
{
	struct one *one = userdata;

	if (message->nlmsg_type == RTM_NEWLINK && link_parse(message, &one->link) == 0)
		one->found = true;
	return 0;
}

static struct nl_msg *request(int index, const char *name)
{
	const struct ifinfomsg header = {.ifi_index = index};
	_cleanup_nlmsg_ struct nl_msg *msg = rtnl_message(RTM_GETLINK, 0, &header, sizeof(header));

	if (!msg || nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS) < 0 ||
	    (name && nla_put_string(msg, IFLA_IFNAME, name) < 0))
		return NULL;
	return TAKE_PTR(msg);
}

static int read_one(struct rtnl *nl, struct nl_msg *msg, const char *what, struct link_info *ret,
		    struct fault *reterr)
{
	struct one one = {0};
	const struct rtnl_reader reader = {keep_one, NULL, &one};
	int r = rtnl_query(nl, msg, &reader, reterr, "read interface %s", what);

	if (r == -ENODEV)
		return 0;
	if (r < 0)
		return r;
	if (!one.found)
		return fault_errno(reterr, -EBADMSG, "read interface %s", what);
	*ret = one.link;
	return 1;
}

int link_by_name(struct rtnl *nl, const char *name, struct link_info *ret, struct fault *reterr)
{
	struct fault fault = {0};
	int r = read_one(nl, request(0, name), name, ret, &fault);

	if (r < 0 && reterr)
		*reterr = fault;
	return r;
}

int link_by_index(struct rtnl *nl, int index, struct link_info *ret, struct fault *reterr)
{
	struct fault fault = {0};
	char what[16];
	int r;

	snprintf(what, sizeof(what), "#%d", index);
	r = read_one(nl, request(index, NULL), what, ret, &fault);
	if (r < 0 && reterr)
		*reterr = fault;
	return r;
}

int link_index(struct rtnl *nl, const char *name, int *ret, struct fault *reterr)
{
	struct link_info link = {0};
	int r = link_by_name(nl, name, &link, reterr);

	if (r < 0)
		return r;
	if (r == 0)
		return fault_set(reterr, -ENODEV, "interface %s does not exist", name);
	*ret = link.index;
	return 0;
}

/* ---- many -------------------------------------------------------------------------------- */

static int keep_all(const struct nlmsghdr *message, void *userdata)
{
	struct link_list *links = userdata;
	struct link_info link, *list;

	if (message->nlmsg_type != RTM_NEWLINK || link_parse(message, &link) < 0)
		return 0;
	list = reallocarray(links->list, links->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	links->list = list;
	links->list[links->count++] = link;
	return 0;
}

static void forget_all(void *userdata)
{
	((struct link_list *)userdata)->count = 0;
}

static int put_kind(struct nl_msg *msg, const char *kind)
{
	struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);

	if (!info || nla_put_string(msg, IFLA_INFO_KIND, kind) < 0)
		return -ENOMEM;
	return nla_nest_end(msg, info);
}

int link_list_read(struct rtnl *nl, const char *kind, struct link_list *ret, struct fault *reterr)
{
	_cleanup_link_list_ struct link_list links = {0};
	const struct rtnl_reader reader = {keep_all, forget_all, &links};
	_cleanup_nlmsg_ struct nl_msg *msg = request(0, NULL);
	int r;

	if (msg && kind[0] && put_kind(msg, kind) < 0)
		return fault_errno(reterr, -ENOMEM, "read interfaces");
	r = rtnl_dump(nl, TAKE_PTR(msg), &reader, reterr, "read interfaces");
	if (r < 0)
		return r;
	*ret = links;
	links = (struct link_list){0};
	return 0;
}

void link_list_done(struct link_list *links)
{
	free(links->list);
	*links = (struct link_list){0};
}

const struct link_info *link_list_find(const struct link_list *links, int index)
{
	for (size_t i = 0; i < links->count; i++)
		if (links->list[i].index == index)
			return &links->list[i];
	return NULL;
}
