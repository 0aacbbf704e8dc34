/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table as far as it is compared, small enough to be remembered: hooks and policies of chains, a
 * digest of each rule, shapes of sets, elements of the static ones, names of objects. The wanted
 * table and the kernel's are brought into this form; comments of tables, sets and chains are not
 * part of it, because they cannot be changed without making the object anew.
 *
 * The digest is taken of what libnftnl writes of a rule. What the kernel tells is read and written
 * again, so that both are of one hand; a number that is zero counts as one that is not there, since
 * the kernel tells many of which it does not want to hear.
 */
#pragma once

#include "lib/kernel/nft_model.h"

struct nft_hook {
	char type[16]; /* "" = a plain chain */
	uint32_t number;
	int32_t priority;
};

struct nft_picture_chain {
	char name[NFT_NAME_MAX];
	struct nft_hook hook;
	uint32_t policy;
	uint64_t *rules;
	size_t count, room;
};

struct nft_picture_set {
	char name[NFT_NAME_MAX];
	struct nft_shape shape;
	struct nft_rows rows; /* sorted; empty when the set is learnt */
};

/* Of the ingress hook. */
struct nft_picture_flows {
	char name[NFT_NAME_MAX];
	int32_t priority;
	struct nft_rows devices; /* sorted */
};

/* A counter, and what another program has made of another kind. */
struct nft_picture_object {
	char name[NFT_NAME_MAX];
	uint32_t type; /* NFT_OBJECT_* */
};

struct nft_picture {
	bool dormant;
	struct nft_picture_chain *chains;
	size_t chain_count, chain_room;
	struct nft_picture_set *sets;
	size_t set_count, set_room;
	struct nft_picture_object *objects;
	size_t object_count, object_room;
	struct nft_picture_flows *flows;
	size_t flows_count, flows_room;
};

void nft_picture_free(struct nft_picture *picture); /* takes NULL */
DEFINE_CLEANUP(struct nft_picture *, nft_picture_free);

/* Of a wanted table: chains and sets stand in its order. 0 or -ENOMEM. */
int nft_picture_new(const struct nft_table *table, struct nft_picture **ret);

/* Parts, as the kernel tells them. The first three return NULL, the others -ENOMEM, when memory is
 * short. */
struct nft_picture_chain *nft_picture_add_chain(struct nft_picture *picture,
						const struct nftnl_chain *object);
struct nft_picture_set *nft_picture_add_set(struct nft_picture *picture,
					    const struct nftnl_set *object);
struct nft_picture_flows *nft_picture_add_flows(struct nft_picture *picture, const char *name,
						int32_t priority); /* devices: none */
int nft_picture_add_rule(struct nft_picture_chain *chain, uint64_t digest);
int nft_picture_add_object(struct nft_picture *picture, const char *name, uint32_t type);

struct nft_picture_chain *nft_picture_chain(const struct nft_picture *picture, const char *name);
struct nft_picture_set *nft_picture_set(const struct nft_picture *picture, const char *name);
struct nft_picture_flows *nft_picture_flows(const struct nft_picture *picture, const char *name);
bool nft_picture_has_counter(const struct nft_picture *picture, const char *name);

/* Of a rule; never 0, which stands for a rule that nobody here can have written.
 *
 * scratch: NFT_SCRATCH_SIZE octets, aligned, all zero, and left so. A rule of the kernel fits into
 * one datagram, and takes little more when it is written again. */
#define NFT_DIGEST_FOREIGN 0u
#define NFT_SCRATCH_SIZE   (128u * 1024)
uint64_t nft_rule_digest(struct nftnl_rule *rule, void *scratch);

bool nft_shape_equal(const struct nft_shape *a, const struct nft_shape *b);
bool nft_hook_equal(const struct nft_hook *a, const struct nft_hook *b);
/* Rules in their order. */
bool nft_picture_rules_equal(const struct nft_picture_chain *a, const struct nft_picture_chain *b);
