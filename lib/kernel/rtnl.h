/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one door for rtnetlink requests: a blocking socket on which each request is answered before
 * the next is sent. It never listens to events (watch.h does).
 *
 * The rest of lib/kernel builds messages with libnl-route and hands them in here; answers come back
 * as raw messages, in the order of the kernel.
 */
#pragma once

#include <linux/netlink.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"

struct rtnl;

/* 0 or negative errno. Kernels without extended acks or strict checking are served all the same. */
int rtnl_open(struct rtnl **ret, struct fault *reterr);
void rtnl_close(struct rtnl *nl); /* takes NULL */
DEFINE_CLEANUP(struct rtnl *, rtnl_close);

uint64_t rtnl_changes(const struct rtnl *nl);  /* requests sent that change something */
uint64_t rtnl_requests(const struct rtnl *nl); /* every request sent, reading ones included */

/* Called with each request before it is sent. A negative errno is taken for the kernel's answer and
 * the request is not sent. NULL = none. For tests that let the n-th request fail. */
typedef int (*rtnl_send_hook)(const struct nlmsghdr *request, void *userdata);
void rtnl_set_send_hook(struct rtnl *nl, rtnl_send_hook hook, void *userdata);

/* One message of an answer. 0 goes on; a negative errno is what the request then returns (the rest
 * of the answer is read and dropped). */
typedef int (*rtnl_handler)(const struct nlmsghdr *message, void *userdata);

/* Where an answer goes. restart is called when a dump begins again, because the tables changed
 * under it: everything gathered so far is void. */
struct rtnl_reader {
	rtnl_handler message;
	void (*restart)(void *userdata);
	void *userdata;
};

/* Each takes the message (and frees it, also on failure; NULL means that building it failed), and a
 * sentence of what is attempted, which stands in reterr before the kernel's own words.
 *
 * rtnl_change: 0 when the kernel did it.
 * rtnl_query: a request with one answer, which may be missing: then the error is the kernel's.
 * rtnl_dump: repeats an interrupted dump and one whose answer was lost, RTNL_DUMP_TRIES in all;
 *            -EAGAIN when the tables never stood still. */
#define RTNL_DUMP_TRIES 8
int rtnl_change(struct rtnl *nl, struct nl_msg *msg, struct fault *reterr, const char *format, ...)
	_printf_(4, 5);
int rtnl_query(struct rtnl *nl, struct nl_msg *msg, const struct rtnl_reader *reader,
	       struct fault *reterr, const char *format, ...) _printf_(5, 6);
int rtnl_dump(struct rtnl *nl, struct nl_msg *msg, const struct rtnl_reader *reader,
	      struct fault *reterr, const char *format, ...) _printf_(5, 6);

/* A message of this type with its fixed header (size octets), NULL when memory is short. */
struct nl_msg *rtnl_message(int type, int flags, const void *header, size_t size);

static inline void cleanup_nlmsg(struct nl_msg **msg)
{
	if (*msg)
		nlmsg_free(*msg);
}
#define _cleanup_nlmsg_ _cleanup_(cleanup_nlmsg)

/* The words that a NLMSG_ERROR or NLMSG_DONE message carries in its extended ack, "" without.
 * Reads nothing behind the message, whatever stands in it. */
#define RTNL_WORDS_MAX 160
void rtnl_extack_words(const struct nlmsghdr *message, char ret[static RTNL_WORDS_MAX]);
