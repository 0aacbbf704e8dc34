/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words: libnftnl objects with the attributes that nft itself would give them, so that
 * `nft list table` shows them as if a person had written them. */
#include "lib/kernel/nft.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/udata.h>

#include "lib/kernel/nft_model.h"

#define WORD ((uint32_t)sizeof(uint32_t))

/* ---- holders -------------------------------------------------------------------------------- */

static void set_name(char to[NFT_NAME_MAX], const char *from)
{
	size_t length = from ? strnlen(from, NFT_NAME_MAX - 1) : 0;

	if (length)
		memcpy(to, from, length);
	to[length] = '\0';
}

void *nft_grow(struct nft_table *table, void *items, size_t count, size_t *room, size_t size)
{
	size_t wanted = *room ? *room * 2 : 8;
	void *grown;

	if (count < *room)
		return items;
	grown = reallocarray(items, wanted, size);
	if (!grown) {
		table->failed = true;
		return NULL;
	}
	*room = wanted;
	return grown;
}

struct nft_counter *nft_table_take_counter(struct nft_table *table, struct nftnl_obj *object)
{
	struct nft_counter *counters, *counter;

	/* Without memory libnftnl keeps a name that is NULL, and dies of it when it writes it. */
	if (!object || !nftnl_obj_get_str(object, NFTNL_OBJ_TABLE) ||
	    !nftnl_obj_get_str(object, NFTNL_OBJ_NAME)) {
		if (object)
			nftnl_obj_free(object);
		table->failed = true;
		return NULL;
	}
	counters = nft_grow(table, table->counters, table->counter_count, &table->counter_room,
			    sizeof(*counters));
	if (!counters) {
		nftnl_obj_free(object);
		return NULL;
	}
	table->counters = counters;
	counter = &counters[table->counter_count++];
	*counter = (struct nft_counter){.object = object};
	set_name(counter->name, nftnl_obj_get_str(object, NFTNL_OBJ_NAME));
	return counter;
}

static void set_free(struct nft_set *set)
{
	nftnl_set_free(set->object);
	nft_rows_done(&set->rows);
	free(set);
}

struct nft_shape nft_shape_of(const struct nftnl_set *object)
{
	struct nft_shape shape = {
		.flags = nftnl_set_get_u32(object, NFTNL_SET_FLAGS),
		.key_type = nftnl_set_get_u32(object, NFTNL_SET_KEY_TYPE),
		.key_length = nftnl_set_get_u32(object, NFTNL_SET_KEY_LEN),
		.data_type = nftnl_set_get_u32(object, NFTNL_SET_DATA_TYPE),
		.size = nftnl_set_get_u32(object, NFTNL_SET_DESC_SIZE),
	};

	if ((shape.flags & NFT_SET_MAP) && !nft_shape_has_verdicts(&shape))
		shape.data_length = nftnl_set_get_u32(object, NFTNL_SET_DATA_LEN);
	if (nftnl_set_is_set(object, NFTNL_SET_TIMEOUT))
		shape.timeout = nftnl_set_get_u64(object, NFTNL_SET_TIMEOUT);
	return shape;
}

bool nft_shape_has_verdicts(const struct nft_shape *shape)
{
	return (shape->flags & NFT_SET_MAP) && shape->data_type == NFT_DATA_VERDICT;
}

struct nft_rows nft_shape_rows(const struct nft_shape *shape)
{
	return (struct nft_rows){
		.key_length = shape->key_length,
		.data_length = nft_shape_has_verdicts(shape) ? NFT_NAME_MAX : shape->data_length,
	};
}

struct nft_set *nft_table_take_set(struct nft_table *table, struct nftnl_set *object)
{
	struct nft_set *set = object ? calloc(1, sizeof(*set)) : NULL;
	struct nft_set **sets = set ? nft_grow(table, table->sets, table->set_count,
					       &table->set_room, sizeof(struct nft_set *))
				    : NULL;

