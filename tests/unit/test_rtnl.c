/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h> /* before linux/if.h */

#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include "lib/kernel/address.h"
#include "lib/kernel/link.h"
#include "lib/kernel/policy.h"
#include "lib/kernel/route.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/sysctl.h"
#include "lib/kernel/tunnel.h"

/* ---- the kernel's words ------------------------------------------------------------------- */

static struct nl_msg *refusal(int code, int flags, const void *request, size_t request_size)
{
	struct nlmsgerr error = {.error = code};
	struct nl_msg *msg;

	error.msg.nlmsg_len = (uint32_t)(sizeof(error.msg) + request_size);
	msg = rtnl_message(NLMSG_ERROR, flags, &error, sizeof(error));
	assert_non_null(msg);
	if (request_size)
		assert_int_equal(nlmsg_append(msg, (void *)request, request_size, NLMSG_ALIGNTO),
				 0);
	return msg;
}

static void test_words_with_and_without_the_request(void **state)
{
	const char request[12] = "request";
	char words[RTNL_WORDS_MAX];
	struct nl_msg *msg;

	msg = refusal(-EINVAL, NLM_F_ACK_TLVS, request, sizeof(request));
	nla_put_string(msg, NLMSGERR_ATTR_MSG, "Invalid prefix");
	rtnl_extack_words(nlmsg_hdr(msg), words);
	assert_string_equal(words, "Invalid prefix");
	nlmsg_free(msg);

	msg = refusal(-EINVAL, NLM_F_ACK_TLVS | NLM_F_CAPPED, NULL, 0);
	nla_put_u32(msg, NLMSGERR_ATTR_OFFS, 16);
	nla_put_string(msg, NLMSGERR_ATTR_MSG, "Invalid \x01prefix");
	rtnl_extack_words(nlmsg_hdr(msg), words);
	assert_string_equal(words, "Invalid ?prefix");
	nlmsg_free(msg);

	msg = refusal(-EINVAL, 0, NULL, 0);
	nla_put_string(msg, NLMSGERR_ATTR_MSG, "not announced by the flag");
	rtnl_extack_words(nlmsg_hdr(msg), words);
	assert_string_equal(words, "");
	nlmsg_free(msg);
}

static void test_words_of_a_lying_message(void **state)
{
	static const uint32_t lengths[] = {0, 1, 15, 17, 1000, 0x7fffffff, 0xffffffff, 0xfffffff1};
	char words[RTNL_WORDS_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct nl_msg *msg = refusal(-EINVAL, NLM_F_ACK_TLVS, NULL, 0);
		struct nlmsgerr *error = nlmsg_data(nlmsg_hdr(msg));

		nla_put_string(msg, NLMSGERR_ATTR_MSG, "words");
		error->msg.nlmsg_len = lengths[i];
		rtnl_extack_words(nlmsg_hdr(msg), words);
		assert_true(strlen(words) < RTNL_WORDS_MAX);
		for (uint32_t length = NLMSG_HDRLEN; length < nlmsg_hdr(msg)->nlmsg_len; length++) {
			struct nlmsghdr *cut = malloc(length);

			memcpy(cut, nlmsg_hdr(msg), length);
			cut->nlmsg_len = length;
			rtnl_extack_words(cut, words);
			free(cut);
		}
		nlmsg_free(msg);
	}
}

static void test_endless_words_are_cut(void **state)
{
	char words[RTNL_WORDS_MAX], endless[600];
	struct nl_msg *msg = refusal(-EPERM, NLM_F_ACK_TLVS | NLM_F_CAPPED, NULL, 0);

	memset(endless, 'x', sizeof(endless));
	nla_put(msg, NLMSGERR_ATTR_MSG, sizeof(endless), endless); /* not even terminated */
	rtnl_extack_words(nlmsg_hdr(msg), words);
	assert_int_equal(strlen(words), RTNL_WORDS_MAX - 1);
	nlmsg_free(msg);
}

/* ---- messages ---------------------------------------------------------------------------- */

/* Every parser gets every beginning of a message in storage of just that size: a sanitizer build
 * tells when one reads on. */
static void feed_beginnings(const struct nl_msg *msg)
{
	const struct nlmsghdr *whole = nlmsg_hdr((struct nl_msg *)msg);

	for (uint32_t length = NLMSG_HDRLEN; length <= whole->nlmsg_len; length++) {
		struct nlmsghdr *cut = malloc(length);
		struct address_info address;
		struct policy_info policy;
		struct route_info route;
		struct link_info link;

		memcpy(cut, whole, length);
		cut->nlmsg_len = length;
		(void)link_parse(cut, &link);
		(void)address_parse(cut, &address);
		(void)route_parse(cut, &route);
		(void)policy_parse(cut, &policy);
		free(cut);
	}
}

