/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_read.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/common.h>
#include <libnftnl/gen.h>

#include "lib/kernel/nft_attribute.h"

#define WHAT_MAX     80
#define QUESTION_MAX 1024

DEFINE_CLEANUP(struct nftnl_chain *, nftnl_chain_free);
DEFINE_CLEANUP(struct nftnl_gen *, nftnl_gen_free);
DEFINE_CLEANUP(struct nftnl_obj *, nftnl_obj_free);
DEFINE_CLEANUP(struct nftnl_rule *, nftnl_rule_free);
DEFINE_CLEANUP(struct nftnl_set *, nftnl_set_free);
DEFINE_CLEANUP(struct nftnl_table *, nftnl_table_free);

static struct nlmsghdr *question(struct nfnl *nl, enum nft_family family,
				 char buffer[static QUESTION_MAX], uint16_t type, uint16_t flags)
{
	/* libmnl leaves the octets between attributes as they are. */
	memset(buffer, 0, QUESTION_MAX);
	return nftnl_nlmsg_build_hdr(buffer, type, nft_protocol(family), flags,
				     nfnl_take_sequence(nl, 1));
}

/* ---- generation ------------------------------------------------------------------------------ */

static int take_generation(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_gen_free_p) struct nftnl_gen *gen = nftnl_gen_alloc();
	uint32_t *generation = userdata;

	if (!gen)
		return -ENOMEM;
	if (nftnl_gen_nlmsg_parse(nlh, gen) < 0)
		return -EBADMSG;
	*generation = nftnl_gen_get_u32(gen, NFTNL_GEN_ID);
	return 0;
}

int nft_read_generation(struct nfnl *nl, uint32_t *ret, struct fault *reterr)
{
	_Alignas(struct nlmsghdr) char buffer[QUESTION_MAX];
	struct nlmsghdr *nlh = question(nl, NFT_IP, buffer, NFT_MSG_GETGEN, 0);

	return nfnl_ask(nl, nlh, take_generation, ret, "read nftables generation", reterr);
}

/* ---- elements -------------------------------------------------------------------------------- */

struct element_walk {
	const struct nft_shape *shape;
	const struct nft_element_reader *reader;
};

#define PART_MAX 64u /* NFT_DATA_VALUE_MAXLEN */

static void copy_part(const struct nlattr *part, uint8_t to[static PART_MAX])
{
	const struct nlattr *value = nft_nested(part, NFTA_DATA_VALUE);

	memset(to, 0, PART_MAX);
	if (value)
		memcpy(to, mnl_attr_get_payload(value),
		       MIN_OF(mnl_attr_get_payload_len(value), PART_MAX));
}

static void copy_chain(const struct nlattr *part, uint8_t to[static NFT_NAME_MAX])
{
	const struct nlattr *verdict = nft_nested(part, NFTA_DATA_VERDICT);

	memset(to, 0, NFT_NAME_MAX);
	snprintf((char *)to, NFT_NAME_MAX, "%s", nft_text(nft_nested(verdict, NFTA_VERDICT_CHAIN)));
}

static int tell_element(const struct element_walk *walk, const struct nlattr *element)
{
	const struct nft_element_reader *reader = walk->reader;
	const struct nlattr *part = nft_nested(element, NFTA_SET_ELEM_DATA);
	uint8_t flags = (uint8_t)nft_number(nft_nested(element, NFTA_SET_ELEM_FLAGS));
	uint8_t key[PART_MAX], data[MAX_OF(PART_MAX, NFT_NAME_MAX)];

	copy_part(nft_nested(element, NFTA_SET_ELEM_KEY), key);
	if (nft_shape_has_verdicts(walk->shape))
		copy_chain(part, data);
	else if (walk->shape->data_length)
		copy_part(part, data);
	else
		return reader->handler(reader->userdata, key, NULL, flags);
	return reader->handler(reader->userdata, key, data, flags);
}

/* libnftnl 1.2.4 has room for the attributes of an element that it knows, and puts those of up to
 * NFTA_SET_MAX there. */
static int take_elements(const struct nlmsghdr *nlh, void *userdata)
{
	const struct nlattr *list = nft_attribute(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	const struct nlattr *element;
	int r = 0;

	if (!list)
		return 0;
	mnl_attr_for_each_nested(element, list)
	{
		r = tell_element(userdata, element);
		if (r < 0)
			break;
	}
	return r;
}

int nft_read_rows(struct nfnl *nl, enum nft_family family, const char *table, const char *set,
		  const struct nft_shape *shape, const struct nft_element_reader *reader,
		  struct fault *reterr)
{
	struct element_walk walk = {shape, reader};
	_Alignas(struct nlmsghdr) char buffer[QUESTION_MAX];
	char what[WHAT_MAX];
	struct nlmsghdr *nlh = question(nl, family, buffer, NFT_MSG_GETSETELEM, NLM_F_DUMP);

	if (shape->key_length > PART_MAX || shape->data_length > PART_MAX)
		return fault_errno(reterr, -EBADMSG, "read nftables set %s", set);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set);
	snprintf(what, sizeof(what), "read nftables set %s", set);
	return nfnl_ask(nl, nlh, take_elements, &walk, what, reterr);
}

