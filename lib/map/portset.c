/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/portset.h"

#include <assert.h>
#include <errno.h>

#define PORT_BITS 16u

int portset_check(const struct portset *set)
{
	if (set->psid_offset > 15 || set->psid_length > 16)
		return -EINVAL;
	if (set->psid_offset + set->psid_length > 16)
		return -EINVAL;
	if (set->psid >> set->psid_length)
		return -EINVAL;
	return 0;
}

bool portset_is_whole(const struct portset *set)
{
	return set->psid_length == 0;
}

/* a and m; the set is known to be in bounds, else the shifts below mean nothing. */
static unsigned int stride_bits(const struct portset *set)
{
	assert(portset_check(set) == 0);
	return portset_is_whole(set) ? PORT_BITS : PORT_BITS - set->psid_offset;
}

static unsigned int block_bits(const struct portset *set)
{
	return stride_bits(set) - set->psid_length;
}

/* The first value of A that holds ports: A = 0 is left out unless there are no A bits. */
static unsigned int first_a(const struct portset *set)
{
	return stride_bits(set) < PORT_BITS ? 1 : 0;
}

unsigned int portset_block_count(const struct portset *set)
{
	return (1u << (PORT_BITS - stride_bits(set))) - first_a(set);
}

unsigned int portset_block_size(const struct portset *set)
{
	return 1u << block_bits(set);
}

unsigned int portset_count(const struct portset *set)
{
	return portset_block_count(set) * portset_block_size(set);
}

struct port_range portset_block(const struct portset *set, unsigned int index)
{
	unsigned int first;

	assert(index < portset_block_count(set));
	first = (index + first_a(set)) << stride_bits(set) | (unsigned int)set->psid
								     << block_bits(set);
	return (struct port_range){
		.first = (uint16_t)first,
		.last = (uint16_t)(first + portset_block_size(set) - 1),
	};
}

uint16_t portset_nth(const struct portset *set, unsigned int index)
{
	struct port_range block = portset_block(set, index >> block_bits(set));

	return (uint16_t)(block.first + (index & (portset_block_size(set) - 1)));
}

/* How many ports of the set are lower than this one. */
static unsigned int ports_below(const struct portset *set, unsigned int port)
{
	unsigned int a = port >> stride_bits(set);
	unsigned int in_stride = port & ((1u << stride_bits(set)) - 1);
	unsigned int start = (unsigned int)set->psid << block_bits(set);
	unsigned int size = portset_block_size(set);
	unsigned int in_block;

	if (a < first_a(set))
		return 0;
	if (in_stride <= start)
		in_block = 0;
	else if (in_stride - start >= size)
		in_block = size;
	else
		in_block = in_stride - start;
	return (a - first_a(set)) * size + in_block;
}

bool portset_has(const struct portset *set, uint16_t port)
{
	unsigned int a = (unsigned int)port >> stride_bits(set);
	unsigned int in_stride = port & ((1u << stride_bits(set)) - 1);

	return a >= first_a(set) && in_stride >> block_bits(set) == set->psid;
}

int portset_index(const struct portset *set, uint16_t port)
{
	return portset_has(set, port) ? (int)ports_below(set, port) : -1;
}

/* With k > 0 two blocks never touch, so that a range without a gap lies in one block. */
bool portset_has_range(const struct portset *set, struct port_range range)
{
	if (range.first > range.last)
		return false;
	if (!portset_has(set, range.first) || !portset_has(set, range.last))
		return false;
	return range.first >> stride_bits(set) == range.last >> stride_bits(set);
}

bool portset_equal(const struct portset *a, const struct portset *b)
{
	if (portset_is_whole(a) || portset_is_whole(b))
		return portset_is_whole(a) && portset_is_whole(b);
	return a->psid_offset == b->psid_offset && a->psid_length == b->psid_length &&
	       a->psid == b->psid;
}

unsigned int portset_nearest(const struct portset *set, uint16_t port, uint16_t *ret_below,
			     uint16_t *ret_above)
{
	unsigned int below = ports_below(set, port);
	unsigned int above = below + (portset_has(set, port) ? 1 : 0);
	unsigned int found = 0;

	*ret_below = 0;
	*ret_above = 0;
	if (below > 0) {
		*ret_below = portset_nth(set, below - 1);
		found++;
	}
	if (above < portset_count(set)) {
		*ret_above = portset_nth(set, above);
		found++;
	}
	return found;
}

unsigned int portset_longest_run(const struct portset *set)
{
	return portset_block_size(set);
}
