/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Texts of the file as values. Each function returns 0, or -EINVAL with a sentence that quotes the
 * text; ret is then untouched. Pure.
 */
#pragma once

#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/map/portset.h"
#include "lib/map/prefix.h"
#include "lib/map/settings.h"

/* A name the kernel takes (net/core/dev.c dev_valid_name), and none that means something else in
 * /proc/sys/net/ipv4/conf ("all", "default") or is the loopback. */
int interface_parse(const char *text, char ret[static IFNAMSIZ], struct fault *reterr);

/* "tcp", "udp", "tcp+udp". */
int protocols_parse(const char *text, unsigned int *ret, struct fault *reterr);

/* "80" or "8000-8010", 1..65535. */
int ports_parse(const char *text, struct port_range *ret, struct fault *reterr);

/* "tcp/22", "tcp+udp/5000-5010". */
int service_parse(const char *text, struct service *ret, struct fault *reterr);

/* "192.168.1.10" or "192.168.1.10:80"; without a port *ret_port is 0. */
int target_parse(const char *text, struct in_addr *ret, uint16_t *ret_port, struct fault *reterr);

/* "00:11:22:aa:bb:cc", of one station. */
int ether_parse(const char *text, struct ether_addr *ret, struct fault *reterr);

/* As prefix4_parse() and prefix6_parse(), with a sentence. */
int prefix4_value(const char *text, struct prefix4 *ret, struct fault *reterr);
int prefix6_value(const char *text, struct prefix6 *ret, struct fault *reterr);

/* A global unicast address (2000::/3). */
int in6_value(const char *text, struct in6_addr *ret, struct fault *reterr);
