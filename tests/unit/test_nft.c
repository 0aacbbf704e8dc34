/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is remembered of a table, and what is sent from one to the next. No kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "lib/kernel/nat.h"
#include "lib/kernel/nft_diff.h"

#define TUNNEL 7u

static struct nat_plan plan_of(uint8_t last_octet, uint16_t psid)
{
	struct nat_plan plan = {
		.present = true,
		.map = true,
		.tunnel = "map0",
		.ports = {6, 6, psid},
		.tunnel_mtu = 1460,
	};

	plan.address.addr.s_addr = htonl(0xc6336400u + last_octet);
	plan.address.len = 32;
	return plan;
}

static struct nft_picture *picture_with(const struct nat_plan *plan, uint32_t tunnel_index)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = nat_table_new(plan, tunnel_index);
	struct nft_picture *picture;

	assert_non_null(table);
	assert_int_equal(nft_picture_new(table, &picture), 0);
	return picture;
}

static struct nft_picture *picture_of(const struct nat_plan *plan)
{
	return picture_with(plan, TUNNEL);
}

/* The transaction from one plan to another; from NULL: from nothing. */
static void batch_with(struct nft_batch *batch, const struct nft_picture *have,
		       const struct nat_plan *to, uint32_t tunnel_index)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = nat_table_new(to, tunnel_index);
	_cleanup_(nft_picture_free_p) struct nft_picture *picture = picture_with(to, tunnel_index);

	assert_non_null(table);
	nft_batch_begin(batch, 0);
	nft_diff(batch, table, picture, have);
	nft_batch_end(batch);
	assert_false(batch->failed);
}

static void batch_of(struct nft_batch *batch, const struct nft_picture *have,
		     const struct nat_plan *to)
{
	batch_with(batch, have, to, TUNNEL);
}

static unsigned int count_type(const struct nft_batch *batch, unsigned int type)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)batch->data;
	int left = (int)batch->length;
	unsigned int count = 0;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
		count += nlh->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | type);
	return count;
}

static void nothing_for_the_same(void **state)
{
	struct nat_plan plan = plan_of(52, 0x29);
	_cleanup_(nft_picture_free_p) struct nft_picture *have = picture_of(&plan);
	_cleanup_nft_batch_ struct nft_batch batch = {0};

	(void)state;
	batch_of(&batch, have, &plan);
	assert_int_equal(batch.changes, 0);
}

static void one_forward_is_little(void **state)
{
	struct nat_plan plan = plan_of(52, 0x29);
	_cleanup_(nft_picture_free_p) struct nft_picture *have = picture_of(&plan);
	_cleanup_nft_batch_ struct nft_batch batch = {0};
	struct nat_forward forward = {
		.protocols = PROTO_TCP,
		.ports = {1680, 1680},
		.to_port = 80,
	};

	(void)state;
	forward.to.s_addr = htonl(0xc0a8010a);
	plan.forwards = &forward;
	plan.forward_count = 1;
	batch_of(&batch, have, &plan);
	assert_int_equal(count_type(&batch, NFT_MSG_NEWSETELEM),
			 batch.changes - count_type(&batch, NFT_MSG_DELSETELEM));
	assert_in_range(batch.changes, 1, 8);
	/* And on to another host: the one element. */
	nft_picture_free(have);
	have = picture_of(&plan);
	nft_batch_done(&batch);
	forward.to.s_addr = htonl(0xc0a8010b);
	batch_of(&batch, have, &plan);
	assert_int_equal(batch.changes, 2);
	assert_int_equal(count_type(&batch, NFT_MSG_DELSETELEM), 1);
	assert_int_equal(count_type(&batch, NFT_MSG_NEWSETELEM), 1);
}

