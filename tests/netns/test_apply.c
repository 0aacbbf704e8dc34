/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/netns/netns.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/kernel/apply.h"

static bool have_ip6tnl;
static char state_file[64];

/* ---- every allocation, also those of libnl ------------------------------------------------ */

#if defined(__SANITIZE_ADDRESS__)
#define CAN_FAIL_ALLOCATIONS 0
#else
#define CAN_FAIL_ALLOCATIONS 1
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
#endif

static long until_failure = -1; /* -1: none fails */

#if CAN_FAIL_ALLOCATIONS
static bool fails(void)
{
	if (until_failure < 0 || until_failure-- > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	return fails() ? NULL : __libc_realloc(memory, size);
}

void *reallocarray(void *memory, size_t count, size_t size)
{
	return fails() ? NULL : __libc_realloc(memory, count * size);
}
#endif

/* ---- the nftables part: what stands, and what was seen while it was changed ---------------- */

static struct table {
	char text[128];  /* "absent", or whom it translates */
	char seen[1024]; /* addresses and routes at that moment */
	char forgotten[256];
	int changes, fail_next;
} table;

#define GLANCE                                                                                   \
	"(ip -o -4 address show dev map0; ip -o -6 address show dev wan) 2>/dev/null |"          \
	" sed -n 's/.*inet6* \\([0-9a-f.:]*\\/[0-9]*\\).*/\\1/p' | grep -v fe80 | tr '\\n' ' ';" \
	" ip route show default 2>/dev/null | sed 's/ *$//' | tr '\\n' ' '"

static int table_sync(void *userdata, const struct nat_plan *want, struct fault *reterr)
{
	char text[sizeof(table.text)] = "absent", address[INET_ADDRSTRLEN];
	int used;

	if (table.fail_next > 0 && --table.fail_next == 0)
		return fault_set(reterr, -ENOSPC, "replace table: No space left on device");
	if (want->present) {
		inet_ntop(AF_INET, &want->address.addr, address, sizeof(address));
		used = snprintf(text, sizeof(text), "map %s psid %u ppp %s",
				want->map ? address : "none", want->ports.psid,
				want->pppoe.enabled ? want->pppoe.interface : "none");
		inet_ntop(AF_INET, &want->pppoe.address, address, sizeof(address));
		if (want->pppoe.address.s_addr)
			snprintf(text + used, sizeof(text) - (size_t)used, " at %s", address);
	}
	if (strcmp(text, table.text) == 0)
		return 0;
	if (until_failure < 0)
		snprintf(table.seen, sizeof(table.seen), "%s", shell_output(GLANCE));
	memcpy(table.text, text, sizeof(text));
	table.changes++;
	return 1;
}

static int table_forget(void *userdata, struct in_addr address, const struct nat_plan *want,
			struct fault *reterr)
{
	char text[INET_ADDRSTRLEN], expected[32] = "absent";
	size_t used = strlen(table.forgotten);

	/* Whatever is forgotten is not translated anew by the old table. */
	if (want->present) {
		inet_ntop(AF_INET, &want->address.addr, text, sizeof(text));
		snprintf(expected, sizeof(expected), "map %s", want->map ? text : "none");
	}
	assert_memory_equal(table.text, expected, strlen(expected));
	inet_ntop(AF_INET, &address, text, sizeof(text));
	snprintf(table.forgotten + used, sizeof(table.forgotten) - used, "%s ", text);
	return 1;
}

static const struct apply_nat nat = {table_sync, table_forget, NULL};

/* ---- plans ------------------------------------------------------------------------------- */

static void set_name(char to[IFNAMSIZ], const char *from)
{
	snprintf(to, IFNAMSIZ, "%s", from);
}

static struct plan base_plan(void)
{
	struct plan plan = {
		.sysctls = {{"net/ipv4/ip_forward", SYSCTL_SET, 1}},
		.sysctl_count = 1,
		.nat = {.present = true},
	};

	return plan;
}

static void add_route(struct plan *plan, uint32_t tab, uint32_t metric, const char *interface)
{
	struct plan_route *route = &plan->routes[plan->route_count++];

	*route = (struct plan_route){.table = tab, .metric = metric};
	set_name(route->interface, interface);
}

static void add_map(struct plan *plan, const char *ce, const char *address, uint16_t psid)
{
	plan->tunnel.mode = have_ip6tnl ? TUNNEL_CREATE : TUNNEL_EXISTING;
	set_name(plan->tunnel.name, "map0");
	set_name(plan->tunnel.wan, "wan");
	plan->tunnel.mtu = 1460;
	inet_pton(AF_INET6, ce, &plan->tunnel.local);
	inet_pton(AF_INET6, "2001:db8:b::1", &plan->tunnel.remote);
	plan->addresses[0].family = AF_INET6;
	set_name(plan->addresses[0].interface, "wan");
	plan->addresses[0].ip6 = plan->tunnel.local;
	plan->addresses[1].family = AF_INET;
	set_name(plan->addresses[1].interface, "map0");
	inet_pton(AF_INET, address, &plan->addresses[1].ip4);
	plan->address_count = 2;
	add_route(plan, PLAN_MAIN_TABLE, 1024, "map0");
	plan->sysctls[1] = (struct plan_sysctl){"net/ipv4/conf/map0/rp_filter", SYSCTL_LOOSEN, 2};
	plan->sysctl_count = 2;
	plan->nat.map = true;
	set_name(plan->nat.tunnel, "map0");
	plan->nat.address = prefix4_make(plan->addresses[1].ip4, 32);
	plan->nat.ports = (struct portset){6, 8, psid};
}

static void add_ppp(struct plan *plan, bool up)
{
	plan->nat.pppoe.enabled = true;
	set_name(plan->nat.pppoe.interface, "ppp0");
	if (up) {
		add_route(plan, 10, 0, "ppp0");
		add_route(plan, PLAN_MAIN_TABLE, 2048, "ppp0");
	}
	add_route(plan, 10, PLAN_FLOOR_METRIC, "");
	plan->rules[0] = (struct plan_rule){.priority = 999,
					    .mark = 1000,
					    .mask = 0xffff,
					    .table = PLAN_MAIN_TABLE,
					    .suppress_default = true};
	plan->rules[1] =
		(struct plan_rule){.priority = 1000, .mark = 1000, .mask = 0xffff, .table = 10};
	plan->rule_count = 2;
}

static struct plan first_plan(void)
{
	struct plan plan = base_plan();

	add_map(&plan, "2001:db8:1:200::12", "192.0.2.18", 52);
	add_ppp(&plan, true);
	return plan;
}

static struct plan second_plan(void)
{
	struct plan plan = base_plan();

	add_map(&plan, "2001:db8:2:300::13", "192.0.2.19", 53);
	add_ppp(&plan, false);
	return plan;
}

static struct plan ppp_only_plan(void)
{
	struct plan plan = base_plan();

	add_ppp(&plan, true);
	return plan;
}

/* ---- the box ----------------------------------------------------------------------------- */

static void make_box(void)
{
	sh("echo 0 > /proc/sys/net/ipv6/conf/default/dad_transmits");
	sh("echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter");
	sh("ip link add wan type veth peer name isp && ip link set wan up && ip link set isp up");
	sh("ip link add ppp0 type veth peer name acfar && ip link set ppp0 up && ip link set acfar "
	   "up");
	if (!have_ip6tnl)
		sh("ip link add map0 type veth peer name far && ip link set map0 up && ip link set "
		   "far up");
	sh("while ip link show up | grep -q NO-CARRIER; do sleep 0.01; done");
	sh("ip address add 2001:db8::1/64 dev wan nodad && ip -6 route add default via fe80::1 dev "
	   "wan");
	sh("ip address add 10.0.0.1/24 dev ppp0 && ip route add default via 10.0.0.2 metric 9999");
	sh("ip rule add priority 1000 fwmark 7 lookup 20 && ip route add default dev ppp0 table "
	   "20");
	sh("echo 1 > /proc/sys/net/ipv4/conf/isp/forwarding");
}

/* The local routes of IPv6 are left out: the kernel makes them from a work queue, also with nodad.
 */
#define BOX                                                                                  \
	"{ printf 'link show\\naddress show\\nrule show\\nroute show table all\\n' | ip -o " \
	"-batch -;"                                                                          \
	" ip -6 rule; ip -o -d link show map0 | grep -o 'ipip6 remote.*local [^ ]*';"        \
	" cd /proc/sys/net/ipv4 && grep . ip_forward conf/*/forwarding conf/*/rp_filter "    \
	"conf/*/accept_redirects | grep -v map0; } 2>/dev/null |"                            \
	" sed '/fe80/d; /^multicast/d; /^local [0-9a-f]*:/d; s/^[0-9]*: *\\([a-z]\\)/\\1/;"  \
	" s/@[^:]*:/:/; s/qlen.*//; s/ state [A-Z]*//; s/NO-CARRIER,//; s/ linkdown//' | sort"

static char *box(void)
{
	char *text = strdup(shell_output(BOX));

	assert_non_null(text);
	return text;
}

static int setup(void **state)
{
	table = (struct table){.text = "absent"};
	snprintf(state_file, sizeof(state_file), "/tmp/maped-test-apply.%d", getpid());
	unlink(state_file);
	return netns_setup(state);
}

static int teardown(void **state)
{
	unlink(state_file);
	return netns_teardown(state);
}

static struct applier *open_applier(struct rtnl *nl)
{
	struct fault fault = {0};
	struct applier *applier;

	assert_int_equal(applier_open(nl, &nat, state_file, &applier, &fault), 0);
	return applier;
}

/* ---- tests ------------------------------------------------------------------------------- */

static void test_there_same_changed_and_back(void **state)
{
	const struct plan nothing = PLAN_EMPTY, first = first_plan(), second = second_plan();
	_cleanup_free_ char *before = NULL, *after = NULL;
	_cleanup_(applier_close_p) struct applier *applier = NULL;
	struct rtnl *nl = *state;
	struct fault fault = {0};
	uint64_t sent;

	make_box();
	before = box();
	applier = open_applier(nl);
	assert_true(plan_apply(applier, &first, NULL, &fault) >= 10);
	assert_string_equal(table.text, "map 192.0.2.18 psid 52 ppp ppp0");
	/* The table stood before anything led to a line. */
	assert_string_equal(table.seen, "192.0.2.18/32 2001:db8::1/64 default via 10.0.0.2 dev "
					"ppp0 metric 9999");
	assert_output("default dev map0 proto 77 scope link metric 1024\n"
		      "default dev ppp0 proto 77 scope link metric 2048\n"
		      "default via 10.0.0.2 dev ppp0 metric 9999",
		      "ip route show default");

	sent = rtnl_changes(nl);
	assert_int_equal(plan_apply(applier, &first, &first, &fault), 0);
	assert_int_equal(plan_apply(applier, &first, NULL, &fault), 0);
	assert_int_equal(rtnl_changes(nl), sent);
	assert_int_equal(table.changes, 1);

	assert_true(plan_apply(applier, &second, &first, &fault) >= 5);
	/* Neither of the two CE addresses was there while the table changed. */
	assert_string_equal(table.seen, "192.0.2.18/32 192.0.2.19/32 2001:db8::1/64 default dev "
					"map0 proto 77 scope link metric 1024 default dev ppp0 "
					"proto 77 scope link metric 2048 default via 10.0.0.2 dev "
					"ppp0 metric 9999");
	assert_string_equal(table.forgotten, "192.0.2.18 ");
	assert_output("192.0.2.19/32 2001:db8:2:300::13/128 2001:db8::1/64 default dev map0 proto "
		      "77 scope link metric 1024 default via 10.0.0.2 dev ppp0 metric 9999",
		      GLANCE);

	assert_true(plan_apply(applier, &nothing, &second, &fault) >= 5);
	assert_string_equal(table.text, "absent");
	assert_string_equal(table.seen, have_ip6tnl
						? "2001:db8::1/64 default via 10.0.0.2 dev ppp0 "
						  "metric 9999"
						: "192.0.2.19/32 2001:db8::1/64 default via "
						  "10.0.0.2 dev ppp0 metric 9999");
	assert_string_equal(table.forgotten, "192.0.2.18 192.0.2.19 ");
	after = box();
	assert_same_lines(after, before);
	sent = rtnl_changes(nl);
	assert_int_equal(plan_apply(applier, &nothing, NULL, &fault), 0);
	assert_int_equal(rtnl_changes(nl), sent);
}

static void test_one_line_goes_and_comes_back(void **state)
{
	const struct plan both = first_plan(), ppp = ppp_only_plan();
	_cleanup_(applier_close_p) struct applier *applier = NULL;
	struct fault fault = {0};

	make_box();
	applier = open_applier(*state);
	assert_done(plan_apply(applier, &both, NULL, &fault), fault);
	assert_done(plan_apply(applier, &ppp, &both, &fault), fault);
	/* Nothing led to the tunnel any more when it lost its translation. */
	assert_null(strstr(table.seen, "map0"));
	assert_output("default dev ppp0 proto 77 scope link metric 2048\n"
		      "default via 10.0.0.2 dev ppp0 metric 9999",
		      "ip route show default");
	assert_done(plan_apply(applier, &both, &ppp, &fault), fault);
	assert_null(strstr(table.seen, "map0"));
	assert_string_equal(table.text, "map 192.0.2.18 psid 52 ppp ppp0");
}

static void test_a_session_that_returns_does_not_wait_for_the_table(void **state)
{
	struct plan first = first_plan(), down = first_plan(), again = first_plan();
	_cleanup_(applier_close_p) struct applier *applier = NULL;
	struct fault fault = {0};

	make_box();
	inet_pton(AF_INET, "100.64.0.1", &first.nat.pppoe.address);
	down.nat.pppoe.address = first.nat.pppoe.address;
	memmove(&down.routes[1], &down.routes[3], sizeof(down.routes[1]));
	down.route_count = 2;
	inet_pton(AF_INET, "100.64.0.2", &again.nat.pppoe.address);
	applier = open_applier(*state);
	assert_done(plan_apply(applier, &first, NULL, &fault), fault);
	assert_done(plan_apply(applier, &down, &first, &fault), fault);
	assert_output("unreachable default metric 4294967295", "ip route show table 10 proto 77");
	assert_done(plan_apply(applier, &again, &down, &fault), fault);
	/* The old table drops what has a foreign source, so that nothing is lost by hurry. */
	assert_string_equal(table.text, "map 192.0.2.18 psid 52 ppp ppp0 at 100.64.0.2");
	assert_non_null(strstr(table.seen, "default dev ppp0 proto 77"));
	assert_string_equal(table.forgotten, "100.64.0.1 ");

	/* Another mark: connections are still marked by the old table, so the rules wait. */
	again.rules[0].mark = again.rules[1].mark = again.nat.pppoe.mark = 7;
	inet_pton(AF_INET, "100.64.0.3", &again.nat.pppoe.address);
	again.nat.pppoe.mask = 0xffff;
	add_route(&again, 11, 0, "ppp0");
	add_route(&again, PLAN_MAIN_TABLE, 3000, "ppp0");
	assert_done(plan_apply(applier, &again, &first, &fault), fault);
	assert_null(strstr(table.seen, "metric 3000"));
	assert_output("default dev ppp0 proto 77 scope link", "ip route show default metric 3000");
}

static void test_what_others_take_comes_back(void **state)
{
	static const char *const deeds[] = {
		("ip rule flush && ip rule add priority 32766 lookup main && ip rule add priority "
		 "32767 lookup default && ip rule add priority 1000 fwmark 7 lookup 20"),
		"ip route flush table 10",
		"ip route del default dev map0",
		"ip -6 address del 2001:db8:1:200::12/128 dev wan",
		"ip -4 address flush dev map0",
		"ip link set map0 down && ip link set map0 up",
		"echo 0 > /proc/sys/net/ipv4/ip_forward",
	};
	const struct plan plan = first_plan();
	_cleanup_(applier_close_p) struct applier *applier = NULL;
	_cleanup_free_ char *good = NULL;
	struct fault fault = {0};

	make_box();
	applier = open_applier(*state);
	assert_done(plan_apply(applier, &plan, NULL, &fault), fault);
	good = box();
	for (size_t i = 0; i < ARRAY_SIZE(deeds); i++) {
		_cleanup_free_ char *mended = NULL;

		sh("%s", deeds[i]);
		assert_true(plan_apply(applier, &plan, &plan, &fault) > 0);
		mended = box();
		assert_same_lines(mended, good);
		assert_int_equal(plan_apply(applier, &plan, &plan, &fault), 0);
	}
	if (have_ip6tnl) {
		_cleanup_free_ char *mended = NULL;

		sh("ip link del map0");
		assert_true(plan_apply(applier, &plan, &plan, &fault) > 0);
		mended = box();
		assert_same_lines(mended, good);
	}
}

static void test_a_successor_adopts(void **state)
{
	const struct plan first = first_plan(), second = second_plan(), nothing = PLAN_EMPTY;
	_cleanup_(applier_close_p) struct applier *applier = NULL, *successor = NULL;
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct rtnl *nl = *state;
	struct fault fault = {0};
	uint64_t sent;

	make_box();
	before = box();
	applier = open_applier(nl);
	assert_done(plan_apply(applier, &first, NULL, &fault), fault);

	successor = open_applier(nl); /* the first was killed */
	sent = rtnl_changes(nl);
	assert_int_equal(plan_apply(successor, &first, NULL, &fault), 0);
	assert_int_equal(rtnl_changes(nl), sent);
	/* The prefix changed while nobody was there. */
	assert_done(plan_apply(successor, &second, NULL, &fault), fault);
	assert_non_null(strstr(table.forgotten, "192.0.2.18 "));
	assert_output("192.0.2.19/32 2001:db8:2:300::13/128 2001:db8::1/64 default dev map0 proto "
		      "77 scope link metric 1024 default via 10.0.0.2 dev ppp0 metric 9999",
		      GLANCE);
	assert_done(plan_apply(successor, &nothing, NULL, &fault), fault);
	after = box();
	assert_same_lines(after, before);
}

/* Every n-th only, where a process takes its time: MAPED_TEST_STRIDE (the guest). */
static unsigned int stride(void)
{
	const char *text = getenv("MAPED_TEST_STRIDE");
	int n = text ? atoi(text) : 1;

	return n > 1 ? (unsigned int)n : 1;
}

/* Every request of every transition fails once. only: with this errno; 0: each with another one. */
static void fail_every_request(struct rtnl *nl, int only)
{
	static const int codes[] = {-EPERM, -EBUSY, -ENOBUFS, -EEXIST, -ENODEV, -ENOSPC};
	const struct plan plans[] = {
		{.rule_count = 0}, first_plan(), second_plan(), ppp_only_plan()};
	static const unsigned int steps[][2] = {{0, 1}, {1, 2}, {2, 1}, {1, 3}, {3, 1}, {1, 0}};
	_cleanup_(applier_close_p) struct applier *applier = NULL;
	struct fault fault = {0};
	char *boxes[4], tables[4][sizeof(table.text)];

	make_box();
	applier = open_applier(nl);
	for (size_t i = 0; i < 4; i++) {
		assert_done(plan_apply(applier, &plans[i], NULL, &fault), fault);
		boxes[i] = box();
		memcpy(tables[i], table.text, sizeof(table.text));
	}
	for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
		const unsigned int from = steps[s][0], to = steps[s][1];
		struct fail_nth fail = {0};

		do {
			_cleanup_free_ char *now = NULL;
			int r;

			assert_done(plan_apply(applier, &plans[from], &plans[to], &fault), fault);
			fault = (struct fault){0};
			fail.n += stride();
			fail.code = only ? only : codes[(fail.n + s) % ARRAY_SIZE(codes)];
			fail_nth(nl, &fail);
			r = plan_apply(applier, &plans[to], &plans[from], &fault);
			rtnl_set_send_hook(nl, NULL, NULL);
			now = box();
			if (r >= 0) {
				assert_same_lines(now, boxes[to]);
				assert_string_equal(table.text, tables[to]);
			} else {
				assert_int_equal(fault.code, r);
				assert_true(fault.text[0]);
				assert_same_lines(now, boxes[from]);
				assert_string_equal(table.text, tables[from]);
			}
		} while (fail.seen >= fail.n && fail.n < 200);
		assert_in_range(fail.n, 10, 200);
	}
	for (size_t i = 0; i < 4; i++)
		free(boxes[i]);
}