static int take_shape(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_set_free_p) struct nftnl_set *object = nftnl_set_alloc();

	if (!object)
		return -ENOMEM;
	if (nftnl_set_nlmsg_parse(nlh, object) < 0)
		return -EBADMSG;
	*(struct nft_shape *)userdata = nft_shape_of(object);
	return 0;
}

int nft_read_shape(struct nfnl *nl, enum nft_family family, const char *table, const char *set,
		   struct nft_shape *ret, struct fault *reterr)
{
	_Alignas(struct nlmsghdr) char buffer[QUESTION_MAX];
	char what[WHAT_MAX];
	struct nlmsghdr *nlh = question(nl, family, buffer, NFT_MSG_GETSET, 0);

	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_SET_NAME, set);
	snprintf(what, sizeof(what), "read nftables set %s", set);
	return nfnl_ask(nl, nlh, take_shape, ret, what, reterr);
}

/* ---- a whole table --------------------------------------------------------------------------- */

struct table_walk {
	enum nft_family family;
	const char *name;
	struct nft_picture *picture;
	void *scratch;
};

static bool is_of_table(const struct table_walk *walk, const char *table)
{
	return table && strcmp(table, walk->name) == 0;
}

static int take_table(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_table_free_p) struct nftnl_table *object = nftnl_table_alloc();
	struct table_walk *walk = userdata;

	if (!object)
		return -ENOMEM;
	if (nftnl_table_nlmsg_parse(nlh, object) < 0)
		return -EBADMSG;
	walk->picture->dormant =
		nftnl_table_get_u32(object, NFTNL_TABLE_FLAGS) & NFT_TABLE_F_DORMANT;
	return 0;
}

static int take_chain(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_chain_free_p) struct nftnl_chain *object = nftnl_chain_alloc();
	struct table_walk *walk = userdata;

	if (!object)
		return -ENOMEM;
	if (nftnl_chain_nlmsg_parse(nlh, object) < 0)
		return -EBADMSG;
	/* A bound chain is part of the rule that jumps to it, and goes with it. */
	if (!is_of_table(walk, nftnl_chain_get_str(object, NFTNL_CHAIN_TABLE)) ||
	    (nft_number(nft_attribute(nlh, NFTA_CHAIN_FLAGS)) & NFT_CHAIN_BINDING))
		return 0;
	return nft_picture_add_chain(walk->picture, object) ? 0 : -ENOMEM;
}

/* What libnftnl cannot read (an expression newer than itself) is not ours. */
static int take_rule(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_rule_free_p) struct nftnl_rule *object = nftnl_rule_alloc();
	struct table_walk *walk = userdata;
	struct nft_picture_chain *chain;
	uint64_t digest = NFT_DIGEST_FOREIGN;

	if (!object)
		return -ENOMEM;
	chain = nft_picture_chain(walk->picture, nft_text(nft_attribute(nlh, NFTA_RULE_CHAIN)));
	if (!chain || !is_of_table(walk, nft_text(nft_attribute(nlh, NFTA_RULE_TABLE))))
		return 0;
	if (nftnl_rule_nlmsg_parse(nlh, object) >= 0)
		digest = nft_rule_digest(object, walk->scratch);
	return nft_picture_add_rule(chain, digest);
}

static int take_set(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_set_free_p) struct nftnl_set *object = nftnl_set_alloc();
	struct table_walk *walk = userdata;

	if (!object)
		return -ENOMEM;
	if (nftnl_set_nlmsg_parse(nlh, object) < 0)
		return -EBADMSG;
	if (!is_of_table(walk, nftnl_set_get_str(object, NFTNL_SET_TABLE)))
		return 0;
	return nft_picture_add_set(walk->picture, object) ? 0 : -ENOMEM;
}

/* Of any kind, also one that libnftnl cannot read. */
static int take_object(const struct nlmsghdr *nlh, void *userdata)
{
	struct table_walk *walk = userdata;

	if (!is_of_table(walk, nft_text(nft_attribute(nlh, NFTA_OBJ_TABLE))))
		return 0;
	return nft_picture_add_object(walk->picture, nft_text(nft_attribute(nlh, NFTA_OBJ_NAME)),
				      nft_number(nft_attribute(nlh, NFTA_OBJ_TYPE)));
}

static int add_devices(struct nft_picture_flows *flows, const struct nlattr *hook)
{
	const struct nlattr *list = nft_nested(hook, NFTA_FLOWTABLE_HOOK_DEVS);
	const struct nlattr *device;
	int r = 0;

	if (!list)
		return 0;
	mnl_attr_for_each_nested(device, list)
	{
		const char *name = nft_text(device);

		r = nft_device_add(&flows->devices, name, if_nametoindex(name));
		if (r < 0)
			break;
	}
	nft_rows_sort(&flows->devices);
	return r;
}

