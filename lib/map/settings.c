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
