/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/decide.h"
#include "daemon/doctor_facts.h"
#include "daemon/import.h"
#include "daemon/machine.h"
#include "daemon/paint.h"
#include "daemon/probe.h"
#include "daemon/query.h"
#include "daemon/setup.h"
#include "lib/config/config.h"
#include "lib/kernel/snapshot.h"
#include "lib/map/choose.h"
#include "lib/map/plan.h"

static const char *config_file(const struct options *options)
{
	return options->config_file ? options->config_file : CONFIG_FILE;
}

/* For what also works without the default file, as the daemon does. */
static const char *config_file_if_any(const struct options *options)
{
	if (options->config_file || access(CONFIG_FILE, F_OK) == 0)
		return config_file(options);
	return NULL;
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

/* What the daemon would make of this machine, if it started now. */
static int look_at_this_machine(const struct setup *setup, struct plan_lines *lines,
				struct choice *ret)
{
	_cleanup_(rtnl_close_p) struct rtnl *nl = NULL;
	_cleanup_snapshot_ struct snapshot snapshot = {0};
	_cleanup_text_ struct text why = TEXT_INIT;
	struct decision decision = {0};
	struct fault fault = {0};
	struct wan_view wan = {0};
	int r;

	r = rtnl_open(&nl, &fault);
	if (r == 0)
		r = machine_look(nl, setup, &snapshot, &wan, &decision, &fault);
	if (r < 0) {
		fprintf(stderr, "maped: %s\n", fault.text);
		return r;
	}
	*ret = decision.choice;
	snprintf(lines->wan, sizeof(lines->wan), "%s", snapshot.wan);
	lines->wan_mtu = snapshot.wan_mtu;
	lines->ppp_up = snapshot.ppp_up;
	if (decision.choice.verdict == VERDICT_CHOSEN)
		return 0;
	decision_explain(&decision, &wan, &why);
	fprintf(stderr, "maped: %s\n", text_get(&why));
	return -ENOENT;
}

int command_print_plan(const struct options *options)
{
	_cleanup_setup_ struct setup setup = {0};
	_cleanup_text_ struct text out = TEXT_INIT, complaints = TEXT_INIT;
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	struct plan_lines lines = {.wan_mtu = 1500, .map_usable = true, .ppp_up = true};
	struct choice choice;
	int r;

	if (load(config_file_if_any(options), &setup) < 0)
		return EXIT_FAILURE;
	if (!options->argument) {
		r = look_at_this_machine(&setup, &lines, &choice);
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
	return text_get(&complaints)[0] ? EXIT_FAILURE : EXIT_SUCCESS;
}

int command_import(const struct options *options)
{
	enum iid_format format = IMPORT_INTERFACE_ID;

	if (options->iid_format && iid_format_parse(options->iid_format, &format) < 0) {
		fprintf(stderr, "maped: --interface-id: rfc7597 or map-draft-03\n");
		return 2;
	}
	return command_import_s46(options->argument, format, stdout);
}

static size_t screen_rows(void)
{
	struct winsize size = {0};

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row ? size.ws_row : SIZE_MAX;
}

static void show_plain(const char *plain, bool watch)
{
	_cleanup_text_ struct text fitting = TEXT_INIT, painted = TEXT_INIT, over = TEXT_INIT;
	struct text *shown = &fitting;

	paint_fit(plain, watch ? screen_rows() : SIZE_MAX, &fitting);
	if (paint_wanted(STDOUT_FILENO)) {
		paint_status(text_get(&fitting), &painted);
		shown = &painted;
	}
	if (watch && isatty(STDOUT_FILENO)) {
		paint_over(text_get(shown), &over);
		shown = &over;
	}
	fputs(text_get(shown), stdout);
}

static void explain_silence(int r, struct text *out)
{
	if (r == -ENOENT || r == -ECONNREFUSED)
		text_add(out, "maped: the daemon is not running (systemctl status maped)\n");
	else if (r == -EPROTO)
		text_add(out, "maped: the answer of the daemon is cut: ask again\n");
	else
		text_add(out, "maped: no answer from the daemon: %s\n", strerror(-r));
}

/* While it is watched, what is missing is shown where the status was. */
static void show_silence(const struct options *options, int r)
{
	_cleanup_text_ struct text why = TEXT_INIT;

	explain_silence(r, &why);
	if (options->watch && !options->json && isatty(STDOUT_FILENO))
		show_plain(text_get(&why), true);
	else
		fputs(text_get(&why), stderr);
}

static int show_status(const struct options *options)
{
	_cleanup_text_ struct text plain = TEXT_INIT, json = TEXT_INIT;
	int r = query_ask(&plain, &json);

	if (r < 0)
		show_silence(options, r);
	else if (options->json)
		fputs(text_get(&json), stdout);
	else
		show_plain(text_get(&plain), options->watch);
	fflush(stdout);
	return r;
}

int command_status(const struct options *options)
{
	int r;

	if (options->watch && !options->json && isatty(STDOUT_FILENO))
		printf("\033[2J"); /* all away */
	/* a daemon that is restarted comes back */
	while ((r = show_status(options), options->watch) && !ferror(stdout))
		sleep(1);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* 0 when every port answered, 1 when not. */
static int probe(const struct doctor_facts *facts, const struct probe_target *target)
{
	_cleanup_(probe_done) struct probe_result result = {0};
	_cleanup_text_ struct text out = TEXT_INIT;
	struct fault fault;

	if (facts->decision.choice.verdict != VERDICT_CHOSEN || !facts->tunnel_found) {
		fprintf(stderr, "maped: nothing to probe: MAP-E is not up\n");
		return 1;
	}
	if (probe_run(&facts->decision.choice.params, facts->settings->map.tunnel, target, &result,
		      &fault) < 0) {
		fprintf(stderr, "maped: %s\n", fault.text);
		return 1;
	}
	probe_print(&result, &out);
	fputs(text_get(&out), stdout);
	return !probe_is_whole(&result);
}

int command_doctor(const struct options *options)
{
	_cleanup_(doctor_facts_done) struct doctor_facts facts = {0};
	_cleanup_setup_ struct setup setup = {0};
	_cleanup_text_ struct text out = TEXT_INIT;
	struct probe_target target;
	struct findings findings;
	struct fault fault;
	int failed = 0;

	if (options->probe && probe_target_parse(options->probe, &target) < 0) {
		fprintf(stderr, "maped: --probe %s: not an IPv4 address, or ADDRESS:PORT\n",
			options->probe);
		return 2;
	}
	if (options->probe && geteuid() != 0) {
		fprintf(stderr, "maped: --probe needs root\n");
		return EXIT_FAILURE;
	}
	if (load(config_file_if_any(options), &setup) < 0)
		return EXIT_FAILURE;
	if (doctor_facts_gather(&setup, &facts, &fault) < 0) {
		fprintf(stderr, "maped: %s\n", fault.text);
		return EXIT_FAILURE;
	}
	if (geteuid() != 0)
		printf("(not root: other programs' firewall rules were not looked at)\n");
	doctor_judge(&facts, &findings);
	doctor_print(&findings, paint_wanted(STDOUT_FILENO), &out);
	fputs(text_get(&out), stdout);
	fflush(stdout);
	if (options->probe)
		failed = probe(&facts, &target);
	return findings.count > 0 || failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
