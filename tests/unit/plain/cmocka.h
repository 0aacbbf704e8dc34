/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As much of cmocka as the tests of lib/base and lib/map use, in one header that needs only libc:
 * for -Dpure=true, where they are built for a processor for which no cmocka is installed. It says
 * what cmocka says. What is not here does not compile.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
	const char *name;
	void (*run)(void **state);
};

#define cmocka_unit_test(function) ((struct CMUnitTest){#function, function})

/* Where a failed assertion goes back to. */
static jmp_buf plain_failed;

static inline _Noreturn void plain_fail(const char *file, int line, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "[  ERROR   ] --- ");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\n%s:%d: error: Failure!\n", file, line);
	longjmp(plain_failed, 1);
}

#define fail_msg(...) plain_fail(__FILE__, __LINE__, __VA_ARGS__)

#define PLAIN_NEED(condition, ...)                                   \
	do {                                                         \
		if (!(condition))                                    \
			plain_fail(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

/* As in cmocka, a value is compared as one of 64 bits. */
static inline void plain_ints(const char *file, int line, uintmax_t a, uintmax_t b, int alike)
{
	if ((a == b) != alike)
		plain_fail(file, line, "%#jx %s %#jx", a, alike ? "!=" : "==", b);
}

#define PLAIN_INT(value) ((uintmax_t)(value))

static inline void plain_strings(const char *file, int line, const char *a, const char *b,
				 int alike)
{
	if ((strcmp(a, b) == 0) != alike)
		plain_fail(file, line, "\"%s\" %s \"%s\"", a, alike ? "!=" : "==", b);
}

#define assert_true(condition)        PLAIN_NEED(condition, "%s", #condition)
#define assert_false(condition)       PLAIN_NEED(!(condition), "!(%s)", #condition)
#define assert_non_null(pointer)      PLAIN_NEED((pointer) != NULL, "%s is NULL", #pointer)
#define assert_null(pointer)          PLAIN_NEED((pointer) == NULL, "%s is not NULL", #pointer)
#define assert_ptr_equal(a, b)        PLAIN_NEED((a) == (b), "%s is not %s", #a, #b)
#define assert_int_equal(a, b)        plain_ints(__FILE__, __LINE__, PLAIN_INT(a), PLAIN_INT(b), 1)
#define assert_int_not_equal(a, b)    plain_ints(__FILE__, __LINE__, PLAIN_INT(a), PLAIN_INT(b), 0)
#define assert_string_equal(a, b)     plain_strings(__FILE__, __LINE__, a, b, 1)
#define assert_string_not_equal(a, b) plain_strings(__FILE__, __LINE__, a, b, 0)
#define assert_memory_equal(a, b, size) \
	PLAIN_NEED(memcmp(a, b, size) == 0, "the memory of %s and %s differs", #a, #b)

/* How many failed. */
static inline int plain_run(const struct CMUnitTest *tests, size_t count)
{
	volatile int failed = 0;

	for (volatile size_t i = 0; i < count; i++) {
		void *state = NULL;

		if (setjmp(plain_failed) == 0) {
			tests[i].run(&state);
			printf("[       OK ] %s\n", tests[i].name);
		} else {
			printf("[  FAILED  ] %s\n", tests[i].name);
			failed++;
		}
		fflush(stdout);
	}
	return failed;
}

#define cmocka_run_group_tests_name(group, tests, setup, teardown) \
	plain_run(tests, sizeof(tests) / sizeof((tests)[0]))
