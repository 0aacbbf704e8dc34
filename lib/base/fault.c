/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fault_set(struct fault *fault, int code, const char *format, ...)
{
	va_list ap;

	if (!fault)
		return code;
	fault->code = code;
	va_start(ap, format);
	vsnprintf(fault->text, sizeof(fault->text), format, ap);
	va_end(ap);
	return code;
}

int fault_errno(struct fault *fault, int code, const char *format, ...)
{
	va_list ap;
	size_t used;

	if (!fault)
		return code;
	fault->code = code;
	va_start(ap, format);
	vsnprintf(fault->text, sizeof(fault->text), format, ap);
	va_end(ap);
	used = strlen(fault->text);
	snprintf(fault->text + used, sizeof(fault->text) - used, ": %s", strerror(-code));
	return code;
}
