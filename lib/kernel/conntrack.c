/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/kernel/nfnl.h"
#include "lib/kernel/nft_attribute.h"

#define RETRIES 8

/* The kernel keeps what it has offloaded (IPS_OFFLOAD). A flowtable that is gone gives its
 * connections back behind the transaction, in a work item (nf_tables_api.c,
 * nf_tables_trans_destroy_work). */
#define RETURN_TRIES 50
#define RETURN_NSEC  5000000

/* net/netfilter/nf_conntrack_netlink.c, CTA_FILTER_FLAG(CTA_IP_DST): not in the kernel's headers.
 */
#define FILTER_DESTINATION (1u << 1)

struct conntrack {
	struct nfnl *nl;
};

/* Which end of a connection carries the external address. */
enum side {
	SIDE_REPLY,    /* source NAT: replies go to it */
	SIDE_ORIGINAL, /* forwards and the router itself: first packets came to it */
};

/* ---- one socket ------------------------------------------------------------------------------ */

void conntrack_close(struct conntrack *ct)
{
	if (!ct)
		return;
	nfnl_close(ct->nl);
	free(ct);
}

int conntrack_open(struct conntrack **ret, struct fault *reterr)
{
	_cleanup_(conntrack_close_p) struct conntrack *ct = calloc(1, sizeof(*ct));
	int r;

	if (!ct)
		return fault_errno(reterr, -ENOMEM, "open connection tracking");
	r = nfnl_open("open connection tracking", &ct->nl, reterr);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(ct);
	return 0;
}

static struct nlmsghdr *message(struct conntrack *ct, void *buffer, uint8_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *family;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	nlh->nlmsg_seq = nfnl_take_sequence(ct->nl, 1);
	family = mnl_nlmsg_put_extra_header(nlh, sizeof(*family));
	family->nfgen_family = AF_INET;
	family->version = NFNETLINK_V0;
	return nlh;
}

/* Entries with address on that side. Without the filter the kernel ignores the tuple and answers
 * with everything, which is why what comes back is looked at once more. */
static void put_filter(struct nlmsghdr *nlh, enum side side, struct in_addr address)
{
	struct nlattr *tuple, *ip, *filter;

	tuple = mnl_attr_nest_start(nlh, side == SIDE_REPLY ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG);
	ip = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
	mnl_attr_put_u32(nlh, CTA_IP_V4_DST, address.s_addr);
	mnl_attr_nest_end(nlh, ip);
	mnl_attr_nest_end(nlh, tuple);
	filter = mnl_attr_nest_start(nlh, CTA_FILTER);
	mnl_attr_put_u32(nlh, CTA_FILTER_ORIG_FLAGS,
			 side == SIDE_ORIGINAL ? FILTER_DESTINATION : 0);
	mnl_attr_put_u32(nlh, CTA_FILTER_REPLY_FLAGS, side == SIDE_REPLY ? FILTER_DESTINATION : 0);
	mnl_attr_nest_end(nlh, filter);
}

/* ---- one entry --------------------------------------------------------------------------------
 */

static uint16_t port_of(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) >= sizeof(uint16_t) ? ntohs(mnl_attr_get_u16(attr))
								  : 0;
}

static void parse_ip(const struct nlattr *nest, struct conntrack_tuple *ret)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_payload_len(attr) < sizeof(uint32_t))
			continue;
		if (mnl_attr_get_type(attr) == CTA_IP_V4_SRC)
			ret->source.s_addr = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == CTA_IP_V4_DST)
			ret->destination.s_addr = mnl_attr_get_u32(attr);
	}
}

static void parse_protocol(const struct nlattr *nest, struct conntrack_tuple *ret,
			   uint8_t *ret_protocol)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
	{
		switch (mnl_attr_get_type(attr)) {
		case CTA_PROTO_NUM:
			if (mnl_attr_get_payload_len(attr) >= 1)
				*ret_protocol = mnl_attr_get_u8(attr);
			break;
		case CTA_PROTO_SRC_PORT:
			ret->source_port = port_of(attr);
			break;
		case CTA_PROTO_DST_PORT:
			ret->destination_port = port_of(attr);
			break;
		case CTA_PROTO_ICMP_ID:
			ret->source_port = ret->destination_port = port_of(attr);
			break;
		default:
			break;
		}
	}
}

static void parse_tuple(const struct nlattr *nest, struct conntrack_tuple *ret,
			uint8_t *ret_protocol)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) == CTA_TUPLE_IP)
			parse_ip(attr, ret);
		else if (mnl_attr_get_type(attr) == CTA_TUPLE_PROTO)
			parse_protocol(attr, ret, ret_protocol);
	}
}

