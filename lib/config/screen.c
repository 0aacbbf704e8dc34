/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The grammar is small: a group is a row of NAME = VALUE with ";" or "," behind, a list a row of
 * values with "," between. One state and a stack of brackets follow it.
 *
 * Line feeds go into the source as they come, with one exception: libconfig gives a text in a list
 * the line of the token behind it, so a bracket, comma or semicolon that follows a text is pulled
 * up to the text's line.
 */
#include "lib/config/screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	enum expect expect;
	char key[SOURCE_NAME_MAX]; /* the last one, for complaints */
	unsigned int depth;
	struct level levels[SOURCE_DEPTH + 1];
	bool muted; /* inside a second value of a key: checked, but left out */
	unsigned int muted_depth;
	bool after_string;
	size_t pending_lines; /* line feeds in the map and not yet in the text */
};

struct screen *screen_new(struct source *source, struct complaints *complaints)
{
	struct screen *screen = calloc(1, sizeof(*screen));

	if (!screen)
		return NULL;
	screen->source = source;
	screen->complaints = complaints;
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

/* What to call an earlier line in a complaint about the present one: "line 4", or "line 4 of FILE"
 * when that is another file. Lives in buffer. */
#define EARLIER_LINE_MAX 128
static const char *earlier_line(const struct screen *screen, unsigned int line,
				char buffer[static EARLIER_LINE_MAX])
{
	const struct source *source = screen->source;
	const struct origin *here = &source->lines[line_now(screen) - 1];
	const struct origin *there = &source->lines[line - 1];

	if (here->file == there->file)
		snprintf(buffer, EARLIER_LINE_MAX, "line %u", there->line);
	else
		snprintf(buffer, EARLIER_LINE_MAX, "line %u of %.100s", there->line,
			 source->files[there->file]);
	return buffer;
}

#define SCREEN_COMPLAIN(screen, ...) \
	complaints_add((screen)->complaints, line_now(screen), __VA_ARGS__)

/* A mistake behind which nothing can be understood. */
#define SCREEN_STOP(screen, ...) (SCREEN_COMPLAIN(screen, __VA_ARGS__), -EINVAL)

int screen_line(struct screen *screen, unsigned int file, unsigned int line)
{
	int r = source_add_line(screen->source, file, line);

	if (r == 0 && line_now(screen) > 1) /* the text begins with line 1 */
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

int screen_unexpected(struct screen *screen, const char *what, size_t length)
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

int screen_name(struct screen *screen, struct word word)
{
	struct level *level = level_now(screen);
	char place[EARLIER_LINE_MAX];
	struct known_name *name;

	if (screen->expect == EXPECT_EQUALS || in_list(screen) || !word_is_name(word))
		return screen_unexpected(screen, word.at, word.length);
	/* The separator before it may be missing. */
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
		SCREEN_COMPLAIN(screen, "\"%s\" is given twice (first on %s)", screen->key,
				earlier_line(screen, level->names[i].line, place));
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

static void take_word(struct screen *screen, struct word word)
{
	const int shown = (int)MIN_OF(word.length, 64u);
	long long number;
	int r;

	if (take_boolean(screen, word))
		return;
	r = word_is_like_number(word) ? word_number(word, &number) : -EINVAL;
	if (r == 0) {
		char digits[32];
		/* Without the L, libconfig 1.5 cuts to 32 bits. */
		int length = snprintf(digits, sizeof(digits), "%lldL", number);

		emit(screen, digits, (size_t)length, false);
		return;
	}
	if (r == -ERANGE)
		SCREEN_COMPLAIN(screen, "%.*s is too large a number", shown, word.at);
	else if (word_is_like_number(word))
		SCREEN_COMPLAIN(screen, "%.*s is not a whole number; a text needs quotes: \"%.*s\"",
				shown, word.at, shown, word.at);
	else
		SCREEN_COMPLAIN(screen, "%.*s needs quotes: \"%.*s\"", shown, word.at, shown,
				word.at);
	/* What begins with a letter was surely meant as a text: go on with it. */
	if (word_is_like_number(word) || word.length > SOURCE_STRING_MAX)
		emit_string(screen, SOURCE_BAD_VALUE, strlen(SOURCE_BAD_VALUE));
	else
		emit_string(screen, word.at, word.length);
}

bool screen_wants_value(const struct screen *screen)
{
	return screen->expect == EXPECT_VALUE;
}

int screen_word(struct screen *screen, struct word word)
{
	if (screen->expect != EXPECT_VALUE)
		return screen_unexpected(screen, word.at, word.length);
	take_word(screen, word);
	value_done(screen);
	return 0;
}

int screen_string(struct screen *screen, const char *at, const char *end)
{
	const char *mistake;

	if (screen->expect == EXPECT_SEPARATOR)
		return SCREEN_STOP(screen, "expected %s between two texts",
				   in_list(screen) ? "a comma" : "\";\"");
	if (screen->expect != EXPECT_VALUE)
		return screen_unexpected(screen, "a text in quotes", strlen("a text in quotes"));
	mistake = string_mistake(at, end);
	if (mistake) {
		SCREEN_COMPLAIN(screen, "%s", mistake);
		emit_string(screen, SOURCE_BAD_VALUE, strlen(SOURCE_BAD_VALUE));
	} else {
		emit_string(screen, at, (size_t)(end - at));
	}
	value_done(screen);
	return 0;
}

/* Brackets and separators */

int screen_open(struct screen *screen, char bracket)
{
	struct level *level;

	if (screen->expect != EXPECT_VALUE)
		return screen_unexpected(screen, &bracket, 1);
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

int screen_close(struct screen *screen, char bracket)
{
	struct level *level = level_now(screen);
	char place[EARLIER_LINE_MAX];
	const int opening = bracket == '}' ? '{' : bracket == ')' ? '(' : '[';

	if (screen->depth == 0)
		return SCREEN_STOP(screen, "\"%c\" closes nothing", bracket);
	if (level->open != opening)
		return SCREEN_STOP(screen, "\"%c\" cannot close the \"%c\" of %s", bracket,
				   level->open, earlier_line(screen, level->line, place));
	if (screen->expect == EXPECT_EQUALS || (screen->expect == EXPECT_VALUE && bracket == '}'))
		return screen_unexpected(screen, &bracket, 1);
	if (bracket == '}')
		end_of_muted_setting(screen);
	else if (screen->expect == EXPECT_VALUE)
		drop_last_comma(screen);
	emit(screen, bracket == '}' ? "}" : ")", 1, true);
	screen->depth--;
	value_done(screen);
	return 0;
}

int screen_separator(struct screen *screen, char separator)
{
	struct level *level = level_now(screen);

	if (screen->expect != EXPECT_SEPARATOR || (in_list(screen) && separator == ';'))
		return screen_unexpected(screen, &separator, 1);
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

int screen_equals(struct screen *screen, char c)
{
	if (screen->expect != EXPECT_EQUALS)
		return screen_unexpected(screen, &c, 1);
	emit(screen, "=", 1, false);
	screen->expect = EXPECT_VALUE;
	return 0;
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
