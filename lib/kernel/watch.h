/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listening to the kernel: links, addresses, routes, rules, settings, and RA prefixes. An event is
 * a hint to look again, never a fact to act upon; what is true is read by snapshot.h and the
 * backends.
 *
 * Three things are kept because no dump tells them: which prefixes an RA announced
 * (RTM_NEWPREFIX exists as an event only), when a delegated prefix's route appeared, and what of
 * ours was taken away, for the log. Each table is bounded.
 *
 * Times are CLOCK_BOOTTIME microseconds of the caller; nothing here reads a clock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"
#include "lib/base/text.h"
#include "lib/kernel/address.h"
#include "lib/kernel/link.h"
#include "lib/kernel/signs.h"
#include "lib/map/plan.h"

struct watch;

/* The socket listens from here on; read state after it is open, and nothing is missed. */
int watch_open(struct watch **ret, struct fault *reterr);
void watch_close(struct watch *watch); /* takes NULL */
DEFINE_CLEANUP(struct watch *, watch_close);

int watch_fd(const struct watch *watch); /* readable when there is something to dispatch */

/* What to look at again. */
#define WATCH_LINK    (1u << 0)
#define WATCH_ADDRESS (1u << 1)
#define WATCH_ROUTE   (1u << 2) /* a default route, a delegated prefix, or one of ours */
#define WATCH_RULE    (1u << 3)
#define WATCH_PREFIX  (1u << 4) /* an RA announced something new */
#define WATCH_OVERRUN (1u << 5) /* messages were lost: everything */
#define WATCH_SETTING (1u << 6) /* one of our kernel settings has another value */

/* Reads what is there, WATCH_BATCH messages at most, without waiting (what remains keeps the
 * descriptor readable). Returns a mask of WATCH_*, 0 when nothing of it concerns us, or a negative
 * errno when the socket is broken. */
#define WATCH_BATCH 512
int watch_dispatch(struct watch *watch, uint64_t now_usec, struct fault *reterr);

/* What of it since the last call was not about objects of ours: a mask of WATCH_*. It decides how
 * soon to look while another program fights over ours. */
unsigned int watch_take_news(struct watch *watch);

/* How many messages were read and how many of them concerned us, since watch_open(). */
struct watch_counts {
	uint64_t seen, relevant, overruns;
};
struct watch_counts watch_counts(const struct watch *watch);

/* The plan whose objects are missed when they go. Copied; an empty plan misses nothing. */
void watch_expect(struct watch *watch, const struct plan *plan);

/* Which addresses of it are ours even when they lose our protocol. Copied. */
void watch_expect_addresses(struct watch *watch, const struct address_ours *ours);

/* Reads the few kernel settings of the expected plan that may change without an event. True when
 * one has another value: look. */
bool watch_check_settings(struct watch *watch);

/* Moves the sentences about what of the expected plan went away or changed since the last call into
 * out, one a line: "route default dev map0 table 254 metric 1024 deleted". Who did it the kernel
 * does not tell, so the caller throws away what its own apply caused. At most WATCH_LOSS_MAX are
 * kept. */
#define WATCH_LOSS_MAX 16
void watch_take_losses(struct watch *watch, struct text *out);
bool watch_has_losses(const struct watch *watch);

/* Every link as just read: what was announced on one that is down or gone is forgotten, also when
 * the message that told of it was lost. */
void watch_compare_links(struct watch *watch, const struct link_list *links);

/* What was remembered about prefixes and is valid at now_usec; good until the next dispatch. */
const struct signs *watch_signs(struct watch *watch, uint64_t now_usec);

/* An announcement that a former process heard (signs_recall()). */
void watch_recall(struct watch *watch, const struct announcement *one);

/* Handles length octets as if they had come from the kernel; returns a mask. For tests and fuzzing.
 */
int watch_feed(struct watch *watch, const void *data, size_t length, uint64_t now_usec);

/* A watch without a socket, which hears nothing: for the same purpose, and for one look at what is
 * recalled. NULL: no memory. */
struct watch *watch_new(void);
