/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/macro.h"
#include "lib/config/near.h"

enum {
	OPTION_CONFIG = 256,
	OPTION_CHECK_CONFIG,
	OPTION_CALC,
	OPTION_PRINT_PLAN,
	OPTION_STATUS,
	OPTION_JSON,
	OPTION_WATCH,
	OPTION_DOCTOR,
	OPTION_PROBE,
	OPTION_REMOVE,
	OPTION_IMPORT_S46,
	OPTION_INTERFACE_ID,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
	{"calc", required_argument, NULL, OPTION_CALC},
	{"print-plan", no_argument, NULL, OPTION_PRINT_PLAN},
	{"status", no_argument, NULL, OPTION_STATUS},
	{"json", no_argument, NULL, OPTION_JSON},
	{"watch", no_argument, NULL, OPTION_WATCH},
	{"import-s46", required_argument, NULL, OPTION_IMPORT_S46},
	{"interface-id", required_argument, NULL, OPTION_INTERFACE_ID},
	{"doctor", no_argument, NULL, OPTION_DOCTOR},
	{"probe", required_argument, NULL, OPTION_PROBE},
	{"remove", no_argument, NULL, OPTION_REMOVE},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{0},
};

void options_help(void)
{
	printf("usage: maped [OPTION]...\n"
	       "Turn this machine into a MAP-E (RFC 7597) customer edge.\n"
	       "\n"
	       "Without a command maped runs in the foreground, as its service does.\n"
	       "\n"
	       "  --config FILE          read FILE instead of /etc/maped.conf\n"
	       "  --status [--json]      what the running maped is doing; --watch repeats it\n"
	       "  --doctor               what keeps MAP-E from working here, and what mends it\n"
	       "    --probe ADDRESS[:PORT]  and whether every port works, towards this host\n"
	       "  --check-config         check the configuration: FILE:LINE: what is wrong\n"
	       "  --calc PREFIX          the MAP-E parameters of an IPv6 prefix\n"
	       "  --print-plan [PREFIX]  what maped would set up, for PREFIX or for this line\n"
	       "  --import-s46 HEX       a rule file from DHCPv6 option 94 (RFC 7598);\n"
	       "    --interface-id NAME  its layout: rfc7597 (default) or map-draft-03\n"
	       "  --remove               take away what a killed maped left behind\n"
	       "  --help, --version\n"
	       "\n"
	       "See maped(8) and maped.conf(5).\n");
}

static unsigned int common_start(const char *a, const char *b)
{
	unsigned int n = 0;

	while (a[n] && a[n] == b[n])
		n++;
	return n;
}

/* The option that a letter or a beginning stands for, or that has been mistyped; NULL: none. */
static const char *near_option(const char *word)
{
	char name[32];
	struct near near;
	const char *best = NULL;
	unsigned int best_length;

	while (*word == '-')
		word++;
	snprintf(name, sizeof(name), "%.*s", (int)MIN_OF(strcspn(word, "="), sizeof(name) - 1),
		 word);
	near = near_init(name);
	best_length = name[0] && name[1] ? 1 : 0;
	for (const struct option *o = long_options; o->name; o++) {
		near_offer(&near, o->name);
		if (common_start(o->name, name) > best_length) {
			best = o->name;
			best_length = common_start(o->name, name);
		}
	}
	return near.best ? near.best : best;
}

static int complain(const char *word, const char *what)
{
	const char *near = near_option(word);

	fprintf(stderr, "maped: %s: %s", word, what);
	if (near)
		fprintf(stderr, "; did you mean --%s?", near);
	fprintf(stderr, "\nTry 'maped --help'.\n");
	return -EINVAL;
}

static int set_command(struct options *options, enum command command)
{
	if (options->command != COMMAND_RUN && options->command != command) {
		fprintf(stderr, "maped: only one command at a time\n");
		return -EINVAL;
	}
	options->command = command;
	return 0;
}

static int take_option(struct options *options, int option, char *argv[])
{
	switch (option) {
	case OPTION_CONFIG:
		options->config_file = optarg;
		return 0;
	case OPTION_CHECK_CONFIG:
		return set_command(options, COMMAND_CHECK_CONFIG);
	case OPTION_CALC:
		options->argument = optarg;
		return set_command(options, COMMAND_CALC);
	case OPTION_PRINT_PLAN:
		return set_command(options, COMMAND_PRINT_PLAN);
	case OPTION_STATUS:
		return set_command(options, COMMAND_STATUS);
	case OPTION_JSON:
		options->json = true;
		return 0;
	case OPTION_WATCH:
		options->watch = true;
		return 0;
	case OPTION_IMPORT_S46:
		options->argument = optarg;
		return set_command(options, COMMAND_IMPORT_S46);
	case OPTION_INTERFACE_ID:
		options->iid_format = optarg;
		return 0;
	case OPTION_DOCTOR:
		return set_command(options, COMMAND_DOCTOR);
	case OPTION_PROBE:
		options->probe = optarg;
		return 0;
	case OPTION_REMOVE:
		return set_command(options, COMMAND_REMOVE);
	case OPTION_HELP:
		return set_command(options, COMMAND_HELP);
	case OPTION_VERSION:
		return set_command(options, COMMAND_VERSION);
	case ':':
		fprintf(stderr, "maped: %s needs an argument\n", argv[optind - 1]);
		return -EINVAL;
	default:
		return complain(argv[optind - 1], "unknown option");
	}
}

int options_parse(int argc, char *argv[], struct options *ret)
{
	struct options options = {.command = COMMAND_RUN};
	int option, r;

	while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		r = take_option(&options, option, argv);
		if (r < 0)
			return r;
	}
	if (optind < argc && options.command == COMMAND_PRINT_PLAN)
		options.argument = argv[optind++];
	if (optind < argc)
		return complain(argv[optind], "unexpected argument");
	if ((options.json || options.watch) && options.command != COMMAND_STATUS) {
		fprintf(stderr, "maped: --json and --watch go with --status\n");
		return -EINVAL;
	}
	if (options.probe && options.command != COMMAND_DOCTOR) {
		fprintf(stderr, "maped: --probe goes with --doctor\n");
		return -EINVAL;
	}
	if (options.iid_format && options.command != COMMAND_IMPORT_S46) {
		fprintf(stderr, "maped: --interface-id goes with --import-s46\n");
		return -EINVAL;
	}
	*ret = options;
	return 0;
}
