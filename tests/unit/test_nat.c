/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The messages that make the table, read back without a kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <endian.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "lib/base/macro.h"
#include "lib/base/text.h"
#include "lib/kernel/nat.h"
#include "lib/kernel/nat_memory.h"
#include "lib/kernel/nft.h"

#define OCN    ((struct portset){6, 6, 0x29})
#define V6PLUS ((struct portset){4, 8, 0x29})

static struct nat_plan plan_of(struct portset ports)
{
	struct nat_plan plan = {
		.present = true, .map = true, .tunnel = "map0", .ports = ports, .tunnel_mtu = 1460};

	inet_pton(AF_INET, "198.51.100.52", &plan.address.addr);
	plan.address.len = 32;
	return plan;
}

/* Walks the messages of a transaction. */
typedef void (*visitor)(const struct nlmsghdr *nlh, unsigned int type, void *userdata);

static uint32_t tunnel_index, wan_index; /* 0: it is not there */

static void visit_table(const struct nft_table *table, visitor call, void *userdata)
{
	_cleanup_free_ void *data = NULL;
	const struct nlmsghdr *nlh;
	size_t length;
	int left;

	assert_non_null(table);
	assert_false(nft_table_failed(table));
	assert_int_equal(nft_table_messages(table, &data, &length), 0);
	nlh = data;
	left = (int)length;
	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
		call(nlh, nlh->nlmsg_type & 0xff, userdata);
	assert_int_equal(left, 0);
}

static void visit(const struct nat_plan *plan, visitor call, void *userdata)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = nat_table_new(plan, tunnel_index);

	visit_table(table, call, userdata);
}

static void visit_envelope(const struct nlmsghdr *nlh, unsigned int type, void *userdata)
{
	unsigned int *seen = userdata;

	(void)type;
	if (*seen == 0)
		assert_int_equal(nlh->nlmsg_type, NFNL_MSG_BATCH_BEGIN);
	else if (nlh->nlmsg_type == NFNL_MSG_BATCH_END)
		*seen |= 0x80000000u;
	else
		assert_int_equal(nlh->nlmsg_type >> 8, NFNL_SUBSYS_NFTABLES);
	(*seen)++;
}

static void one_transaction(void **state)
{
	struct nat_plan plan = plan_of(OCN);
	unsigned int seen = 0;

	(void)state;
	visit(&plan, visit_envelope, &seen);
	assert_true(seen & 0x80000000u);
}

struct pool {
	bool seen[65536];
	unsigned int count;
};

static const struct nlattr *inside(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) if (mnl_attr_get_type(attr) == type) return attr;
	return NULL;
}

/* The elements that a message adds to a set; NULL: it is another message. */
static const struct nlattr *elements_of(const struct nlmsghdr *nlh, unsigned int type,
					const char *set)
{
	const struct nlattr *attr, *list = NULL;
	bool ours = false;

	if (nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || type != NFT_MSG_NEWSETELEM)
		return NULL;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_SET)
			ours = strcmp(mnl_attr_get_str(attr), set) == 0;
		else if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_ELEMENTS)
			list = attr;
	}
	return ours ? list : NULL;
}

/* By hand: libnftnl numbers the elements of a message, and does not read such numbers. */
static void visit_pool(const struct nlmsghdr *nlh, unsigned int type, void *userdata)
{
	struct pool *pool = userdata;
	const struct nlattr *element, *list = elements_of(nlh, type, "map_pool");

	if (!list)
		return;
	mnl_attr_for_each_nested(element, list)
	{
		const struct nlattr *value = inside(element, NFTA_SET_ELEM_DATA);
		uint16_t port;

		assert_non_null(value);
		value = inside(value, NFTA_DATA_VALUE);
		assert_non_null(value);
		assert_int_equal(mnl_attr_get_payload_len(value), sizeof(port));
		port = ntohs(mnl_attr_get_u16(value));
		pool->seen[port] = true;
		pool->count++;
	}
}

