/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/netns/netns.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/kernel/snapshot.h"
#include "lib/kernel/watch.h"

static uint64_t clock_usec(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t now_usec(void)
{
	return clock_usec(CLOCK_BOOTTIME);
}

static void make_links(void)
{
	sh("echo 0 > /proc/sys/net/ipv6/conf/default/dad_transmits");
	sh("ip link add wan type veth peer name isp && ip link set wan up && ip link set isp up");
	sh("ip link add br0 type veth peer name host && ip link set br0 up && ip link set host up");
	sh("until [ $(ip -o -6 address show | grep fe80 | grep -vc tentative) = 4 ]; do sleep "
	   "0.01; "
	   "done");
	/* What an RA brings is to be tentative all the same. */
	sh("echo 1 > /proc/sys/net/ipv6/conf/wan/dad_transmits");
}

static struct watch *open_watch(void)
{
	struct fault fault = {0};
	struct watch *watch;

	assert_done(watch_open(&watch, &fault), fault);
	return watch;
}

/* Everything that is there, and what comes within 100 ms after it. */
static int dispatch(struct watch *watch)
{
	struct pollfd fd = {.fd = watch_fd(watch), .events = POLLIN};
	struct fault fault = {0};
	int mask = 0, r;

	while (poll(&fd, 1, 100) > 0) {
		r = watch_dispatch(watch, now_usec(), &fault);
		assert_done(r, fault);
		mask |= r;
	}
	return mask;
}

/* ---- an RA as NTT sends it: retransmit timer 10 s ------------------------------------------ */

static void send_ra(const char *prefix, uint32_t valid_sec, uint32_t preferred_sec)
{
	struct {
		struct nd_router_advert ra;
		struct nd_opt_prefix_info pio;
	} message = {
		.ra = {.nd_ra_type = ND_ROUTER_ADVERT, .nd_ra_retransmit = htonl(10000)},
		.pio = {.nd_opt_pi_type = ND_OPT_PREFIX_INFORMATION,
			.nd_opt_pi_len = 4,
			.nd_opt_pi_prefix_len = 64,
			.nd_opt_pi_flags_reserved = ND_OPT_PI_FLAG_ONLINK | ND_OPT_PI_FLAG_AUTO,
			.nd_opt_pi_valid_time = htonl(valid_sec),
			.nd_opt_pi_preferred_time = htonl(preferred_sec)},
	};
	struct sockaddr_in6 all = {.sin6_family = AF_INET6};
	int index = (int)if_nametoindex("isp"), hops = 255, loop = 0, fd;

	/* these are members of one union */
	message.ra.nd_ra_curhoplimit = 64;
	message.ra.nd_ra_flags_reserved = ND_RA_FLAG_OTHER;
	message.ra.nd_ra_router_lifetime = htons(1800);
	assert_int_equal(inet_pton(AF_INET6, prefix, &message.pio.nd_opt_pi_prefix), 1);
	assert_int_equal(inet_pton(AF_INET6, "ff02::1", &all.sin6_addr), 1);
	all.sin6_scope_id = (uint32_t)index;
	fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	assert_true(fd >= 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops));
	setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &loop, sizeof(loop));
	setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index));
	assert_int_equal(
		sendto(fd, &message, sizeof(message), 0, (struct sockaddr *)&all, sizeof(all)),
		sizeof(message));
	close(fd);
}

static void read_snapshot(struct rtnl *nl, struct watch *watch, struct snapshot *ret)
{
	const struct snapshot_query query = {
		.wan = "wan",
		.tunnel = "map0",
		.ppp = "",
		.route_metric = 1024,
		.now_usec = now_usec(),
		.monotonic_usec = clock_usec(CLOCK_MONOTONIC),
	};
	struct fault fault = {0};

	assert_done(snapshot_read(nl, watch, &query, ret, &fault), fault);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* "RA 2001:db8:…/64 deprecated, WAN address …", sorted. */
static const char *signs_of(const struct snapshot *snapshot)
{
	static char text[1024];
	char signs[16][100];
	size_t count = snapshot->candidates.count, used = 0;

	assert_in_range(count, 0, ARRAY_SIZE(signs));
	for (size_t i = 0; i < count; i++) {
		const struct candidate *one = &snapshot->candidates.list[i];
		char prefix[PREFIX6_TEXT_MAX];

		snprintf(signs[i], sizeof(signs[i]), "%s %s%s", prefix_source_name(one->source),
			 prefix6_format(&one->prefix, prefix),
			 one->deprecated ? " deprecated" : "");
	}
	qsort(signs, count, sizeof(signs[0]), compare_texts);
	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? ", " : "",
					 signs[i]);
	return text;
}

