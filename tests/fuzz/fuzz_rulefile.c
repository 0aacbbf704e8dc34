/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of a rule file. Every rule that comes out must be one that can be derived from, unless
 * the EA bits make what is no host's address. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lib/config/load.h"
#include "lib/map/derive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rule(const struct map_rule *rule)
{
	struct prefix6 line = rule->ipv6_prefix;
	struct map_params params;
	struct fault fault = {0};

	assert(strcmp(rule->provider, "fuzz") == 0);
	assert(map_rule_check(rule, NULL) == 0);
	line.len = (uint8_t)map_rule_end_user_length(rule);
	assert(map_derive(rule, &line, &params, &fault) == 0 ||
	       strstr(fault.text, "no address of a host"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_source_ struct source source = SOURCE_INIT;
	_cleanup_complaints_ struct complaints complaints = COMPLAINTS_INIT;
	_cleanup_ruleset_ struct ruleset rules = {0};
	_cleanup_text_ struct text printed = TEXT_INIT;
	int r;

	r = source_read_memory(&source, "fuzz.conf", (const char *)data, size, &complaints);
	if (r == 0)
		r = rules_read_source(&source, "fuzz", &complaints, &rules);
	assert(r == 0 || r == -EINVAL);
	assert((r == 0) == complaints_empty(&complaints));
	assert(r == 0 || rules.count == 0);
	for (size_t i = 0; i < rules.count; i++)
		check_rule(&rules.rules[i]);
	assert(source_print_complaints(&source, &complaints, &printed) == 0);
	return 0;
}
