/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "lib/kernel/nat_forget.h"
#include "lib/kernel/nat_map.h"
#include "lib/kernel/nat_memory.h"
#include "lib/kernel/nat_words.h"

/* Behind every source NAT (100) and everybody's filters, before conntrack helpers (300) and the
 * confirmation: what is seen here is what leaves. */
#define PRIORITY_GUARD 290

/* Rules ask for indexes where they can, which change when an interface is made anew. 0: not there.
 */
struct links {
	unsigned int tunnel, wan;
};

struct nat {
	struct nft *nft;
	struct conntrack *conntrack; /* not ours; may be NULL */
	struct text made;            /* what the table was made from last; "" = not known */
	char held[IFNAMSIZ];         /* the tunnel that the held table knows; "" = none */
	struct fault missing;        /* nat_missing() */
	struct nat_past past;
};

/* ---- the table ---------------------------------------------------------------------------- */

static void describe_base_chains(struct nft_table *table)
{
	nft_add_chain(table, "prerouting_nat", "first packets, before routing", NFT_CHAIN_NAT,
		      NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST);
	nft_add_chain(table, "output_nat", "first packets of the router itself", NFT_CHAIN_NAT,
		      NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST);
	nft_add_chain(table, "postrouting_nat", "first packets, on their way out", NFT_CHAIN_NAT,
		      NF_INET_POST_ROUTING, NAT_PRIORITY_SRC);
	nft_add_chain(table, "guard", "every packet, as it leaves", NFT_CHAIN_FILTER,
		      NF_INET_POST_ROUTING, PRIORITY_GUARD);
	nft_add_chain(table, "input", "every packet to the router itself", NFT_CHAIN_FILTER,
		      NF_INET_LOCAL_IN, NF_IP_PRI_FILTER);
}

#define TABLE_COMMENT "made and kept by maped; changes by hand are undone"

struct nft_table *nat_table_new(const struct nat_plan *want, uint32_t tunnel_index)
{
	struct nft_table *table = nft_table_new(NFT_IP, PLAN_TABLE, TABLE_COMMENT);

	if (!table)
		return NULL;
	describe_base_chains(table);
	if (want->map)
		nat_map_sets(table);
	if (want->map)
		nat_map_describe(table, want, tunnel_index);
	if (want->pppoe.enabled) {
		nat_choose_describe(table, want);
		nat_pppoe_describe(table, want);
	}
	return table;
}

struct nft_table *nat_outer_table_new(const struct nat_plan *want, uint32_t wan_index)
{
	struct nft_table *table = nft_table_new(NFT_IP6, PLAN_TABLE, TABLE_COMMENT);

	if (table)
		nat_outer_describe(table, want, wan_index);
	return table;
}

/* A first packet that goes untranslated makes an entry of conntrack that stays so: the connection
 * would be kept from the tunnel for as long as it sends. One that is dropped makes none. While our
 * table stands nothing comes by here: it has bound what leaves, and dropped what nobody asked for.
 */
static void hold_tunnel(struct nft_chain *chain, const char tunnel[IFNAMSIZ])
{
	struct nft_rule *rule = nft_add_rule(chain, "waits for a port");

	leaving_by(rule, tunnel);
	nft_drop(rule);
	rule = nft_add_rule(chain, "nobody asked for it");
	coming_by(rule, tunnel);
	ct_status(rule, IPS_DST_NAT, NFT_CMP_EQ);
	nft_drop(rule);
}

struct nft_table *nat_hold_table_new(const struct nat_plan *want)
{
	struct nft_table *table =
		nft_table_new(NFT_IP, NAT_HOLD_TABLE,
			      "keeps NAT of known connections working when all rules are flushed");
	struct nft_chain *chain;
	struct nft_rule *rule;

	if (!table)
		return NULL;
	chain = nft_add_chain(table, "postrouting", "first packets that nobody has translated",
			      NFT_CHAIN_NAT, NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC);
	rule = nft_add_rule(chain, "conntrack stays on while somebody asks it");
	ct_state(rule, STATE_ESTABLISHED, NFT_CMP_NEQ);
	nft_accept(rule);
	if (want->map)
		hold_tunnel(chain, want->tunnel);
	return table;
}

/* ---- verbs -------------------------------------------------------------------------------- */

