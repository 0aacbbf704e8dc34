/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the command line asks for besides running. Each returns the exit status. */
#pragma once

#include "daemon/options.h"

int command_check_config(const struct options *options);
int command_calc(const struct options *options);
int command_print_plan(const struct options *options);
/* Exit status 0 when nothing is found. */
int command_doctor(const struct options *options);
int command_import(const struct options *options);

/* Asks the running daemon. */
int command_status(const struct options *options);
