/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/netns/netns.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/kernel/sysctl.h"

static const struct plan_sysctl forward = {"net/ipv4/ip_forward", SYSCTL_SET, 1};
static const struct plan_sysctl loosen = {"net/ipv4/conf/map0/rp_filter", SYSCTL_LOOSEN, 2};

static char state_file[64];

static int setup(void **state)
{
	snprintf(state_file, sizeof(state_file), "/tmp/maped-test-sysctl.%d", getpid());
	unlink(state_file);
	return netns_setup(state);
}

static int teardown(void **state)
{
	unlink(state_file);
	return netns_teardown(state);
}

static void make_links(void)
{
	sh("ip link add map0 type veth peer name far && ip link add eth7 type veth peer name eth8");
}

/* Everything that is the namespace's own and holds still. */
#define ALL                                                                     \
	"cd /proc/sys && grep -r . net/ipv4 net/ipv6 2>/dev/null | grep -v -e " \
	"fib_multipath_hash_seed"                                               \
	" -e stable_secret -e tcp_fastopen_key | sort"

static char *copy_of_all(void)
{
	char *all = strdup(shell_output(ALL));

	assert_non_null(all);
	assert_true(strlen(all) > 5000);
	return all;
}

static void set(const char *path, int value)
{
	sh("echo %d > /proc/sys/%s", value, path);
}

#define assert_setting(path, value) assert_output(value, "cat /proc/sys/" path)

static void test_found_set_same_put_back(void **state)
{
	const struct plan_sysctl want[] = {forward, loosen};
	_cleanup_sysctl_record_ struct sysctl_record record = {0};
	_cleanup_free_ char *before = NULL, *written = NULL;
	struct fault fault = {0};

	make_links();
	/* One interface forwards by itself, redirects are off, rp_filter is strict. */
	set("net/ipv4/conf/eth7/forwarding", 1);
	set("net/ipv4/conf/all/accept_redirects", 0);
	set("net/ipv4/conf/default/forwarding", 1);
	set("net/ipv4/conf/all/rp_filter", 1);
	before = copy_of_all();

	assert_int_equal(sysctl_sync(want, 2, &record, state_file, &fault), 2);
	assert_setting("net/ipv4/ip_forward", "1");
	assert_setting("net/ipv4/conf/eth8/forwarding", "1");
	assert_setting("net/ipv4/conf/map0/rp_filter", "2");
	assert_setting("net/ipv4/conf/all/rp_filter", "1");
	written = copy_of_all();
	assert_int_equal(sysctl_sync(want, 2, &record, state_file, &fault), 0);
	assert_same_lines(shell_output(ALL), written);

	assert_true(sysctl_sync(NULL, 0, &record, state_file, &fault) >= 2);
	assert_same_lines(shell_output(ALL), before);
	assert_int_equal(record.count, 0);
	assert_int_equal(access(state_file, F_OK), -1);
	assert_int_equal(sysctl_sync(NULL, 0, &record, state_file, &fault), 0);
}

static void test_originals_survive_kill(void **state)
{
	const struct plan_sysctl want[] = {forward, loosen};
	struct sysctl_record record = {0};
	_cleanup_free_ char *before = NULL;
	struct fault fault = {0};

	make_links();
	set("net/ipv4/conf/eth7/forwarding", 1);
	set("net/ipv4/conf/all/rp_filter", 1);
	before = copy_of_all();
	assert_int_equal(sysctl_sync(want, 2, &record, state_file, &fault), 2);
	sysctl_record_done(&record); /* killed: the next process knows the file alone */

	assert_done(sysctl_record_load(state_file, &record, &fault), fault);
	assert_int_equal(sysctl_sync(want, 2, &record, state_file, &fault), 0);
	assert_done(sysctl_sync(NULL, 0, &record, state_file, &fault), fault);
	assert_same_lines(shell_output(ALL), before);
	sysctl_record_done(&record);
}

static void test_what_was_right_is_not_written(void **state)
{
	const struct plan_sysctl want[] = {forward, loosen};
	_cleanup_sysctl_record_ struct sysctl_record record = {0};
	struct fault fault = {0};

	make_links();
	set("net/ipv4/ip_forward", 1);
	set("net/ipv4/conf/map0/rp_filter", 0);
	set("net/ipv4/conf/all/rp_filter", 0);
	assert_int_equal(sysctl_sync(want, 2, &record, state_file, &fault), 0);
	assert_int_equal(record.count, 0);
	assert_setting("net/ipv4/conf/map0/rp_filter", "0");
	/* Loose already, by "all". */
	set("net/ipv4/conf/all/rp_filter", 2);
	set("net/ipv4/conf/map0/rp_filter", 1);
	assert_int_equal(sysctl_sync(want, 2, &record, state_file, &fault), 0);
	assert_setting("net/ipv4/conf/map0/rp_filter", "1");
	set("net/ipv4/conf/all/rp_filter", 0);
	assert_int_equal(sysctl_sync(want, 2, &record, state_file, &fault), 1);
	assert_setting("net/ipv4/conf/map0/rp_filter", "2");
}

