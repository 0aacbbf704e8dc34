/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The MAP-E part of the table. Chains that packets enter are made in nat.c; here is what they lead
 * to. In the order a packet meets them:
 *
 *   map_arrive   first packets from the tunnel: forwards, filtering maps (RFC 4787 section 5)
 *   map_hairpin  first packets from the LAN to our own shared address
 *   map_snat     first packets into the tunnel: the port
 *   map_leave    every packet into the tunnel: nothing leaves with a source that is not ours
 *   map_enter    every packet from the tunnel to the LAN
 *   map_input    every packet from the tunnel to the router itself
 *
 * Only map_leave and map_enter cost something for each packet; their first rule lets through what
 * is most common.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/kernel/nat_words.h"

#define LEARNT_MAX    65536u /* elements of a learnt set; one is some 150 octets */
#define OWNER_SECONDS 3600u
#define OPEN_SECONDS  300u /* RFC 4787 REQ-5: 5 minutes recommended */
#define SEARCH_WIDTH  16u
#define SEARCH_MAX    4096u   /* ports tried for one connection at most */
#define TIME_WAIT_MS  121000u /* nf_conntrack_proto_tcp.c tcp_timeouts: TIME_WAIT, and CLOSE */
#define CLOSE_MS      11000u
#define ICMP_ADMIN    13u /* communication administratively prohibited (RFC 1812 5.2.7.1) */

/* The kinds of connection that MAP-E carries. Each has sets and chains of its own, which keeps keys
 * short and what is often asked for in the processor's cache. */
struct kind {
	uint8_t protocol;
	uint32_t own, other;        /* offsets of our number and of the other end's */
	const char *chain, *search; /* search_1, search_16, ... are made from it */
	const char *owner, *busy, *closing;
	const char *owner_comment;
};

static const struct kind udp = {
	.protocol = IPPROTO_UDP,
	.own = L4_SPORT,
	.other = L4_DPORT,
	.chain = "map_udp",
	.search = "map_udp_search",
	.owner = "map_udp_owner",
	.busy = "map_udp_busy",
};

static const struct kind tcp = {
	.protocol = IPPROTO_TCP,
	.own = L4_SPORT,
	.other = L4_DPORT,
	.chain = "map_tcp",
	.search = "map_tcp_search",
	.owner = "map_tcp_owner",
	.busy = "map_tcp_busy",
	.closing = "map_tcp_closing",
};

/* ICMP queries: the identifier is the port (RFC 5508); type and code stand for the other port. */
static const struct kind echo = {
	.protocol = IPPROTO_ICMP,
	.own = ICMP_ID,
	.other = ICMP_TYPE_CODE,
	.chain = "map_echo",
	.search = "map_echo_search",
	.owner = "map_echo_owner",
	.busy = "map_echo_busy",
};

static const struct kind *const kinds[] = {&udp, &tcp, &echo};

/* ---- the port set as a condition
 * ------------------------------------------------------------------ */

struct port_test {
	uint16_t mask, bits; /* port & mask == bits: the PSID is right */
	uint16_t first;      /* and port >= first: not in the excluded lowest block */
};

static struct port_test port_test(const struct portset *set)
{
	unsigned int free_bits = 16u - set->psid_offset - set->psid_length;

	return (struct port_test){
		.mask = (uint16_t)(((1u << set->psid_length) - 1) << free_bits),
		.bits = (uint16_t)(set->psid << free_bits),
		.first = set->psid_offset ? (uint16_t)(1u << (16 - set->psid_offset)) : 0,
	};
}

/* tcp sport & 0x03f0 == 0x0290 tcp sport >= 1024 (of the number already in word 0) */
static void is_own_port(struct nft_rule *rule, const struct portset *set)
{
	struct port_test test = port_test(set);
	uint16_t mask = htons(test.mask), zero = 0;

	if (test.first)
		cmp_port(rule, NFT_CMP_GTE, 0, test.first);
	nft_bitwise(rule, &mask, &zero, sizeof(mask), 0, 0);
	cmp_port(rule, NFT_CMP_EQ, 0, test.bits);
}

/* Two rules that drop what has a foreign number at an offset of the transport header. */
static void drop_foreign(struct nft_chain *chain, const struct portset *set, uint32_t offset,
			 uint8_t protocol, const char *counter, const char *comment)
{
	struct port_test test = port_test(set);
	uint16_t mask = htons(test.mask), zero = 0;
	struct nft_rule *rule = nft_add_rule(chain, comment);

	if (protocol)
		is_protocol(rule, protocol);
	load_l4(rule, offset, 0);
	nft_bitwise(rule, &mask, &zero, sizeof(mask), 0, 0);
	cmp_port(rule, NFT_CMP_NEQ, 0, test.bits);
	drop_counted(rule, counter);
	if (!test.first)
		return;
	rule = nft_add_rule(chain, NULL);
	if (protocol)
		is_protocol(rule, protocol);
	load_l4(rule, offset, 0);
	cmp_port(rule, NFT_CMP_LT, 0, test.first);
	drop_counted(rule, counter);
}

/* ---- sets
 * ------------------------------------------------------------------------------------------ */

static bool is_forwarded(const struct nat_plan *plan, uint16_t port)
{
	for (size_t i = 0; i < plan->forward_count; i++)
		if (port >= plan->forwards[i].ports.first && port <= plan->forwards[i].ports.last)
			return true;
	return false;
}

static struct nft_set *run_map(struct nft_table *table, const char *name, const char *comment)
{
	return nft_add_set(table, &(struct nft_set_spec){
					  .name = name,
					  .comment = comment,
					  .key = {NFT_TYPE_INTEGER},
					  .data = {NFT_TYPE_SERVICE},
				  });
}

