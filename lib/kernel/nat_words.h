/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Short sentences that the files of the table share. Each is told in nft words beside it. */
#pragma once

#include <net/if.h>
#include <netinet/in.h>

/* Behind the C library's headers, which they would clash with otherwise. */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>

#include "lib/kernel/nft.h"
#include "lib/map/plan.h"

/* Offsets in the IPv4, TCP, UDP and ICMP headers. */
enum {
	IP_PROTO = 9,
	IP_SADDR = 12,
	IP_DADDR = 16,
	L4_SPORT = 0,
	L4_DPORT = 2,
	TCP_FLAGS = 13,
	ICMP_TYPE_CODE = 0,
	ICMP_ID = 4,
};

#define FLAG_FIN 0x01u
#define FLAG_SYN 0x02u
#define FLAG_RST 0x04u

/* enum ip_conntrack_status and nft's ct state bits as registers hold them: host order. */
#define STATE_ESTABLISHED NF_CT_STATE_BIT(IP_CT_ESTABLISHED)
#define STATE_RELATED     NF_CT_STATE_BIT(IP_CT_RELATED)
#define STATE_NEW         NF_CT_STATE_BIT(IP_CT_NEW)

static inline bool port_is_in(uint16_t port, struct port_range range)
{
	return port >= range.first && port <= range.last;
}

/* A port of a forward or of a service of the router itself is given to no connection. */
static inline bool is_reserved(const struct nat_plan *plan, uint16_t port)
{
	for (size_t i = 0; i < plan->forward_count; i++)
		if (port_is_in(port, plan->forwards[i].ports))
			return true;
	for (size_t i = 0; i < plan->open_count; i++)
		if (port_is_in(port, plan->open[i].ports))
			return true;
	return false;
}

/* false: nobody but the peer's port may answer, whatever is learnt. */
static inline bool nat_learns_filtering(const struct nat_plan *plan)
{
	return plan->host_count > 0 || plan->filtering != FILTERING_ADDRESS_AND_PORT_DEPENDENT;
}

static inline enum nat_filtering filtering_of(const struct nat_plan *plan, struct in_addr host)
{
	enum nat_filtering filtering = plan->filtering;
	int longest = -1;

	for (size_t i = 0; i < plan->host_count; i++) {
		const struct prefix4 *prefix = &plan->hosts[i].address;

		if (prefix->len > longest && prefix4_has(prefix, host)) {
			longest = prefix->len;
			filtering = plan->hosts[i].filtering;
		}
	}
	return filtering;
}

static inline void cmp_u8(struct nft_rule *rule, uint32_t op, unsigned int word, uint8_t value)
{
	nft_cmp(rule, op, word, &value, sizeof(value));
}

static inline void cmp_port(struct nft_rule *rule, uint32_t op, unsigned int word, uint16_t port)
{
	uint16_t value = htons(port);

	nft_cmp(rule, op, word, &value, sizeof(value));
}

static inline void cmp_address(struct nft_rule *rule, uint32_t op, unsigned int word,
			       struct in_addr address)
{
	nft_cmp(rule, op, word, &address, sizeof(address));
}

static inline void match_interface(struct nft_rule *rule, uint32_t key, uint32_t op,
				   const char interface[IFNAMSIZ])
{
	nft_meta(rule, key, 0);
	nft_cmp(rule, op, 0, interface, IFNAMSIZ);
}

/* oifname "map0" */
static inline void leaving_by(struct nft_rule *rule, const char interface[IFNAMSIZ])
{
	match_interface(rule, NFT_META_OIFNAME, NFT_CMP_EQ, interface);
}

/* iifname "map0" */
static inline void coming_by(struct nft_rule *rule, const char interface[IFNAMSIZ])
{
	match_interface(rule, NFT_META_IIFNAME, NFT_CMP_EQ, interface);
}

/* ip protocol tcp: tells the same as meta l4proto in IPv4, and nft_do_chain() reads octets of a
 * packet by itself, while a meta key is a call and a search for the key. */
static inline void is_protocol(struct nft_rule *rule, uint8_t protocol)
{
	nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IP_PROTO, 1, 0);
	cmp_u8(rule, NFT_CMP_EQ, 0, protocol);
}

static inline void load_saddr(struct nft_rule *rule, unsigned int to)
{
	nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IP_SADDR, 4, to);
}

