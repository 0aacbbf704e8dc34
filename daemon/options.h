/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line as values. */
#pragma once

#include <stdbool.h>

enum command {
	COMMAND_RUN,
	COMMAND_CHECK_CONFIG,
	COMMAND_CALC,
	COMMAND_PRINT_PLAN,
	COMMAND_STATUS,
	COMMAND_DOCTOR,
	COMMAND_IMPORT_S46,
	COMMAND_REMOVE,
	COMMAND_HELP,
	COMMAND_VERSION,
};

struct options {
	enum command command;
	const char *config_file; /* NULL = not given */
	const char *argument;    /* PREFIX of --calc and --print-plan (may be NULL), HEX */
	const char *iid_format;  /* with --import-s46; NULL = not given */
	const char *probe;       /* with --doctor; NULL = not given */
	bool json, watch;        /* with --status */
};

/* 0, or -EINVAL after a sentence on standard error that names the option and the near one. Strings
 * point into argv. */
int options_parse(int argc, char *argv[], struct options *ret);

void options_help(void);
