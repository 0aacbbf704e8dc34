/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/sysctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT         "/proc/sys/"
#define IP_FORWARD   "net/ipv4/ip_forward"
#define CONF         "net/ipv4/conf/"
#define STATE_HEADER "maped sysctl 1"
#define STATE_END    "end"

/* ---- one setting ------------------------------------------------------------------------- */

static int open_setting(const char *path, int flags)
{
	char full[sizeof(ROOT) + 64];

	snprintf(full, sizeof(full), ROOT "%.63s", path);
	return open(full, flags | O_CLOEXEC | O_NOFOLLOW);
}

static int parse_int(const char *text, int *ret)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (end == text || (*end != '\0' && *end != '\n') || errno || value < INT_MIN ||
	    value > INT_MAX)
		return -EBADMSG;
	*ret = (int)value;
	return 0;
}

int sysctl_read(const char *path, int *ret)
{
	_cleanup_close_ int fd = open_setting(path, O_RDONLY);
	char text[32];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return parse_int(text, ret);
}

static int write_setting(const char *path, int value)
{
	_cleanup_close_ int fd = open_setting(path, O_WRONLY);
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", value);

	if (fd < 0)
		return -errno;
	return write(fd, text, (size_t)length) == length ? 0 : -errno;
}

/* ---- the record -------------------------------------------------------------------------- */

void sysctl_record_done(struct sysctl_record *record)
{
	free(record->list);
	*record = (struct sysctl_record){0};
}

static int record_add(struct sysctl_record *record, const char *path, int original, int written)
{
	struct sysctl_entry *list, *entry;

	list = reallocarray(record->list, record->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	record->list = list;
	entry = &list[record->count++];
	*entry = (struct sysctl_entry){.original = original, .written = written};
	snprintf(entry->path, sizeof(entry->path), "%s", path);
	return 0;
}

static struct sysctl_entry *record_find(const struct sysctl_record *record, const char *path)
{
	for (size_t i = 0; i < record->count; i++)
		if (strcmp(record->list[i].path, path) == 0)
			return &record->list[i];
	return NULL;
}

void sysctl_record_print(const struct sysctl_record *record, struct text *out)
{
	text_add(out, STATE_HEADER "\n");
	for (size_t i = 0; i < record->count; i++)
		text_add(out, "%s %d %d\n", record->list[i].path, record->list[i].original,
			 record->list[i].written);
	text_add(out, STATE_END "\n");
}

static int save(const struct sysctl_record *record, const char *file, struct fault *reterr)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_close_ int fd = -1;
	char fresh[PATH_MAX];
	int r = 0;

	if (!file)
		return 0;
	if (record->count == 0) {
		if (unlink(file) < 0 && errno != ENOENT)
			return fault_errno(reterr, -errno, "remove %s", file);
		return 0;
	}
	sysctl_record_print(record, &text);
	if (text_failed(&text))
		return fault_errno(reterr, -ENOMEM, "write %s", file);
	if (snprintf(fresh, sizeof(fresh), "%s.new", file) >= (int)sizeof(fresh))
		return fault_errno(reterr, -ENAMETOOLONG, "write %s", file);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fault_errno(reterr, -errno, "write %s", fresh);
	errno = ENOSPC; /* what a short write means */
	if (write(fd, text.data, text.length) != (ssize_t)text.length || rename(fresh, file) < 0)
		r = -errno;
	if (r < 0) {
		unlink(fresh);
		return fault_errno(reterr, r, "write %s", file);
	}
	return 0;
}

/* Only what sysctl_sync() could have written: a relative path below net/ipv4 or net/ipv6. */
static bool path_is_sound(const char *path)
{
	size_t part = 0;

	if (strlen(path) >= sizeof(((struct sysctl_entry *)0)->path))
		return false;
	if (strncmp(path, "net/ipv4/", 9) != 0 && strncmp(path, "net/ipv6/", 9) != 0)
		return false;
	for (const char *p = path;; p++) {
		if (*p == '/' || *p == '\0') {
			if (part == 0 || (part == 1 && p[-1] == '.') ||
			    (part == 2 && p[-1] == '.' && p[-2] == '.'))
				return false;
			part = 0;
			if (*p == '\0')
				return true;
			continue;
		}
		if (*p <= ' ' || *p > '~')
			return false;
		part++;
	}
}

static int parse_line(const char *line, struct sysctl_record *record)
{
	char path[80];
	int original, written, used = -1;

	if (sscanf(line, "%79s %d %d%n", path, &original, &written, &used) != 3 || used < 0 ||
	    line[used] != '\0' || !path_is_sound(path) || record_find(record, path))
		return -EBADMSG;
	return record_add(record, path, original, written);
}

int sysctl_record_parse(const char *text, size_t length, struct sysctl_record *ret,
			struct fault *reterr)
{
	_cleanup_sysctl_record_ struct sysctl_record record = {0};
	_cleanup_free_ char *copy = strndup(text, length);
	char *rest = copy, *line;
	unsigned int number = 0;
	bool ended = false;
	int r;

