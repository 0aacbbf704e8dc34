/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A directory of its own for a test program, which is the working directory while it runs, so that
 * complaints hold short names.
 */
#pragma once

#include <sys/types.h>

int place_setup(void **state); /* for cmocka_run_group_tests() */
int place_teardown(void **state);

void place_write(const char *name, const char *content); /* mode 0644 */
void place_write_octets(const char *name, const char *content, size_t size);
void place_directory(const char *name);
