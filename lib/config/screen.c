/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Line feeds go into the source as they come, with one exception: libconfig gives a text in a list
 * the line of the token behind it, so a bracket, comma or semicolon that follows a text is pulled
 * up to the text's line.
 */
#include "lib/config/screen.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/fault.h"
#include "lib/config/config.h"
#include "lib/config/file.h"

enum expect {
	EXPECT_NAME,      /* a key, or the end of the group */
	EXPECT_EQUALS,    /* "=" behind a key */
	EXPECT_VALUE,     /* the value of a key, or an element of a list */
	EXPECT_SEPARATOR, /* behind a value */
};

struct known_name {
	char text[SOURCE_NAME_MAX];
	unsigned int line;
};

struct level {
	char open; /* '{' '(' '[', or '\0' at the top */
	unsigned int line;
	unsigned int name_count; /* in a group */
	struct known_name names[SOURCE_KEYS];
	bool after_comma; /* in a list */
	size_t comma;     /* where in the text, with after_comma */
};

struct screen {
	struct source *source;
	struct complaints *complaints;
	bool with_includes;
	unsigned int include_depth;
	enum expect expect;
	char key[SOURCE_NAME_MAX]; /* the last one, for complaints */
	unsigned int depth;
	struct level levels[SOURCE_DEPTH + 1];
	bool muted; /* inside a second value of a key: checked, but left out */
	unsigned int muted_depth;
	bool after_string;
	size_t pending_lines; /* line feeds in the map and not yet in the text */
};

/* Where we are in one file. */
struct cursor {
	const char *at, *end;
	unsigned int file, line;
	bool line_start; /* only blanks since the line feed */
};

struct word {
	const char *at;
	size_t length;
};

struct screen *screen_new(struct source *source, struct complaints *complaints, bool with_includes)
{
	struct screen *screen = calloc(1, sizeof(*screen));

	if (!screen)
		return NULL;
	screen->source = source;
	screen->complaints = complaints;
	screen->with_includes = with_includes;
	return screen;
}

struct screen *screen_free(struct screen *screen)
{
	free(screen);
	return NULL;
}

static unsigned int line_now(const struct screen *screen)
{
	return (unsigned int)screen->source->line_count;
}

#define SCREEN_COMPLAIN(screen, ...) \
	complaints_add((screen)->complaints, line_now(screen), __VA_ARGS__)

/* A mistake behind which nothing can be understood. */
#define SCREEN_STOP(screen, ...) (SCREEN_COMPLAIN(screen, __VA_ARGS__), -EINVAL)

static int next_line(struct screen *screen, const struct cursor *cursor)
{
	int r = source_add_line(screen->source, cursor->file, cursor->line);

	if (r == 0)
		screen->pending_lines++;
	return r;
}

static void flush_lines(struct screen *screen)
{
	for (; screen->pending_lines > 0; screen->pending_lines--)
		text_add(&screen->source->text, "\n");
}

static void emit(struct screen *screen, const char *token, size_t length, bool pull_up)
{
	if (screen->muted)
		return;
	if (!pull_up || !screen->after_string)
		flush_lines(screen);
	screen->after_string = false;
	text_add(&screen->source->text, "%.*s ", (int)length, token);
}

static void emit_string(struct screen *screen, const char *content, size_t length)
{
	if (screen->muted)
		return;
	flush_lines(screen);
	text_add(&screen->source->text, "\"%.*s\" ", (int)length, content);
	screen->after_string = true;
}

static struct level *level_now(struct screen *screen)
{
	return &screen->levels[screen->depth];
}

static bool in_list(struct screen *screen)
{
	return level_now(screen)->open == '(' || level_now(screen)->open == '[';
}

/* What to call the place of a mistake. */
static const char *expected(struct screen *screen)
{
	switch (screen->expect) {
	case EXPECT_NAME:
		return screen->depth ? "a key or \"}\"" : "a key";
	case EXPECT_EQUALS:
		return "\"=\"";
	case EXPECT_VALUE:
		return "a value";
	case EXPECT_SEPARATOR:
		return in_list(screen) ? "a comma or the end of the list" : "\";\"";
	}
	return "something else";
}

