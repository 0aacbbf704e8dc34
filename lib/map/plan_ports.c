/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/plan_ports.h"

#include <errno.h>
#include <string.h>

/* port = "auto" leaves these to services that ask for them by number. */
#define WELL_KNOWN_PORTS 1024

static bool ranges_overlap(struct port_range a, struct port_range b)
{
	return a.first <= b.last && b.first <= a.last;
}

static int block_forward_ports(const struct forward *forward, const struct portset *set,
			       struct port_range *ret)
{
	uint16_t port;

	if (forward->block >= portset_block_count(set) ||
	    forward->offset >= portset_block_size(set))
		return -ERANGE;
	port = (uint16_t)(portset_block(set, forward->block).first + forward->offset);
	*ret = (struct port_range){port, port};
	return 0;
}

/* Ports of a forward whose place does not depend on the others. */
static int settled_ports(const struct forward *forward, const struct portset *set,
			 struct port_range *ret)
{
	switch (forward->kind) {
	case FORWARD_FIXED:
		if (!portset_has_range(set, forward->ports))
			return -ERANGE;
		*ret = forward->ports;
		return 0;
	case FORWARD_BLOCK:
		return block_forward_ports(forward, set, ret);
	case FORWARD_AUTO:
		break;
	}
	return -ERANGE;
}

static bool port_is_settled(const struct settings *settings, const struct portset *set,
			    uint16_t port)
{
	struct port_range one = {port, port}, other;

	for (size_t i = 0; i < settings->forward_count; i++)
		if (settled_ports(&settings->forwards[i], set, &other) == 0 &&
		    ranges_overlap(one, other))
			return true;
	for (size_t i = 0; i < settings->nat.open_count; i++)
		if (portset_has_range(set, settings->nat.open[i].ports) &&
		    ranges_overlap(one, settings->nat.open[i].ports))
			return true;
	return false;
}

int plan_forward_ports(const struct settings *settings, size_t index, const struct portset *set,
		       struct port_range *ret)
{
	const struct forward *forward = &settings->forwards[index];
	bool has_high = portset_nth(set, portset_count(set) - 1) >= WELL_KNOWN_PORTS;
	unsigned int ahead = 0; /* auto forwards before this one in the file */

	if (forward->kind != FORWARD_AUTO)
		return settled_ports(forward, set, ret);
	for (size_t i = 0; i < index; i++)
		ahead += settings->forwards[i].kind == FORWARD_AUTO;
	for (unsigned int n = 0; n < portset_count(set); n++) {
		uint16_t port = portset_nth(set, n);

		if (port == 0 || (has_high && port < WELL_KNOWN_PORTS) ||
		    port_is_settled(settings, set, port))
			continue;
		if (ahead-- == 0) {
			*ret = (struct port_range){port, port};
			return 0;
		}
	}
	return -ERANGE;
}

static void complain_ports_outside(struct port_range ports, const struct portset *set,
				   struct text *complaints)
{
	uint16_t below, above;
	unsigned int found = portset_nearest(set, ports.first, &below, &above);

	if (ports.first == ports.last)
		text_add(complaints, "port %u is", ports.first);
	else
		text_add(complaints, "ports %u-%u are", ports.first, ports.last);
	text_add(complaints, " not in the port set of this line; ");
	if (portset_has(set, ports.first))
		text_add(complaints, "the range is longer than what is free after %u", ports.first);
	else if (found == 2)
		text_add(complaints, "nearest usable ports: %u and %u", below, above);
	else
		text_add(complaints, "nearest usable port: %u", below ? below : above);
	text_add(complaints, "; longest run: %u ports\n", portset_longest_run(set));
}

static void complain_of(const struct settings *settings, struct origin origin,
			struct text *complaints)
{
	settings_print_origin(settings, origin, complaints);
	text_add(complaints, ": ");
}

static void complain_outside(const struct settings *settings, const struct forward *forward,
			     const struct portset *set, struct text *complaints)
{
	complain_of(settings, forward->origin, complaints);
	text_add(complaints, "forward: ");
	if (forward->kind == FORWARD_BLOCK) {
		text_add(complaints,
			 "block %u, offset %u: the port set has %u blocks of %u ports\n",
			 forward->block, forward->offset, portset_block_count(set),
			 portset_block_size(set));
		return;
	}
	if (forward->kind == FORWARD_AUTO) {
		text_add(complaints, "no port of the set is left for port = \"auto\"\n");
		return;
	}
	complain_ports_outside(forward->ports, set, complaints);
}

/* What is opened beyond the set would never be seen here: it belongs to other subscribers. */
int plan_open(const struct settings *settings, const struct portset *set, struct nat_plan *nat,
	      struct text *complaints)
{
	const struct nat_settings *from = &settings->nat;

