/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes the nftables table from words on the command line, for the namespace tests and the bench:
 *
 *   nat_driver sync address=192.0.2.1 psid=6/8/41 tunnel=map0 mtu=1460 filtering=adf
 *              host=192.168.2.11/32:eif forward=tcp:1680-1681:192.168.2.10:80 open=tcp:22
 *              inbound=accept host_limit=20 outer=2001:db8::1,2001:db8:1::1,wan0 ppp=ppp0 ...
 *   nat_driver (prolong|teach) address=192.0.2.1 psid=6/8/41
 *   nat_driver absent | counts | forget ADDRESS [PSID-SHAPE-TO-KEEP]
 *
 * sync prints "changed N" or "same N", N being the messages that change something. lives does so
 * for each line "sync", "tunnel NAME" or "absent" that it reads, behind "touched" when another
 * process has touched the table since, or "quiet". It reads what it has lost from conntrack.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/conntrack.h"
#include "lib/kernel/nat.h"
#include "lib/kernel/nft_watch.h"

#define MANY 2048

static struct nat_host hosts[MANY];
static struct nat_forward forwards[MANY], ppp_forwards[MANY];
static struct service open_services[MANY], ppp_ports[MANY];
static struct pppoe_host ppp_hosts[MANY];
static struct prefix4 ppp_destinations[MANY];

static void die(const char *what, const char *detail)
{
	fprintf(stderr, "nat_driver: %s: %s\n", what, detail);
	exit(2);
}

static enum nat_filtering filtering(const char *word)
{
	if (strcmp(word, "adf") == 0)
		return FILTERING_ADDRESS_DEPENDENT;
	if (strcmp(word, "eif") == 0)
		return FILTERING_ENDPOINT_INDEPENDENT;
	if (strcmp(word, "apdf") != 0)
		die("filtering", word);
	return FILTERING_ADDRESS_AND_PORT_DEPENDENT;
}

static unsigned int protocols(const char *word)
{
	if (strcmp(word, "tcp") == 0)
		return PROTO_TCP;
	if (strcmp(word, "udp") == 0)
		return PROTO_UDP;
	if (strcmp(word, "tcp+udp") != 0)
		die("protocol", word);
	return PROTO_TCP | PROTO_UDP;
}

static struct port_range range(const char *word)
{
	unsigned int first, last;

	switch (sscanf(word, "%u-%u", &first, &last)) {
	case 1:
		last = first;
		break;
	case 2:
		break;
	default:
		die("range", word);
	}
	return (struct port_range){(uint16_t)first, (uint16_t)last};
}

/* tcp:1680-1681:192.168.2.10:80 */
static struct nat_forward forward(char *word)
{
	struct nat_forward out = {0};
	char *proto = strsep(&word, ":"), *ports = strsep(&word, ":"), *to = strsep(&word, ":");

	if (!to || inet_pton(AF_INET, to, &out.to) != 1)
		die("forward", "PROTOCOL:PORTS:ADDRESS[:PORT]");
	out.protocols = protocols(proto);
	out.ports = range(ports);
	out.to_port = word ? (uint16_t)atoi(word) : out.ports.first;
	return out;
}

static struct service service(char *word)
{
	char *proto = strsep(&word, ":");

	return (struct service){.protocols = protocols(proto), .ports = range(word ? word : "")};
}

static struct prefix4 prefix(const char *word)
{
	struct prefix4 out;

	if (prefix4_parse(word, &out) < 0)
		die("prefix", word);
	return out;
}

/* CE,BR,WAN */
static void outer(char *word, struct nat_plan *plan)
{
	char *ce = strsep(&word, ","), *br = strsep(&word, ",");

	if (!word || inet_pton(AF_INET6, ce, &plan->ce) != 1 ||
	    inet_pton(AF_INET6, br, &plan->br) != 1)
		die("outer", "CE,BR,WAN");
	snprintf(plan->wan, sizeof(plan->wan), "%s", word);
}

