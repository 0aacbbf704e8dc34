/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/paint.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* of report_plain(): the column of the colon behind a name */
#define NAME_WIDTH 11

bool paint_wanted(int fd)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fd) && !(no_color && no_color[0]) && !(term && strcmp(term, "dumb") == 0);
}

static const char *colour_of_state(const char *state, size_t length)
{
	static const char *const bad[] = {"failing", "no-rule", "closed-network",
					  "ocn-without-mape"};

	if (length == 2 && memcmp(state, "up", 2) == 0)
		return PAINT_GREEN;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (strlen(bad[i]) == length && memcmp(state, bad[i], length) == 0)
			return PAINT_RED;
	return PAINT_YELLOW;
}

/* A line that begins with a name begins an entry; those below it without one belong to it. */
static bool line_has_name(const char *line, size_t length)
{
	return length > NAME_WIDTH && line[NAME_WIDTH] == ':';
}

void paint_status(const char *plain, struct text *out)
{
	bool warning = false;

	for (const char *line = plain; *line;) {
		size_t length = strcspn(line, "\n"), blanks = strspn(line, " ");
		const char *name = line + blanks, *colour = NULL;
		size_t head = 0;

		if (strncmp(name, "state: ", 7) == 0) {
			head = blanks + 7;
			colour = colour_of_state(line + head, length - head);
		}
		/* A folded line goes on with its colour: no name stands where names end. */
		if (line_has_name(line, length))
			warning = strncmp(name, "warning:", 8) == 0 ||
				  strncmp(name, "not taken:", 10) == 0;
		if (warning)
			colour = PAINT_YELLOW;
		text_add(out, "%.*s%s%.*s%s\n", (int)head, line, colour ? colour : "",
			 (int)(length - head), line + head, colour ? PAINT_END : "");
		line += length + (line[length] == '\n');
	}
}

static size_t lines_of(const char *text)
{
	size_t lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* What does not change while one watches, in the order in which it makes room. */
static const char *const still[] = {"ports", "rule", "prefix", "provider", "PSID",
				    "IPv4",  "CE",   "BR",     "tunnel"};

/* Lists that begin with what counts most. */
static const char *const lists[] = {"LAN hosts", "to"};

struct fit {
	size_t most_still[ARRAY_SIZE(still)]; /* lines of each */
	size_t most_lists[ARRAY_SIZE(lists)];
};

static bool line_is_of(const char *line, const char *name)
{
	size_t length = strlen(name);

	line += strspn(line, " ");
	return strncmp(line, name, length) == 0 && line[length] == ':';
}

static size_t lines_of_entry(const char *plain, const char *name)
{
	size_t lines = 0, length;
	bool inside = false;

	for (const char *line = plain; *line; line += length + (line[length] == '\n')) {
		length = strcspn(line, "\n");
		if (line_has_name(line, length))
			inside = line_is_of(line, name);
		lines += inside;
	}
	return lines;
}

static struct fit fit_to(const char *plain, size_t excess)
{
	struct fit fit;

	for (size_t i = 0; i < ARRAY_SIZE(still); i++) {
		fit.most_still[i] = lines_of_entry(plain, still[i]);
		if (excess > 0) {
			excess -= MIN_OF(excess, fit.most_still[i]);
			fit.most_still[i] = 0;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		fit.most_lists[i] = lines_of_entry(plain, lists[i]);
	for (; excess > 0; excess--) {
		size_t *longer = &fit.most_lists[fit.most_lists[0] <= fit.most_lists[1]];

		if (*longer <= 1)
			break;
		--*longer;
	}
	return fit;
}

/* How many lines an entry may have that begins with this one. */
static size_t most_of_entry(const struct fit *fit, const char *line)
{
	for (size_t i = 0; i < ARRAY_SIZE(still); i++)
		if (line_is_of(line, still[i]))
			return fit->most_still[i];
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (line_is_of(line, lists[i]))
			return fit->most_lists[i];
	return SIZE_MAX;
}

void paint_fit(const char *plain, size_t rows, struct text *out)
{
	/* the cursor stands in the last row */
	size_t lines = lines_of(plain), room = rows - 1, most = SIZE_MAX;
	struct fit fit = fit_to(plain, lines > room ? lines - room : 0);

	for (const char *line = plain; *line && room > 0;) {
		size_t length = strcspn(line, "\n");

		if (line_has_name(line, length))
			most = most_of_entry(&fit, line);
		if (most > 0) {
			text_add(out, "%.*s\n", (int)length, line);
			most--;
			room--;
		}
		line += length + (line[length] == '\n');
	}
}

void paint_over(const char *screen, struct text *out)
{
	/* home; what stood there is written over, so that nothing flickers */
	text_add(out, "\033[H");
	for (const char *line = screen; *line;) {
		size_t length = strcspn(line, "\n");

		text_add(out, "%.*s\033[K\n", (int)length, line);
		line += length + (line[length] == '\n');
	}
	text_add(out, "\033[J");
}