static int unexpected(struct screen *screen, const char *what, size_t length)
{
	const unsigned char c = (unsigned char)what[0];

	if (c < 0x20 || c > 0x7e)
		return SCREEN_STOP(screen,
				   "expected %s, found the octet 0x%02x (only comments may hold "
				   "characters outside ASCII)",
				   expected(screen), c);
	if (screen->expect == EXPECT_EQUALS)
		return SCREEN_STOP(screen, "expected \"=\" after %s, found %.*s", screen->key,
				   (int)MIN_OF(length, 64u), what);
	return SCREEN_STOP(screen, "expected %s, found %.*s", expected(screen),
			   (int)MIN_OF(length, 64u), what);
}

/* The value of a key, or an element, is complete. */
static void value_done(struct screen *screen)
{
	screen->expect = EXPECT_SEPARATOR;
	level_now(screen)->after_comma = false;
}

static void end_of_muted_setting(struct screen *screen)
{
	if (screen->muted && screen->depth == screen->muted_depth)
		screen->muted = false;
}

/* Keys */

static int take_name(struct screen *screen, struct word word)
{
	struct level *level = level_now(screen);
	struct known_name *name;

	end_of_muted_setting(screen);
	snprintf(screen->key, sizeof(screen->key), "%.*s", (int)word.length, word.at);
	screen->expect = EXPECT_EQUALS;
	if (word.length >= SOURCE_NAME_MAX) {
		SCREEN_COMPLAIN(screen, "\"%s...\" is not a key", screen->key);
		goto mute;
	}
	for (unsigned int i = 0; i < level->name_count; i++) {
		if (strcmp(level->names[i].text, screen->key) != 0)
			continue;
		SCREEN_COMPLAIN(screen, "\"%s\" is given twice (first on line %u)", screen->key,
				screen->source->lines[level->names[i].line - 1].line);
		goto mute;
	}
	if (level->name_count == SOURCE_KEYS)
		return SCREEN_STOP(screen, "there are more than %d keys in one group", SOURCE_KEYS);
	name = &level->names[level->name_count++];
	memcpy(name->text, screen->key, sizeof(name->text));
	name->line = line_now(screen);
	emit(screen, word.at, word.length, false);
	return 0;
mute:
	if (!screen->muted) {
		screen->muted = true;
		screen->muted_depth = screen->depth;
	}
	return 0;
}

/* Values */

static bool word_is(struct word word, const char *text)
{
	return word.length == strlen(text) && strncasecmp(word.at, text, word.length) == 0;
}

static bool take_boolean(struct screen *screen, struct word word)
{
	static const char *const truths[] = {"yes", "on"}, *const lies[] = {"no", "off"};

	if (word_is(word, "true") || word_is(word, "false")) {
		emit(screen, word.at, word.length, false);
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(truths); i++) {
		bool truth = word_is(word, truths[i]);

		if (!truth && !word_is(word, lies[i]))
			continue;
		SCREEN_COMPLAIN(screen, "write %s instead of %.*s", truth ? "true" : "false",
				(int)word.length, word.at);
		emit_string(screen, SOURCE_BAD_VALUE, strlen(SOURCE_BAD_VALUE));
		return true;
	}
	return false;
}

/* A whole number, decimal or 0x, with libconfig's L or LL behind it if need be. */
static int parse_number(struct word word, long long *ret)
{
	char digits[32];
	size_t length = word.length;
	int base = 10;
	char *end;

	for (int i = 0; i < 2 && length > 1 && word.at[length - 1] == 'L'; i++)
		length--;
	if (length >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, word.at, length);
	digits[length] = '\0';
	if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X')) {
		if (!isxdigit((unsigned char)digits[2]))
			return -EINVAL;
		base = 16;
	}
	errno = 0;
	*ret = strtoll(digits, &end, base);
	if (*end || end == digits)
		return -EINVAL;
	return errno == ERANGE ? -ERANGE : 0;
}

static bool looks_like_number(struct word word)
{
	return isdigit((unsigned char)word.at[0]) || strchr("+-.", word.at[0]);
}

