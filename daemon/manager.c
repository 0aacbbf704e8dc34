/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/manager.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "daemon/confwatch.h"
#include "daemon/decide.h"
#include "daemon/firewall.h"
#include "daemon/job.h"
#include "daemon/log.h"
#include "daemon/pace.h"
#include "daemon/query.h"
#include "daemon/report.h"
#include "daemon/report_full.h"
#include "daemon/runtime.h"
#include "daemon/setup.h"
#include "daemon/stamp.h"
#include "daemon/state.h"
#include "daemon/status.h"
#include "daemon/usage.h"
#include "daemon/usage_tally.h"
#include "lib/base/backoff.h"
#include "lib/config/config.h"
#include "lib/kernel/apply.h"
#include "lib/kernel/conntrack.h"
#include "lib/kernel/nat.h"
#include "lib/kernel/nft_watch.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/snapshot.h"
#include "lib/kernel/watch.h"
#include "lib/map/plan.h"

/* Kernel settings as they were before us (lib/kernel/sysctl.h). */
#define STATE_FILE       "sysctl"
#define METRICS_FILE     "metrics"
#define USAGE_FRESH_USEC ((uint64_t)1000000)
/* Without a watchdog the numbers are brought up to date this often. */
#define TICK_USEC ((uint64_t)15000000)

/* The PPPoE interface as last seen: while it is away, nothing of it needs to change. */
struct ppp_memory {
	char interface[IFNAMSIZ];
	struct in_addr address;
	uint32_t mtu;
};

struct manager {
	const char *config_file; /* as given, or CONFIG_FILE */
	bool config_optional;    /* the default file need not exist */

	struct log *log;
	struct status status;
	sd_event *event;
	sd_event_source *events; /* the watch */
	sd_event_source *nft_events;
	sd_event_source *look;  /* the deferred reconcile */
	sd_event_source *alarm; /* the one timer of the present state */
	sd_event_source *tick;  /* watchdog, use of ports, metrics */
	sd_event_source *signals[5];
	struct confwatch *confwatch;
	struct query *query;
	struct firewall *firewall;

	struct rtnl *nl;
	struct watch *watch;
	struct nft_watch *nft_watch; /* NULL: the kernel has no nftables yet */
	struct nat *nat;
	struct conntrack *conntrack;
	struct applier *applier;

	struct setup *setup;         /* what the owner wants now */
	struct setup *applied_setup; /* what plan borrows from; may be the same */
	struct plan plan;            /* as last applied */
	bool plan_known;             /* false: a predecessor's may stand */
	struct decide_memory memory;
	struct ppp_memory ppp;
	uint64_t tick_usec;
	uint64_t began_usec; /* CLOCK_MONOTONIC of the present look */
	struct pace pace;
	struct backoff backoff;
	struct report report; /* what people are told */
	struct usage usage;
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
	uint64_t took_usec = now_usec(CLOCK_MONOTONIC) - m->began_usec;
	char state_field[64], old_field[64], took_field[64];
	const char *const fields[] = {state_field, old_field, took_field, NULL};

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
		snprintf(took_field, sizeof(took_field), "MAPED_TOOK_USEC=%" PRIu64, took_usec);
		log_say_fields(m->log, state == STATE_FAILING ? LOG_ERR : LOG_INFO, MESSAGE_STATE,
			       fields, "%s -> %s: %s (took %.*f ms)", state_name(old),
			       state_name(state), reason, took_usec < 10000 ? 1 : 0,
			       (double)took_usec / 1000);
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

static void look_at(struct manager *m, uint64_t at_usec)
{
	sd_event_source_set_time(m->look, at_usec);
	sd_event_source_set_enabled(m->look, SD_EVENT_ONESHOT);
}

static int take_snapshot(struct manager *m, struct snapshot *ret, struct fault *reterr)
{
	const struct settings *settings = &m->setup->settings;
	bool built = m->memory.choice.verdict == VERDICT_CHOSEN;
	const struct snapshot_query query = {
		.wan = settings->wan.interface,
		.tunnel = settings->map.tunnel,
		.ppp = settings->pppoe.enabled ? settings->pppoe.interface : "",
		.lan = settings->lan.interfaces,
		.lan_count = settings->lan.interface_count,
		.own = &m->memory.choice.params.ce,
		.own_count = built ? 1 : 0,
		.route_metric = settings->map.route_metric,
		.now_usec = now_usec(CLOCK_BOOTTIME),
		.monotonic_usec = stamp_now_usec(),
	};

	return snapshot_read(m->nl, m->watch, &query, ret, reterr);
}

static struct wan_view wan_view(const struct manager *m, const struct snapshot *snapshot)
{
	return (struct wan_view){
		.found = snapshot->wan_found,
		.name = snapshot->wan_found ? snapshot->wan : m->setup->settings.wan.interface,
		.up = snapshot->wan_up && snapshot->wan_carrier,
	};
}

static void remember_ppp(const struct settings *settings, const struct snapshot *snapshot,
			 struct ppp_memory *memory)
{
	const char *interface = settings->pppoe.enabled ? settings->pppoe.interface : "";

