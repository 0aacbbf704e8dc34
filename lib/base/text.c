/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool text_reserve(struct text *text, size_t more)
{
	size_t size = text->size ? text->size : 256;
	char *data;

	if (text->failed)
		return false;
	while (size - text->length <= more)
		size *= 2;
	if (size == text->size)
		return true;
	data = realloc(text->data, size);
	if (!data) {
		text->failed = true;
		return false;
	}
	text->data = data;
	text->size = size;
	return true;
}

void text_add(struct text *text, const char *format, ...)
{
	va_list ap;
	int length;

	va_start(ap, format);
	length = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (length < 0 || !text_reserve(text, (size_t)length))
		return;
	va_start(ap, format);
	vsnprintf(text->data + text->length, text->size - text->length, format, ap);
	va_end(ap);
	text->length += (size_t)length;
}

void text_clear(struct text *text)
{
	text->length = 0;
	text->failed = false;
	if (text->data)
		text->data[0] = '\0';
}

void text_done(struct text *text)
{
	free(text->data);
	*text = TEXT_INIT;
}

bool text_failed(const struct text *text)
{
	return text->failed;
}

const char *text_get(const struct text *text)
{
	return text->data ? text->data : "";
}

char *text_take(struct text *text)
{
	char *data;

	if (text->failed) {
		text_done(text);
		return NULL;
	}
	data = text->data ? TAKE_PTR(text->data) : calloc(1, 1);
	text_done(text);
	return data;
}

char *text_next_line(struct text *text, char **rest)
{
	return text->data ? strtok_r(*rest ? NULL : text->data, "\n", rest) : NULL;
}
