/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/addr.h>
#include <netlink/attr.h>
#include <netlink/route/rule.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void cleanup_addr(struct nl_addr **addr)
{
	if (*addr)
		nl_addr_put(*addr);
}

static void cleanup_rule(struct rtnl_rule **rule)
{
	if (*rule)
		rtnl_rule_put(*rule);
}

/* ---- reading ----------------------------------------------------------------------------- */

/* Attributes that a rule of ours may carry; any other narrows it to something else. */
static bool is_plain(const struct fib_rule_hdr *header, struct nlattr **tb)
{
	static const int narrowing[] = {
		FRA_DST,      FRA_IIFNAME,     FRA_OIFNAME,     FRA_GOTO,
		FRA_FLOW,     FRA_TUN_ID,      FRA_L3MDEV,      FRA_UID_RANGE,
		FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE, FRA_SUPPRESS_IFGROUP,
	};

	for (size_t i = 0; i < ARRAY_SIZE(narrowing); i++)
		if (tb[narrowing[i]])
			return false;
	return header->action == FR_ACT_TO_TBL && header->dst_len == 0 &&
	       header->src_len == (tb[FRA_SRC] ? 32 : 0) && header->tos == 0 &&
	       !(header->flags & FIB_RULE_INVERT);
}

int policy_parse(const struct nlmsghdr *message, struct policy_info *ret)
{
	static const struct nla_policy policy[FRA_MAX + 1] = {
		[FRA_SRC] = {.minlen = sizeof(struct in_addr)},
		[FRA_PRIORITY] = {.type = NLA_U32},
		[FRA_FWMARK] = {.type = NLA_U32},
		[FRA_FWMASK] = {.type = NLA_U32},
		[FRA_TABLE] = {.type = NLA_U32},
		[FRA_SUPPRESS_PREFIXLEN] = {.type = NLA_U32},
		[FRA_PROTOCOL] = {.type = NLA_U8},
	};
	const struct fib_rule_hdr *header = nlmsg_data(message);
	struct nlattr *tb[FRA_MAX + 1];
	struct policy_info info = {0};
	uint32_t suppress;

	if (nlmsg_parse((struct nlmsghdr *)message, sizeof(*header), tb, FRA_MAX, policy) < 0 ||
	    header->family != AF_INET)
		return -EBADMSG;
	info.plain = is_plain(header, tb);
	info.protocol = tb[FRA_PROTOCOL] ? nla_get_u8(tb[FRA_PROTOCOL]) : 0;
	info.rule.priority = tb[FRA_PRIORITY] ? nla_get_u32(tb[FRA_PRIORITY]) : 0;
	info.rule.table = tb[FRA_TABLE] ? nla_get_u32(tb[FRA_TABLE]) : header->table;
	info.rule.mark = tb[FRA_FWMARK] ? nla_get_u32(tb[FRA_FWMARK]) : 0;
	info.rule.mask = tb[FRA_FWMASK] ? nla_get_u32(tb[FRA_FWMASK]) : 0;
	if (tb[FRA_SRC])
		memcpy(&info.rule.source, nla_data(tb[FRA_SRC]), sizeof(info.rule.source));
	suppress =
		tb[FRA_SUPPRESS_PREFIXLEN] ? nla_get_u32(tb[FRA_SUPPRESS_PREFIXLEN]) : UINT32_MAX;
	info.rule.suppress_default = suppress == 0;
	if (suppress != 0 && suppress != UINT32_MAX)
		info.plain = false;
	*ret = info;
	return 0;
}

struct rules {
	struct policy_info *list;
	size_t count;
};

static void rules_done(struct rules *rules)
{
	free(rules->list);
}

