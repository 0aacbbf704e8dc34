/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/rtnl.h"

#include <errno.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The kernel fills at most this much of a dump at a time (netlink_dump in af_netlink.c). */
#define RECEIVE_SIZE     32768u
#define ANSWER_LIMIT_SEC 5 /* rtnetlink answers within the call; a silence means a lost answer */

struct rtnl {
	struct nl_sock *socket;
	char *buffer; /* RECEIVE_SIZE */
	uint64_t changes, requests;
	rtnl_send_hook hook;
	void *hook_userdata;
};

/* What came back for one request, apart from its messages. */
struct outcome {
	bool interrupted;
	char words[RTNL_WORDS_MAX];
};

static void set_option(int fd, int option)
{
	const int on = 1;

	/* Each option makes answers better, none is needed: older kernels go without. */
	(void)setsockopt(fd, SOL_NETLINK, option, &on, sizeof(on));
}

int rtnl_open(struct rtnl **ret, struct fault *reterr)
{
	const struct timeval limit = {.tv_sec = ANSWER_LIMIT_SEC};
	_cleanup_(rtnl_close_p) struct rtnl *nl = calloc(1, sizeof(*nl));
	int fd;

	if (nl) {
		nl->buffer = malloc(RECEIVE_SIZE);
		nl->socket = nl_socket_alloc();
	}
	if (!nl || !nl->buffer || !nl->socket)
		return fault_errno(reterr, -ENOMEM, "open netlink socket");
	errno = 0;
	if (nl_connect(nl->socket, NETLINK_ROUTE) < 0)
		return fault_errno(reterr, errno ? -errno : -EIO, "open netlink socket");
	fd = nl_socket_get_fd(nl->socket);
	set_option(fd, NETLINK_EXT_ACK);
	set_option(fd, NETLINK_CAP_ACK);
	set_option(fd, NETLINK_GET_STRICT_CHK);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return fault_errno(reterr, -errno, "set up netlink socket");
	*ret = TAKE_PTR(nl);
	return 0;
}

void rtnl_close(struct rtnl *nl)
{
	if (!nl)
		return;
	if (nl->socket)
		nl_socket_free(nl->socket);
	free(nl->buffer);
	free(nl);
}

uint64_t rtnl_changes(const struct rtnl *nl)
{
	return nl->changes;
}

uint64_t rtnl_requests(const struct rtnl *nl)
{
	return nl->requests;
}

void rtnl_set_send_hook(struct rtnl *nl, rtnl_send_hook hook, void *userdata)
{
	nl->hook = hook;
	nl->hook_userdata = userdata;
}

struct nl_msg *rtnl_message(int type, int flags, const void *header, size_t size)
{
	_cleanup_nlmsg_ struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

	if (!msg || nlmsg_append(msg, (void *)header, size, NLMSG_ALIGNTO) < 0)
		return NULL;
	return TAKE_PTR(msg);
}

/* ---- answers ----------------------------------------------------------------------------- */