static void test_old_state_or_new_never_half(void **state)
{
	fail_every_request(*state, 0);
}

/* What is also the truth about an interface that has gone must not be taken for it. */
static void test_no_such_device_is_no_proof(void **state)
{
	fail_every_request(*state, -ENODEV);
}

static void test_failing_table_is_undone(void **state)
{
	const struct plan first = first_plan(), second = second_plan(), nothing = PLAN_EMPTY;
	_cleanup_(applier_close_p) struct applier *applier = NULL;
	_cleanup_free_ char *before = NULL, *good = NULL, *now = NULL, *later = NULL;
	struct fault fault = {0};

	make_box();
	before = box();
	applier = open_applier(*state);
	table.fail_next = 1;
	assert_int_equal(plan_apply(applier, &first, NULL, &fault), -ENOSPC);
	assert_string_equal(fault.text, "replace table: No space left on device");
	now = box();
	assert_same_lines(now, before);
	assert_done(plan_apply(applier, &first, &nothing, &fault), fault);
	good = box();
	table.fail_next = 1;
	assert_int_equal(plan_apply(applier, &second, &first, &fault), -ENOSPC);
	later = box();
	assert_same_lines(later, good);
	assert_string_equal(table.text, "map 192.0.2.18 psid 52 ppp ppp0");
}

