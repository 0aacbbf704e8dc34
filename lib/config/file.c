/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A group with the number of the owner is the owner's own (Debian's USERGROUPS): where such users
 * work with umask 002, a checkout of theirs is group-writable and still nobody else's. */
static bool others_can_write(const struct stat *st)
{
	return (st->st_mode & S_IWOTH) || ((st->st_mode & S_IWGRP) && st->st_gid != st->st_uid);
}

char *path_directory(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	if (slash == path)
		return strdup("/");
	return strndup(path, (size_t)(slash - path));
}

static int owner_check(const struct stat *st, const char *path, struct fault *reterr)
{
	if (st->st_uid == 0 || st->st_uid == geteuid())
		return 0;
	return fault_set(reterr, -EPERM, "is owned by user %u, who can change it: chown root %s",
			 (unsigned int)st->st_uid, path);
}

int directory_check(const char *path, struct fault *reterr)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		if (errno == ENOENT)
			return fault_set(reterr, -ENOENT, "does not exist");
		return fault_errno(reterr, -errno, "cannot be looked at");
	}
	if (!S_ISDIR(st.st_mode))
		return fault_set(reterr, -ENOTDIR, "is not a directory");
	if (others_can_write(&st))
		return fault_set(reterr, -EPERM, "can be written by others: chmod go-w %s", path);
	return owner_check(&st, path, reterr);
}

/* Nobody else may be able to put another file in this one's place. A sticky directory (/tmp) gives
 * others no power over names that are not theirs, and the owner of the file is checked. */
static int place_check(const char *path, struct fault *reterr)
{
	_cleanup_free_ char *directory = path_directory(path);
	struct fault fault = {0};
	struct stat st;
	int r;

	if (!directory)
		return fault_errno(reterr, -ENOMEM, "cannot be read");
	if (stat(directory, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX))
		return 0;
	r = directory_check(directory, &fault);
	if (r == -EPERM)
		return fault_set(reterr, r, "its directory %s", fault.text);
	return 0;
}

static int open_regular(const char *path, struct stat *ret_stat, struct fault *reterr)
{
	/* O_NONBLOCK: opening a FIFO that nobody writes must not wait. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0) {
		if (errno == ENOENT)
			return fault_set(reterr, -ENOENT, "does not exist");
		return fault_errno(reterr, -errno, "cannot be opened");
	}
	if (fstat(fd, ret_stat) < 0)
		return fault_errno(reterr, -errno, "cannot be looked at");
	if (!S_ISREG(ret_stat->st_mode))
		return fault_set(reterr, -EINVAL, "is not a regular file");
	return TAKE_FD(fd);
}

/* A symbolic link moves the question to the directory where the file really is. */
static int all_places_check(const char *path, struct fault *reterr)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	int r = place_check(path, reterr);

	if (r < 0 || !real)
		return r;
	return place_check(real, reterr);
}

static int read_all(int fd, size_t max, char **ret, size_t *ret_size, struct fault *reterr)
{
	_cleanup_free_ char *data = NULL;
	size_t size = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (room - size < 2) {
			char *more;

			room = room ? room * 2 : 16384;
			more = realloc(data, room);
			if (!more)
				return fault_errno(reterr, -ENOMEM, "cannot be read");
			data = more;
		}
		n = read(fd, data + size, room - size - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_errno(reterr, -errno, "cannot be read");
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > max)
			return fault_set(reterr, -EFBIG, "is larger than %zu octets", max);
	}
	data[size] = '\0';
	*ret = TAKE_PTR(data);
	*ret_size = size;
	return 0;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_size, struct fault *reterr)
{
	_cleanup_close_ int fd = -1;
	struct stat st = {0};
	int r;

	fd = open_regular(path, &st, reterr);
	if (fd < 0)
		return fd;
	if (others_can_write(&st))
		return fault_set(reterr, -EPERM, "can be written by others: chmod go-w %s", path);
	r = owner_check(&st, path, reterr);
	if (r < 0)
		return r;
	r = all_places_check(path, reterr);
	if (r < 0)
		return r;
	return read_all(fd, max, ret, ret_size, reterr);
}