static void take_word(struct screen *screen, struct word word)
{
	const int shown = (int)MIN_OF(word.length, 64u);
	long long number;
	int r;

	if (take_boolean(screen, word))
		return;
	r = looks_like_number(word) ? parse_number(word, &number) : -EINVAL;
	if (r == 0) {
		char digits[32];
		/* Without the L, libconfig 1.5 cuts to 32 bits. */
		int length = snprintf(digits, sizeof(digits), "%lldL", number);

		emit(screen, digits, (size_t)length, false);
		return;
	}
	if (r == -ERANGE)
		SCREEN_COMPLAIN(screen, "%.*s is too large a number", shown, word.at);
	else if (looks_like_number(word))
		SCREEN_COMPLAIN(screen, "%.*s is not a whole number; a text needs quotes: \"%.*s\"",
				shown, word.at, shown, word.at);
	else
		SCREEN_COMPLAIN(screen, "%.*s needs quotes: \"%.*s\"", shown, word.at, shown,
				word.at);
	/* What begins with a letter was surely meant as a text: go on with it. */
	if (looks_like_number(word) || word.length > SOURCE_STRING_MAX)
		emit_string(screen, SOURCE_BAD_VALUE, strlen(SOURCE_BAD_VALUE));
	else
		emit_string(screen, word.at, word.length);
}

/* The closing quote, or NULL when the line ends first. */
static const char *string_end(const char *at, const char *end)
{
	for (; at < end && *at != '\n'; at++) {
		if (*at == '"')
			return at;
		if (*at == '\\' && at + 1 < end && at[1] != '\n')
			at++;
	}
	return NULL;
}

static const char *string_mistake(const char *at, const char *end)
{
	if (end - at > SOURCE_STRING_MAX)
		return "a text is longer than 255 characters";
	for (; at < end; at++) {
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return "a text holds a control character";
		if ((unsigned char)*at > 0x7e)
			return "a text holds a character outside ASCII";
		if (*at != '\\')
			continue;
		if (at[1] != '\\' && at[1] != '"')
			return "a text holds a backslash (only \\\\ and \\\" are known)";
		at++;
	}
	return NULL;
}

static int take_string(struct screen *screen, struct cursor *cursor)
{
	const char *start = cursor->at + 1;
	const char *end = string_end(start, cursor->end);
	const char *mistake;

	if (!end)
		return SCREEN_STOP(screen, "a text has no closing quote on its line");
	cursor->at = end + 1;
	if (screen->expect == EXPECT_SEPARATOR)
		return SCREEN_STOP(screen, "expected %s between two texts",
				   in_list(screen) ? "a comma" : "\";\"");
	if (screen->expect != EXPECT_VALUE)
		return unexpected(screen, "a text in quotes", strlen("a text in quotes"));
	mistake = string_mistake(start, end);
	if (mistake) {
		SCREEN_COMPLAIN(screen, "%s", mistake);
		emit_string(screen, SOURCE_BAD_VALUE, strlen(SOURCE_BAD_VALUE));
	} else {
		emit_string(screen, start, (size_t)(end - start));
	}
	value_done(screen);
	return 0;
}

/* Brackets and separators */

static int open_bracket(struct screen *screen, char bracket)
{
	struct level *level;

	if (screen->expect != EXPECT_VALUE)
		return unexpected(screen, &bracket, 1);
	if (screen->depth == SOURCE_DEPTH)
		return SCREEN_STOP(screen, "brackets are nested more than %d deep", SOURCE_DEPTH);
	screen->depth++;
	level = level_now(screen);
	level->open = bracket;
	level->line = line_now(screen);
	level->name_count = 0;
	level->after_comma = false;
	screen->expect = bracket == '{' ? EXPECT_NAME : EXPECT_VALUE;
	/* An array may hold numbers or texts only, all of one type; a list may hold anything, and
	 * what it may not is said by the reader of the key. */
	emit(screen, bracket == '{' ? "{" : "(", 1, false);
	return 0;
}

/* "( 1, 2, )": newer versions of libconfig allow it, older ones do not. */
static void drop_last_comma(struct screen *screen)
{
	struct level *level = level_now(screen);

	if (level->after_comma && !screen->muted && !text_failed(&screen->source->text))
		screen->source->text.data[level->comma] = ' ';
}

static int close_bracket(struct screen *screen, char bracket)
{
	struct level *level = level_now(screen);
	const char opening = bracket == '}' ? '{' : bracket == ')' ? '(' : '[';

	if (screen->depth == 0)
		return SCREEN_STOP(screen, "\"%c\" closes nothing", bracket);
	if (level->open != opening)
		return SCREEN_STOP(screen, "\"%c\" cannot close the \"%c\" of line %u", bracket,
				   level->open, screen->source->lines[level->line - 1].line);
	if (screen->expect == EXPECT_EQUALS || (screen->expect == EXPECT_VALUE && bracket == '}'))
		return unexpected(screen, &bracket, 1);
	if (bracket == '}')
		end_of_muted_setting(screen);
	else if (screen->expect == EXPECT_VALUE)
		drop_last_comma(screen);
	emit(screen, bracket == '}' ? "}" : ")", 1, true);
	screen->depth--;
	value_done(screen);
	return 0;
}