#define assert_signs(expected, nl, watch)                        \
	do {                                                     \
		_cleanup_snapshot_ struct snapshot seen_ = {0};  \
		read_snapshot(nl, watch, &seen_);                \
		assert_string_equal(signs_of(&seen_), expected); \
	} while (0)

static void test_router_advertisements(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	struct rtnl *nl = *state;
	uint64_t first_usec;

	make_links();
	watch = open_watch();
	assert_signs("", nl, watch);
	send_ra("2001:db8:1:200::", 14400, 12600);
	assert_true(dispatch(watch) & WATCH_PREFIX);
	/* At once, though the address is tentative for ten seconds. */
	assert_signs("RA 2001:db8:1:200::/64, WAN address 2001:db8:1:200::/64", nl, watch);
	first_usec = watch_signs(watch, now_usec())->announcements[0].appeared_usec;

	send_ra("2001:db8:1:200::", 14400, 12600);
	dispatch(watch);
	assert_int_equal(watch_signs(watch, now_usec())->announcement_count, 1);
	assert_true(watch_signs(watch, now_usec())->announcements[0].appeared_usec == first_usec);
	assert_true(watch_signs(watch, now_usec())->announcements[0].refreshed_usec > first_usec);

	send_ra("2001:db8:2:200::", 14400, 12600);
	send_ra("2001:db8:1:200::", 7200, 0);
	assert_true(dispatch(watch) & WATCH_PREFIX);
	assert_int_equal(watch_signs(watch, now_usec())->announcement_count, 2);
	send_ra("2001:db8:1:200::", 0, 0);
	assert_true(dispatch(watch) & WATCH_PREFIX);
	assert_int_equal(watch_signs(watch, now_usec())->announcement_count, 1);
	{
		_cleanup_snapshot_ struct snapshot snapshot = {0};

		read_snapshot(nl, watch, &snapshot);
		assert_non_null(
			strstr(signs_of(&snapshot), "WAN address 2001:db8:1:200::/64 deprecated"));
		assert_non_null(strstr(signs_of(&snapshot), "RA 2001:db8:2:200::/64"));
		assert_null(strstr(signs_of(&snapshot), "RA 2001:db8:1:200::/64"));
	}
	/* ULA and documentation aside, link-local prefixes and the like are no signs. */
	send_ra("fd00:1:2:3::", 14400, 12600);
	dispatch(watch);
	assert_int_equal(watch_signs(watch, now_usec())->announcement_count, 1);

	sh("ip link set isp down");
	/* The kernel tells the other end of it by its link watch, once a second. */
	for (int tries = 0; watch_signs(watch, now_usec())->announcement_count && tries < 50;
	     tries++)
		dispatch(watch);
	assert_int_equal(watch_signs(watch, now_usec())->announcement_count, 0);
}

static void test_announcements_end_by_themselves(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	uint64_t now = now_usec();

	make_links();
	watch = open_watch();
	send_ra("2001:db8:1:200::", 20, 10);
	dispatch(watch);
	assert_int_equal(watch_signs(watch, now + 15000000)->announcement_count, 1);
	assert_true(watch_signs(watch, now)->announcements[0].preferred_until_usec <
		    now + 15000000);
	assert_int_equal(watch_signs(watch, now + 30000000)->announcement_count, 0);
}

static void test_addresses_that_are_no_sign(void **state)
{
	struct rtnl *nl = *state;

	make_links();
	sh("ip address add 2001:db8:1::1/64 dev wan nodad");
	sh("ip address add 2001:db8:2::1/64 dev wan nodad preferred_lft 0 valid_lft 3600");
	sh("ip address add 2001:db8:3::1/64 dev wan nodad valid_lft 3600 preferred_lft 1800");
	sh("ip address add fd00:1::1/64 dev wan nodad && ip address add fec0::1/64 dev wan nodad");
	sh("ip address add 2001:db8:4:1::1/64 dev br0 nodad");
	sh("ip address add 2001:db8:5::1/64 dev lo nodad");
	sh("ip address add 2001:db8:6::1/64 dev host nodad && ip link add map0 type veth peer name "
	   "far && ip address add 2001:db8:7::1/64 dev map0 nodad");
	assert_signs("LAN address 2001:db8:4:1::/64, LAN address 2001:db8:6::/64, WAN address "
		     "2001:db8:1::/64, WAN address 2001:db8:2::/64 deprecated, WAN address "
		     "2001:db8:3::/64",
		     nl, NULL);
}

