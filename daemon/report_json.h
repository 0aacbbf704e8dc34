/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A JSON text, piece by piece: commas and escapes are its business. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/text.h"

struct json {
	struct text *out;
	bool comma; /* the next piece needs one before it */
};

/* name NULL: an element of an array. */
void json_open(struct json *json, const char *name, char bracket); /* '{' or '[' */
void json_close(struct json *json, char bracket);                  /* '}' or ']' */
void json_string(struct json *json, const char *name, const char *value);
void json_number(struct json *json, const char *name, uint64_t value);
void json_bool(struct json *json, const char *name, bool value);
