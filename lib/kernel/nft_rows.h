/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The elements of one set, packed: each a row of key, data (or the name of a chain) and one octet
 * of flags.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nft_rows {
	uint8_t *bytes;
	uint32_t key_length, data_length; /* octets; data_length 0: no map */
	size_t count, room;
};

/* 0 or -ENOMEM. data NULL: zeros; key and data have the lengths of rows. */
int nft_rows_add(struct nft_rows *rows, const void *key, const void *data, uint8_t flags);
void nft_rows_done(struct nft_rows *rows);

const uint8_t *nft_rows_key(const struct nft_rows *rows, size_t i);
const uint8_t *nft_rows_data(const struct nft_rows *rows, size_t i); /* NULL: no map */
uint8_t nft_rows_flags(const struct nft_rows *rows, size_t i);

/* 0 or -ENOMEM: *ret is a copy without spare room. */
int nft_rows_copy(const struct nft_rows *rows, struct nft_rows *ret);
void nft_rows_sort(struct nft_rows *rows);

/* Both sorted and of the same lengths: tells each row of a that b has not. */
void nft_rows_missing(const struct nft_rows *a, const struct nft_rows *b,
		      void (*handler)(void *userdata, const struct nft_rows *rows, size_t i),
		      void *userdata);
bool nft_rows_equal(const struct nft_rows *a, const struct nft_rows *b);