static int take_separator(struct screen *screen, char separator)
{
	struct level *level = level_now(screen);

	if (screen->expect != EXPECT_SEPARATOR || (in_list(screen) && separator == ';'))
		return unexpected(screen, &separator, 1);
	if (in_list(screen)) {
		emit(screen, ",", 1, true);
		level->after_comma = true;
		level->comma = screen->source->text.length - 2;
		screen->expect = EXPECT_VALUE;
		return 0;
	}
	emit(screen, ";", 1, true);
	end_of_muted_setting(screen);
	screen->expect = EXPECT_NAME;
	return 0;
}

static int take_equals(struct screen *screen, char c)
{
	if (screen->expect != EXPECT_EQUALS)
		return unexpected(screen, &c, 1);
	emit(screen, "=", 1, false);
	screen->expect = EXPECT_VALUE;
	return 0;
}

/* Blanks, comments, includes */

static int take_line_feed(struct screen *screen, struct cursor *cursor)
{
	cursor->at++;
	cursor->line++;
	cursor->line_start = true;
	return next_line(screen, cursor);
}

static bool cursor_has(const struct cursor *cursor, const char *text)
{
	size_t length = strlen(text);

	return (size_t)(cursor->end - cursor->at) >= length &&
	       memcmp(cursor->at, text, length) == 0;
}

static void skip_line_comment(struct cursor *cursor)
{
	while (cursor->at < cursor->end && *cursor->at != '\n')
		cursor->at++;
}

static int skip_comment(struct screen *screen, struct cursor *cursor)
{
	unsigned int start = line_now(screen);

	cursor->at += 2;
	while (cursor->at < cursor->end) {
		if (cursor_has(cursor, "*/")) {
			cursor->at += 2;
			return 0;
		}
		if (*cursor->at == '\n') {
			int r = take_line_feed(screen, cursor);

			if (r < 0)
				return r;
		} else {
			cursor->at++;
		}
	}
	complaints_add(screen->complaints, start, "the comment has no end (\"*/\")");
	return -EINVAL;
}

/* Relative names start at the directory of the including file. */
static char *include_path(const struct screen *screen, const struct cursor *cursor,
			  const char *name)
{
	const char *including = screen->source->files[cursor->file];
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

static int include_file(struct screen *screen, const struct cursor *cursor, const char *name)
{
	_cleanup_free_ char *path = include_path(screen, cursor, name);
	_cleanup_free_ char *data = NULL;
	struct fault fault = {0};
	unsigned int file;
	size_t size = 0;
	int r;

	if (!path)
		return -ENOMEM;
	r = file_read(path, CONFIG_FILE_MAX - screen->source->octets, &data, &size, &fault);
	if (r == -ENOMEM)
		return r;
	if (r == -EFBIG)
		return SCREEN_STOP(screen, "with \"%s\" there are more than %d octets to read",
				   name, CONFIG_FILE_MAX);
	if (r < 0)
		return SCREEN_STOP(screen, "the included file %s %s", path, fault.text);
	screen->source->octets += size;
	r = source_add_file(screen->source, path, &file);
	if (r < 0)
		return r;
	return screen_text(screen, file, data, size);
}

static int take_include(struct screen *screen, struct cursor *cursor)
{
	static const char word[] = "@include";
	char name[SOURCE_STRING_MAX + 1];
	const char *end;
	int r;

	if (!cursor->line_start || !cursor_has(cursor, word))
		return unexpected(screen, cursor->at, 1);
	cursor->at += strlen(word);
	while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t'))
		cursor->at++;
	if (cursor->at == cursor->end || *cursor->at != '"')
		return SCREEN_STOP(screen, "expected @include \"FILE\"");
	end = string_end(cursor->at + 1, cursor->end);
	if (!end || string_mistake(cursor->at + 1, end) ||
	    memchr(cursor->at, '\\', (size_t)(end - cursor->at)))
		return SCREEN_STOP(screen, "@include has no usable file name");
	if (!screen->with_includes)
		return SCREEN_STOP(screen, "@include cannot be used here");
	if (screen->include_depth == SOURCE_INCLUDE_DEPTH)
		return SCREEN_STOP(screen, "files include each other more than %d deep",
				   SOURCE_INCLUDE_DEPTH);
	snprintf(name, sizeof(name), "%.*s", (int)(end - cursor->at - 1), cursor->at + 1);
	cursor->at = end + 1;
	screen->include_depth++;
	r = include_file(screen, cursor, name);
	screen->include_depth--;
	return r < 0 ? r : next_line(screen, cursor);
}

/* Tokens */

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '*';
}

