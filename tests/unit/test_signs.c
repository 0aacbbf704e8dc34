/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include "lib/kernel/rtnl.h"
#include "lib/kernel/watch.h"

#define SECOND ((uint64_t)1000000)

static int feed(struct watch *watch, struct nl_msg *msg, uint64_t now_usec)
{
	struct nlmsghdr *header = nlmsg_hdr(msg);
	int mask = watch_feed(watch, header, header->nlmsg_len, now_usec);

	nlmsg_free(msg);
	return mask;
}

static struct nl_msg *announcement(const char *prefix, uint32_t preferred_sec, uint32_t valid_sec)
{
	const struct prefixmsg header = {.prefix_family = AF_INET6,
					 .prefix_ifindex = 3,
					 .prefix_type = 3,
					 .prefix_len = 64,
					 .prefix_flags = 0xc0};
	const struct prefix_cacheinfo times = {preferred_sec, valid_sec};
	struct in6_addr address;
	struct nl_msg *msg;

	assert_int_equal(inet_pton(AF_INET6, prefix, &address), 1);
	msg = rtnl_message(RTM_NEWPREFIX, 0, &header, sizeof(header));
	nla_put(msg, PREFIX_ADDRESS, sizeof(address), &address);
	nla_put(msg, PREFIX_CACHEINFO, sizeof(times), &times);
	return msg;
}

static struct nl_msg *delegation(unsigned int subnet, int type, int flags)
{
	const struct rtmsg header = {.rtm_family = AF_INET6,
				     .rtm_dst_len = 56,
				     .rtm_table = RT_TABLE_MAIN,
				     .rtm_protocol = RTPROT_DHCP,
				     .rtm_type = RTN_UNREACHABLE};
	struct in6_addr dst = {{{0x20, 0x01, 0x0d, 0xb8, (uint8_t)(subnet >> 8), (uint8_t)subnet}}};
	struct nl_msg *msg = rtnl_message(type, flags, &header, sizeof(header));

	nla_put(msg, RTA_DST, sizeof(dst), &dst);
	return msg;
}

static struct nl_msg *address(unsigned int subnet, uint32_t flags, int type)
{
	const struct ifaddrmsg header = {
		.ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = 3};
	struct in6_addr own = {
		{{0x20, 0x01, 0x0d, 0xb8, (uint8_t)(subnet >> 8), (uint8_t)subnet, [15] = 1}}};
	struct nl_msg *msg = rtnl_message(type, 0, &header, sizeof(header));

	nla_put(msg, IFA_ADDRESS, sizeof(own), &own);
	nla_put_u32(msg, IFA_FLAGS, flags);
	return msg;
}

static void test_a_refresh_keeps_its_appearance(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = watch_new();
	const struct signs *signs;

	assert_int_equal(feed(watch, announcement("2001:db8:1::", 100, 200), 10 * SECOND),
			 WATCH_PREFIX);
	feed(watch, announcement("2001:db8:1::", 100, 200), 60 * SECOND);
	signs = watch_signs(watch, 60 * SECOND);
	assert_int_equal(signs->announcement_count, 1);
	assert_true(signs->announcements[0].appeared_usec == 10 * SECOND);
	assert_true(signs->announcements[0].refreshed_usec == 60 * SECOND);
	assert_true(signs->announcements[0].preferred_until_usec == 160 * SECOND);
	assert_true(signs->announcements[0].valid_until_usec == 260 * SECOND);
	/* Preferred again after the preferred lifetime had ended: it appeared anew. */
	feed(watch, announcement("2001:db8:1::", UINT32_MAX, UINT32_MAX), 170 * SECOND);
	signs = watch_signs(watch, 170 * SECOND);
	assert_true(signs->announcements[0].appeared_usec == 170 * SECOND);
	assert_true(signs->announcements[0].valid_until_usec == UINT64_MAX);
}

static void test_what_ends_and_what_is_withdrawn(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = watch_new();

	feed(watch, announcement("2001:db8:1::", 100, 200), SECOND);
	feed(watch, announcement("2001:db8:2::", 100, 300), SECOND);
	assert_int_equal(watch_signs(watch, 201 * SECOND - 1)->announcement_count, 2);
	assert_int_equal(watch_signs(watch, 201 * SECOND)->announcement_count, 1);
	assert_int_equal(feed(watch, announcement("2001:db8:2::", 0, 0), 202 * SECOND),
			 WATCH_PREFIX);
	assert_int_equal(watch_signs(watch, 202 * SECOND)->announcement_count, 0);
	/* Withdrawing what was never said, or saying what is no global prefix, is no news. */
	assert_int_equal(feed(watch, announcement("2001:db8:3::", 0, 0), SECOND), 0);
	assert_int_equal(feed(watch, announcement("fe80::", 100, 200), SECOND), 0);
	assert_int_equal(feed(watch, announcement("fd00:1::", 100, 200), SECOND), 0);
	assert_int_equal(watch_signs(watch, SECOND)->announcement_count, 0);
}