static void a_new_mapping_forgets(void **state)
{
	struct nat_plan old = plan_of(52, 0x29), new = plan_of(99, 0x16);
	_cleanup_(nft_picture_free_p) struct nft_picture *have = picture_of(&old);
	_cleanup_nft_batch_ struct nft_batch batch = {0}, from_nothing = {0};

	(void)state;
	batch_of(&batch, have, &new);
	/* In place: no set, chain or table is made anew. */
	assert_int_equal(count_type(&batch, NFT_MSG_DELTABLE), 0);
	assert_int_equal(count_type(&batch, NFT_MSG_NEWSET), 0);
	assert_int_equal(count_type(&batch, NFT_MSG_NEWCHAIN), 0);
	assert_true(count_type(&batch, NFT_MSG_DELSETELEM) >= 4);
	batch_of(&from_nothing, NULL, &new);
	assert_true(batch.changes < from_nothing.changes);
}

/* Borrows the devices. */
static struct nat_plan offload_plan(uint8_t last_octet, struct nat_device *devices, size_t count)
{
	struct nat_plan plan = plan_of(last_octet, 0x29);

	plan.offload = true;
	plan.devices = devices;
	plan.device_count = count;
	return plan;
}

static struct nat_device lan_now[] = {{"br0", 3}, {"lan2", 4}};

static struct nat_plan offload_now(void)
{
	return offload_plan(52, lan_now, ARRAY_SIZE(lan_now));
}

/* Where the first message of a type is; 0: nowhere. */
static unsigned int place_of(const struct nft_batch *batch, unsigned int type)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)batch->data;
	int left = (int)batch->length;

	for (unsigned int i = 1; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left), i++)
		if (nlh->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | type))
			return i;
	return 0;
}

/* The kernel refuses to take a flowtable from a rule that holds on to it. */
static void assert_flows_made_anew(const struct nft_batch *batch)
{
	assert_int_equal(count_type(batch, NFT_MSG_DELFLOWTABLE), 1);
	assert_int_equal(count_type(batch, NFT_MSG_NEWFLOWTABLE), 1);
	assert_in_range(place_of(batch, NFT_MSG_DELRULE), 1, place_of(batch, NFT_MSG_DELFLOWTABLE));
	assert_in_range(place_of(batch, NFT_MSG_DELFLOWTABLE), 1,
			place_of(batch, NFT_MSG_NEWFLOWTABLE));
	assert_in_range(place_of(batch, NFT_MSG_NEWFLOWTABLE), 1, place_of(batch, NFT_MSG_NEWRULE));
}

static void flows_come_before_their_rules(void **state)
{
	struct nat_plan plan = offload_now();
	_cleanup_nft_batch_ struct nft_batch batch = {0};

	(void)state;
	batch_of(&batch, NULL, &plan);
	assert_int_equal(count_type(&batch, NFT_MSG_NEWFLOWTABLE), 1);
	assert_in_range(place_of(&batch, NFT_MSG_NEWFLOWTABLE), 1,
			place_of(&batch, NFT_MSG_NEWRULE));
}

static void flows_of_nobody(void **state)
{
	struct nat_plan without_lan = offload_plan(52, NULL, 0), without_tunnel = offload_now();
	_cleanup_nft_batch_ struct nft_batch one = {0}, other = {0};

	(void)state;
	batch_of(&one, NULL, &without_lan);
	batch_with(&other, NULL, &without_tunnel, 0);
	assert_int_equal(count_type(&one, NFT_MSG_NEWFLOWTABLE), 0);
	assert_int_equal(count_type(&other, NFT_MSG_NEWFLOWTABLE), 0);
}

static void flows_follow_their_devices(void **state)
{
	struct nat_device more[] = {{"br0", 3}, {"late", 9}, {"lan2", 4}};
	struct nat_device another[] = {{"br0", 3}, {"lan2", 11}};
	const struct nat_plan plans[] = {
		offload_plan(52, more, ARRAY_SIZE(more)),
		offload_plan(52, another, ARRAY_SIZE(another)),
		offload_plan(52, lan_now, 1),
	};
	struct nat_plan now = offload_now();
	_cleanup_(nft_picture_free_p) struct nft_picture *have = picture_of(&now);
	_cleanup_nft_batch_ struct nft_batch another_tunnel = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
		_cleanup_nft_batch_ struct nft_batch batch = {0};

		batch_of(&batch, have, &plans[i]);
		assert_flows_made_anew(&batch);
		assert_int_equal(count_type(&batch, NFT_MSG_NEWSET), 0);
	}
	batch_with(&another_tunnel, have, &now, TUNNEL + 1);
	assert_flows_made_anew(&another_tunnel);
}