static void test_query_narrows(void **state)
{
	struct snapshot_query query = {.wan = "wan",
				       .tunnel = "map0",
				       .ppp = "host",
				       .now_usec = now_usec(),
				       .monotonic_usec = clock_usec(CLOCK_MONOTONIC)};
	static const char lan[][IFNAMSIZ] = {"br0", "br1"};
	_cleanup_snapshot_ struct snapshot snapshot = {0};
	struct in6_addr own;
	struct fault fault = {0};

	make_links();
	sh("ip address add 2001:db8:1::1/64 dev wan nodad");
	sh("ip address add 2001:db8:1:100::5/128 dev wan nodad");
	sh("ip address add 2001:db8:4::1/64 dev br0 nodad");
	sh("ip address add 2001:db8:6::1/64 dev isp nodad");
	sh("ip address add 2001:db8:7::1/64 dev host nodad");
	inet_pton(AF_INET6, "2001:db8:1:100::5", &own);
	query.own = &own;
	query.own_count = 1;
	query.lan = lan;
	query.lan_count = 2;
	assert_done(snapshot_read(*state, NULL, &query, &snapshot, &fault), fault);
	assert_string_equal(signs_of(&snapshot),
			    "LAN address 2001:db8:4::/64, WAN address 2001:db8:1::/64");
	assert_true(snapshot.ppp_present && !snapshot.ppp_up);
	assert_int_equal(snapshot.wan_mtu, 1500);
	assert_true(snapshot.wan_found && snapshot.wan_up && snapshot.wan_carrier);
	assert_int_equal(snapshot.wan_index, (int)if_nametoindex("wan"));

	sh("ip address add 192.0.2.1 peer 192.0.2.2 dev host");
	snapshot_done(&snapshot);
	assert_done(snapshot_read(*state, NULL, &query, &snapshot, &fault), fault);
	assert_true(snapshot.ppp_present && snapshot.ppp_up);
	assert_int_equal(snapshot.ppp_address.s_addr, inet_addr("192.0.2.1"));
}

static void test_times_of_an_address(void **state)
{
	_cleanup_snapshot_ struct snapshot snapshot = {0};
	uint64_t before = now_usec(), after;

	make_links();
	sh("ip address add 2001:db8:1::1/64 dev wan nodad valid_lft 3600 preferred_lft 1800");
	after = now_usec();
	sh("sleep 1.2; ip address change 2001:db8:1::1/64 dev wan nodad valid_lft 7200 "
	   "preferred_lft 1800");
	read_snapshot(*state, NULL, &snapshot);
	assert_int_equal(snapshot.candidates.count, 1);
	/* The kernel counts in ticks of its own: an offset of a second is as good as it gets. */
	assert_in_range(snapshot.candidates.list[0].appeared_usec, before - 1000000,
			after + 1000000);
	assert_in_range(snapshot.candidates.list[0].refreshed_usec -
				snapshot.candidates.list[0].appeared_usec,
			1000000, 3000000);
	assert_in_range(snapshot.candidates.list[0].valid_until_usec,
			now_usec() + (uint64_t)7195 * 1000000,
			now_usec() + (uint64_t)7201 * 1000000);
}

static void test_revived_addresses_are_young_again(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	_cleanup_snapshot_ struct snapshot snapshot = {0}, later = {0};
	uint64_t before;

	make_links();
	watch = open_watch();
	sh("ip address add 2001:db8:1::1/64 dev wan nodad preferred_lft 0 valid_lft 3600");
	dispatch(watch);
	read_snapshot(*state, watch, &snapshot);
	assert_true(snapshot.candidates.list[0].deprecated);
	sh("sleep 1.5");
	before = now_usec();
	sh("ip address change 2001:db8:1::1/64 dev wan preferred_lft 1800 valid_lft 3600");
	assert_true(dispatch(watch) & WATCH_ADDRESS);
	read_snapshot(*state, watch, &later);
	assert_false(later.candidates.list[0].deprecated);
	assert_true(later.candidates.list[0].appeared_usec >= before);
	assert_true(snapshot.candidates.list[0].appeared_usec < before);
}

