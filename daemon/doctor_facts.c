/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/doctor_facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "daemon/doctor_firewalld.h"
#include "daemon/machine.h"
#include "daemon/query.h"
#include "lib/kernel/link.h"
#include "lib/kernel/neighbour.h"

DEFINE_CLEANUP(FILE *, fclose);
DEFINE_CLEANUP(sd_bus *, sd_bus_flush_close_unref);

/* ---- files ------------------------------------------------------------------------------- */

static bool read_number(const char *path, uint64_t *ret)
{
	_cleanup_(fclose_p) FILE *file = fopen(path, "re");

	return file && fscanf(file, "%" SCNu64, ret) == 1;
}

static bool file_has(const char *path, const char *word)
{
	_cleanup_(fclose_p) FILE *file = fopen(path, "re");
	char line[1024];

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, word))
			return true;
	return false;
}

/* A line that begins so: a comment does not. */
static bool file_says(const char *path, const char *setting)
{
	_cleanup_(fclose_p) FILE *file = fopen(path, "re");
	char line[1024];

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, setting, strlen(setting)) == 0)
			return true;
	return false;
}

/* A module is there when it is loaded, built in, or installed for this kernel. */
static enum presence module_presence(const char *release, const char *name)
{
	char path[512], word[80];

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	if (access(path, F_OK) == 0)
		return PRESENCE_YES;
	snprintf(word, sizeof(word), "/%s.ko", name);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.builtin", release);
	if (file_has(path, word))
		return PRESENCE_YES;
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", release);
	if (access(path, F_OK) < 0)
		return PRESENCE_UNKNOWN;
	return file_has(path, word) ? PRESENCE_YES : PRESENCE_NO;
}

static void gather_kernel(struct doctor_facts *facts)
{
	struct utsname name;
	uint64_t forwarding = 0;

	if (uname(&name) == 0) {
		snprintf(facts->kernel, sizeof(facts->kernel), "%s", name.release);
		facts->ip6_tunnel = module_presence(name.release, "ip6_tunnel");
		facts->nf_tables = module_presence(name.release, "nf_tables");
	}
	facts->forwarding = read_number("/proc/sys/net/ipv4/ip_forward", &forwarding) && forwarding;
	if (!read_number("/proc/sys/net/netfilter/nf_conntrack_count", &facts->conntrack_count) ||
	    !read_number("/proc/sys/net/netfilter/nf_conntrack_max", &facts->conntrack_max))
		facts->conntrack_max = 0;
}

static uint64_t interface_number(const char *format, const char *interface)
{
	char path[128];
	uint64_t number = 0;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(path, sizeof(path), format, interface);
#pragma GCC diagnostic pop
	return read_number(path, &number) ? number : 0;
}

static int gather_tunnel(struct rtnl *nl, struct doctor_facts *facts, struct fault *reterr)
{
	const struct map_settings *map = &facts->settings->map;
	uint64_t own, all;
	int r;

	r = link_by_name(nl, map->tunnel, &facts->tunnel, reterr);
	if (r < 0)
		return r;
	facts->tunnel_found = r > 0;
	if (!facts->tunnel_found)
		return 0;
	facts->tunnel_sent =
		interface_number("/sys/class/net/%s/statistics/tx_packets", map->tunnel);
	facts->tunnel_received =
		interface_number("/sys/class/net/%s/statistics/rx_packets", map->tunnel);
	/* The kernel takes the higher of the two (include/linux/inetdevice.h IN_DEV_RPFILTER). */
	own = interface_number("/proc/sys/net/ipv4/conf/%s/rp_filter", map->tunnel);
	all = interface_number("/proc/sys/net/ipv4/conf/%s/rp_filter", "all");
	facts->rp_filter_strict = MAX_OF(own, all) == 1;
	if (map->mtu)
		facts->wanted_mtu = map->mtu;
	else if (facts->snapshot.wan_found && map->tunnel_mode == TUNNEL_CREATE)
		facts->wanted_mtu = facts->snapshot.wan_mtu - PLAN_ENCAPSULATION;
	return 0;
}

/* ---- the line ---------------------------------------------------------------------------- */

#define ANSWER_MS 1500

static void ask_for_ce(struct doctor_facts *facts)
{
	const struct choice *choice = &facts->decision.choice;
	struct ether_addr owner, none = {0};
	const uint8_t *octet = owner.ether_addr_octet;
	int r;

	if (choice->verdict != VERDICT_CHOSEN || !facts->wan.up)
		return;
	r = neighbour_ask(facts->snapshot.wan_index, &choice->params.ce, ANSWER_MS, &owner, NULL);
	if (r < 0)
		return;
	facts->ce_elsewhere = r ? PRESENCE_YES : PRESENCE_NO;
	if (r && memcmp(&owner, &none, sizeof(none)) != 0)
		snprintf(facts->ce_owner, sizeof(facts->ce_owner), "%02x:%02x:%02x:%02x:%02x:%02x",
			 octet[0], octet[1], octet[2], octet[3], octet[4], octet[5]);
}

