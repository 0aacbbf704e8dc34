/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compares two routers in network namespaces, for tests/bench-nat:
 *
 *   flows (new|known|established) (tcp|udp) COUNT ROUTER ROUTER
 *   ROUTER: LAN-NAMESPACE WAN-NAMESPACE LAN-MAC WAN-MAC
 *   WAN-MAC: MAC, or MAC,BR,CE where IPv4 is in IPv6 between these two addresses
 *
 * new: each packet begins a connection of an endpoint that was never seen. known: of one of 100
 * endpoints to a destination that was never seen. established: packets of one connection, both
 * ways. Both ends are veths named "wire"; the MAC addresses are the router's. A packet is forwarded
 * while it is being sent, so the time of sending is the time of forwarding. The routers take turns,
 * a batch each, so that what else the machine does slows both. Prints a line - established: one
 * for out, one for in - of three numbers: nanoseconds a packet of either router (the tenth part of
 * the batches was faster), and the median of the batches' ratios, the second router's time to the
 * first's, in thousandths.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROUTERS    2u
#define BATCH      64u
#define FRAME_MAX  128u
#define ETHERNET   14u
#define OUTER      40u         /* an IPv6 header */
#define LAN_FIRST  0xc0a8020au /* 192.168.2.10 */
#define FAR_FIRST  0xcb007101u /* 203.0.113.1 */
#define FLAG_SYN   2
#define FLAG_ACK   16
#define MSS_OPTION 0x020405b4u /* as every SYN has: 1460 (RFC 9293) */

struct wire {
	int fd, index;
	uint8_t own[6], router[6];
	bool tunnelled;
	struct in6_addr br, ce;
};

struct router {
	struct wire lan, wan;
};

struct flow {
	uint32_t source, destination; /* host order */
	uint16_t sport, dport;
};

static uint8_t protocol;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* MAC, or MAC,BR,CE */
static void read_ends(char *text, struct wire *ret)
{
	const char *mac = strtok(text, ","), *br = strtok(NULL, ","), *ce = strtok(NULL, ",");

	if (!mac || sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &ret->router[0], &ret->router[1],
			   &ret->router[2], &ret->router[3], &ret->router[4], &ret->router[5]) != 6)
		die("not a MAC address");
	ret->tunnelled = br != NULL;
	if (br && (!ce || inet_pton(AF_INET6, br, &ret->br) != 1 ||
		   inet_pton(AF_INET6, ce, &ret->ce) != 1))
		die("not the ends of a tunnel");
}

static void open_wire(const char *namespace, char *ends, struct wire *ret)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	struct ifreq request = {.ifr_name = "wire"};
	char path[256];
	int fd, one = 1;

	snprintf(path, sizeof(path), "/run/netns/%s", namespace);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(path);
	close(fd);
	ret->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (ret->fd < 0 || ioctl(ret->fd, SIOCGIFHWADDR, &request) < 0)
		die("packet socket");
	memcpy(ret->own, request.ifr_hwaddr.sa_data, sizeof(ret->own));
	ret->index = (int)if_nametoindex("wire");
	address.sll_ifindex = ret->index;
	if (bind(ret->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("bind");
	setsockopt(ret->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	read_ends(ends, ret);
}

static uint16_t ethertype(const struct wire *wire)
{
	return wire->tunnelled ? ETH_P_IPV6 : ETH_P_IP;
}

/* Where IPv4 begins in a frame. */
static size_t inner(const struct wire *wire)
{
	return ETHERNET + (wire->tunnelled ? OUTER : 0);
}

static void listen_wire(const struct wire *wire, bool on)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_ifindex = wire->index,
				      .sll_protocol = on ? htons(ethertype(wire)) : 0};
	char drain[2048];

	if (bind(wire->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("bind");
	while (!on && recv(wire->fd, drain, sizeof(drain), MSG_DONTWAIT) > 0)
		;
}

static uint32_t add_words(const uint8_t *data, size_t length, uint32_t sum)
{
	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)(data[i] << 8 | data[i + 1]);
	return sum;
}

static void put_checksum(uint8_t *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	at[0] = (uint8_t)(~sum >> 8);
	at[1] = (uint8_t)~sum;
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, (uint16_t)(value >> 16));
	put16(at + 2, (uint16_t)value);
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void write_outer(uint8_t *outer, const struct wire *wire, uint16_t length)
{
	outer[0] = 0x60;
	put16(outer + 4, length);
	outer[6] = IPPROTO_IPIP;
	outer[7] = 64;
	memcpy(outer + 8, &wire->br, 16);
	memcpy(outer + 24, &wire->ce, 16);
}

static size_t write_frame(uint8_t *frame, const struct wire *wire, const struct flow *flow,
			  uint8_t flags, uint32_t seq, uint32_t ack)
{
	uint8_t *ip = frame + inner(wire), *l4 = ip + 20;
	size_t options = flags & FLAG_SYN ? 4 : 0;
	size_t length = protocol == IPPROTO_TCP ? 20 + options : 8 + 16;

	memset(frame, 0, FRAME_MAX);
	memcpy(frame, wire->router, 6);
	memcpy(frame + 6, wire->own, 6);
	put16(frame + 12, ethertype(wire));
	if (wire->tunnelled)
		write_outer(frame + ETHERNET, wire, (uint16_t)(20 + length));
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(20 + length));
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, flow->source);
	put32(ip + 16, flow->destination);
	put_checksum(ip + 10, add_words(ip, 20, 0));
	put16(l4, flow->sport);
	put16(l4 + 2, flow->dport);
	if (protocol == IPPROTO_TCP) {
		put32(l4 + 4, seq);
		put32(l4 + 8, ack);
		l4[12] = (uint8_t)((20 + options) / 4 << 4);
		l4[13] = flags;
		put16(l4 + 14, 0xffff);
		if (options)
			put32(l4 + 20, MSS_OPTION);
	} else {
		put16(l4 + 4, (uint16_t)length);
	}
	put_checksum(l4 + (protocol == IPPROTO_TCP ? 16 : 6),
		     add_words(l4, length, add_words(ip + 12, 8, protocol + (uint32_t)length)));
	return inner(wire) + 20 + length;
}