void nat_close(struct nat *nat)
{
	if (!nat)
		return;
	nft_close(nat->nft);
	text_done(&nat->made);
	nat_past_done(&nat->past);
	free(nat);
}

int nat_open(struct nat **ret, struct fault *reterr)
{
	_cleanup_(nat_close_p) struct nat *nat = calloc(1, sizeof(*nat));
	int r;

	if (!nat)
		return fault_errno(reterr, -ENOMEM, "open nftables");
	r = nft_open(&nat->nft, reterr);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(nat);
	return 0;
}

void nat_set_watch(struct nat *nat, struct nft_watch *watch)
{
	nft_set_watch(nat->nft, watch);
}

const char *nat_missing(const struct nat *nat)
{
	return nat->missing.text;
}

void nat_set_conntrack(struct nat *nat, struct conntrack *ct)
{
	nat->conntrack = ct;
}

uint64_t nat_changes(const struct nat *nat)
{
	return nft_changes(nat->nft);
}

/* Everything that the table follows from. */
static void describe(const struct nat_plan *want, struct links links, struct text *out)
{
	const struct plan plan = {.nat = *want};

	plan_print(&plan, out);
	text_add(out, "tunnel %u, wan %u\n", links.tunnel, links.wan);
}

/* 1 when the table was made from this and nobody has changed it since. */
static int is_made(struct nat *nat, const struct text *from, struct fault *reterr)
{
	if (text_failed(from) || strcmp(text_get(from), text_get(&nat->made)) != 0)
		return 0;
	return nft_stands(nat->nft, PLAN_TABLE, reterr);
}

/* An old kernel does without. */
static void hold(struct nat *nat, const struct nat_plan *want)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = NULL;
	const char *tunnel = want->map ? want->tunnel : "";

	if (!nft_may_hold(nat->nft) ||
	    (nft_holds(nat->nft) && strncmp(nat->held, tunnel, sizeof(nat->held)) == 0))
		return;
	table = nat_hold_table_new(want);
	if (table && nft_hold(nat->nft, table, NULL) >= 0)
		snprintf(nat->held, sizeof(nat->held), "%s", tunnel);
}

/* Before the table is made, when it may be gone. Without conntrack's word it goes on without. */
static void remember(struct nat *nat, const struct nat_plan *want, struct nat_memory *ret)
{
	*ret = (struct nat_memory){0};
	if (nat->conntrack && want->map && !nft_knows(nat->nft, PLAN_TABLE))
		(void)nat_memory_read(nat->conntrack, want, ret);
}

/* anew: instead of what stands, not out of it. */
static int make(struct nat *nat, const struct nat_plan *want, struct links links, bool anew,
		struct fault *reterr)
{
	bool has_outer = nat_outer_wanted(want);
	_cleanup_(nft_table_free_p) struct nft_table *table = nat_table_new(want, links.tunnel);
	_cleanup_(nft_table_free_p) struct nft_table *outer =
		has_outer ? nat_outer_table_new(want, links.wan) : NULL;
	const struct nft_table *const tables[NFT_FAMILIES] = {[NFT_IP] = table, [NFT_IP6] = outer};
	_cleanup_nat_memory_ struct nat_memory memory;
	int r, forgotten;

	remember(nat, want, &memory);
	if (!table || (has_outer && !outer))
		return fault_errno(reterr, -ENOMEM, "describe nftables table " PLAN_TABLE);
	nat_memory_recall(&memory, want, table);
	r = (anew ? nft_remake : nft_sync)(nat->nft, PLAN_TABLE, tables, reterr);
	if (r <= 0)
		return r;
	/* Where the set of living connections stands, they would find their own ports taken. */
	if (nft_made(nat->nft, nat_udp.busy) && memory.count > 0)
		(void)nat_memory_renew(nat->conntrack, want);
	forgotten = nat_forget(nat->nft, nat->conntrack, &nat->past, want, reterr);
	if (forgotten >= 0 && nat_past_filters_otherwise(&nat->past, want))
		(void)nat_teach(nat, want, NULL); /* or the next time */
	return forgotten < 0 ? forgotten : r;
}

