/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/import.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config/load.h"
#include "lib/map/s46.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Octets of hex digits into to, which is as long as the text. -EINVAL when it is something else. */
static int parse_hex(const char *text, uint8_t *to, size_t *ret_length)
{
	size_t length = 0;

	for (const char *at = text; *at;) {
		int high, low;

		if (strchr(" :\t\n", *at)) {
			at++;
			continue;
		}
		high = hex_digit(at[0]);
		low = high < 0 ? -1 : hex_digit(at[1]);
		if (low < 0)
			return -EINVAL;
		to[length++] = (uint8_t)(high << 4 | low);
		at += 2;
	}
	*ret_length = length;
	return 0;
}

static int decode_hex(const char *input, enum iid_format iid_format, struct s46 *ret,
		      struct text *complaints)
{
	_cleanup_free_ uint8_t *octets = malloc(strlen(input) + 1);
	size_t length = 0;
	int r;

	if (!octets)
		return -ENOMEM;
	r = parse_hex(input, octets, &length);
	if (r < 0) {
		text_add(complaints, "not the hexadecimal digits of a DHCPv6 option\n");
		return r;
	}
	return s46_decode(octets, length, iid_format, ret, complaints);
}

static int decode(const char *input, enum iid_format iid_format, struct s46 *ret,
		  struct text *complaints)
{
	/* odhcp6c hands on words, never digits alone. */
	if (strchr(input, '='))
		return s46_parse_odhcp6c(input, iid_format, ret, complaints);
	return decode_hex(input, iid_format, ret, complaints);
}

static void print_rule(const struct map_rule *rule, struct text *out)
{
	char rule6[PREFIX6_TEXT_MAX], rule4[PREFIX4_TEXT_MAX], br[INET6_ADDRSTRLEN];

	text_add(out, "{ ipv6_prefix = \"%s\"; ipv4_prefix = \"%s\"; ea_length = %u; ",
		 prefix6_format(&rule->ipv6_prefix, rule6),
		 prefix4_format(&rule->ipv4_prefix, rule4), rule->ea_length);
	text_add(out, "psid_offset = %u; ", rule->psid_offset);
	if (rule->psid_given)
		text_add(out, "psid = %u; psid_length = %u; ", rule->psid, rule->psid_length);
	text_add(out, "br = \"%s\"; interface_id = \"%s\"; }",
		 inet_ntop(AF_INET6, &rule->br, br, sizeof(br)), iid_format_name(rule->iid_format));
}

enum use {
	USE_NOT,   /* this program cannot */
	USE_RULE,  /* goes into the file */
	USE_SPARE, /* the same prefix again, with another relay or in another domain */
};

/* A rule file holds each prefix once: the first offer counts. */
static bool was_offered(const struct s46 *s46, const enum use *uses, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (uses[i] == USE_RULE && prefix6_equal(&s46->rules[i].rule.ipv6_prefix,
							 &s46->rules[index].rule.ipv6_prefix))
			return true;
	return false;
}

/* The reader of rule files judges, and nobody else: a file with one rule that it refuses would be
 * refused whole, and a server could so keep maped from starting. */
static int read_back(const struct map_rule *rule, struct fault *reterr)
{
	_cleanup_complaints_ struct complaints complaints = COMPLAINTS_INIT;
	_cleanup_source_ struct source source = SOURCE_INIT;
	_cleanup_ruleset_ struct ruleset rules = {0};
	_cleanup_text_ struct text file = TEXT_INIT;
	int r;

	text_add(&file, "rules = ( ");
	print_rule(rule, &file);
	text_add(&file, " );\n");
	if (text_failed(&file))
		return -ENOMEM;
	r = source_read_memory(&source, "DHCPv6", text_get(&file), file.length, &complaints);
	if (r == 0)
		r = rules_read_source(&source, rule->provider, &complaints, &rules);
	if (r == -EINVAL && complaints.count > 0)
		return fault_set(reterr, r, "%s", complaints.list[0].text);
	return r;
}

/* A complaint without the place in the file that nobody sees. */
static const char *sentence(const struct fault *fault)
{
	static const char place[] = "rules[0]";
	size_t length = sizeof(place) - 1;

	if (strncmp(fault->text, place, length) != 0)
		return fault->text;
	return fault->text + length + strspn(fault->text + length, ".: ");
}

/* 0, or -ENOMEM. */
static int judge(const struct s46 *s46, enum use *uses, size_t index, struct text *complaints)
{
	const struct map_rule *rule = &s46->rules[index].rule;
	struct fault fault = {.text = "cannot be used"};
	char prefix[PREFIX6_TEXT_MAX];
	int r;

	r = read_back(rule, &fault);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		text_add(complaints, "rule %s left out: %s\n",
			 prefix6_format(&rule->ipv6_prefix, prefix), sentence(&fault));
	else
		uses[index] = was_offered(s46, uses, index) ? USE_SPARE : USE_RULE;
	return 0;
}

static void print_rules(const struct s46 *s46, const enum use *uses, struct text *out)
{
	const char *separator = "rules = (\n    ";

	for (size_t i = 0; i < s46->count; i++) {
		if (uses[i] != USE_RULE)
			continue;
		text_add(out, "%s", separator);
		print_rule(&s46->rules[i].rule, out);
		separator = ",\n    ";
	}
	text_add(out, "\n);\n");
}

static void print_spares(const struct s46 *s46, const enum use *uses, struct text *out)
{
	const char *heading = "# Offered as well for the same prefix, and not used:\n";

	for (size_t i = 0; i < s46->count; i++) {
		if (uses[i] != USE_SPARE)
			continue;
		text_add(out, "%s# ", heading);
		print_rule(&s46->rules[i].rule, out);
		text_add(out, "\n");
		heading = "";
	}
}

/* -ENOENT when no rule can be used, -ENOMEM. */
static int print_file(const struct s46 *s46, struct text *out, struct text *complaints)
{
	enum use uses[S46_RULES_MAX] = {USE_NOT};
	bool any = false;
	int r;

	for (size_t i = 0; i < s46->count; i++) {
		r = judge(s46, uses, i, complaints);
		if (r < 0)
			return r;
		any |= uses[i] == USE_RULE;
	}
	if (!any)
		return -ENOENT;
	text_add(out, "# Mapping rules that came by DHCPv6 (RFC 7598)\n");
	print_rules(s46, uses, out);
	print_spares(s46, uses, out);
	return text_failed(out) ? -ENOMEM : 0;
}

static int import(const char *input, enum iid_format iid_format, struct text *out,
		  struct text *complaints)
{
	_cleanup_s46_ struct s46 s46 = {0};
	int r;

	r = decode(input, iid_format, &s46, complaints);
	if (r < 0)
		return r;
	return print_file(&s46, out, complaints);
}

/* Each line with the program's name before it. */
static void complain(const struct text *complaints)
{
	for (const char *line = text_get(complaints); *line;) {
		size_t length = strcspn(line, "\n");

		fprintf(stderr, "maped: %.*s\n", (int)length, line);
		line += length + (line[length] == '\n');
	}
}

int command_import_s46(const char *input, enum iid_format iid_format, FILE *out)
{
	_cleanup_text_ struct text file = TEXT_INIT, complaints = TEXT_INIT;
	int r;

	r = import(input, iid_format, &file, &complaints);
	complain(&complaints);
	if (r < 0) {
		if (r == -ENOMEM)
			fprintf(stderr, "maped: %s\n", strerror(ENOMEM));
		return EXIT_FAILURE;
	}
	if (fputs(text_get(&file), out) == EOF || fflush(out) == EOF) {
		fprintf(stderr, "maped: write error: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
