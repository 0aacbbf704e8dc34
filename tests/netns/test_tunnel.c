/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/netns/netns.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/kernel/tunnel.h"

static bool have_ip6tnl;

static struct plan_tunnel tunnel(const char *name, const char *wan, const char *local,
				 const char *remote, uint32_t mtu)
{
	struct plan_tunnel want = {.mode = TUNNEL_CREATE, .mtu = mtu};

	snprintf(want.name, sizeof(want.name), "%s", name);
	snprintf(want.wan, sizeof(want.wan), "%s", wan);
	assert_int_equal(inet_pton(AF_INET6, local, &want.local), 1);
	assert_int_equal(inet_pton(AF_INET6, remote, &want.remote), 1);
	return want;
}

static void make_links(void)
{
	sh("ip link add wan type veth peer name isp && ip link set wan up && ip link set isp up");
	sh("ip address add 2001:db8::1/64 dev wan nodad");
}

static void need_ip6tnl(void)
{
	if (!have_ip6tnl) {
		print_message("SKIP: this kernel has no ip6_tunnel; the guest's has\n");
		skip();
	}
	make_links();
	/* Other people's tunnels: one with an alias of its own, one with ours in another case. */
	sh("ip link add theirs type ip6tnl mode ipip6 local 2001:db8::1 remote 2001:db8:9::9");
	sh("ip link add shouting type ip6tnl mode ipip6 local 2001:db8::1 remote 2001:db8:9::8");
	sh("ip link set shouting alias MAPED");
}

#define SHOW(name)                                                                               \
	"ip -d link show " name                                                                  \
	" | sed -n 's/.*\\(ipip6 .*\\) addrgenmode \\([a-z0-9]*\\) .*/\\1 \\2/p' | sed 's/  */ " \
	"/g; s/ numtx.*//; s/ (flowinfo 0x00000000)//'"
#define INDEX(name) "ip -o link show " name " | cut -d: -f1"
#define MTU(name)   "ip link show " name " | sed -n 's/.* mtu \\([0-9]*\\) .*/\\1/p'"
#define ALIAS(name) "ip link show " name " 2>/dev/null | sed -n 's/ *alias //p'"

static void test_absent_present_same_changed_absent(void **state)
{
	struct plan_tunnel want = tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	const struct plan_tunnel none = {0};
	struct rtnl *nl = *state;
	struct fault fault = {0};
	char index[16], before[4096];
	uint64_t sent;

	need_ip6tnl();
	snprintf(before, sizeof(before), "%s", shell_output("ip -o link show | cut -d: -f2-"));
	assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
	assert_output(
		"ipip6 remote 2001:db8:b::1 local 2001:db8::12 dev wan hoplimit 64 encaplimit "
		"none tclass 0x00 flowlabel 0x00000 none",
		SHOW("map0"));
	assert_output("1460", MTU("map0"));
	assert_output("maped", ALIAS("map0"));
	assert_output("1", "ip link show map0 | grep -c '[<,]UP[,>]'");
	assert_empty("ip -6 address show dev map0"); /* no link-local address either */
	snprintf(index, sizeof(index), "%s", shell_output(INDEX("map0")));
	sh("ip address add 192.0.2.18/32 dev map0 && ip route add default dev map0 metric 1024");

	sent = rtnl_changes(nl);
	assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), 0);
	assert_int_equal(rtnl_changes(nl), sent);

	want = tunnel("map0", "wan", "2001:db8::13", "2001:db8:b::2", 1400);
	assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
	assert_output(
		"ipip6 remote 2001:db8:b::2 local 2001:db8::13 dev wan hoplimit 64 encaplimit "
		"none tclass 0x00 flowlabel 0x00000 none",
		SHOW("map0"));
	assert_output("1400", MTU("map0"));
	assert_output(index, INDEX("map0"));
	assert_output("default dev map0 scope link metric 1024", "ip route show default");
	assert_output("1", "ip -o address show dev map0 | grep -c 192.0.2.18/32");
	assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), 0);

	assert_int_equal(tunnel_sync(nl, &none, NULL, &fault), 1);
	assert_string_equal(shell_output("ip -o link show | cut -d: -f2-"), before);
	assert_int_equal(tunnel_sync(nl, &none, NULL, &fault), 0);
}

