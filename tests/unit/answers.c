/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/answers.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/kernel/nfnl.h"

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size)
#define ASAN_UNPOISON_MEMORY_REGION(start, size)
#endif

struct mnl_socket {
	const uint8_t *next;
	size_t left;
	uint32_t sequence; /* of the request that is being answered */
	unsigned int requests;
	bool told; /* a datagram, since the request */
};

static struct mnl_socket kernel;

struct mnl_socket *__wrap_mnl_socket_open2(int bus, int flags);
int __wrap_mnl_socket_bind(struct mnl_socket *socket, unsigned int groups, pid_t pid);
int __wrap_mnl_socket_setsockopt(const struct mnl_socket *socket, int type, void *value,
				 socklen_t size);
int __wrap_mnl_socket_get_fd(const struct mnl_socket *socket);
int __wrap_mnl_socket_close(struct mnl_socket *socket);
ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *socket, const void *data, size_t length);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags);

void answers_give(const void *messages, size_t length)
{
	kernel = (struct mnl_socket){.next = messages, .left = length};
}

unsigned int answers_requests(void)
{
	return kernel.requests;
}

/* ---- the socket ------------------------------------------------------------------------------ */

struct mnl_socket *__wrap_mnl_socket_open2(int bus, int flags)
{
	return &kernel;
}

int __wrap_mnl_socket_bind(struct mnl_socket *socket, unsigned int groups, pid_t pid)
{
	return 0;
}

int __wrap_mnl_socket_setsockopt(const struct mnl_socket *socket, int type, void *value,
				 socklen_t size)
{
	return 0;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
	return 0;
}

int __wrap_mnl_socket_get_fd(const struct mnl_socket *socket)
{
	return -1;
}

int __wrap_mnl_socket_close(struct mnl_socket *socket)
{
	return 0;
}

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *socket, const void *data, size_t length)
{
	const struct nlmsghdr *request = data;

	kernel.sequence = request->nlmsg_seq;
	kernel.requests++;
	kernel.told = false;
	return (ssize_t)length;
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool ends_answer(const struct nlmsghdr *nlh)
{
	return nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR ||
	       !(nlh->nlmsg_flags & NLM_F_MULTI);
}

/* Of the datagram at the beginning; numbers its messages. */
static size_t datagram(void *data, size_t length)
{
	const void *next = data;
	struct nlmsghdr *nlh;
	size_t left = length;

	while ((nlh = (struct nlmsghdr *)nfnl_take_message(&next, &left))) {
		nlh->nlmsg_seq += kernel.sequence;
		if (ends_answer(nlh))
			return length - left;
	}
	return length;
}

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
	size_t length = kernel.left < size ? kernel.left : size - 1;

	ASAN_UNPOISON_MEMORY_REGION(buffer, size);
	if (length == 0 || (kernel.told && (flags & MSG_DONTWAIT))) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(buffer, kernel.next, length);
	length = datagram(buffer, length);
	((uint8_t *)buffer)[length] = 0;
	ASAN_POISON_MEMORY_REGION((uint8_t *)buffer + length + 1, size - length - 1);
	kernel.next += length;
	kernel.left -= length;
	kernel.told = true;
	return (ssize_t)length;
}