static void test_delegated_prefixes(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	_cleanup_snapshot_ struct snapshot snapshot = {0};
	struct rtnl *nl = *state;
	uint64_t before;

	make_links();
	sh("ip -6 route add unreachable 2001:db8:1:200::/56 proto dhcp metric 1024");
	watch = open_watch();
	before = now_usec();
	sh("ip -6 route add unreachable 2001:db8:2:300::/56 proto dhcp metric 1024");
	sh("ip -6 route add unreachable 2001:db8:3::/60 proto boot");
	sh("ip -6 route add unreachable 2001:db8:4::/40 proto dhcp"); /* too short */
	sh("ip -6 route add unreachable 2001:db8:5::/72 proto dhcp"); /* too long */
	sh("ip -6 route add unreachable 2001:db8:6::/56 proto bird"); /* a routing daemon's */
	sh("ip -6 route add blackhole 2001:db8:7::/56 proto dhcp");   /* another kind */
	sh("ip -6 route add unreachable fd00:1:2::/56 proto dhcp");   /* private */
	sh("ip -6 route add unreachable 2001:db8:8::/56 proto dhcp table 50");
	assert_true(dispatch(watch) & WATCH_ROUTE);
	read_snapshot(nl, watch, &snapshot);
	assert_string_equal(signs_of(&snapshot),
			    "delegated prefix 2001:db8:1:200::/56, delegated prefix "
			    "2001:db8:2:300::/56, delegated prefix 2001:db8:3::/60");
	assert_true(snapshot.candidates.list[0].appeared_usec == 0); /* stood before */
	assert_in_range(snapshot.candidates.list[1].appeared_usec, before, now_usec());
	/* A renewal is no new appearance. */
	sh("ip -6 route replace unreachable 2001:db8:1:200::/56 proto dhcp metric 1024");
	dispatch(watch);
	snapshot_done(&snapshot);
	read_snapshot(nl, watch, &snapshot);
	assert_true(snapshot.candidates.list[0].appeared_usec == 0);
	sh("ip -6 route del unreachable 2001:db8:2:300::/56 proto dhcp metric 1024");
	assert_true(dispatch(watch) & WATCH_ROUTE);
	assert_signs("delegated prefix 2001:db8:1:200::/56, delegated prefix 2001:db8:3::/60", nl,
		     watch);
}

/* ---- the WAN ----------------------------------------------------------------------------- */

static const char *wan_after(struct rtnl *nl, const char *wan, const char *before)
{
	const struct snapshot_query query = {
		.wan = wan, .wan_before = before, .tunnel = "map0", .ppp = "ppp0"};
	static struct snapshot snapshot;
	struct fault fault = {0};

	snapshot_done(&snapshot);
	assert_done(snapshot_read(nl, NULL, &query, &snapshot, &fault), fault);
	return snapshot.wan_found ? snapshot.wan : "none";
}

static const char *wan_of(struct rtnl *nl, const char *wan)
{
	return wan_after(nl, wan, NULL);
}

static void test_wan_without_a_default_route(void **state)
{
	struct rtnl *nl = *state;

	make_links();
	sh("ip link add map0 type veth peer name far && ip link set map0 up");
	assert_string_equal(wan_after(nl, "", ""), "none");
	assert_string_equal(wan_after(nl, "", "wan"), "wan");
	assert_string_equal(wan_after(nl, "", "map0"), "none");
	assert_string_equal(wan_after(nl, "", "nowhere"), "none");
	assert_string_equal(wan_after(nl, "nowhere", "wan"), "none");
	sh("ip -6 route add default dev map0 metric 1");
	assert_string_equal(wan_after(nl, "", "wan"), "wan");
	sh("ip -6 route add default via fe80::1 dev host metric 2048");
	assert_string_equal(wan_after(nl, "", "wan"), "host");
	sh("ip -6 route add default via fe80::1 dev wan metric 512");
	assert_string_equal(wan_after(nl, "", "host"), "wan");
}

