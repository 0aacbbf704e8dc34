/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of maped.conf. What is accepted has to keep the promises of lib/map/settings.h, and what
 * the screen lets through, libconfig must be able to read. */
#include <assert.h>
#include <errno.h>
#include <libconfig.h>
#include <stdint.h>
#include <string.h>

#include "lib/config/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name, bool may_be_empty)
{
	size_t length = strnlen(name, IFNAMSIZ);

	assert(length < IFNAMSIZ && (length > 0 || may_be_empty) && !strpbrk(name, "/ \n"));
}

static void check_services(const struct service *services, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		assert(services[i].protocols >= 1 && services[i].protocols <= 3);
		assert(services[i].ports.first >= 1);
		assert(services[i].ports.first <= services[i].ports.last);
	}
}

static void check_forwards(const struct forward *forwards, size_t count, bool fixed_only)
{
	for (size_t i = 0; i < count; i++) {
		const struct forward *forward = &forwards[i];
		unsigned int more = (unsigned int)(forward->ports.last - forward->ports.first);

		assert(forward->protocols >= 1 && forward->protocols <= 3);
		assert(forward->to.s_addr != 0 && forward->origin.line > 0);
		assert(strnlen(forward->comment, FORWARD_COMMENT_MAX) < FORWARD_COMMENT_MAX);
		assert(forward->kind == FORWARD_FIXED || !fixed_only);
		if (forward->kind != FORWARD_FIXED)
			continue;
		assert(forward->ports.first >= 1 && forward->ports.first <= forward->ports.last);
		assert(forward->to_port == 0 || forward->to_port + more <= UINT16_MAX);
	}
}

static void check_settings(const struct settings *settings)
{
	const struct map_settings *map = &settings->map;
	const struct pppoe_settings *pppoe = &settings->pppoe;

	check_name(settings->wan.interface, true);
	check_name(map->tunnel, false);
	check_name(pppoe->interface, false);
	for (size_t i = 0; i < settings->lan.interface_count; i++)
		check_name(settings->lan.interfaces[i], false);
	for (size_t i = 0; i < map->own_rules.count; i++)
		assert(map_rule_check(&map->own_rules.rules[i], NULL) == 0);
	assert(map->mtu == 0 || (map->mtu >= 1280 && map->mtu <= 65495));
	assert(settings->wan.prefix_mode != PREFIX_STATIC ||
	       (settings->wan.prefix.len >= 48 && settings->wan.prefix.len <= 64));
	check_services(settings->nat.open, settings->nat.open_count);
	check_services(pppoe->ports, pppoe->port_count);
	check_forwards(settings->forwards, settings->forward_count, false);
	check_forwards(pppoe->forwards, pppoe->forward_count, true);
	assert(pppoe->mark != 0 && (pppoe->mark & ~pppoe->mask) == 0);
	assert(pppoe->table != 0 && (pppoe->table < 253 || pppoe->table > 255));
	assert(pppoe->table != pppoe->map_table);
}

static void check_libconfig_reads(const struct source *source)
{
	config_t config;

	config_init(&config);
	assert(config_read_string(&config, text_get(&source->text)));
	config_destroy(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_source_ struct source source = SOURCE_INIT;
	_cleanup_complaints_ struct complaints complaints = COMPLAINTS_INIT;
	_cleanup_settings_ struct settings settings = {0};
	_cleanup_text_ struct text printed = TEXT_INIT;
	int r;

	r = source_read_memory(&source, "maped.conf", (const char *)data, size, &complaints);
	if (r == 0) {
		check_libconfig_reads(&source);
		r = settings_read_source(&source, &complaints, &settings);
	}
	assert(r == 0 || r == -EINVAL);
	assert((r == 0) == complaints_empty(&complaints));
	if (r == 0)
		check_settings(&settings);
	assert(source_print_complaints(&source, &complaints, &printed) == 0);
	return 0;
}
