/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clock by which the kernel stamps addresses (ifa_cacheinfo: cstamp, tstamp). */
#pragma once

#include <stdint.h>

/* Now, in microseconds; counts 1/100 s. It stands still during suspend as CLOCK_MONOTONIC does, and
 * is behind it by what passed between the start of that clock and of the kernel's ticks: some
 * tenths of a second, as much as lies between two signs of a prefix. */
uint64_t stamp_now_usec(void);
