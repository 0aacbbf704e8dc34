/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nfnl.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define ANSWER_LIMIT_SEC 5 /* a silence means a lost answer */
/* A transaction is one datagram; 65536 ports make some megabytes. */
#define SEND_SPACE (16 * 1024 * 1024)
#define CODE_MAX   4095 /* include/linux/err.h MAX_ERRNO */

struct nfnl {
	struct mnl_socket *socket;
	uint32_t sequence;
};

void nfnl_close(struct nfnl *nl)
{
	if (!nl)
		return;
	if (nl->socket)
		mnl_socket_close(nl->socket);
	free(nl);
}

static void set_options(struct mnl_socket *socket)
{
	const struct timeval limit = {.tv_sec = ANSWER_LIMIT_SEC};
	int fd = mnl_socket_get_fd(socket), yes = 1, space = SEND_SPACE;

	/* Each makes answers better, none is needed: older kernels go without. */
	(void)mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &yes, sizeof(yes));
	(void)mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &yes, sizeof(yes));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &space, sizeof(space));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof(space));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

int nfnl_open(const char *what, struct nfnl **ret, struct fault *reterr)
{
	_cleanup_(nfnl_close_p) struct nfnl *nl = calloc(1, sizeof(*nl));

	if (!nl)
		return fault_errno(reterr, -ENOMEM, "%s", what);
	nl->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nl->socket || mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return fault_errno(reterr, -errno, "%s", what);
	set_options(nl->socket);
	nl->sequence = (uint32_t)time(NULL);
	*ret = TAKE_PTR(nl);
	return 0;
}

uint32_t nfnl_take_sequence(struct nfnl *nl, uint32_t count)
{
	uint32_t first = nl->sequence + 1;

	nl->sequence += count;
	return first;
}

const struct nlmsghdr *nfnl_take_message(const void **data, size_t *length)
{
	const struct nlmsghdr *nlh = *data;
	size_t step;

	if (*length < sizeof(*nlh) || nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > *length)
		return NULL;
	step = MIN_OF((size_t)MNL_ALIGN(nlh->nlmsg_len), *length);
	*data = (const uint8_t *)*data + step;
	*length -= step;
	return nlh;
}

/* ---- what the kernel says -------------------------------------------------------------------- */

static bool is_code(int code)
{
	return code <= 0 && code >= -CODE_MAX;
}

/* Has what everybody reads of a message of this type. */
static bool is_whole(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	size_t length = mnl_nlmsg_get_payload_len(nlh);

	if (nlh->nlmsg_type == NLMSG_ERROR)
		return length >= sizeof(*error) && is_code(error->error);
	return nlh->nlmsg_type < NLMSG_MIN_TYPE || length >= sizeof(struct nfgenmsg);
}

/* The kernel's own sentence, behind the message it answers (capped or not). "" when it gave none.
 */
static const char *extended_ack(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	size_t offset = sizeof(*error);
	const struct nlattr *attr;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return "";
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		offset += (size_t)error->msg.nlmsg_len - sizeof(struct nlmsghdr);
	if (offset < sizeof(*error) || offset > mnl_nlmsg_get_payload_len(nlh))
		return "";
	mnl_attr_for_each(attr, nlh, offset)
	{
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			return mnl_attr_get_str(attr);
	}
	return "";
}

int nfnl_fault(const struct nlmsghdr *nlh, const char *what, struct fault *reterr)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	const char *words = extended_ack(nlh);

	if (words[0])
		return fault_set(reterr, error->error, "%s: %s (%s)", what, strerror(-error->error),
				 words);
	return fault_errno(reterr, error->error, "%s", what);
}

static ssize_t receive(const struct nfnl *nl, void *buffer, int flags)
{
	ssize_t length;

	do
		length = recv(mnl_socket_get_fd(nl->socket), buffer, NFNL_DATAGRAM_MAX, flags);
	while (length < 0 && errno == EINTR);
	return length < 0 ? -errno : length;
}

/* What is being asked. */
struct talk {
	uint32_t sequence;
	nfnl_handler handler;
	void *userdata;
	const char *what;
	bool interrupted;
};

/* A dump that failed half-way says so at its end. */
static int done_code(const struct nlmsghdr *nlh, const char *what, struct fault *reterr)
{
	int code = 0;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(code))
		memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
	if (!is_code(code))
		code = -EBADMSG;
	return code < 0 ? fault_errno(reterr, code, "%s", what) : 0;
}

/* 1 = goes on, 0 or negative errno = the answer is complete. */
static int hear(struct talk *talk, const struct nlmsghdr *nlh, struct fault *reterr)
{
	const struct nlmsgerr *error;
	int r;

	if (nlh->nlmsg_seq != talk->sequence)
		return 1; /* of an earlier request whose answer was given up */
	if (!is_whole(nlh))
		return fault_errno(reterr, -EBADMSG, "%s", talk->what);
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		talk->interrupted = true;
	if (nlh->nlmsg_type == NLMSG_DONE)
		return talk->interrupted ? -EINTR : done_code(nlh, talk->what, reterr);
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		error = mnl_nlmsg_get_payload(nlh);
		return error->error == 0 ? 0 : nfnl_fault(nlh, talk->what, reterr);
	}
	if (nlh->nlmsg_type < NLMSG_MIN_TYPE)
		return 1;
	r = talk->handler ? talk->handler(nlh, talk->userdata) : 0;
	return r < 0 ? fault_errno(reterr, r, "%s", talk->what) : 1;
}

static int hear_all(struct talk *talk, const void *datagram, size_t length, struct fault *reterr)
{
	const struct nlmsghdr *nlh;
	int r = 1;

	while (r > 0 && (nlh = nfnl_take_message(&datagram, &length)))
		r = hear(talk, nlh, reterr);
	return r;
}

int nfnl_ask(struct nfnl *nl, const struct nlmsghdr *request, nfnl_handler handler, void *userdata,
	     const char *what, struct fault *reterr)
{
	_cleanup_free_ void *buffer = malloc(NFNL_DATAGRAM_MAX);
	struct talk talk = {request->nlmsg_seq, handler, userdata, what, false};
	bool ends = (request->nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK)) != 0;
	int r;

	if (!buffer)
		return fault_errno(reterr, -ENOMEM, "%s", what);
	if (mnl_socket_sendto(nl->socket, request, request->nlmsg_len) < 0)
		return fault_errno(reterr, -errno, "%s", what);
	for (;;) {
		ssize_t length = receive(nl, buffer, 0);

		if (length < 0)
			return fault_errno(reterr, length == -EAGAIN ? -ETIMEDOUT : (int)length,
					   "%s", what);
		r = hear_all(&talk, buffer, (size_t)length, reterr);
		if (r <= 0)
			return r;
		if (!ends)
			return 0;
	}
}

int nfnl_send(struct nfnl *nl, const void *batch, size_t length,
	      void (*handler)(const struct nlmsghdr *nlh, void *userdata), void *userdata)
{
	_cleanup_free_ void *buffer = malloc(NFNL_DATAGRAM_MAX);

	if (!buffer)
		return -ENOMEM;
	if (mnl_socket_sendto(nl->socket, batch, length) < 0)
		return -errno;
	for (;;) {
		ssize_t heard = receive(nl, buffer, MSG_DONTWAIT);
		size_t left = (size_t)heard;
		const struct nlmsghdr *nlh;
		const void *next = buffer;

		if (heard == -EAGAIN)
			return 0;
		if (heard < 0)
			return (int)heard;
		while ((nlh = nfnl_take_message(&next, &left)))
			if (is_whole(nlh))
				handler(nlh, userdata);
	}
}
