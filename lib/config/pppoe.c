/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lib/config/section.h"
#include "lib/config/value.h"

/* A rule of ours stands one before rule_priority; 0 would mean "choose one" (net/core/fib_rules.c)
 * and 32766 is the rule of the main table. */
#define PRIORITY_MIN 2
#define PRIORITY_MAX 32765

static bool table_is_free(int64_t table)
{
	return table != 253 && table != 254 && table != 255; /* default, main, local */
}

static void read_table(struct reading *reading, const config_setting_t *at, const struct key *key,
		       void *field)
{
	int64_t table;

	if (setting_number(reading, at, 1, UINT32_MAX, &table) < 0)
		return;
	if (!table_is_free(table))
		setting_complain(reading, at,
				 "%d is a table of the system itself (253 default, 254 main, "
				 "255 local)",
				 (int)table);
	else
		*(uint32_t *)field = (uint32_t)table;
}

static uint64_t station_number(const struct ether_addr *mac)
{
	uint64_t number = 0;

	for (size_t i = 0; i < sizeof(mac->ether_addr_octet); i++)
		number = number << 8 | mac->ether_addr_octet[i];
	return number;
}

static void read_host(struct reading *reading, const config_setting_t *at,
		      struct pppoe_settings *pppoe)
{
	struct pppoe_host host = {0};
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	host.is_mac = strchr(text, ':') != NULL;
	if ((host.is_mac ? ether_parse(text, &host.mac, &fault)
			 : prefix4_value(text, &host.address, &fault)) < 0) {
		setting_complain(reading, at, "%s", fault.text);
		return;
	}
	if (host.is_mac)
		span_add(reading, SPAN_PPPOE_STATION, station_number(&host.mac),
			 station_number(&host.mac), at);
	else
		span_add_prefix(reading, SPAN_PPPOE_HOST, &host.address, at);
	pppoe->hosts[pppoe->host_count++] = host;
}

static void read_hosts(struct reading *reading, const config_setting_t *at, const struct key *key,
		       void *field)
{
	struct pppoe_settings *pppoe = field;
	int count = setting_list(reading, at, "[ \"192.168.1.55\", \"192.168.2.0/24\" ]");

	if (count <= 0)
		return;
	pppoe->hosts = reading_alloc(reading, (size_t)count, sizeof(*pppoe->hosts));
	for (int i = 0; pppoe->hosts && i < count; i++)
		read_host(reading, setting_element(at, i), pppoe);
}

static void read_destination(struct reading *reading, const config_setting_t *at,
			     struct pppoe_settings *pppoe)
{
	struct prefix4 prefix;
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (prefix4_value(text, &prefix, &fault) < 0) {
		setting_complain(reading, at, "%s", fault.text);
		return;
	}
	span_add_prefix(reading, SPAN_PPPOE_DESTINATION, &prefix, at);
	pppoe->destinations[pppoe->destination_count++] = prefix;
}

static void read_destinations(struct reading *reading, const config_setting_t *at,
			      const struct key *key, void *field)
{
	struct pppoe_settings *pppoe = field;
	int count = setting_list(reading, at, "[ \"203.0.113.0/24\" ]");

	if (count <= 0)
		return;
	pppoe->destinations = reading_alloc(reading, (size_t)count, sizeof(*pppoe->destinations));
	for (int i = 0; pppoe->destinations && i < count; i++)
		read_destination(reading, setting_element(at, i), pppoe);
}

static void read_ports(struct reading *reading, const config_setting_t *at, const struct key *key,
		       void *field)
{
	struct pppoe_settings *pppoe = field;

	services_read(reading, at, SPAN_PPPOE_SERVICE_TCP, &pppoe->ports, &pppoe->port_count);
}

static void read_forward(struct reading *reading, const config_setting_t *at, const struct key *key,
			 void *field)
{
	struct pppoe_settings *pppoe = field;

	forwards_read_fixed(reading, at, &pppoe->forwards, &pppoe->forward_count);
}

#define FIELD(name) offsetof(struct pppoe_settings, name)

static const struct key keys[] = {
	{"interface", key_read_interface, FIELD(interface)},
	{"table", read_table, FIELD(table)},
	{"map_table", read_table, FIELD(map_table)},
	{"mark", key_read_uint32, FIELD(mark), 1, UINT32_MAX},
	{"mask", key_read_uint32, FIELD(mask), 1, UINT32_MAX},
	{"rule_priority", key_read_uint32, FIELD(rule_priority), PRIORITY_MIN, PRIORITY_MAX},
	{"hosts", read_hosts},
	{"destinations", read_destinations},
	{"ports", read_ports},
	{"unmappable", key_read_bool, FIELD(unmappable)},
	{"forward", read_forward},
	{"masquerade", key_read_bool, FIELD(masquerade)},
	{"mss_clamp", key_read_bool, FIELD(mss_clamp)},
	{"failover", key_read_bool, FIELD(failover)},
	{"fallback", key_read_bool, FIELD(fallback)},
};

/* The member at fault, or the section when it is left to its default. */
static const config_setting_t *member_or(const config_setting_t *section, const char *name)
{
	const config_setting_t *at = setting_member(section, name);

	return at ? at : section;
}

/* What the file gives was refused already, and the default stands in the field. */
static bool member_refused(const config_setting_t *section, const char *name, uint32_t value)
{
	const config_setting_t *at = setting_member(section, name);

	return at && config_setting_get_int64(at) != value;
}

static void check_marks(struct reading *reading, const config_setting_t *at,
			const struct pppoe_settings *pppoe)
{
	const config_setting_t *mark = setting_member(at, "mark"), *mask = member_or(at, "mask");

	if (member_refused(at, "mark", pppoe->mark) || member_refused(at, "mask", pppoe->mask))
		return;
	if (pppoe->mark & ~pppoe->mask)
		setting_complain(reading, mark ? mark : mask,
				 "%smark 0x%x has bits outside the %smask 0x%x",
				 mark ? "" : "the default ", pppoe->mark,
				 mask == at ? "default " : "", pppoe->mask);
	else if ((pppoe->mask & (pppoe->mask - 1)) == 0)
		setting_complain(reading, mask,
				 "mask 0x%x needs two bits at least: each line has a mark",
				 pppoe->mask);
}

void pppoe_read(struct reading *reading, const config_setting_t *at, const struct key *key,
		void *field)
{
	struct pppoe_settings *pppoe = field;

	pppoe->enabled = true;
	group_read(reading, at, keys, ARRAY_SIZE(keys), pppoe);
	if (!config_setting_is_group(at))
		return;
	check_marks(reading, at, pppoe);
	if (pppoe->table == pppoe->map_table)
		setting_complain(reading,
				 setting_member(at, "map_table") ? setting_member(at, "map_table")
								 : member_or(at, "table"),
				 "table and map_table are both %u", pppoe->table);
}