static void test_wan_by_default_route(void **state)
{
	struct rtnl *nl = *state;

	make_links();
	sh("ip link add map0 type veth peer name far && ip link set map0 up && ip link set far up");
	assert_string_equal(wan_of(nl, ""), "none");
	sh("ip -6 route add default dev map0 metric 1");
	assert_string_equal(wan_of(nl, ""), "none");
	sh("ip link add ppp0 type veth peer name acfar && ip link set ppp0 up && ip link set acfar "
	   "up && ip -6 route add default dev ppp0 metric 2");
	sh("ip -6 route add default via fe80::1 dev host metric 2048");
	assert_string_equal(wan_of(nl, ""), "host");
	sh("ip -6 route add default via fe80::1 dev wan metric 512 proto ra expires 1800");
	assert_string_equal(wan_of(nl, ""), "wan");
	sh("ip -6 route add default via fe80::1 dev host metric 7 table 50");
	sh("ip -6 route add 2000::/3 via fe80::1 dev host metric 7");
	assert_string_equal(wan_of(nl, ""), "wan");
	/* Several ways at one cost: always the same answer, and never the tunnel. */
	sh("ip -6 route add default metric 100 nexthop via fe80::1 dev map0 nexthop via fe80::1 "
	   "dev "
	   "host");
	assert_string_equal(wan_of(nl, ""), "host");
	assert_string_equal(wan_of(nl, "wan"), "wan");
	assert_string_equal(wan_of(nl, "nowhere"), "none");
	sh("ip link del wan");
	assert_string_equal(wan_of(nl, "wan"), "none");
}

static const char *rivals_of(struct rtnl *nl, uint32_t metric)
{
	const struct snapshot_query query = {
		.wan = "wan", .tunnel = "map0", .ppp = "", .route_metric = metric};
	_cleanup_snapshot_ struct snapshot snapshot = {0};
	static char text[512];
	struct fault fault = {0};

	assert_done(snapshot_read(nl, NULL, &query, &snapshot, &fault), fault);
	text[0] = '\0';
	for (size_t i = 0; i < snapshot.foreign_count; i++) {
		char one[FOREIGN_ROUTE_TEXT_MAX];

		strcat(text, i ? ", " : "");
		strcat(text, foreign_route_format(&snapshot.foreign[i], one));
	}
	return text;
}

static void test_routes_that_win_over_ours(void **state)
{
	struct rtnl *nl = *state;

	make_links();
	sh("ip link add map0 type veth peer name far && ip link set map0 up && ip link set far up");
	sh("ip address add 10.0.0.1/24 dev br0");
	sh("ip route add default dev map0 metric 1024 proto 77");
	assert_string_equal(rivals_of(nl, 1024), "");
	sh("ip route append default via 10.0.0.3 metric 1024"); /* behind ours */
	sh("ip route add default via 10.0.0.2 metric 2048");
	sh("ip route add default dev map0 metric 3 proto static"); /* leads to the same place */
	sh("ip route add default via 10.0.0.2 table 50");
	assert_string_equal(rivals_of(nl, 1024), "");
	sh("ip route add default via 10.0.0.2 metric 100 proto dhcp");
	sh("ip route add default dev br0");
	assert_string_equal(rivals_of(nl, 1024),
			    "default dev br0 metric 0, default via 10.0.0.2 dev br0 metric 100");
	sh("ip route add unreachable default metric 5");
	assert_string_equal(rivals_of(nl, 1024),
			    "default dev br0 metric 0, unreachable default metric 5, default via "
			    "10.0.0.2 dev br0 metric 100");
	sh("ip route add default metric 50 nexthop via 10.0.0.2 nexthop via 10.0.0.4");
	sh("ip route add default via 10.0.0.2 metric 60");
	assert_string_equal(rivals_of(nl, 1024),
			    "default dev br0 metric 0, unreachable default metric 5, default dev "
			    "br0 metric 50, default via 10.0.0.2 dev br0 metric 60");
	sh("ip route flush table main && ip route add default dev br0 metric 1024");
	sh("ip route append default dev map0 metric 1024 proto 77");
	assert_string_equal(rivals_of(nl, 1024), "default dev br0 metric 1024");
}

/* ---- hints ------------------------------------------------------------------------------- */

static void test_only_what_concerns_us(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	uint64_t seen;

	make_links();
	watch = open_watch();
	sh("ip address add 10.0.0.1/24 dev br0 && ip -6 address add fd00::1/64 dev br0 nodad");
	sh("ip rule add priority 7 fwmark 3 lookup 30 && ip route add 10.1.0.0/16 via 10.0.0.2");
	assert_int_equal(dispatch(watch), 0);
	seen = watch_counts(watch).seen;
	sh("for i in $(seq 1 200); do echo route add 10.2.$i.0/24 via 10.0.0.2; done | ip -batch "
	   "-");
	assert_int_equal(dispatch(watch), 0);
	assert_int_equal(watch_counts(watch).seen, seen); /* they wake nobody */
	sh("ip link set br0 mtu 1400");
	assert_int_equal(dispatch(watch), WATCH_LINK);
	sh("ip link set br0 mtu 1400 && ip link set br0 up");
	assert_int_equal(dispatch(watch), 0);
	sh("ip route add default via 10.0.0.2");
	assert_int_equal(dispatch(watch), WATCH_ROUTE);
	sh("ip -6 route add default via fe80::1 dev wan");
	assert_int_equal(dispatch(watch), WATCH_ROUTE);
	sh("ip rule add priority 8 fwmark 3 lookup 30 protocol 77");
	assert_int_equal(dispatch(watch), WATCH_RULE);
	sh("ip -6 address add 2001:db8::1/64 dev wan nodad");
	assert_int_equal(dispatch(watch), WATCH_ADDRESS);
}

