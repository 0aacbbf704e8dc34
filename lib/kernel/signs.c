/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/signs.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>

#include "lib/base/macro.h"

#define OPTION_PREFIX 3 /* prefix_type: ND option 3, prefix information (RFC 4861 4.6.2) */
/* prefix_flags: the option's L and A bits, as the kernel passes them on (net/if_inet6.h). */
#define FLAG_ON_LINK    0x80
#define FLAG_AUTONOMOUS 0x40

#define FOREVER UINT32_MAX

/* ---- announcements ----------------------------------------------------------------------- */

static uint64_t until(uint64_t now_usec, uint32_t seconds)
{
	return seconds == FOREVER ? UINT64_MAX : now_usec + (uint64_t)seconds * 1000000;
}

struct pio {
	int index;
	struct prefix6 prefix;
	bool on_link, autonomous;
	uint32_t preferred_sec, valid_sec;
};

static int parse_pio(const struct nlmsghdr *message, struct pio *ret)
{
	static const struct nla_policy policy[PREFIX_MAX + 1] = {
		[PREFIX_ADDRESS] = {.minlen = sizeof(struct in6_addr)},
		[PREFIX_CACHEINFO] = {.minlen = sizeof(struct prefix_cacheinfo)},
	};
	const struct prefixmsg *header = nlmsg_data(message);
	struct nlattr *tb[PREFIX_MAX + 1];
	struct prefix_cacheinfo times;
	struct in6_addr address;

	if (nlmsg_parse((struct nlmsghdr *)message, sizeof(*header), tb, PREFIX_MAX, policy) < 0 ||
	    header->prefix_family != AF_INET6 || header->prefix_type != OPTION_PREFIX ||
	    header->prefix_len > 64 || header->prefix_ifindex <= 0 || !tb[PREFIX_ADDRESS] ||
	    !tb[PREFIX_CACHEINFO])
		return -EBADMSG;
	memcpy(&address, nla_data(tb[PREFIX_ADDRESS]), sizeof(address));
	memcpy(&times, nla_data(tb[PREFIX_CACHEINFO]), sizeof(times));
	*ret = (struct pio){
		.index = header->prefix_ifindex,
		.prefix = prefix6_make(&address, header->prefix_len),
		.on_link = header->prefix_flags & FLAG_ON_LINK,
		.autonomous = header->prefix_flags & FLAG_AUTONOMOUS,
		.preferred_sec = times.preferred_time,
		.valid_sec = times.valid_time,
	};
	return 0;
}

static void drop_announcement(struct signs *signs, size_t i)
{
	signs->announcements[i] = signs->announcements[--signs->announcement_count];
}

static struct announcement *find_announcement(struct signs *signs, int index,
					      const struct prefix6 *prefix)
{
	for (size_t i = 0; i < signs->announcement_count; i++)
		if (signs->announcements[i].index == index &&
		    prefix6_equal(&signs->announcements[i].prefix, prefix))
			return &signs->announcements[i];
	return NULL;
}

static struct announcement *new_announcement(struct signs *signs)
{
	struct announcement *oldest = &signs->announcements[0];

	if (signs->announcement_count < SIGNS_ANNOUNCEMENT_MAX)
		return &signs->announcements[signs->announcement_count++];
	for (size_t i = 1; i < signs->announcement_count; i++)
		if (signs->announcements[i].refreshed_usec < oldest->refreshed_usec)
			oldest = &signs->announcements[i];
	return oldest;
}

bool signs_take_prefix(struct signs *signs, const struct nlmsghdr *message, uint64_t now_usec)
{
	struct announcement *known;
	uint64_t appeared_usec;
	struct pio pio;
	bool revived;

	if (parse_pio(message, &pio) < 0 || !in6_is_global(&pio.prefix.addr))
		return false;
	signs_expire(signs, now_usec);
	known = find_announcement(signs, pio.index, &pio.prefix);
	if (pio.valid_sec == 0) {
		if (known)
			drop_announcement(signs, (size_t)(known - signs->announcements));
		return known != NULL;
	}
	/* Deprecated and preferred again is as good as new; deprecated once more is not. */
	revived = known && known->preferred_until_usec <= now_usec && pio.preferred_sec > 0;
	appeared_usec = known && !revived ? known->appeared_usec : now_usec;
	if (!known)
		known = new_announcement(signs);
	*known = (struct announcement){
		.index = pio.index,
		.prefix = pio.prefix,
		.on_link = pio.on_link,
		.autonomous = pio.autonomous,
		.appeared_usec = appeared_usec,
		.refreshed_usec = now_usec,
		.preferred_until_usec = until(now_usec, pio.preferred_sec),
		.valid_until_usec = until(now_usec, pio.valid_sec),
	};
	return true;
}