	if (strcmp(memory->interface, interface) != 0) {
		*memory = (struct ppp_memory){0};
		snprintf(memory->interface, sizeof(memory->interface), "%s", interface);
	}
	if (!snapshot->ppp_up || snapshot->ppp_address.s_addr == 0)
		return;
	memory->address = snapshot->ppp_address;
	memory->mtu = snapshot->ppp_mtu;
}

/* decision NULL: MAP-E cannot be had now. */
static int make_plan(const struct manager *m, const struct snapshot *snapshot,
		     const struct decision *decision, struct plan *ret, struct text *complaints)
{
	const struct settings *settings = &m->setup->settings;
	const struct pppoe_settings *pppoe = &settings->pppoe;
	bool chosen = decision && decision->choice.verdict == VERDICT_CHOSEN;
	struct plan_lines lines = {
		.wan_mtu = snapshot->wan_mtu,
		.ppp_up = pppoe->enabled && snapshot->ppp_up,
		.ppp_address = m->ppp.address,
		.ppp_mtu = m->ppp.mtu,
	};

	/* Without another line that could take over, the route may as well stay. */
	lines.map_usable = (decision && decision->usable) || !(lines.ppp_up && pppoe->failover);
	snprintf(lines.wan, sizeof(lines.wan), "%s", snapshot->wan);
	return plan_build(settings, chosen ? &decision->choice.params : NULL, &lines, ret,
			  complaints);
}

/* plan was applied, out of the present setup. */
static void keep_plan(struct manager *m, struct plan *plan)
{
	plan_done(&m->plan);
	m->plan = *plan;
	*plan = PLAN_EMPTY;
	m->plan_known = true;
	if (m->applied_setup != m->setup)
		setup_free(m->applied_setup);
	m->applied_setup = m->setup;
	watch_expect(m->watch, &m->plan);
}

/* Something changed although nothing else was wanted: somebody else had altered it. */
static void say_repaired(struct manager *m, int changes)
{
	_cleanup_text_ struct text losses = TEXT_INIT;
	char *line, *rest = NULL, culprit[64];

	watch_take_losses(m->watch, &losses);
	nft_watch_take_culprit(m->nft_watch, culprit, sizeof(culprit));
	if (culprit[0])
		text_add(&losses, "table inet %s altered by %s\n", PLAN_TABLE, culprit);
	if (!text_get(&losses)[0])
		text_add(&losses, "another program had altered %d of our objects\n", changes);
	for (line = strtok_r(losses.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		log_say(m->log, LOG_WARNING, MESSAGE_REPAIRED, "repaired: %s", line);
}

static void schedule(struct manager *m, bool news);

static void forget_losses(struct manager *m)
{
	_cleanup_text_ struct text losses = TEXT_INIT;
	char culprit[64];

	watch_take_losses(m->watch, &losses);
	nft_watch_take_culprit(m->nft_watch, culprit, sizeof(culprit));
}

/* Our own changes come back as events. Somebody else's may be among them, so there is one more
 * look, which finds nothing when there were none. */
static void read_own_events(struct manager *m)
{
	struct fault fault;
	int rtnl = watch_dispatch(m->watch, now_usec(CLOCK_BOOTTIME), &fault);
	int nft = nft_watch_dispatch(m->nft_watch);

	if (rtnl != 0 || nft != 0)
		schedule(m, watch_take_news(m->watch) != 0);
}

/* After a failure they must not lead to the next try before its time. */
static void read_failed_events(struct manager *m)
{
	struct fault fault;

	(void)watch_dispatch(m->watch, now_usec(CLOCK_BOOTTIME), &fault);
	(void)nft_watch_dispatch(m->nft_watch);
	/* A tunnel that was made and taken away again looks like somebody else's. */
	if (watch_take_news(m->watch) & ~WATCH_LINK)
		schedule(m, true);
	forget_losses(m);
}

static int apply(struct manager *m, struct plan *plan, struct fault *reterr)
{
	bool same = m->plan_known && plan_equal(plan, &m->plan);
	uint64_t start_usec = now_usec(CLOCK_MONOTONIC), end_usec;
	int changes = plan_apply(m->applier, plan, m->plan_known ? &m->plan : NULL, reterr);

	if (changes < 0)
		return changes;
	end_usec = now_usec(CLOCK_MONOTONIC);
	pace_looked(&m->pace, end_usec, same && changes > 0);
	if (changes > 0) {
		m->report.took_usec = end_usec - start_usec;
		m->report.changes = (unsigned int)changes;
		read_own_events(m);
		/* A table of a thousand ports has been described and compared; nothing of it stays.
		 */
		malloc_trim(0);
	}
	if (same && changes > 0)
		say_repaired(m, changes);
	keep_plan(m, plan);
	/* Our own doing, or put back by whoever took it. */
	forget_losses(m);
	return changes;
}

/* ---- telling ----------------------------------------------------------------------------- */

static void warn(struct manager *m, const struct snapshot *snapshot, struct text *complaints)
{
	char foreign[FOREIGN_ROUTE_TEXT_MAX];
	char old[sizeof(m->report.warning)];
	const char *id = MESSAGE_FORWARD_LOST;
	char *end;

	memcpy(old, m->report.warning, sizeof(old));
	m->report.warning[0] = '\0';
	if (pace_fighting(&m->pace)) {
		id = MESSAGE_FOUGHT;
		snprintf(m->report.warning, sizeof(m->report.warning),
			 "another program keeps altering what maped set up; repairing every %.0f s",
			 (double)pace_pause(&m->pace) / 1e6);
	} else if (snapshot->foreign_count > 0 && m->setup->settings.map.default_route) {
		id = MESSAGE_FOREIGN_ROUTE;
		snprintf(m->report.warning, sizeof(m->report.warning),
			 "MAP-E is not used for IPv4: another route wins, %s",
			 foreign_route_format(&snapshot->foreign[0], foreign));
	} else if (text_get(complaints)[0]) {
		end = strchr(complaints->data, '\n');
		snprintf(m->report.warning, sizeof(m->report.warning), "%.*s",
			 (int)(end ? end - complaints->data : 0), complaints->data);
	}
	if (m->report.warning[0] && strcmp(old, m->report.warning) != 0)
		log_say(m->log, LOG_WARNING, id, "%s", m->report.warning);
}

static void report_lines(struct manager *m, const struct snapshot *snapshot,
			 const struct decision *decision)
{
	const struct pppoe_settings *pppoe = &m->setup->settings.pppoe;
	struct wan_view wan = wan_view(m, snapshot);

	m->report.choice = decision->choice;
	m->report.pppoe = pppoe->enabled;
	m->report.ppp_up = pppoe->enabled && snapshot->ppp_up;
	snprintf(m->report.wan, sizeof(m->report.wan), "%s", wan.name);
	snprintf(m->report.ppp, sizeof(m->report.ppp), "%s", pppoe->interface);
}

static void report_decision(struct manager *m, const struct snapshot *snapshot,
			    const struct decision *decision)
{
	struct wan_view wan = wan_view(m, snapshot);
	_cleanup_text_ struct text reason = TEXT_INIT;

	report_lines(m, snapshot, decision);
	if (decision->state == STATE_UP)
		report_map(&decision->choice.params, wan.name, &reason);
	else
		decision_explain(decision, &wan, &reason);
	enter(m, decision->state, text_get(&reason), decision->look_again_usec);
}

/* Reads, decides, applies, tells. Everything that happens ends here. without_map: MAP-E could not
 * be built, so that there is only PPPoE; who called knows what to tell. */
static int look(struct manager *m, bool without_map, struct fault *reterr)
{
	_cleanup_snapshot_ struct snapshot snapshot = {0};
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	_cleanup_text_ struct text complaints = TEXT_INIT;
	struct decision decision;
	struct wan_view wan;
	int r;

	r = take_snapshot(m, &snapshot, reterr);
	if (r < 0)
		return r;
	wan = wan_view(m, &snapshot);
	decide(&wan, &snapshot.candidates, &m->setup->settings, &m->setup->rules,
	       now_usec(CLOCK_BOOTTIME), &m->memory, &decision);
	remember_ppp(&m->setup->settings, &snapshot, &m->ppp);
	r = make_plan(m, &snapshot, without_map ? NULL : &decision, &plan, &complaints);
	if (r < 0)
		return fault_errno(reterr, r, "make a plan");
	r = apply(m, &plan, reterr);
	if (r < 0)
		return r;
	if (without_map) {
		report_lines(m, &snapshot, &decision);
		return 0;
	}
	backoff_reset(&m->backoff);
	warn(m, &snapshot, &complaints);
	report_decision(m, &snapshot, &decision);
	return 0;
}

/* A PPPoE interface comes and goes while it is being set up: what failed on it is looked at once
 * more. When MAP-E remains impossible, the other line carries what it can. */
static int look_with_pppoe(struct manager *m, struct fault *reterr)
{
	int r = look(m, false, reterr);

	if (r >= 0 || !m->setup->settings.pppoe.enabled)
		return r;
	r = look(m, false, reterr);
	if (r < 0)
		(void)look(m, true, NULL);
	return r;
}

static void reconcile(struct manager *m)
{
	struct fault fault = {0};

	m->began_usec = now_usec(CLOCK_MONOTONIC);
	sd_event_source_set_enabled(m->look, SD_EVENT_OFF);
	if (look_with_pppoe(m, &fault) < 0) {
		pace_looked(&m->pace, now_usec(CLOCK_MONOTONIC), false);
		fail(m, &fault);
		read_failed_events(m);
	}
	tell(m);
}

/* ---- the owner's word -------------------------------------------------------------------- */

static int load_setup(struct manager *m, struct setup **ret, struct text *complaints)
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

/* A forward outside the present port set is a mistake of the file, too. */
static int check_against_line(struct manager *m, const struct setup *setup, struct text *complaints)
{
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	struct plan_lines lines = {.map_usable = true};
	int r;

	if (m->memory.choice.verdict != VERDICT_CHOSEN)
		return 0;
	r = plan_build(&setup->settings, &m->memory.choice.params, &lines, &plan, complaints);
	if (r < 0)
		return r;
	return text_get(complaints)[0] ? -EINVAL : 0;
}

static void say_refused(struct manager *m, struct text *complaints)
{
	char *line, *rest;

	m->report.refused_count = 0;
	snprintf(m->report.refused, sizeof(m->report.refused), "%.*s",
		 (int)strcspn(text_get(complaints), "\n"), text_get(complaints));
	for (line = strtok_r(complaints->data, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		m->report.refused_count++;
		log_say(m->log, LOG_ERR, MESSAGE_CONFIG_REFUSED, "%s", line);
	}
	log_say(m->log, LOG_ERR, MESSAGE_CONFIG_REFUSED,
		"the new configuration is refused; the one before stays in force");
}

static void want_firewall(struct manager *m)
{
	const struct settings *settings = &m->setup->settings;

	firewall_want(m->firewall, &settings->firewalld, settings->map.tunnel);
}

/* firewalld has answered, or does not. */
static void on_firewall(void *userdata)
{
	struct manager *m = userdata;

	snprintf(m->report.firewall, sizeof(m->report.firewall), "%s",
		 firewall_trouble(m->firewall));
	if (m->report.firewall[0])
		log_say(m->log, LOG_WARNING, MESSAGE_FIREWALL, "%s", m->report.firewall);
	else if (firewall_place(m->firewall)[0])
		log_say(m->log, LOG_INFO, MESSAGE_FIREWALL_PLACED, "%s",
			firewall_place(m->firewall));
	tell(m);
}

static void take_setup(struct manager *m, struct setup *setup)
{
	if (m->setup != m->applied_setup)
		setup_free(m->setup);
	m->setup = setup;
	m->report.refused[0] = '\0';
	m->report.refused_count = 0;
	want_firewall(m);
}

static void reload(struct manager *m)
{
	_cleanup_text_ struct text complaints = TEXT_INIT;
	_cleanup_(setup_free_p) struct setup *setup = NULL;
	int r;

	status_reloading(&m->status);
	r = load_setup(m, &setup, &complaints);
	if (r == 0)
		r = check_against_line(m, setup, &complaints);
	if (r < 0) {
		if (!text_get(&complaints)[0])
			text_add(&complaints, "%s: %s\n", m->config_file, strerror(-r));
		say_refused(m, &complaints);
		tell(m);
	} else {
		take_setup(m, TAKE_PTR(setup));
		log_say(m->log, LOG_INFO, MESSAGE_CONFIG_LOADED, "%s read, %zu rules",
			m->config_file, m->setup->rules.count);
		reconcile(m);
	}
	status_ready(&m->status);
}

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

	m->usage.read_usec = now_usec(CLOCK_BOOTTIME);
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

/* ---- questions --------------------------------------------------------------------------- */

static struct report_full full_report(const struct manager *m, bool private)
{
	return (struct report_full){
		.report = &m->report,
		.plan = &m->plan,
		.usage = &m->usage,
		.now_usec = now_usec(CLOCK_BOOTTIME),
		.private = private,
	};
}

static void on_query(void *userdata, bool trusted, struct text *plain, struct text *json)
{
	struct manager *m = userdata;
	struct report_full full = full_report(m, trusted);

	/* Reading conntrack costs: whoever asks in a loop gets what was true a second ago. */
	if (full.now_usec - m->usage.read_usec > USAGE_FRESH_USEC)
		refresh_usage(m);
	report_plain(&full, plain);
	report_json(&full, json);
}

static void write_metrics(struct manager *m)
{
	_cleanup_text_ struct text metrics = TEXT_INIT;
	struct report_full full = full_report(m, false);

	report_metrics(&full, &metrics);
	if (!text_failed(&metrics))
		(void)runtime_write(METRICS_FILE, text_get(&metrics));
}

/* The one regular wake-up: as often as systemd's watchdog wants to be told. */
static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	sd_notify(0, "WATCHDOG=1");
	refresh_usage(m);
	write_metrics(m);
	tell(m);
	sd_event_source_set_time(source, now_usec(CLOCK_MONOTONIC) + m->tick_usec);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_usr1(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	_cleanup_text_ struct text plain = TEXT_INIT;
	struct manager *m = userdata;
	struct report_full full = full_report(m, true);
	char *line, *rest;

	refresh_usage(m);
	report_plain(&full, &plain);
	for (line = strtok_r(plain.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		log_say(m->log, LOG_INFO, MESSAGE_USAGE, "%s", line);
	return 0;
}

/* ---- events ------------------------------------------------------------------------------ */

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
	reconcile(userdata);
	return 0;
}

static int on_alarm(sd_event_source *source, uint64_t usec, void *userdata)
{
	reconcile(userdata);
	return 0;
}

/* news: besides objects of ours, which another program may be fighting over. */
static void schedule(struct manager *m, bool news)
{
	uint64_t now = now_usec(CLOCK_MONOTONIC), pending;
	uint64_t at_usec = news ? pace_next_news(&m->pace, now) : pace_next(&m->pace, now);
	int enabled = SD_EVENT_OFF;

	/* What the kernel refuses is not asked again at every event. */
	if (m->report.state == STATE_FAILING && !(news && m->setup->settings.pppoe.enabled))
		at_usec = MAX_OF(at_usec, m->pace.last_usec + PACE_NEWS_USEC);
	sd_event_source_get_enabled(m->look, &enabled);
	if (enabled != SD_EVENT_OFF && sd_event_source_get_time(m->look, &pending) >= 0 &&
	    pending <= at_usec)
		return;
	look_at(m, at_usec);
}

/* What failed is tried again before its time when somebody else did something. Of our own way back
 * only addresses may still come in as events: the kernel tells of them late. */
static bool failure_may_be_over(const struct manager *m, unsigned int mask, unsigned int news)
{
	return news || (mask & WATCH_LINK) || watch_has_losses(m->watch);
}

static int on_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct manager *m = userdata;
	struct fault fault = {0};
	int mask = watch_dispatch(m->watch, now_usec(CLOCK_BOOTTIME), &fault);
	unsigned int news = watch_take_news(m->watch);

	if (mask < 0) {
		log_say(m->log, LOG_CRIT, NULL, "%s", fault.text);
		return mask;
	}
	if (m->report.state == STATE_FAILING && !failure_may_be_over(m, (unsigned int)mask, news))
		return 0;
	if (mask > 0)
		schedule(m, news != 0);
	return 0;
}

static int on_nft_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct manager *m = userdata;

	if (nft_watch_dispatch(m->nft_watch) > 0)
		schedule(m, false);
	return 0;
}

static int on_hup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	reload(userdata);
	return 0;
}

static void on_saved(void *userdata)
{
	reload(userdata);
}

static int on_term(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct manager *m = userdata;

	return sd_event_exit(m->event, 0);
}

/* ---- beginning and end ------------------------------------------------------------------- */

static int sync_nat(void *userdata, const struct nat_plan *want, struct fault *reterr)
{
	struct manager *m = userdata;

	return nat_sync(m->nat, want, reterr);
}

static int forget_connections(void *userdata, struct in_addr address, const struct nat_plan *want,
			      struct fault *reterr)
{
	struct manager *m = userdata;
	bool stays = want->map && want->address.addr.s_addr == address.s_addr;

	return conntrack_forget(m->conntrack, address, stays ? &want->ports : NULL, reterr);
}

static int open_kernel(struct manager *m, struct fault *reterr)
{
	const struct apply_nat ops = {
		.sync = sync_nat, .forget = forget_connections, .userdata = m};
	char path[512];
	int r;

	r = rtnl_open(&m->nl, reterr);
	if (r < 0)
		return r;
	r = watch_open(&m->watch, reterr);
	if (r < 0)
		return r;
	r = nft_watch_open(PLAN_TABLE, &m->nft_watch, reterr);
	if (r < 0)
		return r;
	r = nat_open(&m->nat, reterr);
	if (r < 0)
		return r;
	r = conntrack_open(&m->conntrack, reterr);
	if (r < 0)
		return r;
	runtime_path(STATE_FILE, path, sizeof(path));
	r = applier_open(m->nl, &ops, path, &m->applier, reterr);
	if (r == 1)
		log_say(m->log, LOG_WARNING, NULL, "%s", reterr->text);
	return r < 0 ? r : 0;
}

static int add_timers(struct manager *m)
{
	uint64_t watchdog_usec;
	int r;

	r = sd_event_add_time(m->event, &m->look, CLOCK_MONOTONIC, 0, 1000, on_look, m);
	if (r < 0)
		return r;
	r = sd_event_add_time(m->event, &m->alarm, CLOCK_BOOTTIME, UINT64_MAX, 0, on_alarm, m);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(m->alarm, SD_EVENT_OFF);
	if (r < 0)
		return r;
	m->tick_usec = TICK_USEC;
	if (sd_watchdog_enabled(0, &watchdog_usec) > 0)
		m->tick_usec = watchdog_usec / 2;
	return sd_event_add_time(m->event, &m->tick, CLOCK_MONOTONIC,
				 now_usec(CLOCK_MONOTONIC) + m->tick_usec, m->tick_usec / 8,
				 on_tick, m);
}

static int add_signals(struct manager *m)
{
	static const struct {
		int number;
		sd_event_signal_handler_t handler;
	} wanted[] = {
		{SIGTERM, on_term},
		{SIGINT, on_term},
		{SIGHUP, on_hup},
		{SIGUSR1, on_usr1},
	};
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		sigaddset(&mask, wanted[i].number);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		r = sd_event_add_signal(m->event, &m->signals[i], wanted[i].number,
					wanted[i].handler, m);
		if (r < 0)
			return r;
	}
	return 0;
}

static int watch_files(struct manager *m)
{
	char wire[512];
	const char *const directories[] = {CONFIG_RULES_OWN, wire, NULL};

	runtime_path("rules", wire, sizeof(wire));
	return confwatch_open(m->event, m->config_file, directories, on_saved, m, &m->confwatch);
}

static int start(struct manager *m, struct fault *reterr)
{
	int r;

	r = sd_event_new(&m->event);
	if (r < 0)
		return fault_errno(reterr, r, "make an event loop");
	r = add_signals(m);
	if (r < 0)
		return fault_errno(reterr, r, "take signals");
	r = add_timers(m);
	if (r < 0)
		return fault_errno(reterr, r, "make timers");
	r = runtime_prepare();
	if (r < 0)
		return fault_errno(reterr, r, "make %s", runtime_directory());
	r = firewall_open(m->event, on_firewall, m, &m->firewall);
	if (r < 0)
		return fault_errno(reterr, r, "make a timer");
	r = open_kernel(m, reterr);
	if (r < 0)
		return r;
	r = sd_event_add_io(m->event, &m->events, watch_fd(m->watch), EPOLLIN, on_event, m);
	if (r < 0)
		return fault_errno(reterr, r, "listen to the kernel");
	r = sd_event_add_io(m->event, &m->nft_events, nft_watch_fd(m->nft_watch), EPOLLIN,
			    on_nft_event, m);
	if (r < 0)
		return fault_errno(reterr, r, "listen to nftables");
	r = watch_files(m);
	if (r < 0)
		log_say(m->log, LOG_WARNING, NULL,
			"%s is not watched (%s): use reload after a change", m->config_file,
			strerror(-r));
	r = query_open(m->event, on_query, m, &m->query);
	if (r < 0)
		log_say(m->log, LOG_WARNING, NULL, "maped --status will not answer: %s",
			strerror(-r));
	return 0;
}

int manager_new(const char *config_file, struct manager **ret)
{
	_cleanup_(manager_free_p) struct manager *m = calloc(1, sizeof(*m));
	_cleanup_text_ struct text complaints = TEXT_INIT;
	struct fault fault = {0};
	int r;

	if (!m)
		return -ENOMEM;
	m->config_file = config_file ? config_file : CONFIG_FILE;
	m->config_optional = !config_file;
	m->memory.choice.verdict = VERDICT_NO_PREFIX;
	m->report.choice.verdict = VERDICT_NO_PREFIX;
	r = log_open(&m->log);
	if (r < 0)
		return r;
	r = load_setup(m, &m->setup, &complaints);
	if (r < 0) {
		char *line, *rest;

		for (line = strtok_r(complaints.data, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest))
			log_say(m->log, LOG_ERR, MESSAGE_CONFIG_REFUSED, "%s", line);
		status_line(&m->status, text_get(&complaints));
		return r;
	}
	m->applied_setup = m->setup;
	r = start(m, &fault);
	if (r < 0) {
		log_say(m->log, LOG_ERR, NULL, "%s", fault.text);
		return r;
	}
	*ret = TAKE_PTR(m);
	return 0;
}

/* Everything away, as the box was found. */
static int take_down(struct manager *m)
{
	const struct plan nothing = PLAN_EMPTY;
	struct fault fault = {0};
	int r = plan_apply(m->applier, &nothing, m->plan_known ? &m->plan : NULL, &fault);

	if (r < 0)
		log_say(m->log, LOG_ERR, MESSAGE_APPLY_FAILED, "%s", fault.text);
	return r < 0 ? r : 0;
}

static int finish(struct manager *m)
{
	enum job job;
	int r;

	status_stopping(&m->status);
	job = job_of_own_unit();
	m->began_usec = now_usec(CLOCK_MONOTONIC);
	if (job == JOB_RESTART) {
		enter(m, STATE_STOPPING, "restart: everything stays for the next process", 0);
		return 0;
	}
	status_line(&m->status, "stopping: taking everything away");
	firewall_withdraw();
	r = take_down(m);
	enter(m, STATE_STOPPING, r < 0 ? "not all could be taken away" : "all is taken away", 0);
	return r;
}

int manager_run(struct manager *m)
{
	int r, finished;

	reconcile(m);
	status_ready(&m->status);
	want_firewall(m);
	r = sd_event_loop(m->event);
	if (r < 0)
		log_say(m->log, LOG_CRIT, NULL, "event loop: %s", strerror(-r));
	finished = finish(m);
	(void)runtime_remove(METRICS_FILE);
	return r < 0 ? r : finished;
}

void manager_free(struct manager *m)
{
	if (!m)
		return;
	confwatch_close(m->confwatch);
	firewall_close(m->firewall);
	query_close(m->query);
	sd_event_source_unref(m->events);
	sd_event_source_unref(m->look);
	sd_event_source_unref(m->alarm);
	sd_event_source_unref(m->tick);
	for (size_t i = 0; i < ARRAY_SIZE(m->signals); i++)
		sd_event_source_unref(m->signals[i]);
	sd_event_unref(m->event);
	sd_event_source_unref(m->nft_events);
	nft_watch_close(m->nft_watch);
	applier_close(m->applier);
	nat_close(m->nat);
	conntrack_close(m->conntrack);
	watch_close(m->watch);
	rtnl_close(m->nl);
	plan_done(&m->plan);
	if (m->applied_setup != m->setup)
		setup_free(m->applied_setup);
	setup_free(m->setup);
	log_close(m->log);
	free(m);
}

/* After a crash systemd starts us again, and the next process takes over what stands. */
static bool restart_follows(void)
{
	const char *result = getenv("SERVICE_RESULT");
	enum job job;

	if (!result)
		return false;
	job = job_of_own_unit();
	return job == JOB_RESTART || (job != JOB_STOP && strcmp(result, "success") != 0);
}

int manager_remove(void)
{
	_cleanup_(manager_free_p) struct manager *m = NULL;
	struct fault fault = {0};

	if (restart_follows())
		return EXIT_SUCCESS;
	firewall_withdraw();
	m = calloc(1, sizeof(*m));
	if (!m || log_open(&m->log) < 0)
		return EXIT_FAILURE;
	if (open_kernel(m, &fault) < 0) {
		log_say(m->log, LOG_ERR, NULL, "%s", fault.text);
		return EXIT_FAILURE;
	}
	return take_down(m) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