static bool is_established(const struct nlattr *info)
{
	const struct nlattr *state =
		nft_nested(nft_nested(info, CTA_PROTOINFO_TCP), CTA_PROTOINFO_TCP_STATE);

	return state && mnl_attr_get_payload_len(state) >= 1 &&
	       mnl_attr_get_u8(state) == TCP_CONNTRACK_ESTABLISHED;
}

/* What names one entry for deletion: its original tuple as the kernel wrote it, its zone and id. */
#define NAME_MAX_OCTETS 128u

struct entry_name {
	uint8_t attributes[NAME_MAX_OCTETS];
	size_t length;
};

static void add_to_name(struct entry_name *name, const struct nlattr *attr)
{
	size_t length = MNL_ALIGN(attr->nla_len);

	if (name->length + length > sizeof(name->attributes))
		return;
	memcpy(name->attributes + name->length, attr, attr->nla_len);
	name->length += length;
}

static void parse_entry(const struct nlmsghdr *nlh, struct conntrack_entry *ret,
			struct entry_name *ret_name)
{
	const struct nlattr *attr;

	*ret = (struct conntrack_entry){0};
	*ret_name = (struct entry_name){0};
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		switch (mnl_attr_get_type(attr)) {
		case CTA_TUPLE_ORIG:
			parse_tuple(attr, &ret->original, &ret->protocol);
			add_to_name(ret_name, attr);
			break;
		case CTA_TUPLE_REPLY:
			parse_tuple(attr, &ret->reply, &ret->protocol);
			break;
		case CTA_STATUS:
			ret->answered = nft_number(attr) & IPS_SEEN_REPLY;
			ret->assured = nft_number(attr) & IPS_ASSURED;
			break;
		case CTA_PROTOINFO:
			ret->established = is_established(attr);
			break;
		case CTA_TIMEOUT:
			ret->timeout = nft_number(attr);
			break;
		case CTA_ZONE:
		case CTA_ID:
			add_to_name(ret_name, attr);
			break;
		default:
			break;
		}
	}
}

static const struct conntrack_tuple *tuple_of(const struct conntrack_entry *entry, enum side side)
{
	return side == SIDE_REPLY ? &entry->reply : &entry->original;
}

/* ---- verbs --------------------------------------------------------------------------------------
 */

struct collection {
	enum side side;
	struct in_addr address;
	bool (*unwanted)(void *userdata, const struct conntrack_entry *entry); /* NULL: all are */
	void *userdata;
	struct entry_name *names;
	size_t count, room;
};

static int collect(const struct nlmsghdr *nlh, void *userdata)
{
	struct collection *out = userdata;
	struct conntrack_entry entry;
	const struct conntrack_tuple *tuple;
	struct entry_name name;

	parse_entry(nlh, &entry, &name);
	tuple = tuple_of(&entry, out->side);
	if (tuple->destination.s_addr != out->address.s_addr)
		return 0;
	if (out->unwanted && !out->unwanted(out->userdata, &entry))
		return 0;
	if (out->count == out->room) {
		size_t room = out->room ? out->room * 2 : 64;
		void *names = reallocarray(out->names, room, sizeof(*out->names));

		if (!names)
			return -ENOMEM;
		out->names = names;
		out->room = room;
	}
	out->names[out->count++] = name;
	return 0;
}

static int delete_one(struct conntrack *ct, const struct entry_name *name)
{
	uint8_t buffer[1024] = {0};
	struct nlmsghdr *nlh = message(ct, buffer, IPCTNL_MSG_CT_DELETE, NLM_F_ACK);

	memcpy(mnl_nlmsg_get_payload_tail(nlh), name->attributes, name->length);
	nlh->nlmsg_len += (uint32_t)name->length;
	return nfnl_ask(ct->nl, nlh, NULL, NULL, "delete a connection", NULL);
}

static int dump_side(struct conntrack *ct, enum side side, struct in_addr address,
		     int (*handler)(const struct nlmsghdr *nlh, void *userdata), void *userdata)
{
	uint8_t buffer[1024] = {0};
	struct nlmsghdr *nlh = message(ct, buffer, IPCTNL_MSG_CT_GET, NLM_F_DUMP);

	put_filter(nlh, side, address);
	return nfnl_ask(ct->nl, nlh, handler, userdata, "read connections", NULL);
}

/* Kernels before 6.2 or so say EINVAL to a filtered deletion, and none of them deletes too much. */
static int delete_filtered(struct conntrack *ct, enum side side, struct in_addr address)
{
	uint8_t buffer[1024] = {0};
	struct nlmsghdr *nlh = message(ct, buffer, IPCTNL_MSG_CT_DELETE, NLM_F_ACK);

	put_filter(nlh, side, address);
	return nfnl_ask(ct->nl, nlh, NULL, NULL, "delete a connection", NULL);
}

/* An interrupted dump is read again: what was found is deleted first, so that it ends. What is
 * offloaded stays, and is counted. */
