/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RUNTIME_FILE_MAX 65536

const char *runtime_directory(void)
{
	const char *directory = getenv("RUNTIME_DIRECTORY");

	return directory && directory[0] == '/' && !strchr(directory, ':') ? directory
									   : "/run/maped";
}

int runtime_prepare(void)
{
	return mkdir(runtime_directory(), 0755) < 0 && errno != EEXIST ? -errno : 0;
}

void runtime_path(const char *name, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s/%s", runtime_directory(), name);
}

/* Nobody but root, the reader and whom the directory belongs to may have written it. */
static int check_ours(int fd)
{
	struct stat file, directory;

	if (fstat(fd, &file) < 0 || stat(runtime_directory(), &directory) < 0)
		return -errno;
	if (!S_ISREG(file.st_mode))
		return -EINVAL;
	if (file.st_uid != 0 && file.st_uid != geteuid() && file.st_uid != directory.st_uid)
		return -EPERM;
	return file.st_mode & (S_IWGRP | S_IWOTH) ? -EPERM : 0;
}

int runtime_read(const char *name, struct text *ret)
{
	_cleanup_close_ int fd = -1;
	_cleanup_text_ struct text text = TEXT_INIT;
	char path[512], chunk[4096];
	ssize_t length;
	int r;

	runtime_path(name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = check_ours(fd);
	if (r < 0)
		return r;
	while ((length = read(fd, chunk, sizeof(chunk))) > 0) {
		if (text.length + (size_t)length > RUNTIME_FILE_MAX)
			return -EFBIG;
		if (memchr(chunk, '\0', (size_t)length))
			return -EBADMSG;
		text_add(&text, "%.*s", (int)length, chunk);
	}
	if (length < 0)
		return -errno;
	if (text_failed(&text))
		return -ENOMEM;
	*ret = text;
	text = TEXT_INIT;
	return 0;
}

static int write_all(int fd, const char *content)
{
	size_t left = strlen(content);

	while (left > 0) {
		ssize_t n = write(fd, content, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		content += n;
		left -= (size_t)n;
	}
	return 0;
}

int runtime_write(const char *name, const char *content)
{
	_cleanup_close_ int fd = -1;
	_cleanup_text_ struct text there = TEXT_INIT;
	char path[512], fresh[520];
	int r;

	if (runtime_read(name, &there) == 0 && strcmp(text_get(&there), content) == 0)
		return 0;
	runtime_path(name, path, sizeof(path));
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	/* Everybody may read it, whatever the umask. */
	r = fchmod(fd, 0644) < 0 ? -errno : write_all(fd, content);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(fresh);
	return r;
}

int runtime_remove(const char *name)
{
	char path[512];

	runtime_path(name, path, sizeof(path));
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}
