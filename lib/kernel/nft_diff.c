/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_diff.h"

#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "lib/kernel/nft_messages.h"

/* What stands and what is to stand. */
struct diff {
	struct nft_batch *batch;
	const struct nft_table *want;
	const struct nft_picture *picture; /* of want: the same chains and sets in the same order */
	const struct nft_picture *have;
	bool forget;  /* what packets have taught it is not true any more */
	bool reflows; /* the flowtable is made anew, or for the first time */
};

/* ---- a table from nothing -------------------------------------------------------------------- */

static struct nft_element_writer writer_of(struct nft_batch *batch, const struct nft_set *set,
					   bool create)
{
	return (struct nft_element_writer){
		.batch = batch,
		.table = set->table->name,
		.set = set->name,
		.shape = &set->shape,
		.set_id = create ? set->id : 0,
		.create = create,
	};
}

static void put_all_elements(struct nft_batch *batch, const struct nft_set *set)
{
	struct nft_element_writer writer = writer_of(batch, set, true);

	writer.timeouts = set->timeouts;
	for (size_t i = 0; i < set->rows.count; i++)
		nft_put_element(&writer, &set->rows, i);
	nft_put_last_elements(&writer);
}

/* Chains come before what leads to them, sets before their elements, rules last. */
static void put_everything(struct nft_batch *batch, const struct nft_table *want)
{
	nft_put_table(batch, want);
	for (size_t i = 0; i < want->chain_count; i++)
		nft_put_chain(batch, want->chains[i]);
	for (size_t i = 0; i < want->counter_count; i++)
		nft_put_counter(batch, &want->counters[i]);
	if (want->flows)
		nft_put_flows(batch, want->flows);
	for (size_t i = 0; i < want->set_count; i++) {
		nft_put_set(batch, want->sets[i]);
		put_all_elements(batch, want->sets[i]);
	}
	for (size_t i = 0; i < want->chain_count; i++)
		nft_put_rules(batch, want->chains[i]);
}

static bool lacks_base_chain(const struct nft_picture *in, const struct nft_picture *of)
{
	for (size_t i = 0; i < of->chain_count; i++)
		if (of->chains[i].hook.type[0] && !nft_picture_chain(in, of->chains[i].name))
			return true;
	return false;
}

/* What cannot be changed in place. The transaction that wakes a table up may neither add a base
 * chain nor delete one (nf_tables_api.c nft_table_pending_update). */
static bool must_remake(const struct nft_picture *picture, const struct nft_picture *have)
{
	if (have->dormant && (lacks_base_chain(have, picture) || lacks_base_chain(picture, have)))
		return true;
	for (size_t i = 0; i < picture->set_count; i++) {
		const struct nft_picture_set *set = nft_picture_set(have, picture->sets[i].name);

		if (set && !nft_shape_equal(&picture->sets[i].shape, &set->shape))
			return true;
	}
	for (size_t i = 0; i < picture->chain_count; i++) {
		const struct nft_picture_chain *chain =
			nft_picture_chain(have, picture->chains[i].name);

		if (chain && !nft_hook_equal(&picture->chains[i].hook, &chain->hook))
			return true;
	}
	return false;
}

/* ---- sets ------------------------------------------------------------------------------------ */

static bool identity_changed(const struct diff *diff)
{
	for (size_t i = 0; i < diff->want->set_count; i++) {
		const struct nft_picture_set *set = &diff->picture->sets[i];
		const struct nft_picture_set *standing = nft_picture_set(diff->have, set->name);

		if (diff->want->sets[i]->identity &&
		    (!standing || !nft_rows_equal(&set->rows, &standing->rows)))
			return true;
	}
	return false;
}

static void put_row(void *userdata, const struct nft_rows *rows, size_t i)
{
	nft_put_element(userdata, rows, i);
}

static void count_row(void *userdata, const struct nft_rows *rows, size_t i)
{
	(void)rows;
	(void)i;
	++*(size_t *)userdata;
}

/* Interval sets are written anew: their elements make sense only together. Where nothing stays,
 * one message empties the set. */
static void diff_rows(const struct diff *diff, const struct nft_set *set,
		      const struct nft_rows *wanted, const struct nft_rows *standing)
{
	struct nft_element_writer gone = writer_of(diff->batch, set, false);
	struct nft_element_writer fresh = writer_of(diff->batch, set, true);
	size_t leaving = 0;

	if (nft_rows_equal(wanted, standing))
		return;
	nft_rows_missing(standing, wanted, count_row, &leaving);
	if ((set->shape.flags & NFT_SET_INTERVAL) || leaving == standing->count) {
		if (standing->count)
			nft_empty_set(diff->batch, diff->want->name, set->name);
		put_all_elements(diff->batch, set);
		return;
	}
	nft_rows_missing(standing, wanted, put_row, &gone);
	nft_put_last_elements(&gone);
	nft_rows_missing(wanted, standing, put_row, &fresh);
	nft_put_last_elements(&fresh);
}

