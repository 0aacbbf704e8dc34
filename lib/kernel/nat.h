/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The nftables tables of the two lines (lib/map/plan.h, struct nat_plan). Family ip: source NAT
 * over all ports of a MAP-E port set and no other, filtering, forwards, the guards at the tunnel,
 * and the marks that choose between MAP-E and PPPoE. Family ip6: the tunnel's ends.
 *
 * How the source NAT chooses a port: a LAN endpoint (address, port) gets a port of its own when it
 * is first seen and keeps it (endpoint-independent mapping, RFC 4787 REQ-1). Every connection is
 * kept in a set as (protocol, destination, port of it, our port) for as long as conntrack knows it,
 * so that a port that is taken for one destination is seen before it is chosen, and given to others
 * for other destinations (RFC 7857 section 3). An endpoint whose own port is taken moves to one of
 * the last ports of the set, so that few others are disturbed, or to any other one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"
#include "lib/map/plan.h"

/* Beside the tables: while a chain of NAT is registered and a rule asks conntrack, the kernel goes
 * on translating connections that it knows (nf_nat_core.c nf_nat_register_fn, nft_ct.c
 * nft_ct_get_init). A table that nobody can flush holds both, so that `nft flush ruleset` resets no
 * connection before it is repaired; until then it lets none begin by the tunnel. */
#define NAT_HOLD_TABLE "maped_hold"

/* One before everybody's (100): of two chains of one priority the kernel asks the one registered
 * last first, and the first that binds a flow wins. docker's masquerade comes and goes at 100. */
#define NAT_PRIORITY_SRC 99

struct nat;

int nat_open(struct nat **ret, struct fault *reterr);
void nat_close(struct nat *nat); /* takes NULL; changes nothing in the kernel */
DEFINE_CLEANUP(struct nat *, nat_close);

/* The watch is not told of what nat_sync() does. It stays the caller's, and must outlive nat. */
struct nft_watch;
void nat_set_watch(struct nat *nat, struct nft_watch *watch);

/* Makes the tables as want says; want->present false: none. Established connections and what
 * the maps have learnt stay, unless the shared address or the port set is another one, or want
 * forbids what they let in (nat_forget.h).
 * 1 changed, 0 already so, negative errno with the object and the kernel's words in reterr. */
int nat_sync(struct nat *nat, const struct nat_plan *want, struct fault *reterr);

/* Where what a lost table had learnt is read from (nat_memory.h). It stays the caller's, and must
 * outlive nat. Without it, a table that is made anew knows nothing. */
struct conntrack;
void nat_set_conntrack(struct nat *nat, struct conntrack *ct);

/* An endpoint's port is kept for an hour after it was last answered, but packets of a connection
 * that goes both ways teach nothing (nat_leave.c): what living connections have taught is prolonged
 * by this, which is to be called every NAT_PROLONG_SECONDS at least. Returns how many elements
 * were, or negative errno. */
#define NAT_PROLONG_SECONDS 900u
int nat_prolong(struct nat *nat, const struct nat_plan *want, struct fault *reterr);

/* Streams of UDP (both ways for longer than 2 s) teach the maps of filtering nothing either; who
 * may answer them is kept, or learnt anew, by this. To be called every NAT_TEACH_SECONDS at least,
 * which with a tick of the caller's is less than conntrack keeps a stream without packets (120 s);
 * nat_sync() does when the filtering has changed. Returns how many elements were, or negative
 * errno. */
#define NAT_TEACH_SECONDS 90u
int nat_teach(struct nat *nat, const struct nat_plan *want, struct fault *reterr);

/* Why the kernel does not do what the plan wanted last and the rest can do without (offload); ""
 * when it does everything. */
const char *nat_missing(const struct nat *nat);

/* Messages sent so far that change something. */
uint64_t nat_changes(const struct nat *nat);

/* Counted since the table was made. */
struct nat_counts {
	uint64_t refused;    /* new connections for which no port was free, or over host_limit */
	uint64_t unmappable; /* of protocols without ports (RFC 7597 section 8.1) */
	uint64_t inbound;    /* packets from the tunnel that nobody asked for, or from a false end
			      * of it */
	uint64_t leaks;      /* packets kept from leaving with a source that they may not have */
};

/* 0, -ENOENT when there is no table, or other negative errno. */
int nat_counts_read(struct nat *nat, struct nat_counts *ret, struct fault *reterr);

/* The tables as described, for tests: nft.h. tunnel_index, wan_index: of these interfaces, 0 when
 * they are not there. NULL: no memory. */
struct nft_table;
struct nft_table *nat_table_new(const struct nat_plan *want, uint32_t tunnel_index);
struct nft_table *nat_outer_table_new(const struct nat_plan *want, uint32_t wan_index);
struct nft_table *nat_hold_table_new(const struct nat_plan *want);
bool nat_outer_wanted(const struct nat_plan *want); /* false: there is none of family ip6 */