/* The longest run of ports of one block that are not forwarded; false: none. */
static bool longest_run(const struct nat_plan *plan, struct port_range block,
			struct port_range *ret)
{
	unsigned int best = 0, length = 0;

	for (uint32_t port = MAX_OF(block.first, 1u); port <= block.last; port++) {
		length = is_forwarded(plan, (uint16_t)port) ? 0 : length + 1;
		if (length > best) {
			best = length;
			*ret = (struct port_range){(uint16_t)(port - length + 1), (uint16_t)port};
		}
	}
	return best > 0;
}

/* The numbers of runs and ports below are their places in the port set, whatever is forwarded: a
 * changed forward changes these elements, and no rule. */
static void describe_runs(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_set *firsts =
		run_map(table, "map_run_first", "the longest run of ports in each block: first");
	struct nft_set *lasts = run_map(table, "map_run_last", "and last");

	for (uint32_t block = 0; block < portset_block_count(&plan->ports); block++) {
		struct port_range run;
		uint16_t ends[2];

		if (!longest_run(plan, portset_block(&plan->ports, block), &run))
			continue;
		ends[0] = htons(run.first);
		ends[1] = htons(run.last);
		nft_add_element(firsts, &block, &ends[0]);
		nft_add_element(lasts, &block, &ends[1]);
	}
}

/* Port 0 is never given out, nor a port that is forwarded. */
static void describe_pool(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_set *set = nft_add_set(
		table,
		&(struct nft_set_spec){
			.name = "map_pool",
			.comment = "ports and ICMP identifiers that connections may get: the "
				   "port set without forwards",
			.key = {NFT_TYPE_INTEGER},
			.data = {NFT_TYPE_SERVICE},
		});

	for (uint32_t n = 0; n < portset_count(&plan->ports); n++) {
		uint16_t port = portset_nth(&plan->ports, n), data = htons(port);

		if (port != 0 && !is_forwarded(plan, port))
			nft_add_element(set, &n, &data);
	}
}

/* Changes of this set make everything learnt void. */
static void describe_identity(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_set *set = nft_add_set(
		table,
		&(struct nft_set_spec){
			.name = "map_identity",
			.comment = "what this table is for: shared address . PSID . 256 * PSID "
				   "offset + PSID length",
			.key = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE, NFT_TYPE_SERVICE},
			.identity = true,
		});
	uint32_t key[3] = {0};
	uint16_t psid = htons(plan->ports.psid);
	uint16_t shape = htons((uint16_t)(plan->ports.psid_offset << 8 | plan->ports.psid_length));

	memcpy(&key[0], &plan->address.addr, 4);
	memcpy(&key[1], &psid, sizeof(psid));
	memcpy(&key[2], &shape, sizeof(shape));
	nft_add_element(set, key, NULL);
}

static void describe_learnt(struct nft_table *table, const struct kind *kind)
{
	nft_add_set(table,
		    &(struct nft_set_spec){
			    .name = kind->owner,
			    .comment = "LAN endpoint : its port (endpoint-independent mapping)",
			    .key = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE},
			    .data = {NFT_TYPE_SERVICE},
			    .learnt = true,
			    .size = LEARNT_MAX,
			    .timeout = OWNER_SECONDS,
		    });
	nft_add_set(table,
		    &(struct nft_set_spec){
			    .name = kind->busy,
			    .comment = "living connections: destination . its port . our port",
			    .key = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE, NFT_TYPE_SERVICE},
			    .learnt = true,
			    .size = LEARNT_MAX,
		    });
	if (kind->closing)
		nft_add_set(table,
			    &(struct nft_set_spec){
				    .name = kind->closing,
				    .comment = "connections at their end, as long as "
					       "conntrack keeps them",
				    .key = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE, NFT_TYPE_SERVICE},
				    .learnt = true,
				    .size = LEARNT_MAX,
				    .timeout = TIME_WAIT_MS / 1000,
			    });
}

/* Filtering works for the whole address as well, where no port is chosen by us. */
static void describe_filtering_sets(struct nft_table *table)
{
	nft_add_set(table,
		    &(struct nft_set_spec){
			    .name = "map_contacted",
			    .comment = "address-dependent filtering: our UDP port . host that was "
				       "written to : LAN endpoint",
			    .key = {NFT_TYPE_SERVICE, NFT_TYPE_IPV4},
			    .data = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE},
			    .learnt = true,
			    .size = LEARNT_MAX,
			    .timeout = OPEN_SECONDS,
		    });
	nft_add_set(
		table,
		&(struct nft_set_spec){
			.name = "map_open",
			.comment = "endpoint-independent filtering: our UDP port : LAN endpoint",
			.key = {NFT_TYPE_SERVICE},
			.data = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE},
			.learnt = true,
			.size = LEARNT_MAX,
			.timeout = OPEN_SECONDS,
		});
	nft_add_set(
		table,
		&(struct nft_set_spec){
			.name = "map_answered",
			.comment = "hairpin: our UDP port : LAN endpoint that has been answered",
			.key = {NFT_TYPE_SERVICE},
			.data = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE},
			.learnt = true,
			.size = LEARNT_MAX,
			.timeout = OWNER_SECONDS,
		});
}

static void add_range(struct nft_set *set, uint32_t network, unsigned int length)
{
	nft_add_interval(set, network, network | (uint32_t)(UINT32_MAX >> length));
}

/* RFC 6890: never a source in the Internet. 192.0.2.0/24 and the like are left alone: they do no
 * harm and laboratories use them. 100.64.0.0/10 too: providers answer from it. */
