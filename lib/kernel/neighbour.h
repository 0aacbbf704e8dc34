/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Does another device on the link own an IPv6 address? One neighbour solicitation (RFC 4861 4.3),
 * as for any address that is about to be written to, and a moment to wait for the answer. It is not
 * a duplicate address detection: a device that is just claiming the address is not disturbed
 * (RFC 4862 5.4.3 ignores solicitations from a real source).
 */
#pragma once

#include <net/ethernet.h>
#include <netinet/in.h>

#include "lib/base/fault.h"

/* 1 somebody answers (ret: its link address, zero when it did not tell), 0 nobody, negative errno
 * (-EPERM without CAP_NET_RAW). The addresses of this machine itself do not answer. */
int neighbour_ask(int ifindex, const struct in6_addr *address, unsigned int patience_ms,
		  struct ether_addr *ret, struct fault *reterr);