static void check_pool(struct portset ports, struct nat_forward *forwards, size_t forward_count)
{
	struct nat_plan plan = plan_of(ports);
	struct pool *pool = calloc(1, sizeof(*pool));

	assert_non_null(pool);
	plan.forwards = forwards;
	plan.forward_count = forward_count;
	visit(&plan, visit_pool, pool);
	for (unsigned int port = 0; port < 65536; port++) {
		bool wanted = port != 0 && portset_has(&ports, (uint16_t)port);

		for (size_t i = 0; i < forward_count; i++)
			if (port >= forwards[i].ports.first && port <= forwards[i].ports.last)
				wanted = false;
		assert_int_equal(pool->seen[port], wanted);
	}
	/* No place is empty: each try finds a port. */
	assert_int_equal(pool->count, portset_count(&ports));
	free(pool);
}

static void pool_is_the_port_set(void **state)
{
	(void)state;
	check_pool(OCN, NULL, 0);
	check_pool(V6PLUS, NULL, 0);
	check_pool((struct portset){0, 16, 4711}, NULL, 0); /* one port */
	check_pool((struct portset){0, 8, 0}, NULL, 0);     /* one block, with port 0 */
	check_pool((struct portset){15, 1, 1}, NULL, 0);    /* blocks of one port */
	check_pool((struct portset){0, 1, 1}, NULL, 0);     /* 32768 ports */
}

static void forwards_leave_the_pool(void **state)
{
	struct nat_forward forwards[] = {
		{.protocols = PROTO_TCP, .ports = {1680, 1680}, .to_port = 80},
		{.protocols = PROTO_UDP, .ports = {2704, 2719}, .to_port = 2704},
	};

	(void)state;
	check_pool(OCN, forwards, ARRAY_SIZE(forwards));
}

static void opened_ports_leave_the_pool(void **state)
{
	struct service open[] = {{.protocols = PROTO_UDP, .ports = {1681, 1682}}};
	struct nat_plan plan = plan_of(OCN);
	struct pool pool = {0};

	(void)state;
	plan.open = open;
	plan.open_count = ARRAY_SIZE(open);
	visit(&plan, visit_pool, &pool);
	assert_true(pool.seen[1680] && pool.seen[1683]);
	assert_false(pool.seen[1681] || pool.seen[1682]);
	assert_int_equal(pool.count, portset_count(&plan.ports));
}

struct rules {
	const char *chain;
	struct text text;
};

static int print_expression(struct nftnl_expr *expr, void *userdata)
{
	char line[512];

	nftnl_expr_snprintf(line, sizeof(line), expr, 0, 0);
	text_add(userdata, "%s %s\n", nftnl_expr_get_str(expr, NFTNL_EXPR_NAME), line);
	return 0;
}

static void visit_rules(const struct nlmsghdr *nlh, unsigned int type, void *userdata)
{
	struct rules *rules = userdata;
	struct nftnl_rule *rule;

	if (nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || type != NFT_MSG_NEWRULE)
		return;
	rule = nftnl_rule_alloc();
	assert_int_equal(nftnl_rule_nlmsg_parse(nlh, rule), 0);
	if (strcmp(nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN), rules->chain) == 0) {
		nftnl_expr_foreach(rule, print_expression, &rules->text);
		text_add(&rules->text, "\n");
	}
	nftnl_rule_free(rule);
}

static void assert_rules(const struct nft_table *table, const char *chain, const char *part,
			 bool holds)
{
	struct rules rules = {.chain = chain, .text = TEXT_INIT};

	visit_table(table, visit_rules, &rules);
	if ((strstr(text_get(&rules.text), part) != NULL) != holds)
		fail_msg("chain %s %s:\n%s\n%s", chain, holds ? "lacks" : "has", part,
			 text_get(&rules.text));
	text_done(&rules.text);
}

static void assert_chain(const struct nat_plan *plan, const char *chain, const char *part,
			 bool holds)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = nat_table_new(plan, tunnel_index);

	assert_rules(table, chain, part, holds);
}

/* Of the table of IPv6. */
static void assert_outer(const struct nat_plan *plan, const char *chain, const char *part,
			 bool holds)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = nat_outer_table_new(plan, wan_index);

	assert_rules(table, chain, part, holds);
}

