/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_picture.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 8u

void nft_picture_free(struct nft_picture *picture)
{
	if (!picture)
		return;
	for (size_t i = 0; i < picture->chain_count; i++)
		free(picture->chains[i].rules);
	for (size_t i = 0; i < picture->set_count; i++)
		nft_rows_done(&picture->sets[i].rows);
	for (size_t i = 0; i < picture->flows_count; i++)
		nft_rows_done(&picture->flows[i].devices);
	free(picture->flows);
	free(picture->chains);
	free(picture->sets);
	free(picture->objects);
	free(picture);
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* Room for one more item of size at items; NULL when there is no memory. */
static void *grow(void *items, size_t count, size_t *room, size_t size)
{
	size_t wanted = *room ? *room * 2 : ROOM_FIRST;
	void *grown;

	if (count < *room)
		return items;
	grown = reallocarray(items, wanted, size);
	if (grown)
		*room = wanted;
	return grown;
}

static void set_name(char to[NFT_NAME_MAX], const char *from)
{
	snprintf(to, NFT_NAME_MAX, "%s", from ? from : "");
}

static struct nft_hook hook_of(const struct nftnl_chain *object)
{
	struct nft_hook hook = {0};
	const char *type = nftnl_chain_get_str(object, NFTNL_CHAIN_TYPE);

	if (!nftnl_chain_is_set(object, NFTNL_CHAIN_HOOKNUM))
		return hook;
	snprintf(hook.type, sizeof(hook.type), "%s", type ? type : "?");
	hook.number = nftnl_chain_get_u32(object, NFTNL_CHAIN_HOOKNUM);
	hook.priority = nftnl_chain_get_s32(object, NFTNL_CHAIN_PRIO);
	return hook;
}

struct nft_picture_chain *nft_picture_add_chain(struct nft_picture *picture,
						const struct nftnl_chain *object)
{
	struct nft_picture_chain *chains =
		grow(picture->chains, picture->chain_count, &picture->chain_room, sizeof(*chains));
	struct nft_picture_chain *chain;

	if (!chains)
		return NULL;
	picture->chains = chains;
	chain = &chains[picture->chain_count++];
	*chain = (struct nft_picture_chain){.hook = hook_of(object), .policy = NF_ACCEPT};
	if (chain->hook.type[0])
		chain->policy = nftnl_chain_get_u32(object, NFTNL_CHAIN_POLICY);
	set_name(chain->name, nftnl_chain_get_str(object, NFTNL_CHAIN_NAME));
	return chain;
}

struct nft_picture_set *nft_picture_add_set(struct nft_picture *picture,
					    const struct nftnl_set *object)
{
	struct nft_picture_set *sets =
		grow(picture->sets, picture->set_count, &picture->set_room, sizeof(*sets));
	struct nft_picture_set *set;

	if (!sets)
		return NULL;
	picture->sets = sets;
	set = &sets[picture->set_count++];
	*set = (struct nft_picture_set){.shape = nft_shape_of(object)};
	set->rows = nft_shape_rows(&set->shape);
	set_name(set->name, nftnl_set_get_str(object, NFTNL_SET_NAME));
	return set;
}

struct nft_picture_flows *nft_picture_add_flows(struct nft_picture *picture, const char *name,
						int32_t priority)
{
	struct nft_picture_flows *all =
		grow(picture->flows, picture->flows_count, &picture->flows_room, sizeof(*all));
	struct nft_picture_flows *flows;

	if (!all)
		return NULL;
	picture->flows = all;
	flows = &all[picture->flows_count++];
	*flows = (struct nft_picture_flows){.priority = priority, .devices = nft_device_rows()};
	set_name(flows->name, name);
	return flows;
}

int nft_picture_add_rule(struct nft_picture_chain *chain, uint64_t digest)
{
	uint64_t *rules = grow(chain->rules, chain->count, &chain->room, sizeof(*rules));

	if (!rules)
		return -ENOMEM;
	chain->rules = rules;
	rules[chain->count++] = digest;
	return 0;
}

int nft_picture_add_object(struct nft_picture *picture, const char *name, uint32_t type)
{
	struct nft_picture_object *objects = grow(picture->objects, picture->object_count,
						  &picture->object_room, sizeof(*objects));

	if (!objects)
		return -ENOMEM;
	picture->objects = objects;
	objects[picture->object_count] = (struct nft_picture_object){.type = type};
	set_name(objects[picture->object_count++].name, name);
	return 0;
}

struct nft_picture_chain *nft_picture_chain(const struct nft_picture *picture, const char *name)
{
	for (size_t i = 0; i < picture->chain_count; i++)
		if (strcmp(picture->chains[i].name, name) == 0)
			return &picture->chains[i];
	return NULL;
}

struct nft_picture_set *nft_picture_set(const struct nft_picture *picture, const char *name)
{
	for (size_t i = 0; i < picture->set_count; i++)
		if (strcmp(picture->sets[i].name, name) == 0)
			return &picture->sets[i];
	return NULL;
}

struct nft_picture_flows *nft_picture_flows(const struct nft_picture *picture, const char *name)
{
	for (size_t i = 0; i < picture->flows_count; i++)
		if (strcmp(picture->flows[i].name, name) == 0)
			return &picture->flows[i];
	return NULL;
}

bool nft_picture_has_counter(const struct nft_picture *picture, const char *name)
{
	for (size_t i = 0; i < picture->object_count; i++)
		if (picture->objects[i].type == NFT_OBJECT_COUNTER &&
		    strcmp(picture->objects[i].name, name) == 0)
			return true;
	return false;
}

/* ---- of a wanted table ------------------------------------------------------------------------
 */

static int picture_chain(struct nft_picture *picture, const struct nft_chain *from, void *scratch)
{
	struct nft_picture_chain *chain = nft_picture_add_chain(picture, from->object);
	int r = chain ? 0 : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < from->count; i++)
		r = nft_picture_add_rule(chain, nft_rule_digest(from->rules[i]->object, scratch));
	return r;
}

