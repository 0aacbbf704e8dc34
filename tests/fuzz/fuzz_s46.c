/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DHCPv6 options and odhcp6c's words: what the network may send. Whatever comes out has to keep the
 * bounds that lib/map/s46.h promises, or the derivation behind it would be the next to trust them.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/map/derive.h"
#include "lib/map/s46.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rule(const struct s46_rule *s46)
{
	const struct map_rule *rule = &s46->rule;
	struct prefix6 whole = {rule->ipv6_prefix.addr, 128};
	struct map_params params;
	struct fault fault = {0};

	assert(rule->ea_length <= 48 && rule->psid_offset <= 15 && rule->psid_length <= 16);
	assert(rule->ipv4_prefix.len <= 32 && rule->ipv6_prefix.len <= 128);
	assert(rule->psid_given || (rule->psid == 0 && rule->psid_length == 0));
	assert(rule->psid >> rule->psid_length == 0);
	if (map_rule_check(rule, NULL) == 0)
		assert(map_derive(rule, &whole, &params, &fault) == 0 ||
		       strstr(fault.text, "no address of a host"));
}

static void check(int r, const struct s46 *s46, const struct text *complaints)
{
	assert(r == 0 || r == -ENOENT || r == -ENOMEM);
	assert((r == 0) == (s46->count > 0));
	assert(r == 0 || complaints->length > 0 || text_failed(complaints));
	assert(s46->count <= S46_RULES_MAX);
	for (size_t i = 0; i < s46->count; i++)
		check_rule(&s46->rules[i]);
}

static void fuzz_octets(const uint8_t *data, size_t size)
{
	_cleanup_s46_ struct s46 s46 = {0};
	_cleanup_text_ struct text complaints = TEXT_INIT;

	check(s46_decode(data, size, IID_RFC7597, &s46, &complaints), &s46, &complaints);
}

static void fuzz_words(const uint8_t *data, size_t size)
{
	_cleanup_s46_ struct s46 s46 = {0};
	_cleanup_text_ struct text complaints = TEXT_INIT;
	_cleanup_free_ char *words = strndup((const char *)data, size);

	if (words)
		check(s46_parse_odhcp6c(words, IID_MAP_DRAFT_03, &s46, &complaints), &s46,
		      &complaints);
}

/* The first octet chooses the form, so that one corpus serves both. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		fuzz_words(data + 1, size - 1);
	else
		fuzz_octets(data + 1, size - 1);
	return 0;
}
