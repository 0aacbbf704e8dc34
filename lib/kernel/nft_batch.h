/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One nftables transaction: messages of which the kernel takes all or none. What cannot be written
 * for want of memory is remembered, and told when it is sent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/kernel/nfnl.h"
#include "lib/kernel/nft_rows.h"

#define NFT_MESSAGE_MAX (64u * 1024) /* of one message; nlattr lengths are 16 bits */
#define NFT_WHAT_MAX    80

struct nft_batch {
	uint8_t *data;
	size_t length, room;
	uint32_t generation;
	uint8_t family;             /* NFPROTO_* of the messages that are added next */
	char (*what)[NFT_WHAT_MAX]; /* of each message, for when it fails */
	size_t count, what_room;    /* messages, the first one's sequence number being 0 */
	unsigned int changes;       /* messages but the first and the last */
	size_t last_offset;         /* of the last message, which is asked for an ACK */
	struct nft_rows made;       /* names of the learnt sets that are made in it */
	bool failed;
};

/* generation: the kernel takes it only while this is the present one (else -ERESTART); 0: any. */
void nft_batch_begin(struct nft_batch *batch, uint32_t generation);
void nft_batch_end(struct nft_batch *batch);
void nft_batch_done(struct nft_batch *batch);
#define _cleanup_nft_batch_ _cleanup_(nft_batch_done)

/* A message with its header, at most NFT_MESSAGE_MAX long, to be closed once its attributes are
 * written. NULL: no memory. verb, kind and name tell what is attempted. */
struct nlmsghdr *nft_batch_add(struct nft_batch *batch, uint16_t type, uint16_t flags,
			       const char *verb, const char *kind, const char *name);
void nft_batch_close(struct nft_batch *batch, const struct nlmsghdr *nlh); /* takes NULL */

/* 1 when the kernel said that it is done, 0 when it said nothing against it; negative errno with
 * its words. */
int nft_batch_send(struct nft_batch *batch, struct nfnl *nl, struct fault *reterr);