static void test_others_changes_meanwhile_stay(void **state)
{
	_cleanup_sysctl_record_ struct sysctl_record record = {0};
	struct fault fault = {0};

	make_links();
	set("net/ipv4/conf/eth7/forwarding", 1);
	assert_int_equal(sysctl_sync(&forward, 1, &record, state_file, &fault), 1);
	set("net/ipv4/conf/eth7/forwarding", 0); /* the owner's decision since */
	set("net/ipv4/conf/all/accept_redirects", 1);
	assert_int_equal(sysctl_sync(NULL, 0, &record, state_file, &fault), 1);
	assert_setting("net/ipv4/conf/eth7/forwarding", "0");
	assert_setting("net/ipv4/conf/all/accept_redirects", "1");
	assert_setting("net/ipv4/ip_forward", "0");
}

static void test_set_again_after_somebody_undid_it(void **state)
{
	_cleanup_sysctl_record_ struct sysctl_record record = {0};
	struct fault fault = {0};

	make_links();
	assert_int_equal(sysctl_sync(&forward, 1, &record, state_file, &fault), 1);
	set("net/ipv4/ip_forward", 0);
	assert_int_equal(sysctl_sync(&forward, 1, &record, state_file, &fault), 1);
	assert_setting("net/ipv4/ip_forward", "1");
	assert_int_equal(sysctl_sync(NULL, 0, &record, state_file, &fault), 1);
	assert_setting("net/ipv4/ip_forward", "0");
}

static void test_vanished_interfaces_are_no_mistake(void **state)
{
	const struct plan_sysctl want[] = {forward, loosen};
	const struct plan_sysctl nowhere = {"net/ipv4/conf/nowhere/rp_filter", SYSCTL_SET, 2};
	_cleanup_sysctl_record_ struct sysctl_record record = {0};
	struct fault fault = {0};

	make_links();
	set("net/ipv4/conf/all/rp_filter", 1);
	set("net/ipv4/conf/eth7/forwarding", 1);
	assert_int_equal(sysctl_sync(want, 2, &record, state_file, &fault), 2);
	sh("ip link del map0 && ip link del eth7");
	assert_int_equal(sysctl_sync(want, 2, &record, state_file, &fault), 0);
	assert_done(sysctl_sync(NULL, 0, &record, state_file, &fault), fault);
	assert_int_equal(record.count, 0);
	assert_setting("net/ipv4/ip_forward", "0");

	assert_int_equal(sysctl_sync(&nowhere, 1, &record, state_file, &fault), -ENOENT);
	assert_string_equal(fault.text, "read kernel setting net/ipv4/conf/nowhere/rp_filter: No "
					"such file or directory");
	assert_int_equal(record.count, 0);
}

static void test_not_written_when_it_cannot_be_remembered(void **state)
{
	_cleanup_sysctl_record_ struct sysctl_record record = {0};
	struct fault fault = {0};

	assert_int_equal(sysctl_sync(&forward, 1, &record, "/proc/nowhere/maped-sysctl", &fault),
			 -ENOENT);
	assert_int_equal(record.count, 0);
	assert_setting("net/ipv4/ip_forward", "0");
}

static void test_refused_value_leaves_no_record(void **state)
{
	const struct plan_sysctl want = {"net/ipv4/conf/lo/promote_secondaries", SYSCTL_SET, 1};
	const struct plan_sysctl bad = {"net/ipv4/ip_default_ttl", SYSCTL_SET, 100000};
	_cleanup_sysctl_record_ struct sysctl_record record = {0};
	struct fault fault = {0};

	assert_done(sysctl_sync(&want, 1, &record, state_file, &fault), fault);
	assert_int_equal(sysctl_sync(&bad, 1, &record, state_file, &fault), -EINVAL);
	assert_string_equal(fault.text, "set kernel setting net/ipv4/ip_default_ttl = 100000: "
					"Invalid argument");
	assert_int_equal(record.count, 0);
}

#define sysctl_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		sysctl_test(test_found_set_same_put_back),
		sysctl_test(test_originals_survive_kill),
		sysctl_test(test_what_was_right_is_not_written),
		sysctl_test(test_others_changes_meanwhile_stay),
		sysctl_test(test_set_again_after_somebody_undid_it),
		sysctl_test(test_vanished_interfaces_are_no_mistake),
		sysctl_test(test_not_written_when_it_cannot_be_remembered),
		sysctl_test(test_refused_value_leaves_no_record),
	};

	netns_need();
	return cmocka_run_group_tests_name("sysctl", tests, NULL, NULL);
}