	if (!sets) {
		table->failed = true;
		free(set);
		if (object)
			nftnl_set_free(object);
		return NULL;
	}
	table->sets = sets;
	sets[table->set_count++] = set;
	*set = (struct nft_set){.table = table, .object = object};
	set_name(set->name, nftnl_set_get_str(object, NFTNL_SET_NAME));
	set->shape = nft_shape_of(object);
	set->rows = nft_shape_rows(&set->shape);
	set->id = (uint32_t)table->set_count;
	return set;
}

static void rule_free(struct nft_rule *rule)
{
	nftnl_rule_free(rule->object);
	free(rule);
}

static void chain_free(struct nft_chain *chain)
{
	for (size_t i = 0; i < chain->count; i++)
		rule_free(chain->rules[i]);
	free(chain->rules);
	nftnl_chain_free(chain->object);
	free(chain);
}

struct nft_chain *nft_table_take_chain(struct nft_table *table, struct nftnl_chain *object)
{
	struct nft_chain *chain = object ? calloc(1, sizeof(*chain)) : NULL;
	struct nft_chain **chains = chain ? nft_grow(table, table->chains, table->chain_count,
						     &table->chain_room, sizeof(struct nft_chain *))
					  : NULL;

	if (!chains) {
		table->failed = true;
		free(chain);
		if (object)
			nftnl_chain_free(object);
		return NULL;
	}
	table->chains = chains;
	chains[table->chain_count++] = chain;
	*chain = (struct nft_chain){.table = table, .object = object};
	set_name(chain->name, nftnl_chain_get_str(object, NFTNL_CHAIN_NAME));
	return chain;
}

struct nft_rule *nft_chain_take_rule(struct nft_chain *chain, struct nftnl_rule *object)
{
	struct nft_rule *rule = object ? calloc(1, sizeof(*rule)) : NULL;
	struct nft_rule **rules = rule ? nft_grow(chain->table, chain->rules, chain->count,
						  &chain->room, sizeof(struct nft_rule *))
				       : NULL;

	if (!rules) {
		chain->table->failed = true;
		free(rule);
		if (object)
			nftnl_rule_free(object);
		return NULL;
	}
	chain->rules = rules;
	rules[chain->count++] = rule;
	*rule = (struct nft_rule){.chain = chain, .object = object};
	return rule;
}

struct nft_set *nft_table_find_set(const struct nft_table *table, const char *name)
{
	for (size_t i = 0; i < table->set_count; i++)
		if (strcmp(table->sets[i]->name, name) == 0)
			return table->sets[i];
	return NULL;
}

struct nft_chain *nft_table_find_chain(const struct nft_table *table, const char *name)
{
	for (size_t i = 0; i < table->chain_count; i++)
		if (strcmp(table->chains[i]->name, name) == 0)
			return table->chains[i];
	return NULL;
}

struct nft_counter *nft_table_find_counter(const struct nft_table *table, const char *name)
{
	for (size_t i = 0; i < table->counter_count; i++)
		if (strcmp(table->counters[i].name, name) == 0)
			return &table->counters[i];
	return NULL;
}

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

struct nft_table *nft_table_new(const char *name, const char *comment)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = calloc(1, sizeof(*table));
	_cleanup_(nftnl_udata_buf_free_p) struct nftnl_udata_buf *userdata = NULL;

	if (!table)
		return NULL;
	set_name(table->name, name);
	table->object = nftnl_table_alloc();
	if (!table->object || nftnl_table_set_str(table->object, NFTNL_TABLE_NAME, name) < 0)
		return NULL;
	nftnl_table_set_u32(table->object, NFTNL_TABLE_FAMILY, NFPROTO_INET);
	userdata = comment_userdata(table, comment);
	if (userdata)
		nftnl_table_set_data(table->object, NFTNL_TABLE_USERDATA,
				     nftnl_udata_buf_data(userdata), nftnl_udata_buf_len(userdata));
	return TAKE_PTR(table);
}

void nft_table_free(struct nft_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->counter_count; i++)
		nftnl_obj_free(table->counters[i].object);
	for (size_t i = 0; i < table->set_count; i++)
		set_free(table->sets[i]);
	for (size_t i = 0; i < table->chain_count; i++)
		chain_free(table->chains[i]);
	free(table->counters);
	free(table->sets);
	free(table->chains);
	if (table->object)
		nftnl_table_free(table->object);
	free(table);
}

