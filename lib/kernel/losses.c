/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/losses.h"

#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/kernel/sysctl.h"

static void note(struct losses *losses, const char *format, ...) _printf_(2, 3);

static void note(struct losses *losses, const char *format, ...)
{
	char sentence[LOSS_TEXT_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof(sentence), format, ap);
	va_end(ap);
	for (size_t i = 0; i < losses->count; i++)
		if (strcmp(losses->list[i], sentence) == 0)
			return;
	if (losses->count < LOSSES_MAX)
		memcpy(losses->list[losses->count++], sentence, sizeof(sentence));
}

void losses_expect(struct losses *losses, const struct plan *plan)
{
	losses->tunnel = plan->tunnel;
	memcpy(losses->addresses, plan->addresses, sizeof(losses->addresses));
	losses->address_count = plan->address_count;
	memcpy(losses->routes, plan->routes, sizeof(losses->routes));
	losses->route_count = plan->route_count;
	memcpy(losses->rules, plan->rules, sizeof(losses->rules));
	losses->rule_count = plan->rule_count;
	memcpy(losses->sysctls, plan->sysctls, sizeof(losses->sysctls));
	losses->sysctl_count = plan->sysctl_count;
}

void losses_expect_addresses(struct losses *losses, const struct address_ours *ours)
{
	losses->ours = *ours;
}

bool losses_take_link(struct losses *losses, const struct link_info *link, bool gone)
{
	const struct plan_tunnel *want = &losses->tunnel;

	if (!want->name[0] || strcmp(link->name, want->name) != 0)
		return false;
	if (gone)
		note(losses, "tunnel %s deleted", link->name);
	else if (!link->up)
		note(losses, "tunnel %s set down", link->name);
	else if (want->mode == TUNNEL_CREATE && link->mtu != want->mtu)
		note(losses, "MTU of tunnel %s changed to %u", link->name, link->mtu);
	else if (want->mode == TUNNEL_CREATE && strcmp(link->alias, PLAN_ALIAS) != 0)
		note(losses, "alias of tunnel %s changed", link->name);
	else if (want->mode == TUNNEL_CREATE &&
		 (memcmp(&link->tunnel.local, &want->local, sizeof(want->local)) != 0 ||
		  memcmp(&link->tunnel.remote, &want->remote, sizeof(want->remote)) != 0))
		note(losses, "ends of tunnel %s changed", link->name);
	return true;
}

bool losses_take_address(struct losses *losses, const struct address_info *address,
			 const char *name, bool gone)
{
	size_t size = address->family == AF_INET6 ? sizeof(address->ip6) : sizeof(address->ip4);
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < losses->address_count; i++) {
		const struct plan_address *want = &losses->addresses[i];

		if (want->family != address->family ||
		    memcmp(&want->ip6, &address->ip6, size) != 0 ||
		    (name[0] && strcmp(name, want->interface) != 0))
			continue;
		if (gone)
			note(losses, "address %s dev %s deleted", address_format(address, text),
			     want->interface);
		else if (address_is_altered(&losses->ours, address))
			note(losses, "address %s dev %s altered", address_format(address, text),
			     want->interface);
		return true;
	}
	return false;
}

static void note_route(struct losses *losses, const struct plan_route *want, const char *what)
{
	note(losses, "route %sdefault%s%s table %u metric %u %s",
	     want->interface[0] ? "" : "unreachable ", want->interface[0] ? " dev " : "",
	     want->interface, want->table, want->metric, what);
}

/* `ip route replace` takes ours away without a word about it: the first of the same table and
 * metric, which is ours unless another stood before it. In the main table a foreign default route
 * is news, whatever it does to ours. */
static bool take_foreign_route(struct losses *losses, const struct route_info *route, bool replaces)
{
	bool same_table = false;

	for (size_t i = 0; i < losses->route_count; i++) {
		const struct plan_route *want = &losses->routes[i];

		same_table |= want->table == route->table;
		if (replaces && want->table == route->table && want->metric == route->metric)
			note_route(losses, want, "replaced");
	}
	return same_table && route->table != PLAN_MAIN_TABLE;
}

bool losses_take_route(struct losses *losses, const struct route_info *route, const char *name,
		       enum route_event event)
{
	if (route->family != AF_INET || route->dst_len != 0)
		return false;
	if (route->protocol != PLAN_PROTOCOL)
		return take_foreign_route(losses, route, event == ROUTE_REPLACES);
	for (size_t i = 0; event == ROUTE_GONE && i < losses->route_count; i++) {
		const struct plan_route *want = &losses->routes[i];

		if (want->table != route->table || want->metric != route->metric ||
		    (want->interface[0] == '\0') != (route->type == RTN_UNREACHABLE) ||
		    (name[0] && want->interface[0] && strcmp(name, want->interface) != 0))
			continue;
		note_route(losses, want, "deleted");
	}
	return true;
}

bool losses_take_rule(struct losses *losses, const struct policy_info *info, bool gone)
{
	for (size_t i = 0; info->plain && i < losses->rule_count; i++) {
		const struct plan_rule *want = &losses->rules[i];
		char text[POLICY_TEXT_MAX];

		/* Another program's may have stood for ours (policy_ensure). */
		if (!policy_same(want, &info->rule))
			continue;
		if (gone)
			note(losses, "policy rule %s deleted", policy_describe(want, text));
		return true;
	}
	return info->protocol == PLAN_PROTOCOL;
}

static bool setting_is_altered(const struct plan_sysctl *want, const char *path, int value)
{
	switch (want->how) {
	case SYSCTL_SET:
		return strcmp(want->path, path) == 0 && value != want->value;
	case SYSCTL_LOOSEN:
		/* The larger number counts: with less of "all", an interface's own may be strict.
		 */
		return strcmp(path, "net/ipv4/conf/all/rp_filter") == 0 ||
		       (strcmp(want->path, path) == 0 && value == 1);
	}
	return false;
}

bool losses_take_setting(struct losses *losses, const char *path, int value)
{
	for (size_t i = 0; i < losses->sysctl_count; i++) {
		if (!setting_is_altered(&losses->sysctls[i], path, value))
			continue;
		note(losses, "kernel setting %s changed to %d", path, value);
		return true;
	}
	return false;
}

bool losses_check_settings(struct losses *losses)
{
	bool altered = false;
	int value;

	for (size_t i = 0; i < losses->sysctl_count; i++)
		if (losses->sysctls[i].how == SYSCTL_SET &&
		    sysctl_read(losses->sysctls[i].path, &value) == 0)
			altered |= losses_take_setting(losses, losses->sysctls[i].path, value);
	return altered;
}

void losses_move(struct losses *losses, struct text *out)
{
	for (size_t i = 0; i < losses->count; i++)
		text_add(out, "%s\n", losses->list[i]);
	losses->count = 0;
}