static void the_way_of_an_endpoint(void **state)
{
	struct nat_plan plan = plan_of(OCN);

	(void)state;
	/* Its own port, if free for the destination: no element is touched by the question. */
	assert_chain(&plan, "map_udp_known",
		     "payload load 4b @ network header + 12 => reg 1 \n"
		     "payload load 2b @ transport header + 0 => reg 9 \n"
		     "lookup reg 1 set map_udp_owner dreg 14 0x0 \n",
		     true);
	assert_chain(&plan, "map_udp_known", "lookup reg 2 set map_udp_busy 0x1 \n", true);
	assert_chain(&plan, "map_udp", "map_tcp", false);
	assert_chain(&plan, "map_tcp_first", "lookup reg 2 set map_tcp_closing 0x1 \n", true);
	/* ICMP: identifier, type and code. */
	assert_chain(&plan, "map_echo", "payload load 2b @ transport header + 4 => reg 9 \n", true);
	/* The shared address, and one port in both ends of the range. */
	assert_chain(&plan, "map_udp_known",
		     "immediate reg 3 0x346433c6 \n"
		     "nat snat ip addr_min reg 3 addr_max reg 3 proto_min reg 14 proto_max reg 14 "
		     "flags 0x7 \n",
		     true);
	assert_chain(&plan, "map_udp", "numgen reg 14 = inc mod 1008 \n", true);
	assert_chain(&plan, "map_udp_first", "map_pool", false);
	assert_chain(&plan, "map_udp_spare_1", "numgen reg 14 = inc mod 16 offset 992 \n", true);
}

/* Made of a number where both ends of a port fit in an octet each, looked up otherwise. */
static void the_next_port(void **state)
{
	static const struct {
		struct portset ports;
		const char *next;
	} all[] = {
		{{6, 6, 0x29},
		 "numgen reg 14 = inc mod 1024 \n"
		 "bitwise reg 14 = ( reg 14 << 0x00000002 ) \n"
		 "bitwise reg 14 = ( reg 14 & 0xffffffff ) ^ 0x00009002 \n"
		 "cmp gte reg 14 0x00000004 \n"
		 "lookup reg 14 set map_reserved 0x1 \n"},
		{{4, 8, 0},
		 "numgen reg 14 = inc mod 256 \n"
		 "bitwise reg 14 = ( reg 14 << 0x00000004 ) \n"
		 "cmp gte reg 14 0x00000010 \n"},
		{{8, 4, 0},
		 "numgen reg 14 = inc mod 4096 \n"
		 "cmp gte reg 14 0x00000001 \n"},
		{{0, 8, 9},
		 "numgen reg 14 = inc mod 256 \n"
		 "bitwise reg 14 = ( reg 14 << 0x00000008 ) \n"
		 "bitwise reg 14 = ( reg 14 & 0xffffffff ) ^ 0x00000009 \n"
		 "lookup reg 14 set map_reserved 0x1 \n"},
		{{2, 4, 1}, "lookup reg 14 set map_pool dreg 14 0x0 \n"},
		{{9, 4, 1}, "lookup reg 14 set map_pool dreg 14 0x0 \n"},
	};

	(void)state;
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
	skip();
#endif
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct nat_plan plan = plan_of(all[i].ports);

		assert_chain(&plan, "map_udp_first", all[i].next, true);
	}
}

static void every_port_is_tried(void **state)
{
	static const struct {
		struct portset ports;
		const char *chain, *below;
		unsigned int jumps;
	} all[] = {
		{{6, 6, 0x29}, "map_udp_search", "map_udp_search_256", 4},
		{{4, 8, 0x29}, "map_udp_search", "map_udp_search_16", 15},
		{{0, 16, 9}, "map_tcp_search", "map_tcp_search_1", 1},
		{{6, 6, 0x29}, "map_udp_spare", "map_udp_spare_1", 16},
		{{0, 16, 9}, "map_tcp_spare", "map_tcp_spare_1", 1},
		{{6, 6, 0x29}, "map_udp_full", "map_udp_full_256", 4},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct nat_plan plan = plan_of(all[i].ports);
		struct rules rules = {.chain = all[i].chain, .text = TEXT_INIT};
		unsigned int found = 0;
		char jump[64];

		snprintf(jump, sizeof(jump), "jump -> %s ", all[i].below);
		visit(&plan, visit_rules, &rules);
		for (const char *at = text_get(&rules.text); (at = strstr(at, jump)); at++)
			found++;
		assert_int_equal(found, all[i].jumps);
		text_done(&rules.text);
	}
}

