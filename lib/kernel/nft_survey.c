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
#include "lib/kernel/nft_pass.h"

#define SURVEY_TRIES 5

struct survey {
	const char *own;
	struct nft_survey *out;
};

DEFINE_CLEANUP(struct mnl_socket *, mnl_socket_close);

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
		return MNL_CB_OK;
	if (survey->out->count == SURVEY_CHAIN_MAX) {
		survey->out->more = true;
		return MNL_CB_OK;
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
	return MNL_CB_OK;
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
		return MNL_CB_OK;
	if (strcmp(table, survey->own) != 0)
		take_pass(header->nfgen_family, table, nlh, expressions, survey->out);
	if (!rule_translates(expressions))
		return MNL_CB_OK;
	for (size_t i = 0; i < survey->out->count; i++) {
		struct nft_survey_chain *chain = &survey->out->chains[i];

		if (chain->nat && chain->family == header->nfgen_family &&
		    strcmp(chain->table, table) == 0)
			chain->translates = true;
	}
	return MNL_CB_OK;
}

static int dump(struct mnl_socket *socket, uint16_t type, mnl_cb_t take, struct survey *survey)
{
	_Alignas(struct nlmsghdr) char buffer[65536];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *header;
	ssize_t length;
	int r = MNL_CB_OK;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = type;
	header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	header->nfgen_family = NFPROTO_UNSPEC;
	header->version = NFNETLINK_V0;
	if (mnl_socket_sendto(socket, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (r > MNL_CB_STOP) {
		length = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (length < 0)
			return -errno;
		r = mnl_cb_run(buffer, (size_t)length, type, mnl_socket_get_portid(socket), take,
			       survey);
		if (r < 0)
			return -errno;
	}
	return 0;
}

static int survey_once(const char *own, struct nft_survey *ret)
{
	_cleanup_(mnl_socket_close_p) struct mnl_socket *socket =
		mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct survey survey = {own, ret};
	int r;

	*ret = (struct nft_survey){0};
	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	r = dump(socket, NFT_MSG_GETCHAIN, take_chain, &survey);
	return r < 0 ? r : dump(socket, NFT_MSG_GETRULE, take_rule, &survey);
}

int nft_survey_read(const char *own, struct nft_survey *ret, struct fault *reterr)
{
	struct nft_survey out;
	int r = -EINTR;

	/* A dump during which the rule set changed is void (NLM_F_DUMP_INTR). */
	for (int i = 0; i < SURVEY_TRIES && r == -EINTR; i++)
		r = survey_once(own, &out);
	if (r < 0)
		return fault_errno(reterr, r, "read the nftables of other programs");
	*ret = out;
	return 0;
}