	if (from->open_count == 0)
		return 0;
	nat->open = calloc(from->open_count, sizeof(*nat->open));
	if (!nat->open)
		return -ENOMEM;
	for (size_t i = 0; i < from->open_count; i++) {
		if (portset_has_range(set, from->open[i].ports)) {
			nat->open[nat->open_count++] = from->open[i];
			continue;
		}
		complain_of(settings, from->open[i].origin, complaints);
		text_add(complaints, "nat.open[%zu]: ", i);
		complain_ports_outside(from->open[i].ports, set, complaints);
	}
	return 0;
}

static struct nat_forward settled_forward(const struct forward *forward, struct port_range ports)
{
	struct nat_forward out = {
		.protocols = forward->protocols,
		.ports = ports,
		.to = forward->to,
		.to_port = forward->to_port ? forward->to_port : ports.first,
		.origin = forward->origin,
	};

	memcpy(out.comment, forward->comment, sizeof(out.comment));
	return out;
}

/* A forward that is in the plan already and wants one of these ports too. "block" follows the port
 * set, so that the reader of the file cannot see where it meets another. */
static const struct nat_forward *meeting(const struct nat_plan *nat, unsigned int protocols,
					 struct port_range ports)
{
	for (size_t i = 0; i < nat->forward_count; i++)
		if ((nat->forwards[i].protocols & protocols) &&
		    ranges_overlap(nat->forwards[i].ports, ports))
			return &nat->forwards[i];
	return NULL;
}

/* Everybody can read it (systemctl status): the other's host is not named. */
static void complain_taken(const struct settings *settings, const struct forward *forward,
			   struct port_range ports, const struct nat_forward *other,
			   struct text *complaints)
{
	complain_of(settings, forward->origin, complaints);
	text_add(complaints, "forward: port %u is that of the forward in ",
		 MAX_OF(ports.first, other->ports.first));
	settings_print_other_origin(settings, forward->origin, other->origin, complaints);
	text_add(complaints, " already\n");
}

/* The number of the nat.open that has one of these ports already, and is in the plan. */
static int opened_before(const struct settings *settings, const struct portset *set,
			 unsigned int protocols, struct port_range ports)
{
	for (size_t i = 0; i < settings->nat.open_count; i++) {
		const struct service *open = &settings->nat.open[i];

		if ((open->protocols & protocols) && portset_has_range(set, open->ports) &&
		    ranges_overlap(open->ports, ports))
			return (int)i;
	}
	return -1;
}

static void complain_opened(const struct settings *settings, const struct forward *forward,
			    struct port_range ports, unsigned int index, struct text *complaints)
{
	const struct service *open = &settings->nat.open[index];

	complain_of(settings, forward->origin, complaints);
	text_add(complaints, "forward: its port %u is already used by nat.open[%u] (",
		 MAX_OF(ports.first, open->ports.first), index);
	settings_print_other_origin(settings, forward->origin, open->origin, complaints);
	text_add(complaints, ")\n");
}

static bool is_taken(const struct settings *settings, const struct portset *set,
		     const struct nat_plan *nat, const struct forward *forward,
		     struct port_range ports, struct text *complaints)
{
	const struct nat_forward *other = meeting(nat, forward->protocols, ports);
	int index = opened_before(settings, set, forward->protocols, ports);
	const struct service *open = index < 0 ? NULL : &settings->nat.open[index];

	if (other)
		complain_taken(settings, forward, ports, other, complaints);
	else if (open)
		complain_opened(settings, forward, ports, (unsigned int)index, complaints);
	return other || open;
}

int plan_forwards(const struct settings *settings, const struct portset *set, struct nat_plan *nat,
		  struct text *complaints)
{
	if (settings->forward_count == 0)
		return 0;
	nat->forwards = calloc(settings->forward_count, sizeof(*nat->forwards));
	if (!nat->forwards)
		return -ENOMEM;
	for (size_t i = 0; i < settings->forward_count; i++) {
		const struct forward *forward = &settings->forwards[i];
		struct port_range ports;

		if (plan_forward_ports(settings, i, set, &ports) < 0) {
			complain_outside(settings, forward, set, complaints);
			continue;
		}
		if (is_taken(settings, set, nat, forward, ports, complaints))
			continue;
		nat->forwards[nat->forward_count++] = settled_forward(forward, ports);
	}
	return 0;
}

int plan_pppoe_forwards(const struct pppoe_settings *pppoe, struct nat_plan_pppoe *nat)
{
	if (pppoe->forward_count == 0)
		return 0;
	nat->forwards = calloc(pppoe->forward_count, sizeof(*nat->forwards));
	if (!nat->forwards)
		return -ENOMEM;
	for (size_t i = 0; i < pppoe->forward_count; i++)
		nat->forwards[nat->forward_count++] =
			settled_forward(&pppoe->forwards[i], pppoe->forwards[i].ports);
	return 0;
}
