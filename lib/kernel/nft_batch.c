/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_batch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/common.h>

#include "lib/kernel/nft_model.h"

#define ROOM_FIRST (4u * NFT_MESSAGE_MAX)
#define WHAT_FIRST 64u

void nft_batch_done(struct nft_batch *batch)
{
	free(batch->data);
	free(batch->what);
	nft_rows_done(&batch->made);
	*batch = (struct nft_batch){0};
}

static bool reserve_data(struct nft_batch *batch)
{
	size_t wanted = batch->room ? batch->room * 2 : ROOM_FIRST;
	uint8_t *data;

	/* One more for the end of the transaction. */
	if (batch->room - batch->length >= 2 * NFT_MESSAGE_MAX)
		return true;
	/* libmnl leaves the octets between attributes as they are; the kernel shall not see ours.
	 * Zeros that the system gives cost nothing until they are written. */
	data = calloc(1, wanted);
	if (!data)
		return false;
	if (batch->length)
		memcpy(data, batch->data, batch->length);
	free(batch->data);
	batch->data = data;
	batch->room = wanted;
	return true;
}

static bool reserve_what(struct nft_batch *batch)
{
	size_t room = batch->what_room ? batch->what_room * 2 : WHAT_FIRST;
	void *what;

	if (batch->count + 2 <= batch->what_room)
		return true;
	what = reallocarray(batch->what, room, sizeof(*batch->what));
	if (!what)
		return false;
	batch->what = what;
	batch->what_room = room;
	return true;
}

static bool reserve(struct nft_batch *batch)
{
	batch->failed = batch->failed || !reserve_data(batch) || !reserve_what(batch);
	return !batch->failed;
}

struct nlmsghdr *nft_batch_add(struct nft_batch *batch, uint16_t type, uint16_t flags,
			       const char *verb, const char *kind, const char *name)
{
	if (!reserve(batch))
		return NULL;
	snprintf(batch->what[batch->count], NFT_WHAT_MAX, "%s nftables %s %s", verb, kind, name);
	batch->changes++;
	return nftnl_nlmsg_build_hdr((char *)batch->data + batch->length, type, batch->family,
				     flags, (uint32_t)batch->count++);
}

void nft_batch_close(struct nft_batch *batch, const struct nlmsghdr *nlh)
{
	if (!nlh)
		return;
	batch->last_offset = batch->length;
	batch->length += MNL_ALIGN(nlh->nlmsg_len);
}

void nft_batch_begin(struct nft_batch *batch, uint32_t generation)
{
	struct nlmsghdr *nlh;

	*batch = (struct nft_batch){.generation = generation, .made = nft_name_rows()};
	if (!reserve(batch))
		return;
	snprintf(batch->what[0], NFT_WHAT_MAX, "start an nftables transaction");
	nlh = nftnl_batch_begin((char *)batch->data, (uint32_t)batch->count++);
	if (generation)
		mnl_attr_put_u32(nlh, NFNL_BATCH_GENID, htonl(generation));
	batch->length += MNL_ALIGN(nlh->nlmsg_len);
}

void nft_batch_end(struct nft_batch *batch)
{
	struct nlmsghdr *nlh;

	if (!reserve(batch))
		return;
	snprintf(batch->what[batch->count], NFT_WHAT_MAX, "commit an nftables transaction");
	if (batch->last_offset) {
		nlh = (struct nlmsghdr *)(batch->data + batch->last_offset);
		nlh->nlmsg_flags |= NLM_F_ACK;
	}
	nlh = nftnl_batch_end((char *)batch->data + batch->length, (uint32_t)batch->count++);
	batch->length += MNL_ALIGN(nlh->nlmsg_len);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void number(struct nft_batch *batch, uint32_t first)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)batch->data;
	int left = (int)batch->length;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
		nlh->nlmsg_seq += first;
}

struct verdict {
	const struct nft_batch *batch;
	uint32_t first;
	struct fault *reterr;
	int code; /* of the first message that failed */
	bool acked;
};

static void take_answer(const struct nlmsghdr *nlh, void *userdata)
{
	struct verdict *verdict = userdata;
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	uint32_t index = nlh->nlmsg_seq - verdict->first;

	if (nlh->nlmsg_type != NLMSG_ERROR || index >= verdict->batch->count || verdict->code < 0)
		return;
	if (error->error < 0)
		verdict->code = nfnl_fault(nlh, verdict->batch->what[index], verdict->reterr);
	else
		verdict->acked = true;
}

int nft_batch_send(struct nft_batch *batch, struct nfnl *nl, struct fault *reterr)
{
	struct verdict verdict = {.batch = batch, .reterr = reterr};
	int r;

	if (batch->failed)
		return fault_errno(reterr, -ENOMEM, "write an nftables transaction");
	verdict.first = nfnl_take_sequence(nl, (uint32_t)batch->count);
	number(batch, verdict.first);
	r = nfnl_send(nl, batch->data, batch->length, take_answer, &verdict);
	if (verdict.code < 0)
		return verdict.code;
	if (r < 0)
		return fault_errno(reterr, r, "send an nftables transaction");
	return verdict.acked;
}