/* A machine that forwards takes router advertisements only with accept_ra=2 (kernel,
 * ip-sysctl.rst); networkd and NetworkManager set 0 and listen themselves. */
static void gather_line(struct doctor_facts *facts)
{
	const char *wan = facts->wan.name;
	char path[128];

	if (!facts->wan.found)
		return;
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", wan);
	facts->wan_ipv6 =
		access(path, F_OK) < 0 ||
				interface_number("/proc/sys/net/ipv6/conf/%s/disable_ipv6", wan)
			? PRESENCE_NO
			: PRESENCE_YES;
	facts->wan_takes_ra =
		interface_number("/proc/sys/net/ipv6/conf/%s/accept_ra", wan) == 1 &&
				interface_number("/proc/sys/net/ipv6/conf/%s/forwarding", wan)
			? PRESENCE_NO
			: PRESENCE_YES;
	ask_for_ce(facts);
}

/* ---- other programs ---------------------------------------------------------------------- */

static enum presence owned(sd_bus *bus, const char *name)
{
	int r = sd_bus_get_name_creds(bus, name, 0, NULL);

	return r >= 0 ? PRESENCE_YES : PRESENCE_NO;
}

/* Highest first; a file hides those of the same name further down (systemd-system.conf(5)). */
static const char *const drop_ins[] = {
	"/etc/systemd/networkd.conf.d",
	"/run/systemd/networkd.conf.d",
	"/usr/local/lib/systemd/networkd.conf.d",
	"/usr/lib/systemd/networkd.conf.d",
};

static bool drop_in_is_hidden(const char *name, size_t directory)
{
	char path[1024];

	for (size_t i = 0; i < directory; i++) {
		snprintf(path, sizeof(path), "%s/%s", drop_ins[i], name);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

struct last_word { /* the drop-in whose name comes last wins */
	char name[256];
	bool spares_us;
};

static void read_drop_ins(size_t directory, struct last_word *last)
{
	DIR *dir = opendir(drop_ins[directory]);
	struct dirent *entry;
	char path[1024];

	while (dir && (entry = readdir(dir))) {
		size_t length = strlen(entry->d_name);

		snprintf(path, sizeof(path), "%s/%s", drop_ins[directory], entry->d_name);
		if (length < 5 || strcmp(entry->d_name + length - 5, ".conf") != 0 ||
		    strcmp(entry->d_name, last->name) < 0 ||
		    drop_in_is_hidden(entry->d_name, directory) ||
		    !file_says(path, "ManageForeignRoutes="))
			continue;
		snprintf(last->name, sizeof(last->name), "%s", entry->d_name);
		last->spares_us = file_says(path, "ManageForeignRoutes=no") ||
				  file_says(path, "ManageForeignRoutes=false");
	}
	if (dir)
		closedir(dir);
}

static void gather_networkd(sd_bus *bus, struct doctor_facts *facts)
{
	struct last_word last = {
		.spares_us = file_says("/etc/systemd/networkd.conf", "ManageForeignRoutes=no"),
	};

	facts->networkd = owned(bus, "org.freedesktop.network1");
	for (size_t i = 0; i < ARRAY_SIZE(drop_ins); i++)
		read_drop_ins(i, &last);
	facts->networkd_spares_us = last.spares_us ? PRESENCE_YES : PRESENCE_NO;
}

static void gather_manager(sd_bus *bus, struct doctor_facts *facts)
{
	sd_bus_message *reply = NULL;
	const char *device;
	int managed = 0;

	facts->manager = owned(bus, "org.freedesktop.NetworkManager");
	if (facts->manager != PRESENCE_YES || !facts->tunnel_found)
		return;
	if (sd_bus_call_method(bus, "org.freedesktop.NetworkManager",
			       "/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager",
			       "GetDeviceByIpIface", NULL, &reply, "s",
			       facts->settings->map.tunnel) >= 0 &&
	    sd_bus_message_read(reply, "o", &device) >= 0 &&
	    sd_bus_get_property_trivial(bus, "org.freedesktop.NetworkManager", device,
					"org.freedesktop.NetworkManager.Device", "Managed", NULL,
					'b', &managed) >= 0)
		facts->manager_spares_us = managed ? PRESENCE_NO : PRESENCE_YES;
	sd_bus_message_unref(reply);
}

static void add_lan(struct doctor_facts *facts, const char *interface)
{
	if (facts->lan_count < ARRAY_SIZE(facts->lan))
		snprintf(facts->lan[facts->lan_count++].interface, IFNAMSIZ, "%.*s", IFNAMSIZ - 1,
			 interface);
}

static bool is_lan(const struct doctor_facts *facts, const char *name)
{
	const struct settings *settings = facts->settings;
	char path[64];

	/* A port of a bridge, or of another group: its master is the interface that counts. */
	snprintf(path, sizeof(path), "/sys/class/net/%s/master", name);
	return strcmp(name, "lo") != 0 && access(path, F_OK) < 0 &&
	       strcmp(name, settings->map.tunnel) != 0 && strcmp(name, facts->snapshot.wan) != 0 &&
	       !(settings->pppoe.enabled && strcmp(name, settings->pppoe.interface) == 0) &&
	       strcmp(name, "ip6tnl0") != 0;
}

/* As the daemon does: those named, otherwise all that are nothing else. */
static void list_lan(struct doctor_facts *facts)
{
	const struct lan_settings *lan = &facts->settings->lan;
	struct if_nameindex *all;

	for (size_t i = 0; i < lan->interface_count; i++)
		add_lan(facts, lan->interfaces[i]);
	if (lan->interface_count > 0)
		return;
	all = if_nameindex();
	for (struct if_nameindex *at = all; at && at->if_index; at++)
		if (is_lan(facts, at->if_name))
			add_lan(facts, at->if_name);
	if (all)
		if_freenameindex(all);
}

/* networkd writes the DUID as text, its type first; since Debian 13 with a lease only. */
static void read_duid_file(struct doctor_facts *facts)
{
	_cleanup_(fclose_p) FILE *file = NULL;
	char path[64], line[512];

	snprintf(path, sizeof(path), "/run/systemd/netif/links/%d", facts->snapshot.wan_index);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "DHCP6_CLIENT_DUID=", 18) != 0)
			continue;
		if (strstr(line, "DUID-LLT"))
			snprintf(facts->duid, sizeof(facts->duid), "link-layer-time");
		else if (strstr(line, "DUID-LL"))
			snprintf(facts->duid, sizeof(facts->duid), "link-layer");
		else if (strstr(line, "DUID-EN"))
			snprintf(facts->duid, sizeof(facts->duid), "vendor");
		else if (strstr(line, "DUID-UUID"))
			snprintf(facts->duid, sizeof(facts->duid), "uuid");
		return;
	}
}

