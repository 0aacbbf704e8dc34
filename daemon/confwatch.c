/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/confwatch.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>

#define SETTLE_USEC     ((uint64_t)200000)
#define DIRECTORIES_MAX 8
#define SAVED           (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)

struct confwatch {
	char name[NAME_MAX + 1]; /* of the file within its directory */
	sd_event_source *file;
	sd_event_source *directories[DIRECTORIES_MAX];
	sd_event_source *settle;
	confwatch_changed changed;
	void *userdata;
};

static int on_settled(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct confwatch *watch = userdata;

	watch->changed(watch->userdata);
	return 0;
}

static void arm(struct confwatch *watch)
{
	sd_event_source_set_time_relative(watch->settle, SETTLE_USEC);
	sd_event_source_set_enabled(watch->settle, SD_EVENT_ONESHOT);
}

static int on_file(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	struct confwatch *watch = userdata;

	if (event->len > 0 && strcmp(event->name, watch->name) == 0)
		arm(watch);
	return 0;
}

static int on_rules(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	size_t length = event->len > 0 ? strlen(event->name) : 0;

	if (length > 5 && strcmp(event->name + length - 5, ".conf") == 0)
		arm(userdata);
	return 0;
}

static int watch_file(struct confwatch *watch, sd_event *event, const char *file)
{
	char path[PATH_MAX], other[PATH_MAX];

	snprintf(path, sizeof(path), "%s", file);
	snprintf(other, sizeof(other), "%s", file);
	snprintf(watch->name, sizeof(watch->name), "%s", basename(path));
	return sd_event_add_inotify(event, &watch->file, dirname(other), SAVED, on_file, watch);
}

static int watch_rules(struct confwatch *watch, sd_event *event, const char *const *directories)
{
	for (size_t i = 0; i < DIRECTORIES_MAX && directories[i]; i++) {
		int r = sd_event_add_inotify(event, &watch->directories[i], directories[i], SAVED,
					     on_rules, watch);

		if (r < 0 && r != -ENOENT && r != -EACCES)
			return r;
	}
	return 0;
}

int confwatch_open(sd_event *event, const char *file, const char *const *directories,
		   confwatch_changed changed, void *userdata, struct confwatch **ret)
{
	_cleanup_(confwatch_close_p) struct confwatch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return -ENOMEM;
	watch->changed = changed;
	watch->userdata = userdata;
	r = sd_event_add_time_relative(event, &watch->settle, CLOCK_MONOTONIC, SETTLE_USEC, 1000,
				       on_settled, watch);
	if (r < 0)
		return r;
	sd_event_source_set_enabled(watch->settle, SD_EVENT_OFF);
	r = watch_file(watch, event, file);
	if (r < 0)
		return r;
	r = watch_rules(watch, event, directories);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(watch);
	return 0;
}

void confwatch_close(struct confwatch *watch)
{
	if (!watch)
		return;
	sd_event_source_unref(watch->file);
	sd_event_source_unref(watch->settle);
	for (size_t i = 0; i < DIRECTORIES_MAX; i++)
		sd_event_source_unref(watch->directories[i]);
	free(watch);
}