static void an_endpoint_without_room_is_not_learnt(void **state)
{
	struct nat_plan plan = plan_of(OCN);

	(void)state;
	assert_chain(&plan, "map_udp_search_1", "add reg_key 1 set map_udp_owner sreg_data 14",
		     true);
	assert_chain(&plan, "map_udp_full_1", "map_udp_owner", false);
	assert_chain(&plan, "map_udp_full_1", "add reg_key 2 set map_udp_busy", true);
	assert_chain(&plan, "map_udp", "delete reg_key 1 set map_udp_owner", true);
}

/* A set for each limit: elements keep the limit that they were made with. */
static void a_limit_has_a_set_of_its_own(void **state)
{
	struct nat_plan plan = plan_of(OCN);

	(void)state;
	plan.host_limit = 20;
	assert_chain(&plan, "map_host_first", "set map_host_limit_20", true);
	assert_chain(&plan, "map_snat", "lookup reg 1 set map_host_live 0x1 \n", true);
	plan.host_limit = 30;
	assert_chain(&plan, "map_host_first", "set map_host_limit_20", false);
	assert_chain(&plan, "map_host_first", "set map_host_limit_30", true);
}

/* ---- what conntrack knows of a table that has gone --------------------------------------------
 */

struct elements {
	const char *set;
	unsigned int count;
	uint64_t timeouts; /* sum, ms */
	uint8_t last_key[16];
	uint16_t last_port; /* first in the data */
};

static void visit_elements(const struct nlmsghdr *nlh, unsigned int type, void *userdata)
{
	struct elements *out = userdata;
	const struct nlattr *element, *list = elements_of(nlh, type, out->set);

	if (!list)
		return;
	mnl_attr_for_each_nested(element, list)
	{
		const struct nlattr *timeout = inside(element, NFTA_SET_ELEM_TIMEOUT);
		const struct nlattr *key = inside(element, NFTA_SET_ELEM_KEY);
		const struct nlattr *data = inside(element, NFTA_SET_ELEM_DATA);

		out->count++;
		out->timeouts += timeout ? be64toh(mnl_attr_get_u64(timeout)) : 0;
		key = inside(key, NFTA_DATA_VALUE);
		memcpy(out->last_key, mnl_attr_get_payload(key),
		       MIN_OF(mnl_attr_get_payload_len(key), sizeof(out->last_key)));
		data = data ? inside(data, NFTA_DATA_VALUE) : NULL;
		out->last_port = data ? ntohs(mnl_attr_get_u16(data)) : 0;
	}
}

static struct conntrack_entry entry_of(uint8_t protocol, uint16_t inner, uint16_t outer,
				       uint8_t destination, bool answered)
{
	struct conntrack_entry entry = {
		.protocol = protocol,
		.original = {.source_port = inner, .destination_port = 53},
		.reply = {.source_port = 53, .destination_port = outer},
		.answered = answered,
		.timeout = 100,
	};

	entry.original.source.s_addr = htonl(0xc0a8010a);
	entry.original.destination.s_addr = htonl(0xcb007100u + destination);
	entry.reply.source = entry.original.destination;
	return entry;
}

static struct elements recalled(const struct nat_plan *plan, const struct nat_memory *memory,
				const char *set)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = nat_table_new(plan, 0);
	struct elements elements = {.set = set};

	nat_memory_recall(memory, plan, table);
	visit_table(table, visit_elements, &elements);
	return elements;
}