static void flows_that_stand(void **state)
{
	struct nat_plan plan = offload_now();
	_cleanup_(nft_picture_free_p) struct nft_picture *have = picture_of(&plan);
	_cleanup_nft_batch_ struct nft_batch same = {0}, stranger = {0}, altered = {0};

	(void)state;
	batch_of(&same, have, &plan);
	assert_int_equal(same.changes, 0);
	assert_non_null(nft_picture_add_flows(have, "stranger", 0));
	batch_of(&stranger, have, &plan);
	assert_int_equal(stranger.changes, 1);
	assert_int_equal(count_type(&stranger, NFT_MSG_DELFLOWTABLE), 1);
	have->flows_count = 1;
	have->flows[0].priority = 1;
	batch_of(&altered, have, &plan);
	assert_flows_made_anew(&altered);
}

/* What is offloaded has the old address: it must go. */
static void flows_of_another_mapping(void **state)
{
	struct nat_plan old = offload_now(), slow = plan_of(52, 0x29);
	struct nat_plan new = offload_plan(99, lan_now, ARRAY_SIZE(lan_now));
	_cleanup_(nft_picture_free_p) struct nft_picture *have = picture_of(&old);
	_cleanup_nft_batch_ struct nft_batch batch = {0}, off = {0};

	(void)state;
	batch_of(&batch, have, &new);
	assert_flows_made_anew(&batch);
	batch_of(&off, have, &slow);
	assert_int_equal(count_type(&off, NFT_MSG_DELFLOWTABLE), 1);
	assert_int_equal(count_type(&off, NFT_MSG_NEWFLOWTABLE), 0);
	assert_int_equal(count_type(&off, NFT_MSG_DELCHAIN), 2);
	assert_in_range(place_of(&off, NFT_MSG_DELRULE), 1, place_of(&off, NFT_MSG_DELFLOWTABLE));
}

/* What stands and is not ours goes, in an order that the kernel takes. */
static void strangers_go(void **state)
{
	struct nat_plan plan = plan_of(52, 0x29);
	_cleanup_(nft_picture_free_p) struct nft_picture *have = picture_of(&plan);
	_cleanup_nft_batch_ struct nft_batch batch = {0};
	const struct nlmsghdr *nlh;

	(void)state;
	assert_int_equal(nft_picture_add_rule(&have->chains[0], NFT_DIGEST_FOREIGN), 0);
	assert_int_equal(nft_picture_add_object(have, "stranger", NFT_OBJECT_COUNTER), 0);
	batch_of(&batch, have, &plan);
	assert_int_equal(count_type(&batch, NFT_MSG_DELRULE), 1);
	assert_int_equal(count_type(&batch, NFT_MSG_DELOBJ), 1);
	nlh = mnl_nlmsg_next((const struct nlmsghdr *)batch.data, &(int){(int)batch.length});
	assert_int_equal(nlh->nlmsg_type & 0xff, NFT_MSG_DELRULE);
}

/* The transaction that wakes a table up may not add or delete base chains. */
static void a_sleeping_table_without_a_chain(void **state)
{
	struct nat_plan plan = plan_of(52, 0x29);
	_cleanup_(nft_picture_free_p) struct nft_picture *have = picture_of(&plan);

	(void)state;
	have->dormant = true;
	for (int lost = 0; lost < 2; lost++) {
		_cleanup_nft_batch_ struct nft_batch batch = {0};

		if (lost) {
			assert_true(have->chains[0].hook.type[0]);
			strcpy(have->chains[0].name, "stranger");
		}
		batch_of(&batch, have, &plan);
		assert_int_equal(count_type(&batch, NFT_MSG_DELTABLE), lost);
		assert_int_equal(count_type(&batch, NFT_MSG_NEWTABLE), 1);
		assert_int_equal(batch.made.count > 0, lost);
	}
}

