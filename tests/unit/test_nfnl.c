/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel answers to netfilter requests, right and wrong. No kernel: tests/unit/answers.h.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "lib/kernel/nat.h"
#include "lib/kernel/nfnl.h"
#include "lib/kernel/nft_read.h"
#include "lib/kernel/nft_survey.h"
#include "lib/kernel/nft_watch.h"
#include "tests/unit/answers.h"

#define MAPED "maped"

/* ---- messages ------------------------------------------------------------------------------- */

static _Alignas(struct nlmsghdr) uint8_t said[16384];
static size_t said_length;

static struct nlmsghdr *put(uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh;

	assert_true(said_length + 1024 <= sizeof(said));
	nlh = mnl_nlmsg_put_header(said + said_length);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	return nlh;
}

static void close_message(const struct nlmsghdr *nlh)
{
	said_length += MNL_ALIGN(nlh->nlmsg_len);
}

static struct nlmsghdr *put_nft(uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = put((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags);
	struct nfgenmsg *header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));

	header->nfgen_family = NFPROTO_INET;
	return nlh;
}

static void put_done(int code)
{
	struct nlmsghdr *nlh = put(NLMSG_DONE, NLM_F_MULTI);

	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(code)), &code, sizeof(code));
	close_message(nlh);
}

/* index: of the message of a transaction that it answers. */
static struct nlmsghdr *put_error(int code, uint16_t flags, uint32_t index)
{
	struct nlmsghdr *nlh = put(NLMSG_ERROR, flags);
	struct nlmsgerr *error = mnl_nlmsg_put_extra_header(nlh, sizeof(*error));

	nlh->nlmsg_seq = index;
	error->error = code;
	error->msg.nlmsg_len = sizeof(error->msg);
	return nlh;
}

static void put_generation(uint32_t generation)
{
	struct nlmsghdr *nlh = put_nft(NFT_MSG_NEWGEN, 0);

	mnl_attr_put_u32(nlh, NFTA_GEN_ID, htonl(generation));
	close_message(nlh);
}

static struct nfnl *kernel(void)
{
	struct nfnl *nl;

	answers_give(said, said_length);
	assert_int_equal(nfnl_open("open", &nl, NULL), 0);
	said_length = 0;
	return nl;
}

/* ---- one answer ----------------------------------------------------------------------------- */

static int count(const struct nlmsghdr *nlh, void *userdata)
{
	assert_true(nlh->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nfgenmsg)));
	++*(unsigned int *)userdata;
	return 0;
}

/* What is said is the answer to one dump; the messages are counted. */
static int dump(unsigned int *ret_count, struct fault *reterr)
{
	_Alignas(struct nlmsghdr) char buffer[256] = {0};
	_cleanup_(nfnl_close_p) struct nfnl *nl = kernel();
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = nfnl_take_sequence(nl, 1);
	*ret_count = 0;
	*reterr = (struct fault){0};
	return nfnl_ask(nl, request, count, ret_count, "ask", reterr);
}

static void answers(void **state)
{
	struct fault fault;
	unsigned int heard;
	struct nlmsghdr *nlh;

	/* of an earlier request, of ours, and the end */
	nlh = put_nft(NFT_MSG_NEWCHAIN, NLM_F_MULTI);
	nlh->nlmsg_seq = (uint32_t)-1;
	close_message(nlh);
	close_message(put_nft(NFT_MSG_NEWCHAIN, NLM_F_MULTI));
	close_message(put(NLMSG_NOOP, NLM_F_MULTI));
	put_done(0);
	assert_int_equal(dump(&heard, &fault), 0);
	assert_int_equal(heard, 1);
	/* the tables changed meanwhile */
	close_message(put_nft(NFT_MSG_NEWCHAIN, NLM_F_MULTI | NLM_F_DUMP_INTR));
	put_done(0);
	assert_int_equal(dump(&heard, &fault), -EINTR);
	/* it failed half-way */
	put_done(-ENOBUFS);
	assert_int_equal(dump(&heard, &fault), -ENOBUFS);
	assert_string_equal(fault.text, "ask: No buffer space available");
	/* silence */
	close_message(put_nft(NFT_MSG_NEWCHAIN, NLM_F_MULTI));
	assert_int_equal(dump(&heard, &fault), -ETIMEDOUT);
	assert_int_equal(heard, 1);
}

