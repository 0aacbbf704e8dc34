/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Softwire46 rules as odhcp6c writes them into the environment of its script. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/map/s46.h"

#define WORD_MAX       64 /* the longest value is an IPv6 address */
#define RELAYS_MAX     16
#define MAPE_TYPE_WORD "map-e"

enum seen {
	SEEN_TYPE = 1 << 0,
	SEEN_EA = 1 << 1,
	SEEN_LENGTH4 = 1 << 2,
	SEEN_LENGTH6 = 1 << 3,
	SEEN_PREFIX4 = 1 << 4,
	SEEN_PREFIX6 = 1 << 5,
	SEEN_OFFSET = 1 << 6,
	SEEN_PSID_LENGTH = 1 << 7,
	SEEN_PSID = 1 << 8,
};

#define SEEN_RULE        (SEEN_EA | SEEN_LENGTH4 | SEEN_LENGTH6 | SEEN_PREFIX4 | SEEN_PREFIX6)
#define SEEN_PORT_PARAMS (SEEN_OFFSET | SEEN_PSID_LENGTH | SEEN_PSID)

struct entry {
	unsigned int seen; /* SEEN_* bits */
	struct s46_fields fields;
	struct in6_addr relays[RELAYS_MAX];
	size_t relay_count;
};

static int parse_number(const char *word, unsigned int *ret)
{
	unsigned long value;
	char *end;

	if (*word < '0' || *word > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(word, &end, 10);
	if (*end || errno || value > UINT16_MAX)
		return -EINVAL;
	*ret = (unsigned int)value;
	return 0;
}

static int parse_address(int family, const char *word, void *ret)
{
	return inet_pton(family, word, ret) == 1 ? 0 : -EINVAL;
}

static int take_relay(const char *word, struct entry *entry)
{
	if (entry->relay_count == RELAYS_MAX)
		return -E2BIG;
	return parse_address(AF_INET6, word, &entry->relays[entry->relay_count++]);
}

static const struct number_key {
	const char *key;
	enum seen seen;
	size_t field;
} number_keys[] = {
	{"ealen", SEEN_EA, offsetof(struct s46_fields, ea_length)},
	{"prefix4len", SEEN_LENGTH4, offsetof(struct s46_fields, ipv4_length)},
	{"prefix6len", SEEN_LENGTH6, offsetof(struct s46_fields, ipv6_length)},
	{"offset", SEEN_OFFSET, offsetof(struct s46_fields, psid_offset)},
	{"psidlen", SEEN_PSID_LENGTH, offsetof(struct s46_fields, psid_length)},
	{"psid", SEEN_PSID, offsetof(struct s46_fields, psid)},
};

static int take_number(const struct number_key *number, const char *value, struct entry *entry)
{
	entry->seen |= number->seen;
	return parse_number(value, (unsigned int *)((char *)&entry->fields + number->field));
}

/* Keys that this program does not know are passed over, as new versions of odhcp6c may add some. */
static int take_pair(const char *key, const char *value, struct entry *entry)
{
	for (size_t i = 0; i < ARRAY_SIZE(number_keys); i++)
		if (strcmp(key, number_keys[i].key) == 0)
			return take_number(&number_keys[i], value, entry);
	if (strcmp(key, "ipv4prefix") == 0) {
		entry->seen |= SEEN_PREFIX4;
		return parse_address(AF_INET, value, &entry->fields.ipv4);
	}
	if (strcmp(key, "ipv6prefix") == 0) {
		entry->seen |= SEEN_PREFIX6;
		return parse_address(AF_INET6, value, &entry->fields.ipv6);
	}
	if (strcmp(key, "type") == 0) {
		entry->seen |= SEEN_TYPE;
		return strcmp(value, MAPE_TYPE_WORD) == 0 ? 0 : -EINVAL;
	}
	if (strcmp(key, "br") == 0)
		return take_relay(value, entry);
	return 0;
}

/* word: "key=value" or "fmr", length octets of it. */
static int take_word(const char *word, size_t length, struct entry *entry, struct fault *reterr)
{
	char pair[WORD_MAX];
	char *value;

	if (length == 0)
		return 0;
	if (length >= sizeof(pair))
		return fault_set(reterr, -EINVAL, "%.*s…: too long", 20, word);
	memcpy(pair, word, length);
	pair[length] = '\0';
	if (strcmp(pair, "fmr") == 0) {
		entry->fields.forwarding = true;
		return 0;
	}
	value = strchr(pair, '=');
	if (!value)
		return fault_set(reterr, -EINVAL, "%s: not KEY=VALUE", pair);
	*value++ = '\0';
	if (take_pair(pair, value, entry) < 0)
		return fault_set(reterr, -EINVAL, "%s=%s: not a value that can be", pair, value);
	return 0;
}

static int read_entry(const char *words, size_t length, struct entry *ret, struct fault *reterr)
{
	size_t start = 0;
	int r;

	for (size_t i = 0; i <= length; i++) {
		if (i < length && words[i] != ',')
			continue;
		r = take_word(words + start, i - start, ret, reterr);
		if (r < 0)
			return r;
		start = i + 1;
	}
	if ((ret->seen & SEEN_RULE) != SEEN_RULE)
		return fault_set(reterr, -EINVAL, "a part of the rule is missing");
	if (ret->relay_count == 0)
		return fault_set(reterr, -EINVAL, "no border relay (br=)");
	if ((ret->seen & SEEN_PORT_PARAMS) && (ret->seen & SEEN_PORT_PARAMS) != SEEN_PORT_PARAMS)
		return fault_set(reterr, -EINVAL, "offset=, psidlen= and psid= go together");
	ret->fields.port_params = ret->seen & SEEN_OFFSET;
	return 0;
}

static int add_entry(const char *words, size_t length, enum iid_format iid_format, struct s46 *s46,
		     struct fault *reterr)
{
	struct entry entry = {0};
	struct s46_rule rule;
	int r;

	r = read_entry(words, length, &entry, reterr);
	if (r < 0)
		return r;
	for (size_t i = 0; i < entry.relay_count; i++) {
		entry.fields.br = entry.relays[i];
		r = s46_rule_make(&entry.fields, iid_format, &rule, reterr);
		if (r < 0)
			return r;
		r = s46_add(s46, &rule);
		if (r < 0)
			return fault_set(reterr, r, "more than %d rules in all", S46_RULES_MAX);
	}
	return 0;
}

int s46_parse_odhcp6c(const char *words, enum iid_format iid_format, struct s46 *ret,
		      struct text *complaints)
{
	_cleanup_s46_ struct s46 s46 = {0};
	struct fault fault = {0};
	unsigned int number = 0;
	int r;

	for (const char *entry = words; *entry;) {
		size_t length = strcspn(entry, " ");

		if (length) {
			number++;
			r = add_entry(entry, length, iid_format, &s46, &fault);
			if (r == -ENOMEM)
				return r;
			if (r < 0) {
				text_add(complaints, "rule %u: %s\n", number, fault.text);
				return -ENOENT; /* odhcp6c hands on one container: whole or not */
			}
		}
		entry += length + (entry[length] == ' ');
	}
	if (number == 0)
		text_add(complaints, "no rule\n");
	if (s46.count == 0)
		return -ENOENT;
	*ret = s46;
	s46 = (struct s46){0};
	return 0;
}
