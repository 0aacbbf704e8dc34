/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/section.h"
#include "lib/config/value.h"

#define HOST_LIMIT_MAX 65535

static void read_filtering(struct reading *reading, const config_setting_t *at,
			   const struct key *key, void *field)
{
	static const enum nat_filtering all[] = {
		FILTERING_ADDRESS_DEPENDENT,
		FILTERING_ENDPOINT_INDEPENDENT,
		FILTERING_ADDRESS_AND_PORT_DEPENDENT,
	};
	const char *names[ARRAY_SIZE(all)];
	int index;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		names[i] = nat_filtering_name(all[i]);
	index = setting_choice(reading, at, names, ARRAY_SIZE(all));
	if (index >= 0)
		*(enum nat_filtering *)field = all[index];
}

static void read_inbound(struct reading *reading, const config_setting_t *at, const struct key *key,
			 void *field)
{
	static const char *const names[] = {"drop", "accept"};
	int index = setting_choice(reading, at, names, ARRAY_SIZE(names));

	if (index >= 0)
		*(bool *)field = index == 1;
}

static void read_open(struct reading *reading, const config_setting_t *at, const struct key *key,
		      void *field)
{
	struct nat_settings *nat = field;

	services_read(reading, at, SPAN_MAP_TCP, &nat->open, &nat->open_count);
}

struct host_draft {
	struct nat_host host;
	bool address_given;
};

static void read_address(struct reading *reading, const config_setting_t *at, const struct key *key,
			 void *field)
{
	struct host_draft *draft = field;
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (prefix4_value(text, &draft->host.address, &fault) < 0)
		setting_complain(reading, at, "%s", fault.text);
	else
		draft->address_given = true;
}

static const struct key host_keys[] = {
	{"address", read_address},
	{"filtering", read_filtering, offsetof(struct host_draft, host.filtering)},
};

static void read_host(struct reading *reading, const config_setting_t *at, struct nat_settings *nat)
{
	struct host_draft draft = {0};

	group_read(reading, at, host_keys, ARRAY_SIZE(host_keys), &draft);
	if (!config_setting_is_group(at))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(host_keys); i++)
		if (!setting_member(at, host_keys[i].name))
			setting_complain(reading, at, "%s is missing", host_keys[i].name);
	if (!draft.address_given)
		return;
	span_add_prefix(reading, SPAN_NAT_HOST, &draft.host.address, at);
	nat->hosts[nat->host_count++] = draft.host;
}

static void read_hosts(struct reading *reading, const config_setting_t *at, const struct key *key,
		       void *field)
{
	struct nat_settings *nat = field;
	int count = setting_list(reading, at,
				 "( { address = \"192.168.1.55\"; "
				 "filtering = \"endpoint-independent\"; } )");

	if (count <= 0)
		return;
	nat->hosts = reading_alloc(reading, (size_t)count, sizeof(*nat->hosts));
	for (int i = 0; nat->hosts && i < count; i++)
		read_host(reading, setting_element(at, i), nat);
}

static const struct key keys[] = {
	{"filtering", read_filtering, offsetof(struct nat_settings, filtering)},
	{"hosts", read_hosts},
	{"inbound", read_inbound, offsetof(struct nat_settings, inbound_accept)},
	{"open", read_open},
	{"host_limit", key_read_uint32, offsetof(struct nat_settings, host_limit), 0,
	 HOST_LIMIT_MAX},
	{"offload", key_read_bool, offsetof(struct nat_settings, offload)},
};

void nat_read(struct reading *reading, const config_setting_t *at, const struct key *key,
	      void *field)
{
	group_read(reading, at, keys, ARRAY_SIZE(keys), field);
}