static void test_alterations_are_mended(void **state)
{
	static const char *const alterations[] = {
		"ip link set map0 mtu 1300",
		"ip link set map0 down",
		"ip link set map0 addrgenmode eui64",
		"ip link set map0 alias uplink",
		"ip link change map0 type ip6tnl encaplimit 4",
		"ip link change map0 type ip6tnl hoplimit 7",
		"ip link change map0 type ip6tnl mode any",
		"ip link change map0 type ip6tnl remote 2001:db8:b::77",
		"ip -6 tunnel change map0 local 2001:db8::78",
	};
	const struct plan_tunnel want =
		tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	const struct plan_tunnel none = {0};
	struct rtnl *nl = *state;
	struct fault fault = {0};
	char index[16], good[512];

	need_ip6tnl();
	assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
	snprintf(index, sizeof(index), "%s", shell_output(INDEX("map0")));
	snprintf(good, sizeof(good), "%s", shell_output(SHOW("map0")));
	for (size_t i = 0; i < ARRAY_SIZE(alterations); i++) {
		sh("%s", alterations[i]);
		assert_true(tunnel_sync(nl, &want, NULL, &fault) >= 1);
		assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), 0);
		assert_string_equal(shell_output(SHOW("map0")), good);
		assert_output("1460", MTU("map0"));
		assert_output("maped", ALIAS("map0"));
		assert_output(index, INDEX("map0"));
	}
	/* Not mended in time, it goes all the same; another one of the same group does not. */
	sh("ip link set map0 alias uplink && ip link set theirs group 77 alias other");
	assert_int_equal(tunnel_sync(nl, &none, &want, &fault), 1);
	assert_output("0", "ip -o link show | grep -c ': map0@' || true");
	assert_output("other", ALIAS("theirs"));
}

static void test_name_changes(void **state)
{
	struct plan_tunnel want = tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	struct rtnl *nl = *state;
	struct fault fault = {0};

	need_ip6tnl();
	assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
	want = tunnel("map1", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
	assert_output("0", "ip -o link show | grep -c ': map0@' || true");
	assert_output("1", "ip -o link show | grep -c ': map1@'");
}

static void test_conflict_is_named(void **state)
{
	const struct plan_tunnel want = tunnel("map0", "wan", "2001:db8::1", "2001:db8:9::9", 1460);
	struct rtnl *nl = *state;
	struct fault fault = {0};

	need_ip6tnl();
	sh("ip link change theirs type ip6tnl dev wan");
	assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), -EEXIST);
	assert_string_equal(fault.text,
			    "tunnel map0: another program's tunnel theirs stands between "
			    "the same ends 2001:db8::1 and 2001:db8:9::9");
	assert_output("1", "ip -o link show | grep -c ': theirs@'");
}

static void test_parent_comes_back(void **state)
{
	const struct plan_tunnel want =
		tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	struct rtnl *nl = *state;
	struct fault fault = {0};
	char index[16];

	need_ip6tnl();
	assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
	snprintf(index, sizeof(index), "%s", shell_output(INDEX("map0")));
	sh("ip link del wan");
	assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), -ENODEV);
	assert_string_equal(fault.text, "interface wan does not exist");
	make_links();
	assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
	assert_output("wan",
		      "ip -d link show map0 | sed -n 's/.*ipip6 .* dev \\([^ ]*\\) .*/\\1/p'");
	assert_output(index, INDEX("map0"));
}

static void test_half_made_is_known(void **state)
{
	const struct plan_tunnel want =
		tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	struct rtnl *nl = *state;
	struct fault fault = {0};
	char index[16];

	need_ip6tnl();
	/* As a process leaves it that is killed after the first message. */
	sh("ip link add map0 group 77 mtu 1460 type ip6tnl mode ipip6 local 2001:db8::12 remote "
	   "2001:db8:b::1 encaplimit none");
	snprintf(index, sizeof(index), "%s", shell_output(INDEX("map0")));
	assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
	assert_output(index, INDEX("map0"));
	assert_output("maped", ALIAS("map0"));
}

/* Below 1280 the kernel takes IPv6 from the tunnel, and with it what would be marked. */
static void test_too_small_for_ipv6(void **state)
{
	static const uint32_t sizes[] = {1260, 1460, 1279, 1280};
	struct rtnl *nl = *state;
	struct fault fault = {0};

	need_ip6tnl();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct plan_tunnel want =
			tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", sizes[i]);

		assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
		assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), 0);
		assert_output("maped", ALIAS("map0"));
		sh("ip link set map0 alias ''");
		assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
		assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), 0);
	}
}

static void test_every_request_may_fail(void **state)
{
	const struct plan_tunnel first =
		tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	const struct plan_tunnel second =
		tunnel("map0", "wan", "2001:db8::13", "2001:db8:b::2", 1400);
	const struct plan_tunnel none = {0};
	const struct plan_tunnel *const pairs[][2] = {
		{&none, &first}, {&first, &second}, {&first, &none}};
	static const int codes[] = {-EPERM, -EBUSY, -ENOBUFS, -EEXIST, -ENODEV, -ENOSPC};
	struct rtnl *nl = *state;

	need_ip6tnl();
	for (size_t i = 0; i < ARRAY_SIZE(pairs) * ARRAY_SIZE(codes); i++) {
		const struct plan_tunnel *from = pairs[i % ARRAY_SIZE(pairs)][0];
		const struct plan_tunnel *to = pairs[i % ARRAY_SIZE(pairs)][1];
		struct fail_nth fail = {.code = codes[i / ARRAY_SIZE(pairs)]};

		do {
			struct fault fault = {0};

			assert_done(tunnel_sync(nl, from, NULL, &fault), fault);
			fail.n++;
			fail_nth(nl, &fail);
			(void)tunnel_sync(nl, to, NULL, &fault);
			rtnl_set_send_hook(nl, NULL, NULL);
			/* A new one is whole or absent; one that stood still stands. */
			if (from == &none &&
			    shell_output("ip -o link show | grep ': map0@'")[0] != '\0')
				assert_output("maped", "ip link show map0 up | sed -n 's/ "
						       "*alias //p'");
			assert_done(tunnel_sync(nl, to, NULL, &fault), fault);
			assert_int_equal(tunnel_sync(nl, to, NULL, &fault), 0);
		} while (fail.seen >= fail.n && fail.n < 50);
		assert_in_range(fail.n, 2, 30);
	}
}