/* What pppd does until the session stands needs no look; what follows does. */
static void test_a_session_that_rises_is_no_news(void **state)
{
	struct plan plan = {.nat.pppoe = {.enabled = true, .interface = "ppp0"}};
	_cleanup_(watch_close_p) struct watch *watch = NULL;

	make_links();
	watch = open_watch();
	watch_expect(watch, &plan);
	sh("ip link add far type veth peer name ppp7 && ip link set far up");
	dispatch(watch);
	sh("ip link set ppp7 name ppp0 && ip link set ppp0 mtu 1454");
	sh("ip address add 192.0.2.1 peer 192.0.2.2 dev ppp0");
	assert_int_equal(dispatch(watch), 0);
	sh("ip link set ppp0 up");
	assert_true(dispatch(watch) & WATCH_LINK);
	plan.routes[0] = (struct plan_route){.table = 10, .interface = "ppp0"};
	plan.route_count = 1;
	watch_expect(watch, &plan);
	sh("ip address add 192.0.2.5 peer 192.0.2.2 dev ppp0");
	assert_int_equal(dispatch(watch), WATCH_ADDRESS);
	sh("ip link set ppp0 down");
	assert_true(dispatch(watch) & WATCH_LINK);
	plan.route_count = 0;
	watch_expect(watch, &plan);
	sh("ip address del 192.0.2.5 peer 192.0.2.2 dev ppp0");
	assert_int_equal(dispatch(watch), 0);
	sh("ip link del ppp0");
	assert_true(dispatch(watch) & WATCH_LINK);
}

static void test_what_was_taken_away_is_told(void **state)
{
	struct plan plan = {
		.tunnel = {.name = "map0", .wan = "wan", .mode = TUNNEL_EXISTING},
		.addresses = {{.interface = "wan", .family = AF_INET6},
			      {.interface = "map0", .family = AF_INET}},
		.address_count = 2,
		.routes = {{.table = 254, .metric = 1024, .interface = "map0"},
			   {.table = 10, .metric = PLAN_FLOOR_METRIC}},
		.route_count = 2,
		.rules = {{.priority = 1000, .mark = 1000, .mask = 0xffff, .table = 10}},
		.rule_count = 1,
	};
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	_cleanup_text_ struct text told = TEXT_INIT;

	inet_pton(AF_INET6, "2001:db8:f::12", &plan.addresses[0].ip6);
	inet_pton(AF_INET, "192.0.2.18", &plan.addresses[1].ip4);
	make_links();
	sh("ip link add map0 type veth peer name far && ip link set map0 up && ip link set far up");
	sh("ip address add 2001:db8:f::12/128 dev wan nodad && ip address add 192.0.2.18/32 dev "
	   "map0");
	sh("ip route add default dev map0 metric 1024 proto 77");
	sh("ip route add unreachable default metric 4294967295 table 10 proto 77");
	sh("ip rule add priority 1000 fwmark 1000/0xffff lookup 10 protocol 77");
	watch = open_watch();
	watch_expect(watch, &plan);
	sh("ip -6 address add 2001:db8:f::13/128 dev wan nodad"); /* not ours */
	sh("ip -6 address del 2001:db8:f::13/128 dev wan");
	sh("ip -6 address del 2001:db8:f::12/128 dev wan");
	sh("ip route flush table 10 && ip rule flush && ip route del default dev map0");
	sh("ip link set map0 down && ip link del map0");
	assert_int_equal(dispatch(watch) & (WATCH_ADDRESS | WATCH_ROUTE | WATCH_RULE | WATCH_LINK),
			 WATCH_ADDRESS | WATCH_ROUTE | WATCH_RULE | WATCH_LINK);
	watch_take_losses(watch, &told);
	assert_string_equal(text_get(&told),
			    "address 2001:db8:f::12/128 dev wan deleted\n"
			    "route unreachable default table 10 metric 4294967295 deleted\n"
			    "policy rule priority 1000 fwmark 0x3e8/0xffff table 10 deleted\n"
			    "route default dev map0 table 254 metric 1024 deleted\n"
			    "tunnel map0 set down\n"
			    "address 192.0.2.18/32 dev map0 deleted\n"
			    "tunnel map0 deleted\n");
	text_clear(&told);
	watch_take_losses(watch, &told);
	assert_string_equal(text_get(&told), "");
}