static int keep(const struct nlmsghdr *message, void *userdata)
{
	struct rules *rules = userdata;
	struct policy_info info, *list;

	if (message->nlmsg_type != RTM_NEWRULE || policy_parse(message, &info) < 0)
		return 0;
	list = reallocarray(rules->list, rules->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	rules->list = list;
	rules->list[rules->count++] = info;
	return 0;
}

static void forget(void *userdata)
{
	((struct rules *)userdata)->count = 0;
}

static int read_rules(struct rtnl *nl, struct rules *ret, struct fault *reterr)
{
	const struct rtnl_reader reader = {keep, forget, ret};
	const struct fib_rule_hdr header = {.family = AF_INET};

	return rtnl_dump(nl, rtnl_message(RTM_GETRULE, 0, &header, sizeof(header)), &reader, reterr,
			 "read policy rules");
}

/* ---- messages ---------------------------------------------------------------------------- */

/* libnl has no setter for it. */
static int put_suppress(struct nl_msg *msg, const struct plan_rule *want)
{
	if (want->suppress_default && nla_put_u32(msg, FRA_SUPPRESS_PREFIXLEN, 0) < 0)
		return -ENOMEM;
	return 0;
}

static int put_source(struct rtnl_rule *rule, struct in_addr source)
{
	_cleanup_(cleanup_addr) struct nl_addr *addr =
		nl_addr_build(AF_INET, &source, sizeof(source));

	return addr && rtnl_rule_set_src(rule, addr) >= 0 ? 0 : -ENOMEM; /* takes a reference */
}

/* ip rule {add|del} priority … [from …] [fwmark …/…] lookup … [suppress_prefixlength 0] protocol 77
 */
static struct rtnl_rule *build(const struct policy_info *info)
{
	_cleanup_(cleanup_rule) struct rtnl_rule *rule = rtnl_rule_alloc();

	if (!rule)
		return NULL;
	rtnl_rule_set_family(rule, AF_INET);
	rtnl_rule_set_action(rule, FR_ACT_TO_TBL);
	rtnl_rule_set_prio(rule, info->rule.priority);
	rtnl_rule_set_table(rule, info->rule.table);
	if (info->rule.mask) {
		rtnl_rule_set_mark(rule, info->rule.mark);
		rtnl_rule_set_mask(rule, info->rule.mask);
	}
	if ((info->rule.source.s_addr && put_source(rule, info->rule.source) < 0) ||
	    rtnl_rule_set_protocol(rule, PLAN_PROTOCOL) < 0)
		return NULL;
	return TAKE_PTR(rule);
}

static struct nl_msg *add_message(const struct policy_info *info)
{
	_cleanup_(cleanup_rule) struct rtnl_rule *rule = build(info);
	_cleanup_nlmsg_ struct nl_msg *msg = NULL;

	if (!rule || rtnl_rule_build_add_request(rule, NLM_F_CREATE | NLM_F_EXCL, &msg) < 0 ||
	    put_suppress(msg, &info->rule) < 0)
		return NULL;
	return TAKE_PTR(msg);
}

static struct nl_msg *delete_message(const struct policy_info *info)
{
	_cleanup_(cleanup_rule) struct rtnl_rule *rule = build(info);
	_cleanup_nlmsg_ struct nl_msg *msg = NULL;

	if (!rule || rtnl_rule_build_delete_request(rule, 0, &msg) < 0 ||
	    put_suppress(msg, &info->rule) < 0)
		return NULL;
	return TAKE_PTR(msg);
}

/* ---- comparing --------------------------------------------------------------------------- */

bool policy_same(const struct plan_rule *a, const struct plan_rule *b)
{
	return a->priority == b->priority && a->table == b->table && a->mark == b->mark &&
	       a->mask == b->mask && a->source.s_addr == b->source.s_addr &&
	       a->suppress_default == b->suppress_default;
}

const char *policy_describe(const struct plan_rule *rule, char buffer[static POLICY_TEXT_MAX])
{
	char match[64], source[INET_ADDRSTRLEN];

	if (rule->source.s_addr)
		snprintf(match, sizeof(match), "from %s",
			 inet_ntop(AF_INET, &rule->source, source, sizeof(source)));
	else
		snprintf(match, sizeof(match), "fwmark 0x%x/0x%x", rule->mark, rule->mask);
	snprintf(buffer, POLICY_TEXT_MAX, "priority %u %s table %u%s", rule->priority, match,
		 rule->table, rule->suppress_default ? " suppress_prefixlength 0" : "");
	return buffer;
}

/* ---- steps ------------------------------------------------------------------------------- */

static bool stands(const struct rules *rules, const struct plan_rule *want)
{
	for (size_t i = 0; i < rules->count; i++)
		if (rules->list[i].plain && policy_same(&rules->list[i].rule, want))
			return true;
	return false;
}

int policy_ensure(struct rtnl *nl, const struct plan_rule *want, size_t count, struct fault *reterr)
{
	_cleanup_(rules_done) struct rules rules = {0};
	int changed = 0, r;

	if (count == 0)
		return 0;
	r = read_rules(nl, &rules, reterr);
	for (size_t i = 0; r >= 0 && i < count; i++) {
		const struct policy_info info = {.rule = want[i]};
		char text[POLICY_TEXT_MAX];

		if (stands(&rules, &want[i]))
			continue;
		r = rtnl_change(nl, add_message(&info), reterr, "add policy rule %s",
				policy_describe(&want[i], text));
		changed += r >= 0;
	}
	return r < 0 ? r : changed;
}

/* 1 when the kernel still shows it as ours, 0 when not. */
static int ours_still_stands(struct rtnl *nl, const struct plan_rule *rule)
{
	_cleanup_(rules_done) struct rules rules = {0};
	int r = read_rules(nl, &rules, NULL);

	for (size_t i = 0; r == 0 && i < rules.count; i++)
		r = rules.list[i].protocol == PLAN_PROTOCOL && rules.list[i].plain &&
		    policy_same(&rules.list[i].rule, rule);
	return r;
}

static int remove_one(struct rtnl *nl, const struct policy_info *info, struct fault *reterr)
{
	struct fault fault = {0};
	char text[POLICY_TEXT_MAX];
	int r = rtnl_change(nl, delete_message(info), &fault, "delete policy rule %s",
			    policy_describe(&info->rule, text));

	/* Gone by itself meanwhile? */
	if (r == -ENOENT && ours_still_stands(nl, &info->rule) == 0)
		return 0;
	if (r < 0 && reterr)
		*reterr = fault;
	return r < 0 ? r : 1;
}

/* Wanted, and the first of ours that says it. */
static bool is_kept(const struct rules *rules, size_t index, const struct plan_rule *want,
		    size_t count)
{
	const struct policy_info *info = &rules->list[index];
	bool wanted = false;

	for (size_t i = 0; i < count && info->plain; i++)
		wanted |= policy_same(&info->rule, &want[i]);
	for (size_t i = 0; i < index && wanted; i++)
		if (rules->list[i].protocol == PLAN_PROTOCOL && rules->list[i].plain &&
		    policy_same(&rules->list[i].rule, &info->rule))
			return false;
	return wanted;
}

int policy_prune(struct rtnl *nl, const struct plan_rule *want, size_t count, struct fault *reterr)
{
	_cleanup_(rules_done) struct rules rules = {0};
	int changed = 0, r;

	r = read_rules(nl, &rules, reterr);
	for (size_t i = 0; r >= 0 && i < rules.count; i++) {
		/* A rule that says more than ours can is none that we made. */
		if (rules.list[i].protocol != PLAN_PROTOCOL || !rules.list[i].plain ||
		    is_kept(&rules, i, want, count))
			continue;
		r = remove_one(nl, &rules.list[i], reterr);
		changed += r > 0;
	}
	return r < 0 ? r : changed;
}

int policy_sync(struct rtnl *nl, const struct plan_rule *want, size_t count, struct fault *reterr)
{
	int added, removed;

	added = policy_ensure(nl, want, count, reterr);
	if (added < 0)
		return added;
	removed = policy_prune(nl, want, count, reterr);
	return removed < 0 ? removed : added + removed;
}

int policy_stands(struct rtnl *nl, struct fault *reterr)
{
	_cleanup_(rules_done) struct rules rules = {0};
	int r = read_rules(nl, &rules, reterr);

	for (size_t i = 0; r == 0 && i < rules.count; i++)
		r = rules.list[i].protocol == PLAN_PROTOCOL && rules.list[i].plain;
	return r;
}
