/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into maped: lets one call of the whole process fail.
 *
 *   FAIL_ALLOC=N        the N-th allocation (from 1) returns NULL
 *   FAIL_NETLINK=N:E    the N-th netlink request is not sent; its caller sees errno E
 *                       (those of libconfig do not count: it uses what it gets unseen, and dies)
 *   FAIL_EVENTS=N:E     the N-th reading of events of the kernel fails with errno E
 *   FAIL_COUNT=FILE     how many of both there were so far, and how many netlink messages that
 *                       change something: three uint64_t, mapped and kept up to date
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's own, behind the names that programs call. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct counts {
	_Atomic uint64_t allocations, requests, changes;
} own_counts, *counts = &own_counts;
static uint64_t fail_allocation, fail_request, fail_reading, readings;
static int fail_errno, fail_reading_errno;

/* Tells where it was, for addr2line(1). */
static void on_crash(int number)
{
	void *frames[24];

	backtrace_symbols_fd(frames, backtrace(frames, 24), STDERR_FILENO);
	signal(number, SIG_DFL);
	raise(number);
}

/* NUMBER:ERRNO */
static void read_order(const char *order, uint64_t *number, int *code)
{
	char *end;

	if (!order)
		return;
	*number = strtoull(order, &end, 10);
	*code = *end == ':' ? atoi(end + 1) : EPERM;
}

__attribute__((constructor)) static void begin(void)
{
	const char *allocation = getenv("FAIL_ALLOC");
	const char *file = getenv("FAIL_COUNT");
	int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
	void *map = fd >= 0 ? mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			    : MAP_FAILED;
	void *frame;

	(void)backtrace(&frame, 1); /* loads what it needs */
	signal(SIGSEGV, on_crash);
	signal(SIGABRT, on_crash);
	if (fd >= 0)
		close(fd);
	if (map != MAP_FAILED)
		counts = map;
	counts->allocations = counts->requests = counts->changes = 0;
	if (allocation)
		fail_allocation = strtoull(allocation, NULL, 10);
	read_order(getenv("FAIL_NETLINK"), &fail_request, &fail_errno);
	read_order(getenv("FAIL_EVENTS"), &fail_reading, &fail_reading_errno);
}

static int is_libconfig(const void *caller)
{
	Dl_info object;

	return dladdr(caller, &object) && object.dli_fname && strstr(object.dli_fname, "libconfig");
}

static int allocation_fails(const void *caller)
{
	if (is_libconfig(caller) || ++counts->allocations != fail_allocation)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return allocation_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

static char *copy_text(const char *text, const void *caller)
{
	size_t size = strlen(text) + 1;
	char *copy = allocation_fails(caller) ? NULL : __libc_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

/* Their allocations would look like those of the C library. */
char *strdup(const char *text)
{
	return copy_text(text, __builtin_return_address(0));
}

char *__strdup(const char *text);
char *__strdup(const char *text)
{
	return copy_text(text, __builtin_return_address(0));
}

/* Whether a message of rtnetlink, nftables or connection tracking does more than ask. */
static bool changes_something(int protocol, uint16_t type)
{
	if (protocol == NETLINK_ROUTE) /* NEW, DEL, GET, SET in turns */
		return type >= RTM_BASE && (type - RTM_BASE) % 4 != 2;
	switch (type) {
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSET:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN:
	case NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETOBJ:
	case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET:
	case NFNL_MSG_BATCH_BEGIN:
	case NFNL_MSG_BATCH_END:
		return false;
	default:
		return true;
	}
}

static void count_changes(int fd, const void *data, size_t length)
{
	const struct nlmsghdr *message = data;
	size_t left = length;
	int protocol = 0;
	socklen_t size = sizeof(protocol);

	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0)
		return;
	for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left))
		counts->changes += changes_something(protocol, message->nlmsg_type);
}

static int request_fails(int fd, const void *data, size_t length)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
	    address.ss_family != AF_NETLINK)
		return 0;
	if (++counts->requests != fail_request) {
		count_changes(fd, data, length);
		return 0;
	}
	errno = fail_errno;
	return 1;
}

ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to,
	       socklen_t size)
{
	if (request_fails(fd, data, length))
		return -1;
	return syscall(SYS_sendto, fd, data, length, flags, to, size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (request_fails(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len))
		return -1;
	return syscall(SYS_sendmsg, fd, message, flags);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *wait)
{
	if (++readings == fail_reading) {
		errno = fail_reading_errno;
		return -1;
	}
	return (int)syscall(SYS_recvmmsg, fd, messages, count, flags, wait);
}
