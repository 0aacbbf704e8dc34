/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/kernel/losses.h"
#include "lib/kernel/policy.h"

#define RECEIVE_COUNT  16
#define RECEIVE_SIZE   8192u
#define RECEIVE_BUFFER (4 * 1024 * 1024) /* of the kernel: some ten thousand events */
#define LINK_MAX       128

/* A link as last seen: most RTM_NEWLINK messages tell nothing new. */
struct seen_link {
	int index;
	char name[IFNAMSIZ];
	bool carries; /* up, with a carrier */
	uint64_t digest;
};

struct watch {
	struct nl_sock *socket;
	char *buffers; /* RECEIVE_COUNT of RECEIVE_SIZE */
	struct watch_counts counts;
	unsigned int news;
	char ppp[IFNAMSIZ]; /* of the expected plan */
	bool ppp_used;      /* which leads there */
	struct signs signs;
	struct losses losses;
	struct seen_link links[LINK_MAX];
	size_t link_count;
	size_t link_next; /* replaced next when the table is full */
};

/* ---- the socket -------------------------------------------------------------------------- */

#define OFFSET_TYPE    offsetof(struct nlmsghdr, nlmsg_type)
#define OFFSET_DST_LEN (NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_dst_len))
#define OFFSET_KIND    (NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_type))

/* Routes to anything but a default, unless unreachable, never get here: a routing daemon may change
 * a hundred thousand of them a second. Loads are big-endian, the message is not. */
static int drop_other_routes(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, OFFSET_TYPE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 4),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, OFFSET_DST_LEN),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, OFFSET_KIND),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RTN_UNREACHABLE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int join(struct nl_sock *socket)
{
	static const int groups[] = {
		RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
		RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_PREFIX, RTNLGRP_IPV4_NETCONF,
	};

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (nl_socket_add_memberships(socket, groups[i], 0) < 0)
			return errno ? -errno : -EIO;
	return 0;
}

struct watch *watch_new(void)
{
	return calloc(1, sizeof(struct watch));
}

