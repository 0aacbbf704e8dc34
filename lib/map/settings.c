/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/settings.h"

#include <stdlib.h>
#include <string.h>

const char *nat_filtering_name(enum nat_filtering filtering)
{
	switch (filtering) {
	case FILTERING_ADDRESS_DEPENDENT:
		return "address-dependent";
	case FILTERING_ENDPOINT_INDEPENDENT:
		return "endpoint-independent";
	case FILTERING_ADDRESS_AND_PORT_DEPENDENT:
		return "address-and-port-dependent";
	}
	return "?";
}

void settings_defaults(struct settings *settings)
{
	*settings = (struct settings){
		.map.tunnel = "map0",
		.map.default_route = true,
		.map.route_metric = 1024,
		.nat.filtering = FILTERING_ADDRESS_DEPENDENT,
		.pppoe.interface = "ppp0",
		.pppoe.table = 10,
		.pppoe.map_table = 11,
		.pppoe.mark = 1000,
		.pppoe.mask = UINT32_MAX,
		.pppoe.rule_priority = 1000,
		.pppoe.unmappable = true,
		.pppoe.masquerade = true,
		.pppoe.mss_clamp = true,
		.pppoe.failover = true,
		.firewalld.zone = "external",
	};
}

void settings_done(struct settings *settings)
{
	for (unsigned int i = 0; i < settings->file_count; i++)
		free(settings->files[i]);
	free(settings->files);
	ruleset_done(&settings->map.own_rules);
	free(settings->lan.interfaces);
	free(settings->nat.hosts);
	free(settings->nat.open);
	free(settings->forwards);
	free(settings->pppoe.hosts);
	free(settings->pppoe.destinations);
	free(settings->pppoe.ports);
	free(settings->pppoe.forwards);
	memset(settings, 0, sizeof(*settings));
}

void settings_print_origin(const struct settings *settings, struct origin origin, struct text *out)
{
	if (origin.file < settings->file_count)
		text_add(out, "%s:%u", settings->files[origin.file], origin.line);
	else
		text_add(out, "line %u", origin.line);
}

void settings_print_other_origin(const struct settings *settings, struct origin origin,
				 struct origin other, struct text *out)
{
	if (origin.file == other.file)
		text_add(out, "line %u", other.line);
	else
		settings_print_origin(settings, other, out);
}

/* ---- comparing --------------------------------------------------------------------------- */

static bool forward_equal(const struct forward *a, const struct forward *b)
{
	return a->protocols == b->protocols && a->kind == b->kind &&
	       a->ports.first == b->ports.first && a->ports.last == b->ports.last &&
	       a->block == b->block && a->offset == b->offset && a->to.s_addr == b->to.s_addr &&
	       a->to_port == b->to_port;
}

static bool wan_equal(const struct wan_settings *a, const struct wan_settings *b)
{
	return strcmp(a->interface, b->interface) == 0 && a->prefix_mode == b->prefix_mode &&
	       (a->prefix_mode != PREFIX_STATIC || prefix6_equal(&a->prefix, &b->prefix));
}

static bool services_equal(const struct nat_settings *a, const struct nat_settings *b)
{
	if (a->open_count != b->open_count)
		return false;
	for (size_t i = 0; i < a->open_count; i++)
		if (a->open[i].protocols != b->open[i].protocols ||
		    a->open[i].ports.first != b->open[i].ports.first ||
		    a->open[i].ports.last != b->open[i].ports.last)
			return false;
	return true;
}

bool settings_forwards_equal(const struct settings *a, const struct settings *b)
{
	const struct ruleset *rules_a = &a->map.own_rules, *rules_b = &b->map.own_rules;

	if (a->forward_count != b->forward_count || rules_a->count != rules_b->count ||
	    strcmp(a->map.provider, b->map.provider) != 0 || !wan_equal(&a->wan, &b->wan) ||
	    !services_equal(&a->nat, &b->nat))
		return false;
	for (size_t i = 0; i < a->forward_count; i++)
		if (!forward_equal(&a->forwards[i], &b->forwards[i]))
			return false;
	for (size_t i = 0; i < rules_a->count; i++)
		if (!map_rule_equal(&rules_a->rules[i], &rules_b->rules[i]))
			return false;
	return true;
}