/* Maps hold on to chains and objects. */
static void maps_go_first(void **state)
{
	struct nat_plan plan = plan_of(52, 0x29);
	_cleanup_(nft_picture_free_p) struct nft_picture *have = picture_of(&plan);
	_cleanup_nft_batch_ struct nft_batch batch = {0};

	(void)state;
	memset(have->chains[have->chain_count - 1].name, 'x', NFT_NAME_MAX - 1);
	memset(have->sets[have->set_count - 1].name, 'x', NFT_NAME_MAX - 1);
	assert_int_equal(nft_picture_add_object(have, "stranger", NFT_OBJECT_QUOTA), 0);
	batch_of(&batch, have, &plan);
	assert_true(place_of(&batch, NFT_MSG_DELSET) < place_of(&batch, NFT_MSG_DELCHAIN));
	assert_true(place_of(&batch, NFT_MSG_DELSET) < place_of(&batch, NFT_MSG_DELOBJ));
}

static void read_rule(const struct nlmsghdr *nlh, struct nft_picture_chain *out, void *scratch)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();

	assert_non_null(rule);
	assert_true(nftnl_rule_nlmsg_parse(nlh, rule) >= 0);
	assert_int_equal(nft_picture_add_rule(out, nft_rule_digest(rule, scratch)), 0);
	nftnl_rule_free(rule);
}

/* What is read of a message has the digest of what the message was written from. */
static void rules_survive_the_wire(void **state)
{
	struct nat_plan plan = offload_now();
	_cleanup_(nft_picture_free_p) struct nft_picture *wanted = picture_of(&plan);
	_cleanup_nft_batch_ struct nft_batch batch = {0};
	_cleanup_free_ void *scratch = calloc(1, NFT_SCRATCH_SIZE);
	struct nft_picture_chain heard = {0};
	const struct nlmsghdr *nlh;
	size_t next = 0;
	int left;

	(void)state;
	batch_of(&batch, NULL, &plan);
	nlh = (const struct nlmsghdr *)batch.data;
	left = (int)batch.length;
	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
		if (nlh->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE))
			read_rule(nlh, &heard, scratch);
	for (size_t i = 0; i < wanted->chain_count; i++)
		for (size_t j = 0; j < wanted->chains[i].count; j++, next++) {
			assert_true(next < heard.count);
			assert_true(wanted->chains[i].rules[j] == heard.rules[next]);
		}
	assert_int_equal(next, heard.count);
	assert_true(next > 50);
	free(heard.rules);
}

static void count_rows(void *userdata, const struct nft_rows *rows, size_t i)
{
	uint16_t *sum = userdata;
	uint16_t key;

	memcpy(&key, nft_rows_key(rows, i), sizeof(key));
	*sum = (uint16_t)(*sum + ntohs(key));
}

static void rows_that_differ(void **state)
{
	struct nft_rows a = {.key_length = 2}, b = {.key_length = 2};
	static const uint16_t some[] = {9, 3, 700, 1}, others[] = {700, 3, 2};
	uint16_t sum = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(some); i++)
		assert_int_equal(nft_rows_add(&a, &(uint16_t){htons(some[i])}, NULL, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(nft_rows_add(&b, &(uint16_t){htons(others[i])}, NULL, 0), 0);
	nft_rows_sort(&a);
	nft_rows_sort(&b);
	assert_false(nft_rows_equal(&a, &b));
	nft_rows_missing(&a, &b, count_rows, &sum);
	assert_int_equal(sum, 10);
	sum = 0;
	nft_rows_missing(&b, &a, count_rows, &sum);
	assert_int_equal(sum, 2);
	assert_null(nft_rows_data(&a, 0));
	nft_rows_done(&a);
	nft_rows_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_for_the_same),
		cmocka_unit_test(one_forward_is_little),
		cmocka_unit_test(a_new_mapping_forgets),
		cmocka_unit_test(strangers_go),
		cmocka_unit_test(a_sleeping_table_without_a_chain),
		cmocka_unit_test(maps_go_first),
		cmocka_unit_test(rules_survive_the_wire),
		cmocka_unit_test(rows_that_differ),
		cmocka_unit_test(flows_come_before_their_rules),
		cmocka_unit_test(flows_of_nobody),
		cmocka_unit_test(flows_follow_their_devices),
		cmocka_unit_test(flows_that_stand),
		cmocka_unit_test(flows_of_another_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
