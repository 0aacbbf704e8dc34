/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the table's MAP-E part share. Nobody else includes this. */
#pragma once

#include "lib/kernel/nat_words.h"

/* Elements of a learnt set; one is some 150 octets. (A multiple of 65536: nft_set_hash.c begins
 * with as many buckets as the low 16 bits say.) */
#define LEARNT_MAX 65536u
/* Elements that live as long as a connection: conntrack bounds them (nf_conntrack_max is 262144 at
 * most, unless somebody has raised it), and a set must not be full before that is. */
#define LIVING_MAX 1048576u
/* Living connections that others have begun to one port that a LAN host uses. */
#define VISITS_MAX 4096u
/* The last ports of the pool, to which endpoints move where their own is taken. */
#define SPARE_PORTS 16u
/* An endpoint keeps its port for so long after it was last answered, and for so long when it never
 * was: scans and floods are forgotten sooner. */
#define OWNER_SECONDS 3600u
#define UNANSWERED_MS 300000u
/* nf_conntrack_proto_tcp.c tcp_timeouts: TIME_WAIT, CLOSE */
#define TIME_WAIT_MS 121000u
#define CLOSE_MS     11000u

/* The kinds of connection that MAP-E carries. Each has sets and chains of its own, which keeps keys
 * short and what is often asked for in the processor's cache. */
struct nat_kind {
	uint8_t protocol;
	uint32_t own, other; /* offsets of our number and of the other end's */
	const char *chain, *first, *known, *rest;
	const char *search, *spare, *full; /* search_1, search_16, ... are made from them */
	const char *owner, *busy, *closing;
};

#define NAT_KINDS 3u
extern const struct nat_kind nat_udp, nat_tcp, nat_echo;
extern const struct nat_kind *const nat_kinds[NAT_KINDS];

/* Words of the rules. The chains are entered with one protocol only, so that the rules need not
 * ask again; nft shows ports as @th,0,16 (source) and @th,16,16 (destination) then. */
#define ENDPOINT   0u /* LAN address . port */
#define CONNECTION 4u /* destination . its port . our port */
#define OWN_PORT   6u
#define OWN_ADDR   8u

/* ---- the port set as a condition (nat_ports.c) ----------------------------------------------- */

/* tcp sport >= 1024 tcp sport & 0x03f0 == 0x0290 (of the number already in word, which stays there
 * unless word is 0) */
void is_own_port(struct nft_rule *rule, const struct portset *set, unsigned int word);
/* Whether count_port() can make the ports of this set. */
bool counts_ports(const struct portset *set);
/* The next port of the set in turn, all in 32 bits of word, blocks before ports of a block. At each
 * number that would lie in the excluded block the rule ends: the next try has another number. */
void count_port(struct nft_rule *rule, const struct portset *set, unsigned int word);
/* Two rules that drop what has a foreign number at an offset of the transport header. protocol 0:
 * the chain is entered with one protocol only. */
void drop_foreign(struct nft_chain *chain, const struct portset *set, uint32_t offset,
		  uint8_t protocol, const char *counter, const char *comment);

/* ---- the size of the tunnel (nat_mss.c) ------------------------------------------------------ */

#define MSS_COMMENT "MSS: the tunnel's MTU less 40"
/* False: the MTU is not known, or too small for any. */
bool clamps_mss(const struct nat_plan *plan);
/* tcp flags syn tcp option maxseg size set 1420. TCP was asked for already. */
void clamp_mss(struct nft_rule *rule, const struct nat_plan *plan);

/* Where the LAN endpoint of a packet that has left NAT stands in conntrack. */
static inline void load_inside(struct nft_rule *rule, uint8_t direction, unsigned int to)
{
	nft_ct(rule, NFT_CT_SRC_IP, direction, to);
	nft_ct(rule, NFT_CT_PROTO_SRC, direction, to + 1);
}

/* update @map_tcp_closing { ct reply ip saddr . ct reply proto-src . ct reply proto-dst timeout 11s
 * }: conntrack keeps the ports of an ended connection for a while, ct count does not. */
static inline void learn_closing(struct nft_rule *rule, uint64_t timeout)
{
	nft_ct(rule, NFT_CT_SRC_IP, IP_CT_DIR_REPLY, CONNECTION);
	nft_ct(rule, NFT_CT_PROTO_SRC, IP_CT_DIR_REPLY, CONNECTION + 1);
	nft_ct(rule, NFT_CT_PROTO_DST, IP_CT_DIR_REPLY, CONNECTION + 2);
	nft_learn(rule, nat_tcp.closing, NFT_LEARN_UPDATE, CONNECTION, NFT_NO_DATA, timeout);
}

/* ---- parts, in the order in which a packet meets them ---------------------------------------- */

/* nat_enter.c: map_to_us, map_arrive, map_hairpin, map_enter, map_input. */
void nat_enter_describe(struct nft_table *table, const struct nat_plan *plan);
/* nat_snat.c: map_snat, and the sets that it learns. */
void nat_snat_describe(struct nft_table *table, const struct nat_plan *plan);
/* nat_pool.c: map_pool, map_reserved, map_run_first, map_run_last. */
void nat_pool_describe(struct nft_table *table, const struct nat_plan *plan);
/* The longest run of ports of one block that are not reserved; false: none. */
bool nat_longest_run(const struct nat_plan *plan, struct port_range block, struct port_range *ret);
/* nat_whole.c: map_snat when the whole address is ours. */
void nat_whole_describe(struct nft_table *table, const struct nat_plan *plan);
/* nat_limit.c: what stands before the choice of a port, which is the chain map_port then. */
void nat_limit_describe(struct nft_table *table, struct nft_chain *snat,
			const struct nat_plan *plan);
/* nat_flows.c: the fast path. */
void nat_flows_describe(struct nft_table *table, const struct nat_plan *plan,
			uint32_t tunnel_index);
/* nat_leave.c: the guard, and map_leave. */
void nat_leave_describe(struct nft_table *table, const struct nat_plan *plan,
			uint32_t tunnel_index);
