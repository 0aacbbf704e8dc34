/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/firewall.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "daemon/runtime.h"
#include "lib/base/backoff.h"

#define FIREWALLD_NAME "org.fedoraproject.FirewallD1"
#define FIREWALLD_PATH "/org/fedoraproject/FirewallD1"
#define FIREWALLD_ZONE "org.fedoraproject.FirewallD1.zone"
#define FIREWALLD_NOT_AUTHORIZED \
	"org.fedoraproject.FirewallD1.NotAuthorizedException" /* server/dbus.py */
#define BUS_LOCAL "org.freedesktop.DBus.Local"

#define RECORD_FILE "firewalld" /* "ZONE INTERFACE FORMER-ZONE", the last "-" = none */

/* firewalld answers after its start, which takes seconds, and polkit is asked in between. */
#define ANSWER_USEC ((uint64_t)60000000)
#define END_USEC    ((uint64_t)8000000) /* half of the service's TimeoutStopSec=, less a bit */
/* A restart of firewalld is no trouble worth a word. */
#define RESTART_USEC ((uint64_t)30000000)

#define SENTENCE_MAX 256

/* What is in force, as far as it is our doing. */
struct placement {
	char zone[FIREWALLD_ZONE_MAX]; /* "" = nothing */
	char interface[IFNAMSIZ];
	char former[64]; /* zone it was in before, "" = none */
};

struct firewall {
	sd_event *event;
	sd_event_source *retry;
	firewall_news news;
	void *userdata;

	sd_bus *bus; /* NULL while nothing is wanted */
	sd_bus_slot *call;
	struct backoff backoff;

	char zone[FIREWALLD_ZONE_MAX]; /* wanted, "" = none */
	char interface[IFNAMSIZ];
	char found[64]; /* zone before ours, of the call under way */
	bool settled;
	char trouble[SENTENCE_MAX], place[SENTENCE_MAX];
};

DEFINE_CLEANUP(sd_bus *, sd_bus_flush_close_unref);
DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

static void ask(struct firewall *firewall);

/* ---- what we did ------------------------------------------------------------------------- */

static bool record_read(struct placement *ret)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	*ret = (struct placement){0};
	if (runtime_read(RECORD_FILE, &text) < 0)
		return false;
	if (sscanf(text_get(&text), "%17s %15s %63s", ret->zone, ret->interface, ret->former) != 3)
		return false;
	if (strcmp(ret->former, "-") == 0)
		ret->former[0] = '\0';
	return true;
}

static void record_write(const struct firewall *firewall)
{
	char record[256];

	snprintf(record, sizeof(record), "%s %s %s\n", firewall->zone, firewall->interface,
		 firewall->found[0] ? firewall->found : "-");
	(void)runtime_write(RECORD_FILE, record);
}

/* ---- sentences --------------------------------------------------------------------------- */

static void tell(struct firewall *firewall, const char *trouble)
{
	bool news = strcmp(firewall->trouble, trouble) != 0;

	snprintf(firewall->trouble, sizeof(firewall->trouble), "%s", trouble);
	if (trouble[0] && firewall->place[0]) {
		firewall->place[0] = '\0';
		news = true;
	}
	if (news)
		firewall->news(firewall->userdata);
}

static void tell_place(struct firewall *firewall)
{
	char place[SENTENCE_MAX];
	bool news;

	snprintf(place, sizeof(place), "%s is in zone %s of firewalld", firewall->interface,
		 firewall->zone);
	news = !firewall->settled || strcmp(firewall->place, place) != 0;
	memcpy(firewall->place, place, sizeof(place));
	firewall->trouble[0] = '\0';
	firewall->settled = true;
	if (news)
		firewall->news(firewall->userdata);
}

