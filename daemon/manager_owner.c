/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/manager_private.h"
#include "daemon/thrift.h"

int manager_load_setup(struct manager *m, struct setup **ret, struct text *complaints)
{
	_cleanup_(setup_free_p) struct setup *setup = calloc(1, sizeof(*setup));
	const char *file = m->config_file;
	int r;

	if (!setup)
		return -ENOMEM;
	if (m->config_optional && access(file, F_OK) < 0 && errno == ENOENT) {
		log_say(m->log, LOG_NOTICE, NULL, "%s does not exist: running with the defaults",
			file);
		file = NULL;
	}
	r = setup_load(file, setup, complaints);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(setup);
	return 0;
}

/* A forward outside the port set that this setup leads to is a mistake of the file, too; but not
 * when the file says what it said before, and rules or the line have changed. */
static int check_against_line(struct manager *m, const struct setup *setup, struct text *complaints)
{
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	struct plan_lines lines = {.map_usable = true};
	struct choice choice;
	int r;

	/* A kernel that cannot be read is trouble of its own, which the next look tells. */
	if (settings_forwards_equal(&setup->settings, &m->setup->settings) ||
	    manager_foresee(m, setup, &choice) < 0 || choice.verdict != VERDICT_CHOSEN)
		return 0;
	r = plan_build(&setup->settings, &choice.params, &lines, &plan, complaints);
	if (r < 0)
		return r;
	return text_get(complaints)[0] ? -EINVAL : 0;
}

unsigned int manager_say_complaints(struct manager *m, struct text *complaints)
{
	unsigned int count = 0;
	char *line, *rest = NULL;

	while ((line = text_next_line(complaints, &rest))) {
		count++;
		log_say(m->log, LOG_ERR, MESSAGE_CONFIG_REFUSED, "%s", line);
	}
	return count;
}

static void say_refused(struct manager *m, struct text *complaints)
{
	snprintf(m->report.refused, sizeof(m->report.refused), "%.*s",
		 (int)strcspn(text_get(complaints), "\n"), text_get(complaints));
	m->report.refused_count = manager_say_complaints(m, complaints);
	log_say(m->log, LOG_ERR, MESSAGE_CONFIG_REFUSED,
		"the new configuration is refused; the one before stays in force");
}

void manager_want_firewall(struct manager *m)
{
	const struct settings *settings = &m->setup->settings;

	firewall_want(m->firewall, &settings->firewalld, settings->map.tunnel);
}

/* firewalld has answered, or does not. */
void manager_on_firewall(void *userdata)
{
	struct manager *m = userdata;

	snprintf(m->report.firewall, sizeof(m->report.firewall), "%s",
		 firewall_trouble(m->firewall));
	if (m->report.firewall[0])
		log_say(m->log, LOG_WARNING, MESSAGE_FIREWALL, "%s", m->report.firewall);
	else if (firewall_place(m->firewall)[0])
		log_say(m->log, LOG_INFO, MESSAGE_FIREWALL_PLACED, "%s",
			firewall_place(m->firewall));
	manager_tell(m);
}

static void take_setup(struct manager *m, struct setup *setup)
{
	if (m->setup != m->applied_setup)
		setup_free(m->setup);
	m->setup = setup;
	m->report.refused[0] = '\0';
	m->report.refused_count = 0;
	manager_want_firewall(m);
}

void manager_reload(struct manager *m)
{
	_cleanup_text_ struct text complaints = TEXT_INIT;
	_cleanup_(setup_free_p) struct setup *setup = NULL;
	int r;

	status_reloading(&m->status);
	r = manager_load_setup(m, &setup, &complaints);
	if (r == 0)
		r = check_against_line(m, setup, &complaints);
	if (r < 0) {
		if (!text_get(&complaints)[0])
			text_add(&complaints, "%s: %s\n", m->config_file, strerror(-r));
		say_refused(m, &complaints);
		manager_tell(m);
	} else {
		take_setup(m, TAKE_PTR(setup));
		log_say(m->log, LOG_INFO, MESSAGE_CONFIG_LOADED, "%s read, %zu rules",
			m->config_file, m->setup->rules.count);
		manager_reconcile(m);
	}
	status_ready(&m->status);
	thrift_give_back();
}