static void describe_martians(struct nft_table *table)
{
	struct nft_set *set = nft_add_set(
		table, &(struct nft_set_spec){
			       .name = "map_martians",
			       .comment = "sources that nothing from the Internet may have",
			       .key = {NFT_TYPE_IPV4},
			       .interval = true,
		       });

	add_range(set, 0x00000000u, 8);
	add_range(set, 0x0a000000u, 8);
	add_range(set, 0x7f000000u, 8);
	add_range(set, 0xa9fe0000u, 16);
	add_range(set, 0xac100000u, 12);
	add_range(set, 0xc0a80000u, 16);
	nft_add_interval(set, 0xe0000000u, 0xffffffffu);
}

/* ---- source NAT
 * ------------------------------------------------------------------------------------ */

/* Words of the rules below. The chains are entered with IPv4 of one protocol only, so that the
 * rules need not ask again; nft shows addresses as @nh,96,32 (source) and @nh,128,32 (destination)
 * then. */
#define ENDPOINT   0u /* LAN address . port */
#define CONNECTION 4u /* destination . its port . our port */
#define OWN_PORT   6u
#define OWN_ADDR   8u

static void load_endpoint(struct nft_rule *rule, const struct kind *kind)
{
	load_saddr(rule, ENDPOINT);
	load_l4(rule, kind->own, ENDPOINT + 1);
}

/* Destination and port not taken by somebody else's connection. */
static void is_free(struct nft_rule *rule, const struct kind *kind)
{
	load_daddr(rule, CONNECTION);
	load_l4(rule, kind->other, CONNECTION + 1);
	nft_lookup_absent(rule, kind->busy, CONNECTION);
	if (kind->closing)
		nft_lookup_absent(rule, kind->closing, CONNECTION);
}

static void take_port(struct nft_rule *rule, const struct kind *kind, const struct nat_plan *plan)
{
	nft_learn_connection(rule, kind->busy, CONNECTION, UINT32_MAX);
	nft_immediate(rule, &plan->address.addr, 4, OWN_ADDR);
	/* One port, so random only tells nf_nat not to look through the endpoint's other
	 * connections first: the map of owners has done that. */
	nft_snat(rule, OWN_ADDR, OWN_PORT, NFT_NO_DATA, true);
}

/* ip daddr . udp dport . (ip saddr . udp sport map @map_udp_owner) != @map_udp_busy ... snat */
static void snat_own_port(struct nft_chain *chain, const struct nat_plan *plan,
			  const struct kind *kind)
{
	struct nft_rule *rule = nft_add_rule(chain, "an endpoint that has a port keeps it");

	load_endpoint(rule, kind);
	nft_map(rule, kind->owner, ENDPOINT, OWN_PORT);
	nft_known_length(rule, OWN_PORT, OWN_ADDR);
	is_free(rule, kind);
	take_port(rule, kind, plan);
}

/* The next port in turn, if it is free for this destination. An endpoint that has a port already
 * keeps it in the map of owners: `add` leaves what is there. */
static void snat_next_port(struct nft_chain *chain, const struct nat_plan *plan,
			   const struct kind *kind, const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	load_endpoint(rule, kind);
	nft_numgen(rule, false, portset_count(&plan->ports), OWN_PORT);
	nft_map(rule, "map_pool", OWN_PORT, OWN_PORT);
	nft_known_length(rule, OWN_PORT, OWN_ADDR);
	is_free(rule, kind);
	nft_learn(rule, kind->owner, NFT_LEARN_ADD, ENDPOINT, OWN_PORT, 0);
	take_port(rule, kind, plan);
}

static void jump_times(struct nft_chain *chain, const char *to, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++)
		nft_jump(nft_add_rule(chain, NULL), to);
}

/* As many tries as the pool has ports, in few rules: the first chain tries one port, the next calls
 * it 16 times, and so on. Every try takes the next port in turn. */
static void describe_search(struct nft_table *table, const struct nat_plan *plan,
			    const struct kind *kind)
{
	unsigned int wanted = MIN_OF(portset_count(&plan->ports), SEARCH_MAX), tries = 1;
	char below[40], name[40];
	struct nft_chain *chain;

	snprintf(below, sizeof(below), "%s_1", kind->search);
	chain = nft_add_chain(table, below,
			      "takes the next port, if it is free for the destination",
			      NFT_CHAIN_PLAIN, 0, 0);
	snat_next_port(chain, plan, kind, NULL);
	while (tries * SEARCH_WIDTH < wanted) {
		snprintf(name, sizeof(name), "%s_%u", kind->search, tries * SEARCH_WIDTH);
		chain = nft_add_chain(table, name, NULL, NFT_CHAIN_PLAIN, 0, 0);
		jump_times(chain, below, SEARCH_WIDTH);
		tries *= SEARCH_WIDTH;
		memcpy(below, name, sizeof(below));
	}
	chain = nft_add_chain(table, kind->search, "tries every port of the pool in turn",
			      NFT_CHAIN_PLAIN, 0, 0);
	jump_times(chain, below, (wanted + tries - 1) / tries);
}

/* When every port looks taken (or a map is full) the connection counts as refused, and nf_nat may
 * still find a port in one run: it knows of connections that ended within the last second, before
 * the set of living ones has been swept, and may take over one that waits for its end (TIME_WAIT).
 * Without one, the packet goes no further than nf_conntrack_confirm(). */
static void snat_last_resort(struct nft_chain *chain, const struct nat_plan *plan)
{
	struct nft_rule *rule = nft_add_rule(
		chain, "no port is free, unless nf_nat knows of one that was just left");

	nft_counter(rule, "refused");
	nft_numgen(rule, true, portset_block_count(&plan->ports), 0);
	nft_map(rule, "map_run_first", 0, 4);
	nft_map(rule, "map_run_last", 0, 5);
	nft_immediate(rule, &plan->address.addr, 4, OWN_ADDR);
	nft_snat(rule, OWN_ADDR, 4, 5, false);
}

