/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a table is made of, shared by the words (nft.c, nft_words.c) and everything that sends or
 * compares it (nft_*.c). Nobody else includes this.
 */
#pragma once

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <net/if.h>

#include "lib/kernel/nft.h"
#include "lib/kernel/nft_rows.h"

#define NFT_NAME_MAX 256 /* NFT_NAME_MAXLEN: other programs' names are no shorter */

/* What cannot be changed of a set without making it anew. */
struct nft_shape {
	uint32_t flags, key_type, key_length, data_type, data_length, size;
	uint64_t timeout;
};

struct nft_set {
	struct nft_table *table;
	char name[NFT_NAME_MAX];
	struct nftnl_set *object;
	struct nft_shape shape;
	bool learnt, identity;
	struct nft_rows rows;
	uint64_t *timeouts; /* of each row, in ms; NULL: none has one of its own */
	size_t timeout_room;
	uint32_t id;
};

struct nft_rule {
	struct nft_chain *chain;
	struct nftnl_rule *object;
};

struct nft_chain {
	struct nft_table *table;
	char name[NFT_NAME_MAX];
	struct nftnl_chain *object;
	bool offloads; /* a rule of it holds on to a flowtable */
	struct nft_rule **rules;
	size_t count, room;
};

struct nft_counter {
	char name[NFT_NAME_MAX];
	struct nftnl_obj *object;
};

/* An interface that a flowtable is bound to. Another one of the same name is not. */
struct nft_device {
	char name[IFNAMSIZ]; /* padded with zeros */
	uint32_t index;
};

struct nft_flows {
	struct nft_table *table;
	char name[NFT_NAME_MAX];
	struct nft_rows devices; /* keys: struct nft_device */
};

struct nft_table {
	enum nft_family family;
	char name[NFT_NAME_MAX];
	struct nftnl_table *object;
	bool failed;
	struct nft_counter *counters;
	size_t counter_count, counter_room;
	struct nft_flows *flows; /* NULL: no flowtable */
	struct nft_set **sets;
	size_t set_count, set_room;
	struct nft_chain **chains;
	size_t chain_count, chain_room;
};

struct nft_rows nft_name_rows(void);   /* empty; keys: names of NFT_NAME_MAX octets */
struct nft_rows nft_device_rows(void); /* empty */
/* 0 or -ENOMEM. */
int nft_device_add(struct nft_rows *rows, const char *interface, uint32_t index);

uint8_t nft_protocol(enum nft_family family);               /* NFPROTO_* */
void nft_set_name(char to[NFT_NAME_MAX], const char *from); /* cut when too long */

/* Empty holders that take over an object (may be NULL: no memory). Used by both sides. */
struct nft_counter *nft_table_take_counter(struct nft_table *table, struct nftnl_obj *object);
struct nft_set *nft_table_take_set(struct nft_table *table, struct nftnl_set *object);
struct nft_chain *nft_table_take_chain(struct nft_table *table, struct nftnl_chain *object);
struct nft_rule *nft_chain_take_rule(struct nft_chain *chain, struct nftnl_rule *object);

struct nft_shape nft_shape_of(const struct nftnl_set *object);
/* A map to verdicts: its data are names of chains, NFT_NAME_MAX octets each. */
bool nft_shape_has_verdicts(const struct nft_shape *shape);
struct nft_rows nft_shape_rows(const struct nft_shape *shape); /* empty */

struct nft_set *nft_table_find_set(const struct nft_table *table, const char *name);
struct nft_chain *nft_table_find_chain(const struct nft_table *table, const char *name);
struct nft_counter *nft_table_find_counter(const struct nft_table *table, const char *name);