static void read_map_word(struct nat_plan *plan, const char *key, char *value)
{
	unsigned int offset, length, psid;

	if (strcmp(key, "address") == 0) {
		plan->present = plan->map = true;
		plan->address = prefix(value);
	} else if (strcmp(key, "psid") == 0) {
		if (sscanf(value, "%u/%u/%u", &offset, &length, &psid) != 3)
			die("psid", "OFFSET/LENGTH/PSID");
		plan->ports = (struct portset){(uint8_t)offset, (uint8_t)length, (uint16_t)psid};
	} else if (strcmp(key, "tunnel") == 0) {
		snprintf(plan->tunnel, sizeof(plan->tunnel), "%s", value);
	} else if (strcmp(key, "outer") == 0) {
		outer(value, plan);
	} else if (strcmp(key, "mtu") == 0) {
		plan->tunnel_mtu = (uint32_t)atoi(value);
	} else if (strcmp(key, "filtering") == 0) {
		plan->filtering = filtering(value);
	} else if (strcmp(key, "inbound") == 0) {
		plan->inbound_accept = strcmp(value, "accept") == 0;
	} else if (strcmp(key, "host_limit") == 0) {
		plan->host_limit = (uint32_t)atoi(value);
	} else if (strcmp(key, "open") == 0) {
		open_services[plan->open_count++] = service(value);
		plan->open = open_services;
	} else if (strcmp(key, "forward") == 0) {
		forwards[plan->forward_count++] = forward(value);
		plan->forwards = forwards;
	} else if (strcmp(key, "host") == 0) {
		char *address = strsep(&value, ":");

		hosts[plan->host_count].address = prefix(address);
		hosts[plan->host_count++].filtering = filtering(value ? value : "");
		plan->hosts = hosts;
	} else {
		die("unknown word", key);
	}
}

static void read_pppoe_word(struct nat_plan_pppoe *ppp, const char *key, char *value)
{
	if (strcmp(key, "ppp") == 0) {
		ppp->enabled = true;
		snprintf(ppp->interface, sizeof(ppp->interface), "%s", value);
	} else if (strcmp(key, "ppp_marks") == 0) {
		if (sscanf(value, "%x/%x/%x", &ppp->mark, &ppp->map_mark, &ppp->mask) != 3)
			die("ppp_marks", "MARK/MAP_MARK/MASK");
	} else if (strcmp(key, "ppp_host") == 0) {
		struct pppoe_host *host = &ppp_hosts[ppp->host_count++];

		host->is_mac = strchr(value, ':') != NULL;
		if (host->is_mac && !ether_aton_r(value, &host->mac))
			die("ppp_host", value);
		if (!host->is_mac)
			host->address = prefix(value);
		ppp->hosts = ppp_hosts;
	} else if (strcmp(key, "ppp_destination") == 0) {
		ppp_destinations[ppp->destination_count++] = prefix(value);
		ppp->destinations = ppp_destinations;
	} else if (strcmp(key, "ppp_port") == 0) {
		ppp_ports[ppp->port_count++] = service(value);
		ppp->ports = ppp_ports;
	} else if (strcmp(key, "ppp_forward") == 0) {
		ppp_forwards[ppp->forward_count++] = forward(value);
		ppp->forwards = ppp_forwards;
	} else if (strcmp(key, "ppp_unmappable") == 0) {
		ppp->unmappable = strcmp(value, "true") == 0;
	} else if (strcmp(key, "ppp_masquerade") == 0) {
		ppp->masquerade = strcmp(value, "true") == 0;
	} else if (strcmp(key, "ppp_mss") == 0) {
		ppp->mss_clamp = strcmp(value, "true") == 0;
	} else {
		die("unknown word", key);
	}
}

static void read_words(int count, char **words, struct nat_plan *plan)
{
	for (int i = 0; i < count; i++) {
		char *value = words[i], *key = strsep(&value, "=");

		if (!value)
			die("word without =", key);
		if (strncmp(key, "ppp", 3) == 0) {
			plan->present = true;
			read_pppoe_word(&plan->pppoe, key, value);
		} else {
			read_map_word(plan, key, value);
		}
	}
	plan->pppoe.divert_unmappable =
		plan->pppoe.unmappable && plan->map && !portset_is_whole(&plan->ports);
}

static struct nat *open_nat(void)
{
	struct nat *nat = NULL;
	struct fault fault = {0};

	if (nat_open(&nat, &fault) < 0)
		die("open", fault.text);
	return nat;
}

static void sync_and_tell(struct nat *nat, const struct nat_plan *plan)
{
	uint64_t before = nat_changes(nat);
	struct fault fault = {0};
	int r = nat_sync(nat, plan, &fault);

	if (r < 0)
		die("sync", fault.text);
	printf("%s %llu\n", r > 0 ? "changed" : "same",
	       (unsigned long long)(nat_changes(nat) - before));
}

