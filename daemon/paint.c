/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/paint.h"

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
		if (length > NAME_WIDTH && line[NAME_WIDTH] == ':')
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

void paint_fit(const char *plain, size_t rows, struct text *out)
{
	bool too_long = lines_of(plain) >= rows, ports = false;

	for (const char *line = plain; *line;) {
		size_t length = strcspn(line, "\n");

		if (length > NAME_WIDTH && line[NAME_WIDTH] == ':')
			ports = strncmp(line + strspn(line, " "), "ports:", 6) == 0;
		if (!too_long || !ports)
			text_add(out, "%.*s\n", (int)length, line);
		line += length + (line[length] == '\n');
	}
}