/* 0: firewalld itself will tell when asking again makes sense. */
static bool explain(const struct firewall *firewall, const sd_bus_error *error,
		    char sentence[static SENTENCE_MAX])
{
	const char *words = error->message ? error->message : error->name;

	if (sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
	    sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER)) {
		snprintf(sentence, SENTENCE_MAX,
			 "firewalld is not running: %s cannot be put into zone %s",
			 firewall->interface, firewall->zone);
		return false;
	}
	if (sd_bus_error_has_name(error, FIREWALLD_NOT_AUTHORIZED) ||
	    sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED)) {
		snprintf(sentence, SENTENCE_MAX,
			 "firewalld does not let maped put %s into zone %s: is polkit running, and "
			 "its rule 50-maped.rules installed?",
			 firewall->interface, firewall->zone);
		return true;
	}
	if (strncmp(words, "INVALID_ZONE", strlen("INVALID_ZONE")) == 0) {
		snprintf(sentence, SENTENCE_MAX, "firewalld has no zone %s (firewalld.zone)",
			 firewall->zone);
		return false;
	}
	snprintf(sentence, SENTENCE_MAX, "firewalld, zone %s: %.160s", firewall->zone, words);
	return true;
}

/* ---- waiting ----------------------------------------------------------------------------- */

static void retry_after(struct firewall *firewall, uint64_t usec)
{
	sd_event_source_set_time_relative(firewall->retry, usec);
	sd_event_source_set_enabled(firewall->retry, SD_EVENT_ONESHOT);
}

static void retry_later(struct firewall *firewall)
{
	uint32_t random = 0;

	(void)getrandom(&random, sizeof(random), GRND_NONBLOCK);
	retry_after(firewall, backoff_next(&firewall->backoff, random));
}

static void fail(struct firewall *firewall, const sd_bus_error *error)
{
	char sentence[SENTENCE_MAX];

	firewall->settled = false;
	if (explain(firewall, error, sentence))
		retry_later(firewall);
	tell(firewall, sentence);
}

static void fail_errno(struct firewall *firewall, int r)
{
	char sentence[SENTENCE_MAX];

	snprintf(sentence, sizeof(sentence), "firewalld cannot be asked for zone %s: %s",
		 firewall->zone, strerror(-r));
	firewall->settled = false;
	retry_later(firewall);
	tell(firewall, sentence);
}

/* ---- calls ------------------------------------------------------------------------------- */

static int new_call(sd_bus *bus, const char *method, sd_bus_message **ret)
{
	int r = sd_bus_message_new_method_call(bus, ret, FIREWALLD_NAME, FIREWALLD_PATH,
					       FIREWALLD_ZONE, method);

	/* A firewall that its owner stopped is not started by us. */
	return r < 0 ? r : sd_bus_message_set_auto_start(*ret, false);
}

/* changeZoneOfInterface, removeInterface: both take a zone and an interface. */
static int new_zone_call(sd_bus *bus, const char *method, const char *zone, const char *interface,
			 sd_bus_message **ret)
{
	_cleanup_(sd_bus_message_unref_p) sd_bus_message *message = NULL;
	int r = new_call(bus, method, &message);

	if (r >= 0)
		r = sd_bus_message_append(message, "ss", zone, interface);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(message);
	return 0;
}

static int send_call(struct firewall *firewall, sd_bus_message *message,
		     sd_bus_message_handler_t answer)
{
	firewall->call = sd_bus_slot_unref(firewall->call);
	return sd_bus_call_async(firewall->bus, &firewall->call, message, answer, firewall,
				 ANSWER_USEC);
}

static int on_put(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
	struct firewall *firewall = userdata;

	firewall->call = sd_bus_slot_unref(firewall->call);
	if (sd_bus_message_is_method_error(reply, NULL)) {
		fail(firewall, sd_bus_message_get_error(reply));
		return 0;
	}
	record_write(firewall);
	backoff_reset(&firewall->backoff);
	tell_place(firewall);
	return 0;
}

static int put(struct firewall *firewall)
{
	_cleanup_(sd_bus_message_unref_p) sd_bus_message *message = NULL;
	int r = new_zone_call(firewall->bus, "changeZoneOfInterface", firewall->zone,
			      firewall->interface, &message);

	return r < 0 ? r : send_call(firewall, message, on_put);
}

