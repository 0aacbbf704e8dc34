/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_model.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint8_t nft_protocol(enum nft_family family)
{
	return family == NFT_IP6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
}

void nft_set_name(char to[NFT_NAME_MAX], const char *from)
{
	size_t length = from ? strnlen(from, NFT_NAME_MAX - 1) : 0;

	if (length)
		memcpy(to, from, length);
	to[length] = '\0';
}

/* Room for one more item of size at items; NULL and table->failed when there is no memory. */
static void *grow(struct nft_table *table, void *items, size_t count, size_t *room, size_t size)
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
	counters = grow(table, table->counters, table->counter_count, &table->counter_room,
			sizeof(*counters));
	if (!counters) {
		nftnl_obj_free(object);
		return NULL;
	}
	table->counters = counters;
	counter = &counters[table->counter_count++];
	*counter = (struct nft_counter){.object = object};
	nft_set_name(counter->name, nftnl_obj_get_str(object, NFTNL_OBJ_NAME));
	return counter;
}

static void set_free(struct nft_set *set)
{
	nftnl_set_free(set->object);
	nft_rows_done(&set->rows);
	free(set->timeouts);
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
	struct nft_set **sets = set ? grow(table, table->sets, table->set_count, &table->set_room,
					   sizeof(struct nft_set *))
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
	nft_set_name(set->name, nftnl_set_get_str(object, NFTNL_SET_NAME));
	set->shape = nft_shape_of(object);
	set->rows = nft_shape_rows(&set->shape);
	set->id = (uint32_t)table->set_count;
	return set;
}

struct nft_rows nft_name_rows(void)
{
	return (struct nft_rows){.key_length = NFT_NAME_MAX};
}

struct nft_rows nft_device_rows(void)
{
	return (struct nft_rows){.key_length = sizeof(struct nft_device)};
}

int nft_device_add(struct nft_rows *rows, const char *interface, uint32_t index)
{
	struct nft_device device = {.index = index};

	snprintf(device.name, sizeof(device.name), "%s", interface);
	return nft_rows_add(rows, &device, NULL, 0);
}

static void flows_free(struct nft_flows *flows)
{
	if (flows)
		nft_rows_done(&flows->devices);
	free(flows);
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
	struct nft_chain **chains = chain ? grow(table, table->chains, table->chain_count,
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
	nft_set_name(chain->name, nftnl_chain_get_str(object, NFTNL_CHAIN_NAME));
	return chain;
}

struct nft_rule *nft_chain_take_rule(struct nft_chain *chain, struct nftnl_rule *object)
{
	struct nft_rule *rule = object ? calloc(1, sizeof(*rule)) : NULL;
	struct nft_rule **rules = rule ? grow(chain->table, chain->rules, chain->count,
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

void nft_table_free(struct nft_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->counter_count; i++)
		nftnl_obj_free(table->counters[i].object);
	flows_free(table->flows);
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