bool nft_table_failed(const struct nft_table *table)
{
	return table->failed;
}

void nft_table_fail(struct nft_table *table)
{
	table->failed = true;
}

void nft_add_counter(struct nft_table *table, const char *name, const char *comment)
{
	struct nftnl_obj *object = nftnl_obj_alloc();
	_cleanup_(nftnl_udata_buf_free_p) struct nftnl_udata_buf *userdata =
		comment_userdata(table, comment);

	if (object) {
		nftnl_obj_set_str(object, NFTNL_OBJ_TABLE, table->name);
		nftnl_obj_set_str(object, NFTNL_OBJ_NAME, name);
		nftnl_obj_set_u32(object, NFTNL_OBJ_FAMILY, NFPROTO_INET);
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
	nftnl_set_set_u32(object, NFTNL_SET_FAMILY, NFPROTO_INET);
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

void nft_add_goto(struct nft_set *set, const void *key, const char *chain)
{
	char name[NFT_NAME_MAX] = {0};

	if (!set)
		return;
	set_name(name, chain);
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
		nftnl_chain_set_u32(object, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
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
		nftnl_rule_set_u32(object, NFTNL_RULE_FAMILY, NFPROTO_INET);
		if (userdata)
			nftnl_rule_set_data(object, NFTNL_RULE_USERDATA,
					    nftnl_udata_buf_data(userdata),
					    nftnl_udata_buf_len(userdata));
	}
	return nft_chain_take_rule(chain, object);
}

/* ---- expressions --------------------------------------------------------------------------------
 */

static struct nftnl_expr *expression(struct nft_rule *rule, const char *name)
{
	struct nftnl_expr *expr;

	if (!rule)
		return NULL;
	expr = nftnl_expr_alloc(name);
	if (!expr) {
		rule->chain->table->failed = true;
		return NULL;
	}
	nftnl_rule_add_expr(rule->object, expr);
	return expr;
}

static void put_u32(struct nftnl_expr *expr, uint16_t attribute, uint32_t value)
{
	if (expr)
		nftnl_expr_set_u32(expr, attribute, value);
}

static void put_u64(struct nftnl_expr *expr, uint16_t attribute, uint64_t value)
{
	if (expr)
		nftnl_expr_set_u64(expr, attribute, value);
}

static void put_text(struct nft_rule *rule, struct nftnl_expr *expr, uint16_t attribute,
		     const char *text)
{
	if (expr && nftnl_expr_set_str(expr, attribute, text) < 0)
		rule->chain->table->failed = true;
}

static void put_data(struct nft_rule *rule, struct nftnl_expr *expr, uint16_t attribute,
		     const void *data, uint32_t length)
{
	if (expr && nftnl_expr_set(expr, attribute, data, length) < 0)
		rule->chain->table->failed = true;
}

/* The kernel tells every fourth word by its old name, a register of four words. */
static uint32_t word_register(unsigned int word)
{
	return word % 4 == 0 ? NFT_REG_1 + word / 4 : NFT_REG32_00 + word;
}

void nft_meta(struct nft_rule *rule, uint32_t key, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "meta");

	put_u32(expr, NFTNL_EXPR_META_KEY, key);
	put_u32(expr, NFTNL_EXPR_META_DREG, word_register(to));
}

void nft_set_mark(struct nft_rule *rule, unsigned int from)
{
	struct nftnl_expr *expr = expression(rule, "meta");

	put_u32(expr, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	put_u32(expr, NFTNL_EXPR_META_SREG, word_register(from));
}

void nft_payload(struct nft_rule *rule, uint32_t base, uint32_t offset, uint32_t length,
		 unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "payload");

	put_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, word_register(to));
	put_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, base);
	put_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	put_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, length);
}

void nft_ct(struct nft_rule *rule, uint32_t key, int direction, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "ct");

	put_u32(expr, NFTNL_EXPR_CT_KEY, key);
	put_u32(expr, NFTNL_EXPR_CT_DREG, word_register(to));
	if (expr && direction != NFT_NO_DIRECTION)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_CT_DIR, (uint8_t)direction);
}

