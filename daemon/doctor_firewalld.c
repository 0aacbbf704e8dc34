/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/doctor_firewalld.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/macro.h"

#define FIREWALLD_NAME "org.fedoraproject.FirewallD1"
#define FIREWALLD_PATH "/org/fedoraproject/FirewallD1"

static void message_unref(sd_bus_message **message)
{
	sd_bus_message_unref(*message);
}

#define _cleanup_message_ _cleanup_(message_unref)

/* A method of one text, or of none (argument NULL). A firewalld that does not run is not started.
 */
static int ask(sd_bus *bus, const char *interface, const char *method, const char *argument,
	       sd_bus_message **ret)
{
	_cleanup_message_ sd_bus_message *call = NULL;
	char name[96];
	int r;

	snprintf(name, sizeof(name), FIREWALLD_NAME "%s", interface);
	r = sd_bus_message_new_method_call(bus, &call, FIREWALLD_NAME, FIREWALLD_PATH, name,
					   method);
	if (r >= 0)
		r = sd_bus_message_set_auto_start(call, false);
	if (r >= 0 && argument)
		r = sd_bus_message_append(call, "s", argument);
	return r < 0 ? r : sd_bus_call(bus, call, 0, NULL, ret);
}

static int ask_text(sd_bus *bus, const char *interface, const char *method, const char *argument,
		    char ret[static DOCTOR_WORD_MAX])
{
	_cleanup_message_ sd_bus_message *reply = NULL;
	const char *text;
	int r = ask(bus, interface, method, argument, &reply);

	if (r >= 0)
		r = sd_bus_message_read(reply, "s", &text);
	if (r >= 0)
		snprintf(ret, DOCTOR_WORD_MAX, "%s", text);
	return r;
}

/* ---- settings of zones and policies ------------------------------------------------------ */

struct passage {      /* of the settings of a zone or a policy, what lets packets pass */
	bool accepts; /* its target is ACCEPT */
	bool forward; /* zone: between its own interfaces */
	bool from_matches, to_matches; /* policy: from the LAN's zone, to the tunnel's */
};

static bool list_has(sd_bus_message *message, const char *zone)
{
	const char *one;
	bool found = false;

	if (sd_bus_message_enter_container(message, 'v', "as") < 0 ||
	    sd_bus_message_enter_container(message, 'a', "s") < 0)
		return false;
	while (sd_bus_message_read(message, "s", &one) > 0)
		found |= strcmp(one, zone) == 0 || strcmp(one, "ANY") == 0;
	sd_bus_message_exit_container(message);
	sd_bus_message_exit_container(message);
	return found;
}

/* a{sv}, as getZoneSettings2 and getPolicySettings answer */
static int read_passage(sd_bus_message *reply, const char *from, const char *to,
			struct passage *ret)
{
	const char *key, *target;
	int r, yes;

	*ret = (struct passage){0};
	r = sd_bus_message_enter_container(reply, 'a', "{sv}");
	while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
		r = sd_bus_message_read(reply, "s", &key);
		if (r < 0)
			return r;
		if (strcmp(key, "target") == 0) {
			r = sd_bus_message_read(reply, "v", "s", &target);
			ret->accepts = r >= 0 && strcmp(target, "ACCEPT") == 0;
		} else if (strcmp(key, "forward") == 0) {
			r = sd_bus_message_read(reply, "v", "b", &yes);
			ret->forward = r >= 0 && yes;
		} else if (strcmp(key, "ingress_zones") == 0) {
			ret->from_matches = list_has(reply, from);
		} else if (strcmp(key, "egress_zones") == 0) {
			ret->to_matches = list_has(reply, to);
		} else {
			r = sd_bus_message_skip(reply, "v");
		}
		if (r >= 0)
			r = sd_bus_message_exit_container(reply);
	}
	return r < 0 ? r : 0;
}

static enum presence zone_passes(sd_bus *bus, const char *from, const char *to)
{
	_cleanup_message_ sd_bus_message *reply = NULL;
	struct passage passage;

	if (ask(bus, ".zone", "getZoneSettings2", from, &reply) < 0 ||
	    read_passage(reply, from, to, &passage) < 0)
		return PRESENCE_UNKNOWN;
	return passage.accepts || (passage.forward && strcmp(from, to) == 0) ? PRESENCE_YES
									     : PRESENCE_NO;
}

