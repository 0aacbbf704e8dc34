/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/s46.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* IANA, DHCPv6 option codes (RFC 7598 section 4 and 5) */
enum {
	OPTION_S46_RULE = 89,
	OPTION_S46_BR = 90,
	OPTION_S46_DMR = 91,
	OPTION_S46_V4V6BIND = 92,
	OPTION_S46_PORTPARAMS = 93,
	OPTION_S46_CONT_MAPE = 94,
};

#define RULE_FIXED_SIZE   8 /* flags, ea-len, prefix4-len, ipv4-prefix, prefix6-len */
#define RULE_FLAG_FMR     0x01
#define PORT_PARAMS_SIZE  4
#define OPTION_HEAD_SIZE  4
#define PSID_FIELD_LENGTH 16

/* ---- rules ------------------------------------------------------------------------------- */

void s46_done(struct s46 *s46)
{
	free(s46->rules);
	*s46 = (struct s46){0};
}

int s46_add(struct s46 *s46, const struct s46_rule *rule)
{
	if (s46->count >= S46_RULES_MAX)
		return -E2BIG;
	if (!s46->rules) {
		s46->rules = calloc(S46_RULES_MAX, sizeof(*s46->rules));
		if (!s46->rules)
			return -ENOMEM;
	}
	s46->rules[s46->count++] = *rule;
	return 0;
}

static int check_bounds(const struct s46_fields *fields, struct fault *reterr)
{
	if (fields->ea_length > 48)
		return fault_set(reterr, -EINVAL, "EA-bit length %u is more than 48",
				 fields->ea_length);
	if (fields->ipv4_length > 32)
		return fault_set(reterr, -EINVAL, "IPv4 prefix length %u is more than 32",
				 fields->ipv4_length);
	if (fields->ipv6_length > 128)
		return fault_set(reterr, -EINVAL, "IPv6 prefix length %u is more than 128",
				 fields->ipv6_length);
	if (!fields->port_params)
		return 0;
	if (fields->psid_offset > 15)
		return fault_set(reterr, -EINVAL, "PSID offset %u is more than 15",
				 fields->psid_offset);
	if (fields->psid_length > PSID_FIELD_LENGTH)
		return fault_set(reterr, -EINVAL, "PSID length %u is more than 16",
				 fields->psid_length);
	if (fields->psid > UINT16_MAX)
		return fault_set(reterr, -EINVAL, "PSID %u is more than 65535", fields->psid);
	return 0;
}

int s46_rule_make(const struct s46_fields *fields, enum iid_format iid_format, struct s46_rule *ret,
		  struct fault *reterr)
{
	struct s46_rule out = {
		.forwarding = fields->forwarding,
		.rule =
			{
				.provider = S46_PROVIDER,
				.psid_offset = S46_OFFSET_DEFAULT,
				.br = fields->br,
				.iid_format = iid_format,
			},
	};
	int r;

	r = check_bounds(fields, reterr);
	if (r < 0)
		return r;
	out.rule.ea_length = (uint8_t)fields->ea_length;
	out.rule.ipv4_prefix = prefix4_make(fields->ipv4, fields->ipv4_length);
	out.rule.ipv6_prefix = prefix6_make(&fields->ipv6, fields->ipv6_length);
	if (fields->port_params) {
		out.rule.psid_offset = (uint8_t)fields->psid_offset;
		out.rule.psid_given =
			fields->psid_length > 0 && fields->ipv4_length + fields->ea_length >= 32;
	}
	if (out.rule.psid_given) {
		out.rule.psid_length = (uint8_t)fields->psid_length;
		out.rule.psid =
			(uint16_t)(fields->psid >> (PSID_FIELD_LENGTH - fields->psid_length));
	}
	*ret = out;
	return 0;
}

/* ---- the wire ---------------------------------------------------------------------------- */

/* Octets that are left to read. */
struct octets {
	const uint8_t *at;
	size_t left;
};

struct option {
	unsigned int code;
	struct octets data;
};

