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
/* The same for what does not fit into the socket and waits here for the asker to read, in octets,
 * and for how long. Root's own answers are the longest. */
#define REST_OF_USER   ((size_t)2 << 20)
#define REST_MAX       ((size_t)8 << 20)
#define REST_WAIT_USEC ((uint64_t)10000000)

/* An answer that was sent, at least the beginning, and perhaps is not read yet. */
struct held {
	int fd;
	struct ucred peer;
	char *rest; /* NULL: nothing more is sent */
	size_t rest_length, rest_sent;
	sd_event_source *room, *late; /* while there is a rest */
};

struct query {
	int fd;
	sd_event_source *source;
	query_answer answer;
	void *userdata;
	struct held *held[HELD_MAX];
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

/* Nothing more is sent; an asker that misses the end knows that the answer was cut. */
static void end_answer(struct held *held)
{
	held->room = sd_event_source_disable_unref(held->room);
	held->late = sd_event_source_disable_unref(held->late);
	free(TAKE_PTR(held->rest));
	shutdown(held->fd, SHUT_WR);
}

static void held_free(struct held *held)
{
	if (!held)
		return;
	end_answer(held);
	close(held->fd);
	free(held);
}
DEFINE_CLEANUP(struct held *, held_free);

static void let_go(struct query *query)
{
	size_t kept = 0;

	for (size_t i = 0; i < query->held_count; i++) {
		if (query->held[i]->rest || is_unread(query->held[i]->fd))
			query->held[kept++] = query->held[i];
		else
			held_free(query->held[i]);
	}
	query->held_count = kept;
}

static bool has_room(const struct query *query, const struct ucred *peer)
{
	size_t of_user = 0, of_strangers = 0;

	for (size_t i = 0; i < query->held_count; i++) {
		of_user += query->held[i]->peer.uid == peer->uid;
		of_strangers += !is_trusted(&query->held[i]->peer);
	}
	return query->held_count < HELD_MAX && of_user < HELD_OF_USER &&
	       (is_trusted(peer) || of_strangers < HELD_MAX / 2);
}

static bool has_room_for_rest(const struct query *query, const struct ucred *peer, size_t length)
{
	size_t of_user = length, of_strangers = length, of_all = length;

	for (size_t i = 0; i < query->held_count; i++) {
		const struct held *held = query->held[i];
		size_t rest = held->rest ? held->rest_length : 0;

		of_all += rest;
		of_user += held->peer.uid == peer->uid ? rest : 0;
		of_strangers += is_trusted(&held->peer) ? 0 : rest;
	}
	return of_all <= REST_MAX &&
	       (is_trusted(peer) || (of_user <= REST_OF_USER && of_strangers <= REST_MAX / 2));
}

/* ---- answering ------------------------------------------------------------------------------- */

/* As much as fits: an asker that does not read must not hold us up. False: nothing more will. */
static bool send_rest(struct held *held)
{
	ssize_t n = send(held->fd, held->rest + held->rest_sent,
			 held->rest_length - held->rest_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	held->rest_sent += (size_t)n;
	return held->rest_sent < held->rest_length;
}

static int on_room(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	if (!send_rest(userdata))
		end_answer(userdata);
	return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	end_answer(userdata);
	return 0;
}

/* The rest goes out as the asker reads. */
static int send_later(sd_event *event, struct held *held)
{
	int r = sd_event_add_io(event, &held->room, held->fd, EPOLLOUT, on_room, held);

	if (r < 0)
		return r;
	return sd_event_add_time_relative(event, &held->late, CLOCK_MONOTONIC, REST_WAIT_USEC, 0,
					  on_late, held);
}

/* Both texts, each with its NUL. */
static char *join(const struct text *plain, const struct text *json, size_t *ret_length)
{
	char *whole = malloc(plain->length + json->length + 2);

	if (!whole)
		return NULL;
	memcpy(whole, text_get(plain), plain->length + 1);
	memcpy(whole + plain->length + 1, text_get(json), json->length + 1);
	*ret_length = plain->length + json->length + 2;
	return whole;
}

static void send_answer(struct query *query, struct held *held, const struct text *plain,
			const struct text *json)
{
	int room = ANSWER_MAX;

	held->rest = join(plain, json, &held->rest_length);
	if (!held->rest)
		return;
	setsockopt(held->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (!send_rest(held) || !has_room_for_rest(query, &held->peer, held->rest_length) ||
	    send_later(sd_event_source_get_event(query->source), held) < 0)
		end_answer(held);
}

static int on_connect(sd_event_source *source, int listener, uint32_t events, void *userdata)
{
	_cleanup_text_ struct text plain = TEXT_INIT, json = TEXT_INIT;
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	_cleanup_(held_free_p) struct held *held = NULL;
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
	held = calloc(1, sizeof(*held));
	if (!held)
		return 0;
	*held = (struct held){.fd = TAKE_FD(fd), .peer = peer};
	send_answer(query, held, &plain, &json);
	query->held[query->held_count++] = TAKE_PTR(held);
	return 0;
}

/* A socket that a killed process left refuses; of one that hangs the queue of askers may be full.
 */
int query_served(pid_t *ret_pid)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un address;
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	int r = socket_address(&address);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
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
	int r;

	if (!query)
		return -ENOMEM;
	*query = (struct query){.fd = -1, .answer = answer, .userdata = userdata};
	r = socket_address(&address);
	if (r < 0)
		return r;
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
		held_free(query->held[i]);
	if (query->fd >= 0) {
		close(query->fd);
		runtime_remove(QUERY_SOCKET);
	}
	free(query);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* Adds what comes before the next NUL, if there is one. How much of chunk that was, with the NUL.
 */
static size_t add_part(struct text *part, const char *chunk, size_t length, bool *ret_ended)
{
	size_t used = strnlen(chunk, length);

	text_add(part, "%.*s", (int)used, chunk);
	*ret_ended = used < length;
	return used + *ret_ended;
}

static int read_answer(int fd, struct text *plain, struct text *json)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	struct text *const parts[] = {plain, json};
	size_t ended = 0;
	char chunk[4096];
	ssize_t length;

	while (poll(&wait, 1, ASK_PATIENCE) == 1) {
		length = read(fd, chunk, sizeof(chunk));
		if (length < 0)
			return -errno;
		if (length == 0 && ended < ARRAY_SIZE(parts))
			return -EPROTO;
		if (length == 0)
			return text_failed(plain) || text_failed(json) ? -ENOMEM : 0;
		for (size_t at = 0; at < (size_t)length && ended < ARRAY_SIZE(parts);) {
			bool last;

			at += add_part(parts[ended], chunk + at, (size_t)length - at, &last);
			ended += last;
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
