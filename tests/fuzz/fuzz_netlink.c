/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that the netlink room receives: events as the watch takes them, the same messages as
 * answers to a dump, the words of a refusal, and the state file of kernel settings.
 *
 * The first octet chooses; a watch lives through all messages of one input, so that its tables
 * fill.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/policy.h"
#include "lib/kernel/sysctl.h"
#include "lib/kernel/watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct plan expected_plan(void)
{
	struct plan plan = {
		.tunnel = {.name = "map0", .wan = "wan", .mtu = 1460},
		.addresses = {{.interface = "wan", .family = AF_INET6},
			      {.interface = "map0", .family = AF_INET}},
		.address_count = 2,
		.routes = {{.table = 254, .metric = 1024, .interface = "map0"},
			   {.table = 10, .metric = PLAN_FLOOR_METRIC}},
		.route_count = 2,
		.rules = {{.priority = 1000, .mark = 1000, .mask = 0xffff, .table = 10}},
		.rule_count = 1,
	};

	return plan;
}

static void check_signs(const struct signs *signs, uint64_t now_usec)
{
	assert(signs->announcement_count <= SIGNS_ANNOUNCEMENT_MAX);
	assert(signs->route_count <= SIGNS_ROUTE_MAX);
	assert(signs->address_count <= SIGNS_ADDRESS_MAX);
	for (size_t i = 0; i < signs->announcement_count; i++) {
		assert(signs->announcements[i].index > 0);
		assert(signs->announcements[i].prefix.len <= 64);
		assert(signs->announcements[i].valid_until_usec > now_usec);
	}
}

/* In pieces of the lengths that the messages themselves claim, each at its own time. */
static void events(const uint8_t *data, size_t size)
{
	const struct plan plan = expected_plan();
	struct watch *watch = watch_new();
	struct text told = TEXT_INIT;
	uint64_t now_usec = 1000000;

	if (!watch)
		return;
	watch_expect(watch, &plan);
	while (size > 0) {
		size_t length = size;
		uint32_t claimed;
		void *copy;

		if (size >= sizeof(claimed)) {
			memcpy(&claimed, data, sizeof(claimed));
			length = claimed > 0 && claimed < size ? claimed : size;
		}
		copy = malloc(length); /* its own storage, for the sanitizer */
		memcpy(copy, data, length);
		assert(watch_feed(watch, copy, length, now_usec) >= 0);
		free(copy);
		data += length;
		size -= length;
		now_usec += 700000;
		check_signs(watch_signs(watch, now_usec), now_usec);
	}
	watch_take_losses(watch, &told);
	text_done(&told);
	watch_close(watch);
}

static void answers(const uint8_t *data, size_t size)
{
	struct nlmsghdr *message = malloc(size);
	char words[RTNL_WORDS_MAX], text[ADDRESS_TEXT_MAX];
	struct address_info address;
	struct policy_info policy;
	struct route_info route;
	struct link_info link;

	memcpy(message, data, size);
	if (size >= NLMSG_HDRLEN) {
		message->nlmsg_len = (uint32_t)size;
		if (link_parse(message, &link) == 0)
			assert(link.index > 0 && memchr(link.name, 0, sizeof(link.name)) &&
			       memchr(link.kind, 0, sizeof(link.kind)) &&
			       memchr(link.alias, 0, sizeof(link.alias)));
		if (address_parse(message, &address) == 0)
			assert(strlen(address_format(&address, text)) > 0);
		(void)route_parse(message, &route);
		(void)policy_parse(message, &policy);
		rtnl_extack_words(message, words);
		assert(memchr(words, 0, sizeof(words)));
	}
	free(message);
}

static void state_file(const uint8_t *data, size_t size)
{
	struct sysctl_record record = {0}, again = {0};
	struct text text = TEXT_INIT;

	if (sysctl_record_parse((const char *)data, size, &record, NULL) == 0) {
		sysctl_record_print(&record, &text);
		assert(sysctl_record_parse(text_get(&text), text.length, &again, NULL) == 0);
		assert(again.count == record.count);
		assert(record.count == 0 ||
		       memcmp(again.list, record.list, record.count * sizeof(*record.list)) == 0);
	}
	sysctl_record_done(&record);
	sysctl_record_done(&again);
	text_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 4) {
	case 0:
	case 1:
		events(data + 1, size - 1);
		break;
	case 2:
		answers(data + 1, size - 1);
		break;
	case 3:
		state_file(data + 1, size - 1);
		break;
	}
	return 0;
}