static void refusals(void **state)
{
	static const char words[] = "no such thing";
	struct nlmsghdr *nlh;
	struct fault fault;
	unsigned int heard;

	nlh = put_error(-ENOENT, NLM_F_ACK_TLVS | NLM_F_CAPPED, 0);
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, words);
	close_message(nlh);
	assert_int_equal(dump(&heard, &fault), -ENOENT);
	assert_string_equal(fault.text, "ask: No such file or directory (no such thing)");
	/* behind the request, of which there are 8 octets more than its header */
	nlh = put_error(-ENOENT, NLM_F_ACK_TLVS, 0);
	((struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->msg.nlmsg_len = NLMSG_LENGTH(8);
	mnl_nlmsg_put_extra_header(nlh, 8);
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, words);
	close_message(nlh);
	assert_int_equal(dump(&heard, &fault), -ENOENT);
	assert_string_equal(fault.text, "ask: No such file or directory (no such thing)");
	/* behind what is not there */
	for (uint32_t length = 0; length < NLMSG_HDRLEN; length += 15) {
		nlh = put_error(-ENOENT, NLM_F_ACK_TLVS, 0);
		((struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->msg.nlmsg_len = length;
		mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, words);
		close_message(nlh);
		assert_int_equal(dump(&heard, &fault), -ENOENT);
		assert_string_equal(fault.text, "ask: No such file or directory");
	}
	nlh = put_error(-ENOENT, NLM_F_ACK_TLVS, 0);
	((struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->msg.nlmsg_len = 0xffffffff;
	close_message(nlh);
	assert_int_equal(dump(&heard, &fault), -ENOENT);
	assert_string_equal(fault.text, "ask: No such file or directory");
}

static void what_is_cut_is_refused(void **state)
{
	struct nlmsghdr *nlh;
	struct fault fault;
	unsigned int heard;

	nlh = put_error(0, 0, 0);
	nlh->nlmsg_len = NLMSG_LENGTH(2);
	close_message(nlh);
	assert_int_equal(dump(&heard, &fault), -EBADMSG);
	nlh = put_nft(NFT_MSG_NEWCHAIN, NLM_F_MULTI);
	nlh->nlmsg_len = NLMSG_LENGTH(0);
	close_message(nlh);
	put_done(0);
	assert_int_equal(dump(&heard, &fault), -EBADMSG);
	/* no error has such a code */
	close_message(put_error(INT32_MIN, 0, 0));
	assert_int_equal(dump(&heard, &fault), -EBADMSG);
	close_message(put_error(1, 0, 0));
	assert_int_equal(dump(&heard, &fault), -EBADMSG);
	put_done(INT32_MIN);
	assert_int_equal(dump(&heard, &fault), -EBADMSG);
	/* a length that is a negative one for libmnl 1.0.4 */
	nlh = put_nft(NFT_MSG_NEWCHAIN, NLM_F_MULTI);
	nlh->nlmsg_len = 0x80000010;
	said_length = NLMSG_LENGTH(sizeof(struct nfgenmsg));
	assert_int_equal(dump(&heard, &fault), -ETIMEDOUT);
	assert_int_equal(heard, 0);
	said_length = 0;
}

static void events_that_are_cut(void **state)
{
	struct nft_watch *watch = nft_watch_new(MAPED);
	struct nlmsghdr *nlh = put_nft(NFT_MSG_NEWCHAIN, 0);

	assert_non_null(watch);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, MAPED);
	close_message(nlh);
	put_generation(2);
	assert_int_equal(nft_watch_feed(watch, said, said_length), 1);
	nlh->nlmsg_len |= 0x80000000;
	assert_int_equal(nft_watch_feed(watch, said, said_length), 0);
	nft_watch_close(watch);
	said_length = 0;
}

/* ---- our table ------------------------------------------------------------------------------- */

static void put_named(uint16_t type, uint16_t attribute, const char *name, uint16_t flags)
{
	struct nlmsghdr *nlh = put_nft(type, flags);

	mnl_attr_put_strz(nlh, attribute, name);
	close_message(nlh);
}

static void put_flows(const char *one, const char *other)
{
	struct nlmsghdr *nlh = put_nft(NFT_MSG_NEWFLOWTABLE, NLM_F_MULTI);
	struct nlattr *hook, *list;

	mnl_attr_put_strz(nlh, NFTA_FLOWTABLE_TABLE, MAPED);
	mnl_attr_put_strz(nlh, NFTA_FLOWTABLE_NAME, "ours");
	hook = mnl_attr_nest_start(nlh, NFTA_FLOWTABLE_HOOK);
	mnl_attr_put_u32(nlh, NFTA_FLOWTABLE_HOOK_NUM, 0);
	mnl_attr_put_u32(nlh, NFTA_FLOWTABLE_HOOK_PRIORITY, htonl((uint32_t)-300));
	list = mnl_attr_nest_start(nlh, NFTA_FLOWTABLE_HOOK_DEVS);
	mnl_attr_put_strz(nlh, NFTA_DEVICE_NAME, one);
	mnl_attr_put_strz(nlh, NFTA_DEVICE_NAME, other);
	mnl_attr_nest_end(nlh, list);
	mnl_attr_nest_end(nlh, hook);
	close_message(nlh);
}

static void assert_flows(const struct nft_picture *have)
{
	struct nft_device device;

	assert_int_equal(have->flows_count, 1);
	assert_string_equal(have->flows[0].name, "ours");
	assert_int_equal(have->flows[0].priority, -300);
	assert_int_equal(have->flows[0].devices.count, 2);
	memcpy(&device, nft_rows_key(&have->flows[0].devices, 1), sizeof(device));
	assert_string_equal(device.name, "lo");
	assert_int_equal(device.index, if_nametoindex("lo"));
}

/* They are of no table. */
static void parts_without_a_table(void **state)
{
	_cleanup_(nft_table_free_p) struct nft_table *want = nft_table_new(NFT_IP, MAPED, "");
	_cleanup_(nft_picture_free_p) struct nft_picture *have = NULL;
	_cleanup_(nfnl_close_p) struct nfnl *nl = NULL;
	struct nlmsghdr *nlh;

	put_named(NFT_MSG_NEWTABLE, NFTA_TABLE_NAME, MAPED, 0);
	put_named(NFT_MSG_NEWCHAIN, NFTA_CHAIN_NAME, "mine", NLM_F_MULTI);
	nlh = put_nft(NFT_MSG_NEWCHAIN, NLM_F_MULTI);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, MAPED);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, "ours");
	close_message(nlh);
	put_done(0);
	put_named(NFT_MSG_NEWRULE, NFTA_RULE_CHAIN, "ours", NLM_F_MULTI);
	put_done(0);
	put_done(0);
	put_named(NFT_MSG_NEWSET, NFTA_SET_NAME, "mine", NLM_F_MULTI);
	put_done(0);
	put_named(NFT_MSG_NEWFLOWTABLE, NFTA_FLOWTABLE_NAME, "mine", NLM_F_MULTI);
	put_flows("br0", "lo");
	put_done(0);
	nl = kernel();
	assert_int_equal(nft_read_picture(nl, NFT_IP, MAPED, want, &have, NULL), 0);
	assert_non_null(have);
	assert_int_equal(have->chain_count, 1);
	assert_string_equal(have->chains[0].name, "ours");
	assert_int_equal(have->chains[0].count, 0);
	assert_int_equal(have->set_count, 0);
	assert_flows(have);
}

