/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listening to nftables: did somebody else touch our table? A hint to look again; the kernel tells
 * the name of the program that committed the change, for the log.
 */
#pragma once

#include <stddef.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"

struct nft_watch;

/* table: name of the table to watch, any family. 0 or negative errno. */
int nft_watch_open(const char *table, struct nft_watch **ret, struct fault *reterr);
void nft_watch_close(struct nft_watch *watch); /* takes NULL */
DEFINE_CLEANUP(struct nft_watch *, nft_watch_close);

int nft_watch_fd(const struct nft_watch *watch);

/* Reads what is there without waiting. 1: another process touched the table, or messages were lost;
 * 0: nothing of it concerns us; negative errno: it cannot be read any more. */
int nft_watch_dispatch(struct nft_watch *watch);

/* Between the two the kernel tells this watch nothing, and spares itself the making of messages: of
 * a transaction of our own it would tell each of a thousand elements. Who calls this makes sure by
 * the generation that nobody else came between. Resuming one that hears does nothing. Both take
 * NULL. 0 or negative errno. */
void nft_watch_pause(struct nft_watch *watch);
int nft_watch_resume(struct nft_watch *watch);

/* "nft (process 1234)" for the last such change; "" when not known. Forgotten by the call. */
void nft_watch_take_culprit(struct nft_watch *watch, char *buffer, size_t size);

/* Handles length octets as if they had come from the kernel. For tests and fuzzing. */
int nft_watch_feed(struct nft_watch *watch, const void *data, size_t length);
struct nft_watch *nft_watch_new(const char *table); /* without a socket; NULL: no memory */