void rtnl_extack_words(const struct nlmsghdr *message, char ret[static RTNL_WORDS_MAX])
{
	const struct nlmsgerr *error = nlmsg_data(message);
	size_t length = (size_t)nlmsg_datalen(message), skip;
	struct nlattr *attr;

	ret[0] = '\0';
	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (message->nlmsg_type == NLMSG_ERROR) {
		skip = sizeof(*error);
		if (length < skip)
			return;
		/* The request is repeated behind its header unless NETLINK_CAP_ACK worked. */
		if (!(message->nlmsg_flags & NLM_F_CAPPED)) {
			if (error->msg.nlmsg_len < NLMSG_HDRLEN)
				return;
			skip += NLMSG_ALIGN((size_t)error->msg.nlmsg_len) - NLMSG_HDRLEN;
		}
	} else {
		skip = sizeof(int);
	}
	if (length <= skip)
		return;
	attr = nla_find((struct nlattr *)((char *)nlmsg_data(message) + skip), (int)(length - skip),
			NLMSGERR_ATTR_MSG);
	if (!attr)
		return;
	snprintf(ret, RTNL_WORDS_MAX, "%.*s", nla_len(attr), (const char *)nla_data(attr));
	for (char *p = ret; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

/* 1 = goes on, 0 or negative errno = the answer is complete. */
static int read_message(const struct nlmsghdr *message, const struct rtnl_reader *reader,
			int *failed, struct outcome *outcome)
{
	int code, r;

	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		outcome->interrupted = true;
	switch (message->nlmsg_type) {
	case NLMSG_NOOP:
		return 1;
	case NLMSG_OVERRUN:
		return -ENOBUFS;
	case NLMSG_ERROR:
	case NLMSG_DONE:
		if (nlmsg_datalen(message) < (int)sizeof(code))
			return message->nlmsg_type == NLMSG_DONE ? *failed : -EBADMSG;
		memcpy(&code, nlmsg_data(message), sizeof(code));
		rtnl_extack_words(message, outcome->words);
		return code < 0 ? code : *failed;
	default:
		if (*failed == 0 && reader) {
			r = reader->message(message, reader->userdata);
			if (r < 0)
				*failed = r;
		}
		return 1;
	}
}

static int read_datagram(struct rtnl *nl, size_t length, uint32_t sequence,
			 const struct rtnl_reader *reader, int *failed, struct outcome *outcome)
{
	struct nlmsghdr *message = (struct nlmsghdr *)nl->buffer;
	int left = (int)length, r;

	for (; nlmsg_ok(message, left); message = nlmsg_next(message, &left)) {
		/* What belongs to an earlier request whose answer was given up. */
		if (message->nlmsg_seq != sequence ||
		    message->nlmsg_pid != nl_socket_get_local_port(nl->socket))
			continue;
		r = read_message(message, reader, failed, outcome);
		if (r <= 0)
			return r;
	}
	return 1;
}

static int read_answer(struct rtnl *nl, uint32_t sequence, const struct rtnl_reader *reader,
		       struct outcome *outcome)
{
	int failed = 0, r;

	for (;;) {
		struct sockaddr_nl from = {0};
		struct iovec data = {nl->buffer, RECEIVE_SIZE};
		struct msghdr header = {
			.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &data,
			.msg_iovlen = 1,
		};
		ssize_t n = recvmsg(nl_socket_get_fd(nl->socket), &header, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (header.msg_flags & MSG_TRUNC)
			return -EMSGSIZE;
		if (header.msg_namelen != sizeof(from) || from.nl_pid != 0)
			continue; /* not from the kernel */
		r = read_datagram(nl, (size_t)n, sequence, reader, &failed, outcome);
		if (r <= 0)
			return r;
	}
}

static int exchange(struct rtnl *nl, struct nl_msg *msg, const struct rtnl_reader *reader,
		    bool changes, struct outcome *outcome)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct nlmsghdr *request = nlmsg_hdr(msg);
	ssize_t n;
	int r;

	*outcome = (struct outcome){0};
	request->nlmsg_seq = nl_socket_use_seq(nl->socket);
	request->nlmsg_pid = nl_socket_get_local_port(nl->socket);
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (nl->hook) {
		r = nl->hook(request, nl->hook_userdata);
		if (r < 0)
			return r;
	}
	nl->requests++;
	if (changes)
		nl->changes++;
	do
		n = sendto(nl_socket_get_fd(nl->socket), request, request->nlmsg_len, 0,
			   (const struct sockaddr *)&kernel, sizeof(kernel));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return read_answer(nl, request->nlmsg_seq, reader, outcome);
}

/* ---- requests ---------------------------------------------------------------------------- */

static int fail(struct fault *reterr, int code, const struct outcome *outcome, const char *format,
		va_list ap) _printf_(4, 0);

static int fail(struct fault *reterr, int code, const struct outcome *outcome, const char *format,
		va_list ap)
{
	char what[200];

	vsnprintf(what, sizeof(what), format, ap);
	if (outcome->words[0])
		return fault_set(reterr, code, "%s: %s (%s)", what, outcome->words,
				 strerror(-code));
	return fault_errno(reterr, code, "%s", what);
}

int rtnl_change(struct rtnl *nl, struct nl_msg *msg, struct fault *reterr, const char *format, ...)
{
	_cleanup_nlmsg_ struct nl_msg *owned = msg;
	struct outcome outcome = {0};
	va_list ap;
	int r;

	r = owned ? exchange(nl, owned, NULL, true, &outcome) : -ENOMEM;
	if (r < 0) {
		va_start(ap, format);
		fail(reterr, r, &outcome, format, ap);
		va_end(ap);
	}
	return r;
}

int rtnl_query(struct rtnl *nl, struct nl_msg *msg, const struct rtnl_reader *reader,
	       struct fault *reterr, const char *format, ...)
{
	_cleanup_nlmsg_ struct nl_msg *owned = msg;
	struct outcome outcome = {0};
	va_list ap;
	int r;

	r = owned ? exchange(nl, owned, reader, false, &outcome) : -ENOMEM;
	if (r < 0) {
		va_start(ap, format);
		fail(reterr, r, &outcome, format, ap);
		va_end(ap);
	}
	return r;
}

static int dump_until_whole(struct rtnl *nl, struct nl_msg *msg, const struct rtnl_reader *reader,
			    struct outcome *outcome)
{
	int r;

	for (int i = 0; i < RTNL_DUMP_TRIES; i++) {
		if (i > 0 && reader->restart)
			reader->restart(reader->userdata);
		r = exchange(nl, msg, reader, false, outcome);
		if (r == -ENOBUFS || (r == 0 && outcome->interrupted))
			continue;
		return r;
	}
	return r < 0 ? r : -EAGAIN;
}

int rtnl_dump(struct rtnl *nl, struct nl_msg *msg, const struct rtnl_reader *reader,
	      struct fault *reterr, const char *format, ...)
{
	_cleanup_nlmsg_ struct nl_msg *owned = msg;
	struct outcome outcome = {0};
	va_list ap;
	int r = -ENOMEM;

	if (owned) {
		nlmsg_hdr(owned)->nlmsg_flags |= NLM_F_DUMP;
		r = dump_until_whole(nl, owned, reader, &outcome);
	}
	if (r < 0) {
		va_start(ap, format);
		fail(reterr, r, &outcome, format, ap);
		va_end(ap);
	}
	return r;
}