static void put_value(struct nlmsghdr *nlh, uint16_t type, const void *value, size_t length)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, length, value);
	mnl_attr_nest_end(nlh, nest);
}

/* A set of four octets, which should be a map, and one element of it. */
static void put_set(const char *name)
{
	static const uint8_t key[4] = {192, 168, 1, 10};
	struct nlmsghdr *nlh = put_nft(NFT_MSG_NEWSET, 0);
	struct nlattr *list, *element;

	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, MAPED);
	mnl_attr_put_strz(nlh, NFTA_SET_NAME, name);
	mnl_attr_put_u32(nlh, NFTA_SET_KEY_LEN, htonl(sizeof(key)));
	close_message(nlh);
	nlh = put_nft(NFT_MSG_NEWSETELEM, NLM_F_MULTI);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, MAPED);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, name);
	list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	element = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	put_value(nlh, NFTA_SET_ELEM_KEY, key, sizeof(key));
	mnl_attr_nest_end(nlh, element);
	mnl_attr_nest_end(nlh, list);
	close_message(nlh);
	put_done(0);
}

/* The table is made, and before owners of forwarded ports are looked for, somebody replaces the
 * maps. */
static void a_map_that_has_become_a_set(void **state)
{
	struct nat_forward forward = {.protocols = PROTO_TCP, .ports = {1232, 1232}, .to_port = 80};
	const struct nat_plan plan = {
		.present = true,
		.map = true,
		.tunnel = "map0",
		.address = {{htonl(0xc0000212)}, 32},
		.ports = {6, 8, 0x34},
		.tunnel_mtu = 1460,
		.forwards = &forward,
		.forward_count = 1,
	};
	_cleanup_(nat_close_p) struct nat *nat = NULL;

	close_message(put_error(0, 0, 1)); /* the one that is held */
	put_generation(1);
	for (size_t i = 0; i < NFT_FAMILIES; i++)
		close_message(put_error(-ENOENT, 0, 0)); /* no table */
	close_message(put_error(0, 0, 1));               /* made */
	put_set("map_udp_owner");
	put_set("map_tcp_owner");
	put_set("map_echo_owner");
	answers_give(said, said_length);
	said_length = 0;
	assert_int_equal(nat_open(&nat, NULL), 0);
	assert_int_equal(nat_sync(nat, &plan, NULL), 1);
	assert_int_equal(answers_requests(), 3 + NFT_FAMILIES + 3 * 2);
}