static void diff_sets(const struct diff *diff)
{
	for (size_t i = 0; i < diff->want->set_count; i++) {
		const struct nft_set *set = diff->want->sets[i];
		const struct nft_picture_set *standing = nft_picture_set(diff->have, set->name);

		if (!standing) {
			nft_put_set(diff->batch, set);
			put_all_elements(diff->batch, set);
		} else if (!set->learnt) {
			diff_rows(diff, set, &diff->picture->sets[i].rows, &standing->rows);
		} else if (diff->forget) {
			nft_empty_set(diff->batch, diff->want->name, set->name);
		}
	}
}

/* ---- the flowtable --------------------------------------------------------------------------- */

static bool flows_changed(const struct diff *diff)
{
	const struct nft_picture_flows *wanted, *standing;

	if (!diff->want->flows)
		return false;
	wanted = nft_picture_flows(diff->picture, diff->want->flows->name);
	standing = nft_picture_flows(diff->have, diff->want->flows->name);
	return !wanted || !standing || diff->forget || wanted->priority != standing->priority ||
	       !nft_rows_equal(&wanted->devices, &standing->devices);
}

/* No rule holds on to it any more, or not yet. */
static void diff_flows(const struct diff *diff)
{
	for (size_t i = 0; i < diff->have->flows_count; i++) {
		const char *name = diff->have->flows[i].name;

		if (diff->reflows || !nft_picture_flows(diff->picture, name))
			nft_delete_flows(diff->batch, diff->want->name, name);
	}
	if (diff->reflows)
		nft_put_flows(diff->batch, diff->want->flows);
}

/* ---- chains and the rest --------------------------------------------------------------------- */

static bool rules_changed(const struct diff *diff, size_t i)
{
	const struct nft_picture_chain *chain = &diff->picture->chains[i];
	const struct nft_picture_chain *standing = nft_picture_chain(diff->have, chain->name);

	return !standing || !nft_picture_rules_equal(chain, standing) ||
	       (diff->reflows && diff->want->chains[i]->offloads);
}

/* Rules go first: they hold on to sets, counters and chains. */
static void diff_chains(const struct diff *diff)
{
	for (size_t i = 0; i < diff->have->chain_count; i++) {
		const struct nft_picture_chain *chain = &diff->have->chains[i];

		if (chain->count && !nft_picture_chain(diff->picture, chain->name))
			nft_empty_chain(diff->batch, diff->want->name, chain->name);
	}
	for (size_t i = 0; i < diff->want->chain_count; i++) {
		const struct nft_picture_chain *chain = &diff->picture->chains[i];
		const struct nft_picture_chain *standing =
			nft_picture_chain(diff->have, chain->name);

		if (standing && standing->count && rules_changed(diff, i))
			nft_empty_chain(diff->batch, diff->want->name, chain->name);
		if (!standing || standing->policy != chain->policy)
			nft_put_chain(diff->batch, diff->want->chains[i]);
	}
}

static void diff_counters(const struct diff *diff)
{
	for (size_t i = 0; i < diff->want->counter_count; i++)
		if (!nft_picture_has_counter(diff->have, diff->want->counters[i].name))
			nft_put_counter(diff->batch, &diff->want->counters[i]);
}

static bool is_ours(const struct diff *diff, const struct nft_picture_object *object)
{
	return object->type == NFT_OBJECT_COUNTER &&
	       nft_table_find_counter(diff->want, object->name);
}

/* Sets first: maps hold on to chains and objects. */
static void delete_leftovers(const struct diff *diff)
{
	const struct nft_picture *have = diff->have;

	for (size_t i = 0; i < have->set_count; i++)
		/* Anonymous sets go with the rule that they belong to. */
		if (!nft_picture_set(diff->picture, have->sets[i].name) &&
		    !(have->sets[i].shape.flags & NFT_SET_ANONYMOUS))
			nft_delete_set(diff->batch, diff->want->name, have->sets[i].name);
	for (size_t i = 0; i < have->chain_count; i++)
		if (!nft_picture_chain(diff->picture, have->chains[i].name))
			nft_delete_chain(diff->batch, diff->want->name, have->chains[i].name);
	for (size_t i = 0; i < have->object_count; i++)
		if (!is_ours(diff, &have->objects[i]))
			nft_delete_object(diff->batch, diff->want->name, have->objects[i].name,
					  have->objects[i].type);
}

void nft_diff(struct nft_batch *batch, const struct nft_table *want,
	      const struct nft_picture *picture, const struct nft_picture *have)
{
	struct diff diff = {batch, want, picture, have, false, false};

	batch->family = nft_protocol(want->family);
	if (!have) {
		put_everything(batch, want);
		return;
	}
	if (must_remake(picture, have)) {
		nft_delete_table(batch, want->name);
		put_everything(batch, want);
		return;
	}
	if (have->dormant)
		nft_wake_table(batch, want->name);
	diff.forget = identity_changed(&diff);
	diff.reflows = flows_changed(&diff);
	diff_chains(&diff);
	diff_counters(&diff);
	diff_flows(&diff);
	diff_sets(&diff);
	for (size_t i = 0; i < want->chain_count; i++)
		if (rules_changed(&diff, i))
			nft_put_rules(batch, want->chains[i]);
	delete_leftovers(&diff);
}