static inline void load_daddr(struct nft_rule *rule, unsigned int to)
{
	nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IP_DADDR, 4, to);
}

/* Two octets of the transport header: a port, an identifier. */
static inline void load_l4(struct nft_rule *rule, uint32_t offset, unsigned int to)
{
	nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, offset, 2, to);
}

/* Some of the bits are set (op NFT_CMP_NEQ) or none is (NFT_CMP_EQ), of a 32-bit value. */
static inline void test_bits(struct nft_rule *rule, unsigned int word, uint32_t bits, uint32_t op)
{
	uint32_t zero = 0;

	nft_bitwise(rule, &bits, &zero, sizeof(bits), word, word);
	nft_cmp(rule, op, word, &zero, sizeof(zero));
}

/* ct state established,related */
static inline void ct_state(struct nft_rule *rule, uint32_t bits, uint32_t op)
{
	nft_ct(rule, NFT_CT_STATE, NFT_NO_DIRECTION, 0);
	test_bits(rule, 0, bits, op);
}

/* ct status dnat */
static inline void ct_status(struct nft_rule *rule, uint32_t bits, uint32_t op)
{
	nft_ct(rule, NFT_CT_STATUS, NFT_NO_DIRECTION, 0);
	test_bits(rule, 0, bits, op);
}

/* ct direction original */
static inline void ct_direction(struct nft_rule *rule, uint8_t direction)
{
	nft_ct(rule, NFT_CT_DIRECTION, NFT_NO_DIRECTION, 0);
	cmp_u8(rule, NFT_CMP_EQ, 0, direction);
}

/* tcp flags & bits == 0 (NFT_CMP_EQ) or != 0 */
static inline void tcp_flags(struct nft_rule *rule, uint8_t bits, uint32_t op)
{
	uint8_t zero = 0;

	nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS, 1, 0);
	nft_bitwise(rule, &bits, &zero, 1, 0, 0);
	nft_cmp(rule, op, 0, &zero, 1);
}

/* Not a TCP packet that resets a connection, by three reserved bits and the flags that begin and
 * end (RFC 9293 section 3.1). Without asking for the protocol first: one UDP packet of 64 looks the
 * same, and one that is too short for the question goes the same way, so that must be right for
 * these too. */
static inline void is_no_reset(struct nft_rule *rule)
{
	uint16_t mask = htons(0x0e00 | FLAG_FIN | FLAG_SYN | FLAG_RST), zero = 0;
	uint16_t reset = htons(FLAG_RST);

	nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS - 1, 2, 0);
	nft_bitwise(rule, &mask, &zero, sizeof(mask), 0, 0);
	nft_cmp(rule, NFT_CMP_NEQ, 0, &reset, sizeof(reset));
}

/* ct mark & mask == value */
static inline void ct_mark_is(struct nft_rule *rule, uint32_t mask, uint32_t op, uint32_t value)
{
	uint32_t zero = 0;

	nft_ct(rule, NFT_CT_MARK, NFT_NO_DIRECTION, 0);
	nft_bitwise(rule, &mask, &zero, sizeof(mask), 0, 0);
	nft_cmp(rule, op, 0, &value, sizeof(value));
}

static inline void drop_counted(struct nft_rule *rule, const char *counter)
{
	nft_counter(rule, counter);
	nft_drop(rule);
}

/* nat_forward.c: forwards of one line, as a map named map and, for long ranges that keep their
 * ports, rules. */
void nat_forwards_map(struct nft_table *table, const char *map, const char *comment,
		      const struct nat_forward *forwards, size_t count);
void nat_forwards_rules(struct nft_chain *chain, const char *map,
			const struct nat_forward *forwards, size_t count);

/* nat_map.c, nat_choose.c, nat_pppoe.c: the parts of the table of family ip. */
void nat_map_sets(struct nft_table *table); /* what other parts refer to */
/* tunnel_index: the tunnel's ifindex, 0 when it is not there (yet). */
void nat_map_describe(struct nft_table *table, const struct nat_plan *plan, uint32_t tunnel_index);
void nat_choose_describe(struct nft_table *table, const struct nat_plan *plan);
void nat_pppoe_describe(struct nft_table *table, const struct nat_plan *plan);
/* nat_outer.c: the table of family ip6. wan_index: the same of the WAN. */
void nat_outer_describe(struct nft_table *table, const struct nat_plan *plan, uint32_t wan_index);
