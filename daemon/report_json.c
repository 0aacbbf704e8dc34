/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/report_json.h"

#include <inttypes.h>

static void add_quoted(struct text *out, const char *value)
{
	text_add(out, "\"");
	for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
		if (*c == '"' || *c == '\\')
			text_add(out, "\\%c", *c);
		else if (*c < 0x20 || *c == 0x7f)
			text_add(out, "\\u%04x", *c);
		else
			text_add(out, "%c", *c);
	}
	text_add(out, "\"");
}

static void begin(struct json *json, const char *name)
{
	if (json->comma)
		text_add(json->out, ",");
	json->comma = true;
	if (name) {
		add_quoted(json->out, name);
		text_add(json->out, ":");
	}
}

void json_open(struct json *json, const char *name, char bracket)
{
	begin(json, name);
	text_add(json->out, "%c", bracket);
	json->comma = false;
}

void json_close(struct json *json, char bracket)
{
	text_add(json->out, "%c", bracket);
	json->comma = true;
}

void json_string(struct json *json, const char *name, const char *value)
{
	begin(json, name);
	add_quoted(json->out, value);
}

void json_number(struct json *json, const char *name, uint64_t value)
{
	begin(json, name);
	text_add(json->out, "%" PRIu64, value);
}

void json_bool(struct json *json, const char *name, bool value)
{
	begin(json, name);
	text_add(json->out, value ? "true" : "false");
}