static void connections_are_recalled(void **state)
{
	struct conntrack_entry entries[] = {
		entry_of(IPPROTO_UDP, 4000, 1681, 1, false),
		entry_of(IPPROTO_UDP, 4000, 1681, 2, true),
		entry_of(IPPROTO_UDP, 4001, 1682, 1, false),
		entry_of(IPPROTO_TCP, 4000, 1683, 1, true),
		entry_of(IPPROTO_TCP, 4000, 1684, 2, true), /* had to move */
		entry_of(IPPROTO_ICMP, 7, 1685, 1, true),
	};
	const struct nat_memory memory = {entries, ARRAY_SIZE(entries), 0};
	struct nat_plan plan = plan_of(OCN);
	static const uint8_t open[4] = {1681 >> 8, 1681 & 0xff};

	(void)state;
	/* An endpoint once, and for an hour when one of its connections was answered. */
	assert_int_equal(recalled(&plan, &memory, "map_udp_owner").count, 2);
	assert_int_equal(recalled(&plan, &memory, "map_udp_owner").timeouts, 300000);
	assert_int_equal(recalled(&plan, &memory, "map_tcp_owner").count, 1);
	assert_int_equal(recalled(&plan, &memory, "map_echo_owner").count, 1);
	/* TCP is kept from its ports for as long as conntrack has it. */
	assert_int_equal(recalled(&plan, &memory, "map_tcp_closing").count, 2);
	assert_int_equal(recalled(&plan, &memory, "map_tcp_closing").timeouts, 200000);
	/* Whatever is left of its time: the next packet begins it anew. */
	entries[3].established = true;
	assert_int_equal(recalled(&plan, &memory, "map_tcp_closing").timeouts, 432100000);
	assert_int_equal(recalled(&plan, &memory, "map_contacted").count, 3);
	assert_int_equal(recalled(&plan, &memory, "map_open").count, 0);
	assert_int_equal(recalled(&plan, &memory, "map_answered").count, 1);
	assert_memory_equal(recalled(&plan, &memory, "map_answered").last_key, open, 4);
	plan.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	assert_int_equal(recalled(&plan, &memory, "map_contacted").count, 0);
	assert_int_equal(recalled(&plan, &memory, "map_open").count, 2);
}

/* An endpoint that had to move somewhere comes back with its own port: the one that more of its
 * connections have, or else the one that is none to move to. */
static void an_endpoint_has_its_own_port_again(void **state)
{
	struct nat_plan plan = plan_of(OCN);
	uint16_t spare = portset_nth(&plan.ports, portset_count(&plan.ports) - 1);
	struct conntrack_entry entries[] = {
		entry_of(IPPROTO_UDP, 4000, spare, 1, true),
		entry_of(IPPROTO_UDP, 4000, 1681, 2, false),
		entry_of(IPPROTO_UDP, 4000, 1682, 3, true),
		entry_of(IPPROTO_UDP, 4000, 1682, 4, false),
	};
	struct nat_memory memory = {entries, 2, 0};

	(void)state;
	assert_int_equal(recalled(&plan, &memory, "map_udp_owner").count, 1);
	assert_int_equal(recalled(&plan, &memory, "map_udp_owner").last_port, 1681);
	memory.count = ARRAY_SIZE(entries);
	assert_int_equal(recalled(&plan, &memory, "map_udp_owner").count, 1);
	assert_int_equal(recalled(&plan, &memory, "map_udp_owner").last_port, 1682);
	assert_int_equal(recalled(&plan, &memory, "map_udp_owner").timeouts, 0);
}

/* Only what was translated as it would be now. */
static void the_fast_path_is_for_our_mapping(void **state)
{
	struct nat_device lan = {"br0", 3};
	struct nat_plan plan = plan_of(OCN);

	(void)state;
	plan.offload = true;
	plan.devices = &lan;
	plan.device_count = 1;
	assert_chain(&plan, "map_offload", "flow_offload", false);
	tunnel_index = 7;
	assert_chain(&plan, "map_offload",
		     "ct load dst_ip => reg 9 , dir reply \n"
		     "cmp eq reg 9 0x346433c6 \n"
		     "ct load proto_dst => reg 9 , dir reply \n",
		     true);
	assert_chain(&plan, "map_offload", "ct load dst_ip => reg 9 , dir original \n", true);
	assert_chain(&plan, "map_offload", "flow_offload flowtable map_flows \n", true);
	assert_chain(&plan, "offload", "cmp eq reg 1 0x00000007 \n", true);
	plan.offload = false;
	assert_chain(&plan, "map_offload", "flow_offload", false);
	tunnel_index = 0;
}