static void limit_host(struct nft_table *table, struct nft_chain *chain,
		       const struct nat_plan *plan)
{
	struct nft_rule *rule;

	if (!plan->host_limit)
		return;
	nft_add_set(table, &(struct nft_set_spec){
				   .name = "map_host_limit",
				   .comment = "connections of each LAN host",
				   .key = {NFT_TYPE_IPV4},
				   .learnt = true,
				   .size = LEARNT_MAX,
			   });
	rule = nft_add_rule(chain, "a host that holds as many connections as it may gets no more");
	is_ipv4(rule);
	load_saddr(rule, 0);
	nft_learn_connection(rule, "map_host_limit", 0, plan->host_limit);
	nft_goto(rule, "map_port");
	drop_counted(nft_add_rule(chain, NULL), "refused");
}

static void describe_kind(struct nft_table *table, const struct nat_plan *plan,
			  const struct kind *kind)
{
	struct nft_chain *chain;

	describe_learnt(table, kind);
	describe_search(table, plan, kind);
	chain = nft_add_chain(table, kind->chain, "which port a connection gets", NFT_CHAIN_PLAIN,
			      0, 0);
	snat_own_port(chain, plan, kind);
	snat_next_port(chain, plan, kind, "a new endpoint gets the next port in turn");
	nft_jump(nft_add_rule(chain, "taken: all others in turn"), kind->search);
	snat_last_resort(chain, plan);
	nft_drop(nft_add_rule(chain, NULL));
}

static void describe_snat(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *snat, *chain;
	struct nft_rule *rule;

	describe_pool(table, plan);
	describe_runs(table, plan);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		describe_kind(table, plan, kinds[i]);
	snat = nft_add_chain(table, "map_snat", "first packets into the tunnel get a port of ours",
			     NFT_CHAIN_PLAIN, 0, 0);
	chain = plan->host_limit ? nft_add_chain(table, "map_port", NULL, NFT_CHAIN_PLAIN, 0, 0)
				 : snat;
	limit_host(table, snat, plan);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		rule = nft_add_rule(chain, NULL);
		is_protocol(rule, kinds[i]->protocol);
		nft_goto(rule, kinds[i]->chain);
	}
	drop_counted(nft_add_rule(chain, "MAP-E carries what has ports, and nothing else"),
		     "unmappable");
}

/* Sharing ratio 1: every protocol, and nf_nat keeps the port where it can. */
static void describe_whole_snat(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(table, "map_snat", "the whole address is ours",
						NFT_CHAIN_PLAIN, 0, 0);
	uint16_t first = htons(32768), last = htons(65535);
	struct nft_rule *rule;

	for (size_t i = 0; i < plan->forward_count; i++) {
		uint16_t from = htons(plan->forwards[i].ports.first);
		uint16_t to = htons(plan->forwards[i].ports.last);

		rule = nft_add_rule(chain, "not a forwarded port");
		nft_meta(rule, NFT_META_L4PROTO, 0);
		nft_lookup(rule, "map_protocols", 0);
		load_l4(rule, L4_SPORT, 0);
		nft_range(rule, NFT_RANGE_EQ, 0, &from, &to, sizeof(from));
		nft_immediate(rule, &plan->address.addr, 4, OWN_ADDR);
		nft_immediate(rule, &first, sizeof(first), 4);
		nft_immediate(rule, &last, sizeof(last), 5);
		nft_snat(rule, OWN_ADDR, 4, 5, false);
	}
	rule = nft_add_rule(chain, NULL);
	nft_immediate(rule, &plan->address.addr, 4, OWN_ADDR);
	nft_snat(rule, OWN_ADDR, NFT_NO_DATA, NFT_NO_DATA, false);
}

/* ---- leaving: every packet
 * -------------------------------------------------------------------------- */

static void clamp_mss(struct nft_chain *chain, const struct nat_plan *plan)
{
	uint16_t mss = htons((uint16_t)(plan->tunnel_mtu - 40));
	struct nft_rule *rule;

	if (plan->tunnel_mtu <= 40 || plan->tunnel_mtu > UINT16_MAX)
		return;
	rule = nft_add_rule(chain, "MSS: the tunnel's MTU less 40");
	is_protocol(rule, IPPROTO_TCP);
	tcp_flags(rule, FLAG_SYN, NFT_CMP_NEQ);
	nft_immediate(rule, &mss, sizeof(mss), 0);
	nft_write_mss(rule, 0);
}

/* update @map_tcp_closing { ct reply ip saddr . ct reply proto-src . ct reply proto-dst timeout 11s
 * } */
static void remember_closing(struct nft_chain *chain, uint8_t flag, uint64_t timeout,
			     const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	is_protocol(rule, IPPROTO_TCP);
	tcp_flags(rule, flag, NFT_CMP_NEQ);
	nft_ct(rule, NFT_CT_SRC_IP, IP_CT_DIR_REPLY, CONNECTION);
	nft_ct(rule, NFT_CT_PROTO_SRC, IP_CT_DIR_REPLY, CONNECTION + 1);
	nft_ct(rule, NFT_CT_PROTO_DST, IP_CT_DIR_REPLY, CONNECTION + 2);
	nft_learn(rule, tcp.closing, NFT_LEARN_UPDATE, CONNECTION, NFT_NO_DATA, timeout);
}

