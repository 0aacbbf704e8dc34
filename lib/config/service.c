/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/section.h"
#include "lib/config/value.h"

static void read_service(struct reading *reading, const config_setting_t *at, enum span_kind tcp,
			 struct service *services, size_t *count)
{
	struct service service;
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (service_parse(text, &service, &fault) < 0) {
		setting_complain(reading, at, "%s", fault.text);
		return;
	}
	span_add_ports(reading, tcp, service.protocols, service.ports.first, service.ports.last,
		       at);
	service.origin = setting_origin(reading, at);
	services[(*count)++] = service;
}

void services_read(struct reading *reading, const config_setting_t *at, enum span_kind tcp,
		   struct service **ret, size_t *ret_count)
{
	int count = setting_list(reading, at, "[ \"tcp/22\", \"udp/51820\" ]");

	if (count <= 0)
		return;
	*ret = reading_alloc(reading, (size_t)count, sizeof(**ret));
	for (int i = 0; *ret && i < count; i++)
		read_service(reading, setting_element(at, i), tcp, *ret, ret_count);
}
