/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words of a rule: expressions as nft itself would write them. */
#include "lib/kernel/nft.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include "lib/kernel/nft_model.h"

static struct nftnl_expr *expression(struct nft_rule *rule, const char *name)
{
	struct nftnl_expr *expr;

	if (!rule)
		return NULL;
	expr = nftnl_expr_alloc(name);
	if (!expr) {
		rule->chain->table->failed = true;
		return NULL;
	}
	nftnl_rule_add_expr(rule->object, expr);
	return expr;
}

static void put_u32(struct nftnl_expr *expr, uint16_t attribute, uint32_t value)
{
	if (expr)
		nftnl_expr_set_u32(expr, attribute, value);
}

static void put_u64(struct nftnl_expr *expr, uint16_t attribute, uint64_t value)
{
	if (expr)
		nftnl_expr_set_u64(expr, attribute, value);
}

static void put_text(struct nft_rule *rule, struct nftnl_expr *expr, uint16_t attribute,
		     const char *text)
{
	if (expr && nftnl_expr_set_str(expr, attribute, text) < 0)
		rule->chain->table->failed = true;
}

static void put_data(struct nft_rule *rule, struct nftnl_expr *expr, uint16_t attribute,
		     const void *data, uint32_t length)
{
	if (expr && nftnl_expr_set(expr, attribute, data, length) < 0)
		rule->chain->table->failed = true;
}

/* The kernel tells every fourth word by its old name, a register of four words. */
static uint32_t word_register(unsigned int word)
{
	return word % 4 == 0 ? NFT_REG_1 + word / 4 : NFT_REG32_00 + word;
}

void nft_meta(struct nft_rule *rule, uint32_t key, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "meta");

	put_u32(expr, NFTNL_EXPR_META_KEY, key);
	put_u32(expr, NFTNL_EXPR_META_DREG, word_register(to));
}

void nft_set_mark(struct nft_rule *rule, unsigned int from)
{
	struct nftnl_expr *expr = expression(rule, "meta");

	put_u32(expr, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	put_u32(expr, NFTNL_EXPR_META_SREG, word_register(from));
}

void nft_payload(struct nft_rule *rule, uint32_t base, uint32_t offset, uint32_t length,
		 unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "payload");

	put_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, word_register(to));
	put_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, base);
	put_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	put_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, length);
}

void nft_ct(struct nft_rule *rule, uint32_t key, int direction, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "ct");

	put_u32(expr, NFTNL_EXPR_CT_KEY, key);
	put_u32(expr, NFTNL_EXPR_CT_DREG, word_register(to));
	if (expr && direction != NFT_NO_DIRECTION)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_CT_DIR, (uint8_t)direction);
}

void nft_set_ct_mark(struct nft_rule *rule, unsigned int from)
{
	struct nftnl_expr *expr = expression(rule, "ct");

	put_u32(expr, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
	put_u32(expr, NFTNL_EXPR_CT_SREG, word_register(from));
}

void nft_numgen(struct nft_rule *rule, bool random, uint32_t modulus, uint32_t offset,
		unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "numgen");

	put_u32(expr, NFTNL_EXPR_NG_DREG, word_register(to));
	put_u32(expr, NFTNL_EXPR_NG_MODULUS, modulus);
	put_u32(expr, NFTNL_EXPR_NG_TYPE, random ? NFT_NG_RANDOM : NFT_NG_INCREMENTAL);
	put_u32(expr, NFTNL_EXPR_NG_OFFSET, offset);
}

void nft_fib_oifname(struct nft_rule *rule, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "fib");

	put_u32(expr, NFTNL_EXPR_FIB_DREG, word_register(to));
	put_u32(expr, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIFNAME);
	put_u32(expr, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR | NFTA_FIB_F_MARK);
}

void nft_fib_back_oifname(struct nft_rule *rule, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "fib");

	put_u32(expr, NFTNL_EXPR_FIB_DREG, word_register(to));
	put_u32(expr, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIFNAME);
	put_u32(expr, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_MARK);
}

