/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `maped --import-s46`: mapping rules that came by DHCPv6, written as a rule file. */
#pragma once

#include <stdio.h>

#include "lib/map/rule.h"

/* What RFC 7598 implies; the providers of the shipped rules do not send the option. */
#define IMPORT_INTERFACE_ID IID_RFC7597

/* input: the hex digits of option 94 (payload, or whole options; see s46_decode(), blanks and
 * colons between octets are passed over), or the $MAPE of odhcp6c. Writes a rule file that
 * config_load_rules() reads to out, and what is wrong to standard error. Exit status: EXIT_FAILURE,
 * with nothing written, when there is no usable rule. */
int command_import_s46(const char *input, enum iid_format iid_format, FILE *out);
