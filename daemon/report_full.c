/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/report_full.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/report_json.h"

#define COLUMNS 80
#define INDENT  13

const char *usage_protocol_name(enum usage_protocol protocol)
{
	switch (protocol) {
	case USAGE_TCP:
		return "tcp";
	case USAGE_UDP:
		return "udp";
	case USAGE_ICMP:
		return "icmp";
	case USAGE_PROTOCOLS:
		break;
	}
	return "?";
}

void usage_scarce(const struct usage *usage, unsigned int ports, char *buffer, size_t size)
{
	buffer[0] = '\0';
	for (int i = 0; usage->known && i < USAGE_PROTOCOLS; i++) {
		if (usage->used[i] * 100 < ports * USAGE_SCARCE_PERCENT)
			continue;
		snprintf(buffer, size,
			 "%u of %u %s ports are in use (maped --status shows by whom)",
			 usage->used[i], ports, usage_protocol_name((enum usage_protocol)i));
		return;
	}
}

static const struct map_params *params_of(const struct report_full *full)
{
	return full->report->choice.verdict == VERDICT_CHOSEN ? &full->report->choice.params : NULL;
}

static const char *ip4_text(struct in_addr address, char buffer[static INET_ADDRSTRLEN])
{
	return inet_ntop(AF_INET, &address, buffer, INET_ADDRSTRLEN);
}

static const char *ip6_text(const struct in6_addr *address, char buffer[static INET6_ADDRSTRLEN])
{
	return inet_ntop(AF_INET6, address, buffer, INET6_ADDRSTRLEN);
}

/* ---- for people -------------------------------------------------------------------------- */

/* Without a name the line goes on with what stands above it. */
static void add_line(struct text *out, const char *name, const char *value)
{
	text_add(out, "%*s%c %s\n", INDENT - 2, name, name[0] ? ':' : ' ', value);
}

static void add_duration(struct text *out, uint64_t usec)
{
	uint64_t seconds = usec / 1000000;

	if (seconds >= 86400)
		text_add(out, "%" PRIu64 " d ", seconds / 86400);
	if (seconds >= 3600)
		text_add(out, "%" PRIu64 " h ", seconds / 3600 % 24);
	if (seconds >= 60)
		text_add(out, "%" PRIu64 " min ", seconds / 60 % 60);
	text_add(out, "%" PRIu64 " s", seconds % 60);
}

/* Words of value, folded at the right edge under the name. */
static void add_folded(struct text *out, const char *name, const char *value)
{
	size_t column = INDENT;

	text_add(out, "%*s:", INDENT - 2, name);
	while (*value) {
		size_t length = strcspn(value, " ");

		if (column + length + 1 > COLUMNS && column > INDENT) {
			text_add(out, "\n%*s", INDENT - 1, "");
			column = INDENT;
		}
		text_add(out, " %.*s", (int)length, value);
		column += length + 1;
		value += length + (value[length] == ' ');
	}
	text_add(out, "\n");
}

static void add_port_ranges(struct text *out, const struct portset *set)
{
	for (unsigned int i = 0; i < portset_block_count(set); i++) {
		struct port_range range = portset_block(set, i);

		text_add(out, "%s%u-%u", i ? " " : "", range.first, range.last);
	}
}

static void plain_map(const struct report_full *full, struct text *out)
{
	const struct map_params *params = params_of(full);
	char buffer[INET6_ADDRSTRLEN], prefix6[PREFIX6_TEXT_MAX], prefix4[PREFIX4_TEXT_MAX];
	_cleanup_text_ struct text value = TEXT_INIT, ranges = TEXT_INIT;

	if (!params)
		return;
	add_line(out, "provider", params->rule.provider);
	text_add(&value, "%s -> %s, ea_length %u, psid_offset %u",
		 prefix6_format(&params->rule.ipv6_prefix, prefix6),
		 prefix4_format(&params->rule.ipv4_prefix, prefix4), params->rule.ea_length,
		 params->rule.psid_offset);
	add_folded(out, "rule", text_get(&value));
	text_clear(&value);
	text_add(&value, "%s, from %s on %s", prefix6_format(&full->report->choice.prefix, prefix6),
		 prefix_source_name(full->report->choice.source), full->report->wan);
	add_folded(out, "prefix", text_get(&value));
	add_line(out, "CE", ip6_text(&params->ce, buffer));
	add_line(out, "BR", ip6_text(&params->br, buffer));
	add_line(out, "IPv4",
		 params->ipv4.len < 32 ? prefix4_format(&params->ipv4, prefix4)
				       : ip4_text(params->ipv4.addr, buffer));
	if (portset_is_whole(&params->ports)) {
		add_line(out, "ports", "all of them: nothing is shared");
		return;
	}
	text_clear(&value);
	text_add(&value, "%u, %u ports in %u blocks", params->ports.psid,
		 portset_count(&params->ports), portset_block_count(&params->ports));
	add_line(out, "PSID", text_get(&value));
	add_port_ranges(&ranges, &params->ports);
	add_folded(out, "ports", text_get(&ranges));
}

