/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lib/config/section.h"
#include "lib/config/value.h"

#define BLOCK_MAX  32766 /* 2^15 - 1 blocks, counted from 0 (RFC 7597 section 5.1, a = 15) */
#define OFFSET_MAX 65535

struct draft {
	struct forward forward;
	bool protocol_good, port_good, target_good;
};

static void read_protocol(struct reading *reading, const config_setting_t *at,
			  const struct key *key, void *field)
{
	struct draft *draft = field;
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (protocols_parse(text, &draft->forward.protocols, &fault) < 0)
		setting_complain(reading, at, "%s", fault.text);
	else
		draft->protocol_good = true;
}

static void read_port_text(struct reading *reading, const config_setting_t *at, struct draft *draft)
{
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (strcmp(text, "auto") == 0) {
		draft->forward.kind = FORWARD_AUTO;
	} else if (ports_parse(text, &draft->forward.ports, &fault) < 0) {
		setting_complain(reading, at, "%s", fault.text);
		return;
	}
	draft->port_good = true;
}

static void read_port(struct reading *reading, const config_setting_t *at, const struct key *key,
		      void *field)
{
	struct draft *draft = field;
	int64_t port;

	if (config_setting_type(at) == CONFIG_TYPE_STRING) {
		read_port_text(reading, at, draft);
		return;
	}
	if (!setting_is_number(at)) {
		setting_complain(reading, at,
				 "must be a port, a range such as \"5000-5007\", or \"auto\"");
		return;
	}
	if (setting_number(reading, at, 1, UINT16_MAX, &port) < 0)
		return;
	draft->forward.ports = (struct port_range){(uint16_t)port, (uint16_t)port};
	draft->port_good = true;
}

static void read_block(struct reading *reading, const config_setting_t *at, const struct key *key,
		       void *field)
{
	struct draft *draft = field;
	int64_t block;

	if (setting_number(reading, at, 0, BLOCK_MAX, &block) < 0)
		return;
	draft->forward.kind = FORWARD_BLOCK;
	draft->forward.block = (unsigned int)block;
	draft->port_good = true;
}

static void read_target(struct reading *reading, const config_setting_t *at, const struct key *key,
			void *field)
{
	struct draft *draft = field;
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (target_parse(text, &draft->forward.to, &draft->forward.to_port, &fault) < 0)
		setting_complain(reading, at, "%s", fault.text);
	else
		draft->target_good = true;
}

static void read_comment(struct reading *reading, const config_setting_t *at, const struct key *key,
			 void *field)
{
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (strlen(text) >= FORWARD_COMMENT_MAX)
		setting_complain(reading, at, "is longer than %d characters",
				 FORWARD_COMMENT_MAX - 1);
	else
		memcpy(field, text, strlen(text) + 1);
}

static const struct key keys[] = {
	{"protocol", read_protocol},
	{"port", read_port},
	{"block", read_block},
	{"offset", key_read_uint32, offsetof(struct draft, forward.offset), 0, OFFSET_MAX},
	{"to", read_target},
	{"comment", read_comment, offsetof(struct draft, forward.comment)},
};

_Static_assert(sizeof(((struct forward *)0)->offset) == sizeof(uint32_t), "for key_read_uint32");

/* Which keys go together. */
static bool keys_fit(struct reading *reading, const config_setting_t *at, bool fixed_only)
{
	const config_setting_t *port = setting_member(at, "port");
	const config_setting_t *block = setting_member(at, "block");
	const config_setting_t *offset = setting_member(at, "offset");

	if (!setting_member(at, "protocol"))
		setting_complain(reading, at, "protocol is missing");
	if (!setting_member(at, "to"))
		setting_complain(reading, at, "to is missing");
	if (fixed_only && (block || offset)) {
		setting_complain(reading, block ? block : offset,
				 "counts in the port set of MAP-E, which PPPoE has not");
		return false;
	}
	if (port && block) {
		setting_complain(reading, block, "port and block exclude each other");
		return false;
	}
	if (!port && !block)
		setting_complain(reading, at,
				 fixed_only ? "port is missing" : "port (or block) is missing");
	if (offset && !block) {
		setting_complain(reading, offset, "has a meaning only with block");
		return false;
	}
	return true;
}

static bool forward_good(struct reading *reading, const config_setting_t *at,
			 const struct draft *draft, bool fixed_only)
{
	const struct forward *forward = &draft->forward;
	unsigned int span = (unsigned int)(forward->ports.last - forward->ports.first);

	if (!keys_fit(reading, at, fixed_only) || !draft->protocol_good || !draft->port_good ||
	    !draft->target_good)
		return false;
	if (forward->kind != FORWARD_FIXED) {
		if (!fixed_only)
			return true;
		setting_complain(reading, setting_member(at, "port"),
				 "\"auto\" follows the port set of MAP-E, which PPPoE has not");
		return false;
	}
	if (forward->to_port != 0 && forward->to_port + span > UINT16_MAX) {
		setting_complain(reading, setting_member(at, "to"),
				 "%u ports from %u on end beyond 65535", span + 1,
				 forward->to_port);
		return false;
	}
	return true;
}

static void note_ports(struct reading *reading, const config_setting_t *at,
		       const struct forward *forward, enum span_kind tcp)
{
	uint64_t place = (uint64_t)forward->block << 16 | forward->offset;

	switch (forward->kind) {
	case FORWARD_FIXED:
		span_add_ports(reading, tcp, forward->protocols, forward->ports.first,
			       forward->ports.last, at);
		break;
	case FORWARD_BLOCK:
		span_add_ports(reading, SPAN_BLOCK_TCP, forward->protocols, place, place, at);
		break;
	case FORWARD_AUTO:
		break;
	}
}

static void read_list(struct reading *reading, const config_setting_t *list, bool fixed_only,
		      struct forward **ret, size_t *ret_count)
{
	int count = setting_list(reading, list,
				 "( { protocol = \"tcp\"; port = 8080; "
				 "to = \"192.168.1.10:80\"; } )");

	if (count <= 0)
		return;
	*ret = reading_alloc(reading, (size_t)count, sizeof(**ret));
	for (int i = 0; *ret && i < count; i++) {
		const config_setting_t *at = setting_element(list, i);
		struct draft draft = {.forward.origin = setting_origin(reading, at)};

		group_read(reading, at, keys, ARRAY_SIZE(keys), &draft);
		if (!config_setting_is_group(at) || !forward_good(reading, at, &draft, fixed_only))
			continue;
		note_ports(reading, at, &draft.forward, fixed_only ? SPAN_PPPOE_TCP : SPAN_MAP_TCP);
		(*ret)[(*ret_count)++] = draft.forward;
	}
}

void forward_read(struct reading *reading, const config_setting_t *at, const struct key *key,
		  void *field)
{
	struct settings *settings = field;

	read_list(reading, at, false, &settings->forwards, &settings->forward_count);
}

void forwards_read_fixed(struct reading *reading, const config_setting_t *at, struct forward **ret,
			 size_t *ret_count)
{
	read_list(reading, at, true, ret, ret_count);
}
