/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/confwatch.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>

#define SETTLE_USEC     ((uint64_t)200000)
#define DIRECTORIES_MAX 8
/* The configuration as it was named, and what it leads to when it is a symbolic link. */
#define FILES_MAX 8
#define CHANGED   (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_CREATE)

/* A file, whose directory is watched, or a directory of rule files. */
struct place {
	struct confwatch *watch;
	char *path;
	sd_event_source *source;
};

struct confwatch {
	sd_event *event;
	struct place files[FILES_MAX];
	struct place directories[DIRECTORIES_MAX];
	sd_event_source *settle;
	confwatch_changed changed;
	void *userdata;
};

static void arm(struct confwatch *watch)
{
	sd_event_source_set_time_relative(watch->settle, SETTLE_USEC);
	sd_event_source_set_enabled(watch->settle, SD_EVENT_ONESHOT);
}

/* A file that has just been made is empty, and will be closed by its writer; a link is whole. */
static bool is_begun(const struct inotify_event *event, const char *path)
{
	struct stat st;

	return (event->mask & IN_CREATE) && lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_nlink == 1;
}

/* Something about path has changed. */
static void take(struct confwatch *watch, const struct inotify_event *event, const char *path)
{
	if (is_begun(event, path))
		sd_event_source_set_enabled(watch->settle, SD_EVENT_OFF);
	else
		arm(watch);
}

static void place_done(struct place *place)
{
	place->source = sd_event_source_disable_unref(place->source);
	free(TAKE_PTR(place->path));
}

/* ---- the configuration ------------------------------------------------------------------- */

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* With its slash; "" = the present one. */
static int directory_length(const char *path)
{
	return (int)(name_of(path) - path);
}

static int on_file(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	const struct place *place = userdata;

	if (event->mask & IN_Q_OVERFLOW)
		arm(place->watch);
	if (event->len > 0 && strcmp(event->name, name_of(place->path)) == 0)
		take(place->watch, event, place->path);
	return 0;
}

static int watch_directory_of(struct place *place)
{
	char directory[PATH_MAX];

	snprintf(directory, sizeof(directory), "%.*s.", directory_length(place->path), place->path);
	return sd_event_add_inotify(place->watch->event, &place->source, directory, CHANGED,
				    on_file, place);
}

/* What the link path leads to; the caller's. NULL: it is none. */
static char *follow(const char *path)
{
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);
	char *whole = NULL;

	if (length <= 0)
		return NULL;
	target[length] = '\0';
	if (asprintf(&whole, "%.*s%s", target[0] == '/' ? 0 : directory_length(path), path,
		     target) < 0)
		return NULL;
	return whole;
}

/* Where a link leads may be hidden from us, and then it is not watched. */
static void watch_targets(struct confwatch *watch)
{
	for (size_t i = 1; i < FILES_MAX; i++)
		place_done(&watch->files[i]);
	for (size_t i = 1; i < FILES_MAX; i++) {
		struct place *place = &watch->files[i];

		place->watch = watch;
		place->path = follow(watch->files[i - 1].path);
		if (!place->path)
			return;
		(void)watch_directory_of(place);
	}
}

static int watch_file(struct confwatch *watch, const char *file)
{
	struct place *place = &watch->files[0];
	int r;

	*place = (struct place){.watch = watch, .path = strdup(file)};
	if (!place->path)
		return -ENOMEM;
	r = watch_directory_of(place);
	if (r < 0)
		return r;
	watch_targets(watch);
	return 0;
}

/* ---- rule files -------------------------------------------------------------------------- */

static int on_rules(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	const struct place *place = userdata;
	size_t length = event->len > 0 ? strlen(event->name) : 0;
	char path[PATH_MAX];

	/* the directory's own mode counts, too */
	if ((event->mask & IN_Q_OVERFLOW) || (event->len == 0 && (event->mask & IN_ATTRIB)))
		arm(place->watch);
	if (length > 5 && strcmp(event->name + length - 5, ".conf") == 0) {
		snprintf(path, sizeof(path), "%s/%s", place->path, event->name);
		take(place->watch, event, path);
	}
	return 0;
}

static int watch_rules(struct confwatch *watch, const char *const *directories)
{
	for (size_t i = 0; i < DIRECTORIES_MAX && directories[i]; i++) {
		struct place *place = &watch->directories[i];
		int r;

		*place = (struct place){.watch = watch, .path = strdup(directories[i])};
		if (!place->path)
			return -ENOMEM;
		r = sd_event_add_inotify(watch->event, &place->source, place->path, CHANGED,
					 on_rules, place);
		if (r < 0 && r != -ENOENT && r != -EACCES)
			return r;
	}
	return 0;
}

/* ---- beginning and end ------------------------------------------------------------------- */

static int on_settled(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct confwatch *watch = userdata;

	/* First: what changes from here on is told. */
	watch_targets(watch);
	watch->changed(watch->userdata);
	return 0;
}

int confwatch_open(sd_event *event, const char *file, const char *const *directories,
		   confwatch_changed changed, void *userdata, struct confwatch **ret)
{
	_cleanup_(confwatch_close_p) struct confwatch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return -ENOMEM;
	watch->event = sd_event_ref(event);
	watch->changed = changed;
	watch->userdata = userdata;
	r = sd_event_add_time_relative(event, &watch->settle, CLOCK_MONOTONIC, SETTLE_USEC, 1000,
				       on_settled, watch);
	if (r < 0)
		return r;
	sd_event_source_set_enabled(watch->settle, SD_EVENT_OFF);
	r = watch_file(watch, file);
	if (r < 0)
		return r;
	r = watch_rules(watch, directories);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(watch);
	return 0;
}

void confwatch_close(struct confwatch *watch)
{
	if (!watch)
		return;
	for (size_t i = 0; i < FILES_MAX; i++)
		place_done(&watch->files[i]);
	for (size_t i = 0; i < DIRECTORIES_MAX; i++)
		place_done(&watch->directories[i]);
	sd_event_source_unref(watch->settle);
	sd_event_unref(watch->event);
	free(watch);
}
