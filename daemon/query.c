/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/query.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "daemon/runtime.h"

#define ANSWER_MAX   (256 * 1024)
#define ASK_PATIENCE 5000 /* milliseconds */

/* An answer that is not read is memory of ours: the kernel counts it with the process that sent it
 * (net/unix/af_unix.c, GFP_KERNEL_ACCOUNT), whatever we close. So each user gets so many and no
 * more before they are read, and all but root and ourselves together half of what there is. */
#define HELD_OF_USER 16
#define HELD_MAX     64

struct held {
	int fd;
	struct ucred peer;
};

struct query {
	int fd;
	sd_event_source *source;
	query_answer answer;
	void *userdata;
	struct held held[HELD_MAX]; /* sent, and perhaps not read yet */
	size_t held_count;
};

static int socket_address(struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	runtime_path(QUERY_SOCKET, ret->sun_path, sizeof(ret->sun_path));
	return strlen(ret->sun_path) == sizeof(ret->sun_path) - 1 ? -ENAMETOOLONG : 0;
}

static bool is_trusted(const struct ucred *peer)
{
	return peer->uid == 0 || peer->uid == geteuid();
}

/* ---- answers that are not read --------------------------------------------------------------- */

static bool is_unread(int fd)
{
	int left = 0;

	return ioctl(fd, SIOCOUTQ, &left) == 0 && left > 0;
}

static void let_go(struct query *query)
{
	size_t kept = 0;

	for (size_t i = 0; i < query->held_count; i++) {
		if (is_unread(query->held[i].fd))
			query->held[kept++] = query->held[i];
		else
			close(query->held[i].fd);
	}
	query->held_count = kept;
}

static bool has_room(const struct query *query, const struct ucred *peer)
{
	size_t of_user = 0, of_strangers = 0;

	for (size_t i = 0; i < query->held_count; i++) {
		of_user += query->held[i].peer.uid == peer->uid;
		of_strangers += !is_trusted(&query->held[i].peer);
	}
	return query->held_count < HELD_MAX && of_user < HELD_OF_USER &&
	       (is_trusted(peer) || of_strangers < HELD_MAX / 2);
}

/* Takes the descriptor, on which nothing more is sent. */
static void hold(struct query *query, int fd, const struct ucred *peer)
{
	shutdown(fd, SHUT_WR);
	query->held[query->held_count++] = (struct held){fd, *peer};
}

/* ---- answering ------------------------------------------------------------------------------- */

/* The answer goes out in one piece or is cut: an asker that does not read must not hold us up. */
static void send_answer(int fd, const struct text *plain, const struct text *json)
{
	struct iovec parts[] = {
		{(void *)text_get(plain), plain->length + 1},
		{(void *)text_get(json), json->length},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts)};
	int room = ANSWER_MAX;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	(void)sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int on_connect(sd_event_source *source, int listener, uint32_t events, void *userdata)
{
	_cleanup_text_ struct text plain = TEXT_INIT, json = TEXT_INIT;
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct query *query = userdata;
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return 0;
	let_go(query);
	if (!has_room(query, &peer))
		return 0;
	query->answer(query->userdata, is_trusted(&peer), &plain, &json);
	if (text_failed(&plain) || text_failed(&json))
		return 0;
	send_answer(fd, &plain, &json);
	hold(query, TAKE_FD(fd), &peer);
	return 0;
}

/* A listener that nobody holds refuses; one whose line of callers is full, or that hangs, does not.
 */
int query_served(pid_t *ret_pid)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	int r = socket_address(&address);

	if (fd < 0 || r < 0)
		return fd < 0 ? -errno : r;
	*ret_pid = 0;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return 0;
		return errno == EAGAIN ? 1 : -errno;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
		*ret_pid = peer.pid;
	return 1;
}

int query_open(sd_event *event, query_answer answer, void *userdata, struct query **ret)
{
	_cleanup_(query_close_p) struct query *query = calloc(1, sizeof(*query));
	_cleanup_close_ int fd = -1;
	struct sockaddr_un address;
	pid_t other;
	int r;

	if (!query)
		return -ENOMEM;
	*query = (struct query){.fd = -1, .answer = answer, .userdata = userdata};
	r = socket_address(&address);
	if (r < 0)
		return r;
	if (query_served(&other) > 0)
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* What a killed daemon left: nobody else may write in this directory. */
	unlink(address.sun_path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	query->fd = TAKE_FD(fd);
	if (chmod(address.sun_path, 0666) < 0 || listen(query->fd, 8) < 0)
		return -errno;
	r = sd_event_add_io(event, &query->source, query->fd, EPOLLIN, on_connect, query);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(query);
	return 0;
}

void query_close(struct query *query)
{
	if (!query)
		return;
	sd_event_source_unref(query->source);
	for (size_t i = 0; i < query->held_count; i++)
		close(query->held[i].fd);
	if (query->fd >= 0) {
		close(query->fd);
		runtime_remove(QUERY_SOCKET);
	}
	free(query);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int read_answer(int fd, struct text *plain, struct text *json)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	struct text *part = plain;
	char chunk[4096];
	ssize_t length;

	while (poll(&wait, 1, ASK_PATIENCE) == 1) {
		length = read(fd, chunk, sizeof(chunk));
		if (length < 0)
			return -errno;
		if (length == 0)
			return part == json && !text_failed(plain) && !text_failed(json) ? 0
											 : -EPROTO;
		for (ssize_t i = 0; i < length; i++) {
			if (chunk[i] == '\0' && part == plain)
				part = json;
			else
				text_add(part, "%c", chunk[i]);
		}
	}
	return -ETIMEDOUT;
}

int query_ask(struct text *ret_plain, struct text *ret_json)
{
	_cleanup_text_ struct text plain = TEXT_INIT, json = TEXT_INIT;
	_cleanup_close_ int fd = -1;
	struct sockaddr_un address;
	int r;

	r = socket_address(&address);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	r = read_answer(fd, &plain, &json);
	if (r < 0)
		return r;
	*ret_plain = plain;
	*ret_json = json;
	plain = TEXT_INIT;
	json = TEXT_INIT;
	return 0;
}
