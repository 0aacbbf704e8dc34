/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/heritage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The first line and the last: a file that was cut lacks one of them. */
#define HEAD "maped-line 1"
#define TAIL "end"

/* An announcement whose end is fixed in time tells it in whole seconds, and packets take time. */
#define JITTER_USEC ((uint64_t)5 * 1000000)

void heritage_fill(const char *wan, int wan_index, const struct choice *choice,
		   const struct signs *signs, struct heritage *ret)
{
	*ret = (struct heritage){.wan_index = wan_index};
	snprintf(ret->wan, sizeof(ret->wan), "%s", wan);
	if (!ret->wan[0])
		return;
	ret->chosen = choice->verdict == VERDICT_CHOSEN;
	if (ret->chosen) {
		ret->prefix = choice->prefix;
		ret->source = choice->source;
	}
	for (size_t i = 0; i < signs->announcement_count; i++)
		if (signs->announcements[i].index == wan_index)
			ret->announcements[ret->announcement_count++] = signs->announcements[i];
}

/* ---- text -------------------------------------------------------------------------------- */

void heritage_print(const struct heritage *heritage, struct text *out)
{
	char prefix[PREFIX6_TEXT_MAX];

	text_add(out, HEAD "\n");
	if (heritage->wan[0])
		text_add(out, "wan %s %d\n", heritage->wan, heritage->wan_index);
	if (heritage->chosen)
		text_add(out, "prefix %s %d\n", prefix6_format(&heritage->prefix, prefix),
			 (int)heritage->source);
	for (size_t i = 0; i < heritage->announcement_count; i++) {
		const struct announcement *one = &heritage->announcements[i];

		text_add(out, "ra %s %d %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			 prefix6_format(&one->prefix, prefix), one->on_link, one->autonomous,
			 one->appeared_usec, one->refreshed_usec, one->preferred_until_usec,
			 one->valid_until_usec);
	}
	text_add(out, TAIL "\n");
}

/* A prefix as a router or the kernel may have shown it. */
static bool parse_prefix(const char *word, struct prefix6 *ret)
{
	return prefix6_parse(word, ret) == 0 && ret->len <= 64 && in6_is_global(&ret->addr);
}

static bool parse_wan(const char *line, struct heritage *heritage)
{
	int end = 0;

	return sscanf(line, "wan %15s %9d%n", heritage->wan, &heritage->wan_index, &end) == 2 &&
	       !line[end] && heritage->wan_index > 0;
}

static bool parse_chosen(const char *line, struct heritage *heritage)
{
	char word[64];
	int source, end = 0;

	if (sscanf(line, "prefix %63s %9d%n", word, &source, &end) != 2 || line[end] ||
	    source < 0 || source > SOURCE_STATIC || !parse_prefix(word, &heritage->prefix))
		return false;
	heritage->source = (enum prefix_source)source;
	heritage->chosen = true;
	return true;
}

static bool parse_announcement(const char *line, uint64_t now_usec, struct heritage *heritage)
{
	struct announcement one = {.index = heritage->wan_index};
	int on_link, autonomous, end = 0;
	char word[64];

	if (sscanf(line,
		   "ra %63s %1d %1d %20" SCNu64 " %20" SCNu64 " %20" SCNu64 " %20" SCNu64 "%n",
		   word, &on_link, &autonomous, &one.appeared_usec, &one.refreshed_usec,
		   &one.preferred_until_usec, &one.valid_until_usec, &end) != 7 ||
	    line[end] || !parse_prefix(word, &one.prefix) ||
	    one.appeared_usec > one.refreshed_usec || one.refreshed_usec > now_usec)
		return false;
	if (one.valid_until_usec <= now_usec)
		return true;
	if (heritage->announcement_count == SIGNS_ANNOUNCEMENT_MAX)
		return false;
	one.on_link = on_link;
	one.autonomous = autonomous;
	heritage->announcements[heritage->announcement_count++] = one;
	return true;
}

static bool parse_line(const char *line, uint64_t now_usec, struct heritage *heritage)
{
	if (!heritage->wan[0])
		return parse_wan(line, heritage);
	if (strncmp(line, "prefix ", 7) == 0)
		return parse_chosen(line, heritage);
	return parse_announcement(line, now_usec, heritage);
}

int heritage_parse(const char *text, uint64_t now_usec, struct heritage *ret)
{
	_cleanup_text_ struct text copy = TEXT_INIT;
	struct heritage heritage = {0};
	char *line, *rest = NULL;

	text_add(&copy, "%s", text);
	if (text_failed(&copy))
		return -ENOMEM;
	line = text_next_line(&copy, &rest);
	if (!line || strcmp(line, HEAD) != 0)
		return -EBADMSG;
	while ((line = text_next_line(&copy, &rest)) && strcmp(line, TAIL) != 0)
		if (!parse_line(line, now_usec, &heritage))
			return -EBADMSG;
	if (!line || text_next_line(&copy, &rest))
		return -EBADMSG;
	*ret = heritage;
	return 0;
}

/* ---- news -------------------------------------------------------------------------------- */

static bool end_moved(uint64_t old_usec, uint64_t new_usec, uint64_t now_usec)
{
	if (new_usec <= now_usec)
		return old_usec > now_usec;
	if (new_usec <= old_usec)
		return old_usec - new_usec > JITTER_USEC;
	return new_usec - old_usec > JITTER_USEC && new_usec - old_usec > (new_usec - now_usec) / 2;
}

static bool announcement_is_news(const struct announcement *old, const struct announcement *new,
				 uint64_t now_usec)
{
	return !prefix6_equal(&old->prefix, &new->prefix) || old->on_link != new->on_link ||
	       old->autonomous != new->autonomous || old->appeared_usec != new->appeared_usec ||
	       new->refreshed_usec - old->refreshed_usec >= HERITAGE_STALE_USEC ||
	       end_moved(old->preferred_until_usec, new->preferred_until_usec, now_usec) ||
	       end_moved(old->valid_until_usec, new->valid_until_usec, now_usec);
}

bool heritage_is_news(const struct heritage *old, const struct heritage *new, uint64_t now_usec)
{
	if (strcmp(old->wan, new->wan) != 0 || old->wan_index != new->wan_index ||
	    old->chosen != new->chosen || old->announcement_count != new->announcement_count)
		return true;
	if (new->chosen &&
	    (!prefix6_equal(&old->prefix, &new->prefix) || old->source != new->source))
		return true;
	for (size_t i = 0; i < new->announcement_count; i++)
		if (announcement_is_news(&old->announcements[i], &new->announcements[i], now_usec))
			return true;
	return false;
}
