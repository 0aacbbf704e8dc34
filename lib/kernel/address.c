/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/addr.h>
#include <netlink/attr.h>
#include <netlink/route/addr.h>
#include <string.h>

#include "lib/kernel/link.h"

#ifndef IFA_F_NOPREFIXROUTE
#define IFA_F_NOPREFIXROUTE 0x200
#endif
#define FOREVER UINT32_MAX

static void cleanup_addr(struct nl_addr **addr)
{
	if (*addr)
		nl_addr_put(*addr);
}

static void cleanup_rtnl_addr(struct rtnl_addr **addr)
{
	if (*addr)
		rtnl_addr_put(*addr);
}

/* ---- reading ----------------------------------------------------------------------------- */

int address_parse(const struct nlmsghdr *message, struct address_info *ret)
{
	static const struct nla_policy policy[IFA_MAX + 1] = {
		[IFA_CACHEINFO] = {.minlen = sizeof(struct ifa_cacheinfo)},
		[IFA_FLAGS] = {.type = NLA_U32},
		[IFA_PROTO] = {.type = NLA_U8},
	};
	const struct ifaddrmsg *header = nlmsg_data(message);
	struct nlattr *tb[IFA_MAX + 1], *own;
	struct address_info address = {0};
	size_t size;

	if (nlmsg_parse((struct nlmsghdr *)message, sizeof(*header), tb, IFA_MAX, policy) < 0)
		return -EBADMSG;
	if (header->ifa_family != AF_INET && header->ifa_family != AF_INET6)
		return -EBADMSG;
	/* With a peer IFA_ADDRESS is the peer's and IFA_LOCAL ours. */
	own = tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS];
	size = header->ifa_family == AF_INET6 ? sizeof(address.ip6) : sizeof(address.ip4);
	if (!own || (size_t)nla_len(own) != size || header->ifa_index == 0 ||
	    header->ifa_index > INT32_MAX || header->ifa_prefixlen > 8 * size)
		return -EBADMSG;
	memcpy(&address.ip6, nla_data(own), size);
	address.index = (int)header->ifa_index;
	address.family = header->ifa_family;
	address.prefix_len = header->ifa_prefixlen;
	address.scope = header->ifa_scope;
	address.flags = tb[IFA_FLAGS] ? nla_get_u32(tb[IFA_FLAGS]) : header->ifa_flags;
	address.protocol = tb[IFA_PROTO] ? nla_get_u8(tb[IFA_PROTO]) : 0;
	address.preferred_sec = address.valid_sec = FOREVER;
	if (tb[IFA_CACHEINFO]) {
		struct ifa_cacheinfo times;

		memcpy(&times, nla_data(tb[IFA_CACHEINFO]), sizeof(times));
		address.preferred_sec = times.ifa_prefered;
		address.valid_sec = times.ifa_valid;
		address.created_cs = times.cstamp;
		address.updated_cs = times.tstamp;
	}
	*ret = address;
	return 0;
}

static int keep(const struct nlmsghdr *message, void *userdata)
{
	struct address_list *addresses = userdata;
	struct address_info address, *list;

	if (message->nlmsg_type != RTM_NEWADDR || address_parse(message, &address) < 0)
		return 0;
	list = reallocarray(addresses->list, addresses->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	addresses->list = list;
	addresses->list[addresses->count++] = address;
	return 0;
}

static void forget(void *userdata)
{
	((struct address_list *)userdata)->count = 0;
}

int address_list_read(struct rtnl *nl, int family, struct address_list *ret, struct fault *reterr)
{
	_cleanup_address_list_ struct address_list addresses = {0};
	const struct rtnl_reader reader = {keep, forget, &addresses};
	const struct ifaddrmsg header = {.ifa_family = (unsigned char)family};
	int r;

	r = rtnl_dump(nl, rtnl_message(RTM_GETADDR, 0, &header, sizeof(header)), &reader, reterr,
		      "read addresses");
	if (r < 0)
		return r;
	*ret = addresses;
	addresses = (struct address_list){0};
	return 0;
}

void address_list_done(struct address_list *addresses)
{
	free(addresses->list);
	*addresses = (struct address_list){0};
}

const char *address_format(const struct address_info *address, char buffer[static ADDRESS_TEXT_MAX])
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(address->family, &address->ip6, text, sizeof(text));
	snprintf(buffer, ADDRESS_TEXT_MAX, "%s/%u", text, address->prefix_len);
	return buffer;
}

/* ---- messages ---------------------------------------------------------------------------- */

static size_t address_size(int family)
{
	return family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
}

static int fill(struct rtnl_addr *addr, const struct address_info *address)
{
	_cleanup_(cleanup_addr) struct nl_addr *local =
		nl_addr_build(address->family, &address->ip6, address_size(address->family));

	if (!local)
		return -ENOMEM;
	nl_addr_set_prefixlen(local, address->prefix_len);
	rtnl_addr_set_ifindex(addr, address->index);
	return rtnl_addr_set_local(addr, local) < 0 ? -ENOMEM : 0;
}

