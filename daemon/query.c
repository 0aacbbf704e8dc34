/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/query.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "daemon/runtime.h"

#define ANSWER_MAX   (256 * 1024)
#define ASK_PATIENCE 5000 /* milliseconds */

struct query {
	int fd;
	sd_event_source *source;
	query_answer answer;
	void *userdata;
};

static int socket_address(struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	runtime_path(QUERY_SOCKET, ret->sun_path, sizeof(ret->sun_path));
	return strlen(ret->sun_path) == sizeof(ret->sun_path) - 1 ? -ENAMETOOLONG : 0;
}

static bool peer_is_trusted(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

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

	if (fd < 0)
		return 0;
	query->answer(query->userdata, peer_is_trusted(fd), &plain, &json);
	if (!text_failed(&plain) && !text_failed(&json))
		send_answer(fd, &plain, &json);
	return 0;
}

int query_open(sd_event *event, query_answer answer, void *userdata, struct query **ret)
{
	_cleanup_(query_close_p) struct query *query = calloc(1, sizeof(*query));
	struct sockaddr_un address;
	int r;

	if (!query)
		return -ENOMEM;
	*query = (struct query){.fd = -1, .answer = answer, .userdata = userdata};
	r = socket_address(&address);
	if (r < 0)
		return r;
	query->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (query->fd < 0)
		return -errno;
	/* What a killed daemon left is not in use: nobody else may write in this directory. */
	unlink(address.sun_path);
	if (bind(query->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0666) < 0 || listen(query->fd, 8) < 0)
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
	if (query->fd >= 0) {
		close(query->fd);
		runtime_remove(QUERY_SOCKET);
	}
	free(query);
}

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