static void first_packets_to_another_address(void **state)
{
	struct nat_plan plan = plan_of(OCN);

	(void)state;
	for (int whole = 0; whole < 2; whole++) {
		assert_chain(&plan, "prerouting_nat",
			     "objref type 1 name inbound \nimmediate reg 0 drop", true);
		plan.ports = (struct portset){0, 0, 0};
	}
}

/* What stands by itself keeps new connections from the tunnel, and nothing else. */
static void held_table(void **state)
{
	const struct nat_plan plan = plan_of(OCN), pppoe = {.present = true};
	_cleanup_(nft_table_free_p) struct nft_table *mape = nat_hold_table_new(&plan);
	_cleanup_(nft_table_free_p) struct nft_table *none = nat_hold_table_new(&pppoe);

	(void)state;
	assert_rules(mape, "postrouting",
		     "meta load oifname => reg 1 \n"
		     "cmp eq reg 1 0x3070616d 0x00000000 0x00000000 0x00000000 \n"
		     "immediate reg 0 drop",
		     true);
	assert_rules(mape, "postrouting", "ct load status", true);
	assert_rules(none, "postrouting", "ct load state", true);
	assert_rules(none, "postrouting", "drop", false);
}

static void whole_address(void **state)
{
	struct nat_plan plan = plan_of((struct portset){0, 0, 0});

	(void)state;
	assert_chain(&plan, "map_snat", "nat snat ip addr_min reg 3 addr_max reg 3 flags 0x1 \n",
		     true);
	assert_chain(&plan, "prerouting_nat", "reject", false);
	plan = plan_of(OCN);
	assert_chain(&plan, "prerouting_nat", "reject", true);
}

static void mss_follows_the_mtu(void **state)
{
	struct nat_plan plan = plan_of(OCN);

	(void)state;
	assert_chain(&plan, "guard", "immediate reg 1 0x00008c05 \n", true); /* 1420 */
	plan.tunnel_mtu = 1420;
	assert_chain(&plan, "guard", "immediate reg 1 0x00006405 \n", true); /* 1380 */
	plan.tunnel_mtu = 0;
	assert_chain(&plan, "guard", "exthdr", false);
}

static void filtering_modes(void **state)
{
	struct nat_plan plan = plan_of(OCN);
	const struct nat_host host = {.address = {.len = 32}};

	(void)state;
	plan.filtering = FILTERING_ADDRESS_DEPENDENT;
	assert_chain(&plan, "guard", "set map_contacted", true);
	assert_chain(&plan, "guard", "set map_open", false);
	plan.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	assert_chain(&plan, "guard", "set map_open", true);
	assert_chain(&plan, "guard", "set map_contacted", false);
	plan.filtering = FILTERING_ADDRESS_AND_PORT_DEPENDENT;
	assert_chain(&plan, "guard", "dynset", false);
	assert_chain(&plan, "map_leave_udp", "dynset", false);
	plan.hosts = &host;
	plan.host_count = 1;
	plan.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	assert_chain(&plan, "guard", "dynset", false);
	assert_chain(&plan, "map_leave_udp", "set map_open", true);
}

static void the_index_is_used_only_when_known(void **state)
{
	struct nat_plan plan = plan_of(OCN);

	(void)state;
	/* visit() describes the table without an index: nothing is let through by it. */
	assert_chain(&plan, "guard", "meta load oif =>", false);
	assert_chain(&plan, "guard", "meta load oifname", true);
	tunnel_index = 7;
	assert_chain(&plan, "guard", "meta load oif => reg 1 \ncmp neq reg 1 0x00000007 \n", true);
	tunnel_index = 0;
}