static void describe_leave_tcp(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(
		table, "map_leave_tcp", "connections that begin or end", NFT_CHAIN_PLAIN, 0, 0);
	struct nft_chain *syn = nft_add_chain(table, "map_leave_syn", NULL, NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule = nft_add_rule(chain, "most packets do neither");

	is_protocol(rule, IPPROTO_TCP);
	tcp_flags(rule, FLAG_FIN | FLAG_SYN | FLAG_RST, NFT_CMP_EQ);
	nft_accept(rule);
	rule = nft_add_rule(chain, NULL);
	is_protocol(rule, IPPROTO_TCP);
	tcp_flags(rule, FLAG_SYN, NFT_CMP_NEQ);
	nft_goto(rule, "map_leave_syn");
	if (!portset_is_whole(&plan->ports)) {
		remember_closing(chain, FLAG_FIN, TIME_WAIT_MS,
				 "conntrack keeps the ports of ended connections for a while");
		remember_closing(chain, FLAG_RST, CLOSE_MS, NULL);
	}
	nft_accept(nft_add_rule(chain, NULL));
	clamp_mss(syn, plan);
	nft_accept(nft_add_rule(syn, NULL));
}

/* Where the LAN endpoint of a UDP packet that has left NAT stands in conntrack. */
static void load_inside(struct nft_rule *rule, uint8_t direction, unsigned int to)
{
	nft_ct(rule, NFT_CT_SRC_IP, direction, to);
	nft_ct(rule, NFT_CT_PROTO_SRC, direction, to + 1);
}

static void learn_filtering(struct nft_chain *chain, enum nat_filtering filtering,
			    uint8_t direction, bool only_direction)
{
	struct nft_rule *rule;

	if (filtering == FILTERING_ADDRESS_AND_PORT_DEPENDENT)
		return;
	rule = nft_add_rule(chain, NULL);
	if (only_direction)
		ct_direction(rule, direction);
	load_l4(rule, L4_SPORT, 4);
	if (filtering == FILTERING_ADDRESS_DEPENDENT)
		load_daddr(rule, 5);
	load_inside(rule, direction, 8);
	nft_learn(rule, filtering == FILTERING_ADDRESS_DEPENDENT ? "map_contacted" : "map_open",
		  NFT_LEARN_UPDATE, 4, 8, 0);
	nft_accept(rule);
}

static const char *filtering_chain(enum nat_filtering filtering, uint8_t direction)
{
	bool original = direction == IP_CT_DIR_ORIGINAL;

	switch (filtering) {
	case FILTERING_ADDRESS_DEPENDENT:
		return original ? "map_filter_adf" : "map_filter_adf_reply";
	case FILTERING_ENDPOINT_INDEPENDENT:
		return original ? "map_filter_eif" : "map_filter_eif_reply";
	case FILTERING_ADDRESS_AND_PORT_DEPENDENT:
		break;
	}
	return original ? "map_filter_apdf" : "map_filter_apdf_reply";
}

/* ct original ip saddr & mask == host goto map_filter_eif */
static void filter_host(struct nft_chain *chain, const struct nat_host *host, uint8_t direction)
{
	struct nft_rule *rule = nft_add_rule(chain, NULL);
	uint32_t mask =
		htonl(host->address.len ? (uint32_t)(UINT32_MAX << (32 - host->address.len)) : 0);
	uint32_t zero = 0;

	ct_direction(rule, direction);
	nft_ct(rule, NFT_CT_SRC_IP, direction, 0);
	if (host->address.len < 32)
		nft_bitwise(rule, &mask, &zero, sizeof(mask), 0, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, host->address.addr);
	nft_goto(rule, filtering_chain(host->filtering, direction));
}

static void describe_host_filtering(struct nft_table *table, struct nft_chain *leave,
				    const struct nat_plan *plan)
{
	static const enum nat_filtering all[] = {FILTERING_ADDRESS_DEPENDENT,
						 FILTERING_ENDPOINT_INDEPENDENT,
						 FILTERING_ADDRESS_AND_PORT_DEPENDENT};

	if (plan->host_count == 0)
		return;
	for (uint8_t direction = IP_CT_DIR_ORIGINAL; direction < IP_CT_DIR_MAX; direction++) {
		for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
			struct nft_chain *chain =
				nft_add_chain(table, filtering_chain(all[i], direction),
					      "filtering of single hosts", NFT_CHAIN_PLAIN, 0, 0);

			learn_filtering(chain, all[i], direction, false);
			nft_accept(nft_add_rule(chain, NULL));
		}
		/* The longest prefix first. */
		for (int length = 32; length >= 0; length--)
			for (size_t i = 0; i < plan->host_count; i++)
				if (plan->hosts[i].address.len == length)
					filter_host(leave, &plan->hosts[i], direction);
	}
}

static void describe_leave_udp(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain =
		nft_add_chain(table, "map_leave_udp", "who may answer is learnt from what leaves",
			      NFT_CHAIN_PLAIN, 0, 0);

	describe_host_filtering(table, chain, plan);
	learn_filtering(chain, plan->filtering, IP_CT_DIR_ORIGINAL, true);
	learn_filtering(chain, plan->filtering, IP_CT_DIR_REPLY, true);
	nft_accept(nft_add_rule(chain, NULL));
}

/* The packet inside an ICMP error came in from the tunnel: its destination is our address, and its
 * destination port (or echo identifier) is of our set. Offsets from the ICMP header, for an inner
 * header without options. */
enum {
	INNER_VERSION = 8,
	INNER_PROTOCOL = 8 + 9,
	INNER_DADDR = 8 + 16,
	INNER_DPORT = 8 + 20 + 2,
	INNER_ID = 8 + 20 + 4,
};

