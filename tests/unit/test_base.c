/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/backoff.h"
#include "lib/base/fault.h"
#include "lib/base/text.h"

static void test_fault_carries_code_and_sentence(void **state)
{
	struct fault fault = {0};

	assert_int_equal(fault_set(&fault, -EINVAL, "add %s", "x"), -EINVAL);
	assert_int_equal(fault.code, -EINVAL);
	assert_string_equal(fault.text, "add x");
	assert_int_equal(fault_errno(&fault, -ENODEV, "route via %s", "map0"), -ENODEV);
	assert_string_equal(fault.text, "route via map0: No such device");
	assert_int_equal(fault_set(NULL, -EPERM, "nobody listens"), -EPERM);
}

static void test_fault_cuts_what_is_too_long(void **state)
{
	struct fault fault = {0};
	char longer[1000];

	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	fault_errno(&fault, -EIO, "%s", longer);
	assert_int_equal(strlen(fault.text), sizeof(fault.text) - 1);
}

static void test_text_grows(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	assert_string_equal(text_get(&text), "");
	for (int i = 0; i < 10000; i++)
		text_add(&text, "%d,", i % 10);
	assert_int_equal(text.length, 20000);
	assert_memory_equal(text_get(&text) + 19990, "5,6,7,8,9,", 11);
	text_clear(&text);
	assert_string_equal(text_get(&text), "");
}

static void test_backoff_doubles_to_its_cap(void **state)
{
	struct backoff backoff = {0};
	uint64_t last_usec = 0;

	for (int i = 0; i < 9; i++) {
		uint64_t delay_usec = backoff_next(&backoff, 0);

		assert_true(delay_usec == BACKOFF_FIRST_USEC << i ||
			    delay_usec == BACKOFF_CAP_USEC);
		assert_true(delay_usec > last_usec);
		last_usec = delay_usec;
	}
	for (uint32_t random = 0; random < UINT32_MAX / 2; random += UINT32_MAX / 64) {
		uint64_t delay_usec = backoff_next(&backoff, random);

		assert_true(delay_usec <= BACKOFF_CAP_USEC);
		assert_true(delay_usec > BACKOFF_CAP_USEC - BACKOFF_CAP_USEC / 8);
	}
	backoff_reset(&backoff);
	assert_int_equal(backoff_next(&backoff, 0), BACKOFF_FIRST_USEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fault_carries_code_and_sentence),
		cmocka_unit_test(test_fault_cuts_what_is_too_long),
		cmocka_unit_test(test_text_grows),
		cmocka_unit_test(test_backoff_doubles_to_its_cap),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
