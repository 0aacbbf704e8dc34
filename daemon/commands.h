/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands that need no running daemon. Each returns the exit status. */
#pragma once

#include "daemon/options.h"

int command_check_config(const struct options *options);
int command_calc(const struct options *options);
int command_print_plan(const struct options *options);
