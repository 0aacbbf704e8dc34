/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one door for netfilter requests (nfnetlink): a blocking socket on which each request is
 * answered before the next is sent. It never listens to events (nft_watch.h does).
 */
#pragma once

#include <libmnl/libmnl.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"

/* The kernel fills at most this much of an answer at a time (af_netlink.c netlink_dump). */
#define NFNL_DATAGRAM_MAX 32768u

struct nfnl;

/* what: "open connection tracking", told when it fails. 0 or negative errno. */
int nfnl_open(const char *what, struct nfnl **ret, struct fault *reterr);
void nfnl_close(struct nfnl *nl); /* takes NULL */
DEFINE_CLEANUP(struct nfnl *, nfnl_close);

/* Takes count sequence numbers in a row and returns the first. */
uint32_t nfnl_take_sequence(struct nfnl *nl, uint32_t count);

/* Takes the first message off a datagram; NULL: there is no whole one. (mnl_nlmsg_ok() of libmnl
 * 1.0.4 believes a length of 2^31 and more.) */
const struct nlmsghdr *nfnl_take_message(const void **data, size_t *length);

/* One message of an answer, with its struct nfgenmsg. 0 goes on; a negative errno ends the request.
 */
typedef int (*nfnl_handler)(const struct nlmsghdr *nlh, void *userdata);

/* Sends one request (with its sequence number) and gives each message of the answer to handler
 * (NULL: none is awaited but the ACK). 0, or negative errno with what and the kernel's own words;
 * -EINTR: a dump during which the tables changed, void. */
int nfnl_ask(struct nfnl *nl, const struct nlmsghdr *request, nfnl_handler handler, void *userdata,
	     const char *what, struct fault *reterr);

/* Sends a transaction, which the kernel works off at once, and gives every answer that there is to
 * handler, errors with their struct nlmsgerr. 0 or negative errno. */
int nfnl_send(struct nfnl *nl, const void *batch, size_t length,
	      void (*handler)(const struct nlmsghdr *nlh, void *userdata), void *userdata);

/* Fills reterr from a NLMSG_ERROR message and returns its (negative) code. */
int nfnl_fault(const struct nlmsghdr *nlh, const char *what, struct fault *reterr);
