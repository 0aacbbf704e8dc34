/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/usage_tally.h"

#include <string.h>

#define PORT_WORDS (65536 / 64)
/* Addresses beyond this many are counted in the sums only. A power of two. */
#define ADDRESS_SLOTS 4096u

struct slot {
	in_addr_t address; /* 0 = free */
	unsigned int count;
};

struct usage_tally {
	const struct portset *ports;
	uint64_t used[USAGE_PROTOCOLS][PORT_WORDS];
	unsigned int flows[USAGE_PROTOCOLS];
	struct slot hosts[ADDRESS_SLOTS];        /* outer ports held */
	struct slot destinations[ADDRESS_SLOTS]; /* flows */
};

struct usage_tally *usage_tally_new(const struct portset *ports)
{
	struct usage_tally *tally = calloc(1, sizeof(*tally));

	if (tally)
		tally->ports = ports;
	return tally;
}

void usage_tally_free(struct usage_tally *tally)
{
	free(tally);
}

static int protocol_of(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return USAGE_TCP;
	case IPPROTO_UDP:
		return USAGE_UDP;
	case IPPROTO_ICMP:
		return USAGE_ICMP;
	default:
		return -1;
	}
}

static void count(struct slot slots[static ADDRESS_SLOTS], struct in_addr address)
{
	uint32_t hash = (uint32_t)address.s_addr * 2654435761u;

	if (address.s_addr == 0)
		return;
	for (unsigned int i = 0; i < ADDRESS_SLOTS; i++) {
		struct slot *slot = &slots[(hash + i) & (ADDRESS_SLOTS - 1)];

		if (slot->address != 0 && slot->address != address.s_addr)
			continue;
		slot->address = address.s_addr;
		slot->count++;
		return;
	}
}

void usage_tally_add(void *userdata, const struct conntrack_entry *entry)
{
	struct usage_tally *tally = userdata;
	uint16_t port = entry->reply.destination_port;
	int protocol = protocol_of(entry->protocol);
	uint64_t bit = (uint64_t)1 << (port % 64), *word;

	if (protocol < 0 || !portset_has(tally->ports, port))
		return;
	tally->flows[protocol]++;
	count(tally->destinations, entry->original.destination);
	word = &tally->used[protocol][port / 64];
	if (*word & bit)
		return;
	*word |= bit;
	count(tally->hosts, entry->original.source);
}

static bool is_used(const struct usage_tally *tally, int protocol, unsigned int port)
{
	return tally->used[protocol][port / 64] >> (port % 64) & 1;
}

static size_t best_of(const struct slot slots[static ADDRESS_SLOTS],
		      struct usage_top top[static USAGE_TOP])
{
	size_t found = 0;

	for (unsigned int i = 0; i < ADDRESS_SLOTS; i++) {
		size_t at = found;

		if (slots[i].count == 0)
			continue;
		while (at > 0 && top[at - 1].ports < slots[i].count)
			at--;
		if (at == USAGE_TOP)
			continue;
		if (found < USAGE_TOP)
			found++;
		memmove(&top[at + 1], &top[at], (found - at - 1) * sizeof(top[0]));
		top[at].address.s_addr = slots[i].address;
		top[at].ports = slots[i].count;
	}
	return found;
}

/* A block is as full as its fullest protocol. */
static unsigned char block_percent(const struct usage_tally *tally, struct port_range range)
{
	unsigned int size = (unsigned int)(range.last - range.first) + 1, most = 0;

	for (int protocol = 0; protocol < USAGE_PROTOCOLS; protocol++) {
		unsigned int used = 0;

		for (unsigned int port = range.first; port <= range.last; port++)
			used += is_used(tally, protocol, port);
		most = MAX_OF(most, used);
	}
	return (unsigned char)(most * 100 / size);
}

void usage_tally_finish(const struct usage_tally *tally, struct usage *usage)
{
	unsigned int blocks = portset_block_count(tally->ports);

	for (int protocol = 0; protocol < USAGE_PROTOCOLS; protocol++) {
		usage->used[protocol] = 0;
		for (size_t i = 0; i < PORT_WORDS; i++)
			usage->used[protocol] +=
				(unsigned int)__builtin_popcountll(tally->used[protocol][i]);
		usage->peak[protocol] = MAX_OF(usage->peak[protocol], usage->used[protocol]);
		usage->flows[protocol] = tally->flows[protocol];
	}
	usage->host_count = best_of(tally->hosts, usage->hosts);
	usage->destination_count = best_of(tally->destinations, usage->destinations);
	usage->block_count = MIN_OF(blocks, ARRAY_SIZE(usage->blocks));
	for (unsigned int i = 0; i < usage->block_count; i++)
		usage->blocks[i] = block_percent(tally, portset_block(tally->ports, i));
	usage->known = true;
}