static int run_sync(const struct nat_plan *plan)
{
	_cleanup_(nat_close_p) struct nat *nat = open_nat();

	sync_and_tell(nat, plan);
	return 0;
}

/* One process for as long as standard input lasts: a line each. */
static int run_lives(struct nat_plan *plan)
{
	_cleanup_(conntrack_close_p) struct conntrack *ct = NULL;
	_cleanup_(nat_close_p) struct nat *nat = open_nat();
	_cleanup_(nft_watch_close_p) struct nft_watch *watch = NULL;
	const struct nat_plan nothing = {0};
	struct fault fault = {0};
	char line[32];

	if (nft_watch_open(PLAN_TABLE, &watch, &fault) < 0 || conntrack_open(&ct, &fault) < 0)
		die("watch", fault.text);
	nat_set_watch(nat, watch);
	nat_set_conntrack(nat, ct);
	while (fgets(line, sizeof(line), stdin)) {
		sscanf(line, "tunnel %15s", plan->tunnel);
		printf("%s ", nft_watch_dispatch(watch) > 0 ? "touched" : "quiet");
		sync_and_tell(nat, strcmp(line, "absent\n") == 0 ? &nothing : plan);
		fflush(stdout);
	}
	nat_set_watch(nat, NULL);
	return 0;
}

/* As the daemon does every NAT_PROLONG_SECONDS, or NAT_TEACH_SECONDS. */
static int run_regular(const struct nat_plan *plan, const char *verb)
{
	_cleanup_(conntrack_close_p) struct conntrack *conntrack = NULL;
	_cleanup_(nat_close_p) struct nat *nat = NULL;
	struct fault fault = {0};
	int r = conntrack_open(&conntrack, &fault);

	if (r >= 0)
		r = nat_open(&nat, &fault);
	if (r >= 0) {
		nat_set_conntrack(nat, conntrack);
		r = strcmp(verb, "teach") == 0 ? nat_teach(nat, plan, &fault)
					       : nat_prolong(nat, plan, &fault);
	}
	if (r < 0)
		die(verb, fault.text);
	printf("%d elements\n", r);
	return 0;
}

static int run_counts(void)
{
	_cleanup_(nat_close_p) struct nat *nat = NULL;
	struct nat_counts counts;
	struct fault fault = {0};
	int r = nat_open(&nat, &fault);

	if (r >= 0)
		r = nat_counts_read(nat, &counts, &fault);
	if (r < 0)
		die("counts", fault.text);
	printf("refused %llu\nunmappable %llu\ninbound %llu\nleaks %llu\n",
	       (unsigned long long)counts.refused, (unsigned long long)counts.unmappable,
	       (unsigned long long)counts.inbound, (unsigned long long)counts.leaks);
	return 0;
}

static int run_forget(const char *text, const char *shape)
{
	_cleanup_(conntrack_close_p) struct conntrack *ct = NULL;
	struct nat_plan keep = {0};
	struct fault fault = {0};
	struct in_addr address;
	int r;

	if (inet_pton(AF_INET, text, &address) != 1)
		die("address", text);
	if (shape) {
		char copy[32];

		snprintf(copy, sizeof(copy), "%s", shape);
		read_map_word(&keep, "psid", copy);
	}
	r = conntrack_open(&ct, &fault);
	if (r >= 0)
		r = conntrack_forget(ct, address, shape ? &keep.ports : NULL, false, &fault);
	if (r < 0)
		die("forget", fault.text);
	printf("forgotten %d\n", r);
	return 0;
}

int main(int argc, char **argv)
{
	struct nat_plan plan = {.tunnel = "map0", .tunnel_mtu = 1460};

	if (argc < 2)
		die("usage", "sync WORD=VALUE... | lives WORD=VALUE... | prolong WORD=VALUE... | "
			     "teach WORD=VALUE... | absent | counts | forget "
			     "ADDRESS [SHAPE]");
	if (strcmp(argv[1], "counts") == 0)
		return run_counts();
	if (strcmp(argv[1], "forget") == 0 && argc > 2)
		return run_forget(argv[2], argc > 3 ? argv[3] : NULL);
	if (strcmp(argv[1], "absent") != 0)
		read_words(argc - 2, argv + 2, &plan);
	if (strcmp(argv[1], "prolong") == 0 || strcmp(argv[1], "teach") == 0)
		return run_regular(&plan, argv[1]);
	return strcmp(argv[1], "lives") == 0 ? run_lives(&plan) : run_sync(&plan);
}
