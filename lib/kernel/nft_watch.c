/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nft_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/kernel/nfnl.h"
#include "lib/kernel/nft_attribute.h"

#define CULPRIT_MAX  48
#define TABLE_MAX    64
#define DISPATCH_MAX 256 /* datagrams in one call */

struct nft_watch {
	struct mnl_socket *socket;
	char table[TABLE_MAX];
	char culprit[CULPRIT_MAX];
	bool touched; /* in the transaction whose messages are being read */
	bool hit;     /* in this dispatch */
	bool paused;
};

/* In every nftables message but NFT_MSG_*GEN the first attribute is the name of the table. */
#define TABLE_ATTRIBUTE NFTA_TABLE_NAME

/* The end of a transaction, and who made it (net/netfilter/nf_tables_api.c
 * nf_tables_fill_gen_info).
 */
static void take_generation(struct nft_watch *watch, const struct nlmsghdr *nlh)
{
	const struct nlattr *pid = nft_attribute(nlh, NFTA_GEN_PROC_PID);
	const struct nlattr *name = nft_attribute(nlh, NFTA_GEN_PROC_NAME);
	bool touched = watch->touched;
	uint32_t number = 0;

	watch->touched = false;
	if (pid && mnl_attr_validate(pid, MNL_TYPE_U32) >= 0)
		number = ntohl(mnl_attr_get_u32(pid));
	if (!touched || number == (uint32_t)getpid())
		return;
	watch->hit = true;
	if (name && mnl_attr_validate(name, MNL_TYPE_NUL_STRING) >= 0)
		snprintf(watch->culprit, sizeof(watch->culprit), "%.16s (process %u)",
			 mnl_attr_get_str(name), number);
}

static void take_message(struct nft_watch *watch, const struct nlmsghdr *nlh)
{
	const struct nlattr *table;

	if (nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	    nlh->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
		return;
	if ((nlh->nlmsg_type & 0xff) == NFT_MSG_NEWGEN) {
		take_generation(watch, nlh);
		return;
	}
	table = nft_attribute(nlh, TABLE_ATTRIBUTE);
	if (table && mnl_attr_validate(table, MNL_TYPE_NUL_STRING) >= 0 &&
	    strcmp(mnl_attr_get_str(table), watch->table) == 0)
		watch->touched = true;
}

int nft_watch_feed(struct nft_watch *watch, const void *data, size_t length)
{
	const struct nlmsghdr *nlh;

	watch->hit = false;
	while ((nlh = nfnl_take_message(&data, &length)))
		take_message(watch, nlh);
	return watch->hit;
}

struct nft_watch *nft_watch_new(const char *table)
{
	struct nft_watch *watch = calloc(1, sizeof(*watch));

	if (watch)
		snprintf(watch->table, sizeof(watch->table), "%s", table);
	return watch;
}

static int set_membership(struct nft_watch *watch, int option)
{
	int group = NFNLGRP_NFTABLES;

	return mnl_socket_setsockopt(watch->socket, option, &group, sizeof(group)) < 0 ? -errno : 0;
}

void nft_watch_pause(struct nft_watch *watch)
{
	if (watch && set_membership(watch, NETLINK_DROP_MEMBERSHIP) >= 0)
		watch->paused = true;
}

int nft_watch_resume(struct nft_watch *watch)
{
	int r = watch && watch->paused ? set_membership(watch, NETLINK_ADD_MEMBERSHIP) : 0;

	if (watch && r >= 0)
		watch->paused = false;
	return r;
}

static int join(struct nft_watch *watch)
{
	watch->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (!watch->socket || mnl_socket_bind(watch->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return set_membership(watch, NETLINK_ADD_MEMBERSHIP);
}

int nft_watch_open(const char *table, struct nft_watch **ret, struct fault *reterr)
{
	_cleanup_(nft_watch_close_p) struct nft_watch *watch = nft_watch_new(table);
	int r;

	if (!watch)
		return fault_errno(reterr, -ENOMEM, "listen to nftables");
	r = join(watch);
	if (r < 0)
		return fault_errno(reterr, r, "listen to nftables");
	*ret = TAKE_PTR(watch);
	return 0;
}

void nft_watch_close(struct nft_watch *watch)
{
	if (!watch)
		return;
	if (watch->socket)
		mnl_socket_close(watch->socket);
	free(watch);
}

int nft_watch_fd(const struct nft_watch *watch)
{
	return mnl_socket_get_fd(watch->socket);
}

int nft_watch_dispatch(struct nft_watch *watch)
{
	_Alignas(struct nlmsghdr) char buffer[16384];
	int hit = 0;

	for (int i = 0; i < DISPATCH_MAX; i++) {
		ssize_t length = mnl_socket_recvfrom(watch->socket, buffer, sizeof(buffer));

		if (length < 0 && (errno == ENOBUFS || errno == ENOSPC))
			hit = 1; /* lost, or too long for the buffer */
		else if (length < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		else if (length <= 0)
			break;
		else
			hit |= nft_watch_feed(watch, buffer, (size_t)length);
	}
	return hit;
}

void nft_watch_take_culprit(struct nft_watch *watch, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s", watch->culprit);
	watch->culprit[0] = '\0';
}
