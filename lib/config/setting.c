/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/setting.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config/near.h"
#include "lib/config/value.h"

#define PATH_SHOWN_MAX 128

void reading_done(struct reading *reading)
{
	for (size_t i = 0; i < SPAN_KINDS; i++)
		spans_done(&reading->spans[i]);
}

unsigned int setting_line(const config_setting_t *at)
{
	return (unsigned int)config_setting_source_line(at);
}

struct origin setting_origin(const struct reading *reading, const config_setting_t *at)
{
	unsigned int line = setting_line(at);

	if (line < 1 || line > reading->source->line_count)
		return (struct origin){0};
	return reading->source->lines[line - 1];
}

/* "pppoe.hosts[1]"; nothing for the root. Depth is bounded by the screen. */
static void add_path(const config_setting_t *at, char *buffer, size_t size)
{
	size_t used;

	if (config_setting_is_root(at))
		return;
	add_path(config_setting_parent(at), buffer, size);
	used = strlen(buffer);
	if (config_setting_name(at))
		snprintf(buffer + used, size - used, "%s%s", used ? "." : "",
			 config_setting_name(at));
	else
		snprintf(buffer + used, size - used, "[%d]", config_setting_index(at));
}

const char *setting_other_place(const struct reading *reading, const config_setting_t *at,
				const config_setting_t *other, char buffer[static OTHER_PLACE_MAX])
{
	struct origin here = setting_origin(reading, at);
	struct origin there = setting_origin(reading, other);
	char path[PATH_SHOWN_MAX] = "";

	add_path(other, path, sizeof(path));
	if (here.file == there.file)
		snprintf(buffer, OTHER_PLACE_MAX, "%s (line %u)", path, there.line);
	else
		snprintf(buffer, OTHER_PLACE_MAX, "%s (%.100s:%u)", path,
			 reading->source->files[there.file], there.line);
	return buffer;
}

void setting_complain(struct reading *reading, const config_setting_t *at, const char *format, ...)
{
	char path[PATH_SHOWN_MAX] = "", text[360];
	va_list ap;

	if (reading->complaints->count == COMPLAINTS_MAX) {
		reading->complaints->unlisted++;
		return;
	}
	add_path(at, path, sizeof(path));
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	complaints_add(reading->complaints, setting_line(at), "%s%s%s", path, path[0] ? ": " : "",
		       text);
}

static const char *type_name(const config_setting_t *at)
{
	switch (config_setting_type(at)) {
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "a number";
	case CONFIG_TYPE_STRING:
		return "a text";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		return "a list";
	default:
		return "something else";
	}
}

/* The screen has complained already. */
static bool is_bad_value(const config_setting_t *at)
{
	const char *text;

	if (config_setting_type(at) != CONFIG_TYPE_STRING)
		return false;
	text = config_setting_get_string(at);
	return text && strcmp(text, SOURCE_BAD_VALUE) == 0;
}

static int complain_type(struct reading *reading, const config_setting_t *at, const char *wanted)
{
	if (!is_bad_value(at))
		setting_complain(reading, at, "must be %s, not %s", wanted, type_name(at));
	return -EINVAL;
}

int setting_text(struct reading *reading, const config_setting_t *at, const char **ret)
{
	const char *text;

	if (config_setting_type(at) != CONFIG_TYPE_STRING)
		return complain_type(reading, at, "a text in quotes");
	if (is_bad_value(at))
		return -EINVAL;
	text = config_setting_get_string(at);
	*ret = text ? text : "";
	return 0;
}

bool setting_is_number(const config_setting_t *at)
{
	return config_setting_type(at) == CONFIG_TYPE_INT ||
	       config_setting_type(at) == CONFIG_TYPE_INT64;
}

int setting_number(struct reading *reading, const config_setting_t *at, int64_t min, int64_t max,
		   int64_t *ret)
{
	int64_t number;

	if (!setting_is_number(at))
		return complain_type(reading, at, "a number");
	number = config_setting_get_int64(at);
	if (number < min || number > max) {
		setting_complain(reading, at,
				 "%" PRId64 " is out of range (%" PRId64 " to %" PRId64 ")", number,
				 min, max);
		return -EINVAL;
	}
	*ret = number;
	return 0;
}