int watch_open(struct watch **ret, struct fault *reterr)
{
	_cleanup_(watch_close_p) struct watch *watch = watch_new();
	const int size = RECEIVE_BUFFER;
	int fd, r;

	if (watch) {
		watch->socket = nl_socket_alloc();
		watch->buffers = malloc((size_t)RECEIVE_COUNT * RECEIVE_SIZE);
	}
	if (!watch || !watch->socket || !watch->buffers)
		return fault_errno(reterr, -ENOMEM, "open netlink event socket");
	errno = 0;
	if (nl_connect(watch->socket, NETLINK_ROUTE) < 0)
		return fault_errno(reterr, errno ? -errno : -EIO, "open netlink event socket");
	fd = nl_socket_get_fd(watch->socket);
	/* Neither is needed, both spare a fresh look at everything. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	(void)drop_other_routes(fd);
	r = join(watch->socket);
	if (r < 0)
		return fault_errno(reterr, r, "listen to netlink events");
	*ret = TAKE_PTR(watch);
	return 0;
}

void watch_close(struct watch *watch)
{
	if (!watch)
		return;
	if (watch->socket)
		nl_socket_free(watch->socket);
	free(watch->buffers);
	free(watch);
}

int watch_fd(const struct watch *watch)
{
	return nl_socket_get_fd(watch->socket);
}

struct watch_counts watch_counts(const struct watch *watch)
{
	return watch->counts;
}

/* ---- links ------------------------------------------------------------------------------- */

static uint64_t digest(const struct link_info *link)
{
	const unsigned char *p = (const unsigned char *)link;
	uint64_t sum = 14695981039346656037u; /* FNV-1a */

	for (size_t i = 0; i < sizeof(*link); i++)
		sum = (sum ^ p[i]) * 1099511628211u;
	return sum;
}

static struct seen_link *find_link(struct watch *watch, int index)
{
	for (size_t i = 0; i < watch->link_count; i++)
		if (watch->links[i].index == index)
			return &watch->links[i];
	return NULL;
}

static bool link_carries(const struct link_info *link)
{
	return link->up && link->carrier;
}

/* True when the link was not known to be just so. */
static bool remember_link(struct watch *watch, const struct link_info *link, bool gone)
{
	struct seen_link *seen = find_link(watch, link->index);
	uint64_t now = digest(link);

	if (gone) {
		if (seen)
			*seen = watch->links[--watch->link_count];
		return true;
	}
	if (seen && seen->digest == now)
		return false;
	if (!seen && watch->link_count < LINK_MAX)
		seen = &watch->links[watch->link_count++];
	if (!seen)
		seen = &watch->links[watch->link_next++ % LINK_MAX];
	seen->index = link->index;
	memcpy(seen->name, link->name, sizeof(seen->name));
	seen->carries = link_carries(link);
	seen->digest = now;
	return true;
}

static const char *link_name(struct watch *watch, int index, char buffer[static IFNAMSIZ])
{
	const struct seen_link *seen = index > 0 ? find_link(watch, index) : NULL;

	if (seen)
		return seen->name;
	return index > 0 && if_indextoname((unsigned int)index, buffer) ? buffer : "";
}

/* ---- one message ------------------------------------------------------------------------- */

static unsigned int news(struct watch *watch, unsigned int kind)
{
	watch->news |= kind;
	return kind;
}

/* The interface of a session that is still being negotiated: nothing is done on it before it
 * carries packets, and a look at it would be in the way of the one that matters. */
static bool is_rising_session(const struct watch *watch, const char *name, bool carries)
{
	return watch->ppp[0] && strcmp(name, watch->ppp) == 0 && !watch->ppp_used && !carries;
}

static unsigned int take_link(struct watch *watch, const struct nlmsghdr *message)
{
	bool gone = message->nlmsg_type == RTM_DELLINK;
	const struct ifinfomsg *header = nlmsg_data(message);
	struct link_info link;

	/* A bridge tells about its ports in messages of its own family. */
	if (nlmsg_datalen(message) < (int)sizeof(*header) || header->ifi_family != AF_UNSPEC ||
	    link_parse(message, &link) < 0)
		return 0;
	signs_take_link(&watch->signs, &link, gone);
	if (!remember_link(watch, &link, gone))
		return 0;
	if (losses_take_link(&watch->losses, &link, gone))
		return WATCH_LINK;
	if (!gone && is_rising_session(watch, link.name, link_carries(&link)))
		return 0;
	return news(watch, WATCH_LINK);
}

/* An address that the session's interface has, or had, while that carries packets. */
static bool is_of_session(struct watch *watch, int index, const char *name)
{
	const struct seen_link *seen = find_link(watch, index);

	return watch->ppp[0] && strcmp(name, watch->ppp) == 0 &&
	       !is_rising_session(watch, name, !seen || seen->carries);
}

static unsigned int take_address(struct watch *watch, const struct nlmsghdr *message,
				 uint64_t now_usec)
{
	bool gone = message->nlmsg_type == RTM_DELADDR;
	struct address_info address;
	char buffer[IFNAMSIZ];
	const char *name;

	if (address_parse(message, &address) < 0)
		return 0;
	name = link_name(watch, address.index, buffer);
	signs_take_address(&watch->signs, &address, gone, now_usec);
	if (losses_take_address(&watch->losses, &address, name, gone))
		return WATCH_ADDRESS;
	if (address.protocol == PLAN_PROTOCOL)
		return WATCH_ADDRESS;
	if (address.family == AF_INET)
		return is_of_session(watch, address.index, name) ? news(watch, WATCH_ADDRESS) : 0;
	return in6_is_global(&address.ip6) ? news(watch, WATCH_ADDRESS) : 0;
}

static enum route_event route_event(const struct nlmsghdr *message)
{
	if (message->nlmsg_type == RTM_DELROUTE)
		return ROUTE_GONE;
	return message->nlmsg_flags & NLM_F_REPLACE ? ROUTE_REPLACES : ROUTE_NEW;
}

static unsigned int take_route(struct watch *watch, const struct nlmsghdr *message,
			       uint64_t now_usec)
{
	enum route_event event = route_event(message);
	struct route_info route;
	char buffer[IFNAMSIZ];

	if (route_parse(message, &route) < 0)
		return 0;
	if (signs_is_delegation(&route)) {
		signs_take_route(&watch->signs, &route, event == ROUTE_GONE,
				 event == ROUTE_REPLACES, now_usec);
		return news(watch, WATCH_ROUTE);
	}
	if (losses_take_route(&watch->losses, &route, link_name(watch, route.oif, buffer), event))
		return WATCH_ROUTE;
	return route.dst_len == 0 && route.table == RT_TABLE_MAIN ? news(watch, WATCH_ROUTE) : 0;
}

static unsigned int take_rule(struct watch *watch, const struct nlmsghdr *message)
{
	struct policy_info info;

	if (policy_parse(message, &info) < 0)
		return 0;
	return losses_take_rule(&watch->losses, &info, message->nlmsg_type == RTM_DELRULE)
		       ? WATCH_RULE
		       : 0;
}

/* Sent for forwarding and rp_filter, whoever writes them (net/ipv4/devinet.c). Each message carries
 * the one setting that was written. */
static unsigned int take_setting(struct watch *watch, const struct nlmsghdr *message)
{
	static const struct nla_policy policy[NETCONFA_MAX + 1] = {
		[NETCONFA_IFINDEX] = {.type = NLA_U32},
		[NETCONFA_FORWARDING] = {.type = NLA_U32},
		[NETCONFA_RP_FILTER] = {.type = NLA_U32},
	};
	const struct netconfmsg *header = nlmsg_data(message);
	struct nlattr *tb[NETCONFA_MAX + 1];
	char path[64], buffer[IFNAMSIZ];
	const char *name;
	bool altered = false;
	int index;

	if (nlmsg_parse((struct nlmsghdr *)message, sizeof(*header), tb, NETCONFA_MAX, policy) <
		    0 ||
	    header->ncm_family != AF_INET || !tb[NETCONFA_IFINDEX])
		return 0;
	index = (int)nla_get_u32(tb[NETCONFA_IFINDEX]);
	if (tb[NETCONFA_FORWARDING] && index == NETCONFA_IFINDEX_ALL)
		altered = losses_take_setting(&watch->losses, "net/ipv4/ip_forward",
					      (int)nla_get_u32(tb[NETCONFA_FORWARDING]));
	if (tb[NETCONFA_RP_FILTER]) {
		name = index == NETCONFA_IFINDEX_ALL ? "all" : link_name(watch, index, buffer);
		snprintf(path, sizeof(path), "net/ipv4/conf/%.*s/rp_filter", IFNAMSIZ - 1, name);
		altered |= losses_take_setting(&watch->losses, path,
					       (int)nla_get_u32(tb[NETCONFA_RP_FILTER]));
	}
	return altered ? WATCH_SETTING : 0;
}

static unsigned int take_message(struct watch *watch, const struct nlmsghdr *message,
				 uint64_t now_usec)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return take_link(watch, message);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return take_address(watch, message, now_usec);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return take_route(watch, message, now_usec);
	case RTM_NEWRULE:
	case RTM_DELRULE:
		return take_rule(watch, message);
	case RTM_NEWNETCONF:
		return take_setting(watch, message);
	case RTM_NEWPREFIX:
		return signs_take_prefix(&watch->signs, message, now_usec)
			       ? news(watch, WATCH_PREFIX)
			       : 0;
	default:
		return 0;
	}
}

