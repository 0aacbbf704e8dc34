/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/job.h"

#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "daemon/machine.h"
#include "lib/base/macro.h"

#define SYSTEMD_NAME    "org.freedesktop.systemd1"
#define SYSTEMD_PATH    "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT    "org.freedesktop.systemd1.Unit"
#define SYSTEMD_JOB     "org.freedesktop.systemd1.Job"
#define JOB_ANSWER_USEC ((uint64_t)2000000)
#define JOB_QUESTIONS   10 /* in the time that the caller has patience */

DEFINE_CLEANUP(sd_bus *, sd_bus_flush_close_unref);

static void message_unref(sd_bus_message **message)
{
	sd_bus_message_unref(*message);
}

static enum job job_from_type(const char *type)
{
	if (strcmp(type, "stop") == 0)
		return JOB_STOP;
	if (strcmp(type, "restart") == 0 || strcmp(type, "start") == 0 ||
	    strcmp(type, "try-restart") == 0)
		return JOB_RESTART;
	return JOB_UNKNOWN;
}

static enum job read_job(sd_bus *bus, const char *unit_path)
{
	_cleanup_(message_unref) sd_bus_message *reply = NULL;
	_cleanup_free_ char *type = NULL;
	const char *job_path;
	uint32_t id;

	if (sd_bus_get_property(bus, SYSTEMD_NAME, unit_path, SYSTEMD_UNIT, "Job", NULL, &reply,
				"(uo)") < 0 ||
	    sd_bus_message_read(reply, "(uo)", &id, &job_path) < 0)
		return JOB_UNKNOWN;
	if (id == 0)
		return JOB_NONE;
	if (sd_bus_get_property_string(bus, SYSTEMD_NAME, job_path, SYSTEMD_JOB, "JobType", NULL,
				       &type) < 0)
		return JOB_UNKNOWN;
	return job_from_type(type);
}

/* By our process and not from /proc: sd_pid_get_unit() looks at process 1, which
 * ProtectProc=invisible hides. */
static enum job ask_job(void)
{
	_cleanup_(sd_bus_flush_close_unref_p) sd_bus *bus = NULL;
	_cleanup_(message_unref) sd_bus_message *reply = NULL;
	const char *unit_path;

	if (sd_bus_open_system(&bus) < 0)
		return JOB_UNKNOWN;
	sd_bus_set_method_call_timeout(bus, JOB_ANSWER_USEC);
	if (sd_bus_call_method(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "GetUnitByPID",
			       NULL, &reply, "u", (uint32_t)getpid()) < 0 ||
	    sd_bus_message_read(reply, "o", &unit_path) < 0)
		return JOB_UNKNOWN;
	return read_job(bus, unit_path);
}

enum job job_of_own_unit(uint64_t patience_usec)
{
	uint64_t began = machine_usec(CLOCK_MONOTONIC);
	enum job job;

	if (!getenv("NOTIFY_SOCKET") && !getenv("INVOCATION_ID"))
		return JOB_UNKNOWN;
	for (;;) {
		job = ask_job();
		if (job == JOB_STOP || job == JOB_RESTART ||
		    machine_usec(CLOCK_MONOTONIC) - began >= patience_usec)
			return job;
		usleep((useconds_t)(patience_usec / JOB_QUESTIONS));
	}
}