void nft_set_ct_mark(struct nft_rule *rule, unsigned int from)
{
	struct nftnl_expr *expr = expression(rule, "ct");

	put_u32(expr, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
	put_u32(expr, NFTNL_EXPR_CT_SREG, word_register(from));
}

void nft_numgen(struct nft_rule *rule, bool random, uint32_t modulus, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "numgen");

	put_u32(expr, NFTNL_EXPR_NG_DREG, word_register(to));
	put_u32(expr, NFTNL_EXPR_NG_MODULUS, modulus);
	put_u32(expr, NFTNL_EXPR_NG_TYPE, random ? NFT_NG_RANDOM : NFT_NG_INCREMENTAL);
	put_u32(expr, NFTNL_EXPR_NG_OFFSET, 0);
}

void nft_fib_oifname(struct nft_rule *rule, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "fib");

	put_u32(expr, NFTNL_EXPR_FIB_DREG, word_register(to));
	put_u32(expr, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIFNAME);
	put_u32(expr, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR | NFTA_FIB_F_MARK);
}

void nft_fib_foreign_source(struct nft_rule *rule)
{
	struct nftnl_expr *expr = expression(rule, "fib");
	uint32_t local = RTN_LOCAL;

	put_u32(expr, NFTNL_EXPR_FIB_DREG, word_register(0));
	put_u32(expr, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	put_u32(expr, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_OIF);
	nft_cmp(rule, NFT_CMP_NEQ, 0, &local, sizeof(local));
}

void nft_immediate(struct nft_rule *rule, const void *data, uint32_t length, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "immediate");

	put_u32(expr, NFTNL_EXPR_IMM_DREG, word_register(to));
	put_data(rule, expr, NFTNL_EXPR_IMM_DATA, data, length);
}

void nft_bitwise(struct nft_rule *rule, const void *mask, const void * xor, uint32_t length,
		 unsigned int from, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "bitwise");

	put_u32(expr, NFTNL_EXPR_BITWISE_SREG, word_register(from));
	put_u32(expr, NFTNL_EXPR_BITWISE_DREG, word_register(to));
	put_u32(expr, NFTNL_EXPR_BITWISE_LEN, length);
	put_u32(expr, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	put_data(rule, expr, NFTNL_EXPR_BITWISE_MASK, mask, length);
	put_data(rule, expr, NFTNL_EXPR_BITWISE_XOR, xor, length);
}

static void set_priority(struct nft_rule *rule, unsigned int from)
{
	struct nftnl_expr *expr = expression(rule, "meta");

	put_u32(expr, NFTNL_EXPR_META_KEY, NFT_META_PRIORITY);
	put_u32(expr, NFTNL_EXPR_META_SREG, word_register(from));
}

void nft_known_length(struct nft_rule *rule, unsigned int word, unsigned int spare)
{
	nft_meta(rule, NFT_META_PRIORITY, spare);
	set_priority(rule, word);
	nft_meta(rule, NFT_META_PRIORITY, word);
	set_priority(rule, spare);
}

void nft_cmp(struct nft_rule *rule, uint32_t op, unsigned int word, const void *data,
	     uint32_t length)
{
	struct nftnl_expr *expr = expression(rule, "cmp");

	put_u32(expr, NFTNL_EXPR_CMP_SREG, word_register(word));
	put_u32(expr, NFTNL_EXPR_CMP_OP, op);
	put_data(rule, expr, NFTNL_EXPR_CMP_DATA, data, length);
}

void nft_range(struct nft_rule *rule, uint32_t op, unsigned int word, const void *first,
	       const void *last, uint32_t length)
{
	struct nftnl_expr *expr = expression(rule, "range");

	put_u32(expr, NFTNL_EXPR_RANGE_SREG, word_register(word));
	put_u32(expr, NFTNL_EXPR_RANGE_OP, op);
	put_data(rule, expr, NFTNL_EXPR_RANGE_FROM_DATA, first, length);
	put_data(rule, expr, NFTNL_EXPR_RANGE_TO_DATA, last, length);
}