void nft_fib_foreign_source(struct nft_rule *rule)
{
	struct nftnl_expr *expr = expression(rule, "fib");
	uint32_t local = RTN_LOCAL;

	put_u32(expr, NFTNL_EXPR_FIB_DREG, word_register(0));
	put_u32(expr, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	put_u32(expr, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_OIF);
	nft_cmp(rule, NFT_CMP_NEQ, 0, &local, sizeof(local));
}

void nft_immediate(struct nft_rule *rule, const void *data, uint32_t length, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "immediate");

	put_u32(expr, NFTNL_EXPR_IMM_DREG, word_register(to));
	put_data(rule, expr, NFTNL_EXPR_IMM_DATA, data, length);
}

void nft_bitwise(struct nft_rule *rule, const void *mask, const void * xor, uint32_t length,
		 unsigned int from, unsigned int to)
{
	struct nftnl_expr *expr = expression(rule, "bitwise");

	put_u32(expr, NFTNL_EXPR_BITWISE_SREG, word_register(from));
	put_u32(expr, NFTNL_EXPR_BITWISE_DREG, word_register(to));
	put_u32(expr, NFTNL_EXPR_BITWISE_LEN, length);
	put_u32(expr, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	put_data(rule, expr, NFTNL_EXPR_BITWISE_MASK, mask, length);
	put_data(rule, expr, NFTNL_EXPR_BITWISE_XOR, xor, length);
}

void nft_shift_left(struct nft_rule *rule, unsigned int word, uint32_t bits)
{
	struct nftnl_expr *expr = expression(rule, "bitwise");

	put_u32(expr, NFTNL_EXPR_BITWISE_SREG, word_register(word));
	put_u32(expr, NFTNL_EXPR_BITWISE_DREG, word_register(word));
	put_u32(expr, NFTNL_EXPR_BITWISE_LEN, sizeof(bits));
	put_u32(expr, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_LSHIFT);
	put_data(rule, expr, NFTNL_EXPR_BITWISE_DATA, &bits, sizeof(bits));
}

static void set_priority(struct nft_rule *rule, unsigned int from)
{
	struct nftnl_expr *expr = expression(rule, "meta");

	put_u32(expr, NFTNL_EXPR_META_KEY, NFT_META_PRIORITY);
	put_u32(expr, NFTNL_EXPR_META_SREG, word_register(from));
}

void nft_known_length(struct nft_rule *rule, unsigned int word, unsigned int spare)
{
	nft_meta(rule, NFT_META_PRIORITY, spare);
	set_priority(rule, word);
	nft_meta(rule, NFT_META_PRIORITY, word);
	set_priority(rule, spare);
}

void nft_cmp(struct nft_rule *rule, uint32_t op, unsigned int word, const void *data,
	     uint32_t length)
{
	struct nftnl_expr *expr = expression(rule, "cmp");

	put_u32(expr, NFTNL_EXPR_CMP_SREG, word_register(word));
	put_u32(expr, NFTNL_EXPR_CMP_OP, op);
	put_data(rule, expr, NFTNL_EXPR_CMP_DATA, data, length);
}

void nft_range(struct nft_rule *rule, uint32_t op, unsigned int word, const void *first,
	       const void *last, uint32_t length)
{
	struct nftnl_expr *expr = expression(rule, "range");

	put_u32(expr, NFTNL_EXPR_RANGE_SREG, word_register(word));
	put_u32(expr, NFTNL_EXPR_RANGE_OP, op);
	put_data(rule, expr, NFTNL_EXPR_RANGE_FROM_DATA, first, length);
	put_data(rule, expr, NFTNL_EXPR_RANGE_TO_DATA, last, length);
}

/* A set of the same transaction is found by its number, one that stands by its name. */
static void put_set(struct nft_rule *rule, struct nftnl_expr *expr, uint16_t name_attribute,
		    uint16_t id_attribute, const char *name)
{
	const struct nft_set *set;

	if (!expr)
		return;
	put_text(rule, expr, name_attribute, name);
	set = nft_table_find_set(rule->chain->table, name);
	if (set)
		put_u32(expr, id_attribute, set->id);
}

static struct nftnl_expr *lookup(struct nft_rule *rule, const char *set, unsigned int key)
{
	struct nftnl_expr *expr = expression(rule, "lookup");

	put_u32(expr, NFTNL_EXPR_LOOKUP_SREG, word_register(key));
	put_set(rule, expr, NFTNL_EXPR_LOOKUP_SET, NFTNL_EXPR_LOOKUP_SET_ID, set);
	put_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS, 0); /* as the kernel tells it back */
	return expr;
}

