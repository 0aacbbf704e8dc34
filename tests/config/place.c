/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/config/place.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/macro.h"

static char place[] = "/tmp/maped-config-XXXXXX";

int place_setup(void **state)
{
	umask(022);
	return mkdtemp(place) && chdir(place) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

int place_teardown(void **state)
{
	if (chdir("/") < 0)
		return -1;
	return nftw(place, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void place_write_octets(const char *name, const char *content, size_t size)
{
	_cleanup_close_ int fd = -1;

	unlink(name);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, size), size);
}

void place_write(const char *name, const char *content)
{
	place_write_octets(name, content, strlen(content));
}

void place_directory(const char *name)
{
	assert_int_equal(mkdir(name, 0755), 0);
}
