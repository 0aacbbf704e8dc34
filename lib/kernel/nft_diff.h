/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What has to be sent so that a table that stands becomes the wanted one. Pure.
 *
 * Two rules are equal when their digests are, two static sets when they hold the same elements.
 * What packets have taught the table stays, unless an identity set differs, or a set or base chain
 * must be made anew.
 */
#pragma once

#include "lib/kernel/nft_batch.h"
#include "lib/kernel/nft_picture.h"

/* picture is that of want. have NULL: nothing stands. Nothing is added when all is so. */
void nft_diff(struct nft_batch *batch, const struct nft_table *want,
	      const struct nft_picture *picture, const struct nft_picture *have);
