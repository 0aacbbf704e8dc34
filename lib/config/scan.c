/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/scan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/fault.h"
#include "lib/config/config.h"
#include "lib/config/file.h"
#include "lib/config/lexis.h"

#define INCLUDE         "@include"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* Where we are in one file. */
struct cursor {
	const char *at, *end;
	unsigned int file, line;
	bool line_start; /* only blanks since the line feed */
};

static bool cursor_has(const struct cursor *cursor, const char *text)
{
	return begins_with(cursor->at, cursor->end, text);
}

/* A mistake behind which nothing can be understood. */
#define SCAN_STOP(scan, ...)                                                          \
	(complaints_add((scan)->complaints, (unsigned int)(scan)->source->line_count, \
			__VA_ARGS__),                                                 \
	 -EINVAL)

/* Blanks and comments */

static int take_line_feed(struct scan *scan, struct cursor *cursor)
{
	cursor->at++;
	cursor->line++;
	cursor->line_start = true;
	return screen_line(scan->screen, cursor->file, cursor->line);
}

static void skip_line_comment(struct cursor *cursor)
{
	while (cursor->at < cursor->end && *cursor->at != '\n')
		cursor->at++;
}

static int skip_comment(struct scan *scan, struct cursor *cursor)
{
	unsigned int start = (unsigned int)scan->source->line_count;

	cursor->at += 2;
	while (cursor->at < cursor->end) {
		if (cursor_has(cursor, "*/")) {
			cursor->at += 2;
			return 0;
		}
		if (*cursor->at == '\n') {
			int r = take_line_feed(scan, cursor);

			if (r < 0)
				return r;
		} else {
			cursor->at++;
		}
	}
	complaints_add(scan->complaints, start, "the comment has no end (\"*/\")");
	return -EINVAL;
}

/* Includes */

/* Relative names start at the directory of the including file. */
static char *include_path(const struct scan *scan, const struct cursor *cursor, const char *name)
{
	const char *including = scan->source->files[cursor->file];
	_cleanup_free_ char *directory = NULL;
	struct text path = TEXT_INIT;

	if (name[0] == '/' || !strchr(including, '/'))
		return strdup(name);
	directory = path_directory(including);
	if (!directory)
		return NULL;
	text_add(&path, "%s/%s", directory, name);
	return text_take(&path);
}

static int include_file(struct scan *scan, const struct cursor *cursor, const char *name)
{
	_cleanup_free_ char *path = include_path(scan, cursor, name);
	_cleanup_free_ char *data = NULL;
	struct fault fault = {0};
	unsigned int file;
	size_t size = 0;
	int r;

	if (!path)
		return -ENOMEM;
	r = file_read(path, CONFIG_FILE_MAX - scan->source->octets, &data, &size, &fault);
	if (r == -ENOMEM)
		return r;
	if (r == -EFBIG)
		return SCAN_STOP(scan, "with \"%s\" there are more than %d octets to read", name,
				 CONFIG_FILE_MAX);
	if (r < 0)
		return SCAN_STOP(scan, "the included file %s %s", path, fault.text);
	scan->source->octets += size;
	r = source_add_file(scan->source, path, &file);
	if (r < 0)
		return r;
	return scan_text(scan, file, data, size);
}

static int take_include(struct scan *scan, struct cursor *cursor)
{
	char name[SOURCE_STRING_MAX + 1];
	const char *end;
	int r;

	if (!cursor->line_start || !cursor_has(cursor, INCLUDE))
		return screen_unexpected(scan->screen, cursor->at, 1);
	cursor->at += strlen(INCLUDE);
	while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t'))
		cursor->at++;
	if (cursor->at == cursor->end || *cursor->at != '"')
		return SCAN_STOP(scan, "expected @include \"FILE\"");
	end = string_end(cursor->at + 1, cursor->end);
	if (!end || string_mistake(cursor->at + 1, end) ||
	    memchr(cursor->at, '\\', (size_t)(end - cursor->at)))
		return SCAN_STOP(scan, "@include has no usable file name");
	if (!scan->with_includes)
		return SCAN_STOP(scan, "@include cannot be used here");
	if (scan->include_depth == SOURCE_INCLUDE_DEPTH)
		return SCAN_STOP(scan, "files include each other more than %d deep",
				 SOURCE_INCLUDE_DEPTH);
	snprintf(name, sizeof(name), "%.*s", (int)(end - cursor->at - 1), cursor->at + 1);
	cursor->at = end + 1;
	scan->include_depth++;
	r = include_file(scan, cursor, name);
	scan->include_depth--;
	return r < 0 ? r : screen_line(scan->screen, cursor->file, cursor->line);
}

/* Tokens */

static int take_string(struct scan *scan, struct cursor *cursor)
{
	const char *start = cursor->at + 1;
	const char *end = string_end(start, cursor->end);

	if (!end)
		return SCAN_STOP(scan, "a text has no closing quote on its line");
	cursor->at = end + 1;
	return screen_string(scan->screen, start, end);
}

static int take_word(struct scan *scan, struct cursor *cursor)
{
	const bool value = screen_wants_value(scan->screen);
	const struct word word = value ? word_of_value(cursor->at, cursor->end)
				       : word_of_name(cursor->at, cursor->end);

	if (word.length == 0)
		return screen_unexpected(scan->screen, cursor->at, 1);
	cursor->at += word.length;
	return value ? screen_word(scan->screen, word) : screen_name(scan->screen, word);
}

static int take_token(struct scan *scan, struct cursor *cursor)
{
	const char c = *cursor->at;

	switch (c) {
	case '"':
		return take_string(scan, cursor);
	case '{':
	case '(':
	case '[':
		cursor->at++;
		return screen_open(scan->screen, c);
	case '}':
	case ')':
	case ']':
		cursor->at++;
		return screen_close(scan->screen, c);
	case ';':
	case ',':
		cursor->at++;
		return screen_separator(scan->screen, c);
	case ':':
		if (screen_wants_value(scan->screen))
			return take_word(scan, cursor); /* "::1" without quotes */
		cursor->at++;
		return screen_equals(scan->screen, c);
	case '=':
		cursor->at++;
		return screen_equals(scan->screen, c);
	default:
		return take_word(scan, cursor);
	}
}

static int scan_step(struct scan *scan, struct cursor *cursor)
{
	switch (*cursor->at) {
	case '\n':
		return take_line_feed(scan, cursor);
	case ' ':
	case '\t':
	case '\r':
	case '\f':
		cursor->at++;
		return 0;
	case '#':
		skip_line_comment(cursor);
		return 0;
	case '@':
		return take_include(scan, cursor);
	default:
		break;
	}
	cursor->line_start = false;
	if (cursor_has(cursor, "//")) {
		skip_line_comment(cursor);
		return 0;
	}
	if (cursor_has(cursor, "/*"))
		return skip_comment(scan, cursor);
	return take_token(scan, cursor);
}

int scan_text(struct scan *scan, unsigned int file, const char *data, size_t size)
{
	struct cursor cursor = {
		.at = data, .end = data + size, .file = file, .line = 1, .line_start = true};
	int r = screen_line(scan->screen, file, cursor.line);

	if (cursor_has(&cursor, BYTE_ORDER_MARK))
		cursor.at += strlen(BYTE_ORDER_MARK);
	while (r == 0 && cursor.at < cursor.end)
		r = scan_step(scan, &cursor);
	return r;
}
