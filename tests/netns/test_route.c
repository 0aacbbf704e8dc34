/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/netns/netns.h"

#include <stdio.h>

#include "lib/kernel/route.h"

static struct plan_route route(uint32_t table, uint32_t metric, const char *interface)
{
	struct plan_route want = {.table = table, .metric = metric};

	snprintf(want.interface, sizeof(want.interface), "%s", interface);
	return want;
}

static void make_links(void)
{
	sh("ip link add map0 type veth peer name far && ip link add ppp0 type veth peer name "
	   "acfar");
	sh("ip link set map0 up && ip link set far up && ip link set ppp0 up && ip link set acfar "
	   "up");
	sh("ip address add 192.0.2.18/32 dev map0 && ip address add 10.0.0.1/24 dev ppp0");
	/* Neighbours: another metric, another table, our number but no default. */
	sh("ip route add default via 10.0.0.2 metric 5000");
	sh("ip route add default dev ppp0 table 20 proto static");
	sh("ip route add 198.51.100.0/24 dev map0 proto 77");
}

#define ALL "ip -4 route show table all | grep -v 'table local' | sed 's/ *$//' | sort"

static void test_absent_present_same_changed_absent(void **state)
{
	const struct plan_route first[] = {
		route(254, 1024, "map0"),
		route(10, 0, "ppp0"),
		route(10, PLAN_FLOOR_METRIC, ""),
	};
	const struct plan_route second[] = {
		route(254, 1024, "ppp0"),
		route(11, 0, "map0"),
		route(10, PLAN_FLOOR_METRIC, ""),
	};
	struct rtnl *nl = *state;
	struct fault fault = {0};
	char before[4096];
	uint64_t sent;

	make_links();
	snprintf(before, sizeof(before), "%s", shell_output(ALL));
	assert_done(route_sync(nl, first, 3, &fault), fault);
	assert_output("default dev map0 proto 77 scope link metric 1024",
		      "ip -4 route show | grep 'metric 1024'");
	assert_output("default dev ppp0 proto 77 scope link\n"
		      "unreachable default proto 77 metric 4294967295",
		      "ip -4 route show table 10");

	sent = rtnl_changes(nl);
	assert_int_equal(route_sync(nl, first, 3, &fault), 0);
	assert_int_equal(rtnl_changes(nl), sent);

	assert_int_equal(route_sync(nl, second, 3, &fault), 4);
	assert_output("default dev ppp0 proto 77 scope link metric 1024",
		      "ip -4 route show | grep 'metric 1024'");
	assert_output("unreachable default proto 77 metric 4294967295",
		      "ip -4 route show table 10");
	assert_output("default dev map0 proto 77 scope link", "ip -4 route show table 11");

	assert_int_equal(route_sync(nl, NULL, 0, &fault), 3);
	assert_string_equal(shell_output(ALL), before);
}

static void test_stands_behind_a_foreign_one(void **state)
{
	const struct plan_route want = route(254, 1024, "map0");
	struct rtnl *nl = *state;
	struct fault fault = {0};

	make_links();
	sh("ip route add default via 10.0.0.2 proto static metric 1024");
	assert_int_equal(route_sync(nl, &want, 1, &fault), 1);
	assert_int_equal(route_sync(nl, &want, 1, &fault), 0);
	assert_output("default via 10.0.0.2 dev ppp0 proto static metric 1024\n"
		      "default dev map0 proto 77 scope link metric 1024",
		      "ip -4 route show | grep 'metric 1024'");
	assert_int_equal(route_sync(nl, NULL, 0, &fault), 1);
	assert_output("default via 10.0.0.2 dev ppp0 proto static metric 1024",
		      "ip -4 route show | grep 'metric 1024'");
}

static void test_only_one_of_ours_stays(void **state)
{
	const struct plan_route want = route(254, 1024, "map0");
	struct rtnl *nl = *state;
	struct fault fault = {0};

	make_links();
	sh("ip route add default dev ppp0 proto 77 metric 1024");
	sh("ip route append default dev map0 proto 77 metric 1024");
	sh("ip route append default via 10.0.0.2 proto 77 metric 1024");
	sh("ip route add default dev map0 proto 77 metric 9 table 30");
	assert_int_equal(route_sync(nl, &want, 1, &fault), 3);
	assert_output("default dev map0 proto 77 scope link metric 1024",
		      "ip -4 route show | grep 'proto 77' | grep default");
}

static void test_comes_back_after_the_link(void **state)
{
	const struct plan_route want = route(10, 0, "ppp0");
	struct rtnl *nl = *state;
	struct fault fault = {0};

	make_links();
	assert_int_equal(route_sync(nl, &want, 1, &fault), 1);
	sh("ip link del ppp0 && ip link add ppp0 type veth peer name acfar");
	sh("ip link set ppp0 up && ip link set acfar up");
	assert_int_equal(route_sync(nl, &want, 1, &fault), 1);
	assert_output("default dev ppp0 proto 77 scope link", "ip -4 route show table 10");
	sh("ip link del ppp0");
	assert_int_equal(route_sync(nl, &want, 1, &fault), -ENODEV);
	assert_string_equal(fault.text, "interface ppp0 does not exist");
}

static void test_kernel_words(void **state)
{
	const struct plan_route want = route(254, 1024, "map0");
	struct fault fault = {0};

	make_links();
	sh("ip link set map0 down");
	assert_int_equal(route_sync(*state, &want, 1, &fault), -ENETDOWN);
	assert_non_null(strstr(fault.text, "add route default dev map0 table 254 metric 1024: "));
	assert_non_null(strstr(fault.text, "Network is down"));
	/* The extended ack stands before strerror's words. */
	assert_non_null(strstr(fault.text, "("));
}

static void test_every_request_may_fail(void **state)
{
	const struct plan_route first[] = {route(254, 1024, "map0"), route(10, 0, "ppp0")};
	const struct plan_route second[] = {route(254, 1024, "ppp0"), route(10, 7, "map0")};
	struct fail_nth fail = {.code = -EBUSY};
	struct rtnl *nl = *state;
	unsigned int n = 0;

	make_links();
	do {
		struct fault fault = {0};
		int r;

		assert_true(route_sync(nl, first, 2, NULL) >= 0);
		fail.n = ++n;
		fail_nth(nl, &fail);
		r = route_sync(nl, second, 2, &fault);
		rtnl_set_send_hook(nl, NULL, NULL);
		assert_int_equal(r, fail.seen < n ? 4 : -EBUSY);
		assert_done(route_sync(nl, second, 2, &fault), fault);
		assert_output("default dev ppp0 proto 77 scope link metric 1024",
			      "ip -4 route show | grep 'proto 77' | grep default");
		assert_output("default dev map0 proto 77 scope link metric 7",
			      "ip -4 route show table 10");
	} while (fail.seen >= n && n < 100);
	assert_in_range(n, 5, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		netns_test(test_absent_present_same_changed_absent),
		netns_test(test_stands_behind_a_foreign_one),
		netns_test(test_only_one_of_ours_stays),
		netns_test(test_comes_back_after_the_link),
		netns_test(test_kernel_words),
		netns_test(test_every_request_may_fail),
	};

	netns_need();
	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
