/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/machine.h"
#include "daemon/manager_private.h"
#include "daemon/report_full.h"
#include "daemon/runtime.h"
#include "daemon/usage_tally.h"

#define USAGE_FRESH_USEC ((uint64_t)1000000)

static uint32_t random_number(void)
{
	uint32_t number = 0;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
		number = (uint32_t)machine_usec(CLOCK_MONOTONIC);
	return number;
}

/* ---- states ------------------------------------------------------------------------------ */

void manager_enter(struct manager *m, enum state state, const char *reason, uint64_t alarm_usec)
{
	enum state old = m->report.state;
	bool news = old != state || strcmp(m->report.reason, reason) != 0;
	uint64_t took_usec = machine_usec(CLOCK_MONOTONIC) - m->began_usec;
	char state_field[64], old_field[64], took_field[64];
	const char *const fields[] = {state_field, old_field, took_field, NULL};

	if (alarm_usec) {
		sd_event_source_set_time(m->alarm, alarm_usec);
		sd_event_source_set_enabled(m->alarm, SD_EVENT_ONESHOT);
	} else {
		sd_event_source_set_enabled(m->alarm, SD_EVENT_OFF);
	}
	report_state(&m->report, state, reason, machine_usec(CLOCK_BOOTTIME));
	if (news) {
		snprintf(state_field, sizeof(state_field), "MAPED_STATE=%s", state_name(state));
		snprintf(old_field, sizeof(old_field), "MAPED_OLD_STATE=%s", state_name(old));
		snprintf(took_field, sizeof(took_field), "MAPED_TOOK_USEC=%" PRIu64, took_usec);
		log_say_fields(m->log, state == STATE_FAILING ? LOG_ERR : LOG_INFO, MESSAGE_STATE,
			       fields, "%s -> %s: %s (took %.*f ms)", state_name(old),
			       state_name(state), reason, took_usec < 10000 ? 1 : 0,
			       (double)took_usec / 1000);
	}
}

static struct report_full full_report(const struct manager *m, bool private)
{
	return (struct report_full){
		.report = &m->report,
		.plan = &m->plan,
		.usage = &m->usage,
		.now_usec = machine_usec(CLOCK_BOOTTIME),
		.private = private,
	};
}

static void write_metrics(struct manager *m)
{
	_cleanup_text_ struct text metrics = TEXT_INIT;
	struct report_full full = full_report(m, false);

	m->counted = m->report.state;
	report_metrics(&full, &metrics);
	if (!text_failed(&metrics))
		(void)runtime_write(METRICS_FILE, text_get(&metrics));
}

/* By the clock of now, which may have been set after the change. */
static void date_since(struct report *report)
{
	uint64_t ago_usec = machine_usec(CLOCK_BOOTTIME) - report->since_usec;
	time_t when = (time_t)((machine_usec(CLOCK_REALTIME) - ago_usec) / 1000000);
	struct tm tm;

	if (!localtime_r(&when, &tm) ||
	    !strftime(report->since, sizeof(report->since), "%Y-%m-%d %H:%M", &tm))
		report->since[0] = '\0';
}

void manager_tell(struct manager *m)
{
	_cleanup_text_ struct text line = TEXT_INIT;

	date_since(&m->report);
	report_line(&m->report, &m->usage, &line);
	status_line(&m->status, text_get(&line));
	/* numbers can wait for the tick, an alarm at "up" cannot */
	if (m->counted != m->report.state)
		write_metrics(m);
}

/* The time of day delay_usec from now, for people. */
static void date_next(uint64_t delay_usec, char *buffer, size_t size)
{
	time_t when = (time_t)((machine_usec(CLOCK_REALTIME) + delay_usec) / 1000000);
	struct tm tm;

	if (!localtime_r(&when, &tm) || !strftime(buffer, size, "%H:%M:%S", &tm))
		buffer[0] = '\0';
}

void manager_fail(struct manager *m, const struct fault *fault)
{
	uint64_t delay_usec = backoff_next(&m->backoff, random_number());
	char reason[REPORT_SENTENCE_MAX], next[16];

	log_say(m->log, LOG_ERR, MESSAGE_APPLY_FAILED, "%s", fault->text);
	date_next(delay_usec, next, sizeof(next));
	snprintf(reason, sizeof(reason), "%s; next try at %s", fault->text, next);
	manager_enter(m, STATE_FAILING, reason, machine_usec(CLOCK_BOOTTIME) + delay_usec);
}

/* ---- the use of ports -------------------------------------------------------------------- */

static void count_ports(struct manager *m, const struct map_params *params)
{
	_cleanup_(usage_tally_free_p) struct usage_tally *tally = usage_tally_new(&params->ports);

	if (tally &&
	    conntrack_walk(m->conntrack, params->ipv4.addr, usage_tally_add, tally, NULL) == 0)
		usage_tally_finish(tally, &m->usage);
}

static void warn_scarce(struct manager *m, const struct map_params *params)
{
	bool was = m->report.scarce[0];

	usage_scarce(&m->usage, portset_count(&params->ports), m->report.scarce,
		     sizeof(m->report.scarce));
	if (m->report.scarce[0] && !was)
		log_say(m->log, LOG_WARNING, MESSAGE_PORTS_SCARCE, "%s", m->report.scarce);
}

static void refresh_usage(struct manager *m)
{
	const struct map_params *params = &m->report.choice.params;
	struct nat_counts counts;

	m->usage.read_usec = machine_usec(CLOCK_BOOTTIME);
	if (m->report.choice.verdict != VERDICT_CHOSEN) {
		m->usage.known = false;
		m->report.scarce[0] = '\0';
		return;
	}
	count_ports(m, params);
	if (!portset_is_whole(&params->ports))
		warn_scarce(m, params);
	if (nat_counts_read(m->nat, &counts, NULL) < 0)
		return;
	m->usage.refused = counts.refused;
	m->usage.unmappable = counts.unmappable;
	m->usage.leaked = counts.leaks;
	m->usage.intruded = counts.inbound;
}

void manager_count(struct manager *m)
{
	refresh_usage(m);
	write_metrics(m);
	manager_tell(m);
}

/* ---- questions --------------------------------------------------------------------------- */

void manager_on_query(void *userdata, bool trusted, struct text *plain, struct text *json)
{
	struct manager *m = userdata;
	struct report_full full = full_report(m, trusted);

	/* Reading conntrack costs: whoever asks in a loop gets what was true a second ago. */
	if (full.now_usec - m->usage.read_usec > USAGE_FRESH_USEC)
		refresh_usage(m);
	report_plain(&full, plain);
	report_json(&full, json);
}

int manager_on_usr1(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	_cleanup_text_ struct text plain = TEXT_INIT;
	struct manager *m = userdata;
	struct report_full full = full_report(m, true);
	char *line, *rest = NULL;

	refresh_usage(m);
	report_plain(&full, &plain);
	while ((line = text_next_line(&plain, &rest)))
		log_say(m->log, LOG_INFO, MESSAGE_USAGE, "%s", line);
	return 0;
}