static void test_another_alias_is_told(void **state)
{
	const struct plan plan = {.tunnel = {.name = "br0", .mode = TUNNEL_CREATE, .mtu = 1500}};
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	_cleanup_text_ struct text told = TEXT_INIT;

	make_links();
	watch = open_watch();
	watch_expect(watch, &plan);
	sh("ip link set br0 alias uplink");
	assert_int_equal(dispatch(watch), WATCH_LINK);
	watch_take_losses(watch, &told);
	assert_string_equal(text_get(&told), "alias of tunnel br0 changed\n");
}

/* What another program puts in the place of ours, or what stood for ours and goes. */
static void test_what_stands_in_for_ours_is_watched(void **state)
{
	const struct plan plan = {
		.routes = {{.table = 254, .metric = 1024, .interface = "wan"},
			   {.table = 10, .interface = "wan"},
			   {.table = 10, .metric = PLAN_FLOOR_METRIC}},
		.route_count = 3,
		.rules = {{.priority = 1000, .mark = 1000, .mask = 0xffff, .table = 10}},
		.rule_count = 1,
	};
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	_cleanup_text_ struct text told = TEXT_INIT;

	make_links();
	sh("ip address add 10.0.0.1/24 dev br0");
	sh("for where in 'table 10' 'metric 1024'; do ip route add default dev wan $where proto "
	   "77; done");
	sh("ip route add unreachable default metric 4294967295 table 10 proto 77");
	sh("ip rule add priority 1000 fwmark 1000/0xffff lookup 10");
	sh("ip rule add priority 1000 fwmark 1000/0xffff iif br0 lookup 10");
	watch = open_watch();
	watch_expect(watch, &plan);
	sh("ip route replace default via 10.0.0.2 table 10");
	assert_int_equal(dispatch(watch), WATCH_ROUTE);
	assert_int_equal(watch_take_news(watch), 0);
	watch_take_losses(watch, &told);
	assert_string_equal(text_get(&told), "route default dev wan table 10 metric 0 replaced\n");
	text_clear(&told);
	sh("ip route del default via 10.0.0.2 table 10");
	assert_int_equal(dispatch(watch), WATCH_ROUTE);
	sh("ip route add default via 10.0.0.2 table 11; ip route del default table 11");
	assert_int_equal(dispatch(watch), 0);
	sh("ip route replace default via 10.0.0.2 metric 1024");
	assert_int_equal(dispatch(watch), WATCH_ROUTE);
	assert_int_equal(watch_take_news(watch), WATCH_ROUTE);
	sh("ip rule del priority 1000 fwmark 1000/0xffff iif br0");
	assert_int_equal(dispatch(watch), 0);
	sh("ip rule del priority 1000 fwmark 1000/0xffff");
	assert_int_equal(dispatch(watch), WATCH_RULE);
	watch_take_losses(watch, &told);
	assert_string_equal(text_get(&told),
			    "route default dev wan table 254 metric 1024 replaced\n"
			    "policy rule priority 1000 fwmark 0x3e8/0xffff table 10 deleted\n");
}

static void test_lost_messages_end_in_a_fresh_look(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	const int size = 4096, enough = 200000;
	int mask;

	make_links();
	watch = open_watch();
	assert_int_equal(setsockopt(watch_fd(watch), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)),
			 0);
	sh("for i in $(seq 1 500); do echo address add 2001:db8:$i::1/64 dev wan nodad; done | "
	   "ip -batch -");
	mask = dispatch(watch);
	assert_true(mask & WATCH_OVERRUN);
	assert_true(watch_counts(watch).overruns >= 1);
	while (dispatch(watch)) /* the kernel tells about 500 addresses at its leisure */
		;
	/* And it listens again, with room for what one command causes. */
	assert_int_equal(
		setsockopt(watch_fd(watch), SOL_SOCKET, SO_RCVBUF, &enough, sizeof(enough)), 0);
	sh("ip -6 address del 2001:db8:1::1/64 dev wan");
	assert_int_equal(dispatch(watch), WATCH_ADDRESS);
}

