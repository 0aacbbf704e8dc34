/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Times a router in a network namespace, for tests/bench-nat:
 *
 *   flows LAN-NAMESPACE WAN-NAMESPACE LAN-MAC WAN-MAC (new|known|established) (tcp|udp) COUNT
 *
 * new: each packet begins a connection of an endpoint that was never seen. known: of one of 100
 * endpoints to a destination that was never seen. established: packets of one connection, both
 * ways. Both ends are veths named "wire"; the MAC addresses are the router's. A packet is forwarded
 * while it is being sent, so the time of sending is the time of forwarding. Prints nanoseconds a
 * packet: the tenth part of the batches was faster. established prints two numbers, out and in.
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

#define BATCH     64u
#define FRAME_MAX 128u
#define LAN_FIRST 0xc0a8020au /* 192.168.2.10 */
#define FAR_FIRST 0xcb007101u /* 203.0.113.1 */
#define FLAG_SYN  2
#define FLAG_ACK  16

struct wire {
	int fd;
	uint8_t own[6], router[6];
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

static void open_wire(const char *namespace, const char *mac, struct wire *ret)
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
	address.sll_ifindex = (int)if_nametoindex("wire");
	if (bind(ret->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("bind");
	setsockopt(ret->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &ret->router[0], &ret->router[1],
		   &ret->router[2], &ret->router[3], &ret->router[4], &ret->router[5]) != 6)
		die(mac);
}

static void listen_wire(const struct wire *wire, bool on)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_ifindex = (int)if_nametoindex("wire"),
				      .sll_protocol = on ? htons(ETH_P_IP) : 0};
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

static size_t write_frame(uint8_t *frame, const struct wire *wire, const struct flow *flow,
			  uint8_t flags, uint32_t seq, uint32_t ack)
{
	uint8_t *ip = frame + 14, *l4 = ip + 20;
	size_t length = protocol == IPPROTO_TCP ? 20 : 8 + 16;

	memset(frame, 0, FRAME_MAX);
	memcpy(frame, wire->router, 6);
	memcpy(frame + 6, wire->own, 6);
	put16(frame + 12, ETH_P_IP);
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
		l4[12] = 0x50;
		l4[13] = flags;
		put16(l4 + 14, 0xffff);
	} else {
		put16(l4 + 4, (uint16_t)length);
	}
	put_checksum(l4 + (protocol == IPPROTO_TCP ? 16 : 6),
		     add_words(l4, length, add_words(ip + 12, 8, protocol + (uint32_t)length)));
	return 14 + 20 + length;
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

static uint64_t typical(uint64_t *times, size_t count)
{
	qsort(times, count, sizeof(*times), compare_times);
	return times[count / 10];
}

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

static uint64_t time_new(const struct wire *lan, unsigned int count, bool known)
{
	uint64_t *times = calloc(count / BATCH + 1, sizeof(*times)), result;
	unsigned int batches = 0;

	if (!times)
		die("calloc");
	for (unsigned int n = 0; n + BATCH <= count; n += BATCH) {
		for (unsigned int i = 0; i < BATCH; i++) {
			struct flow flow = new_flow(n + i, known);

			fill(i, write_frame(frames[i], lan, &flow, FLAG_SYN, 1, 0));
		}
		times[batches++] = send_batch(lan);
	}
	result = typical(times, batches);
	free(times);
	return result;
}

/* ---- one connection, both ways
 * ------------------------------------------------------------------- */

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
	const uint8_t *ip = frame + 14, *l4 = ip + 20;

	if (poll(&ready, 1, 1000) <= 0 || recv(wan->fd, frame, sizeof(frame), 0) < 54)
		die("nothing came through");
	return (struct flow){get32(ip + 16), get32(ip + 12), get16(l4 + 2), get16(l4)};
}

static uint64_t time_packets(const struct wire *wire, const struct flow *flow, unsigned int count,
			     uint32_t ack)
{
	uint64_t *times = calloc(count / BATCH + 1, sizeof(*times)), result;
	unsigned int batches = 0;

	if (!times)
		die("calloc");
	for (unsigned int i = 0; i < BATCH; i++)
		fill(i, write_frame(frames[i], wire, flow, FLAG_ACK, 2, ack));
	for (unsigned int n = 0; n + BATCH <= count; n += BATCH)
		times[batches++] = send_batch(wire);
	result = typical(times, batches);
	free(times);
	return result;
}

static void time_established(const struct wire *lan, const struct wire *wan, unsigned int count)
{
	struct flow out = {LAN_FIRST, FAR_FIRST, 40000, 7000}, in;
	unsigned long long there, back;

	listen_wire(wan, true);
	send_one(lan, &out, FLAG_SYN, 1, 0);
	in = far_flow(wan);
	send_one(wan, &in, FLAG_SYN | FLAG_ACK, 1, 2);
	send_one(lan, &out, FLAG_ACK, 2, 2);
	if (protocol == IPPROTO_UDP) {
		/* nf_conntrack_proto_udp.c: a stream is one that still goes both ways after 2 s */
		usleep(2200000);
		send_one(lan, &out, 0, 0, 0);
		send_one(wan, &in, 0, 0, 0);
	}
	listen_wire(wan, false);
	there = time_packets(lan, &out, count, 2);
	back = time_packets(wan, &in, count, 2);
	printf("%llu %llu\n", there, back);
}

int main(int argc, char **argv)
{
	struct wire lan, wan;
	unsigned int count;
	cpu_set_t cpus;

	if (argc != 8) {
		fprintf(stderr,
			"usage: flows LAN WAN LAN-MAC WAN-MAC new|known|established tcp|udp "
			"COUNT\n");
		return 2;
	}
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	protocol = strcmp(argv[6], "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;
	count = (unsigned int)atoi(argv[7]);
	open_wire(argv[1], argv[3], &lan);
	open_wire(argv[2], argv[4], &wan);
	if (strcmp(argv[5], "established") == 0)
		time_established(&lan, &wan, count);
	else
		printf("%llu\n",
		       (unsigned long long)time_new(&lan, count, strcmp(argv[5], "known") == 0));
	return 0;
}