/* Dies before the n-th request: nothing is sent any more. */
static int die_from_nth(const struct nlmsghdr *request, void *userdata)
{
	struct fail_nth *fail = userdata;

	return ++fail->seen >= fail->n ? -EIO : 0;
}

static void test_killed_anywhere_is_taken_over(void **state)
{
	const struct plan first = first_plan(), second = second_plan(), nothing = PLAN_EMPTY;
	_cleanup_free_ char *before = NULL, *good = NULL;
	struct rtnl *nl = *state;
	struct fail_nth fail = {0};
	struct fault fault = {0};
	struct applier *applier;
	bool from_first = false;

	make_box();
	before = box();
	applier = open_applier(nl);
	assert_done(plan_apply(applier, &second, NULL, &fault), fault);
	good = box();
	assert_done(plan_apply(applier, &nothing, NULL, &fault), fault);
	do {
		_cleanup_free_ char *taken_over = NULL, *after = NULL;
		bool from_nothing = !from_first;

		from_first = !from_first;

		applier_close(applier);
		applier = open_applier(nl);
		if (!from_nothing)
			assert_done(plan_apply(applier, &first, NULL, &fault), fault);
		fail.n += stride();
		fail.seen = 0;
		rtnl_set_send_hook(nl, die_from_nth, &fail);
		(void)plan_apply(applier, &second, from_nothing ? NULL : &first, &fault);
		rtnl_set_send_hook(nl, NULL, NULL);

		applier_close(applier);
		applier = open_applier(nl);
		assert_done(plan_apply(applier, &second, NULL, &fault), fault);
		taken_over = box();
		assert_same_lines(taken_over, good);
		assert_done(plan_apply(applier, &nothing, &second, &fault), fault);
		after = box();
		assert_same_lines(after, before);
	} while (fail.seen >= fail.n && fail.n < 120);
	applier_close(applier);
	assert_in_range(fail.n, 20, 119);
}

