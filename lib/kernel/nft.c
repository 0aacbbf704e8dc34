/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables, sets and chains: libnftnl objects with the attributes that nft itself would give them, so
 * that `nft list table` shows them as if a person had written them. */
#include "lib/kernel/nft.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/udata.h>

#include "lib/kernel/nft_model.h"

#define WORD ((uint32_t)sizeof(uint32_t))

/* ---- userdata: what only nft list reads -------------------------------------------------------
 */

DEFINE_CLEANUP(struct nftnl_udata_buf *, nftnl_udata_buf_free);

#define USERDATA_MAX 256 /* NFT_USERDATA_MAXLEN */

/* The comment is type 0 everywhere but in sets. */
static struct nftnl_udata_buf *comment_userdata(struct nft_table *table, const char *comment)
{
	struct nftnl_udata_buf *buffer;

	if (!comment)
		return NULL;
	buffer = nftnl_udata_buf_alloc(USERDATA_MAX);
	if (!buffer || !nftnl_udata_put_strz(buffer, NFTNL_UDATA_RULE_COMMENT, comment))
		table->failed = true;
	return buffer;
}

/* enum byteorder of nft: what an integer is to be read as. */
#define BYTEORDER_HOST 1u
#define BYTEORDER_BIG  2u

static struct nftnl_udata_buf *set_userdata(struct nft_table *table,
					    const struct nft_set_spec *spec)
{
	struct nftnl_udata_buf *buffer = nftnl_udata_buf_alloc(USERDATA_MAX);
	bool host = spec->key[0] == NFT_TYPE_INTEGER;

	if (!buffer ||
	    !nftnl_udata_put_u32(buffer, NFTNL_UDATA_SET_KEYBYTEORDER,
				 host ? BYTEORDER_HOST : BYTEORDER_BIG) ||
	    (spec->data[0] > NFT_TYPE_VERDICT &&
	     !nftnl_udata_put_u32(buffer, NFTNL_UDATA_SET_DATABYTEORDER, BYTEORDER_BIG)) ||
	    (spec->comment &&
	     !nftnl_udata_put_strz(buffer, NFTNL_UDATA_SET_COMMENT, spec->comment)))
		table->failed = true;
	return buffer;
}

/* ---- table, counters, sets --------------------------------------------------------------------
 */

struct nft_table *nft_table_new(enum nft_family family, const char *name, const char *comment)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = calloc(1, sizeof(*table));
	_cleanup_(nftnl_udata_buf_free_p) struct nftnl_udata_buf *userdata = NULL;

	if (!table)
		return NULL;
	table->family = family;
	nft_set_name(table->name, name);
	table->object = nftnl_table_alloc();
	if (!table->object || nftnl_table_set_str(table->object, NFTNL_TABLE_NAME, name) < 0)
		return NULL;
	nftnl_table_set_u32(table->object, NFTNL_TABLE_FAMILY, nft_protocol(family));
	userdata = comment_userdata(table, comment);
	if (userdata)
		nftnl_table_set_data(table->object, NFTNL_TABLE_USERDATA,
				     nftnl_udata_buf_data(userdata), nftnl_udata_buf_len(userdata));
	return TAKE_PTR(table);
}

struct nft_flows *nft_add_flows(struct nft_table *table, const char *name)
{
	table->flows = calloc(1, sizeof(*table->flows));
	if (!table->flows) {
		table->failed = true;
		return NULL;
	}
	table->flows->table = table;
	table->flows->devices = nft_device_rows();
	nft_set_name(table->flows->name, name);
	return table->flows;
}

void nft_add_device(struct nft_flows *flows, const char *interface, uint32_t index)
{
	if (flows && nft_device_add(&flows->devices, interface, index) < 0)
		flows->table->failed = true;
}