static int picture_set(struct nft_picture *picture, const struct nft_set *from)
{
	struct nft_picture_set *set = nft_picture_add_set(picture, from->object);
	int r;

	if (!set)
		return -ENOMEM;
	if (from->learnt)
		return 0;
	r = nft_rows_copy(&from->rows, &set->rows);
	if (r < 0)
		return r;
	nft_rows_sort(&set->rows);
	return 0;
}

static int picture_flows(struct nft_picture *picture, const struct nft_flows *from)
{
	struct nft_picture_flows *flows = nft_picture_add_flows(picture, from->name, 0);
	int r = flows ? nft_rows_copy(&from->devices, &flows->devices) : -ENOMEM;

	if (r >= 0)
		nft_rows_sort(&flows->devices);
	return r;
}

int nft_picture_new(const struct nft_table *table, struct nft_picture **ret)
{
	_cleanup_(nft_picture_free_p) struct nft_picture *picture = calloc(1, sizeof(*picture));
	_cleanup_free_ void *scratch = calloc(1, NFT_SCRATCH_SIZE);
	int r = picture && scratch ? 0 : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < table->chain_count; i++)
		r = picture_chain(picture, table->chains[i], scratch);
	for (size_t i = 0; r >= 0 && i < table->set_count; i++)
		r = picture_set(picture, table->sets[i]);
	for (size_t i = 0; r >= 0 && i < table->counter_count; i++)
		r = nft_picture_add_object(picture, table->counters[i].name, NFT_OBJECT_COUNTER);
	if (r >= 0 && table->flows)
		r = picture_flows(picture, table->flows);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(picture);
	return 0;
}

/* ---- comparing --------------------------------------------------------------------------------
 */

bool nft_shape_equal(const struct nft_shape *a, const struct nft_shape *b)
{
	return a->flags == b->flags && a->key_type == b->key_type &&
	       a->key_length == b->key_length && a->data_type == b->data_type &&
	       a->data_length == b->data_length && a->size == b->size && a->timeout == b->timeout;
}

bool nft_hook_equal(const struct nft_hook *a, const struct nft_hook *b)
{
	return a->number == b->number && a->priority == b->priority &&
	       strcmp(a->type, b->type) == 0;
}

bool nft_picture_rules_equal(const struct nft_picture_chain *a, const struct nft_picture_chain *b)
{
	return a->count == b->count &&
	       (a->count == 0 || memcmp(a->rules, b->rules, a->count * sizeof(*a->rules)) == 0);
}