static void test_full_tables_lose_the_oldest(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = watch_new();
	const struct signs *signs;
	struct prefix6 first, last;

	for (unsigned int i = 1; i <= 1000; i++) {
		char prefix[INET6_ADDRSTRLEN];

		snprintf(prefix, sizeof(prefix), "2001:db8:%x::", i);
		feed(watch, announcement(prefix, 10000, 10000), i * SECOND);
		feed(watch, delegation(i, RTM_NEWROUTE, 0), i * SECOND);
		feed(watch, address(i, IFA_F_DEPRECATED, RTM_NEWADDR), i * SECOND);
	}
	signs = watch_signs(watch, 1000 * SECOND);
	assert_int_equal(signs->announcement_count, SIGNS_ANNOUNCEMENT_MAX);
	assert_int_equal(signs->route_count, SIGNS_ROUTE_MAX);
	assert_int_equal(signs->address_count, SIGNS_ADDRESS_MAX);
	for (size_t i = 0; i < signs->announcement_count; i++)
		assert_true(signs->announcements[i].appeared_usec >
			    (1000 - SIGNS_ANNOUNCEMENT_MAX) * SECOND);
	assert_int_equal(prefix6_parse("2001:db8:1::/56", &first), 0);
	assert_int_equal(prefix6_parse("2001:db8:3e8::/56", &last), 0);
	assert_true(signs_route_appeared(signs, &first) == 0);
	assert_true(signs_route_appeared(signs, &last) == 1000 * SECOND);
}

static void test_renewed_routes_did_not_appear(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = watch_new();
	struct prefix6 prefix;

	assert_int_equal(prefix6_parse("2001:db8:1::/56", &prefix), 0);
	assert_int_equal(feed(watch, delegation(1, RTM_NEWROUTE, NLM_F_REPLACE), SECOND),
			 WATCH_ROUTE);
	assert_true(signs_route_appeared(watch_signs(watch, SECOND), &prefix) == 0);
	feed(watch, delegation(1, RTM_NEWROUTE, 0), 2 * SECOND);
	feed(watch, delegation(1, RTM_NEWROUTE, 0), 3 * SECOND);
	assert_true(signs_route_appeared(watch_signs(watch, SECOND), &prefix) == 2 * SECOND);
	feed(watch, delegation(1, RTM_DELROUTE, 0), 4 * SECOND);
	assert_true(signs_route_appeared(watch_signs(watch, SECOND), &prefix) == 0);
}

static void test_addresses_come_back_to_life(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = watch_new();
	const struct in6_addr own = {{{0x20, 0x01, 0x0d, 0xb8, 0, 1, [15] = 1}}};
	const struct signs *signs = watch_signs(watch, SECOND);

	feed(watch, address(1, 0, RTM_NEWADDR), SECOND);
	assert_int_equal(signs->address_count, 0); /* never deprecated: nothing to remember */
	feed(watch, address(1, IFA_F_DEPRECATED, RTM_NEWADDR), 2 * SECOND);
	assert_true(signs_address_revived(signs, 3, &own) == 0);
	feed(watch, address(1, 0, RTM_NEWADDR), 3 * SECOND);
	feed(watch, address(1, 0, RTM_NEWADDR), 4 * SECOND);
	assert_true(signs_address_revived(signs, 3, &own) == 3 * SECOND);
	assert_true(signs_address_revived(signs, 4, &own) == 0); /* another interface's */
	feed(watch, address(1, 0, RTM_DELADDR), 5 * SECOND);
	assert_true(signs_address_revived(signs, 3, &own) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_refresh_keeps_its_appearance),
		cmocka_unit_test(test_what_ends_and_what_is_withdrawn),
		cmocka_unit_test(test_full_tables_lose_the_oldest),
		cmocka_unit_test(test_renewed_routes_did_not_appear),
		cmocka_unit_test(test_addresses_come_back_to_life),
	};

	return cmocka_run_group_tests_name("signs", tests, NULL, NULL);
}