/* ip address {add|replace} CE/128 dev WAN nodad noprefixroute preferred_lft 0 proto 77
 * ip address add IPV4/32 dev TUNNEL proto 77 */
static struct nl_msg *add_message(const struct address_info *address, int flags)
{
	_cleanup_(cleanup_rtnl_addr) struct rtnl_addr *addr = rtnl_addr_alloc();
	_cleanup_nlmsg_ struct nl_msg *msg = NULL;

	if (!addr || fill(addr, address) < 0)
		return NULL;
	rtnl_addr_set_scope(addr, RT_SCOPE_UNIVERSE);
	if (address->family == AF_INET6) {
		rtnl_addr_set_flags(addr, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
		rtnl_addr_set_preferred_lifetime(addr, 0);
		rtnl_addr_set_valid_lifetime(addr, FOREVER);
	}
	if (rtnl_addr_build_add_request(addr, NLM_F_CREATE | flags, &msg) < 0 ||
	    nla_put_u8(msg, IFA_PROTO, PLAN_PROTOCOL) < 0)
		return NULL;
	return TAKE_PTR(msg);
}

static struct nl_msg *delete_message(const struct address_info *address)
{
	_cleanup_(cleanup_rtnl_addr) struct rtnl_addr *addr = rtnl_addr_alloc();
	struct nl_msg *msg = NULL;

	if (!addr || fill(addr, address) < 0 || rtnl_addr_build_delete_request(addr, 0, &msg) < 0)
		return NULL;
	return msg;
}

/* ---- comparing --------------------------------------------------------------------------- */

static struct address_info wanted_info(const struct plan_address *want, int index)
{
	struct address_info info = {.index = index, .family = want->family};

	memcpy(&info.ip6, &want->ip6, address_size(want->family));
	info.prefix_len = (uint8_t)(8 * address_size(want->family));
	return info;
}

static bool same_address(const struct address_info *a, const struct address_info *b)
{
	return a->index == b->index && a->family == b->family &&
	       memcmp(&a->ip6, &b->ip6, address_size(a->family)) == 0;
}

static bool listed(const struct address_info *address, const struct link_list *links,
		   const struct plan_address *list, size_t count)
{
	const struct link_info *link = link_list_find(links, address->index);

	for (size_t i = 0; link && i < count; i++) {
		struct address_info one = wanted_info(&list[i], address->index);

		if (strcmp(list[i].interface, link->name) == 0 && same_address(address, &one) &&
		    address->prefix_len == one.prefix_len)
			return true;
	}
	return false;
}

/* ---- what we put there ------------------------------------------------------------------- */

static bool same_entry(const struct address_info *a, const struct address_info *b)
{
	return same_address(a, b) && a->prefix_len == b->prefix_len;
}

static bool remembers(const struct address_ours *ours, const struct address_info *address)
{
	for (size_t i = 0; i < ours->count; i++)
		if (same_entry(&ours->list[i], address))
			return true;
	return false;
}

static void remember(struct address_ours *ours, const struct address_info *address)
{
	if (!remembers(ours, address) && ours->count < ADDRESS_OURS_MAX)
		ours->list[ours->count++] = *address;
}

static void forget_one(struct address_ours *ours, const struct address_info *address)
{
	for (size_t i = ours->count; i-- > 0;)
		if (same_entry(&ours->list[i], address))
			ours->list[i] = ours->list[--ours->count];
}

static bool is_listed(const struct address_list *list, const struct address_info *address)
{
	for (size_t i = 0; i < list->count; i++)
		if (same_entry(&list->list[i], address))
			return true;
	return false;
}

/* What is not there any more comes back as somebody else's. Kernels that keep IFA_PROTO put it on
 * addresses of their own (::1, link-local), too. */
static void compare_with_kernel(struct address_ours *ours, const struct address_list *have)
{
	for (size_t i = ours->count; i-- > 0;)
		if (!is_listed(have, &ours->list[i]))
			ours->list[i] = ours->list[--ours->count];
	for (size_t i = 0; i < have->count; i++)
		ours->marked |= have->list[i].protocol != 0;
}

bool address_is_ours(const struct address_ours *ours, const struct address_info *address)
{
	return address->protocol == PLAN_PROTOCOL || remembers(ours, address);
}

/* IFA_F_DEPRECATED follows from the preferred lifetime. */
static bool has_our_times(const struct address_info *address)
{
	const uint32_t needed = IFA_F_PERMANENT | IFA_F_NODAD | IFA_F_NOPREFIXROUTE;

	if (address->family == AF_INET)
		return (address->flags & IFA_F_PERMANENT) && !(address->flags & IFA_F_DEPRECATED);
	return (address->flags & needed) == needed && address->preferred_sec == 0 &&
	       !(address->flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED));
}

bool address_is_altered(const struct address_ours *ours, const struct address_info *address)
{
	return address_is_ours(ours, address) &&
	       (!has_our_times(address) || (ours->marked && address->protocol != PLAN_PROTOCOL));
}

/* ---- steps ------------------------------------------------------------------------------- */