static void test_link_message(void **state)
{
	const struct ifinfomsg header = {
		.ifi_index = 7, .ifi_flags = IFF_UP | IFF_LOWER_UP, .ifi_family = AF_UNSPEC};
	struct in6_addr local, remote;
	struct nlattr *info, *data;
	struct link_info link;
	struct nl_msg *msg;

	inet_pton(AF_INET6, "2001:db8::1", &local);
	inet_pton(AF_INET6, "2001:db8::2", &remote);
	msg = rtnl_message(RTM_NEWLINK, 0, &header, sizeof(header));
	nla_put_string(msg, IFLA_IFNAME, "map0");
	nla_put_u32(msg, IFLA_MTU, 1460);
	nla_put_string(msg, IFLA_IFALIAS, "maped");
	info = nla_nest_start(msg, IFLA_LINKINFO);
	nla_put_string(msg, IFLA_INFO_KIND, "ip6tnl");
	data = nla_nest_start(msg, IFLA_INFO_DATA);
	nla_put_u32(msg, 1, 3);
	nla_put(msg, 2, sizeof(local), &local);
	nla_put(msg, 3, sizeof(remote), &remote);
	nla_put_u8(msg, 4, 64);
	nla_put_u32(msg, 8, 0x30001);
	nla_put_u8(msg, 9, 4);
	nla_nest_end(msg, data);
	nla_nest_end(msg, info);

	assert_int_equal(link_parse(nlmsg_hdr(msg), &link), 0);
	assert_int_equal(link.index, 7);
	assert_string_equal(link.name, "map0");
	assert_string_equal(link.kind, "ip6tnl");
	assert_string_equal(link.alias, "maped");
	assert_int_equal(link.mtu, 1460);
	assert_true(link.up && link.carrier && !link.loopback);
	assert_memory_equal(&link.tunnel.local, &local, sizeof(local));
	assert_memory_equal(&link.tunnel.remote, &remote, sizeof(remote));
	assert_int_equal(link.tunnel.parent, 3);
	assert_int_equal(link.tunnel.hop_limit, 64);
	assert_int_equal(link.tunnel.protocol, 4);
	assert_int_equal(link.tunnel.flags, 1); /* without what the kernel adds */
	feed_beginnings(msg);
	nlmsg_free(msg);
}

static void read_link_with_families(const void *inet6, int inet6_size, struct link_info *ret)
{
	const struct ifinfomsg header = {.ifi_index = 7, .ifi_family = AF_UNSPEC};
	struct nl_msg *msg = rtnl_message(RTM_NEWLINK, 0, &header, sizeof(header));
	struct nlattr *families;

	nla_put_string(msg, IFLA_IFNAME, "map0");
	families = nla_nest_start(msg, IFLA_AF_SPEC);
	nla_put_u32(msg, AF_INET, 0);
	if (inet6)
		nla_put(msg, AF_INET6, inet6_size, inet6);
	nla_nest_end(msg, families);
	assert_int_equal(link_parse(nlmsg_hdr(msg), ret), 0);
	nlmsg_free(msg);
}

/* Without IPv6 on the link there is no link-local address to switch off. */
static void test_link_without_ipv6(void **state)
{
	struct {
		struct nlattr head;
		uint8_t mode, pad[3];
	} inet6 = {.head = {NLA_HDRLEN + 1, IFLA_INET6_ADDR_GEN_MODE}};
	struct link_info link;

	read_link_with_families(NULL, 0, &link);
	assert_true(link.no_link_local);
	inet6.mode = IN6_ADDR_GEN_MODE_EUI64;
	read_link_with_families(&inet6, sizeof(inet6), &link);
	assert_false(link.no_link_local);
	inet6.mode = IN6_ADDR_GEN_MODE_NONE;
	read_link_with_families(&inet6, sizeof(inet6), &link);
	assert_true(link.no_link_local);
}