static int delete_one_by_one(struct conntrack *ct, struct collection *collection, size_t *ret_held)
{
	int deleted = 0, r = -EINTR;

	for (unsigned int i = 0; i < RETRIES && r == -EINTR; i++) {
		collection->count = 0;
		*ret_held = 0;
		r = dump_side(ct, collection->side, collection->address, collect, collection);
		if (r < 0 && r != -EINTR)
			return r;
		for (size_t n = 0; n < collection->count; n++) {
			int one = delete_one(ct, &collection->names[n]);

			if (one < 0 && one != -ENOENT && one != -EBUSY)
				return one;
			deleted += one == 0;
			*ret_held += one == -EBUSY;
		}
	}
	return r < 0 ? r : deleted;
}

/* Also what comes back from a flowtable meanwhile. */
static int delete_all(struct conntrack *ct, struct collection *collection)
{
	int r = 0, deleted = 0;
	size_t held = 0;

	for (unsigned int i = 0; r >= 0 && i < RETURN_TRIES; i++) {
		r = delete_one_by_one(ct, collection, &held);
		deleted += r > 0 ? r : 0;
		if (held == 0)
			break;
		nanosleep(&(struct timespec){.tv_nsec = RETURN_NSEC}, NULL);
	}
	free(collection->names);
	return r < 0 ? r : deleted;
}

struct keeper {
	const struct portset *ports;
	enum side side;
};

static bool is_foreign(void *userdata, const struct conntrack_entry *entry)
{
	const struct keeper *keeper = userdata;

	return !portset_has(keeper->ports, tuple_of(entry, keeper->side)->destination_port);
}

static int forget_side(struct conntrack *ct, enum side side, struct in_addr address,
		       const struct portset *keep, bool offloaded)
{
	struct keeper keeper = {keep, side};
	struct collection collection = {
		.side = side,
		.address = address,
		.unwanted = keep ? is_foreign : NULL,
		.userdata = &keeper,
	};
	int r = keep ? 0 : delete_filtered(ct, side, address);

	if (r < 0 && r != -EINVAL && r != -EOPNOTSUPP && r != -ENOENT)
		return r;
	/* A filtered deletion passes over what is offloaded. Looking for that takes as long as all
	 * the rest. */
	return keep || r < 0 || offloaded ? delete_all(ct, &collection) : 0;
}

int conntrack_forget(struct conntrack *ct, struct in_addr address, const struct portset *keep,
		     bool offloaded, struct fault *reterr)
{
	char text[INET_ADDRSTRLEN];
	int replies = forget_side(ct, SIDE_REPLY, address, keep, offloaded), originals = replies;

	if (replies >= 0)
		originals = forget_side(ct, SIDE_ORIGINAL, address, keep, offloaded);
	if (originals < 0)
		return fault_errno(reterr, originals, "delete stale connections of %s",
				   inet_ntop(AF_INET, &address, text, sizeof(text)));
	return replies + originals;
}

static int drop(struct conntrack *ct, struct collection collection, struct fault *reterr)
{
	int r = delete_all(ct, &collection);

	return r < 0 ? fault_errno(reterr, r, "delete connections") : 0;
}

int conntrack_drop(struct conntrack *ct, struct in_addr address,
		   bool (*unwanted)(void *userdata, const struct conntrack_entry *entry),
		   void *userdata, struct fault *reterr)
{
	return drop(ct, (struct collection){SIDE_REPLY, address, unwanted, userdata, NULL, 0, 0},
		    reterr);
}

int conntrack_drop_entered(struct conntrack *ct, struct in_addr address,
			   bool (*unwanted)(void *userdata, const struct conntrack_entry *entry),
			   void *userdata, struct fault *reterr)
{
	return drop(ct, (struct collection){SIDE_ORIGINAL, address, unwanted, userdata, NULL, 0, 0},
		    reterr);
}

struct walk {
	struct in_addr address;
	void (*handler)(void *userdata, const struct conntrack_entry *entry);
	void *userdata;
};

static int tell(const struct nlmsghdr *nlh, void *userdata)
{
	const struct walk *walk = userdata;
	struct conntrack_entry entry;
	struct entry_name name;

	parse_entry(nlh, &entry, &name);
	if (entry.reply.destination.s_addr == walk->address.s_addr)
		walk->handler(walk->userdata, &entry);
	return 0;
}

int conntrack_walk(struct conntrack *ct, struct in_addr address,
		   void (*handler)(void *userdata, const struct conntrack_entry *entry),
		   void *userdata, struct fault *reterr)
{
	struct walk walk = {.address = address, .handler = handler, .userdata = userdata};
	int r = dump_side(ct, SIDE_REPLY, address, tell, &walk);

	/* Interrupted: an entry may have been told twice or not at all. Good enough for counting.
	 */
	if (r < 0 && r != -EINTR)
		return fault_errno(reterr, r, "read connections");
	return 0;
}