/* Only with a source of ours, and not where nothing is learnt of others anyway. */
static void streams_teach_nothing(void **state)
{
	static const char rule[] = "payload load 1b @ network header + 9 => reg 1 \n"
				   "cmp eq reg 1 0x00000011 \n"
				   "ct load status => reg 1 \n"
				   "bitwise reg 1 = ( reg 1 & 0x00000034 ) ^ 0x00000000 \n"
				   "cmp eq reg 1 0x00000014 \n"
				   "payload load 4b @ network header + 12 => reg 1 \n"
				   "cmp eq reg 1 0x346433c6 \n"
				   "payload load 2b @ transport header + 0 => reg 2 \n"
				   "cmp gte reg 2 0x00000004 \n";
	struct nat_host host = {.address = {.len = 32},
				.filtering = FILTERING_ENDPOINT_INDEPENDENT};
	struct nat_plan plan = plan_of(OCN);

	(void)state;
	assert_chain(&plan, "guard", rule, true);
	plan.filtering = FILTERING_ADDRESS_AND_PORT_DEPENDENT;
	assert_chain(&plan, "guard", "ct load status", false);
	plan.hosts = &host;
	plan.host_count = 1;
	assert_chain(&plan, "guard", rule, true);
}

#define FROM(word0, word1, word2, word3)                                                           \
	"payload load 16b @ network header + 8 => reg 1 \ncmp eq reg 1 " word0 " " word1 " " word2 \
	" " word3 " \n"
#define FROM_CE FROM("0x50400024", "0x00298d04", "0x12f09900", "0x00290034")
#define FROM_BR FROM("0x80030120", "0x000020a1", "0x00000000", "0x09000000")

#define ONLY_BY_WAN0                                                           \
	FROM_BR "meta load iifname => reg 1 \n"                                \
		"cmp neq reg 1 0x306e6177 0x00000000 0x00000000 0x00000000 \n" \
		"objref type 1 name inbound \nimmediate reg 0 drop"

static void nobody_else_is_an_end_of_the_tunnel(void **state)
{
	struct nat_plan plan = plan_of(OCN);

	(void)state;
	assert_false(nat_outer_wanted(&plan));
	assert_outer(&plan, "input", "payload", false);
	inet_pton(AF_INET6, "2400:4050:48d:2900:99:f012:3400:2900", &plan.ce);
	assert_true(nat_outer_wanted(&plan));
	snprintf(plan.wan, sizeof(plan.wan), "wan0");
	assert_outer(&plan, "forward",
		     "payload load 4b @ network header + 20 => reg 1 \n"
		     "cmp eq reg 1 0x00290034 \n" FROM_CE
		     "objref type 1 name leaks \nimmediate reg 0 drop",
		     true);
	assert_outer(&plan, "input", "drop", false);
	inet_pton(AF_INET6, "2001:380:a120::9", &plan.br);
	assert_outer(&plan, "input", ONLY_BY_WAN0, true);
	/* Who else has the address of the CE may say so. */
	assert_outer(&plan, "input", FROM_CE, false);
	/* The WAN's index only spares these questions. */
	assert_outer(&plan, "input", "meta load iif => reg 1 \n", false);
	wan_index = 3;
	assert_outer(&plan, "input",
		     "meta load iif => reg 1 \ncmp neq reg 1 0x00000003 \n" ONLY_BY_WAN0, true);
	plan.wan[0] = '\0';
	assert_outer(&plan, "input", "meta load iif", false);
	assert_outer(&plan, "input", FROM_BR, false);
	wan_index = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_transaction),
		cmocka_unit_test(pool_is_the_port_set),
		cmocka_unit_test(forwards_leave_the_pool),
		cmocka_unit_test(opened_ports_leave_the_pool),
		cmocka_unit_test(the_way_of_an_endpoint),
		cmocka_unit_test(the_next_port),
		cmocka_unit_test(every_port_is_tried),
		cmocka_unit_test(an_endpoint_without_room_is_not_learnt),
		cmocka_unit_test(a_limit_has_a_set_of_its_own),
		cmocka_unit_test(connections_are_recalled),
		cmocka_unit_test(an_endpoint_has_its_own_port_again),
		cmocka_unit_test(the_fast_path_is_for_our_mapping),
		cmocka_unit_test(first_packets_to_another_address),
		cmocka_unit_test(held_table),
		cmocka_unit_test(whole_address),
		cmocka_unit_test(nobody_else_is_an_end_of_the_tunnel),
		cmocka_unit_test(mss_follows_the_mtu),
		cmocka_unit_test(filtering_modes),
		cmocka_unit_test(the_index_is_used_only_when_known),
		cmocka_unit_test(streams_teach_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