static void test_every_allocation_may_fail(void **state)
{
	const struct plan first = first_plan(), second = second_plan(), nothing = PLAN_EMPTY;
	const struct plan *const steps[][2] = {
		{&nothing, &first}, {&first, &second}, {&second, &nothing}};
	_cleanup_(applier_close_p) struct applier *applier = NULL;
	struct fault fault = {0};

	if (!CAN_FAIL_ALLOCATIONS) {
		print_message("SKIP: the address sanitizer has allocation functions of its own\n");
		skip();
	}
	make_box();
	applier = open_applier(*state);
	for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
		const struct plan *from = steps[s][0], *to = steps[s][1];
		_cleanup_free_ char *old = NULL, *new = NULL;
		long n = 0, left;

		assert_done(plan_apply(applier, to, NULL, &fault), fault);
		new = box();
		assert_done(plan_apply(applier, from, to, &fault), fault);
		old = box();
		do {
			_cleanup_free_ char *now = NULL;
			int r;

			fault = (struct fault){0};
			until_failure = n;
			n += stride();
			r = plan_apply(applier, to, from, &fault);
			left = until_failure;
			until_failure = -1;
			assert_true(r >= 0 || r == -ENOMEM || fault.text[0]);
			now = box();
			assert_same_lines(now, r >= 0 ? new : old);
			assert_done(plan_apply(applier, from, to, &fault), fault);
		} while (left < 0 && n < 2000);
		assert_in_range(n, 20, 1999);
	}
}