static bool policy_passes(sd_bus *bus, const char *policy, const char *from, const char *to)
{
	_cleanup_message_ sd_bus_message *reply = NULL;
	struct passage passage;

	return ask(bus, ".policy", "getPolicySettings", policy, &reply) >= 0 &&
	       read_passage(reply, from, to, &passage) >= 0 && passage.accepts &&
	       passage.from_matches && passage.to_matches;
}

static enum presence any_policy_passes(sd_bus *bus, const char *from, const char *to)
{
	_cleanup_message_ sd_bus_message *reply = NULL;
	const char *policy;

	if (ask(bus, ".policy", "getPolicies", NULL, &reply) < 0 ||
	    sd_bus_message_enter_container(reply, 'a', "s") < 0)
		return PRESENCE_UNKNOWN;
	while (sd_bus_message_read(reply, "s", &policy) > 0)
		if (policy_passes(bus, policy, from, to))
			return PRESENCE_YES;
	return PRESENCE_NO;
}

/* ---- interfaces -------------------------------------------------------------------------- */

static void judge_lan(sd_bus *bus, const char *default_zone, const char *to, struct doctor_lan *lan)
{
	const char *from;

	lan->passes = PRESENCE_UNKNOWN;
	if (ask_text(bus, ".zone", "getZoneOfInterface", lan->interface, lan->zone) < 0)
		return;
	from = lan->zone[0] ? lan->zone : default_zone;
	lan->passes = zone_passes(bus, from, to);
	if (lan->passes == PRESENCE_NO)
		lan->passes = any_policy_passes(bus, from, to);
}

/* Answers are let in as of a known connection; for what comes by itself the zone has to admit the
 * protocol (4, which /etc/protocols calls ipencap), or everything. */
static void ask_wan_zone(sd_bus *bus, const char *default_zone, struct doctor_facts *facts)
{
	_cleanup_message_ sd_bus_message *settings = NULL, *call = NULL, *reply = NULL;
	struct passage passage;
	int open;

	if (!facts->snapshot.wan_found ||
	    ask_text(bus, ".zone", "getZoneOfInterface", facts->snapshot.wan, facts->wan_zone) < 0)
		return;
	if (!facts->wan_zone[0])
		snprintf(facts->wan_zone, sizeof(facts->wan_zone), "%s", default_zone);
	if (ask(bus, ".zone", "getZoneSettings2", facts->wan_zone, &settings) < 0 ||
	    read_passage(settings, "", "", &passage) < 0 ||
	    sd_bus_message_new_method_call(bus, &call, FIREWALLD_NAME, FIREWALLD_PATH,
					   FIREWALLD_NAME ".zone", "queryProtocol") < 0 ||
	    sd_bus_message_append(call, "ss", facts->wan_zone, "ipencap") < 0 ||
	    sd_bus_call(bus, call, 0, NULL, &reply) < 0 ||
	    sd_bus_message_read(reply, "b", &open) < 0)
		return;
	facts->wan_zone_open = open || passage.accepts ? PRESENCE_YES : PRESENCE_NO;
}

void doctor_ask_firewalld(sd_bus *bus, struct doctor_facts *facts)
{
	char default_zone[DOCTOR_WORD_MAX];

	facts->firewalld = sd_bus_get_name_creds(bus, FIREWALLD_NAME, 0, NULL) >= 0 ? PRESENCE_YES
										    : PRESENCE_NO;
	if (facts->firewalld != PRESENCE_YES)
		return;
	if (ask_text(bus, ".zone", "getZoneOfInterface", facts->settings->map.tunnel, facts->zone) <
		    0 ||
	    ask_text(bus, "", "getDefaultZone", NULL, default_zone) < 0) {
		facts->firewalld = PRESENCE_UNKNOWN;
		return;
	}
	ask_wan_zone(bus, default_zone, facts);
	for (size_t i = 0; i < facts->lan_count; i++)
		judge_lan(bus, default_zone, facts->zone[0] ? facts->zone : default_zone,
			  &facts->lan[i]);
}