/* What was believed of a link before messages were lost makes no later message old. */
static void test_lost_messages_of_a_link(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	const int size = 4096, enough = 200000;

	make_links();
	watch = open_watch();
	sh("for link in wan isp; do ip link set $link mtu 1400 && ip link set $link mtu 1500; "
	   "done");
	send_ra("2001:db8:1:200::", 14400, 12600);
	assert_true(dispatch(watch) & WATCH_PREFIX);
	assert_int_equal(setsockopt(watch_fd(watch), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)),
			 0);
	sh("for i in $(seq 1 50); do echo link set br0 mtu $((1300 + i)); done | ip -batch -");
	/* The kernel tells a second time when it has set the operational state. */
	sh("ip link set wan down && until ip link show wan | grep -q 'state DOWN'; do sleep 0.02; "
	   "done");
	assert_true(dispatch(watch) & WATCH_OVERRUN);
	assert_signs("", *state, watch);
	while (dispatch(watch))
		;
	assert_int_equal(
		setsockopt(watch_fd(watch), SOL_SOCKET, SO_RCVBUF, &enough, sizeof(enough)), 0);
	sh("ip link set wan up");
	assert_true(dispatch(watch) & WATCH_LINK);
	assert_true(watch_take_news(watch) & WATCH_LINK);
}

static void test_one_call_is_bounded(void **state)
{
	_cleanup_(watch_close_p) struct watch *watch = NULL;
	struct fault fault = {0};
	uint64_t seen;

	make_links();
	watch = open_watch();
	sh("for i in $(seq 1 1500); do echo address add 10.$((i / 250)).$((i %% 250)).1/32 dev "
	   "br0; "
	   "done | ip -batch -");
	seen = watch_counts(watch).seen;
	assert_int_equal(watch_dispatch(watch, now_usec(), &fault), 0);
	assert_in_range(watch_counts(watch).seen - seen, 1, WATCH_BATCH);
	dispatch(watch);
	assert_int_equal(watch_counts(watch).seen - seen, 1500);
}

static int count_requests(const struct nlmsghdr *request, void *userdata)
{
	++*(unsigned int *)userdata;
	return 0;
}

static void test_every_request_may_fail(void **state)
{
	const struct snapshot_query query = {.wan = "", .tunnel = "map0", .ppp = ""};
	struct rtnl *nl = *state;
	unsigned int total = 0;

	make_links();
	sh("ip -6 route add default via fe80::1 dev wan");
	sh("ip address add 2001:db8:1::1/64 dev wan nodad");
	rtnl_set_send_hook(nl, count_requests, &total);
	assert_string_equal(wan_of(nl, ""), "wan");
	assert_in_range(total, 3, 10);
	for (unsigned int n = 1; n <= total; n++) {
		struct fail_nth fail = {.n = n, .code = -EPERM};
		_cleanup_snapshot_ struct snapshot snapshot = {.wan = "untouched"};
		struct fault fault = {0};

		fail_nth(nl, &fail);
		assert_int_equal(snapshot_read(nl, NULL, &query, &snapshot, &fault), -EPERM);
		assert_int_equal(fault.code, -EPERM);
		assert_string_equal(snapshot.wan, "untouched");
	}
	rtnl_set_send_hook(nl, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		netns_test(test_router_advertisements),
		netns_test(test_announcements_end_by_themselves),
		netns_test(test_addresses_that_are_no_sign),
		netns_test(test_query_narrows),
		netns_test(test_times_of_an_address),
		netns_test(test_revived_addresses_are_young_again),
		netns_test(test_delegated_prefixes),
		netns_test(test_wan_by_default_route),
		netns_test(test_wan_without_a_default_route),
		netns_test(test_routes_that_win_over_ours),
		netns_test(test_only_what_concerns_us),
		netns_test(test_a_session_that_rises_is_no_news),
		netns_test(test_what_was_taken_away_is_told),
		netns_test(test_another_alias_is_told),
		netns_test(test_what_stands_in_for_ours_is_watched),
		netns_test(test_lost_messages_end_in_a_fresh_look),
		netns_test(test_lost_messages_of_a_link),
		netns_test(test_one_call_is_bounded),
		netns_test(test_every_request_may_fail),
	};

	netns_need();
	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
