/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel has of one table. -EINTR from each: it changed meanwhile, read again. */
#pragma once

#include "lib/kernel/nfnl.h"
#include "lib/kernel/nft_picture.h"

int nft_read_generation(struct nfnl *nl, uint32_t *ret, struct fault *reterr);

/* A handler of one element gets key and data (NULL: no map) as whole words per part. 0, or a
 * negative errno that ends the walk. */
struct nft_element_reader {
	int (*handler)(void *userdata, const void *key, const void *data, uint8_t flags);
	void *userdata;
};

int nft_read_rows(struct nfnl *nl, enum nft_family family, const char *table, const char *set,
		  const struct nft_shape *shape, const struct nft_element_reader *reader,
		  struct fault *reterr);

/* -ENOENT: no such set. */
int nft_read_shape(struct nfnl *nl, enum nft_family family, const char *table, const char *set,
		   struct nft_shape *ret, struct fault *reterr);

/* *ret is NULL when there is no such table. The elements are read of sets that want has in the same
 * shape and that are not learnt; want NULL: only whether it is there. */
int nft_read_picture(struct nfnl *nl, enum nft_family family, const char *name,
		     const struct nft_table *want, struct nft_picture **ret, struct fault *reterr);

/* -ENOENT: no such counter. */
int nft_read_packets(struct nfnl *nl, enum nft_family family, const char *table,
		     const char *counter, uint64_t *ret, struct fault *reterr);
