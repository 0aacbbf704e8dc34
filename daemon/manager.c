/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/manager.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "daemon/confwatch.h"
#include "daemon/decide.h"
#include "daemon/job.h"
#include "daemon/log.h"
#include "daemon/pace.h"
#include "daemon/report.h"
#include "daemon/runtime.h"
#include "daemon/setup.h"
#include "daemon/state.h"
#include "daemon/status.h"
#include "lib/base/backoff.h"
#include "lib/config/config.h"
#include "lib/kernel/apply.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/watch.h"
#include "lib/map/plan.h"

struct manager {
	const char *config_file; /* as given, or CONFIG_FILE */
	bool config_optional;    /* the default file need not exist */

	struct log *log;
	struct status status;
	sd_event *event;
	sd_event_source *watch_source;
	sd_event_source *look;  /* the deferred reconcile */
	sd_event_source *alarm; /* the one timer of the present state */
	struct confwatch *confwatch;

	struct rtnl *nl;
	struct watch *watch;
	struct applier *applier;

	struct setup setup;
	struct decide_memory memory;
	struct plan plan; /* as last applied as a whole; borrows from setup */
	struct pace pace;
	struct backoff backoff;

	struct report report; /* what people are told */
};

static uint64_t now_usec(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint32_t random_number(void)
{
	uint32_t number = 0;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
		number = (uint32_t)now_usec(CLOCK_MONOTONIC);
	return number;
}

/* ---- states ------------------------------------------------------------------------------ */

/* The only place that changes the state: says it once, shows it, and sets the one timer. */
static void enter(struct manager *m, enum state state, const char *reason, uint64_t alarm_usec)
{
	enum state old = m->report.state;
	bool news = old != state || strcmp(m->report.reason, reason) != 0;
	char state_field[64], old_field[64];
	const char *const fields[] = {state_field, old_field, NULL};

	if (alarm_usec) {
		sd_event_source_set_time(m->alarm, alarm_usec);
		sd_event_source_set_enabled(m->alarm, SD_EVENT_ONESHOT);
	} else {
		sd_event_source_set_enabled(m->alarm, SD_EVENT_OFF);
	}
	report_state(&m->report, state, reason, now_usec(CLOCK_BOOTTIME));
	if (news) {
		snprintf(state_field, sizeof(state_field), "MAPED_STATE=%s", state_name(state));
		snprintf(old_field, sizeof(old_field), "MAPED_OLD_STATE=%s", state_name(old));
		log_say_fields(m->log, state == STATE_FAILING ? LOG_ERR : LOG_INFO, MESSAGE_STATE,
			       fields, "%s -> %s: %s", state_name(old), state_name(state), reason);
	}
}

static void tell(struct manager *m)
{
	_cleanup_text_ struct text line = TEXT_INIT;

	report_line(&m->report, &line);
	status_line(&m->status, text_get(&line));
}

/* The kernel refused something: what stands stays, and it is tried again later. */
static void fail(struct manager *m, const struct fault *fault)
{
	uint64_t delay_usec = backoff_next(&m->backoff, random_number());
	char reason[REPORT_SENTENCE_MAX];

	log_say(m->log, LOG_ERR, MESSAGE_APPLY_FAILED, "%s", fault->text);
	snprintf(reason, sizeof(reason), "%s; next try in %.0f s", fault->text,
		 (double)delay_usec / 1e6);
	enter(m, STATE_FAILING, reason, now_usec(CLOCK_BOOTTIME) + delay_usec);
}

/* ---- one look ---------------------------------------------------------------------------- */

static void look_soon(struct manager *m, uint64_t at_usec)
{
	sd_event_source_set_time(m->look, at_usec);
	sd_event_source_set_enabled(m->look, SD_EVENT_ONESHOT);
}
