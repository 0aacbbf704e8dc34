/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/netns/netns.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/kernel/policy.h"

#define ALL "ip -4 rule show | sed 's/ *$//'"

static const struct plan_rule two[] = {
	{.priority = 999, .mark = 1000, .mask = 0xffff, .table = 254, .suppress_default = true},
	{.priority = 1000, .mark = 1000, .mask = 0xffff, .table = 10},
};

static void make_neighbours(void)
{
	sh("ip rule add priority 1000 fwmark 2000 lookup 20");
	sh("ip rule add priority 1001 from 10.0.0.0/8 lookup 20 protocol 77");
	sh("ip rule add priority 50 iif lo lookup main suppress_prefixlength 8");
	sh("ip -6 rule add priority 1000 fwmark 1000 lookup 10 protocol 77");
}

static void test_absent_present_same_changed_absent(void **state)
{
	const struct plan_rule changed = {
		.priority = 998, .mark = 0x100, .mask = 0xff00, .table = 11};
	struct rtnl *nl = *state;
	struct fault fault = {0};
	char before[4096];
	uint64_t sent;

	make_neighbours();
	snprintf(before, sizeof(before), "%s", shell_output(ALL "; ip -6 rule"));
	assert_int_equal(policy_sync(nl, two, 2, &fault), 2);
	assert_output("999:\tfrom all fwmark 0x3e8/0xffff lookup main suppress_prefixlength 0 "
		      "proto 77\n"
		      "1000:\tfrom all fwmark 0x3e8/0xffff lookup 10 proto 77",
		      ALL " | grep 0x3e8");

	sent = rtnl_changes(nl);
	assert_int_equal(policy_sync(nl, two, 2, &fault), 0);
	assert_int_equal(rtnl_changes(nl), sent);

	assert_int_equal(policy_sync(nl, &changed, 1, &fault), 3);
	assert_output("998:\tfrom all fwmark 0x100/0xff00 lookup 11 proto 77",
		      ALL " | grep -v from.10 | grep 'proto 77'");
	assert_int_equal(policy_sync(nl, NULL, 0, &fault), 1);
	assert_string_equal(shell_output(ALL "; ip -6 rule"), before);
}

static void test_by_source(void **state)
{
	struct plan_rule from = {.priority = 1000, .table = 10};
	struct rtnl *nl = *state;
	struct fault fault = {0};
	char before[4096];

	inet_pton(AF_INET, "198.51.100.9", &from.source);
	make_neighbours();
	sh("ip rule add priority 1000 from 198.51.100.0/24 lookup 10 protocol 77");
	sh("ip rule add priority 1000 from 198.51.100.9 fwmark 7 lookup 10");
	snprintf(before, sizeof(before), "%s", shell_output(ALL "; ip -6 rule"));
	assert_int_equal(policy_sync(nl, &from, 1, &fault), 1);
	assert_output("1000:\tfrom 198.51.100.9 lookup 10 proto 77", ALL " | grep '[.]9 lookup'");
	assert_int_equal(policy_sync(nl, &from, 1, &fault), 0);
	inet_pton(AF_INET, "198.51.100.10", &from.source);
	assert_int_equal(policy_sync(nl, &from, 1, &fault), 2);
	assert_output("1000:\tfrom 198.51.100.10 lookup 10 proto 77", ALL " | grep '[.]10 lookup'");
	assert_int_equal(policy_sync(nl, NULL, 0, &fault), 1);
	assert_string_equal(shell_output(ALL "; ip -6 rule"), before);
}

static void test_a_foreign_one_counts_and_stays(void **state)
{
	struct rtnl *nl = *state;
	struct fault fault = {0};

	sh("ip rule add priority 1000 fwmark 1000/0xffff lookup 10");
	assert_int_equal(policy_sync(nl, &two[1], 1, &fault), 0);
	assert_int_equal(policy_sync(nl, NULL, 0, &fault), 0);
	assert_output("1000:\tfrom all fwmark 0x3e8/0xffff lookup 10", ALL " | grep 0x3e8");
}

static void test_only_one_of_ours_stays(void **state)
{
	struct rtnl *nl = *state;
	struct fault fault = {0};

	sh("ip rule add priority 1000 fwmark 1000/0xffff lookup 10 protocol 77");
	sh("ip rule add priority 1002 fwmark 1000/0xffff lookup 10 protocol 77");
	assert_int_equal(policy_sync(nl, two, 2, &fault), 2);
	assert_output("2", ALL " | grep -c 0x3e8");
}

static void test_removal_spares_the_foreign_twin(void **state)
{
	struct rtnl *nl = *state;
	struct fault fault = {0};

	assert_int_equal(policy_sync(nl, &two[1], 1, &fault), 1);
	if (system("ip rule add priority 1000 fwmark 1000/0xffff lookup 10 2>/dev/null") != 0)
		return; /* the kernel takes no twin: nothing to spare */
	assert_int_equal(policy_sync(nl, NULL, 0, &fault), 1);
	assert_output("1000:\tfrom all fwmark 0x3e8/0xffff lookup 10", ALL " | grep 0x3e8");
}

static void test_flushed_rules_come_back(void **state)
{
	struct rtnl *nl = *state;
	struct fault fault = {0};

	assert_int_equal(policy_sync(nl, two, 2, &fault), 2);
	sh("ip rule flush");
	assert_int_equal(policy_sync(nl, two, 2, &fault), 2);
	assert_output("2", ALL " | grep -c 0x3e8");
}

static void test_every_request_may_fail(void **state)
{
	struct fail_nth fail = {.code = -ENOSPC};
	struct rtnl *nl = *state;
	unsigned int n = 0;

	do {
		struct fault fault = {0};
		int r;

		assert_true(policy_sync(nl, &two[0], 1, NULL) >= 0);
		fail.n = ++n;
		fail_nth(nl, &fail);
		r = policy_sync(nl, &two[1], 1, &fault);
		rtnl_set_send_hook(nl, NULL, NULL);
		assert_int_equal(r, fail.seen < n ? 2 : -ENOSPC);
		assert_done(policy_sync(nl, &two[1], 1, &fault), fault);
		assert_output("1000:\tfrom all fwmark 0x3e8/0xffff lookup 10 proto 77",
			      ALL " | grep 0x3e8");
	} while (fail.seen >= n && n < 100);
	assert_in_range(n, 4, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		netns_test(test_absent_present_same_changed_absent),
		netns_test(test_by_source),
		netns_test(test_a_foreign_one_counts_and_stays),
		netns_test(test_only_one_of_ours_stays),
		netns_test(test_removal_spares_the_foreign_twin),
		netns_test(test_flushed_rules_come_back),
		netns_test(test_every_request_may_fail),
	};

	netns_need();
	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
