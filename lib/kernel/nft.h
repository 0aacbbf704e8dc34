/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A vocabulary for nftables tables, and the verb that makes the kernel's tables equal to them.
 *
 * A table is described from nothing: counters, sets and maps, chains, rules, each rule a row of
 * expressions (linux/netfilter/nf_tables.h). An allocation that fails is remembered and told by
 * nft_table_failed(), so that sentences need no check of their own. nft_sync() then compares the
 * tables of one name, one of each family, with what the kernel has, and sends what differs in one
 * transaction.
 *
 * This header and its files are the only ones that know libnftnl: nft.c and nft_words.c have the
 * words, nft_model.c what they make, nft_read.c reads, nft_picture.c and nft_diff.c compare,
 * nft_messages.c and nft_batch.c send, nft_sync.c does one after the other and remembers what
 * stands.
 *
 * Registers are counted in words of 32 bits, 0 to 15: data of n octets fills the words from its
 * register on. A verdict needs none. Keys made of several parts give each part whole words.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"

/* ---- the table ----------------------------------------------------------------------------- */

struct nft_table;
struct nft_set;
struct nft_chain;
struct nft_rule;

/* A table sees the packets of its family, and those of the other cost nothing. (One of family inet
 * sees both, and a chain of NAT or a question for conntrack then makes the kernel track both.) */
enum nft_family {
	NFT_IP,
	NFT_IP6,
	NFT_FAMILIES,
};

/* Names and comments are copied. NULL: no memory. */
struct nft_table *nft_table_new(enum nft_family family, const char *name, const char *comment);
void nft_table_free(struct nft_table *table); /* takes NULL */
DEFINE_CLEANUP(struct nft_table *, nft_table_free);
bool nft_table_failed(const struct nft_table *table);
void nft_table_fail(struct nft_table *table); /* the caller had no memory */

void nft_add_counter(struct nft_table *table, const char *name, const char *comment);

/* A flowtable: connections that nft_offload() put there pass from device to device without meeting
 * any chain (nf_flow_table_core.c). It is made anew, and with it they return to the chains, when an
 * identity set or one of its devices is another one. */
struct nft_flows;
struct nft_flows *nft_add_flows(struct nft_table *table, const char *name);
/* The interface must be there when the table is sent; index: its ifindex. */
void nft_add_device(struct nft_flows *flows, const char *interface, uint32_t index);

/* Data types of nft (include/datatype.h): what `nft list` shows elements as. */
enum nft_type {
	NFT_TYPE_VERDICT = 1,
	NFT_TYPE_INTEGER = 4,
	NFT_TYPE_IPV4 = 7,
	NFT_TYPE_ETHER = 9,
	NFT_TYPE_PROTO = 12,
	NFT_TYPE_SERVICE = 13,
};

#define NFT_PARTS_MAX 4

struct nft_set_spec {
	const char *name, *comment;
	enum nft_type key[NFT_PARTS_MAX];  /* unused parts 0 */
	enum nft_type data[NFT_PARTS_MAX]; /* all 0: a set, no map */
	bool interval;                     /* keys are ranges; one part only */
	bool learnt;      /* filled by packets: elements are neither compared nor sent */
	bool identity;    /* when its elements change, everything learnt is forgotten */
	uint32_t size;    /* learnt: most elements */
	uint32_t timeout; /* learnt: seconds; 0 = none */
};

struct nft_set *nft_add_set(struct nft_table *table, const struct nft_set_spec *spec);

/* key and data: whole words per part, numbers in network order but NFT_TYPE_INTEGER. */
void nft_add_element(struct nft_set *set, const void *key, const void *data);
/* Learnt sets: an element that the set begins with when it is made; what stands is left as it is.
 * timeout in ms, 0 = the set's. Each key once. */
void nft_add_learnt(struct nft_set *set, const void *key, const void *data, uint64_t timeout);
/* NULL when there is none of that name. */
struct nft_set *nft_find_set(const struct nft_table *table, const char *name);
/* Maps to verdicts. */
void nft_add_goto(struct nft_set *set, const void *key, const char *chain);
/* Interval sets: first..last as big-endian numbers of the key's length (<= 4). Ranges must not
 * overlap and come in ascending order. */
void nft_add_interval(struct nft_set *set, uint32_t first, uint32_t last);

enum nft_chain_kind {
	NFT_CHAIN_PLAIN,
	NFT_CHAIN_FILTER,
	NFT_CHAIN_NAT,
	NFT_CHAIN_ROUTE,
};

