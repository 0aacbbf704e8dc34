/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fault says in words what was attempted and why it failed. lib/ never logs: it fills a fault and
 * returns its code; the daemon decides who is told.
 *
 * A fault lives in the caller's storage, owns nothing and may be copied.
 */
#pragma once

#include "lib/base/macro.h"

struct fault {
	int code;       /* negative errno, 0 while nothing failed */
	char text[320]; /* one sentence without a full stop: "add route default dev map0: No such
			   device" */
};

/* Writes the sentence and returns code (which must be negative). fault may be NULL. */
int fault_set(struct fault *fault, int code, const char *format, ...) _printf_(3, 4);

/* The same, with ": " and the words of strerror(-code) behind the sentence. */
int fault_errno(struct fault *fault, int code, const char *format, ...) _printf_(3, 4);