	if (!copy)
		return fault_errno(reterr, -ENOMEM, "saved kernel settings");
	if (strlen(copy) != length)
		return fault_set(reterr, -EBADMSG, "saved kernel settings: not a text");
	while ((line = strsep(&rest, "\n"))) {
		number++;
		if (ended ? line[0] != '\0' : number == 1 && strcmp(line, STATE_HEADER) != 0)
			return fault_set(reterr, -EBADMSG,
					 "saved kernel settings: line %u is not ours", number);
		if (ended || number == 1)
			continue;
		if (strcmp(line, STATE_END) == 0) {
			ended = rest != NULL; /* its newline is there, too */
			continue;
		}
		r = parse_line(line, &record);
		if (r == -ENOMEM)
			return fault_errno(reterr, r, "saved kernel settings");
		if (r < 0)
			return fault_set(reterr, r, "saved kernel settings: line %u is not sound",
					 number);
	}
	if (!ended)
		return fault_set(reterr, -EBADMSG, "saved kernel settings: cut off");
	*ret = record;
	record = (struct sysctl_record){0};
	return 0;
}

int sysctl_record_load(const char *state_file, struct sysctl_record *ret, struct fault *reterr)
{
	_cleanup_free_ char *text = malloc(SYSCTL_STATE_MAX + 1);
	_cleanup_close_ int fd = -1;
	struct stat st;
	ssize_t n;

	if (!text)
		return fault_errno(reterr, -ENOMEM, "read %s", state_file);
	fd = open(state_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		*ret = (struct sysctl_record){0};
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return fault_errno(reterr, -errno, "read %s", state_file);
	if (!S_ISREG(st.st_mode) || st.st_size > SYSCTL_STATE_MAX)
		return fault_set(reterr, -EBADMSG, "saved kernel settings: %s is no state file",
				 state_file);
	n = read(fd, text, SYSCTL_STATE_MAX + 1);
	if (n < 0)
		return fault_errno(reterr, -errno, "read %s", state_file);
	return sysctl_record_parse(text, (size_t)n, ret, reterr);
}

/* ---- ip_forward and what hangs on it ------------------------------------------------------ */

static bool is_interface_forwarding(const char *path)
{
	const char *name = path + strlen(CONF), *end;

	if (strncmp(path, CONF, strlen(CONF)) != 0)
		return false;
	end = strchr(name, '/');
	return end && strcmp(end, "/forwarding") == 0;
}

/* Written along with ip_forward, never by itself. */
static bool hangs_on_forward(const char *path)
{
	return strcmp(path, CONF "all/accept_redirects") == 0 || is_interface_forwarding(path);
}

/* Records path if the kernel, going from `to` back to `from`, would not give it its value again. */
static int record_follower(struct sysctl_record *record, const char *path, int written, int back)
{
	int value = 0, r = sysctl_read(path, &value);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (value == back || record_find(record, path))
		return 0;
	return record_add(record, path, value, written);
}

static int record_followers(struct sysctl_record *record, int to)
{
	DIR *conf = opendir(ROOT CONF);
	struct dirent *entry;
	int on = to != 0, r;

	if (!conf)
		return -errno;
	r = record_follower(record, CONF "all/accept_redirects", !on, on);
	while (r >= 0 && (entry = readdir(conf))) {
		char path[sizeof(record->list->path)];

		/* "all" is ip_forward itself. */
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "all") == 0 ||
		    strlen(entry->d_name) >= IFNAMSIZ)
			continue;
		snprintf(path, sizeof(path), CONF "%.*s/forwarding", IFNAMSIZ - 1, entry->d_name);
		r = record_follower(record, path, on, !on);
	}
	closedir(conf);
	return r;
}

/* ---- putting back ------------------------------------------------------------------------ */

/* 1 written, 0 nothing to do. target: what it shall be. */
static int put(const char *path, int target, struct fault *reterr)
{
	int value = 0, r = sysctl_read(path, &value);

	if (r == -ENOENT || (r == 0 && value == target))
		return 0;
	if (r == 0)
		r = write_setting(path, target);
	if (r == -ENOENT || r == -ENODEV)
		return 0;
	return r < 0 ? fault_errno(reterr, r, "put back kernel setting %s = %d", path, target) : 1;
}

/* What an entry shall be in the end: the original, unless somebody else has changed it since. */
static int final_value(const struct sysctl_entry *entry, int *ret)
{
	int value = 0, r = sysctl_read(entry->path, &value);

	if (r == 0)
		*ret = value == entry->written ? entry->original : value;
	return r;
}

static int put_back_one(const struct sysctl_entry *entry, struct fault *reterr)
{
	int target = 0, r = final_value(entry, &target);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return fault_errno(reterr, r, "read kernel setting %s", entry->path);
	return put(entry->path, target, reterr);
}

