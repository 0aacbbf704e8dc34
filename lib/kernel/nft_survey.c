/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_survey.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/macro.h"
#include "lib/kernel/nfnl.h"
#include "lib/kernel/nft_attribute.h"
#include "lib/kernel/nft_pass.h"

#define SURVEY_TRIES 5
#define SURVEY_WHAT  "read the nftables of other programs"

struct survey {
	const char *own;
	struct nft_survey *out;
};

static int take_chain(const struct nlmsghdr *nlh, void *data)
{
	const struct nfgenmsg *header = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *hook = nft_attribute(nlh, NFTA_CHAIN_HOOK);
	const struct nlattr *policy = nft_attribute(nlh, NFTA_CHAIN_POLICY);
	struct survey *survey = data;
	struct nft_survey_chain *chain;
	const char *table = nft_text(nft_attribute(nlh, NFTA_CHAIN_TABLE));

	if (!hook || strcmp(table, survey->own) == 0 ||
	    (header->nfgen_family != NFPROTO_IPV4 && header->nfgen_family != NFPROTO_INET))
		return 0;
	if (survey->out->count == SURVEY_CHAIN_MAX) {
		survey->out->more = true;
		return 0;
	}
	chain = &survey->out->chains[survey->out->count++];
	*chain = (struct nft_survey_chain){
		.family = header->nfgen_family,
		.nat = strcmp(nft_text(nft_attribute(nlh, NFTA_CHAIN_TYPE)), "nat") == 0,
		.hook = nft_number(nft_nested(hook, NFTA_HOOK_HOOKNUM)),
		.priority = (int32_t)nft_number(nft_nested(hook, NFTA_HOOK_PRIORITY)),
		.drops = policy && nft_number(policy) == NF_DROP,
	};
	snprintf(chain->table, sizeof(chain->table), "%s", table);
	snprintf(chain->name, sizeof(chain->name), "%s",
		 nft_text(nft_attribute(nlh, NFTA_CHAIN_NAME)));
	return 0;
}

static bool rule_translates(const struct nlattr *expressions)
{
	const struct nlattr *element;

	mnl_attr_for_each_nested(element, expressions)
	{
		const char *name = nft_text(nft_nested(element, NFTA_EXPR_NAME));
		const struct nlattr *data = nft_nested(element, NFTA_EXPR_DATA);

		if (strcmp(name, "masq") == 0)
			return true;
		if (strcmp(name, "nat") == 0 && data &&
		    nft_number(nft_nested(data, NFTA_NAT_TYPE)) == NFT_NAT_SNAT)
			return true;
		/* iptables-nft: the target is named inside (xt_MASQUERADE, xt_nat). */
		if (strcmp(name, "target") == 0 && data) {
			const char *target = nft_text(nft_nested(data, NFTA_TARGET_NAME));

			if (strcmp(target, "MASQUERADE") == 0 || strcmp(target, "SNAT") == 0)
				return true;
		}
	}
	return false;
}

static void take_pass(uint8_t family, const char *table, const struct nlmsghdr *nlh,
		      const struct nlattr *expressions, struct nft_survey *out)
{
	struct nft_survey_pass pass = {.family = family};

	if (!nft_pass_read(expressions, &pass))
		return;
	if (out->pass_count == SURVEY_PASS_MAX) {
		out->more = true;
		return;
	}
	snprintf(pass.table, sizeof(pass.table), "%s", table);
	snprintf(pass.chain, sizeof(pass.chain), "%s",
		 nft_text(nft_attribute(nlh, NFTA_RULE_CHAIN)));
	out->passes[out->pass_count++] = pass;
}

static int take_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct nfgenmsg *header = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *expressions = nft_attribute(nlh, NFTA_RULE_EXPRESSIONS);
	const char *table = nft_text(nft_attribute(nlh, NFTA_RULE_TABLE));
	struct survey *survey = data;

	if (!expressions)
		return 0;
	if (strcmp(table, survey->own) != 0)
		take_pass(header->nfgen_family, table, nlh, expressions, survey->out);
	if (!rule_translates(expressions))
		return 0;
	for (size_t i = 0; i < survey->out->count; i++) {
		struct nft_survey_chain *chain = &survey->out->chains[i];

		if (chain->nat && chain->family == header->nfgen_family &&
		    strcmp(chain->table, table) == 0)
			chain->translates = true;
	}
	return 0;
}

static int dump(struct nfnl *nl, uint16_t type, nfnl_handler take, struct survey *survey)
{
	_Alignas(struct nlmsghdr) char buffer[256] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *header;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = nfnl_take_sequence(nl, 1);
	header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	header->nfgen_family = NFPROTO_UNSPEC;
	header->version = NFNETLINK_V0;
	return nfnl_ask(nl, nlh, take, survey, SURVEY_WHAT, NULL);
}

static int survey_once(struct nfnl *nl, const char *own, struct nft_survey *ret)
{
	struct survey survey = {own, ret};
	int r;

	*ret = (struct nft_survey){0};
	r = dump(nl, NFT_MSG_GETCHAIN, take_chain, &survey);
	return r < 0 ? r : dump(nl, NFT_MSG_GETRULE, take_rule, &survey);
}

int nft_survey_read(const char *own, struct nft_survey *ret, struct fault *reterr)
{
	_cleanup_(nfnl_close_p) struct nfnl *nl = NULL;
	struct nft_survey out;
	int r = nfnl_open(SURVEY_WHAT, &nl, reterr);

	if (r < 0)
		return r;
	/* A dump during which the rule set changed is void (NLM_F_DUMP_INTR). */
	r = -EINTR;
	for (int i = 0; i < SURVEY_TRIES && r == -EINTR; i++)
		r = survey_once(nl, own, &out);
	if (r < 0)
		return fault_errno(reterr, r, SURVEY_WHAT);
	*ret = out;
	return 0;
}
