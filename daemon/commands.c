/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/setup.h"
#include "lib/config/config.h"
#include "lib/map/choose.h"
#include "lib/map/plan.h"

static const char *config_file(const struct options *options)
{
	return options->config_file ? options->config_file : CONFIG_FILE;
}

static int load(const char *file, struct setup *ret)
{
	_cleanup_text_ struct text complaints = TEXT_INIT;
	int r = setup_load(file, ret, &complaints);

	fputs(text_get(&complaints), stderr);
	return r;
}

int command_check_config(const struct options *options)
{
	_cleanup_setup_ struct setup setup = {0};

	if (load(config_file(options), &setup) < 0)
		return EXIT_FAILURE;
	printf("%s: no mistakes; %zu rules\n", config_file(options), setup.rules.count);
	return EXIT_SUCCESS;
}

/* What the daemon would make of this prefix if it were the only one on the line. */
static int derive(const struct setup *setup, const char *word, struct choice *ret)
{
	_cleanup_candidates_ struct candidates seen = {0};
	_cleanup_text_ struct text why = TEXT_INIT;
	struct candidate one = {
		.source = SOURCE_STATIC,
		.valid_until_usec = UINT64_MAX,
	};
	struct settings as_written = setup->settings;
	int r;

	r = prefix6_parse(word, &one.prefix);
	if (r < 0) {
		fprintf(stderr, "maped: %s: %s\n", word,
			r == -EDOM ? "bits are set behind the prefix length"
				   : "not an IPv6 prefix such as 2400:4050:48d:2900::/56");
		return r;
	}
	as_written.wan.prefix_mode = PREFIX_STATIC;
	as_written.wan.prefix = one.prefix;
	r = candidates_add(&seen, &one);
	if (r < 0)
		return r;
	choose_prefix(&seen, &as_written, &setup->rules, NULL, ret);
	if (ret->verdict == VERDICT_CHOSEN)
		return 0;
	choice_explain(ret, "", &why);
	fprintf(stderr, "maped: %s: %s\n", word, text_get(&why));
	return -ENOENT;
}

int command_calc(const struct options *options)
{
	_cleanup_setup_ struct setup setup = {0};
	_cleanup_text_ struct text out = TEXT_INIT;
	struct choice choice;

	if (load(options->config_file, &setup) < 0)
		return EXIT_FAILURE;
	if (derive(&setup, options->argument, &choice) < 0)
		return EXIT_FAILURE;
	map_params_print(&choice.params, &out);
	fputs(text_get(&out), stdout);
	return EXIT_SUCCESS;
}

int command_print_plan(const struct options *options)
{
	_cleanup_setup_ struct setup setup = {0};
	_cleanup_text_ struct text out = TEXT_INIT, complaints = TEXT_INIT;
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	struct plan_lines lines = {.wan_mtu = 1500, .map_usable = true, .ppp_up = true};
	struct choice choice;
	int r;

	if (load(config_file(options), &setup) < 0)
		return EXIT_FAILURE;
	if (!options->argument) {
		r = lines_of_this_machine(&setup, &lines, &choice);
	} else {
		snprintf(lines.wan, sizeof(lines.wan), "%s",
			 setup.settings.wan.interface[0] ? setup.settings.wan.interface : "auto");
		r = derive(&setup, options->argument, &choice);
	}
	if (r < 0)
		return EXIT_FAILURE;
	r = plan_build(&setup.settings, &choice.params, &lines, &plan, &complaints);
	if (r < 0) {
		fprintf(stderr, "maped: %s\n", strerror(-r));
		return EXIT_FAILURE;
	}
	fputs(text_get(&complaints), stderr);
	plan_print(&plan, &out);
	fputs(text_get(&out), stdout);
	return EXIT_SUCCESS;
}
