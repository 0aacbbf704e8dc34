/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The messages of a transaction, one function each. */
#pragma once

#include "lib/kernel/nft_batch.h"
#include "lib/kernel/nft_model.h"

void nft_put_table(struct nft_batch *batch, const struct nft_table *table);
void nft_put_chain(struct nft_batch *batch, const struct nft_chain *chain);
void nft_put_rules(struct nft_batch *batch,
		   const struct nft_chain *chain); /* behind what is there */
void nft_put_counter(struct nft_batch *batch, const struct nft_counter *counter);
void nft_put_flows(struct nft_batch *batch, const struct nft_flows *flows);
void nft_put_set(struct nft_batch *batch, const struct nft_set *set);

/* Elements are gathered into messages: add each, then send the rest. */
struct nft_element_writer {
	struct nft_batch *batch;
	const char *table, *set;
	const struct nft_shape *shape;
	uint32_t set_id;          /* of a set of the same transaction; 0: it stands */
	bool create;              /* or delete */
	const uint64_t *timeouts; /* of each row, ms; NULL or 0: the set's */
	struct nftnl_set *list;
	size_t count;
};

void nft_put_element(struct nft_element_writer *writer, const struct nft_rows *rows, size_t i);
void nft_put_last_elements(struct nft_element_writer *writer);

void nft_wake_table(struct nft_batch *batch, const char *table);
void nft_delete_table(struct nft_batch *batch, const char *table);
void nft_delete_chain(struct nft_batch *batch, const char *table, const char *chain);
void nft_delete_set(struct nft_batch *batch, const char *table, const char *set);
void nft_delete_flows(struct nft_batch *batch, const char *table, const char *flows);
void nft_delete_object(struct nft_batch *batch, const char *table, const char *object,
		       uint32_t type); /* NFT_OBJECT_* */
void nft_empty_chain(struct nft_batch *batch, const char *table, const char *chain);
void nft_empty_set(struct nft_batch *batch, const char *table, const char *set);
