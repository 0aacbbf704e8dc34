/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "daemon/commands.h"
#include "daemon/manager.h"
#include "daemon/options.h"
#include "daemon/thrift.h"

static int run(const struct options *options)
{
	_cleanup_(manager_free_p) struct manager *manager = NULL;
	int r;

	thrift_begin();
	r = manager_new(options->config_file, &manager);
	if (r == -ENOMEM)
		fputs("maped: out of memory\n", stderr);
	if (r < 0)
		return r == -EBADMSG ? EX_CONFIG : EXIT_FAILURE;
	return manager_run(manager) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	struct options options;

	if (options_parse(argc, argv, &options) < 0)
		return 2;
	switch (options.command) {
	case COMMAND_RUN:
		return run(&options);
	case COMMAND_CHECK_CONFIG:
		return command_check_config(&options);
	case COMMAND_CALC:
		return command_calc(&options);
	case COMMAND_PRINT_PLAN:
		return command_print_plan(&options);
	case COMMAND_STATUS:
		return command_status(&options);
	case COMMAND_DOCTOR:
		return command_doctor(&options);
	case COMMAND_IMPORT_S46:
		return command_import(&options);
	case COMMAND_REMOVE:
		return manager_remove();
	case COMMAND_HELP:
		options_help();
		return EXIT_SUCCESS;
	case COMMAND_VERSION:
		printf("maped %s\n", MAPED_VERSION);
		return EXIT_SUCCESS;
	}
	return EXIT_FAILURE;
}