static void plain_lines(const struct report_full *full, struct text *out)
{
	const struct report *report = full->report;
	_cleanup_text_ struct text value = TEXT_INIT;

	if (full->plan->tunnel.name[0]) {
		text_add(&value, "%s, MTU %u, TCP MSS %u", full->plan->tunnel.name,
			 full->plan->tunnel.mtu, full->plan->tunnel.mtu - 40);
		add_line(out, "tunnel", text_get(&value));
	}
	if (report->pppoe) {
		text_clear(&value);
		text_add(&value, "%s, %s", report->ppp, report->ppp_up ? "up" : "down");
		add_line(out, "PPPoE", text_get(&value));
	}
}

/* Which ports are open everybody can find out; where they lead is told to some. */
static void plain_forwards(const char *line, const struct nat_forward *forwards, size_t count,
			   bool private, struct text *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct nat_forward *f = &forwards[i];
		_cleanup_text_ struct text value = TEXT_INIT;
		char to[INET_ADDRSTRLEN];

		text_add(&value, "%s %s%s%s port %u", line, f->protocols & PROTO_TCP ? "tcp" : "",
			 f->protocols == (PROTO_TCP | PROTO_UDP) ? "+" : "",
			 f->protocols & PROTO_UDP ? "udp" : "", f->ports.first);
		if (f->ports.last != f->ports.first)
			text_add(&value, "-%u", f->ports.last);
		if (private)
			text_add(&value, " -> %s:%u%s%s", ip4_text(f->to, to), f->to_port,
				 f->comment[0] ? "  # " : "", f->comment);
		add_folded(out, "forward", text_get(&value));
	}
}

static void plain_all_forwards(const struct report_full *full, struct text *out)
{
	const struct nat_plan *nat = &full->plan->nat;

	if (full->plan->tunnel.name[0])
		plain_forwards(full->plan->tunnel.name, nat->forwards, nat->forward_count,
			       full->private, out);
	plain_forwards(full->report->ppp, nat->pppoe.forwards, nat->pppoe.forward_count,
		       full->private, out);
}

static void plain_top(const char *name, const char *unit, const struct usage_top *top, size_t count,
		      struct text *out)
{
	for (size_t i = 0; i < count; i++) {
		char address[INET_ADDRSTRLEN], value[64];

		snprintf(value, sizeof(value), "%-15s %5u %s", ip4_text(top[i].address, address),
			 top[i].ports, unit);
		add_line(out, i ? "" : name, value);
	}
}

static void plain_blocks(const struct usage *usage, struct text *out)
{
	static const char shades[] = " .:-=+*#%@";

	if (usage->block_count == 0)
		return;
	text_add(out, "%*s: [", INDENT - 2, "blocks");
	for (size_t i = 0; i < usage->block_count; i++)
		text_add(out, "%c", shades[usage->blocks[i] >= 100 ? 9 : usage->blocks[i] / 11]);
	text_add(out, "]\n");
}

static void plain_usage(const struct report_full *full, struct text *out)
{
	const struct map_params *params = params_of(full);
	const struct usage *usage = full->usage;

	if (!params || !usage->known)
		return;
	for (int i = 0; i < USAGE_PROTOCOLS; i++) {
		char value[96];

		snprintf(value, sizeof(value), "%-4s %5u of %u ports now, %u at peak, %u flows",
			 usage_protocol_name((enum usage_protocol)i), usage->used[i],
			 portset_count(&params->ports), usage->peak[i], usage->flows[i]);
		add_line(out, i ? "" : "in use", value);
	}
	plain_blocks(usage, out);
	text_add(out,
		 "%*s: %" PRIu64 " flows without a free port, %" PRIu64 " unmappable packets\n",
		 INDENT - 2, "refused", usage->refused, usage->unmappable);
	text_add(out, "%*s: %" PRIu64 " packets on their way out, %" PRIu64 " on their way in\n",
		 INDENT - 2, "stopped", usage->leaked, usage->intruded);
	if (!full->private)
		return;
	plain_top("LAN hosts", "ports", usage->hosts, usage->host_count, out);
	plain_top("to", "flows", usage->destinations, usage->destination_count, out);
}

