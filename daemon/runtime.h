/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files in the runtime directory (/run/maped): what a next process has to know about this one.
 */
#pragma once

#include <stddef.h>

#include "lib/base/text.h"

/* $RUNTIME_DIRECTORY as systemd sets it, else /run/maped. Valid as long as the environment. */
const char *runtime_directory(void);

/* Makes the directory (0755) when it is missing. 0 or negative errno. */
int runtime_prepare(void);

/* PATH of a file below it, cut if too long. */
void runtime_path(const char *name, char *buffer, size_t size);

/* Reads at most 64 KiB of text. 0, -ENOENT, -EFBIG, -EBADMSG, -EPERM when a stranger may have
 * written it, other negative errno. */
int runtime_read(const char *name, struct text *ret);

/* Replaces the file in one step; nothing is written when it holds that text already. */
int runtime_write(const char *name, const char *content);

int runtime_remove(const char *name); /* 0 also when it was not there */