int nat_prolong(struct nat *nat, const struct nat_plan *want, struct fault *reterr)
{
	_cleanup_nat_memory_ struct nat_memory memory = {0};
	int r;

	if (!want->map || !nat->conntrack)
		return 0;
	r = nat_memory_read(nat->conntrack, want, &memory);
	if (r < 0)
		return fault_errno(reterr, r, "read connections");
	return nat_memory_prolong(&memory, want, nat->nft, reterr);
}

int nat_teach(struct nat *nat, const struct nat_plan *want, struct fault *reterr)
{
	_cleanup_nat_memory_ struct nat_memory memory = {0};
	int r;

	if (!want->map || !nat->conntrack || !nat_learns_filtering(want))
		return 0;
	r = nat_memory_read_streams(nat->conntrack, want, &memory);
	if (r < 0)
		return fault_errno(reterr, r, "read streams");
	return nat_memory_teach(&memory, want, nat->nft, reterr);
}

/* Whatever other programs have done to the table must not be in the way of a repair or a change. */
static int make_or_remake(struct nat *nat, const struct nat_plan *want, struct links links,
			  struct fault *reterr)
{
	int r = make(nat, want, links, false, reterr);

	return nft_refused(nat->nft) ? make(nat, want, links, true, reterr) : r;
}

/* A kernel without nf_flow_table has no flowtable, and knows no word for it. */
static bool lacks_flows(const struct nat_plan *want, int error)
{
	return want->map && want->offload && (error == -ENOENT || error == -EOPNOTSUPP);
}

static int make_what_can_be(struct nat *nat, const struct nat_plan *want, struct links links,
			    struct fault *reterr)
{
	struct nat_plan slow = *want;
	struct fault fault = {0};
	int r = make_or_remake(nat, want, links, &fault), again;

	nat->missing = (struct fault){0};
	if (r < 0 && lacks_flows(want, r)) {
		slow.offload = false;
		again = make_or_remake(nat, &slow, links, NULL);
		if (again >= 0) {
			(void)fault_set(&nat->missing, r,
					"nat.offload is left out, the kernel refuses: %s",
					fault.text);
			return again;
		}
	}
	if (r < 0 && reterr)
		*reterr = fault;
	return r;
}

static struct links links_of(const struct nat_plan *want)
{
	return (struct links){
		.tunnel = want->map ? if_nametoindex(want->tunnel) : 0,
		.wan = nat_outer_wanted(want) ? if_nametoindex(want->wan) : 0,
	};
}

int nat_sync(struct nat *nat, const struct nat_plan *want, struct fault *reterr)
{
	static const struct nft_table *const none[NFT_FAMILIES] = {NULL};
	struct links links = links_of(want);
	_cleanup_text_ struct text from = TEXT_INIT;
	int r;

	if (!want->present) {
		text_done(&nat->made);
		nat->missing = (struct fault){0};
		nft_release(nat->nft);
		return nft_sync(nat->nft, PLAN_TABLE, none, reterr);
	}
	hold(nat, want);
	describe(want, links, &from);
	r = is_made(nat, &from, reterr);
	if (r != 0)
		return r < 0 ? r : 0;
	text_done(&nat->made);
	r = make_what_can_be(nat, want, links, reterr);
	if (r >= 0 && nat_past_keep(&nat->past, want) < 0)
		return fault_errno(reterr, -ENOMEM, "keep the forwards");
	if (r >= 0 && !text_failed(&from)) {
		nat->made = from;
		from = TEXT_INIT;
	}
	return r;
}

int nat_counts_read(struct nat *nat, struct nat_counts *ret, struct fault *reterr)
{
	struct nat_counts counts = {0};
	const struct {
		enum nft_family family;
		const char *name;
		uint64_t *to;
	} all[] = {
		{NFT_IP, "refused", &counts.refused},  {NFT_IP, "unmappable", &counts.unmappable},
		{NFT_IP, "inbound", &counts.inbound},  {NFT_IP, "leaks", &counts.leaks},
		{NFT_IP6, "inbound", &counts.inbound}, {NFT_IP6, "leaks", &counts.leaks},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		uint64_t packets = 0;
		int r = nft_read_counter(nat->nft, all[i].family, PLAN_TABLE, all[i].name, &packets,
					 reterr);

		if (r < 0 && (r != -ENOENT || all[i].family == NFT_IP))
			return r;
		*all[i].to += packets;
	}
	*ret = counts;
	return 0;
}