int setting_choice(struct reading *reading, const config_setting_t *at, const char *const *names,
		   size_t count)
{
	char all[256] = "";
	const char *text;
	int r;

	r = setting_text(reading, at, &text);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(all);

		if (strcmp(text, names[i]) == 0)
			return (int)i;
		snprintf(all + used, sizeof(all) - used, "%s\"%s\"",
			 i == 0           ? ""
			 : i == count - 1 ? " or "
					  : ", ",
			 names[i]);
	}
	setting_complain(reading, at, "\"%.64s\" must be %s", text, all);
	return -EINVAL;
}

int setting_list(struct reading *reading, const config_setting_t *at, const char *example)
{
	if (config_setting_type(at) != CONFIG_TYPE_LIST) {
		if (!is_bad_value(at))
			setting_complain(reading, at, "must be a list: %s", example);
		return -1;
	}
	return config_setting_length(at);
}

const config_setting_t *setting_element(const config_setting_t *list, int index)
{
	return config_setting_get_elem(list, (unsigned int)index);
}

const config_setting_t *setting_member(const config_setting_t *group, const char *name)
{
	return config_setting_get_member(group, name);
}

static const struct key *find_key(const struct key *keys, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static void complain_unknown(struct reading *reading, const config_setting_t *at,
			     const struct key *keys, size_t count)
{
	const char *name = config_setting_name(at);
	struct near near = near_init(name);

	for (size_t i = 0; i < count; i++)
		near_offer(&near, keys[i].name);
	if (near.best)
		setting_complain(reading, at, "unknown key; did you mean \"%s\"?", near.best);
	else
		setting_complain(reading, at, "unknown key");
}

void group_read(struct reading *reading, const config_setting_t *group, const struct key *keys,
		size_t key_count, void *section)
{
	if (!config_setting_is_group(group)) {
		complain_type(reading, group, "a group: { }");
		return;
	}
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *at = setting_element(group, i);
		const struct key *key = find_key(keys, key_count, config_setting_name(at));

		if (key)
			key->read(reading, at, key, (char *)section + key->offset);
		else
			complain_unknown(reading, at, keys, key_count);
	}
}

void key_read_bool(struct reading *reading, const config_setting_t *at, const struct key *key,
		   void *field)
{
	if (config_setting_type(at) == CONFIG_TYPE_BOOL)
		*(bool *)field = config_setting_get_bool(at);
	else
		complain_type(reading, at, "true or false");
}

void key_read_uint32(struct reading *reading, const config_setting_t *at, const struct key *key,
		     void *field)
{
	int64_t number;

	if (setting_number(reading, at, key->min, key->max, &number) == 0)
		*(uint32_t *)field = (uint32_t)number;
}

void key_read_uint16(struct reading *reading, const config_setting_t *at, const struct key *key,
		     void *field)
{
	int64_t number;

	if (setting_number(reading, at, key->min, key->max, &number) == 0)
		*(uint16_t *)field = (uint16_t)number;
}

void key_read_uint8(struct reading *reading, const config_setting_t *at, const struct key *key,
		    void *field)
{
	int64_t number;

	if (setting_number(reading, at, key->min, key->max, &number) == 0)
		*(uint8_t *)field = (uint8_t)number;
}

void key_read_nothing(struct reading *reading, const config_setting_t *at, const struct key *key,
		      void *field)
{
}

void key_read_interface(struct reading *reading, const config_setting_t *at, const struct key *key,
			void *field)
{
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (interface_parse(text, field, &fault) < 0)
		setting_complain(reading, at, "%s", fault.text);
}

void *reading_alloc(struct reading *reading, size_t count, size_t size)
{
	void *memory;

	if (count == 0)
		return NULL;
	memory = calloc(count, size);
	if (!memory)
		reading->failed = true;
	return memory;
}