void nft_lookup(struct nft_rule *rule, const char *set, unsigned int key)
{
	lookup(rule, set, key);
}

void nft_lookup_absent(struct nft_rule *rule, const char *set, unsigned int key)
{
	put_u32(lookup(rule, set, key), NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

void nft_map(struct nft_rule *rule, const char *map, unsigned int key, unsigned int to)
{
	put_u32(lookup(rule, map, key), NFTNL_EXPR_LOOKUP_DREG, word_register(to));
}

void nft_verdict_map(struct nft_rule *rule, const char *map, unsigned int key)
{
	put_u32(lookup(rule, map, key), NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
}

static struct nftnl_expr *learn(struct nft_rule *rule, const char *set, enum nft_dynset_ops op,
				unsigned int key)
{
	struct nftnl_expr *expr = expression(rule, "dynset");

	put_u32(expr, NFTNL_EXPR_DYNSET_SREG_KEY, word_register(key));
	put_u32(expr, NFTNL_EXPR_DYNSET_OP, op);
	put_set(rule, expr, NFTNL_EXPR_DYNSET_SET_NAME, NFTNL_EXPR_DYNSET_SET_ID, set);
	return expr;
}

static enum nft_dynset_ops dynset_op(enum nft_learn op)
{
	switch (op) {
	case NFT_LEARN_ADD:
		return NFT_DYNSET_OP_ADD;
	case NFT_LEARN_UPDATE:
		return NFT_DYNSET_OP_UPDATE;
	case NFT_LEARN_DELETE:
		break;
	}
	return NFT_DYNSET_OP_DELETE;
}

void nft_learn(struct nft_rule *rule, const char *set, enum nft_learn op, unsigned int key,
	       unsigned int data, uint64_t timeout)
{
	struct nftnl_expr *expr = learn(rule, set, dynset_op(op), key);

	if (data != NFT_NO_DATA)
		put_u32(expr, NFTNL_EXPR_DYNSET_SREG_DATA, word_register(data));
	if (timeout)
		put_u64(expr, NFTNL_EXPR_DYNSET_TIMEOUT, timeout);
}

void nft_learn_connection(struct nft_rule *rule, const char *set, unsigned int key, uint32_t limit)
{
	struct nftnl_expr *expr = learn(rule, set, NFT_DYNSET_OP_ADD, key);
	struct nftnl_expr *count = expr ? nftnl_expr_alloc("connlimit") : NULL;

	if (!expr)
		return;
	if (!count) {
		rule->chain->table->failed = true;
		return;
	}
	nftnl_expr_set_u32(count, NFTNL_EXPR_CONNLIMIT_COUNT, limit);
	nftnl_expr_set_u32(count, NFTNL_EXPR_CONNLIMIT_FLAGS, 0);
	nftnl_expr_add_expr(expr, NFTNL_EXPR_DYNSET_EXPRESSIONS, count);
}

void nft_offload(struct nft_rule *rule, const char *flows)
{
	struct nftnl_expr *expr = expression(rule, "flow_offload");

	put_text(rule, expr, NFTNL_EXPR_FLOW_TABLE_NAME, flows);
	if (rule)
		rule->chain->offloads = true;
}

void nft_counter(struct nft_rule *rule, const char *name)
{
	struct nftnl_expr *expr = expression(rule, "objref");

	put_u32(expr, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	put_text(rule, expr, NFTNL_EXPR_OBJREF_IMM_NAME, name);
}

void nft_limit(struct nft_rule *rule, uint64_t per_second, uint32_t burst)
{
	struct nftnl_expr *expr = expression(rule, "limit");

	put_u64(expr, NFTNL_EXPR_LIMIT_RATE, per_second);
	put_u64(expr, NFTNL_EXPR_LIMIT_UNIT, 1);
	put_u32(expr, NFTNL_EXPR_LIMIT_BURST, burst);
	put_u32(expr, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	put_u32(expr, NFTNL_EXPR_LIMIT_FLAGS, 0);
}

void nft_write_mss(struct nft_rule *rule, unsigned int from)
{
	struct nftnl_expr *expr = expression(rule, "exthdr");

	put_u32(expr, NFTNL_EXPR_EXTHDR_SREG, word_register(from));
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_EXTHDR_TYPE, 2); /* TCPOPT_MAXSEG */
	put_u32(expr, NFTNL_EXPR_EXTHDR_OFFSET, 2);
	put_u32(expr, NFTNL_EXPR_EXTHDR_LEN, 2);
	put_u32(expr, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
}

void nft_reject(struct nft_rule *rule, uint8_t icmp_code)
{
	struct nftnl_expr *expr = expression(rule, "reject");

	put_u32(expr, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH);
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, icmp_code);
}

void nft_reset_tcp(struct nft_rule *rule)
{
	struct nftnl_expr *expr = expression(rule, "reject");

	put_u32(expr, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, 0);
}

/* The kernel tells back both ends of each range and the flags it derives from them: say the same,
 * so that the two compare equal. */
static void nat(struct nft_rule *rule, uint32_t type, unsigned int address, unsigned int port,
		unsigned int port_last, uint32_t flags)
{
	struct nftnl_expr *expr = expression(rule, "nat");

	put_u32(expr, NFTNL_EXPR_NAT_TYPE, type);
	put_u32(expr, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
	put_u32(expr, NFTNL_EXPR_NAT_REG_ADDR_MIN, word_register(address));
	put_u32(expr, NFTNL_EXPR_NAT_REG_ADDR_MAX, word_register(address));
	flags |= NF_NAT_RANGE_MAP_IPS;
	if (port != NFT_NO_DATA) {
		flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
		put_u32(expr, NFTNL_EXPR_NAT_REG_PROTO_MIN, word_register(port));
		put_u32(expr, NFTNL_EXPR_NAT_REG_PROTO_MAX,
			word_register(port_last == NFT_NO_DATA ? port : port_last));
	}
	put_u32(expr, NFTNL_EXPR_NAT_FLAGS, flags);
}

void nft_snat(struct nft_rule *rule, unsigned int address, unsigned int port,
	      unsigned int port_last, bool random)
{
	nat(rule, NFT_NAT_SNAT, address, port, port_last, random ? NF_NAT_RANGE_PROTO_RANDOM : 0);
}

void nft_dnat(struct nft_rule *rule, unsigned int address, unsigned int port)
{
	nat(rule, NFT_NAT_DNAT, address, port, NFT_NO_DATA, 0);
}

void nft_masquerade(struct nft_rule *rule)
{
	expression(rule, "masq");
}

static void verdict(struct nft_rule *rule, int code, const char *chain)
{
	struct nftnl_expr *expr = expression(rule, "immediate");

	put_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	put_u32(expr, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
	if (chain)
		put_text(rule, expr, NFTNL_EXPR_IMM_CHAIN, chain);
}

void nft_accept(struct nft_rule *rule)
{
	verdict(rule, NF_ACCEPT, NULL);
}

void nft_drop(struct nft_rule *rule)
{
	verdict(rule, NF_DROP, NULL);
}

void nft_return(struct nft_rule *rule)
{
	verdict(rule, NFT_RETURN, NULL);
}

void nft_jump(struct nft_rule *rule, const char *chain)
{
	verdict(rule, NFT_JUMP, chain);
}

void nft_goto(struct nft_rule *rule, const char *chain)
{
	verdict(rule, NFT_GOTO, chain);
}