void nft_add_counter(struct nft_table *table, const char *name, const char *comment)
{
	struct nftnl_obj *object = nftnl_obj_alloc();
	_cleanup_(nftnl_udata_buf_free_p) struct nftnl_udata_buf *userdata =
		comment_userdata(table, comment);

	if (object) {
		nftnl_obj_set_str(object, NFTNL_OBJ_TABLE, table->name);
		nftnl_obj_set_str(object, NFTNL_OBJ_NAME, name);
		nftnl_obj_set_u32(object, NFTNL_OBJ_FAMILY, nft_protocol(table->family));
		nftnl_obj_set_u32(object, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
		nftnl_obj_set_u64(object, NFTNL_OBJ_CTR_PKTS, 0);
		nftnl_obj_set_u64(object, NFTNL_OBJ_CTR_BYTES, 0);
		if (userdata)
			nftnl_obj_set_data(object, NFTNL_OBJ_USERDATA,
					   nftnl_udata_buf_data(userdata),
					   nftnl_udata_buf_len(userdata));
	}
	nft_table_take_counter(table, object);
}

static uint32_t type_length(enum nft_type type)
{
	switch (type) {
	case NFT_TYPE_VERDICT:
		return 0;
	case NFT_TYPE_INTEGER:
	case NFT_TYPE_IPV4:
		return 4;
	case NFT_TYPE_ETHER:
		return 6;
	case NFT_TYPE_PROTO:
		return 1;
	case NFT_TYPE_SERVICE:
		return 2;
	}
	return 0;
}

/* A concatenation: six bits a part, the first highest (nft: concat_subtype_add), each part padded
 * to whole words. */
static uint32_t parts_type(const enum nft_type parts[NFT_PARTS_MAX], uint32_t *ret_length)
{
	uint32_t type = 0, length = 0;
	size_t count = 0;

	while (count < NFT_PARTS_MAX && parts[count] != 0)
		count++;
	for (size_t i = 0; i < count; i++) {
		uint32_t one = type_length(parts[i]);

		type = type << 6 | (uint32_t)parts[i];
		length += count > 1 ? (one + WORD - 1) / WORD * WORD : one;
	}
	*ret_length = length;
	return type;
}

static uint32_t set_flags(const struct nft_set_spec *spec)
{
	uint32_t flags = 0;

	if (spec->data[0] != 0)
		flags |= NFT_SET_MAP;
	if (spec->interval)
		flags |= NFT_SET_INTERVAL;
	if (spec->learnt)
		flags |= NFT_SET_EVAL;
	if (spec->timeout)
		flags |= NFT_SET_TIMEOUT;
	return flags;
}

static void set_describe(struct nftnl_set *object, const struct nft_set_spec *spec,
			 struct nft_table *table)
{
	_cleanup_(nftnl_udata_buf_free_p) struct nftnl_udata_buf *userdata =
		set_userdata(table, spec);
	uint32_t length, type = parts_type(spec->key, &length);

	nftnl_set_set_str(object, NFTNL_SET_TABLE, table->name);
	nftnl_set_set_str(object, NFTNL_SET_NAME, spec->name);
	nftnl_set_set_u32(object, NFTNL_SET_FAMILY, nft_protocol(table->family));
	nftnl_set_set_u32(object, NFTNL_SET_ID, (uint32_t)table->set_count + 1);
	nftnl_set_set_u32(object, NFTNL_SET_FLAGS, set_flags(spec));
	nftnl_set_set_u32(object, NFTNL_SET_KEY_TYPE, type);
	nftnl_set_set_u32(object, NFTNL_SET_KEY_LEN, length);
	if (spec->data[0] == NFT_TYPE_VERDICT) {
		nftnl_set_set_u32(object, NFTNL_SET_DATA_TYPE, NFT_DATA_VERDICT);
		nftnl_set_set_u32(object, NFTNL_SET_DATA_LEN, 16);
	} else if (spec->data[0] != 0) {
		type = parts_type(spec->data, &length);
		nftnl_set_set_u32(object, NFTNL_SET_DATA_TYPE, type);
		nftnl_set_set_u32(object, NFTNL_SET_DATA_LEN, length);
	}
	if (spec->size)
		nftnl_set_set_u32(object, NFTNL_SET_DESC_SIZE, spec->size);
	if (spec->timeout)
		nftnl_set_set_u64(object, NFTNL_SET_TIMEOUT, (uint64_t)spec->timeout * 1000);
	if (userdata)
		nftnl_set_set_data(object, NFTNL_SET_USERDATA, nftnl_udata_buf_data(userdata),
				   nftnl_udata_buf_len(userdata));
}

struct nft_set *nft_add_set(struct nft_table *table, const struct nft_set_spec *spec)
{
	struct nftnl_set *object = nftnl_set_alloc();
	struct nft_set *set;

	if (object)
		set_describe(object, spec, table);
	set = nft_table_take_set(table, object);
	if (set) {
		set->learnt = spec->learnt;
		set->identity = spec->identity;
	}
	return set;
}

static void add_row(struct nft_set *set, const void *key, const void *data, uint8_t flags)
{
	if (nft_rows_add(&set->rows, key, data, flags) < 0)
		set->table->failed = true;
}

void nft_add_element(struct nft_set *set, const void *key, const void *data)
{
	if (set)
		add_row(set, key, data, 0);
}

void nft_add_learnt(struct nft_set *set, const void *key, const void *data, uint64_t timeout)
{
	size_t room, count;
	void *grown;

	if (!set)
		return;
	count = set->rows.count;
	if (count == set->timeout_room) {
		room = count ? count * 2 : 64;
		grown = reallocarray(set->timeouts, room, sizeof(*set->timeouts));
		if (!grown) {
			set->table->failed = true;
			return;
		}
		set->timeouts = grown;
		set->timeout_room = room;
	}
	set->timeouts[count] = timeout;
	nft_add_element(set, key, data);
}

struct nft_set *nft_find_set(const struct nft_table *table, const char *name)
{
	return nft_table_find_set(table, name);
}

void nft_add_goto(struct nft_set *set, const void *key, const char *chain)
{
	char name[NFT_NAME_MAX] = {0};

	if (!set)
		return;
	nft_set_name(name, chain);
	add_row(set, key, name, 0);
}

static void big_endian(uint32_t value, uint32_t length, uint8_t *to)
{
	for (uint32_t i = 0; i < length; i++)
		to[i] = (uint8_t)(value >> (8 * (length - 1 - i)));
}

void nft_add_interval(struct nft_set *set, uint32_t first, uint32_t last)
{
	uint8_t key[sizeof(uint32_t)];
	uint32_t length, highest;

	if (!set)
		return;
	length = set->shape.key_length;
	highest = length == sizeof(key) ? UINT32_MAX : (1u << (8 * length)) - 1;
	big_endian(first, length, key);
	add_row(set, key, NULL, 0);
	/* A range that reaches the top has no end element: nothing comes behind it. */
	if (last >= highest)
		return;
	big_endian(last + 1, length, key);
	add_row(set, key, NULL, NFT_SET_ELEM_INTERVAL_END);
}

/* ---- chains and rules -------------------------------------------------------------------------
 */

static const char *chain_type_name(enum nft_chain_kind kind)
{
	switch (kind) {
	case NFT_CHAIN_PLAIN:
		break;
	case NFT_CHAIN_FILTER:
		return "filter";
	case NFT_CHAIN_NAT:
		return "nat";
	case NFT_CHAIN_ROUTE:
		return "route";
	}
	return NULL;
}

struct nft_chain *nft_add_chain(struct nft_table *table, const char *name, const char *comment,
				enum nft_chain_kind kind, uint32_t hook, int32_t priority)
{
	struct nftnl_chain *object = nftnl_chain_alloc();
	_cleanup_(nftnl_udata_buf_free_p) struct nftnl_udata_buf *userdata =
		comment_userdata(table, comment);

	if (object) {
		nftnl_chain_set_str(object, NFTNL_CHAIN_TABLE, table->name);
		nftnl_chain_set_str(object, NFTNL_CHAIN_NAME, name);
		nftnl_chain_set_u32(object, NFTNL_CHAIN_FAMILY, nft_protocol(table->family));
		if (kind != NFT_CHAIN_PLAIN) {
			nftnl_chain_set_str(object, NFTNL_CHAIN_TYPE, chain_type_name(kind));
			nftnl_chain_set_u32(object, NFTNL_CHAIN_HOOKNUM, hook);
			nftnl_chain_set_s32(object, NFTNL_CHAIN_PRIO, priority);
			nftnl_chain_set_u32(object, NFTNL_CHAIN_POLICY, NF_ACCEPT);
		}
		if (userdata)
			nftnl_chain_set_data(object, NFTNL_CHAIN_USERDATA,
					     nftnl_udata_buf_data(userdata),
					     nftnl_udata_buf_len(userdata));
	}
	return nft_table_take_chain(table, object);
}

struct nft_chain *nft_find_chain(const struct nft_table *table, const char *name)
{
	return nft_table_find_chain(table, name);
}

struct nft_rule *nft_add_rule(struct nft_chain *chain, const char *comment)
{
	_cleanup_(nftnl_udata_buf_free_p) struct nftnl_udata_buf *userdata = NULL;
	struct nftnl_rule *object;

	if (!chain)
		return NULL;
	object = nftnl_rule_alloc();
	userdata = comment_userdata(chain->table, comment);
	if (object) {
		nftnl_rule_set_str(object, NFTNL_RULE_TABLE, chain->table->name);
		nftnl_rule_set_str(object, NFTNL_RULE_CHAIN, chain->name);
		nftnl_rule_set_u32(object, NFTNL_RULE_FAMILY, nft_protocol(chain->table->family));
		if (userdata)
			nftnl_rule_set_data(object, NFTNL_RULE_USERDATA,
					    nftnl_udata_buf_data(userdata),
					    nftnl_udata_buf_len(userdata));
	}
	return nft_chain_take_rule(chain, object);
}
