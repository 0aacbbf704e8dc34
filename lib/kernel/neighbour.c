/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/neighbour.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/base/macro.h"

#define HOP_LIMIT 255 /* RFC 4861 7.1.1: what came over a router has less */

struct solicitation {
	struct nd_neighbor_solicit head;
	struct nd_opt_hdr option; /* source link-layer address */
	uint8_t station[ETH_ALEN];
};

static uint64_t now_ms(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int open_socket(int ifindex)
{
	_cleanup_close_ int fd =
		socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
	struct icmp6_filter filter;
	int hops = HOP_LIMIT, off = 0, on = 1;

	if (fd < 0)
		return -errno;
	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(ND_NEIGHBOR_ADVERT, &filter);
	if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &off, sizeof(off)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &ifindex, sizeof(ifindex)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof(ifindex)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int own_station(int fd, int ifindex, uint8_t ret[static ETH_ALEN])
{
	struct ifreq request = {0};

	if (!if_indextoname((unsigned int)ifindex, request.ifr_name) ||
	    ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return -errno;
	memcpy(ret, request.ifr_hwaddr.sa_data, ETH_ALEN);
	return 0;
}

/* The checksum is the kernel's work (RFC 3542 3.1). */
static int solicit(int fd, int ifindex, const struct in6_addr *address)
{
	struct solicitation message = {
		.head.nd_ns_type = ND_NEIGHBOR_SOLICIT,
		.head.nd_ns_target = *address,
		.option = {ND_OPT_SOURCE_LINKADDR, 1},
	};
	struct sockaddr_in6 to = {
		.sin6_family = AF_INET6,
		.sin6_scope_id = (uint32_t)ifindex,
		/* ff02::1:ff00:0/104, RFC 4291 2.7.1 */
		.sin6_addr.s6_addr = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff},
	};
	int r = own_station(fd, ifindex, message.station);

	if (r < 0)
		return r;
	memcpy(&to.sin6_addr.s6_addr[13], &address->s6_addr[13], 3);
	return sendto(fd, &message, sizeof(message), 0, (struct sockaddr *)&to, sizeof(to)) < 0
		       ? -errno
		       : 0;
}

static int hop_limit(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT) {
			int hops;

			memcpy(&hops, CMSG_DATA(c), sizeof(hops));
			return hops;
		}
	return -1;
}

static void take_station(const uint8_t *option, size_t length, struct ether_addr *ret)
{
	while (length >= 8 && option[1] > 0 && (size_t)option[1] * 8 <= length) {
		if (option[0] == ND_OPT_TARGET_LINKADDR)
			memcpy(ret->ether_addr_octet, option + 2, ETH_ALEN);
		length -= (size_t)option[1] * 8;
		option += (size_t)option[1] * 8;
	}
}

/* 1: an advertisement of the address, 0: something else or nothing. */
static int take_answer(int fd, const struct in6_addr *address, struct ether_addr *ret)
{
	uint8_t buffer[1500], control[128];
	struct iovec part = {buffer, sizeof(buffer)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct nd_neighbor_advert advert;
	ssize_t length = recvmsg(fd, &message, 0);

	if (length < (ssize_t)sizeof(advert) || hop_limit(&message) != HOP_LIMIT)
		return 0;
	memcpy(&advert, buffer, sizeof(advert));
	if (advert.nd_na_type != ND_NEIGHBOR_ADVERT ||
	    memcmp(&advert.nd_na_target, address, sizeof(*address)) != 0)
		return 0;
	*ret = (struct ether_addr){0};
	take_station(buffer + sizeof(advert), (size_t)length - sizeof(advert), ret);
	return 1;
}

int neighbour_ask(int ifindex, const struct in6_addr *address, unsigned int patience_ms,
		  struct ether_addr *ret, struct fault *reterr)
{
	_cleanup_close_ int fd = open_socket(ifindex);
	uint64_t now = now_ms(), end = now + patience_ms;
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	int r = fd < 0 ? fd : solicit(fd, ifindex, address);

	if (r < 0)
		return fault_errno(reterr, r, "ask the neighbours");
	for (; now < end; now = now_ms()) {
		if (poll(&wait, 1, (int)(end - now)) > 0 && take_answer(fd, address, ret))
			return 1;
	}
	return 0;
}
