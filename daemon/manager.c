/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/job.h"
#include "daemon/machine.h"
#include "daemon/manager_private.h"
#include "daemon/runtime.h"
#include "daemon/thrift.h"
#include "lib/config/config.h"

/* Kernel settings as they were before us (lib/kernel/sysctl.h). */
#define STATE_FILE "sysctl"
/* Without a watchdog the numbers are brought up to date this often. */
#define TICK_USEC ((uint64_t)15000000)
/* between a crash and the next start */
#define RESTART_USEC ((uint64_t)200000)
/* the same while another daemon runs; less than TimeoutStopSec= */
#define RESTART_BUSY_USEC ((uint64_t)10000000)

/* ---- events ------------------------------------------------------------------------------ */

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
	manager_reconcile(userdata);
	return 0;
}

static int on_alarm(sd_event_source *source, uint64_t usec, void *userdata)
{
	manager_reconcile(userdata);
	return 0;
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
	int mask = watch_dispatch(m->watch, machine_usec(CLOCK_BOOTTIME), &fault);
	unsigned int news = watch_take_news(m->watch);

	if (mask < 0) {
		log_say(m->log, LOG_CRIT, NULL, "%s", fault.text);
		return mask;
	}
	if (m->report.state == STATE_FAILING && !failure_may_be_over(m, (unsigned int)mask, news))
		return 0;
	if (mask > 0)
		manager_schedule(m, news != 0);
	return 0;
}

static int on_nft_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct manager *m = userdata;
	int r = nft_watch_dispatch(m->nft_watch);

	if (r < 0) {
		log_say(m->log, LOG_CRIT, NULL, "read nftables events: %s", strerror(-r));
		return r;
	}
	if (r > 0)
		manager_schedule(m, false);
	return 0;
}

static int on_hup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	manager_reload(userdata);
	return 0;
}

static void on_saved(void *userdata)
{
	manager_reload(userdata);
}

static int on_term(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct manager *m = userdata;

	return sd_event_exit(m->event, 0);
}

/* The one regular wake-up: as often as systemd's watchdog wants to be told. */
static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	sd_notify(0, "WATCHDOG=1");
	manager_prolong(m);
	manager_count(m);
	if (watch_check_settings(m->watch))
		manager_schedule(m, false);
	sd_event_source_set_time(source, machine_usec(CLOCK_MONOTONIC) + m->tick_usec);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
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

	return conntrack_forget(m->conntrack, address, stays ? &want->ports : NULL,
				want->offload || m->plan.nat.offload, reterr);
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
	nat_set_watch(m->nat, m->nft_watch);
	r = conntrack_open(&m->conntrack, reterr);
	if (r < 0)
		return r;
	nat_set_conntrack(m->nat, m->conntrack);
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

	r = sd_event_add_time(m->event, &m->look, CLOCK_MONOTONIC, 0, 1, on_look, m);
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
				 machine_usec(CLOCK_MONOTONIC) + m->tick_usec, m->tick_usec / 8,
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
		{SIGUSR1, manager_on_usr1},
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

/* A second daemon would take the socket away from the first one, and at its end the network. */
static int say_served(pid_t pid, struct fault *reterr)
{
	if (pid > 0)
		return fault_set(reterr, -EADDRINUSE, "maped runs already (process %d)", (int)pid);
	return fault_set(reterr, -EADDRINUSE, "maped runs already");
}

/* The first thing that others see of us. */
static int serve(struct manager *m, struct fault *reterr)
{
	pid_t other = 0;
	int r;

	if (query_served(&other) > 0)
		return say_served(other, reterr);
	r = query_open(m->event, manager_on_query, m, &m->query);
	if (r < 0)
		log_say(m->log, LOG_WARNING, NULL, "maped --status will not answer: %s",
			strerror(-r));
	return 0;
}

/* Of a callback that fails sd-event only hears no more; here the loop ends, and the daemon. */
static int end_on_failure(struct manager *m)
{
	sd_event_source *const sources[] = {m->events, m->nft_events, m->look, m->alarm, m->tick};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sources) && r >= 0; i++)
		r = sd_event_source_set_exit_on_failure(sources[i], true);
	for (size_t i = 0; i < ARRAY_SIZE(m->signals) && m->signals[i] && r >= 0; i++)
		r = sd_event_source_set_exit_on_failure(m->signals[i], true);
	return r;
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
	r = serve(m, reterr);
	if (r < 0)
		return r;
	r = firewall_open(m->event, manager_on_firewall, m, &m->firewall);
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
	r = end_on_failure(m);
	if (r < 0)
		return fault_errno(reterr, r, "listen to events");
	r = watch_files(m);
	if (r < 0)
		log_say(m->log, LOG_WARNING, NULL,
			"%s is not watched (%s): use reload after a change", m->config_file,
			strerror(-r));
	return 0;
}

