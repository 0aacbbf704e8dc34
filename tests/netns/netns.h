/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For tests that need a kernel of their own: each runs in a fresh network namespace, which goes
 * away with the test. What is true is read with ip(8), never with the code under test.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"
#include "lib/kernel/rtnl.h"

/* Call first in main(): exits 77 with the reason where namespaces cannot be made. */
void netns_need(void);

/* cmocka setup and teardown: *state is a struct rtnl * of a fresh namespace with lo up. */
int netns_setup(void **state);
int netns_teardown(void **state);

#define netns_test(f) cmocka_unit_test_setup_teardown(f, netns_setup, netns_teardown)

/* Runs a shell command; the test fails when it fails. */
void sh(const char *format, ...) _printf_(1, 2);

/* Its output, blanks at the ends of lines removed; good until the next call but three. */
const char *shell_output(const char *format, ...) _printf_(1, 2);

#define assert_output(expected, ...) assert_string_equal(shell_output(__VA_ARGS__), expected)
#define assert_empty(...)            assert_output("", __VA_ARGS__)

/* Equal texts, or the test fails with the lines that only one of them has. */
#define assert_same_lines(actual, expected) \
	netns_assert_same_lines(actual, expected, __FILE__, __LINE__)
void netns_assert_same_lines(const char *actual, const char *expected, const char *file, int line);

/* r >= 0, or the test fails with the sentence of the fault. */
#define assert_done(r, fault) netns_assert_done(r, &(fault), __FILE__, __LINE__)
void netns_assert_done(int r, const struct fault *fault, const char *file, int line);

/* Lets the n-th request (from 1) of a run fail; n = 0 counts only. */
struct fail_nth {
	unsigned int n, seen;
	int code;
};
void fail_nth(struct rtnl *nl, struct fail_nth *fail);

/* True when the kernel makes such a link (what stands behind "type" for ip(8)). */
bool kernel_has_link(const char *type);