static struct word read_name(struct cursor *cursor)
{
	struct word word = {.at = cursor->at};

	while (cursor->at < cursor->end && is_name_char(*cursor->at))
		cursor->at++;
	word.length = (size_t)(cursor->at - word.at);
	return word;
}

/* More than numbers are made of: 192.168.1.1, 2400::/34 and auto without quotes are taken whole, so
 * that the complaint can quote them. */
static struct word read_word(struct cursor *cursor)
{
	struct word word = {.at = cursor->at};

	for (; cursor->at < cursor->end; cursor->at++) {
		if (cursor_has(cursor, "//") || cursor_has(cursor, "/*"))
			break;
		if (!is_name_char(*cursor->at) && !memchr(".:/+", *cursor->at, 4))
			break;
	}
	word.length = (size_t)(cursor->at - word.at);
	return word;
}

static int take_token(struct screen *screen, struct cursor *cursor)
{
	const char c = *cursor->at;
	struct word word;

	switch (c) {
	case '"':
		return take_string(screen, cursor);
	case '{':
	case '(':
	case '[':
		cursor->at++;
		return open_bracket(screen, c);
	case '}':
	case ')':
	case ']':
		cursor->at++;
		return close_bracket(screen, c);
	case ';':
	case ',':
		cursor->at++;
		return take_separator(screen, c);
	case '=':
		cursor->at++;
		return take_equals(screen, c);
	default:
		break;
	}
	if (c == ':' && screen->expect == EXPECT_EQUALS) {
		cursor->at++;
		return take_equals(screen, c);
	}
	if (screen->expect == EXPECT_VALUE) {
		word = read_word(cursor);
		if (word.length == 0)
			return unexpected(screen, cursor->at, 1);
		take_word(screen, word);
		value_done(screen);
		return 0;
	}
	word = read_name(cursor);
	if (word.length == 0)
		return unexpected(screen, cursor->at, 1);
	if (screen->expect == EXPECT_EQUALS || in_list(screen) ||
	    !(isalpha((unsigned char)c) || c == '*') || word_is(word, "true") ||
	    word_is(word, "false"))
		return unexpected(screen, word.at, word.length);
	return take_name(screen, word); /* the separator before it may be missing */
}

static int screen_step(struct screen *screen, struct cursor *cursor)
{
	switch (*cursor->at) {
	case '\n':
		return take_line_feed(screen, cursor);
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
		return take_include(screen, cursor);
	default:
		break;
	}
	cursor->line_start = false;
	if (cursor_has(cursor, "//")) {
		skip_line_comment(cursor);
		return 0;
	}
	if (cursor_has(cursor, "/*"))
		return skip_comment(screen, cursor);
	return take_token(screen, cursor);
}

int screen_text(struct screen *screen, unsigned int file, const char *data, size_t size)
{
	struct cursor cursor = {
		.at = data, .end = data + size, .file = file, .line = 1, .line_start = true};
	int r = next_line(screen, &cursor);

	if (r == 0 && line_now(screen) == 1)
		screen->pending_lines = 0; /* the text begins with line 1 */
	if (cursor_has(&cursor, "\xef\xbb\xbf"))
		cursor.at += 3; /* byte order mark */
	while (r == 0 && cursor.at < cursor.end)
		r = screen_step(screen, &cursor);
	return r;
}

int screen_end(struct screen *screen)
{
	if (screen->expect == EXPECT_EQUALS)
		return SCREEN_STOP(screen, "expected \"=\" after %s, found the end of the file",
				   screen->key);
	if (screen->expect == EXPECT_VALUE && screen->depth == 0)
		return SCREEN_STOP(screen, "%s has no value", screen->key);
	if (screen->depth > 0) {
		const struct level *level = level_now(screen);

		complaints_add(screen->complaints, level->line, "the \"%c\" is never closed",
			       level->open);
		return -EINVAL;
	}
	return 0;
}