void signs_recall(struct signs *signs, const struct announcement *one)
{
	if (!find_announcement(signs, one->index, &one->prefix) &&
	    signs->announcement_count < SIGNS_ANNOUNCEMENT_MAX)
		signs->announcements[signs->announcement_count++] = *one;
}

void signs_expire(struct signs *signs, uint64_t now_usec)
{
	for (size_t i = signs->announcement_count; i-- > 0;)
		if (signs->announcements[i].valid_until_usec <= now_usec)
			drop_announcement(signs, i);
}

void signs_take_link(struct signs *signs, const struct link_info *link, bool gone)
{
	if (!gone && link->up && link->carrier)
		return;
	for (size_t i = signs->announcement_count; i-- > 0;)
		if (signs->announcements[i].index == link->index)
			drop_announcement(signs, i);
}

void signs_compare_links(struct signs *signs, const struct link_list *links)
{
	for (size_t i = signs->announcement_count; i-- > 0;) {
		const struct link_info *link = link_list_find(links, signs->announcements[i].index);

		if (!link || !link->up || !link->carrier)
			drop_announcement(signs, i);
	}
}

/* ---- delegated prefixes ------------------------------------------------------------------ */

bool signs_is_delegation(const struct route_info *route)
{
	return route->family == AF_INET6 && route->type == RTN_UNREACHABLE &&
	       route->table == RT_TABLE_MAIN && route->dst_len >= SIGNS_DELEGATED_MIN &&
	       route->dst_len <= SIGNS_DELEGATED_MAX && in6_is_global(&route->dst);
}

static size_t find_route(const struct signs *signs, const struct prefix6 *prefix)
{
	size_t i = 0;

	while (i < signs->route_count && !prefix6_equal(&signs->routes[i].prefix, prefix))
		i++;
	return i;
}

void signs_take_route(struct signs *signs, const struct route_info *route, bool gone, bool replaced,
		      uint64_t now_usec)
{
	struct prefix6 prefix = prefix6_make(&route->dst, route->dst_len);
	size_t i = find_route(signs, &prefix);

	if (gone) {
		if (i < signs->route_count)
			signs->routes[i] = signs->routes[--signs->route_count];
		return;
	}
	/* A renewal replaces the route: it did not appear now. */
	if (i < signs->route_count || replaced)
		return;
	if (signs->route_count == SIGNS_ROUTE_MAX) {
		i = 0;
		for (size_t n = 1; n < SIGNS_ROUTE_MAX; n++)
			if (signs->routes[n].appeared_usec < signs->routes[i].appeared_usec)
				i = n;
	} else {
		signs->route_count++;
	}
	signs->routes[i] = (struct route_sign){.prefix = prefix, .appeared_usec = now_usec};
}

uint64_t signs_route_appeared(const struct signs *signs, const struct prefix6 *prefix)
{
	size_t i = find_route(signs, prefix);

	return i < signs->route_count ? signs->routes[i].appeared_usec : 0;
}

/* ---- addresses that came back to life ----------------------------------------------------- */

static size_t find_address(const struct signs *signs, int index, const struct in6_addr *address)
{
	size_t i = 0;

	while (i < signs->address_count &&
	       (signs->addresses[i].index != index ||
		memcmp(&signs->addresses[i].address, address, sizeof(*address)) != 0))
		i++;
	return i;
}

static size_t oldest_address(const struct signs *signs)
{
	size_t oldest = 0;

	for (size_t i = 1; i < signs->address_count; i++)
		if (signs->addresses[i].changed_usec < signs->addresses[oldest].changed_usec)
			oldest = i;
	return oldest;
}

void signs_take_address(struct signs *signs, const struct address_info *address, bool gone,
			uint64_t now_usec)
{
	bool deprecated = address->flags & IFA_F_DEPRECATED;
	size_t i;

	if (address->family != AF_INET6 || !in6_is_global(&address->ip6))
		return;
	i = find_address(signs, address->index, &address->ip6);
	if (i < signs->address_count) {
		if (gone)
			signs->addresses[i] = signs->addresses[--signs->address_count];
		else if (signs->addresses[i].deprecated != deprecated) {
			signs->addresses[i].deprecated = deprecated;
			signs->addresses[i].changed_usec = now_usec;
		}
		return;
	}
	if (gone || !deprecated) /* only what has been deprecated can come back */
		return;
	i = signs->address_count < SIGNS_ADDRESS_MAX ? signs->address_count++
						     : oldest_address(signs);
	signs->addresses[i] = (struct address_sign){
		.index = address->index,
		.address = address->ip6,
		.deprecated = true,
		.changed_usec = now_usec,
	};
}

uint64_t signs_address_revived(const struct signs *signs, int index, const struct in6_addr *address)
{
	size_t i = find_address(signs, index, address);

	if (i == signs->address_count || signs->addresses[i].deprecated)
		return 0;
	return signs->addresses[i].changed_usec;
}
