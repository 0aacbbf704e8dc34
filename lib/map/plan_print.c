/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plan as text: complete, since plan_equal() compares by it. */
#include <arpa/inet.h>
#include <netinet/ether.h>

#include "lib/map/plan.h"

static const char *protocols_name(unsigned int protocols)
{
	switch (protocols) {
	case PROTO_TCP:
		return "tcp";
	case PROTO_UDP:
		return "udp";
	case PROTO_TCP | PROTO_UDP:
		return "tcp+udp";
	default:
		return "none";
	}
}

static const char *ip4(struct in_addr addr, char buffer[static INET_ADDRSTRLEN])
{
	return inet_ntop(AF_INET, &addr, buffer, INET_ADDRSTRLEN);
}

static const char *ip6(const struct in6_addr *addr, char buffer[static INET6_ADDRSTRLEN])
{
	return inet_ntop(AF_INET6, addr, buffer, INET6_ADDRSTRLEN);
}

static void add_ports(struct text *out, struct port_range ports)
{
	if (ports.first == ports.last)
		text_add(out, "%u", ports.first);
	else
		text_add(out, "%u-%u", ports.first, ports.last);
}

static void print_tunnel(const struct plan_tunnel *tunnel, struct text *out)
{
	char local[INET6_ADDRSTRLEN], remote[INET6_ADDRSTRLEN];

	if (!tunnel->name[0])
		return;
	if (tunnel->mode == TUNNEL_EXISTING)
		text_add(out, "tunnel %s existing mtu %u\n", tunnel->name, tunnel->mtu);
	else
		text_add(out, "tunnel %s ipip6 local %s remote %s dev %s mtu %u encaplimit none\n",
			 tunnel->name, ip6(&tunnel->local, local), ip6(&tunnel->remote, remote),
			 tunnel->wan, tunnel->mtu);
}

static void print_addresses(const struct plan *plan, struct text *out)
{
	char buffer[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < plan->address_count; i++) {
		const struct plan_address *address = &plan->addresses[i];

		if (address->family == AF_INET6)
			text_add(out, "address %s/128 dev %s nodad noprefixroute preferred_lft 0\n",
				 ip6(&address->ip6, buffer), address->interface);
		else
			text_add(out, "address %s/32 dev %s\n", ip4(address->ip4, buffer),
				 address->interface);
	}
}

static void print_routing(const struct plan *plan, struct text *out)
{
	char source[INET_ADDRSTRLEN];

	for (size_t i = 0; i < plan->route_count; i++) {
		const struct plan_route *route = &plan->routes[i];

		if (route->interface[0])
			text_add(out, "route default dev %s table %u metric %u proto %d\n",
				 route->interface, route->table, route->metric, PLAN_PROTOCOL);
		else
			text_add(out, "route unreachable default table %u metric %u proto %d\n",
				 route->table, route->metric, PLAN_PROTOCOL);
	}
	for (size_t i = 0; i < plan->rule_count; i++) {
		const struct plan_rule *rule = &plan->rules[i];

		text_add(out, "rule priority %u", rule->priority);
		if (rule->source.s_addr != 0)
			text_add(out, " from %s", ip4(rule->source, source));
		if (rule->mask != 0)
			text_add(out, " fwmark 0x%x/0x%x", rule->mark, rule->mask);
		text_add(out, " lookup %u%s proto %d\n", rule->table,
			 rule->suppress_default ? " suppress_prefixlength 0" : "", PLAN_PROTOCOL);
	}
}

static void print_sysctls(const struct plan *plan, struct text *out)
{
	for (size_t i = 0; i < plan->sysctl_count; i++)
		text_add(out, "sysctl %s %s %d\n", plan->sysctls[i].path,
			 plan->sysctls[i].how == SYSCTL_SET ? "=" : "loosen to",
			 plan->sysctls[i].value);
}

static void print_forwards(const char *line, const struct nat_forward *forwards, size_t count,
			   struct text *out)
{
	char to[INET_ADDRSTRLEN];

	for (size_t i = 0; i < count; i++) {
		const struct nat_forward *forward = &forwards[i];

		text_add(out, "nat forward %s %s ", line, protocols_name(forward->protocols));
		add_ports(out, forward->ports);
		text_add(out, " to %s:%u", ip4(forward->to, to), forward->to_port);
		text_add(out, "%s%s\n", forward->comment[0] ? " # " : "", forward->comment);
	}
}