void report_plain(const struct report_full *full, struct text *out)
{
	const struct report *report = full->report;
	_cleanup_text_ struct text value = TEXT_INIT;

	add_line(out, "state", state_name(report->state));
	add_folded(out, "reason", report->reason);
	add_duration(&value, full->now_usec - report->since_usec);
	if (report->changes)
		text_add(&value, " (last change: %u object%s in %.1f ms)", report->changes,
			 report->changes == 1 ? "" : "s", (double)report->took_usec / 1000);
	add_line(out, "for", text_get(&value));
	if (report->warning[0])
		add_folded(out, "warning", report->warning);
	if (report->firewall[0])
		add_folded(out, "warning", report->firewall);
	if (report->scarce[0])
		add_folded(out, "warning", report->scarce);
	if (report->refused[0])
		add_folded(out, "not taken", report->refused);
	plain_map(full, out);
	plain_lines(full, out);
	plain_all_forwards(full, out);
	plain_usage(full, out);
}

/* ---- for programs ------------------------------------------------------------------------ */

static void json_map(const struct report_full *full, struct json *json)
{
	const struct map_params *params = params_of(full);
	char buffer[INET6_ADDRSTRLEN], prefix6[PREFIX6_TEXT_MAX], prefix4[PREFIX4_TEXT_MAX];

	if (!params)
		return;
	json_open(json, "map", '{');
	json_string(json, "provider", params->rule.provider);
	json_string(json, "rule_ipv6_prefix", prefix6_format(&params->rule.ipv6_prefix, prefix6));
	json_string(json, "rule_ipv4_prefix", prefix4_format(&params->rule.ipv4_prefix, prefix4));
	json_number(json, "ea_length", params->rule.ea_length);
	json_number(json, "psid_offset", params->ports.psid_offset);
	json_number(json, "psid_length", params->ports.psid_length);
	json_number(json, "psid", params->ports.psid);
	json_string(json, "prefix", prefix6_format(&full->report->choice.prefix, prefix6));
	json_string(json, "prefix_source", prefix_source_name(full->report->choice.source));
	json_string(json, "ce_address", ip6_text(&params->ce, buffer));
	json_string(json, "br_address", ip6_text(&params->br, buffer));
	json_string(json, "ipv4_address", ip4_text(params->ipv4.addr, buffer));
	json_number(json, "ipv4_prefix_length", params->ipv4.len);
	json_number(json, "port_count", portset_count(&params->ports));
	json_open(json, "port_ranges", '[');
	for (unsigned int i = 0; i < portset_block_count(&params->ports); i++) {
		struct port_range range = portset_block(&params->ports, i);

		json_open(json, NULL, '[');
		json_number(json, NULL, range.first);
		json_number(json, NULL, range.last);
		json_close(json, ']');
	}
	json_close(json, ']');
	json_string(json, "tunnel", full->plan->tunnel.name);
	json_number(json, "tunnel_mtu", full->plan->tunnel.mtu);
	json_close(json, '}');
}

static void json_forwards(const char *line, const struct nat_forward *forwards, size_t count,
			  bool private, struct json *json)
{
	for (size_t i = 0; i < count; i++) {
		char to[INET_ADDRSTRLEN];

		json_open(json, NULL, '{');
		json_string(json, "line", line);
		json_bool(json, "tcp", forwards[i].protocols & PROTO_TCP);
		json_bool(json, "udp", forwards[i].protocols & PROTO_UDP);
		json_number(json, "first_port", forwards[i].ports.first);
		json_number(json, "last_port", forwards[i].ports.last);
		if (private) {
			json_string(json, "to", ip4_text(forwards[i].to, to));
			json_number(json, "to_port", forwards[i].to_port);
			json_string(json, "comment", forwards[i].comment);
		}
		json_close(json, '}');
	}
}

static void json_all_forwards(const struct report_full *full, struct json *json)
{
	const struct nat_plan *nat = &full->plan->nat;

	json_open(json, "forwards", '[');
	json_forwards(full->plan->tunnel.name, nat->forwards, nat->forward_count, full->private,
		      json);
	json_forwards(full->report->ppp, nat->pppoe.forwards, nat->pppoe.forward_count,
		      full->private, json);
	json_close(json, ']');
}

