/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_pass.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/macro.h"
#include "lib/kernel/nft_attribute.h"

/* ---- one rule ---------------------------------------------------------------------------- */

struct reading {
	struct nft_survey_pass *pass;
	uint32_t key;   /* NFT_META_* loaded last, UINT32_MAX = something else */
	bool condition; /* it asks for more than interfaces */
	bool accepts;
};

/* "eth*" is compared without the octet that ends a name. */
static void take_name(const struct nlattr *value, char to[static IFNAMSIZ])
{
	const char *name = mnl_attr_get_payload(value);
	size_t size = mnl_attr_get_payload_len(value), length = strnlen(name, size);

	if (length == size && length < IFNAMSIZ - 1)
		snprintf(to, IFNAMSIZ, "%.*s*", (int)length, name);
	else
		snprintf(to, IFNAMSIZ, "%.*s", (int)length, name);
}

static void take_index(const struct nlattr *value, char to[static IFNAMSIZ])
{
	uint32_t index = 0;

	if (mnl_attr_get_payload_len(value) == sizeof(index))
		memcpy(&index, mnl_attr_get_payload(value), sizeof(index));
	if (!if_indextoname(index, to))
		snprintf(to, IFNAMSIZ, "?"); /* no interface has this name */
}

static void take_compare(const struct nlattr *data, struct reading *reading)
{
	const struct nlattr *value = nft_nested(data, NFTA_CMP_DATA);

	value = nft_nested(value, NFTA_DATA_VALUE);
	if (!value || nft_number(nft_nested(data, NFTA_CMP_OP)) != NFT_CMP_EQ) {
		reading->condition = true;
		return;
	}
	if (reading->key == NFT_META_IIFNAME)
		take_name(value, reading->pass->in);
	else if (reading->key == NFT_META_OIFNAME)
		take_name(value, reading->pass->out);
	else if (reading->key == NFT_META_IIF)
		take_index(value, reading->pass->in);
	else if (reading->key == NFT_META_OIF)
		take_index(value, reading->pass->out);
	else
		reading->condition = true;
}

static void take_verdict(const struct nlattr *data, struct reading *reading)
{
	const struct nlattr *verdict =
		nft_nested(nft_nested(data, NFTA_IMMEDIATE_DATA), NFTA_DATA_VERDICT);
	int32_t code;

	if (!verdict)
		return;
	code = (int32_t)nft_number(nft_nested(verdict, NFTA_VERDICT_CODE));
	if (code == NF_ACCEPT)
		reading->accepts = true;
	else if (code == NFT_JUMP || code == NFT_GOTO)
		snprintf(reading->pass->jump, sizeof(reading->pass->jump), "%s",
			 nft_text(nft_nested(verdict, NFTA_VERDICT_CHAIN)));
}

static bool is_interface(uint32_t key)
{
	return key == NFT_META_IIFNAME || key == NFT_META_OIFNAME || key == NFT_META_IIF ||
	       key == NFT_META_OIF;
}

static void take_expression(const char *name, const struct nlattr *data, struct reading *reading)
{
	if (strcmp(name, "counter") == 0 || strcmp(name, "log") == 0)
		return;
	if (!data) {
		reading->condition = true;
	} else if (strcmp(name, "meta") == 0) {
		reading->key = nft_nested(data, NFTA_META_DREG)
				       ? nft_number(nft_nested(data, NFTA_META_KEY))
				       : UINT32_MAX;
	} else if (strcmp(name, "cmp") == 0) {
		take_compare(data, reading);
	} else if (strcmp(name, "lookup") == 0) {
		if (!is_interface(reading->key) || nft_number(nft_nested(data, NFTA_LOOKUP_FLAGS)))
			reading->condition = true;
	} else if (strcmp(name, "immediate") == 0) {
		take_verdict(data, reading);
	} else {
		reading->condition = true;
		reading->key = UINT32_MAX;
	}
}

bool nft_pass_read(const struct nlattr *expressions, struct nft_survey_pass *ret)
{
	struct reading reading = {.pass = ret, .key = UINT32_MAX};
	const struct nlattr *element;

	mnl_attr_for_each_nested(element, expressions)
		take_expression(nft_text(nft_nested(element, NFTA_EXPR_NAME)),
				nft_nested(element, NFTA_EXPR_DATA), &reading);
	return ret->jump[0] || (reading.accepts && !reading.condition);
}

/* ---- all of them ------------------------------------------------------------------------- */

static bool fits(const char *wanted, const char *name)
{
	size_t length = strlen(wanted);

	if (length > 0 && wanted[length - 1] == '*')
		return strncmp(wanted, name, length - 1) == 0;
	return length == 0 || strcmp(wanted, name) == 0;
}

struct search {
	const struct nft_survey *survey;
	const struct nft_survey_chain *from;
	const char *in, *out;
	bool followed[SURVEY_PASS_MAX]; /* once is enough, however many ways lead to it */
};

static bool is_rule_of(const struct nft_survey_pass *pass, const struct nft_survey_chain *from,
		       const char *chain)
{
	return pass->family == from->family && strcmp(pass->table, from->table) == 0 &&
	       strcmp(pass->chain, chain) == 0;
}

static bool lets_pass(struct search *search, const char *chain)
{
	for (size_t i = 0; i < search->survey->pass_count; i++) {
		const struct nft_survey_pass *pass = &search->survey->passes[i];

		if (search->followed[i] || !is_rule_of(pass, search->from, chain))
			continue;
		search->followed[i] = true;
		if (pass->jump[0] ? lets_pass(search, pass->jump)
				  : fits(pass->in, search->in) && fits(pass->out, search->out))
			return true;
	}
	return false;
}

bool nft_survey_lets_pass(const struct nft_survey *survey, const struct nft_survey_chain *chain,
			  const char *in, const char *out)
{
	struct search search = {.survey = survey, .from = chain, .in = in, .out = out};

	return survey->more || lets_pass(&search, chain->name);
}