/* What starting again cannot mend, unlike a lack of something. */
static bool is_mistake(int r)
{
	return r != -ENOMEM && r != -EMFILE && r != -ENFILE && r != -EIO;
}

static int refuse_start(struct manager *m, int r, struct text *complaints)
{
	status_line(&m->status, text_get(complaints));
	(void)manager_say_complaints(m, complaints);
	if (!is_mistake(r))
		return r;
	log_say(m->log, LOG_ERR, MESSAGE_CONFIG_REFUSED,
		"%s is refused, and there is none before it: mend it, then start maped",
		m->config_file);
	return -EBADMSG;
}

static void take_up_heritage(struct manager *m)
{
	struct fault fault = {0};

	if (machine_recall(m->nl, m->setup, m->watch, &m->memory, &fault) < 0)
		log_say(m->log, LOG_WARNING, NULL,
			"what the process before knew of the line is not used: %s", fault.text);
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
	r = manager_load_setup(m, &m->setup, &complaints);
	if (r < 0)
		return refuse_start(m, r, &complaints);
	m->applied_setup = m->setup;
	r = start(m, &fault);
	if (r < 0) {
		log_say(m->log, LOG_ERR, NULL, "%s", fault.text);
		return r;
	}
	take_up_heritage(m);
	*ret = TAKE_PTR(m);
	return 0;
}

/* Everything away, as the box was found. */
static int take_down(struct manager *m)
{
	const struct plan nothing = PLAN_EMPTY;
	struct fault fault = {0};
	int r;

	(void)runtime_remove(HERITAGE_FILE);
	r = plan_apply(m->applier, &nothing, m->plan_known ? &m->plan : NULL, &fault);
	if (r < 0)
		log_say(m->log, LOG_ERR, MESSAGE_APPLY_FAILED, "%s", fault.text);
	return r < 0 ? r : 0;
}

/* failed: negative errno that ended the loop. Who watches over us starts us again then, or runs
 * maped --remove. */
static int finish(struct manager *m, int failed)
{
	enum job job;
	int r;

	status_stopping(&m->status);
	job = job_of_own_unit(0);
	m->began_usec = machine_usec(CLOCK_MONOTONIC);
	if (failed < 0 && job != JOB_STOP && getenv("NOTIFY_SOCKET")) {
		manager_enter(m, STATE_STOPPING, "failed: everything stays for the next process",
			      0);
		return 0;
	}
	if (job == JOB_RESTART) {
		manager_enter(m, STATE_STOPPING, "restart: everything stays for the next process",
			      0);
		return 0;
	}
	status_line(&m->status, "stopping: taking everything away");
	firewall_withdraw();
	r = take_down(m);
	manager_enter(m, STATE_STOPPING,
		      r < 0 ? "not all could be taken away" : "all is taken away", 0);
	return r;
}

int manager_run(struct manager *m)
{
	int r, finished;

	manager_reconcile(m);
	status_ready(&m->status);
	manager_want_firewall(m);
	thrift_give_back();
	r = sd_event_loop(m->event);
	if (r < 0)
		log_say(m->log, LOG_CRIT, NULL, "event loop: %s", strerror(-r));
	finished = finish(m, r);
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
	applier_close(m->applier);
	nat_close(m->nat);
	nft_watch_close(m->nft_watch);
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

/* After a crash systemd starts us again, and the next process takes over what stands. The pause
 * before that (RestartSec=0) is spent here, where a `systemctl stop` is still heard: in a pause of
 * systemd's own it would end the service without asking us to take anything away. After a refused
 * configuration (RestartPreventExitStatus=) the next process is the one that the owner starts when
 * the file is mended: nobody loses IPv4 for a slip of the pen. */
static bool restart_follows(bool busy)
{
	const char *result = getenv("SERVICE_RESULT");

	if (!result)
		return false;
	if (strcmp(result, "success") == 0)
		return job_of_own_unit(0) == JOB_RESTART;
	return job_of_own_unit(busy ? RESTART_BUSY_USEC : RESTART_USEC) != JOB_STOP;
}

int manager_remove(void)
{
	_cleanup_(manager_free_p) struct manager *m = NULL;
	struct fault fault = {0};
	pid_t other = 0;
	bool busy = query_served(&other) > 0;

	if (restart_follows(busy))
		return EXIT_SUCCESS;
	m = calloc(1, sizeof(*m));
	if (!m || log_open(&m->log) < 0)
		return EXIT_FAILURE;
	if (busy) {
		(void)say_served(other, &fault);
		log_say(m->log, LOG_ERR, NULL, "%s: nothing is taken away", fault.text);
		return EXIT_FAILURE;
	}
	firewall_withdraw();
	if (open_kernel(m, &fault) < 0) {
		log_say(m->log, LOG_ERR, NULL, "%s", fault.text);
		return EXIT_FAILURE;
	}
	return take_down(m) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
