/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's side of netfilter requests, from memory: what lib/kernel/nfnl.h sends is counted,
 * and answered with the messages that were given. Needs no privilege and no kernel.
 *
 * The linker leads the calls to the socket here (meson.build, --wrap).
 */
#pragma once

#include <stddef.h>

/* Messages, one behind the other, kept until all are told. The sequence number of each is counted
 * from its request's: 0 answers it, others do not. A datagram ends with a message that ends an
 * answer (NLMSG_DONE, NLMSG_ERROR, or without NLM_F_MULTI); a transaction is answered with one
 * datagram. When nothing is left the kernel is silent.
 *
 * libnftnl takes the end of a text for granted (MNL_TYPE_STRING); the kernel never lets it be
 * missing. So a zero stands behind each datagram, and the sanitizer watches what is behind that. */
void answers_give(const void *messages, size_t length);

/* Requests since answers_give(); a transaction is one. */
unsigned int answers_requests(void);