static void test_whose_tunnel(void **state)
{
	static const struct {
		struct link_info link;
		bool ours;
	} cases[] = {
		{{.name = "map0", .kind = "ip6tnl", .group = 77, .alias = "maped"}, true},
		{{.name = "old0", .kind = "ip6tnl", .group = 0, .alias = "maped"}, true},
		{{.name = "old0", .kind = "ip6tnl", .group = 77}, true}, /* half made */
		{{.name = "map0", .kind = "ip6tnl", .group = 77, .alias = "uplink"}, true},
		{{.name = "old0", .kind = "ip6tnl", .group = 77, .alias = "uplink"}, false},
		{{.name = "map0", .kind = "ip6tnl", .group = 0, .alias = "uplink"}, false},
		{{.name = "map0", .kind = "ip6tnl", .group = 0}, false},
		{{.name = "map0", .kind = "ip6gre", .group = 77, .alias = "uplink"}, false},
		{{.name = "map0", .kind = "veth", .group = 77}, false},
		{{.name = "map0", .kind = "ip6tnl", .group = 0, .alias = "MAPED"}, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(tunnel_is_ours(&cases[i].link, "map0"), cases[i].ours);
	assert_false(tunnel_is_ours(&cases[3].link, ""));
	assert_false(tunnel_is_ours(&cases[3].link, "map1"));
}

static void test_address_message(void **state)
{
	const struct ifaddrmsg header = {
		.ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = 3, .ifa_flags = 0x80};
	const struct ifa_cacheinfo times = {100, 200, 300, 400};
	struct address_info address;
	char text[ADDRESS_TEXT_MAX];
	struct in6_addr own;
	struct nl_msg *msg;

	inet_pton(AF_INET6, "2001:db8::5", &own);
	msg = rtnl_message(RTM_NEWADDR, 0, &header, sizeof(header));
	nla_put(msg, IFA_ADDRESS, sizeof(own), &own);
	nla_put(msg, IFA_CACHEINFO, sizeof(times), &times);
	nla_put_u32(msg, IFA_FLAGS, 0x302);
	nla_put_u8(msg, IFA_PROTO, 77);
	assert_int_equal(address_parse(nlmsg_hdr(msg), &address), 0);
	assert_string_equal(address_format(&address, text), "2001:db8::5/64");
	assert_int_equal(address.flags, 0x302); /* all 32 bits, not the header's 8 */
	assert_int_equal(address.protocol, 77);
	assert_int_equal(address.preferred_sec, 100);
	assert_int_equal(address.valid_sec, 200);
	assert_int_equal(address.created_cs, 300);
	assert_int_equal(address.updated_cs, 400);
	feed_beginnings(msg);
	nlmsg_free(msg);
}

static void test_route_message(void **state)
{
	const struct rtmsg header = {.rtm_family = AF_INET6,
				     .rtm_dst_len = 56,
				     .rtm_table = RT_TABLE_MAIN,
				     .rtm_protocol = RTPROT_DHCP,
				     .rtm_type = RTN_UNREACHABLE};
	const struct {
		struct rtnexthop first, second;
	} ways = {{.rtnh_len = sizeof(struct rtnexthop), .rtnh_ifindex = 3},
		  {.rtnh_len = sizeof(struct rtnexthop), .rtnh_ifindex = 4}};
	const struct rta_cacheinfo times = {.rta_expires = 1250};
	struct route_info route;
	struct in6_addr dst;
	struct nl_msg *msg;

	inet_pton(AF_INET6, "2001:db8:1:200::", &dst);
	msg = rtnl_message(RTM_NEWROUTE, 0, &header, sizeof(header));
	nla_put(msg, RTA_DST, sizeof(dst), &dst);
	nla_put_u32(msg, RTA_PRIORITY, 1024);
	nla_put(msg, RTA_MULTIPATH, sizeof(ways), &ways);
	nla_put(msg, RTA_CACHEINFO, sizeof(times), &times);
	assert_int_equal(route_parse(nlmsg_hdr(msg), &route), 0);
	assert_int_equal(route.table, RT_TABLE_MAIN);
	assert_int_equal(route.metric, 1024);
	assert_int_equal(route.oif, 3);
	assert_int_equal(route.oif_next, 4);
	assert_int_equal(route.expires_sec, 12);
	assert_memory_equal(&route.dst, &dst, sizeof(dst));
	feed_beginnings(msg);
	nlmsg_free(msg);
}

static void test_rule_message(void **state)
{
	const struct fib_rule_hdr header = {
		.family = AF_INET, .action = FR_ACT_TO_TBL, .table = 10};
	struct policy_info info;
	struct nl_msg *msg;

	msg = rtnl_message(RTM_NEWRULE, 0, &header, sizeof(header));
	nla_put_u32(msg, FRA_PRIORITY, 999);
	nla_put_u32(msg, FRA_FWMARK, 1000);
	nla_put_u32(msg, FRA_FWMASK, 0xffff);
	nla_put_u32(msg, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX);
	nla_put_u8(msg, FRA_PROTOCOL, 77);
	assert_int_equal(policy_parse(nlmsg_hdr(msg), &info), 0);
	assert_true(info.plain && !info.rule.suppress_default);
	assert_int_equal(info.rule.table, 10);
	assert_int_equal(info.rule.mark, 1000);
	assert_int_equal(info.protocol, 77);
	nla_put_string(msg, FRA_IIFNAME, "eth0");
	assert_int_equal(policy_parse(nlmsg_hdr(msg), &info), 0);
	assert_false(info.plain);
	feed_beginnings(msg);
	nlmsg_free(msg);
}

/* ---- the state file ---------------------------------------------------------------------- */

static int parse(const char *text, struct sysctl_record *ret, struct fault *fault)
{
	return sysctl_record_parse(text, strlen(text), ret, fault);
}

static void test_state_there_and_back(void **state)
{
	static const char text[] = "maped sysctl 1\n"
				   "net/ipv4/ip_forward 0 1\n"
				   "net/ipv4/conf/eth0.10/forwarding -1 2147483647\n"
				   "end\n";
	_cleanup_sysctl_record_ struct sysctl_record record = {0};
	_cleanup_text_ struct text again = TEXT_INIT;
	struct fault fault = {0};

	assert_int_equal(parse(text, &record, &fault), 0);
	assert_int_equal(record.count, 2);
	assert_int_equal(record.list[1].original, -1);
	sysctl_record_print(&record, &again);
	assert_string_equal(text_get(&again), text);
	/* Whatever is cut off, nothing is believed. */
	for (size_t length = 0; length < strlen(text); length++) {
		struct sysctl_record cut = {0};

		assert_int_equal(sysctl_record_parse(text, length, &cut, &fault), -EBADMSG);
		assert_null(cut.list);
	}
}

static void test_state_hostile(void **state)
{
	static const char *const texts[] = {
		"maped sysctl 2\nend\n",
		"maped sysctl 1\nkernel/core_pattern 1 2\nend\n",
		"maped sysctl 1\nnet/ipv4/../../kernel/panic 1 2\nend\n",
		"maped sysctl 1\nnet/ipv4/./ip_forward 1 2\nend\n",
		"maped sysctl 1\nnet/ipv4//ip_forward 1 2\nend\n",
		"maped sysctl 1\n/net/ipv4/ip_forward 1 2\nend\n",
		"maped sysctl 1\nnet/ipv4/ 1 2\nend\n",
		"maped sysctl 1\nnet/ipv4/ip_forward 1\nend\n",
		"maped sysctl 1\nnet/ipv4/ip_forward 1 2 3\nend\n",
		"maped sysctl 1\nnet/ipv4/ip_forward 1 x\nend\n",
		"maped sysctl 1\nnet/ipv4/ip_forward 0 1\nnet/ipv4/ip_forward 1 1\nend\n",
		("maped sysctl 1\nnet/ipv4/"
		 "0123456789012345678901234567890123456789012345678901234567890123456789 1 "
		 "2\nend\n"),
		"maped sysctl 1\nend\nmore\n",
		"maped sysctl 1\n\nend\n",
	};
	struct sysctl_record record = {0};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct fault fault = {0};

		assert_int_equal(parse(texts[i], &record, &fault), -EBADMSG);
		assert_non_null(strstr(fault.text, "saved kernel settings: "));
		assert_null(record.list);
	}
	assert_int_equal(sysctl_record_parse("maped sysctl 1\n\0end\n", 20, &record, NULL),
			 -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_with_and_without_the_request),
		cmocka_unit_test(test_words_of_a_lying_message),
		cmocka_unit_test(test_endless_words_are_cut),
		cmocka_unit_test(test_link_message),
		cmocka_unit_test(test_link_without_ipv6),
		cmocka_unit_test(test_whose_tunnel),
		cmocka_unit_test(test_address_message),
		cmocka_unit_test(test_route_message),
		cmocka_unit_test(test_rule_message),
		cmocka_unit_test(test_state_there_and_back),
		cmocka_unit_test(test_state_hostile),
	};

	return cmocka_run_group_tests_name("rtnl", tests, NULL, NULL);
}
