/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/netns/netns.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/kernel/address.h"

static struct plan_address ip6(const char *interface, const char *text)
{
	struct plan_address address = {.family = AF_INET6};

	snprintf(address.interface, sizeof(address.interface), "%s", interface);
	assert_int_equal(inet_pton(AF_INET6, text, &address.ip6), 1);
	return address;
}

static struct plan_address ip4(const char *interface, const char *text)
{
	struct plan_address address = {.family = AF_INET};

	snprintf(address.interface, sizeof(address.interface), "%s", interface);
	assert_int_equal(inet_pton(AF_INET, text, &address.ip4), 1);
	return address;
}

static void make_links(void)
{
	sh("ip link add wan type veth peer name isp");
	sh("ip link add map0 type veth peer name far");
	sh("ip link set wan up && ip link set isp up && ip link set map0 up && ip link set far up");
	/* Neighbours that must not be touched, one of them all but ours. */
	sh("ip address add 2001:db8::1/64 dev wan nodad");
	sh("ip address add 2001:db8:1::5/128 dev wan nodad noprefixroute preferred_lft 0");
	sh("ip address add 192.0.2.99/24 dev wan");
	sh("ip address add 192.0.2.98/32 dev map0");
}

#define ALL                                                                                      \
	"ip -o address show | grep -v 'inet6 fe80' | sed 's/ *\\\\.*//; s/^[0-9]*: *//; s/  */ " \
	"/g' |"                                                                                  \
	" sort"

static void test_absent_present_same_changed_absent(void **state)
{
	const struct plan_address first[] = {ip6("wan", "2001:db8:f::12"),
					     ip4("map0", "192.0.2.18")};
	const struct plan_address second[] = {ip6("wan", "2001:db8:e::13"),
					      ip4("map0", "192.0.2.19")};
	struct rtnl *nl = *state;
	struct address_ours ours = {.count = 0};
	struct fault fault = {0};
	char before[4096];
	uint64_t sent;
	int r;

	make_links();
	snprintf(before, sizeof(before), "%s", shell_output(ALL));
	r = address_sync(nl, first, 2, &ours, &fault);
	assert_done(r, fault);
	assert_int_equal(r, 2);
	assert_output("wan inet6 2001:db8:f::12/128 scope global nodad noprefixroute deprecated "
		      "proto 0x4d",
		      ALL " | grep 'f::12' | sed 's/deprecated noprefixroute/noprefixroute "
			  "deprecated/; s/ *proto 0x4d//; s/$/ proto 0x4d/'");
	assert_output("forever 0sec", "ip -o address show dev wan | grep f::12 | "
				      "sed 's/.*valid_lft \\([a-z0-9]*\\) preferred_lft "
				      "\\([a-z0-9]*\\).*/\\1 \\2/'");
	assert_output("1", ALL " | grep -c 'map0 inet 192.0.2.18/32 scope global'");
	/* No on-link route came with it. */
	assert_empty("ip -6 route show | grep f::12");

	sent = rtnl_changes(nl);
	assert_int_equal(address_sync(nl, first, 2, &ours, &fault), 0);
	assert_int_equal(rtnl_changes(nl), sent);

	assert_int_equal(address_sync(nl, second, 2, &ours, &fault), 4);
	assert_empty(ALL " | grep -e f::12 -e 192.0.2.18");
	assert_output("2", ALL " | grep -c -e e::13 -e 192.0.2.19");

	assert_int_equal(address_sync(nl, NULL, 0, &ours, &fault), 2);
	assert_string_equal(shell_output(ALL), before);
	sent = rtnl_changes(nl);
	assert_int_equal(address_sync(nl, NULL, 0, &ours, &fault), 0);
	assert_int_equal(rtnl_changes(nl), sent);
}

static void test_usable_at_once(void **state)
{
	const struct plan_address want = ip6("wan", "2001:db8:f::12");
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = want.ip6};
	struct rtnl *nl = *state;
	struct address_ours ours = {.count = 0};
	struct fault fault = {0};
	int fd;

	make_links();
	sh("echo 10000 > /proc/sys/net/ipv6/neigh/wan/retrans_time_ms");
	assert_int_equal(address_ensure(nl, &want, 1, &ours, &fault), 1);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	close(fd);
	/* Never chosen by itself: another address of the same prefix is. */
	sh("ip address add 2001:db8:f::99/64 dev wan nodad");
	assert_output("2001:db8:f::99",
		      "ip -6 route get 2001:db8:f::77 | sed 's/.*src \\([^ ]*\\).*/\\1/'");
}

