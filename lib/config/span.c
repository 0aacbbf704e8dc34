/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/span.h"

#include <stdbool.h>
#include <stdlib.h>

#include "lib/config/setting.h"

static const char *const sentences[SPAN_KINDS] = {
	[SPAN_MAP_TCP] = "its port is already used by",
	[SPAN_MAP_UDP] = "its port is already used by",
	[SPAN_BLOCK_TCP] = "its port is already used by",
	[SPAN_BLOCK_UDP] = "its port is already used by",
	[SPAN_PPPOE_TCP] = "its port is already used by",
	[SPAN_PPPOE_UDP] = "its port is already used by",
	[SPAN_NAT_HOST] = "overlaps",
	[SPAN_PPPOE_HOST] = "overlaps",
	[SPAN_PPPOE_STATION] = "is the same as",
	[SPAN_PPPOE_DESTINATION] = "overlaps",
	[SPAN_PPPOE_SERVICE_TCP] = "overlaps",
	[SPAN_PPPOE_SERVICE_UDP] = "overlaps",
};

void span_add(struct reading *reading, enum span_kind kind, uint64_t first, uint64_t last,
	      const config_setting_t *at)
{
	struct spans *spans = &reading->spans[kind];

	if (spans->count == spans->room) {
		size_t room = spans->room ? spans->room * 2 : 16;
		struct span *list = reallocarray(spans->list, room, sizeof(*list));

		if (!list) {
			reading->failed = true;
			return;
		}
		spans->list = list;
		spans->room = room;
	}
	spans->list[spans->count] =
		(struct span){.first = first, .last = last, .at = at, .order = spans->count};
	spans->count++;
}

void span_add_prefix(struct reading *reading, enum span_kind kind, const struct prefix4 *prefix,
		     const config_setting_t *at)
{
	uint64_t first = ntohl(prefix->addr.s_addr);

	span_add(reading, kind, first, first + (UINT64_C(1) << (32 - prefix->len)) - 1, at);
}

void span_add_ports(struct reading *reading, enum span_kind tcp, unsigned int protocols,
		    uint64_t first, uint64_t last, const config_setting_t *at)
{
	if (protocols & PROTO_TCP)
		span_add(reading, tcp, first, last, at);
	if (protocols & PROTO_UDP)
		span_add(reading, tcp + 1, first, last, at);
}

static bool span_is_later(const struct span *a, const struct span *b)
{
	unsigned int a_line = setting_line(a->at), b_line = setting_line(b->at);

	return a_line != b_line ? a_line > b_line : a->order > b->order;
}

static int span_compare(const void *left, const void *right)
{
	const struct span *a = left, *b = right;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return span_is_later(a, b) ? 1 : -1;
}

static void complain_overlap(struct reading *reading, const struct span *a, const struct span *b,
			     const char *sentence)
{
	const struct span *later = span_is_later(a, b) ? a : b;
	const struct span *earlier = later == a ? b : a;
	char place[OTHER_PLACE_MAX];

	setting_complain(reading, later->at, "%s %s", sentence,
			 setting_other_place(reading, later->at, earlier->at, place));
}

/* In the order of their beginnings, a span overlaps one before it exactly when it begins inside the
 * one that reaches farthest. */
static void check_kind(struct reading *reading, struct spans *spans, const char *sentence)
{
	const struct span *farthest = NULL;

	if (spans->count < 2)
		return;
	qsort(spans->list, spans->count, sizeof(*spans->list), span_compare);
	for (size_t i = 0; i < spans->count; i++) {
		const struct span *span = &spans->list[i];

		if (farthest && span->first <= farthest->last)
			complain_overlap(reading, span, farthest, sentence);
		if (!farthest || span->last > farthest->last)
			farthest = span;
	}
}

void spans_check(struct reading *reading)
{
	for (size_t i = 0; i < SPAN_KINDS; i++)
		check_kind(reading, &reading->spans[i], sentences[i]);
}

void spans_done(struct spans *spans)
{
	free(spans->list);
	*spans = (struct spans){0};
}
