/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pure part of probe.h: what is asked for, and what is said. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/probe.h"

int probe_target_parse(const char *word, struct probe_target *ret)
{
	struct probe_target target = {.port = PROBE_PORT_DEFAULT};
	const char *colon = strchr(word, ':');
	char address[INET_ADDRSTRLEN], *end;
	size_t length = colon ? (size_t)(colon - word) : strlen(word);
	unsigned long port;

	if (length >= sizeof(address))
		return -EINVAL;
	snprintf(address, sizeof(address), "%.*s", (int)length, word);
	if (inet_pton(AF_INET, address, &target.address) != 1)
		return -EINVAL;
	if (colon) {
		port = strtoul(colon + 1, &end, 10);
		if (colon[1] < '0' || colon[1] > '9' || *end || port < 1 || port > UINT16_MAX)
			return -EINVAL;
		target.port = (uint16_t)port;
	}
	*ret = target;
	return 0;
}

void probe_done(struct probe_result *result)
{
	free(result->seen);
	result->seen = NULL;
}

struct block {
	unsigned int size, tried, answered;
};

static struct block block_of(const struct probe_result *result, unsigned int index)
{
	unsigned int size = portset_block_size(&result->ports);
	const struct probe_port *port = &result->seen[(size_t)index * size];
	struct block block = {.size = size};

	for (unsigned int i = 0; i < size; i++) {
		block.tried += port[i].tried;
		block.answered += port[i].answered;
	}
	return block;
}

static bool same(const struct block *a, const struct block *b)
{
	return a->tried == b->tried && a->answered == b->answered;
}

static void print_blocks(const struct probe_result *result, unsigned int first, unsigned int last,
			 const struct block *block, struct text *out)
{
	struct port_range begin = portset_block(&result->ports, first);
	struct port_range end = portset_block(&result->ports, last);

	if (first == last)
		text_add(out, "  block %u (%u-%u): ", first, begin.first, begin.last);
	else
		text_add(out, "  blocks %u-%u (%u-%u ... %u-%u): ", first, last, begin.first,
			 begin.last, end.first, end.last);
	if (block->tried == 0)
		text_add(out, "not tried\n");
	else if (block->answered == block->size)
		text_add(out, "all %u ports answer\n", block->size);
	else
		text_add(out, "%u of %u ports answer%s\n", block->answered, block->tried,
			 block->answered == 0 ? " <- NONE" : "");
}

static void print_all_blocks(const struct probe_result *result, struct text *out)
{
	unsigned int count = portset_block_count(&result->ports), first = 0;
	struct block present = block_of(result, 0);

	for (unsigned int i = 1; i <= count; i++) {
		struct block next = i < count ? block_of(result, i) : (struct block){0};

		if (i < count && same(&present, &next))
			continue;
		print_blocks(result, first, i - 1, &present, out);
		first = i;
		present = next;
	}
}

static unsigned int count_tried(const struct probe_result *result)
{
	unsigned int tried = 0;

	for (unsigned int i = 0; i < portset_count(&result->ports); i++)
		tried += result->seen[i].tried;
	return tried;
}

static unsigned int count_whole_blocks(const struct probe_result *result)
{
	unsigned int whole = 0;

	for (unsigned int i = 0; i < portset_block_count(&result->ports); i++) {
		struct block block = block_of(result, i);

		whole += block.answered == block.size;
	}
	return whole;
}

bool probe_is_whole(const struct probe_result *result)
{
	if (portset_is_whole(&result->ports))
		return result->answered == result->flows && result->flows > 0;
	return count_whole_blocks(result) == portset_block_count(&result->ports);
}

static void print_causes(const struct probe_result *result, struct text *out)
{
	if (result->flows > 0 && result->answered == 0)
		text_add(out, "  nothing came back: is the address right, and does it answer "
			      "there?\n");
	if (result->unknown)
		text_add(out,
			 "  %u were refused: they came through, but their ports are not known any "
			 "more;\n"
			 "  name a port on which the host accepts\n",
			 result->unknown);
	if (result->unmapped)
		text_add(out,
			 "  %u got no port: LAN hosts use it for the same address, it is "
			 "forwarded,\n"
			 "  or another program drops them\n",
			 result->unmapped);
	if (result->foreign)
		text_add(out,
			 "  %u left with a port that is not yours: another program translates "
			 "them\n",
			 result->foreign);
}

void probe_print(const struct probe_result *result, struct text *out)
{
	char address[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &result->target.address, address, sizeof(address));
	text_add(out, "probe %s port %u: %u of %u connections answered", address,
		 result->target.port, result->answered, result->flows);
	text_add(out, " in %.1f s\n", (double)result->took_usec / 1e6);
	if (!portset_is_whole(&result->ports)) {
		text_add(out, "  %u of %u ports used; %u of %u blocks answer on every port\n",
			 count_tried(result), portset_count(&result->ports),
			 count_whole_blocks(result), portset_block_count(&result->ports));
		print_all_blocks(result, out);
	}
	print_causes(result, out);
}