static void test_alterations_are_mended(void **state)
{
	const struct plan_address want = ip6("wan", "2001:db8:f::12");
	struct rtnl *nl = *state;
	struct address_ours ours = {.count = 0};
	struct fault fault = {0};

	make_links();
	assert_int_equal(address_ensure(nl, &want, 1, &ours, &fault), 1);
	/* What keeps our protocol number but not our lifetimes. */
	sh("ip address change 2001:db8:f::12/128 dev wan valid_lft 3600 preferred_lft 1800 proto "
	   "0x4d 2>/dev/null || true");
	if (strstr(shell_output("ip address show dev wan"), "1800sec")) {
		assert_int_equal(address_ensure(nl, &want, 1, &ours, &fault), 1);
		assert_empty("ip -o address show dev wan | grep f::12 | grep 1800sec");
	}
	assert_int_equal(address_ensure(nl, &want, 1, &ours, &fault), 0);
}

/* `ip address change` leaves nothing of what we said, our protocol number neither. */
/* Without the link-local ones, which are tentative for a while. */
#define WANTED "ip -o -d address | grep -E ' (2001:db8:f::12|192\\.0\\.2\\.18)/' || true"

static void test_what_was_taken_over_is_ours(void **state)
{
	static const char *const changes[] = {
		"ip address change 2001:db8:f::12/128 dev wan",
		"ip address change 2001:db8:f::12/128 dev wan valid_lft 3600 preferred_lft 1800",
		"ip address change 2001:db8:f::12/128 dev wan nodad noprefixroute preferred_lft 0",
		"ip address change 192.0.2.18/32 dev map0",
		"ip address change 192.0.2.18/32 dev map0 valid_lft 3600 preferred_lft 1800",
	};
	const struct plan_address want[] = {ip6("wan", "2001:db8:f::12"),
					    ip4("map0", "192.0.2.18")};
	struct address_ours ours = {.count = 0};
	struct rtnl *nl = *state;
	struct fault fault = {0};
	char before[4096], good[4096];

	make_links();
	snprintf(before, sizeof(before), "%s", shell_output(WANTED));
	assert_int_equal(address_sync(nl, want, 2, &ours, &fault), 2);
	snprintf(good, sizeof(good), "%s", shell_output(WANTED));
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		print_message("%s\n", changes[i]);
		sh("%s", changes[i]);
		/* Linux 6.1 keeps the protocol, so that not each of these changes something. */
		assert_in_range(address_sync(nl, want, 2, &ours, &fault), 0, ours.marked);
		assert_string_equal(shell_output(WANTED), good);
		assert_int_equal(address_sync(nl, want, 2, &ours, &fault), 0);
	}
	/* Not mended in time, it goes all the same. */
	sh("ip address change 2001:db8:f::12/128 dev wan");
	sh("ip address change 192.0.2.18/32 dev map0");
	assert_int_equal(address_sync(nl, NULL, 0, &ours, &fault), 2);
	assert_string_equal(shell_output(WANTED), before);
	/* Put there by another program after that, it is no longer ours. */
	sh("ip address add 2001:db8:f::12/128 dev wan nodad");
	assert_int_equal(address_sync(nl, NULL, 0, &ours, &fault), 0);
	assert_int_equal(address_sync(nl, want, 1, &ours, &fault), 0);
}

static void test_a_foreign_one_counts_and_stays(void **state)
{
	const struct plan_address want = ip6("wan", "2001:db8:1::5");
	struct rtnl *nl = *state;
	struct address_ours ours = {.count = 0};
	struct fault fault = {0};
	uint64_t sent = rtnl_changes(nl);

	make_links();
	assert_int_equal(address_sync(nl, &want, 1, &ours, &fault), 0);
	assert_int_equal(rtnl_changes(nl), sent);
	assert_int_equal(address_sync(nl, NULL, 0, &ours, &fault), 0);
	assert_output("1", ALL " | grep -c 2001:db8:1::5");
}