static unsigned int be16(const uint8_t *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

/* 1 and the next option, 0 at the end, -EBADMSG when what is left is no whole option. */
static int option_next(struct octets *from, struct option *ret)
{
	size_t length;

	if (from->left == 0)
		return 0;
	if (from->left < OPTION_HEAD_SIZE)
		return -EBADMSG;
	length = be16(from->at + 2);
	if (length > from->left - OPTION_HEAD_SIZE)
		return -EBADMSG;
	*ret = (struct option){be16(from->at), {from->at + OPTION_HEAD_SIZE, length}};
	from->at += OPTION_HEAD_SIZE + length;
	from->left -= OPTION_HEAD_SIZE + length;
	return 1;
}

static int read_port_params(const struct octets *data, struct s46_fields *fields,
			    struct fault *reterr)
{
	if (fields->port_params)
		return fault_set(reterr, -EBADMSG, "port parameters (option 93) twice in one rule");
	if (data->left != PORT_PARAMS_SIZE)
		return fault_set(reterr, -EBADMSG,
				 "port parameters (option 93) of %zu octets instead of %d",
				 data->left, PORT_PARAMS_SIZE);
	fields->port_params = true;
	fields->psid_offset = data->at[0];
	fields->psid_length = data->at[1];
	fields->psid = be16(data->at + 2);
	return 0;
}

/* Options inside a rule: only 93 has a meaning there. */
static int read_rule_options(struct octets data, struct s46_fields *fields, struct fault *reterr)
{
	struct option option;
	int r;

	while ((r = option_next(&data, &option)) > 0) {
		if (option.code != OPTION_S46_PORTPARAMS)
			continue;
		r = read_port_params(&option.data, fields, reterr);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return fault_set(reterr, r, "rule (option 89) is cut off in an option inside it");
	return 0;
}

static int read_rule(struct octets data, struct s46_fields *ret, struct fault *reterr)
{
	struct s46_fields fields = {0};
	size_t prefix_size;

	if (data.left < RULE_FIXED_SIZE)
		return fault_set(reterr, -EBADMSG,
				 "rule (option 89) of %zu octets: %d are the least", data.left,
				 RULE_FIXED_SIZE);
	fields.forwarding = data.at[0] & RULE_FLAG_FMR;
	fields.ea_length = data.at[1];
	fields.ipv4_length = data.at[2];
	memcpy(&fields.ipv4, data.at + 3, sizeof(fields.ipv4));
	fields.ipv6_length = data.at[7];
	data.at += RULE_FIXED_SIZE;
	data.left -= RULE_FIXED_SIZE;

	prefix_size = (fields.ipv6_length + 7) / 8;
	if (prefix_size > sizeof(fields.ipv6))
		return fault_set(reterr, -EBADMSG, "IPv6 prefix length %u is more than 128",
				 fields.ipv6_length);
	if (prefix_size > data.left)
		return fault_set(reterr, -EBADMSG,
				 "rule (option 89) is cut off in its IPv6 prefix");
	memcpy(&fields.ipv6, data.at, prefix_size);
	data.at += prefix_size;
	data.left -= prefix_size;

	*ret = fields;
	return read_rule_options(data, ret, reterr);
}

/* ---- a container ------------------------------------------------------------------------- */

struct tally {
	size_t rules, relays;
};

static int check_option(const struct option *option, struct tally *tally, struct fault *reterr)
{
	struct s46_fields fields = {0};
	struct s46_rule rule;
	int r;

	switch (option->code) {
	case OPTION_S46_RULE:
		tally->rules++;
		r = read_rule(option->data, &fields, reterr);
		return r < 0 ? r : s46_rule_make(&fields, IID_RFC7597, &rule, reterr);
	case OPTION_S46_BR:
		tally->relays++;
		if (option->data.left != sizeof(struct in6_addr))
			return fault_set(reterr, -EBADMSG,
					 "border relay (option 90) of %zu octets instead of 16",
					 option->data.left);
		return 0;
	case OPTION_S46_DMR:
	case OPTION_S46_V4V6BIND:
	case OPTION_S46_PORTPARAMS:
		return fault_set(reterr, -EBADMSG, "option %u has no place in a MAP-E container",
				 option->code);
	default:
		return 0; /* unknown here, as other containers are: RFC 8415 section 16 */
	}
}

/* The table of RFC 7598 section 5: at least one rule and one relay, nothing of the other softwires.
 */
static int check_container(struct octets data, struct fault *reterr)
{
	struct tally tally = {0};
	struct option option;
	int r;

	while ((r = option_next(&data, &option)) > 0) {
		r = check_option(&option, &tally, reterr);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return fault_set(reterr, r, "cut off in the middle of an option");
	if (tally.rules == 0)
		return fault_set(reterr, -EBADMSG, "no rule (option 89)");
	if (tally.relays == 0)
		return fault_set(reterr, -EBADMSG, "no border relay (option 90)");
	if (tally.rules > S46_RULES_MAX || tally.relays > S46_RULES_MAX / tally.rules)
		return fault_set(reterr, -E2BIG, "%zu rules with %zu border relays: too many",
				 tally.rules, tally.relays);
	return 0;
}

static int add_with_relays(struct octets container, struct s46_fields *fields,
			   enum iid_format iid_format, unsigned int domain, struct s46 *s46,
			   struct fault *reterr)
{
	struct s46_rule rule;
	struct option option;
	int r;

	while (option_next(&container, &option) > 0) {
		if (option.code != OPTION_S46_BR)
			continue;
		memcpy(&fields->br, option.data.at, sizeof(fields->br));
		r = s46_rule_make(fields, iid_format, &rule, reterr);
		if (r < 0)
			return r;
		rule.domain = domain;
		r = s46_add(s46, &rule);
		if (r < 0)
			return fault_set(reterr, r, "more than %d rules in all", S46_RULES_MAX);
	}
	return 0;
}

/* A container goes in whole or not at all. */
static int add_container(struct octets container, enum iid_format iid_format, unsigned int domain,
			 struct s46 *s46, struct fault *reterr)
{
	size_t before = s46->count;
	struct octets rest = container;
	struct s46_fields fields = {0};
	struct option option;
	int r;

	r = check_container(container, reterr);
	while (r >= 0 && option_next(&rest, &option) > 0) {
		if (option.code != OPTION_S46_RULE)
			continue;
		r = read_rule(option.data, &fields, reterr);
		if (r >= 0)
			r = add_with_relays(container, &fields, iid_format, domain, s46, reterr);
	}
	if (r < 0)
		s46->count = before;
	return r < 0 ? r : 0;
}

/* ---- the whole input --------------------------------------------------------------------- */

static bool is_payload(struct octets input)
{
	struct option option;

	while (option_next(&input, &option) > 0)
		if (option.code >= OPTION_S46_RULE && option.code <= OPTION_S46_PORTPARAMS)
			return true;
	return false;
}

/* Adds a container, or says why not. Only -ENOMEM stops the rest. */
static int take_container(struct octets container, enum iid_format iid_format, unsigned int *domain,
			  struct s46 *s46, struct text *complaints)
{
	struct fault fault = {0};
	int r;

	r = add_container(container, iid_format, *domain, s46, &fault);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		text_add(complaints, "MAP-E container %u ignored: %s\n", *domain + 1, fault.text);
	(*domain)++;
	return 0;
}

static int take_options(struct octets input, enum iid_format iid_format, struct s46 *s46,
			struct text *complaints)
{
	unsigned int domain = 0;
	struct option option;
	int r;

	while ((r = option_next(&input, &option)) > 0) {
		if (option.code != OPTION_S46_CONT_MAPE)
			continue;
		r = take_container(option.data, iid_format, &domain, s46, complaints);
		if (r < 0)
			return r;
	}
	if (r < 0)
		text_add(complaints, "the options end in the middle of one\n");
	else if (domain == 0)
		text_add(complaints, "no MAP-E container (option 94)\n");
	return 0;
}

int s46_decode(const uint8_t *octets, size_t length, enum iid_format iid_format, struct s46 *ret,
	       struct text *complaints)
{
	_cleanup_s46_ struct s46 s46 = {0};
	struct octets input = {octets, length};
	unsigned int domain = 0;
	int r;

	if (is_payload(input))
		r = take_container(input, iid_format, &domain, &s46, complaints);
	else
		r = take_options(input, iid_format, &s46, complaints);
	if (r < 0)
		return r;
	if (s46.count == 0)
		return -ENOENT;
	*ret = s46;
	s46 = (struct s46){0};
	return 0;
}