/* ---- these need no ip6_tunnel ------------------------------------------------------------- */

static void test_foreign_link_is_not_touched(void **state)
{
	const struct plan_tunnel want =
		tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	const struct plan_tunnel none = {0};
	struct rtnl *nl = *state;
	struct fault fault = {0};
	uint64_t sent;

	make_links();
	sh("ip link add map0 type veth peer name far");
	sent = rtnl_changes(nl);
	assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), -EEXIST);
	assert_string_equal(fault.text, "interface map0 exists and was not made by maped (veth): "
					"choose another name in map.tunnel");
	assert_int_equal(tunnel_sync(nl, &none, NULL, &fault), 0);
	assert_int_equal(rtnl_changes(nl), sent);
	assert_output("1", "ip -o link show | grep -c ': map0@'");
}

static void test_link_too_small_for_ipv6(void **state)
{
	struct link_info link;

	make_links();
	assert_int_equal(link_by_name(*state, "wan", &link, NULL), 1);
	assert_false(link.no_link_local);
	sh("ip link set wan mtu 1260");
	assert_int_equal(link_by_name(*state, "wan", &link, NULL), 1);
	assert_true(link.no_link_local);
}

static void test_existing_is_only_looked_at(void **state)
{
	struct plan_tunnel want = tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	struct rtnl *nl = *state;
	struct fault fault = {0};

	want.mode = TUNNEL_EXISTING;
	make_links();
	assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), -ENODEV);
	assert_non_null(strstr(fault.text, "tunnel map0 does not exist yet"));
	sh("ip link add map0 type veth peer name far");
	assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), -ENETDOWN);
	assert_non_null(strstr(fault.text, "tunnel map0 is down"));
	sh("ip link set map0 up");
	assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), 0);
	assert_int_equal(rtnl_changes(nl), 0);
	assert_output("1500", MTU("map0"));
}

static void test_kernel_without_it(void **state)
{
	const struct plan_tunnel want =
		tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	struct fail_nth fail = {.code = -EOPNOTSUPP, .n = 4};
	struct rtnl *nl = *state;
	struct fault fault = {0};

	make_links();
	if (have_ip6tnl) /* dump, WAN, name, and then the creation */
		fail_nth(nl, &fail);
	assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), -EOPNOTSUPP);
	assert_string_equal(fault.text,
			    "tunnel map0: this kernel has no ip6_tunnel (module missing "
			    "or CONFIG_IPV6_TUNNEL not set)");
	rtnl_set_send_hook(nl, NULL, NULL);
}

static void test_a_kind_of_ours_that_changed(void **state)
{
	const struct plan_tunnel want =
		tunnel("map0", "wan", "2001:db8::12", "2001:db8:b::1", 1460);
	struct rtnl *nl = *state;
	struct fault fault = {0};

	make_links();
	sh("ip link add map0 type veth peer name far && ip link set map0 alias maped");
	if (have_ip6tnl)
		assert_done(tunnel_sync(nl, &want, NULL, &fault), fault);
	else
		assert_int_equal(tunnel_sync(nl, &want, NULL, &fault), -EOPNOTSUPP);
	assert_empty("ip -o link show type veth | grep ': map0@'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		netns_test(test_absent_present_same_changed_absent),
		netns_test(test_alterations_are_mended),
		netns_test(test_name_changes),
		netns_test(test_conflict_is_named),
		netns_test(test_parent_comes_back),
		netns_test(test_half_made_is_known),
		netns_test(test_too_small_for_ipv6),
		netns_test(test_every_request_may_fail),
		netns_test(test_foreign_link_is_not_touched),
		netns_test(test_link_too_small_for_ipv6),
		netns_test(test_existing_is_only_looked_at),
		netns_test(test_kernel_without_it),
		netns_test(test_a_kind_of_ours_that_changed),
	};

	netns_need();
	have_ip6tnl = kernel_has_link("ip6tnl local ::1 remote 2001:db8::1");
	return cmocka_run_group_tests_name("tunnel", tests, NULL, NULL);
}