static void test_missing_interface_is_named(void **state)
{
	const struct plan_address want = ip6("nowhere", "2001:db8:f::12");
	struct address_ours ours = {.count = 0};
	struct fault fault = {0};

	assert_int_equal(address_ensure(*state, &want, 1, &ours, &fault), -ENODEV);
	assert_string_equal(fault.text, "interface nowhere does not exist");
}

static void test_every_request_may_fail(void **state)
{
	const struct plan_address first[] = {ip6("wan", "2001:db8:f::12"),
					     ip4("map0", "192.0.2.18")};
	const struct plan_address second[] = {ip6("wan", "2001:db8:e::13"),
					      ip4("map0", "192.0.2.19")};
	struct address_ours ours = {.count = 0};
	struct fail_nth fail = {.code = -EPERM};
	struct rtnl *nl = *state;
	bool failed = true;

	make_links();
	for (unsigned int n = 1; failed; n++) {
		struct fault fault = {0};
		int r;

		assert_true(n < 100);
		assert_true(address_sync(nl, first, 2, &ours, NULL) >= 0);
		fail.n = n;
		fail_nth(nl, &fail);
		r = address_sync(nl, second, 2, &ours, &fault);
		rtnl_set_send_hook(nl, NULL, NULL);
		failed = fail.seen >= n;
		if (!failed) {
			assert_int_equal(r, 4);
			break;
		}
		assert_int_equal(r, -EPERM);
		assert_int_equal(fault.code, -EPERM);
		assert_non_null(strstr(fault.text, "Operation not permitted"));
		/* Tried again it goes on from where it stands. */
		assert_done(address_sync(nl, second, 2, &ours, &fault), fault);
		assert_output("2", ALL " | grep -c -e e::13 -e 192.0.2.19");
		assert_empty(ALL " | grep -e f::12 -e 192.0.2.18");
	}
}

static int count_requests(const struct nlmsghdr *request, void *userdata)
{
	++*(unsigned int *)userdata;
	return 0;
}

/* Addresses come and go while a list of many datagrams is read: it is read again until it is of one
 * piece, or given up, but never believed with holes. */
static void test_a_dump_in_motion_is_repeated(void **state)
{
	struct rtnl *nl = *state;
	unsigned int asked = 0, whole = 0, given_up = 0;

	make_links();
	sh("for i in $(seq 1 2000); do echo address add 10.$((i / 250)).$((i %% 250)).1/32 dev "
	   "wan; "
	   "done | ip -batch -");
	sh("(for i in $(seq 1 4000); do echo address add 10.99.0.1/32 dev map0; echo address del "
	   "10.99.0.1/32 dev map0; done 2>/dev/null | ip -batch - & echo $! > "
	   "/tmp/maped-test-motion.%d)",
	   getpid());
	rtnl_set_send_hook(nl, count_requests, &asked);
	for (int i = 0; i < 40; i++) {
		_cleanup_address_list_ struct address_list list = {0};
		struct fault fault = {0};
		size_t stable = 0;
		int r = address_list_read(nl, AF_INET, &list, &fault);

		if (r == -EAGAIN) {
			given_up++;
			continue;
		}
		assert_done(r, fault);
		whole++;
		for (size_t n = 0; n < list.count; n++)
			stable += list.list[n].prefix_len == 32 &&
				  ntohl(list.list[n].ip4.s_addr) >> 24 == 10 &&
				  ntohl(list.list[n].ip4.s_addr) >> 16 != (10 << 8 | 99);
		assert_int_equal(stable, 2000);
	}
	rtnl_set_send_hook(nl, NULL, NULL);
	sh("kill $(cat /tmp/maped-test-motion.%d) 2>/dev/null; rm /tmp/maped-test-motion.%d",
	   getpid(), getpid());
	print_message("%u whole, %u given up, %u requests\n", whole, given_up, asked);
	assert_true(asked > 40); /* some were interrupted indeed */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		netns_test(test_absent_present_same_changed_absent),
		netns_test(test_usable_at_once),
		netns_test(test_alterations_are_mended),
		netns_test(test_what_was_taken_over_is_ours),
		netns_test(test_a_foreign_one_counts_and_stays),
		netns_test(test_missing_interface_is_named),
		netns_test(test_a_dump_in_motion_is_repeated),
		netns_test(test_every_request_may_fail),
	};

	netns_need();
	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