static int on_zone(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
	struct firewall *firewall = userdata;
	const char *zone;
	int r;

	firewall->call = sd_bus_slot_unref(firewall->call);
	if (sd_bus_message_is_method_error(reply, NULL)) {
		fail(firewall, sd_bus_message_get_error(reply));
		return 0;
	}
	r = sd_bus_message_read(reply, "s", &zone);
	if (r >= 0 && strcmp(zone, firewall->zone) == 0) {
		backoff_reset(&firewall->backoff);
		tell_place(firewall);
		return 0;
	}
	if (r >= 0) {
		snprintf(firewall->found, sizeof(firewall->found), "%s", zone);
		firewall->settled = false;
		r = put(firewall);
	}
	if (r < 0)
		fail_errno(firewall, r);
	return 0;
}

/* ---- the bus ----------------------------------------------------------------------------- */

static void disconnect(struct firewall *firewall)
{
	firewall->call = sd_bus_slot_unref(firewall->call);
	if (firewall->bus)
		sd_bus_detach_event(firewall->bus);
	firewall->bus = sd_bus_close_unref(firewall->bus);
}

static int on_reloaded(sd_bus_message *signal, void *userdata, sd_bus_error *reterr)
{
	ask(userdata);
	return 0;
}

static int on_owner(sd_bus_message *signal, void *userdata, sd_bus_error *reterr)
{
	struct firewall *firewall = userdata;
	const char *name, *old, *new;

	if (sd_bus_message_read(signal, "sss", &name, &old, &new) < 0)
		return 0;
	/* What firewalld knows after a start is what its files say: no doing of ours. */
	(void)runtime_remove(RECORD_FILE);
	if (new[0])
		ask(firewall);
	else
		retry_after(firewall, RESTART_USEC);
	return 0;
}

static int on_disconnected(sd_bus_message *signal, void *userdata, sd_bus_error *reterr)
{
	struct firewall *firewall = userdata;

	/* The connection is closed by the retry: not in its own callback. */
	retry_later(firewall);
	return 0;
}

static int add_matches(struct firewall *firewall)
{
	static const struct {
		const char *match;
		sd_bus_message_handler_t handler;
	} wanted[] = {
		{"type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
		 "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
		 "arg0='" FIREWALLD_NAME "'",
		 on_owner},
		{"type='signal',sender='" FIREWALLD_NAME "',path='" FIREWALLD_PATH "',"
		 "interface='" FIREWALLD_NAME "',member='Reloaded'",
		 on_reloaded},
		{"type='signal',sender='" BUS_LOCAL "',interface='" BUS_LOCAL "',"
		 "member='Disconnected'",
		 on_disconnected},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(wanted) && r >= 0; i++)
		r = sd_bus_add_match_async(firewall->bus, NULL, wanted[i].match, wanted[i].handler,
					   NULL, firewall);
	return r;
}