/* hook: NF_INET_*; plain chains ignore hook and priority. Policy is accept. */
struct nft_chain *nft_add_chain(struct nft_table *table, const char *name, const char *comment,
				enum nft_chain_kind kind, uint32_t hook, int32_t priority);
/* NULL when there is none of that name. */
struct nft_chain *nft_find_chain(const struct nft_table *table, const char *name);
struct nft_rule *nft_add_rule(struct nft_chain *chain, const char *comment); /* comment or NULL */

/* ---- expressions; each does nothing when rule is NULL ---------------------------------------- */

void nft_meta(struct nft_rule *rule, uint32_t key, unsigned int to);
void nft_set_mark(struct nft_rule *rule, unsigned int from);
void nft_payload(struct nft_rule *rule, uint32_t base, uint32_t offset, uint32_t length,
		 unsigned int to);
#define NFT_NO_DIRECTION (-1)
void nft_ct(struct nft_rule *rule, uint32_t key, int direction, unsigned int to);
void nft_set_ct_mark(struct nft_rule *rule, unsigned int from);
/* offset to offset + modulus - 1, at random or in turn; each rule has a count of its own. */
void nft_numgen(struct nft_rule *rule, bool random, uint32_t modulus, uint32_t offset,
		unsigned int to);
void nft_fib_oifname(struct nft_rule *rule,
		     unsigned int to); /* of the destination, with its mark */
/* fib saddr . mark oifname: the interface that answers would leave by, "" without a route */
void nft_fib_back_oifname(struct nft_rule *rule, unsigned int to);
/* fib saddr . oif type != local: not an address of the interface that the packet leaves by */
void nft_fib_foreign_source(struct nft_rule *rule);
void nft_immediate(struct nft_rule *rule, const void *data, uint32_t length, unsigned int to);
/* to = (from & mask) ^ xor */
void nft_bitwise(struct nft_rule *rule, const void *mask, const void * xor, uint32_t length,
		 unsigned int from, unsigned int to);
/* A number of 32 bits in host order. bits: 0 to 31 */
void nft_shift_left(struct nft_rule *rule, unsigned int word, uint32_t bits);
/* Leaves what a map gave in word as it is; overwrites spare. A key can have such a part only so:
 * nft 1.0.6 does not know how long the result of a map is, and `nft list` aborts. The packet's
 * priority serves as a place to write to and read from, and is put back at once. */
void nft_known_length(struct nft_rule *rule, unsigned int word, unsigned int spare);

void nft_cmp(struct nft_rule *rule, uint32_t op, unsigned int word, const void *data,
	     uint32_t length);
void nft_range(struct nft_rule *rule, uint32_t op, unsigned int word, const void *first,
	       const void *last, uint32_t length);

void nft_lookup(struct nft_rule *rule, const char *set, unsigned int key);
/* Goes on when the key is absent. Never runs what is stored with an element (nft_lookup.c). */
void nft_lookup_absent(struct nft_rule *rule, const char *set, unsigned int key);
void nft_map(struct nft_rule *rule, const char *map, unsigned int key, unsigned int to);
void nft_verdict_map(struct nft_rule *rule, const char *map, unsigned int key);

#define NFT_NO_DATA (~0u)
enum nft_learn {
	NFT_LEARN_ADD,    /* leaves an element that is there as it is */
	NFT_LEARN_UPDATE, /* and starts its timeout anew */
	NFT_LEARN_DELETE,
};
/* timeout in ms, 0 = the set's. */
void nft_learn(struct nft_rule *rule, const char *set, enum nft_learn op, unsigned int key,
	       unsigned int data, uint64_t timeout);
/* Adds an element that lives as long as a connection that came by it does; at most limit of them,
 * else the rule ends (nft_connlimit.c). */
void nft_learn_connection(struct nft_rule *rule, const char *set, unsigned int key, uint32_t limit);

void nft_counter(struct nft_rule *rule, const char *name);
/* flow add @name, in chains of the forward hook. Goes on in any case. */
void nft_offload(struct nft_rule *rule, const char *flows);
void nft_limit(struct nft_rule *rule, uint64_t per_second, uint32_t burst);
void nft_write_mss(struct nft_rule *rule, unsigned int from); /* never raises it */
void nft_reject(struct nft_rule *rule, uint8_t icmp_code);
void nft_reset_tcp(struct nft_rule *rule);
/* port or port_last NFT_NO_DATA: the port stays; random: see nf_nat_core.c get_unique_tuple() */
void nft_snat(struct nft_rule *rule, unsigned int address, unsigned int port,
	      unsigned int port_last, bool random);