/* ip_forward: the final values of the followers are settled before the kernel overwrites them. */
static int put_back_forward(const struct sysctl_record *record, const struct sysctl_entry *forward,
			    struct fault *reterr)
{
	_cleanup_free_ struct sysctl_entry *later = calloc(record->count, sizeof(*later));
	size_t count = 0;
	int written, r;

	if (!later)
		return fault_errno(reterr, -ENOMEM, "put back kernel setting %s", forward->path);
	for (size_t i = 0; i < record->count; i++) {
		const struct sysctl_entry *entry = &record->list[i];

		later[count] = *entry;
		if (hangs_on_forward(entry->path) &&
		    final_value(entry, &later[count].original) == 0)
			count++;
	}
	written = r = put_back_one(forward, reterr);
	for (size_t i = 0; r >= 0 && i < count; i++) {
		r = put(later[i].path, later[i].original, reterr);
		written += r > 0;
	}
	return r < 0 ? r : written;
}

static bool is_wanted(const struct plan_sysctl *want, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(want[i].path, path) == 0)
			return true;
	return false;
}

static void drop(struct sysctl_record *record, size_t index)
{
	memmove(&record->list[index], &record->list[index + 1],
		(record->count - index - 1) * sizeof(*record->list));
	record->count--;
}

static void drop_followers(struct sysctl_record *record)
{
	for (size_t i = record->count; i-- > 0;)
		if (hangs_on_forward(record->list[i].path))
			drop(record, i);
}

/* Everything recorded that is not wanted any more, last written first. */
static int put_back(const struct plan_sysctl *want, size_t count, struct sysctl_record *record,
		    struct fault *reterr)
{
	bool forward = is_wanted(want, count, IP_FORWARD);
	int written = 0, r = 0;

	for (size_t i = record->count; i-- > 0 && r >= 0;) {
		const struct sysctl_entry *entry = &record->list[i];
		bool is_forward = strcmp(entry->path, IP_FORWARD) == 0;

		if (is_wanted(want, count, entry->path) || hangs_on_forward(entry->path))
			continue;
		r = is_forward ? put_back_forward(record, entry, reterr)
			       : put_back_one(entry, reterr);
		if (r < 0)
			break;
		written += r;
		drop(record, i);
	}
	if (r >= 0 && !forward)
		drop_followers(record);
	return r < 0 ? r : written;
}

/* ---- making it so ------------------------------------------------------------------------ */

/* Of the rp_filter of "all" and of the interface the larger number counts
 * (Documentation/networking/ip-sysctl.rst). */
static int effective_rp_filter(int own)
{
	int all = 0;

	return sysctl_read(CONF "all/rp_filter", &all) < 0 ? own : MAX_OF(own, all);
}

static bool must_write(const struct plan_sysctl *want, int value)
{
	switch (want->how) {
	case SYSCTL_SET:
		return value != want->value;
	case SYSCTL_LOOSEN:
		return value != want->value && effective_rp_filter(value) == 1;
	}
	return false;
}

static int make_so(const struct plan_sysctl *want, int value, struct sysctl_record *record,
		   const char *state_file, struct fault *reterr)
{
	size_t before = record->count;
	int r = 0;

	if (!record_find(record, want->path)) {
		r = record_add(record, want->path, value, want->value);
		if (r >= 0 && strcmp(want->path, IP_FORWARD) == 0)
			r = record_followers(record, want->value);
		if (r < 0)
			fault_errno(reterr, r, "remember kernel setting %s", want->path);
		else
			r = save(record, state_file, reterr);
	}
	if (r >= 0) {
		r = write_setting(want->path, want->value);
		if (r < 0)
			fault_errno(reterr, r, "set kernel setting %s = %d", want->path,
				    want->value);
	}
	if (r < 0 && record->count != before) {
		record->count = before;
		(void)save(record, state_file, NULL);
	}
	return r < 0 ? r : 1;
}

static int sync_one(const struct plan_sysctl *want, struct sysctl_record *record,
		    const char *state_file, struct fault *reterr)
{
	int value = 0, r = sysctl_read(want->path, &value);

	if (r == -ENOENT && want->how == SYSCTL_LOOSEN)
		return 0;
	if (r < 0)
		return fault_errno(reterr, r, "read kernel setting %s", want->path);
	return must_write(want, value) ? make_so(want, value, record, state_file, reterr) : 0;
}

int sysctl_sync(const struct plan_sysctl *want, size_t count, struct sysctl_record *record,
		const char *state_file, struct fault *reterr)
{
	size_t before = record->count;
	int written, r;

	r = written = put_back(want, count, record, reterr);
	if (record->count != before) {
		int s = save(record, state_file, r < 0 ? NULL : reterr);

		r = r < 0 ? r : s < 0 ? s : r;
	}
	for (size_t i = 0; r >= 0 && i < count; i++) {
		r = sync_one(&want[i], record, state_file, reterr);
		written += r > 0;
	}
	return r < 0 ? r : written;
}