/* ---- elements -------------------------------------------------------------------------------- */

/* An element 1232 : 192.168.1.10, with attributes that nobody knows yet. */
static void put_element(struct nlmsghdr *nlh)
{
	static const uint8_t key[] = {0x04, 0xd0, 0, 0}, data[] = {192, 168, 1, 10};
	struct nlattr *element = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);

	put_value(nlh, NFTA_SET_ELEM_KEY, key, 2);
	put_value(nlh, NFTA_SET_ELEM_DATA, data, sizeof(data));
	mnl_attr_put_u32(nlh, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
	for (uint16_t type = NFTA_SET_ELEM_EXPRESSIONS + 1; type <= NFTA_SET_ELEM_EXPRESSIONS + 16;
	     type++)
		mnl_attr_put_u32(nlh, type, htonl(type));
	mnl_attr_nest_end(nlh, element);
}

static int see_element(void *userdata, const void *key, const void *data, uint8_t flags)
{
	static const uint8_t wanted_key[64] = {0x04, 0xd0}, wanted_data[64] = {192, 168, 1, 10};

	assert_memory_equal(key, wanted_key, sizeof(wanted_key));
	assert_memory_equal(data, wanted_data, sizeof(wanted_data));
	assert_int_equal(flags, NFT_SET_ELEM_INTERVAL_END);
	++*(unsigned int *)userdata;
	return 0;
}

static void elements_of_a_newer_kernel(void **state)
{
	const struct nft_shape shape = {.flags = NFT_SET_MAP, .key_length = 2, .data_length = 4};
	unsigned int count = 0;
	const struct nft_element_reader reader = {see_element, &count};
	_cleanup_(nfnl_close_p) struct nfnl *nl = NULL;
	struct nlmsghdr *nlh = put_nft(NFT_MSG_NEWSETELEM, NLM_F_MULTI);
	struct nlattr *list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);

	put_element(nlh);
	put_element(nlh);
	mnl_attr_nest_end(nlh, list);
	close_message(nlh);
	close_message(put_nft(NFT_MSG_NEWSETELEM, NLM_F_MULTI)); /* none */
	put_done(0);
	nl = kernel();
	assert_int_equal(nft_read_rows(nl, NFT_IP, MAPED, "map", &shape, &reader, NULL), 0);
	assert_int_equal(count, 2);
}

