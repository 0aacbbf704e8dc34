/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Typed access to libconfig's settings with complaints: each group is described by a table of its
 * keys, and what is not in the table is a mistake.
 */
#pragma once

#include <libconfig.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/config/complaints.h"
#include "lib/config/source.h"
#include "lib/config/span.h"
#include "lib/map/settings.h"

/* One file that is being read. */
struct reading {
	const struct source *source;
	struct complaints *complaints;
	struct spans spans[SPAN_KINDS]; /* what must not overlap, gathered for the end */
	bool failed;                    /* an allocation failed */
};

void reading_done(struct reading *reading);
#define _cleanup_reading_ _cleanup_(reading_done)

struct key {
	const char *name;
	/* Fills field or complains; field is untouched after a complaint. */
	void (*read)(struct reading *reading, const config_setting_t *at, const struct key *key,
		     void *field);
	size_t offset;     /* of the field in the section */
	uint32_t min, max; /* of numbers */
};

/* Reads a group by the table of its keys into section. */
void group_read(struct reading *reading, const config_setting_t *group, const struct key *keys,
		size_t key_count, void *section);

/* A key of a group, or NULL. */
const config_setting_t *setting_member(const config_setting_t *group, const char *name);

/* Line in the source, to sort by; place in the files, to show. */
unsigned int setting_line(const config_setting_t *at);
struct origin setting_origin(const struct reading *reading, const config_setting_t *at);

/* A complaint about a setting: "PATH: sentence". */
void setting_complain(struct reading *reading, const config_setting_t *at, const char *format, ...)
	_printf_(3, 4);

/* "forward[0] (line 4)", or "forward[0] (FILE:4)" when other stands in another file than at. Lives
 * in buffer. */
#define OTHER_PLACE_MAX 300
const char *setting_other_place(const struct reading *reading, const config_setting_t *at,
				const config_setting_t *other, char buffer[static OTHER_PLACE_MAX]);

/* 0 and the value, or -EINVAL after a complaint about the type. The text lives as long as at. */
int setting_text(struct reading *reading, const config_setting_t *at, const char **ret);
int setting_number(struct reading *reading, const config_setting_t *at, int64_t min, int64_t max,
		   int64_t *ret);
bool setting_is_number(const config_setting_t *at);
/* Index of a text in names, or -EINVAL after a complaint that lists them. */
int setting_choice(struct reading *reading, const config_setting_t *at, const char *const *names,
		   size_t count);
/* The elements of a list, or -1 after a complaint; example: what an element looks like. */
int setting_list(struct reading *reading, const config_setting_t *at, const char *example);
const config_setting_t *setting_element(const config_setting_t *list, int index);

/* For key tables. */
void key_read_bool(struct reading *reading, const config_setting_t *at, const struct key *key,
		   void *field); /* bool */
void key_read_uint32(struct reading *reading, const config_setting_t *at, const struct key *key,
		     void *field); /* uint32_t, from key->min to key->max */
void key_read_uint16(struct reading *reading, const config_setting_t *at, const struct key *key,
		     void *field); /* uint16_t */
void key_read_uint8(struct reading *reading, const config_setting_t *at, const struct key *key,
		    void *field); /* uint8_t */
void key_read_nothing(struct reading *reading, const config_setting_t *at, const struct key *key,
		      void *field); /* known, and read elsewhere */
void key_read_interface(struct reading *reading, const config_setting_t *at, const struct key *key,
			void *field); /* char[IFNAMSIZ] */

/* calloc() for count elements of a list (none: NULL is right); a failure is kept in the reading. */
void *reading_alloc(struct reading *reading, size_t count, size_t size);