void nft_dnat(struct nft_rule *rule, unsigned int address, unsigned int port);
void nft_masquerade(struct nft_rule *rule);
void nft_accept(struct nft_rule *rule);
void nft_drop(struct nft_rule *rule);
void nft_return(struct nft_rule *rule);
void nft_jump(struct nft_rule *rule, const char *chain);
void nft_goto(struct nft_rule *rule, const char *chain);

/* ---- the kernel ----------------------------------------------------------------------------- */

struct nft;
struct nft_watch;

int nft_open(struct nft **ret, struct fault *reterr);
void nft_close(struct nft *nft); /* takes NULL */
DEFINE_CLEANUP(struct nft *, nft_close);

/* The watch is not told of the transactions of nft_sync() (lib/kernel/nft_watch.h). It stays the
 * caller's, and must outlive nft. */
void nft_set_watch(struct nft *nft, struct nft_watch *watch);

/* Messages sent so far that change something. */
uint64_t nft_changes(const struct nft *nft);

/* Makes the kernel's tables of that name equal to want, which has one of each family; NULL: none.
 * What packets have taught a table stays, unless an identity set differs, or a set or base chain
 * must be made anew.
 *
 * Returns 1 when something was changed, 0 when all was so, negative errno with the kernel's words.
 * All or nothing: the kernel takes one transaction. */
int nft_sync(struct nft *nft, const char *name, const struct nft_table *const want[NFT_FAMILIES],
	     struct fault *reterr);

/* The same, with the tables made from nothing in the transaction that deletes them: what packets
 * have taught them is lost. */
int nft_remake(struct nft *nft, const char *name, const struct nft_table *const want[NFT_FAMILIES],
	       struct fault *reterr);

/* The last nft_sync() or nft_remake() failed because the kernel does not let tables that stand
 * become the wanted ones: another program may have left something there that we do not know how to
 * undo. They are as they were. */
bool nft_refused(const struct nft *nft);

/* This learnt set was made by the last nft_sync() or nft_remake(): it knows no more than it began
 * with. */
bool nft_made(const struct nft *nft, const char *set);

/* 1: the tables are there, as nft_sync() left them; 0: not known; negative errno. One question,
 * however large they are. */
int nft_stands(struct nft *nft, const char *name, struct fault *reterr);

/* Makes a table that no other program can change or delete: `nft flush ruleset` passes over it. It
 * takes the place of the one before, which has the same name, and goes with nft_release(),
 * nft_close() or the process (NFT_TABLE_F_OWNER, since Linux 5.12). 0, -EOPNOTSUPP or other
 * negative errno. */
int nft_hold(struct nft *nft, const struct nft_table *table, struct fault *reterr);
bool nft_may_hold(const struct nft *nft); /* the kernel is not too old */
bool nft_holds(const struct nft *nft);
void nft_release(struct nft *nft);

/* Nobody has changed any rule since the last nft_sync(), which the table's presence or absence goes
 * back to. */
bool nft_knows(struct nft *nft, const char *name);

/* Walks the elements of a set of the table of family ip. handler gets key and data (NULL for sets)
 * as whole words per part. 0 or negative errno; -ENOENT when there is no such set. */
int nft_read_elements(struct nft *nft, const char *table, const char *set,
		      void (*handler)(void *userdata, const void *key, const void *data),
		      void *userdata, struct fault *reterr);

/* Removes the elements that unwanted says true to, in family ip; one that has gone by itself is no
 * error. Returns how many, or negative errno. */
int nft_remove_elements(struct nft *nft, const char *table, const char *set,
			bool (*unwanted)(void *userdata, const void *key, const void *data),
			void *userdata, struct fault *reterr);

/* The same for elements that living says true to: their timeouts begin anew. */
int nft_renew_elements(struct nft *nft, const char *table, const char *set,
		       bool (*living)(void *userdata, const void *key, const void *data),
		       void *userdata, struct fault *reterr);

/* Makes those that next tells, until it says false. One whose key is there, or for which there is
 * no room, is left out. Returns how many were made, or negative errno. */
int nft_create_elements(struct nft *nft, const char *table, const char *set,
			bool (*next)(void *userdata, const void **ret_key, const void **ret_data),
			void *userdata, struct fault *reterr);

/* 0, -ENOENT or other negative errno. */
int nft_read_counter(struct nft *nft, enum nft_family family, const char *table, const char *name,
		     uint64_t *ret_packets, struct fault *reterr);

/* The transaction that makes an absent table: for tests. The caller frees *ret. 0 or -ENOMEM. */
int nft_table_messages(const struct nft_table *table, void **ret, size_t *ret_length);