static void test_unbelievable_state_file(void **state)
{
	_cleanup_(applier_close_p) struct applier *applier = NULL;
	struct fault fault = {0};

	sh("printf 'maped sysctl 1\\nkernel/panic 0 1\\nend\\n' > %s", state_file);
	assert_int_equal(applier_open(*state, &nat, state_file, &applier, &fault), 1);
	assert_non_null(strstr(fault.text, "line 2 is not sound"));
	assert_non_null(applier);
}

#define apply_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		apply_test(test_there_same_changed_and_back),
		apply_test(test_one_line_goes_and_comes_back),
		apply_test(test_a_session_that_returns_does_not_wait_for_the_table),
		apply_test(test_what_others_take_comes_back),
		apply_test(test_a_successor_adopts),
		apply_test(test_old_state_or_new_never_half),
		apply_test(test_no_such_device_is_no_proof),
		apply_test(test_failing_table_is_undone),
		apply_test(test_killed_anywhere_is_taken_over),
		apply_test(test_every_allocation_may_fail),
		apply_test(test_unbelievable_state_file),
	};

	netns_need();
	have_ip6tnl = kernel_has_link("ip6tnl local ::1 remote 2001:db8::1");
	return cmocka_run_group_tests_name("apply", tests, NULL, NULL);
}
