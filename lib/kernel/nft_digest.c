/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "lib/kernel/nft_picture.h"

/* FNV-1a: nobody has a reason to provoke that two rules look alike. */
#define DIGEST_START 0xcbf29ce484222325u
#define DIGEST_PRIME 0x100000001b3u

static void mix(uint64_t *digest, const void *data, size_t length)
{
	const uint8_t *octets = data;

	for (size_t i = 0; i < length; i++)
		*digest = (*digest ^ octets[i]) * DIGEST_PRIME;
}

static bool is_zero_number(const struct nlattr *attr)
{
	const uint8_t *octets = mnl_attr_get_payload(attr);
	uint16_t length = mnl_attr_get_payload_len(attr);

	if (length != sizeof(uint32_t) && length != sizeof(uint64_t))
		return false;
	for (uint16_t i = 0; i < length; i++)
		if (octets[i] != 0)
			return false;
	return true;
}

/* The number by which a set is found in the transaction that makes it. The kernel forgets it. */
static bool is_set_number(const char *expression, uint16_t type)
{
	return (type == NFTA_LOOKUP_SET_ID && strcmp(expression, "lookup") == 0) ||
	       (type == NFTA_DYNSET_SET_ID && strcmp(expression, "dynset") == 0);
}

/* What a set keeps with each element is an expression, or a list of them. */
static bool holds_expression(const char *expression, uint16_t type)
{
	return type == NFTA_DYNSET_EXPR && strcmp(expression, "dynset") == 0;
}

static bool holds_expressions(const char *expression, uint16_t type)
{
	return type == NFTA_DYNSET_EXPRESSIONS && strcmp(expression, "dynset") == 0;
}

static void mix_expression(uint64_t *digest, const struct nlattr *expression);

static void mix_list(uint64_t *digest, const struct nlattr *list)
{
	const struct nlattr *expression;

	mnl_attr_for_each_nested(expression, list)
	{
		mix_expression(digest, expression);
	}
}

static void mix_data(uint64_t *digest, const char *expression, const struct nlattr *data)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, data)
	{
		uint16_t type = mnl_attr_get_type(attr);
		uint16_t length = mnl_attr_get_payload_len(attr);

		if (is_zero_number(attr) || is_set_number(expression, type))
			continue;
		mix(digest, &type, sizeof(type));
		if (holds_expression(expression, type)) {
			mix_expression(digest, attr);
		} else if (holds_expressions(expression, type)) {
			mix_list(digest, attr);
		} else {
			mix(digest, &length, sizeof(length));
			mix(digest, mnl_attr_get_payload(attr), length);
		}
	}
}

static void mix_expression(uint64_t *digest, const struct nlattr *expression)
{
	const struct nlattr *attr;
	const char *name = "";

	mnl_attr_for_each_nested(attr, expression)
	{
		if (mnl_attr_get_type(attr) == NFTA_EXPR_NAME) {
			name = mnl_attr_get_str(attr);
			mix(digest, name, strlen(name) + 1);
		} else if (mnl_attr_get_type(attr) == NFTA_EXPR_DATA) {
			mix_data(digest, name, attr);
		}
	}
}

static uint64_t digest_of(const struct nlmsghdr *nlh)
{
	uint64_t digest = DIGEST_START;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, 0)
	{
		if (mnl_attr_get_type(attr) == NFTA_RULE_EXPRESSIONS)
			mix_list(&digest, attr);
		else if (mnl_attr_get_type(attr) == NFTA_RULE_USERDATA)
			mix(&digest, mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
	}
	return digest == NFT_DIGEST_FOREIGN ? 1 : digest;
}

uint64_t nft_rule_digest(struct nftnl_rule *rule, void *scratch)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(scratch);
	uint64_t digest;

	nftnl_rule_nlmsg_build_payload(nlh, rule);
	digest = digest_of(nlh);
	memset(scratch, 0, nlh->nlmsg_len);
	return digest;
}