static void print_services(const char *what, const struct service *services, size_t count,
			   struct text *out)
{
	for (size_t i = 0; i < count; i++) {
		text_add(out, "%s %s/", what, protocols_name(services[i].protocols));
		add_ports(out, services[i].ports);
		text_add(out, "\n");
	}
}

static void print_map_nat(const struct nat_plan *nat, struct text *out)
{
	char prefix[PREFIX4_TEXT_MAX], ce[INET6_ADDRSTRLEN], br[INET6_ADDRSTRLEN];

	text_add(out, "nat outer local %s remote %s dev %s\n", ip6(&nat->ce, ce), ip6(&nat->br, br),
		 nat->wan);
	text_add(out, "nat snat dev %s to %s", nat->tunnel, prefix4_format(&nat->address, prefix));
	if (portset_is_whole(&nat->ports))
		text_add(out, " all ports and protocols\n");
	else
		text_add(out, " psid %u/%u offset %u: %u ports in %u blocks of %u\n",
			 nat->ports.psid, nat->ports.psid_length, nat->ports.psid_offset,
			 portset_count(&nat->ports), portset_block_count(&nat->ports),
			 portset_block_size(&nat->ports));
	text_add(out, "nat mss %u\n", nat->tunnel_mtu > 40 ? nat->tunnel_mtu - 40 : 0);
	text_add(out, "nat filtering %s\n", nat_filtering_name(nat->filtering));
	for (size_t i = 0; i < nat->host_count; i++)
		text_add(out, "nat host %s filtering %s\n",
			 prefix4_format(&nat->hosts[i].address, prefix),
			 nat_filtering_name(nat->hosts[i].filtering));
	text_add(out, "nat inbound %s\n", nat->inbound_accept ? "accept" : "drop");
	print_services("nat open", nat->open, nat->open_count, out);
	if (nat->host_limit)
		text_add(out, "nat host_limit %u\n", nat->host_limit);
	if (nat->offload)
		text_add(out, "nat offload dev %s\n", nat->tunnel);
	for (size_t i = 0; i < nat->device_count; i++)
		text_add(out, "nat offload dev %s index %u\n", nat->devices[i].name,
			 nat->devices[i].index);
	print_forwards(nat->tunnel, nat->forwards, nat->forward_count, out);
}

static void print_pppoe_nat(const struct nat_plan_pppoe *pppoe, struct text *out)
{
	char prefix[PREFIX4_TEXT_MAX], mac[18], address[INET_ADDRSTRLEN];

	text_add(out, "pppoe dev %s mark 0x%x map-mark 0x%x mask 0x%x%s%s%s%s\n", pppoe->interface,
		 pppoe->mark, pppoe->map_mark, pppoe->mask, pppoe->masquerade ? " masquerade" : "",
		 pppoe->mss_clamp ? " mss-clamp" : "", pppoe->unmappable ? " unmappable" : "",
		 pppoe->divert_unmappable ? " divert" : "");
	if (pppoe->address.s_addr != 0)
		text_add(out, "pppoe address %s\n", ip4(pppoe->address, address));
	if (pppoe->mtu != 0)
		text_add(out, "pppoe mtu %u\n", pppoe->mtu);
	for (size_t i = 0; i < pppoe->host_count; i++)
		text_add(out, "pppoe host %s\n",
			 pppoe->hosts[i].is_mac ? ether_ntoa_r(&pppoe->hosts[i].mac, mac)
						: prefix4_format(&pppoe->hosts[i].address, prefix));
	for (size_t i = 0; i < pppoe->destination_count; i++)
		text_add(out, "pppoe destination %s\n",
			 prefix4_format(&pppoe->destinations[i], prefix));
	print_services("pppoe port", pppoe->ports, pppoe->port_count, out);
	print_forwards(pppoe->interface, pppoe->forwards, pppoe->forward_count, out);
}

void plan_print(const struct plan *plan, struct text *out)
{
	print_tunnel(&plan->tunnel, out);
	print_addresses(plan, out);
	print_routing(plan, out);
	print_sysctls(plan, out);
	if (plan->nat.map)
		print_map_nat(&plan->nat, out);
	if (plan->nat.pppoe.enabled)
		print_pppoe_nat(&plan->nat.pppoe, out);
}