/* ---- timing ------------------------------------------------------------------------------------
 */

static uint8_t frames[BATCH][FRAME_MAX];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

static uint64_t now_nsec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t send_batch(const struct wire *wire)
{
	uint64_t before = now_nsec();
	unsigned int sent = 0;

	while (sent < BATCH) {
		int r = sendmmsg(wire->fd, messages + sent, BATCH - sent, 0);

		if (r < 0)
			die("sendmmsg");
		sent += (unsigned int)r;
	}
	return (now_nsec() - before) / BATCH;
}

static void fill(unsigned int slot, size_t length)
{
	vectors[slot] = (struct iovec){frames[slot], length};
	messages[slot].msg_hdr = (struct msghdr){.msg_iov = &vectors[slot], .msg_iovlen = 1};
}

static int compare_times(const void *a, const void *b)
{
	const uint64_t *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

static uint64_t at_part(uint64_t *values, size_t count, size_t part)
{
	qsort(values, count, sizeof(*values), compare_times);
	return values[count / part];
}

/* Two batches of frames of the same flows. */
struct turn {
	void (*prepare)(const struct turn *turn, unsigned int router, unsigned int batch);
	const struct wire *wires[ROUTERS];
	const struct flow *flow[ROUTERS]; /* established */
	uint32_t ack;
	bool known;
};

static void compare(const struct turn *turn, unsigned int batches)
{
	uint64_t *times[ROUTERS], *ratios = calloc(batches, sizeof(*ratios));

	for (unsigned int r = 0; r < ROUTERS; r++)
		times[r] = calloc(batches, sizeof(*times[r]));
	if (!ratios || !times[0] || !times[1])
		die("calloc");
	for (unsigned int n = 0; n < batches; n++) {
		for (unsigned int i = 0; i < ROUTERS; i++) {
			unsigned int r = (n + i) % ROUTERS; /* neither is always the first */

			turn->prepare(turn, r, n);
			times[r][n] = send_batch(turn->wires[r]);
		}
		ratios[n] = times[1][n] * 1000 / times[0][n];
	}
	printf("%llu %llu %llu\n", (unsigned long long)at_part(times[0], batches, 10),
	       (unsigned long long)at_part(times[1], batches, 10),
	       (unsigned long long)at_part(ratios, batches, 2));
	free(ratios);
	free(times[0]);
	free(times[1]);
}

/* ---- first packets -----------------------------------------------------------------------------
 */

static struct flow new_flow(unsigned int n, bool known)
{
	struct flow flow = {.source = LAN_FIRST + n % 100, .dport = 7000};

	if (known) {
		flow.sport = 30000;
		flow.destination = FAR_FIRST + n / 100 % 200;
		flow.dport = (uint16_t)(7000 + n / 20000);
	} else {
		flow.sport = (uint16_t)(20000 + n / 100);
		flow.destination = FAR_FIRST + n / 7 % 200;
	}
	return flow;
}

static void prepare_new(const struct turn *turn, unsigned int router, unsigned int batch)
{
	for (unsigned int i = 0; i < BATCH; i++) {
		struct flow flow = new_flow(batch * BATCH + i, turn->known);

		fill(i, write_frame(frames[i], turn->wires[router], &flow, FLAG_SYN, 1, 0));
	}
}

/* ---- one connection, both ways -----------------------------------------------------------------
 */

static void prepare_established(const struct turn *turn, unsigned int router, unsigned int batch)
{
	(void)batch;
	for (unsigned int i = 0; i < BATCH; i++)
		fill(i, write_frame(frames[i], turn->wires[router], turn->flow[router], FLAG_ACK, 2,
				    turn->ack));
}

static void send_one(const struct wire *wire, const struct flow *flow, uint8_t flags, uint32_t seq,
		     uint32_t ack)
{
	uint8_t frame[FRAME_MAX];
	size_t length = write_frame(frame, wire, flow, flags, seq, ack);

	if (send(wire->fd, frame, length, 0) < 0)
		die("send");
}

/* What the far end sees of the connection, turned round. */
static struct flow far_flow(const struct wire *wan)
{
	struct pollfd ready = {.fd = wan->fd, .events = POLLIN};
	uint8_t frame[2048];
	const uint8_t *ip = frame + inner(wan), *l4 = ip + 20;
	ssize_t length;

	do { /* a router also says things of its own, in IPv6 */
		if (poll(&ready, 1, 1000) <= 0)
			die("nothing came through");
		length = recv(wan->fd, frame, sizeof(frame), 0);
	} while (length < (ssize_t)inner(wan) + 28 || ip[0] >> 4 != 4 || ip[9] != protocol);
	return (struct flow){get32(ip + 16), get32(ip + 12), get16(l4 + 2), get16(l4)};
}

static void time_established(const struct router routers[ROUTERS], unsigned int count)
{
	const struct flow out = {LAN_FIRST, FAR_FIRST, 40000, 7000};
	struct flow in[ROUTERS];
	struct turn turn = {.prepare = prepare_established, .ack = 2};

	for (unsigned int r = 0; r < ROUTERS; r++) {
		listen_wire(&routers[r].wan, true);
		send_one(&routers[r].lan, &out, FLAG_SYN, 1, 0);
		in[r] = far_flow(&routers[r].wan);
		send_one(&routers[r].wan, &in[r], FLAG_SYN | FLAG_ACK, 1, 2);
		send_one(&routers[r].lan, &out, FLAG_ACK, 2, 2);
	}
	if (protocol == IPPROTO_UDP)
		/* nf_conntrack_proto_udp.c: a stream is one that still goes both ways after 2 s */
		usleep(2200000);
	for (unsigned int r = 0; r < ROUTERS; r++) {
		if (protocol == IPPROTO_UDP) {
			send_one(&routers[r].lan, &out, 0, 0, 0);
			send_one(&routers[r].wan, &in[r], 0, 0, 0);
		}
		listen_wire(&routers[r].wan, false);
		turn.wires[r] = &routers[r].lan;
		turn.flow[r] = &out;
	}
	compare(&turn, count / BATCH);
	for (unsigned int r = 0; r < ROUTERS; r++) {
		turn.wires[r] = &routers[r].wan;
		turn.flow[r] = &in[r];
	}
	compare(&turn, count / BATCH);
}

int main(int argc, char **argv)
{
	struct router routers[ROUTERS];
	unsigned int count;
	cpu_set_t cpus;

	if (argc != 4 + 4 * ROUTERS) {
		fprintf(stderr, "usage: flows new|known|established tcp|udp COUNT "
				"LAN WAN LAN-MAC WAN-MAC LAN WAN LAN-MAC WAN-MAC\n");
		return 2;
	}
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	protocol = strcmp(argv[2], "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;
	count = (unsigned int)atoi(argv[3]);
	for (unsigned int r = 0; r < ROUTERS; r++) {
		open_wire(argv[4 + 4 * r], argv[6 + 4 * r], &routers[r].lan);
		open_wire(argv[5 + 4 * r], argv[7 + 4 * r], &routers[r].wan);
	}
	if (strcmp(argv[1], "established") == 0) {
		time_established(routers, count);
	} else {
		struct turn turn = {.prepare = prepare_new,
				    .wires = {&routers[0].lan, &routers[1].lan},
				    .known = strcmp(argv[1], "known") == 0};

		compare(&turn, count / BATCH);
	}
	return 0;
}