static int see_chain(void *userdata, const void *key, const void *data, uint8_t flags)
{
	assert_string_equal(data, userdata);
	return 0;
}

static void elements_that_lead_to_chains(void **state)
{
	static const char chain[] = "map_udp";
	const struct nft_shape shape = {
		.flags = NFT_SET_MAP, .key_length = 1, .data_type = NFT_DATA_VERDICT};
	const struct nft_element_reader reader = {see_chain, (void *)chain};
	_cleanup_(nfnl_close_p) struct nfnl *nl = NULL;
	struct nlmsghdr *nlh = put_nft(NFT_MSG_NEWSETELEM, NLM_F_MULTI);
	struct nlattr *list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	struct nlattr *element = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	struct nlattr *data, *verdict;

	put_value(nlh, NFTA_SET_ELEM_KEY, &(uint8_t){IPPROTO_UDP}, 1);
	data = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_DATA);
	verdict = mnl_attr_nest_start(nlh, NFTA_DATA_VERDICT);
	mnl_attr_put_u32(nlh, NFTA_VERDICT_CODE, htonl((uint32_t)NFT_GOTO));
	mnl_attr_put_strz(nlh, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(nlh, verdict);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, element);
	mnl_attr_nest_end(nlh, list);
	close_message(nlh);
	put_done(0);
	nl = kernel();
	assert_int_equal(nft_read_rows(nl, NFT_IP, MAPED, "map", &shape, &reader, NULL), 0);
}

/* ---- rules of other programs ----------------------------------------------------------------- */

#define STOREYS 8
#define STAIRS  (SURVEY_PASS_MAX / STOREYS)

static void put_stairs(struct nft_survey *survey)
{
	*survey = (struct nft_survey){.count = 1};
	survey->chains[0] = (struct nft_survey_chain){.family = NFPROTO_INET};
	snprintf(survey->chains[0].table, SURVEY_NAME_MAX, "filter");
	snprintf(survey->chains[0].name, SURVEY_NAME_MAX, "storey0");
	for (unsigned int i = 0; i < SURVEY_PASS_MAX; i++) {
		struct nft_survey_pass *pass = &survey->passes[survey->pass_count++];

		pass->family = NFPROTO_INET;
		snprintf(pass->table, SURVEY_NAME_MAX, "filter");
		snprintf(pass->chain, SURVEY_NAME_MAX, "storey%u", i / STAIRS);
		snprintf(pass->jump, SURVEY_NAME_MAX, "storey%u", i / STAIRS + 1);
	}
}

/* Eight storeys with 32 stairs between each: 2^40 ways up. */
static void many_ways_lead_to_a_chain(void **state)
{
	struct nft_survey survey;
	struct nft_survey_pass *last = &survey.passes[SURVEY_PASS_MAX - 1];

	put_stairs(&survey);
	assert_false(nft_survey_lets_pass(&survey, &survey.chains[0], "lan0", "map0"));
	last->jump[0] = '\0'; /* accepts, upstairs */
	assert_true(nft_survey_lets_pass(&survey, &survey.chains[0], "lan0", "map0"));
	snprintf(last->out, sizeof(last->out), "eth0");
	assert_false(nft_survey_lets_pass(&survey, &survey.chains[0], "lan0", "map0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(refusals),
		cmocka_unit_test(what_is_cut_is_refused),
		cmocka_unit_test(events_that_are_cut),
		cmocka_unit_test(parts_without_a_table),
		cmocka_unit_test(a_map_that_has_become_a_set),
		cmocka_unit_test(elements_of_a_newer_kernel),
		cmocka_unit_test(elements_that_lead_to_chains),
		cmocka_unit_test(many_ways_lead_to_a_chain),
	};

	return cmocka_run_group_tests_name("nfnl", tests, NULL, NULL);
}
