/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `maped --doctor --probe`: does every port of the set work? As many TCP connections as there are
 * ports are opened at the same time, all to one address and port, through the tunnel. No two of
 * them can share a port, so the NAT has to use all; connection tracking tells which connection got
 * which port. A port works when something came back. The host has to accept: connection tracking
 * forgets what is refused at once (nf_conntrack_proto_tcp.c), and with it the port.
 *
 * Bounded: at most PROBE_FLOWS_MAX connections, not faster than 500 a second, no more than 64 of
 * them without their first answer, and 5 seconds of patience (20 while answers keep coming) behind
 * the last. They are reset at the end, which frees the ports within seconds.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/text.h"
#include "lib/map/derive.h"
#include "lib/map/portset.h"

#define PROBE_FLOWS_MAX    4096
#define PROBE_PORT_DEFAULT 80

struct probe_target {
	struct in_addr address;
	uint16_t port;
};

/* "203.0.113.1" or "203.0.113.1:443". 0 or -EINVAL. */
int probe_target_parse(const char *word, struct probe_target *ret);

struct probe_port {
	bool tried, answered;
};

struct probe_result {
	struct probe_target target;
	struct portset ports;
	struct probe_port *seen; /* by index in the port set */
	unsigned int flows;      /* opened */
	unsigned int answered;
	unsigned int unknown;  /* of these: refused, and forgotten by connection tracking */
	unsigned int unmapped; /* no port: none was free, or something keeps them from leaving */
	unsigned int foreign;  /* left with a port outside the set */
	uint64_t took_usec;
};

/* Needs root. Prints nothing; takes up to half a minute. 0 or negative errno; ret is the caller's
 * to free with probe_done(). */
int probe_run(const struct map_params *params, const char *tunnel,
	      const struct probe_target *target, struct probe_result *ret, struct fault *reterr);
void probe_done(struct probe_result *result);

/* Did every port of every block answer? */
bool probe_is_whole(const struct probe_result *result);

/* At most 80 columns; blocks that behave alike in one line. */
void probe_print(const struct probe_result *result, struct text *out);