int watch_feed(struct watch *watch, const void *data, size_t length, uint64_t now_usec)
{
	struct nlmsghdr *message = (struct nlmsghdr *)data;
	unsigned int mask = 0, one;
	int left = (int)length;

	for (; nlmsg_ok(message, left); message = nlmsg_next(message, &left)) {
		one = take_message(watch, message, now_usec);
		watch->counts.seen++;
		watch->counts.relevant += one != 0;
		mask |= one;
	}
	return (int)mask;
}

/* Messages were lost. What is believed of a link may be over, so that its next message is news. */
static unsigned int overrun(struct watch *watch)
{
	watch->link_count = 0;
	return news(watch, WATCH_OVERRUN);
}

/* ---- many -------------------------------------------------------------------------------- */

struct batch {
	struct mmsghdr messages[RECEIVE_COUNT];
	struct iovec data[RECEIVE_COUNT];
	struct sockaddr_nl from[RECEIVE_COUNT];
};

static int receive(struct watch *watch, struct batch *batch)
{
	int n;

	*batch = (struct batch){0};
	for (size_t i = 0; i < RECEIVE_COUNT; i++) {
		batch->data[i] = (struct iovec){watch->buffers + i * RECEIVE_SIZE, RECEIVE_SIZE};
		batch->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &batch->from[i],
			.msg_namelen = sizeof(batch->from[i]),
			.msg_iov = &batch->data[i],
			.msg_iovlen = 1,
		};
	}
	do
		n = recvmmsg(watch_fd(watch), batch->messages, RECEIVE_COUNT, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static unsigned int take_batch(struct watch *watch, const struct batch *batch, int count,
			       uint64_t now_usec)
{
	unsigned int mask = 0;

	for (int i = 0; i < count; i++) {
		const struct mmsghdr *one = &batch->messages[i];

		if (batch->from[i].nl_pid != 0) /* not from the kernel */
			continue;
		if (one->msg_hdr.msg_flags & MSG_TRUNC)
			mask |= overrun(watch);
		else
			mask |= (unsigned int)watch_feed(watch, batch->data[i].iov_base,
							 one->msg_len, now_usec);
	}
	return mask;
}

int watch_dispatch(struct watch *watch, uint64_t now_usec, struct fault *reterr)
{
	unsigned int mask = 0;
	struct batch batch;

	for (int read = 0; read < WATCH_BATCH;) {
		int n = receive(watch, &batch);

		if (n == -EAGAIN || n == 0)
			break;
		if (n == -ENOBUFS) {
			watch->counts.overruns++;
			mask |= overrun(watch);
			read++;
			continue;
		}
		if (n < 0)
			return fault_errno(reterr, n, "read netlink events");
		mask |= take_batch(watch, &batch, n, now_usec);
		read += n;
		if (n < RECEIVE_COUNT)
			break;
	}
	return (int)mask;
}

unsigned int watch_take_news(struct watch *watch)
{
	unsigned int mask = watch->news;

	watch->news = 0;
	return mask;
}

/* ---- what is remembered ------------------------------------------------------------------ */

void watch_expect(struct watch *watch, const struct plan *plan)
{
	losses_expect(&watch->losses, plan);
	memcpy(watch->ppp, plan->nat.pppoe.interface, sizeof(watch->ppp));
	watch->ppp_used = false;
	for (size_t i = 0; i < plan->route_count; i++)
		watch->ppp_used |= strcmp(plan->routes[i].interface, watch->ppp) == 0;
}

void watch_expect_addresses(struct watch *watch, const struct address_ours *ours)
{
	losses_expect_addresses(&watch->losses, ours);
}

bool watch_check_settings(struct watch *watch)
{
	return losses_check_settings(&watch->losses);
}

void watch_take_losses(struct watch *watch, struct text *out)
{
	losses_move(&watch->losses, out);
}

bool watch_has_losses(const struct watch *watch)
{
	return watch->losses.count > 0;
}

void watch_compare_links(struct watch *watch, const struct link_list *links)
{
	signs_compare_links(&watch->signs, links);
}

const struct signs *watch_signs(struct watch *watch, uint64_t now_usec)
{
	signs_expire(&watch->signs, now_usec);
	return &watch->signs;
}

void watch_recall(struct watch *watch, const struct announcement *one)
{
	signs_recall(&watch->signs, one);
}
