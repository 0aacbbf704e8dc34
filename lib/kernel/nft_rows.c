/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 8u

static size_t stride(const struct nft_rows *rows)
{
	return (size_t)rows->key_length + rows->data_length + 1;
}

static uint8_t *row(const struct nft_rows *rows, size_t i)
{
	return rows->bytes + i * stride(rows);
}

static int make_room(struct nft_rows *rows)
{
	size_t wanted = rows->room ? rows->room * 2 : ROOM_FIRST;
	uint8_t *bytes;

	if (rows->count < rows->room)
		return 0;
	bytes = reallocarray(rows->bytes, wanted, stride(rows));
	if (!bytes)
		return -ENOMEM;
	rows->bytes = bytes;
	rows->room = wanted;
	return 0;
}

int nft_rows_add(struct nft_rows *rows, const void *key, const void *data, uint8_t flags)
{
	uint8_t *to;
	int r = make_room(rows);

	if (r < 0)
		return r;
	to = row(rows, rows->count++);
	memcpy(to, key, rows->key_length);
	if (data)
		memcpy(to + rows->key_length, data, rows->data_length);
	else
		memset(to + rows->key_length, 0, rows->data_length);
	to[rows->key_length + rows->data_length] = flags;
	return 0;
}

void nft_rows_done(struct nft_rows *rows)
{
	free(rows->bytes);
	rows->bytes = NULL;
	rows->count = rows->room = 0;
}

const uint8_t *nft_rows_key(const struct nft_rows *rows, size_t i)
{
	return row(rows, i);
}

const uint8_t *nft_rows_data(const struct nft_rows *rows, size_t i)
{
	return rows->data_length ? row(rows, i) + rows->key_length : NULL;
}

uint8_t nft_rows_flags(const struct nft_rows *rows, size_t i)
{
	return row(rows, i)[rows->key_length + rows->data_length];
}

int nft_rows_copy(const struct nft_rows *rows, struct nft_rows *ret)
{
	struct nft_rows copy = *rows;

	copy.bytes = NULL;
	copy.room = rows->count;
	if (rows->count) {
		copy.bytes = reallocarray(NULL, rows->count, stride(rows));
		if (!copy.bytes)
			return -ENOMEM;
		memcpy(copy.bytes, rows->bytes, rows->count * stride(rows));
	}
	*ret = copy;
	return 0;
}

static int compare(const void *a, const void *b, void *length)
{
	return memcmp(a, b, *(const size_t *)length);
}

void nft_rows_sort(struct nft_rows *rows)
{
	size_t length = stride(rows);

	if (rows->count > 1)
		qsort_r(rows->bytes, rows->count, length, compare, &length);
}

void nft_rows_missing(const struct nft_rows *a, const struct nft_rows *b,
		      void (*handler)(void *userdata, const struct nft_rows *rows, size_t i),
		      void *userdata)
{
	size_t length = stride(a), j = 0;

	for (size_t i = 0; i < a->count; i++) {
		while (j < b->count && memcmp(row(b, j), row(a, i), length) < 0)
			j++;
		if (j == b->count || memcmp(row(b, j), row(a, i), length) != 0)
			handler(userdata, a, i);
	}
}

bool nft_rows_equal(const struct nft_rows *a, const struct nft_rows *b)
{
	return a->count == b->count &&
	       (a->count == 0 || memcmp(a->bytes, b->bytes, a->count * stride(a)) == 0);
}
