/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attributes of the kernel's messages, one at a time. What is not there, or not as it should be, is
 * NULL, "" or 0. */
#pragma once

#include <libmnl/libmnl.h>
#include <stdint.h>

/* The first of that type in a message, or inside another attribute (NULL: nothing). */
const struct nlattr *nft_attribute(const struct nlmsghdr *nlh, int type);
const struct nlattr *nft_nested(const struct nlattr *in, int type);

const char *nft_text(const struct nlattr *attr);
uint32_t nft_number(const struct nlattr *attr);