static void describe_leave_error(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(
		table, "map_leave_error", "ICMP errors: the packet inside came to a port of ours",
		NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule =
		nft_add_rule(chain, "an inner header with options is not looked into");

	nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, INNER_VERSION, 1, 0);
	cmp_u8(rule, NFT_CMP_NEQ, 0, 0x45);
	drop_counted(rule, "leaks");
	rule = nft_add_rule(chain, NULL);
	nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, INNER_DADDR, 4, 0);
	cmp_address(rule, NFT_CMP_NEQ, 0, plan->address.addr);
	drop_counted(rule, "leaks");
	if (!portset_is_whole(&plan->ports)) {
		rule = nft_add_rule(chain, NULL);
		nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, INNER_PROTOCOL, 1, 0);
		cmp_u8(rule, NFT_CMP_EQ, 0, IPPROTO_ICMP);
		load_l4(rule, INNER_ID, 0);
		is_own_port(rule, &plan->ports);
		nft_accept(rule);
		rule = nft_add_rule(chain, NULL);
		nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, INNER_PROTOCOL, 1, 0);
		nft_lookup(rule, "map_protocols", 0);
		nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, INNER_PROTOCOL, 1, 0);
		cmp_u8(rule, NFT_CMP_NEQ, 0, IPPROTO_ICMP);
		load_l4(rule, INNER_DPORT, 0);
		is_own_port(rule, &plan->ports);
		nft_accept(rule);
		drop_counted(nft_add_rule(chain, NULL), "leaks");
	}
}

static void describe_leave_icmp(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_set *errors =
		nft_add_set(table, &(struct nft_set_spec){
					   .name = "map_icmp_errors",
					   .comment = "ICMP types that carry a packet",
					   .key = {NFT_TYPE_PROTO},
				   });
	/* unreachable, source quench, redirect, time exceeded, parameter problem */
	static const uint8_t types[] = {3, 4, 5, 11, 12};
	struct nft_chain *chain;
	struct nft_rule *rule;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		nft_add_element(errors, &types[i], NULL);
	describe_leave_error(table, plan);
	chain = nft_add_chain(table, "map_leave_icmp", NULL, NFT_CHAIN_PLAIN, 0, 0);
	rule = nft_add_rule(chain, NULL);
	nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, ICMP_TYPE_CODE, 1, 0);
	nft_lookup(rule, "map_icmp_errors", 0);
	nft_goto(rule, "map_leave_error");
	if (!portset_is_whole(&plan->ports))
		drop_foreign(chain, &plan->ports, ICMP_ID, 0, "leaks",
			     "queries: the identifier is of our set");
	nft_accept(nft_add_rule(chain, NULL));
}

/* tcp sport >= 1024 tcp sport & 0x03f0 == 0x0290 goto map_leave_tcp */
static void ours_of(struct nft_chain *chain, const struct nat_plan *plan, uint8_t protocol,
		    const char *to)
{
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	is_protocol(rule, protocol);
	if (!portset_is_whole(&plan->ports)) {
		load_l4(rule, L4_SPORT, 0);
		is_own_port(rule, &plan->ports);
	}
	nft_goto(rule, to);
}

/* What nearly every packet into the tunnel meets, whatever interface it leaves by: a right source
 * is right everywhere. */
static void describe_ours(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(
		table, "map_ours", "packets with our source address", NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule;

	ours_of(chain, plan, IPPROTO_TCP, "map_leave_tcp");
	ours_of(chain, plan, IPPROTO_UDP, "map_leave_udp");
	rule = nft_add_rule(chain, NULL);
	leaving_by(rule, plan->tunnel);
	nft_goto(rule, "map_leave");
}

/* The rest. */
static void describe_leave(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain;
	struct nft_rule *rule;

	describe_leave_tcp(table, plan);
	describe_leave_udp(table, plan);
	describe_leave_icmp(table, plan);
	describe_ours(table, plan);
	chain = nft_add_chain(table, "map_leave", "nothing leaves with a source that is not ours",
			      NFT_CHAIN_PLAIN, 0, 0);
	rule = nft_add_rule(chain, "IPv6 is none of our business");
	nft_meta(rule, NFT_META_NFPROTO, 0);
	cmp_u8(rule, NFT_CMP_NEQ, 0, NFPROTO_IPV4);
	nft_accept(rule);
	rule = nft_add_rule(chain, NULL);
	is_ipv4(rule);
	load_saddr(rule, 0);
	cmp_address(rule, NFT_CMP_NEQ, 0, plan->address.addr);
	drop_counted(rule, "leaks");
	rule = nft_add_rule(chain, NULL);
	is_protocol(rule, IPPROTO_ICMP);
	nft_goto(rule, "map_leave_icmp");
	if (portset_is_whole(&plan->ports))
		nft_accept(nft_add_rule(chain, "every protocol"));
	else
		drop_counted(nft_add_rule(chain, "foreign ports, and what has none"), "leaks");
}

/* ---- entering
 * ---------------------------------------------------------------------------------------- */

static void describe_enter(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *fresh, *chain;
	struct nft_rule *rule;

	fresh = nft_add_chain(table, "map_enter_new", "only what was forwarded or filtered in",
			      NFT_CHAIN_PLAIN, 0, 0);
	clamp_mss(fresh, plan);
	rule = nft_add_rule(fresh, NULL);
	ct_status(rule, IPS_DST_NAT, NFT_CMP_NEQ);
	nft_accept(rule);
	drop_counted(nft_add_rule(fresh, NULL), "inbound");

	chain = nft_add_chain(table, "map_enter",
			      "from the tunnel to the LAN, until a connection has gone both ways",
			      NFT_CHAIN_PLAIN, 0, 0);
	rule = nft_add_rule(chain, NULL);
	ct_state(rule, STATE_ESTABLISHED | STATE_RELATED, NFT_CMP_EQ);
	is_ipv4(rule);
	nft_goto(rule, "map_enter_new");
	clamp_mss(chain, plan);
	rule = nft_add_rule(chain,
			    "an endpoint that is answered can be reached from the LAN as well");
	is_protocol(rule, IPPROTO_UDP);
	ct_direction(rule, IP_CT_DIR_REPLY);
	nft_ct(rule, NFT_CT_PROTO_DST, IP_CT_DIR_REPLY, 4);
	load_inside(rule, IP_CT_DIR_ORIGINAL, 8);
	nft_learn(rule, "map_answered", NFT_LEARN_UPDATE, 4, 8, 0);
	if (!portset_is_whole(&plan->ports)) {
		rule = nft_add_rule(chain, "and keeps its port for longer");
		is_protocol(rule, IPPROTO_UDP);
		ct_direction(rule, IP_CT_DIR_REPLY);
		load_inside(rule, IP_CT_DIR_ORIGINAL, ENDPOINT);
		nft_ct(rule, NFT_CT_PROTO_DST, IP_CT_DIR_REPLY, 4);
		nft_learn(rule, udp.owner, NFT_LEARN_UPDATE, ENDPOINT, 4, 0);
	}
}

static void match_services(struct nft_chain *chain, const struct service *services, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint16_t first = htons(services[i].ports.first);
		uint16_t last = htons(services[i].ports.last);

		for (unsigned int bit = PROTO_TCP; bit <= PROTO_UDP; bit <<= 1) {
			struct nft_rule *rule;

			if (!(services[i].protocols & bit))
				continue;
			rule = nft_add_rule(chain, "opened by nat.open");
			is_protocol(rule, bit == PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP);
			load_l4(rule, L4_DPORT, 0);
			nft_range(rule, NFT_RANGE_EQ, 0, &first, &last, sizeof(first));
			nft_accept(rule);
		}
	}
}