static int connect_bus(struct firewall *firewall)
{
	int r = sd_bus_open_system(&firewall->bus);

	if (r >= 0)
		r = sd_bus_attach_event(firewall->bus, firewall->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = add_matches(firewall);
	if (r < 0)
		disconnect(firewall);
	return r;
}

/* Where is the tunnel now? What is to be done follows from the answer. */
static void ask(struct firewall *firewall)
{
	_cleanup_(sd_bus_message_unref_p) sd_bus_message *message = NULL;
	int r = 0;

	sd_event_source_set_enabled(firewall->retry, SD_EVENT_OFF);
	if (!firewall->zone[0])
		return;
	if (!firewall->bus)
		r = connect_bus(firewall);
	if (r >= 0)
		r = new_call(firewall->bus, "getZoneOfInterface", &message);
	if (r >= 0)
		r = sd_bus_message_append(message, "s", firewall->interface);
	if (r >= 0)
		r = send_call(firewall, message, on_zone);
	if (r < 0)
		fail_errno(firewall, r);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct firewall *firewall = userdata;

	if (firewall->bus && (!firewall->zone[0] || sd_bus_is_open(firewall->bus) <= 0))
		disconnect(firewall);
	ask(firewall);
	return 0;
}

/* ---- taking back ------------------------------------------------------------------------- */

/* The tunnel back to where it was. */
static int new_undo_call(sd_bus *bus, const struct placement *did, sd_bus_message **ret)
{
	return did->former[0]
		       ? new_zone_call(bus, "changeZoneOfInterface", did->former, did->interface,
				       ret)
		       : new_zone_call(bus, "removeInterface", did->zone, did->interface, ret);
}

void firewall_withdraw(void)
{
	_cleanup_(sd_bus_flush_close_unref_p) sd_bus *bus = NULL;
	_cleanup_(sd_bus_message_unref_p) sd_bus_message *message = NULL;
	struct placement did;

	if (!record_read(&did))
		return;
	/* The answer is waited for: polkit lets nobody do anything who has left the bus. Without
	 * it the record stays, and what runs after us (maped --remove) tries again. */
	if (sd_bus_open_system(&bus) >= 0 && new_undo_call(bus, &did, &message) >= 0 &&
	    sd_bus_call(bus, message, END_USEC, NULL, NULL) == -ETIMEDOUT)
		return;
	(void)runtime_remove(RECORD_FILE);
}

static int on_undone(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
	struct firewall *firewall = userdata;

	firewall->call = sd_bus_slot_unref(firewall->call);
	/* Closed by the retry, which finds that nothing is wanted any more. */
	if (!firewall->zone[0])
		retry_after(firewall, 0);
	else
		ask(firewall);
	return 0;
}

/* 1: on its way, 0: nothing to take back. */
static int take_back(struct firewall *firewall)
{
	_cleanup_(sd_bus_message_unref_p) sd_bus_message *message = NULL;
	struct placement did;

	if (!firewall->bus || !record_read(&did))
		return 0;
	(void)runtime_remove(RECORD_FILE);
	if (new_undo_call(firewall->bus, &did, &message) < 0 ||
	    send_call(firewall, message, on_undone) < 0)
		return 0;
	return 1;
}

/* ---- doors ------------------------------------------------------------------------------- */

/* A record of a process before us is about another tunnel or zone, or the section is gone. */
static bool record_is_foreign(const char *zone, const char *interface)
{
	struct placement did;

	return record_read(&did) &&
	       (strcmp(did.zone, zone) != 0 || strcmp(did.interface, interface) != 0);
}

void firewall_want(struct firewall *firewall, const struct firewalld_settings *settings,
		   const char *interface)
{
	const char *zone = settings->enabled ? settings->zone : "";

	if (strcmp(firewall->zone, zone) == 0 && strcmp(firewall->interface, interface) == 0)
		return;
	snprintf(firewall->zone, sizeof(firewall->zone), "%s", zone);
	snprintf(firewall->interface, sizeof(firewall->interface), "%s", interface);
	firewall->settled = false;
	firewall->place[0] = '\0';
	backoff_reset(&firewall->backoff);
	if (!firewall->bus && record_is_foreign(zone, interface))
		(void)connect_bus(firewall);
	if (!zone[0])
		tell(firewall, "");
	if (record_is_foreign(zone, interface) && take_back(firewall))
		return;
	if (zone[0]) {
		ask(firewall);
		return;
	}
	disconnect(firewall);
}

const char *firewall_trouble(const struct firewall *firewall)
{
	return firewall->trouble;
}

const char *firewall_place(const struct firewall *firewall)
{
	return firewall->place;
}

int firewall_open(sd_event *event, firewall_news news, void *userdata, struct firewall **ret)
{
	_cleanup_(firewall_close_p) struct firewall *firewall = calloc(1, sizeof(*firewall));
	int r;

	if (!firewall)
		return -ENOMEM;
	firewall->event = sd_event_ref(event);
	firewall->news = news;
	firewall->userdata = userdata;
	r = sd_event_add_time(event, &firewall->retry, CLOCK_MONOTONIC, UINT64_MAX, 0, on_retry,
			      firewall);
	if (r >= 0)
		r = sd_event_source_set_enabled(firewall->retry, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(firewall);
	return 0;
}

void firewall_close(struct firewall *firewall)
{
	if (!firewall)
		return;
	disconnect(firewall);
	sd_event_source_unref(firewall->retry);
	sd_event_unref(firewall->event);
	free(firewall);
}
