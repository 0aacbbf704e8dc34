/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rule files as they are shipped, read with libconfig alone, against the table from which they
 * were once made. A slip in editing one of 444 lines shows here.
 */
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>

#include "tests/unit/map_values.h"

static const char *text_of(const config_setting_t *rule, const config_t *file, const char *name)
{
	const char *text = NULL;

	if (!config_setting_lookup_string(rule, name, &text) &&
	    !config_lookup_string(file, name, &text))
		fail_msg("line %d: no %s", config_setting_source_line(rule), name);
	return text;
}

static int number_of(const config_setting_t *rule, const config_t *file, const char *name)
{
	int number;

	if (!config_setting_lookup_int(rule, name, &number) &&
	    !config_lookup_int(file, name, &number))
		fail_msg("line %d: no %s", config_setting_source_line(rule), name);
	return number;
}

static void add_rule(const char *provider, const config_t *file, const config_setting_t *setting,
		     struct ruleset *set)
{
	struct map_rule rule = rule_of(text_of(setting, file, "ipv6_prefix"),
				       text_of(setting, file, "ipv4_prefix"),
				       (unsigned int)number_of(setting, file, "ea_length"),
				       (unsigned int)number_of(setting, file, "psid_offset"));
	struct fault fault;

	snprintf(rule.provider, sizeof(rule.provider), "%s", provider);
	rule.br = ip6(text_of(setting, file, "br"));
	assert_int_equal(iid_format_parse(text_of(setting, file, "interface_id"), &rule.iid_format),
			 0);
	if (map_rule_check(&rule, &fault) < 0)
		fail_msg("line %d: %s", config_setting_source_line(setting), fault.text);
	assert_int_equal(ruleset_add(set, &rule), 0);
}

static void read_file(const char *provider, struct ruleset *set)
{
	config_setting_t *rules;
	char path[1024];
	config_t file;

	snprintf(path, sizeof(path), "%s/%s.conf", TEST_RULES, provider);
	config_init(&file);
	if (!config_read_file(&file, path))
		fail_msg("%s:%d: %s", path, config_error_line(&file), config_error_text(&file));
	rules = config_lookup(&file, "rules");
	assert_non_null(rules);
	for (int i = 0; i < config_setting_length(rules); i++)
		add_rule(provider, &file, config_setting_get_elem(rules, (unsigned int)i), set);
	config_destroy(&file);
}

static void test_files_hold_the_table(void **state)
{
	_cleanup_ruleset_ struct ruleset set = {0};
	char path[1024], line[512];
	size_t at = 0;
	FILE *table;

	read_file("ocn", &set);
	read_file("v6plus", &set);
	read_file("biglobe", &set);
	read_file("nuro", &set);
	snprintf(path, sizeof(path), "%s/rules.csv", TEST_DATA);
	table = fopen(path, "re");
	if (!table)
		fail_msg("%s: %s", path, strerror(errno));
	assert_non_null(fgets(line, sizeof(line), table)); /* names of the columns */
	while (fgets(line, sizeof(line), table)) {
		const struct map_rule *rule = &set.rules[at++];
		char have[512], ipv6_prefix[PREFIX6_TEXT_MAX], ipv4_prefix[PREFIX4_TEXT_MAX];
		char br[INET6_ADDRSTRLEN];

		assert_true(at <= set.count);
		inet_ntop(AF_INET6, &rule->br, br, sizeof(br));
		snprintf(have, sizeof(have), "%s,%s,%s,%u,%u,%u,%s\n", rule->provider,
			 prefix6_format(&rule->ipv6_prefix, ipv6_prefix),
			 prefix4_format(&rule->ipv4_prefix, ipv4_prefix), rule->ea_length,
			 rule->psid_offset, map_rule_psid_length(rule), br);
		assert_string_equal(have, line);
		assert_int_equal(rule->iid_format, IID_MAP_DRAFT_03);
		assert_false(rule->psid_given);
	}
	fclose(table);
	assert_int_equal(at, set.count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_hold_the_table),
	};

	return cmocka_run_group_tests_name("shipped", tests, NULL, NULL);
}