/* What a newer networkd tells of a link: {...,"DHCPv6Client":{...,"DUID":[0,2,...octets]}...} */
static void read_duid_json(const char *json, struct doctor_facts *facts)
{
	static const char *const types[] = {"", "link-layer-time", "vendor", "link-layer", "uuid"};
	const char *at = strstr(json, "\"DHCPv6Client\":");
	unsigned int high, low;

	at = at ? strstr(at, "\"DUID\":[") : NULL;
	if (at && sscanf(at, "\"DUID\":[%u,%u", &high, &low) == 2 && high == 0 &&
	    low < ARRAY_SIZE(types))
		snprintf(facts->duid, sizeof(facts->duid), "%s", types[low]);
}

static void ask_duid(sd_bus *bus, struct doctor_facts *facts)
{
	_cleanup_free_ char *path = NULL;
	sd_bus_message *reply = NULL;
	const char *json;
	char index[16];

	snprintf(index, sizeof(index), "%d", facts->snapshot.wan_index);
	if (sd_bus_path_encode("/org/freedesktop/network1/link", index, &path) >= 0 &&
	    sd_bus_call_method(bus, "org.freedesktop.network1", path,
			       "org.freedesktop.network1.Link", "Describe", NULL, &reply,
			       "") >= 0 &&
	    sd_bus_message_read(reply, "s", &json) >= 0)
		read_duid_json(json, facts);
	sd_bus_message_unref(reply);
}

static void gather_programs(struct doctor_facts *facts)
{
	_cleanup_(sd_bus_flush_close_unref_p) sd_bus *bus = NULL;
	pid_t pid;

	facts->daemon = query_served(&pid) > 0 ? PRESENCE_YES : PRESENCE_NO;
	facts->docker = access("/sys/class/net/docker0", F_OK) == 0 ? PRESENCE_YES : PRESENCE_NO;
	read_duid_file(facts);
	if (sd_bus_open_system(&bus) < 0)
		return;
	gather_networkd(bus, facts);
	if (!facts->duid[0] && facts->networkd == PRESENCE_YES)
		ask_duid(bus, facts);
	gather_manager(bus, facts);
	doctor_ask_firewalld(bus, facts);
}

int doctor_facts_gather(const struct setup *setup, struct doctor_facts *ret, struct fault *reterr)
{
	_cleanup_(rtnl_close_p) struct rtnl *nl = NULL;
	int r;

	*ret = (struct doctor_facts){.settings = &setup->settings};
	gather_kernel(ret);
	r = rtnl_open(&nl, reterr);
	if (r < 0)
		return r;
	r = machine_look(nl, setup, &ret->snapshot, &ret->wan, &ret->decision, reterr);
	if (r < 0)
		return r;
	r = gather_tunnel(nl, ret, reterr);
	if (r < 0)
		return r;
	gather_line(ret);
	ret->survey_known = nft_survey_read(PLAN_TABLE, &ret->survey, NULL) == 0;
	list_lan(ret);
	gather_programs(ret);
	return 0;
}

void doctor_facts_done(struct doctor_facts *facts)
{
	snapshot_done(&facts->snapshot);
}