static void describe_input(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(
		table, "map_input", "from the tunnel to the router itself", NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	ct_state(rule, STATE_ESTABLISHED | STATE_RELATED, NFT_CMP_NEQ);
	nft_accept(rule);
	match_services(chain, plan->open, plan->open_count);
	if (plan->inbound_accept) {
		rule = nft_add_rule(chain, "nat.inbound = \"accept\"");
		ct_state(rule, STATE_NEW, NFT_CMP_NEQ);
		nft_accept(rule);
	}
	drop_counted(nft_add_rule(chain, NULL), "inbound");
}

/* ---- first packets to the shared address
 * --------------------------------------------------------------- */

/* udp dport . ip saddr map @map_contacted, with the connection noted as any other */
static void dnat_learnt(struct nft_chain *chain, const struct nat_plan *plan, const char *map,
			bool by_source, bool note, const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	is_ipv4(rule);
	is_protocol(rule, IPPROTO_UDP);
	load_l4(rule, L4_DPORT, 8);
	if (by_source)
		load_saddr(rule, 9);
	nft_map(rule, map, 8, 12);
	if (note && !portset_is_whole(&plan->ports)) {
		load_saddr(rule, CONNECTION);
		load_l4(rule, L4_SPORT, CONNECTION + 1);
		load_l4(rule, L4_DPORT, CONNECTION + 2);
		nft_learn_connection(rule, udp.busy, CONNECTION, UINT32_MAX);
	}
	nft_dnat(rule, 12, 13);
}

/* To the shared address: from the tunnel or from inside. What comes from the tunnel to another
 * address is stopped in map_enter_new and map_input. */
static void describe_to_us(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(table, "map_to_us", "first packets to our address",
						NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	is_ipv4(rule);
	coming_by(rule, plan->tunnel);
	nft_goto(rule, "map_arrive");
	rule = nft_add_rule(chain, NULL);
	is_ipv4(rule);
	nft_goto(rule, "map_hairpin");
}

static void describe_arrive(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(
		table, "map_arrive", "first packets from the tunnel", NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	is_ipv4(rule);
	load_saddr(rule, 0);
	nft_lookup(rule, "map_martians", 0);
	drop_counted(rule, "inbound");
	if (!portset_is_whole(&plan->ports)) {
		drop_foreign(chain, &plan->ports, L4_DPORT, IPPROTO_TCP, "inbound",
			     "not our ports: the relay should not have sent this");
		drop_foreign(chain, &plan->ports, L4_DPORT, IPPROTO_UDP, "inbound", NULL);
	}
	nat_forwards_rules(chain, "map_forward", plan->forwards, plan->forward_count);
	dnat_learnt(chain, plan, "map_contacted", true, true,
		    "hosts that were written to may answer from any port");
	dnat_learnt(chain, plan, "map_open", false, true, NULL);
}

static void describe_hairpin(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(
		table, "map_hairpin", "to our shared address from inside (RFC 4787 REQ-9)",
		NFT_CHAIN_PLAIN, 0, 0);

	nat_forwards_rules(chain, "map_forward", plan->forwards, plan->forward_count);
	dnat_learnt(chain, plan, "map_open", false, false, NULL);
	dnat_learnt(chain, plan, "map_answered", false, false, NULL);
}

/* ---- the whole
 * ------------------------------------------------------------------------------------------- */

void nat_map_sets(struct nft_table *table)
{
	static const uint8_t protocols[] = {IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP};
	struct nft_set *set = nft_add_set(table, &(struct nft_set_spec){
							 .name = "map_protocols",
							 .comment = "protocols that MAP-E carries",
							 .key = {NFT_TYPE_PROTO},
						 });

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		nft_add_element(set, &protocols[i], NULL);
}

/* meta mark & mask != mark: a mark of this hook has given the packet another way, but oifname
 * still is that of before. */
static void not_diverted(struct nft_rule *rule, const struct nat_plan_pppoe *pppoe)
{
	uint32_t zero = 0;

	nft_meta(rule, NFT_META_MARK, 0);
	nft_bitwise(rule, &pppoe->mask, &zero, sizeof(zero), 0, 0);
	nft_cmp(rule, NFT_CMP_NEQ, 0, &pppoe->mark, sizeof(pppoe->mark));
}

/* Rejected before routing, in the chain of first packets: the sender hears it. */
static void reject_unmappable(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_find_chain(table, "prerouting_nat");
	struct nft_rule *rule = nft_add_rule(chain, "protocols without ports cannot use MAP-E");

	nft_meta(rule, NFT_META_L4PROTO, 0);
	nft_lookup_absent(rule, "map_protocols", 0);
	is_ipv4(rule);
	nft_fib_oifname(rule, 0);
	nft_cmp(rule, NFT_CMP_EQ, 0, plan->tunnel, IFNAMSIZ);
	nft_counter(rule, "unmappable");
	nft_reject(rule, ICMP_ADMIN);

	rule = nft_add_rule(nft_find_chain(table, "output_nat"), NULL);
	leaving_by(rule, plan->tunnel);
	is_ipv4(rule);
	nft_meta(rule, NFT_META_L4PROTO, 0);
	nft_lookup_absent(rule, "map_protocols", 0);
	if (plan->pppoe.enabled)
		not_diverted(rule, &plan->pppoe);
	nft_counter(rule, "unmappable");
	nft_reject(rule, ICMP_ADMIN);
}

/* Comparing names costs as much as six other expressions, so the first rules do without: an
 * address, then the tunnel's index if there is one yet. The rules behind them, by name, hold
 * always; without an index, nothing is let through before them. Assured: has gone both ways, so
 * that conntrack knows it and it was looked at when it was new. */
static void describe_guard(struct nft_chain *chain, const struct nat_plan *plan,
			   uint32_t tunnel_index)
{
	struct nft_rule *rule =
		nft_add_rule(chain, "ip saddr of ours (of IPv6, nothing comes of it)");

	load_saddr(rule, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, plan->address.addr);
	nft_goto(rule, "map_ours");
	if (!tunnel_index)
		return;
	rule = nft_add_rule(chain, NULL);
	nft_meta(rule, NFT_META_OIF, 0);
	nft_cmp(rule, NFT_CMP_EQ, 0, &tunnel_index, sizeof(tunnel_index));
	nft_goto(rule, "map_leave");
	rule = nft_add_rule(chain, "has gone both ways, and does not leave by the tunnel");
	ct_status(rule, IPS_ASSURED, NFT_CMP_NEQ);
	nft_accept(rule);
}

static void describe_entrances(struct nft_table *table, const struct nat_plan *plan,
			       uint32_t tunnel_index)
{
	struct nft_rule *rule =
		nft_add_rule(nft_find_chain(table, "prerouting_nat"), "ip daddr of ours");

	load_daddr(rule, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, plan->address.addr);
	nft_goto(rule, "map_to_us");
	if (!portset_is_whole(&plan->ports))
		reject_unmappable(table, plan);

	rule = nft_add_rule(nft_find_chain(table, "postrouting_nat"), NULL);
	leaving_by(rule, plan->tunnel);
	is_ipv4(rule);
	nft_goto(rule, "map_snat");
	rule = nft_add_rule(nft_find_chain(table, "postrouting_nat"),
			    "hairpin: seen with the external address and port");
	ct_status(rule, IPS_DST_NAT, NFT_CMP_NEQ);
	is_ipv4(rule);
	nft_ct(rule, NFT_CT_DST_IP, IP_CT_DIR_ORIGINAL, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, plan->address.addr);
	match_interface(rule, NFT_META_IIFNAME, NFT_CMP_NEQ, plan->tunnel);
	nft_goto(rule, "map_snat");

	describe_guard(nft_find_chain(table, "guard"), plan, tunnel_index);
	rule = nft_add_rule(nft_find_chain(table, "guard"), NULL);
	leaving_by(rule, plan->tunnel);
	nft_goto(rule, "map_leave");
	rule = nft_add_rule(nft_find_chain(table, "guard"), NULL);
	coming_by(rule, plan->tunnel);
	nft_goto(rule, "map_enter");
	rule = nft_add_rule(nft_find_chain(table, "input"), NULL);
	coming_by(rule, plan->tunnel);
	is_ipv4(rule);
	nft_goto(rule, "map_input");
}

void nat_map_describe(struct nft_table *table, const struct nat_plan *plan, uint32_t tunnel_index)
{
	nft_add_counter(table, "refused",
			"new connections without a free port, or over host_limit");
	nft_add_counter(table, "unmappable", "packets of protocols without ports");
	nft_add_counter(table, "inbound", "packets from the tunnel that nobody asked for");
	nft_add_counter(table, "leaks", "packets kept from leaving with a foreign source");
	describe_identity(table, plan);
	describe_martians(table);
	describe_filtering_sets(table);
	nat_forwards_map(table, "map_forward", "forwards: protocol . our port : LAN host . port",
			 plan->forwards, plan->forward_count);
	if (portset_is_whole(&plan->ports))
		describe_whole_snat(table, plan);
	else
		describe_snat(table, plan);
	describe_leave(table, plan);
	describe_enter(table, plan);
	describe_input(table, plan);
	describe_arrive(table, plan);
	describe_hairpin(table, plan);
	describe_to_us(table, plan);
	describe_entrances(table, plan, tunnel_index);
}
