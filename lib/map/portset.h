/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The port set of a MAP CE (RFC 7597 section 5.1, appendix B). Pure.
 *
 *   bit 15                     bit 0
 *   | A (a bits) | PSID (k) | j (m) |      a = psid_offset, k = psid_length, m = 16 - a - k
 *
 * Every block A = 1 .. 2^a - 1 (only "no A" when a = 0) holds the 2^m ports j. With k = 0 the whole
 * address belongs to the CE: one block of 65536 ports, a without effect.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct portset {
	uint8_t psid_offset; /* a, 0..15 */
	uint8_t psid_length; /* k, 0..16, a + k <= 16 */
	uint16_t psid;       /* right-aligned, < 2^k */
};

struct port_range {
	uint16_t first;
	uint16_t last; /* inclusive */
};

/* 0, or -EINVAL when the values break the bounds above. Every other function needs a set that
 * passes, and an index within its bounds: anything else is a mistake of the program and aborts. */
int portset_check(const struct portset *set);

/* k = 0: all 65536 ports, every protocol. */
bool portset_is_whole(const struct portset *set);

unsigned int portset_block_count(const struct portset *set); /* 1..32767 */
unsigned int portset_block_size(const struct portset *set);  /* ports in one block, 1..65536 */
unsigned int portset_count(const struct portset *set);       /* all ports, 1..65536 */

/* Block number index (0-based, < portset_block_count), in ascending order of ports. */
struct port_range portset_block(const struct portset *set, unsigned int index);

/* Port number index (0-based, < portset_count), in ascending order. */
uint16_t portset_nth(const struct portset *set, unsigned int index);

/* The inverse: the index of a port, or -1 when it is not in the set. */
int portset_index(const struct portset *set, uint16_t port);
bool portset_has(const struct portset *set, uint16_t port);
bool portset_has_range(const struct portset *set, struct port_range range);

bool portset_equal(const struct portset *a, const struct portset *b);

/* The usable ports nearest to one, itself left out: the highest below and the lowest above it.
 * Returns how many exist (0..2); a missing one becomes 0. */
unsigned int portset_nearest(const struct portset *set, uint16_t port, uint16_t *ret_below,
			     uint16_t *ret_above);

/* How many consecutive ports the longest run holds. With k > 0 a block never fills its stride, so
 * that two blocks never touch; with k = 0 there is one block. */
unsigned int portset_longest_run(const struct portset *set);