static int add(struct rtnl *nl, const struct plan_address *want, const struct address_info *address,
	       int flags, struct fault *reterr)
{
	char text[ADDRESS_TEXT_MAX];
	int r = rtnl_change(nl, add_message(address, flags), reterr, "%s address %s dev %s",
			    flags == NLM_F_REPLACE ? "mend" : "add", address_format(address, text),
			    want->interface);

	return r < 0 ? r : 1;
}

static int ensure_one(struct rtnl *nl, const struct plan_address *want,
		      const struct address_list *have, struct address_ours *ours,
		      struct fault *reterr)
{
	struct address_info wanted;
	int index, r;

	r = link_index(nl, want->interface, &index, reterr);
	if (r < 0)
		return r;
	wanted = wanted_info(want, index);
	for (size_t i = 0; i < have->count; i++) {
		const struct address_info *address = &have->list[i];

		if (!same_address(address, &wanted))
			continue;
		/* The kernel holds one of each on an interface: a foreign one does its duty. */
		if (address_is_ours(ours, address))
			remember(ours, address);
		return address_is_altered(ours, address)
			       ? add(nl, want, &wanted, NLM_F_REPLACE, reterr)
			       : 0;
	}
	r = add(nl, want, &wanted, NLM_F_EXCL, reterr);
	if (r >= 0)
		remember(ours, &wanted);
	return r;
}

int address_ensure(struct rtnl *nl, const struct plan_address *want, size_t count,
		   struct address_ours *ours, struct fault *reterr)
{
	_cleanup_address_list_ struct address_list have = {0};
	int changed = 0, r;

	if (count == 0)
		return 0;
	r = address_list_read(nl, AF_UNSPEC, &have, reterr);
	if (r >= 0)
		compare_with_kernel(ours, &have);
	for (size_t i = 0; r >= 0 && i < count; i++) {
		r = ensure_one(nl, &want[i], &have, ours, reterr);
		changed += r > 0;
	}
	return r < 0 ? r : changed;
}

/* 1 when the kernel still shows it, 0 when not. */
static int still_stands(struct rtnl *nl, const struct address_info *address)
{
	_cleanup_address_list_ struct address_list have = {0};
	int r = address_list_read(nl, address->family, &have, NULL);

	for (size_t i = 0; r == 0 && i < have.count; i++)
		r = same_address(&have.list[i], address);
	return r;
}

static int remove_one(struct rtnl *nl, const struct address_info *address, struct fault *reterr)
{
	char text[ADDRESS_TEXT_MAX], name[IFNAMSIZ] = "?";
	struct fault fault = {0};
	int r;

	(void)if_indextoname((unsigned int)address->index, name);
	r = rtnl_change(nl, delete_message(address), &fault, "delete address %s dev %s",
			address_format(address, text), name);
	/* Gone by itself meanwhile, or with its interface? */
	if ((r == -EADDRNOTAVAIL || r == -ENODEV) && still_stands(nl, address) == 0)
		return 0;
	if (r < 0 && reterr)
		*reterr = fault;
	return r < 0 ? r : 1;
}

int address_stale(struct rtnl *nl, const struct plan_address *want, size_t count,
		  struct address_ours *ours, struct address_list *ret, struct fault *reterr)
{
	_cleanup_address_list_ struct address_list have = {0};
	_cleanup_link_list_ struct link_list links = {0};
	size_t kept = 0;
	int r;

	r = address_list_read(nl, AF_UNSPEC, &have, reterr);
	if (r >= 0)
		r = link_list_read(nl, "", &links, reterr);
	if (r < 0)
		return r;
	compare_with_kernel(ours, &have);
	for (size_t i = 0; i < have.count; i++) {
		const struct address_info *address = &have.list[i];

		if (address_is_ours(ours, address) && !listed(address, &links, want, count))
			have.list[kept++] = *address;
	}
	have.count = kept;
	*ret = have;
	have = (struct address_list){0};
	return 0;
}

int address_remove(struct rtnl *nl, int family, const struct address_list *stale,
		   struct address_ours *ours, struct fault *reterr)
{
	int changed = 0, r = 0;

	for (size_t i = 0; r >= 0 && i < stale->count; i++) {
		if (stale->list[i].family != family)
			continue;
		r = remove_one(nl, &stale->list[i], reterr);
		if (r >= 0)
			forget_one(ours, &stale->list[i]);
		changed += r > 0;
	}
	return r < 0 ? r : changed;
}

int address_sync(struct rtnl *nl, const struct plan_address *want, size_t count,
		 struct address_ours *ours, struct fault *reterr)
{
	_cleanup_address_list_ struct address_list stale = {0};
	int added, ip4, ip6, r;

	added = address_ensure(nl, want, count, ours, reterr);
	if (added < 0)
		return added;
	r = address_stale(nl, want, count, ours, &stale, reterr);
	if (r < 0)
		return r;
	ip6 = address_remove(nl, AF_INET6, &stale, ours, reterr);
	if (ip6 < 0)
		return ip6;
	ip4 = address_remove(nl, AF_INET, &stale, ours, reterr);
	return ip4 < 0 ? ip4 : added + ip6 + ip4;
}
