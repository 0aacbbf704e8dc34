/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the ports of the shared address are used, as numbers for people. Filled by the manager. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum usage_protocol {
	USAGE_TCP,
	USAGE_UDP,
	USAGE_ICMP,
	USAGE_PROTOCOLS,
};

const char *usage_protocol_name(enum usage_protocol protocol);

#define USAGE_TOP 10

struct usage_top {
	struct in_addr address;
	unsigned int ports; /* LAN host: outer ports held; destination: flows */
};

struct usage {
	bool known;
	uint64_t read_usec;                  /* CLOCK_BOOTTIME */
	unsigned int used[USAGE_PROTOCOLS];  /* different outer ports (identifiers) in use */
	unsigned int flows[USAGE_PROTOCOLS]; /* a port serves many destinations */
	unsigned int peak[USAGE_PROTOCOLS];  /* highest `used` seen by this process */
	uint64_t refused;                    /* flows for which no port was free */
	uint64_t unmappable;                 /* packets of protocols that cannot be mapped */
	uint64_t leaked;                     /* packets stopped at the way out */
	uint64_t intruded;                   /* packets stopped at the way in */
	struct usage_top hosts[USAGE_TOP];
	size_t host_count;
	struct usage_top destinations[USAGE_TOP];
	size_t destination_count;
	unsigned char
		blocks[64]; /* per block of the port set, percent in use; the first 64 blocks */
	size_t block_count;
};

/* A sentence when one protocol uses this much of the port set, else "". */
#define USAGE_SCARCE_PERCENT 80
void usage_scarce(const struct usage *usage, unsigned int ports, char *buffer, size_t size);