static void json_top(const char *name, const struct usage_top *top, size_t count, struct json *json)
{
	json_open(json, name, '[');
	for (size_t i = 0; i < count; i++) {
		char address[INET_ADDRSTRLEN];

		json_open(json, NULL, '{');
		json_string(json, "address", ip4_text(top[i].address, address));
		json_number(json, "count", top[i].ports);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void json_usage(const struct report_full *full, struct json *json)
{
	const struct usage *usage = full->usage;

	if (!usage->known)
		return;
	json_open(json, "usage", '{');
	for (int i = 0; i < USAGE_PROTOCOLS; i++) {
		json_open(json, usage_protocol_name((enum usage_protocol)i), '{');
		json_number(json, "ports", usage->used[i]);
		json_number(json, "peak", usage->peak[i]);
		json_number(json, "flows", usage->flows[i]);
		json_close(json, '}');
	}
	json_number(json, "refused_flows", usage->refused);
	json_number(json, "unmappable_packets", usage->unmappable);
	json_number(json, "stopped_out_packets", usage->leaked);
	json_number(json, "stopped_in_packets", usage->intruded);
	if (full->private) {
		json_top("lan_hosts", usage->hosts, usage->host_count, json);
		json_top("destinations", usage->destinations, usage->destination_count, json);
	}
	json_close(json, '}');
}

void report_json(const struct report_full *full, struct text *out)
{
	const struct report *report = full->report;
	struct json json = {.out = out};

	json_open(&json, NULL, '{');
	json_string(&json, "state", state_name(report->state));
	json_string(&json, "reason", report->reason);
	json_number(&json, "since_seconds", (full->now_usec - report->since_usec) / 1000000);
	json_number(&json, "last_change_objects", report->changes);
	json_number(&json, "last_change_usec", report->took_usec);
	json_string(&json, "warning", report->warning);
	json_string(&json, "firewall_warning", report->firewall);
	json_string(&json, "ports_warning", report->scarce);
	json_string(&json, "refused_configuration", report->refused);
	json_string(&json, "wan", report->wan);
	json_map(full, &json);
	if (report->pppoe) {
		json_open(&json, "pppoe", '{');
		json_string(&json, "interface", report->ppp);
		json_bool(&json, "up", report->ppp_up);
		json_close(&json, '}');
	}
	json_all_forwards(full, &json);
	json_usage(full, &json);
	json_close(&json, '}');
	text_add(out, "\n");
}

static void metric(struct text *out, const char *name, const char *type, const char *help)
{
	text_add(out, "# HELP maped_%s %s\n# TYPE maped_%s %s\n", name, help, name, type);
}

void report_metrics(const struct report_full *full, struct text *out)
{
	const struct map_params *params = params_of(full);
	const struct usage *usage = full->usage;

	metric(out, "up", "gauge", "1 while LAN hosts have IPv4 through MAP-E.");
	text_add(out, "maped_up %d\n", full->report->state == STATE_UP);
	if (full->report->pppoe) {
		metric(out, "pppoe_up", "gauge", "1 while the PPPoE interface is up.");
		text_add(out, "maped_pppoe_up %d\n", full->report->ppp_up);
	}
	if (!params || !usage->known)
		return;
	metric(out, "ports", "gauge", "Ports of the shared address that are ours.");
	text_add(out, "maped_ports %u\n", portset_count(&params->ports));
	metric(out, "ports_used", "gauge", "Ports in use.");
	for (int i = 0; i < USAGE_PROTOCOLS; i++)
		text_add(out, "maped_ports_used{protocol=\"%s\"} %u\n",
			 usage_protocol_name((enum usage_protocol)i), usage->used[i]);
	metric(out, "flows", "gauge", "Flows through the shared address.");
	for (int i = 0; i < USAGE_PROTOCOLS; i++)
		text_add(out, "maped_flows{protocol=\"%s\"} %u\n",
			 usage_protocol_name((enum usage_protocol)i), usage->flows[i]);
	metric(out, "refused_flows_total", "counter", "Flows for which no port was free.");
	text_add(out, "maped_refused_flows_total %" PRIu64 "\n", usage->refused);
	metric(out, "unmappable_packets_total", "counter", "Packets that MAP-E cannot carry.");
	text_add(out, "maped_unmappable_packets_total %" PRIu64 "\n", usage->unmappable);
	metric(out, "stopped_packets_total", "counter", "Packets that the guards stopped.");
	text_add(out, "maped_stopped_packets_total{direction=\"out\"} %" PRIu64 "\n",
		 usage->leaked);
	text_add(out, "maped_stopped_packets_total{direction=\"in\"} %" PRIu64 "\n",
		 usage->intruded);
}