static int take_flows(const struct nlmsghdr *nlh, void *userdata)
{
	const struct nlattr *hook = nft_attribute(nlh, NFTA_FLOWTABLE_HOOK);
	struct table_walk *walk = userdata;
	struct nft_picture_flows *flows;
	uint32_t priority = nft_number(nft_nested(hook, NFTA_FLOWTABLE_HOOK_PRIORITY));

	if (!is_of_table(walk, nft_text(nft_attribute(nlh, NFTA_FLOWTABLE_TABLE))))
		return 0;
	flows = nft_picture_add_flows(walk->picture,
				      nft_text(nft_attribute(nlh, NFTA_FLOWTABLE_NAME)),
				      (int32_t)priority);
	return flows ? add_devices(flows, hook) : -ENOMEM;
}

static int add_row(void *userdata, const void *key, const void *data, uint8_t flags)
{
	return nft_rows_add(userdata, key, data, flags);
}

static int read_static_sets(struct nfnl *nl, const struct table_walk *walk,
			    const struct nft_table *want, struct fault *reterr)
{
	struct nft_element_reader reader = {.handler = add_row};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < walk->picture->set_count; i++) {
		struct nft_picture_set *set = &walk->picture->sets[i];
		const struct nft_set *wanted = nft_table_find_set(want, set->name);

		if (!wanted || wanted->learnt || !nft_shape_equal(&wanted->shape, &set->shape))
			continue;
		reader.userdata = &set->rows;
		r = nft_read_rows(nl, walk->family, walk->name, set->name, &set->shape, &reader,
				  reterr);
		nft_rows_sort(&set->rows);
	}
	return r;
}

static int read_parts(struct nfnl *nl, struct table_walk *walk, const struct nft_table *want,
		      struct fault *reterr)
{
	static const struct {
		uint16_t type, table_attribute; /* 0: the kernel tells those of every table */
		nfnl_handler handler;
		const char *what;
	} parts[] = {
		{NFT_MSG_GETCHAIN, 0, take_chain, "read nftables chains"},
		{NFT_MSG_GETRULE, NFTA_RULE_TABLE, take_rule, "read nftables rules"},
		{NFT_MSG_GETOBJ, NFTA_OBJ_TABLE, take_object, "read nftables objects"},
		{NFT_MSG_GETSET, NFTA_SET_TABLE, take_set, "read nftables sets"},
		{NFT_MSG_GETFLOWTABLE, NFTA_FLOWTABLE_TABLE, take_flows,
		 "read nftables flowtables"},
	};
	_Alignas(struct nlmsghdr) char buffer[QUESTION_MAX];
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(parts); i++) {
		struct nlmsghdr *nlh =
			question(nl, walk->family, buffer, parts[i].type, NLM_F_DUMP);

		if (parts[i].table_attribute)
			mnl_attr_put_strz(nlh, parts[i].table_attribute, walk->name);
		r = nfnl_ask(nl, nlh, parts[i].handler, walk, parts[i].what, reterr);
	}
	return r < 0 ? r : read_static_sets(nl, walk, want, reterr);
}

int nft_read_picture(struct nfnl *nl, enum nft_family family, const char *name,
		     const struct nft_table *want, struct nft_picture **ret, struct fault *reterr)
{
	_cleanup_(nft_picture_free_p) struct nft_picture *picture = calloc(1, sizeof(*picture));
	_cleanup_free_ void *scratch = calloc(1, NFT_SCRATCH_SIZE);
	struct table_walk walk = {family, name, picture, scratch};
	_Alignas(struct nlmsghdr) char buffer[QUESTION_MAX];
	struct fault fault = {0};
	struct nlmsghdr *nlh;
	int r;

	if (!picture || !scratch)
		return fault_errno(reterr, -ENOMEM, "read nftables table %s", name);
	nlh = question(nl, family, buffer, NFT_MSG_GETTABLE, 0);
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, name);
	r = nfnl_ask(nl, nlh, take_table, &walk, "read nftables table", &fault);
	if (r == -ENOENT) {
		*ret = NULL;
		return 0;
	}
	if (r < 0 && reterr)
		*reterr = fault;
	if (r >= 0 && want)
		r = read_parts(nl, &walk, want, reterr);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(picture);
	return 0;
}

/* ---- counters -------------------------------------------------------------------------------- */

static int take_packets(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_obj_free_p) struct nftnl_obj *object = nftnl_obj_alloc();

	if (!object)
		return -ENOMEM;
	if (nftnl_obj_nlmsg_parse(nlh, object) < 0)
		return -EBADMSG;
	*(uint64_t *)userdata = nftnl_obj_get_u64(object, NFTNL_OBJ_CTR_PKTS);
	return 0;
}

int nft_read_packets(struct nfnl *nl, enum nft_family family, const char *table,
		     const char *counter, uint64_t *ret, struct fault *reterr)
{
	_Alignas(struct nlmsghdr) char buffer[QUESTION_MAX];
	char what[WHAT_MAX];
	struct nlmsghdr *nlh = question(nl, family, buffer, NFT_MSG_GETOBJ, 0);

	mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, counter);
	mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	snprintf(what, sizeof(what), "read nftables counter %s", counter);
	return nfnl_ask(nl, nlh, take_packets, ret, what, reterr);
}
