/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads files that decide what this box does: only regular files of a sane size, that nobody but
 * root and the reading user can write or replace.
 */
#pragma once

#include <stddef.h>

#include "lib/base/fault.h"

/* The whole file, NUL-terminated (*ret_size does not count the NUL); the caller frees it.
 * max: more octets are refused. -ENOENT, -EPERM (others can write it or its directory), -EFBIG,
 * -ENOMEM, other negative errno; reterr then holds a sentence about the file, without its name in
 * front, and the command that mends it. */
int file_read(const char *path, size_t max, char **ret, size_t *ret_size, struct fault *reterr);

/* 0 when nobody else can write the directory; else as above. */
int directory_check(const char *path, struct fault *reterr);

/* Everything up to the last slash ("/" for "/x", "." without a slash), or NULL without memory. */
char *path_directory(const char *path);