/* A set of the same transaction is found by its number, one that stands by its name. */
static void put_set(struct nft_rule *rule, struct nftnl_expr *expr, uint16_t name_attribute,
		    uint16_t id_attribute, const char *name)
{
	const struct nft_set *set;

	if (!expr)
		return;
	put_text(rule, expr, name_attribute, name);
	set = nft_table_find_set(rule->chain->table, name);
	if (set)
		put_u32(expr, id_attribute, set->id);
}

static struct nftnl_expr *lookup(struct nft_rule *rule, const char *set, unsigned int key)
{
	struct nftnl_expr *expr = expression(rule, "lookup");

	put_u32(expr, NFTNL_EXPR_LOOKUP_SREG, word_register(key));
	put_set(rule, expr, NFTNL_EXPR_LOOKUP_SET, NFTNL_EXPR_LOOKUP_SET_ID, set);
	put_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS, 0); /* as the kernel tells it back */
	return expr;
}

void nft_lookup(struct nft_rule *rule, const char *set, unsigned int key)
{
	lookup(rule, set, key);
}

void nft_lookup_absent(struct nft_rule *rule, const char *set, unsigned int key)
{
	put_u32(lookup(rule, set, key), NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

void nft_map(struct nft_rule *rule, const char *map, unsigned int key, unsigned int to)
{
	put_u32(lookup(rule, map, key), NFTNL_EXPR_LOOKUP_DREG, word_register(to));
}

void nft_verdict_map(struct nft_rule *rule, const char *map, unsigned int key)
{
	put_u32(lookup(rule, map, key), NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
}

static struct nftnl_expr *learn(struct nft_rule *rule, const char *set, enum nft_dynset_ops op,
				unsigned int key)
{
	struct nftnl_expr *expr = expression(rule, "dynset");

	put_u32(expr, NFTNL_EXPR_DYNSET_SREG_KEY, word_register(key));
	put_u32(expr, NFTNL_EXPR_DYNSET_OP, op);
	put_set(rule, expr, NFTNL_EXPR_DYNSET_SET_NAME, NFTNL_EXPR_DYNSET_SET_ID, set);
	return expr;
}

static enum nft_dynset_ops dynset_op(enum nft_learn op)
{
	switch (op) {
	case NFT_LEARN_ADD:
		return NFT_DYNSET_OP_ADD;
	case NFT_LEARN_UPDATE:
		return NFT_DYNSET_OP_UPDATE;
	case NFT_LEARN_DELETE:
		break;
	}
	return NFT_DYNSET_OP_DELETE;
}

void nft_learn(struct nft_rule *rule, const char *set, enum nft_learn op, unsigned int key,
	       unsigned int data, uint64_t timeout)
{
	struct nftnl_expr *expr = learn(rule, set, dynset_op(op), key);

	if (data != NFT_NO_DATA)
		put_u32(expr, NFTNL_EXPR_DYNSET_SREG_DATA, word_register(data));
	if (timeout)
		put_u64(expr, NFTNL_EXPR_DYNSET_TIMEOUT, timeout);
}

void nft_learn_connection(struct nft_rule *rule, const char *set, unsigned int key, uint32_t limit)
{
	struct nftnl_expr *expr = learn(rule, set, NFT_DYNSET_OP_ADD, key);
	struct nftnl_expr *count = expr ? nftnl_expr_alloc("connlimit") : NULL;

	if (!expr)
		return;
	if (!count) {
		rule->chain->table->failed = true;
		return;
	}
	nftnl_expr_set_u32(count, NFTNL_EXPR_CONNLIMIT_COUNT, limit);
	nftnl_expr_set_u32(count, NFTNL_EXPR_CONNLIMIT_FLAGS, 0);
	nftnl_expr_add_expr(expr, NFTNL_EXPR_DYNSET_EXPRESSIONS, count);
}

void nft_counter(struct nft_rule *rule, const char *name)
{
	struct nftnl_expr *expr = expression(rule, "objref");

	put_u32(expr, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	put_text(rule, expr, NFTNL_EXPR_OBJREF_IMM_NAME, name);
}

void nft_limit(struct nft_rule *rule, uint64_t per_second, uint32_t burst)
{
	struct nftnl_expr *expr = expression(rule, "limit");

	put_u64(expr, NFTNL_EXPR_LIMIT_RATE, per_second);
	put_u64(expr, NFTNL_EXPR_LIMIT_UNIT, 1);
	put_u32(expr, NFTNL_EXPR_LIMIT_BURST, burst);
	put_u32(expr, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	put_u32(expr, NFTNL_EXPR_LIMIT_FLAGS, 0);
}

void nft_write_mss(struct nft_rule *rule, unsigned int from)
{
	struct nftnl_expr *expr = expression(rule, "exthdr");

	put_u32(expr, NFTNL_EXPR_EXTHDR_SREG, word_register(from));
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_EXTHDR_TYPE, 2); /* TCPOPT_MAXSEG */
	put_u32(expr, NFTNL_EXPR_EXTHDR_OFFSET, 2);
	put_u32(expr, NFTNL_EXPR_EXTHDR_LEN, 2);
	put_u32(expr, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
}

void nft_reject(struct nft_rule *rule, uint8_t icmp_code)
{
	struct nftnl_expr *expr = expression(rule, "reject");

	put_u32(expr, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH);
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, icmp_code);
}

void nft_reset_tcp(struct nft_rule *rule)
{
	struct nftnl_expr *expr = expression(rule, "reject");

	put_u32(expr, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, 0);
}

/* The kernel tells back both ends of each range and the flags it derives from them: say the same,
 * so that the two compare equal. */
static void nat(struct nft_rule *rule, uint32_t type, unsigned int address, unsigned int port,
		unsigned int port_last, uint32_t flags)
{
	struct nftnl_expr *expr = expression(rule, "nat");

	put_u32(expr, NFTNL_EXPR_NAT_TYPE, type);
	put_u32(expr, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
	put_u32(expr, NFTNL_EXPR_NAT_REG_ADDR_MIN, word_register(address));
	put_u32(expr, NFTNL_EXPR_NAT_REG_ADDR_MAX, word_register(address));
	flags |= NF_NAT_RANGE_MAP_IPS;
	if (port != NFT_NO_DATA) {
		flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
		put_u32(expr, NFTNL_EXPR_NAT_REG_PROTO_MIN, word_register(port));
		put_u32(expr, NFTNL_EXPR_NAT_REG_PROTO_MAX,
			word_register(port_last == NFT_NO_DATA ? port : port_last));
	}
	put_u32(expr, NFTNL_EXPR_NAT_FLAGS, flags);
}

void nft_snat(struct nft_rule *rule, unsigned int address, unsigned int port,
	      unsigned int port_last, bool random)
{
	nat(rule, NFT_NAT_SNAT, address, port, port_last, random ? NF_NAT_RANGE_PROTO_RANDOM : 0);
}

void nft_dnat(struct nft_rule *rule, unsigned int address, unsigned int port)
{
	nat(rule, NFT_NAT_DNAT, address, port, NFT_NO_DATA, 0);
}

void nft_masquerade(struct nft_rule *rule)
{
	expression(rule, "masq");
}

static void verdict(struct nft_rule *rule, int code, const char *chain)
{
	struct nftnl_expr *expr = expression(rule, "immediate");

	put_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	put_u32(expr, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
	if (chain)
		put_text(rule, expr, NFTNL_EXPR_IMM_CHAIN, chain);
}

void nft_accept(struct nft_rule *rule)
{
	verdict(rule, NF_ACCEPT, NULL);
}

void nft_drop(struct nft_rule *rule)
{
	verdict(rule, NF_DROP, NULL);
}

void nft_return(struct nft_rule *rule)
{
	verdict(rule, NFT_RETURN, NULL);
}

void nft_jump(struct nft_rule *rule, const char *chain)
{
	verdict(rule, NFT_JUMP, chain);
}

void nft_goto(struct nft_rule *rule, const char *chain)
{
	verdict(rule, NFT_GOTO, chain);
}
