/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads the kernel's table, compares it with the wanted one, and sends the difference as one
 * transaction (nfnetlink batch). Two rules are equal when libnftnl prints their expressions alike,
 * two static sets when they hold the same elements; comments of sets and chains are not compared,
 * because they cannot be changed without making the object anew.
 */
#include "lib/kernel/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <libnftnl/common.h>
#include <libnftnl/gen.h>

#include "lib/base/text.h"
#include "lib/kernel/nft_model.h"

#define RECEIVE_SIZE  (256u * 1024)
#define MESSAGE_MAX   (64u * 1024) /* one message of a batch; nlattr lengths are 16 bits */
#define ELEMENT_CHUNK 256u         /* elements in one message */
#define WHAT_MAX      80
#define RETRIES       8 /* a table that changes under our eyes more often than this is -EBUSY */

struct nft {
	struct mnl_socket *socket;
	uint8_t *buffer;
	uint32_t sequence;
	uint64_t changes;
};

/* ---- one socket ------------------------------------------------------------------------------ */

void nft_close(struct nft *nft)
{
	if (!nft)
		return;
	if (nft->socket)
		mnl_socket_close(nft->socket);
	free(nft->buffer);
	free(nft);
}

int nft_open(struct nft **ret, struct fault *reterr)
{
	_cleanup_(nft_close_p) struct nft *nft = calloc(1, sizeof(*nft));
	int yes = 1, size = 16 * 1024 * 1024;

	if (!nft)
		return fault_errno(reterr, -ENOMEM, "open nftables");
	nft->buffer = malloc(RECEIVE_SIZE);
	if (!nft->buffer)
		return fault_errno(reterr, -ENOMEM, "open nftables");
	nft->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nft->socket || mnl_socket_bind(nft->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return fault_errno(reterr, -errno, "open nftables");
	mnl_socket_setsockopt(nft->socket, NETLINK_EXT_ACK, &yes, sizeof(yes));
	mnl_socket_setsockopt(nft->socket, NETLINK_CAP_ACK, &yes, sizeof(yes));
	/* A transaction is one datagram; 65536 ports make some megabytes. */
	(void)setsockopt(mnl_socket_get_fd(nft->socket), SOL_SOCKET, SO_SNDBUFFORCE, &size,
			 sizeof(size));
	(void)setsockopt(mnl_socket_get_fd(nft->socket), SOL_SOCKET, SO_RCVBUFFORCE, &size,
			 sizeof(size));
	nft->sequence = (uint32_t)time(NULL);
	*ret = TAKE_PTR(nft);
	return 0;
}

uint64_t nft_changes(const struct nft *nft)
{
	return nft->changes;
}

/* The kernel's own sentence, behind the message it answers (capped or not). "" when it gave none.
 */
static const char *extended_ack(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	size_t offset = sizeof(*error);
	const struct nlattr *attr;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return "";
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		offset += error->msg.nlmsg_len - sizeof(struct nlmsghdr);
	mnl_attr_for_each(attr, nlh, offset) if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
						 mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >=
							 0) return mnl_attr_get_str(attr);
	return "";
}

static int fault_from_kernel(struct fault *reterr, const struct nlmsghdr *nlh, const char *what)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
	const char *words = extended_ack(nlh);

	if (words[0])
		return fault_set(reterr, error->error, "%s: %s (%s)", what, strerror(-error->error),
				 words);
	return fault_errno(reterr, error->error, "%s", what);
}

/* Sends one question and gives each answer to handler. -EINTR: the dump was interrupted. */
static int ask(struct nft *nft, struct nlmsghdr *question,
	       int (*handler)(const struct nlmsghdr *nlh, void *userdata), void *userdata,
	       const char *what, struct fault *reterr)
{
	bool dump = (question->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP, interrupted = false;
	uint32_t sequence = question->nlmsg_seq;
	int r;

	if (mnl_socket_sendto(nft->socket, question, question->nlmsg_len) < 0)
		return fault_errno(reterr, -errno, "%s", what);
	for (;;) {
		ssize_t length = mnl_socket_recvfrom(nft->socket, nft->buffer, RECEIVE_SIZE);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)nft->buffer;
		int left = (int)length;

		if (length < 0)
			return fault_errno(reterr, -errno, "%s", what);
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_seq != sequence)
				continue;
			if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
				interrupted = true;
			if (nlh->nlmsg_type == NLMSG_DONE)
				return interrupted ? -EINTR : 0;
			if (nlh->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);

				if (error->error == 0)
					return 0;
				return fault_from_kernel(reterr, nlh, what);
			}
			r = handler(nlh, userdata);
			if (r < 0)
				return fault_errno(reterr, r, "%s", what);
		}
		if (!dump)
			return 0;
	}
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static struct nlmsghdr *question(struct nft *nft, char *buffer, uint16_t type, bool dump)
{
	return nftnl_nlmsg_build_hdr(buffer, type, NFPROTO_INET, dump ? NLM_F_DUMP : 0,
				     ++nft->sequence);
}

static int read_generation_answer(const struct nlmsghdr *nlh, void *userdata)
{
	struct nftnl_gen *gen = nftnl_gen_alloc();
	uint32_t *generation = userdata;

	if (!gen)
		return -ENOMEM;
	if (nftnl_gen_nlmsg_parse(nlh, gen) == 0)
		*generation = nftnl_gen_get_u32(gen, NFTNL_GEN_ID);
	nftnl_gen_free(gen);
	return 0;
}

static int read_generation(struct nft *nft, uint32_t *ret, struct fault *reterr)
{
	char buffer[256] = {0};
	struct nlmsghdr *nlh =
		nftnl_nlmsg_build_hdr(buffer, NFT_MSG_GETGEN, NFPROTO_UNSPEC, 0, ++nft->sequence);

	return ask(nft, nlh, read_generation_answer, ret, "read nftables generation", reterr);
}

static int read_table_answer(const struct nlmsghdr *nlh, void *userdata)
{
	struct nft_table *table = userdata;
	struct nftnl_table *object = nftnl_table_alloc();

	if (!object)
		return -ENOMEM;
	if (nftnl_table_nlmsg_parse(nlh, object) < 0) {
		nftnl_table_free(object);
		return -EBADMSG;
	}
	nftnl_table_free(table->object);
	table->object = object;
	return 0;
}

static int read_chain_answer(const struct nlmsghdr *nlh, void *userdata)
{
	struct nft_table *table = userdata;
	struct nftnl_chain *object = nftnl_chain_alloc();

	if (!object)
		return -ENOMEM;
	if (nftnl_chain_nlmsg_parse(nlh, object) < 0) {
		nftnl_chain_free(object);
		return -EBADMSG;
	}
	if (strcmp(nftnl_chain_get_str(object, NFTNL_CHAIN_TABLE), table->name) != 0) {
		nftnl_chain_free(object);
		return 0;
	}
	return nft_table_take_chain(table, object) ? 0 : -ENOMEM;
}

static int read_rule_answer(const struct nlmsghdr *nlh, void *userdata)
{
	struct nft_table *table = userdata;
	struct nftnl_rule *object = nftnl_rule_alloc();
	struct nft_chain *chain;

	if (!object)
		return -ENOMEM;
	if (nftnl_rule_nlmsg_parse(nlh, object) < 0) {
		nftnl_rule_free(object);
		return -EBADMSG;
	}
	chain = nft_table_find_chain(table, nftnl_rule_get_str(object, NFTNL_RULE_CHAIN));
	if (!chain || strcmp(nftnl_rule_get_str(object, NFTNL_RULE_TABLE), table->name) != 0) {
		nftnl_rule_free(object);
		return 0;
	}
	return nft_chain_take_rule(chain, object) ? 0 : -ENOMEM;
}

static int read_set_answer(const struct nlmsghdr *nlh, void *userdata)
{
	struct nft_table *table = userdata;
	struct nftnl_set *object = nftnl_set_alloc();

	if (!object)
		return -ENOMEM;
	if (nftnl_set_nlmsg_parse(nlh, object) < 0) {
		nftnl_set_free(object);
		return -EBADMSG;
	}
	if (strcmp(nftnl_set_get_str(object, NFTNL_SET_TABLE), table->name) != 0) {
		nftnl_set_free(object);
		return 0;
	}
	return nft_table_take_set(table, object) ? 0 : -ENOMEM;
}

static int read_counter_answer(const struct nlmsghdr *nlh, void *userdata)
{
	struct nft_table *table = userdata;
	struct nftnl_obj *object = nftnl_obj_alloc();
	const char *name;

	if (!object)
		return -ENOMEM;
	if (nftnl_obj_nlmsg_parse(nlh, object) < 0) {
		nftnl_obj_free(object);
		return -EBADMSG;
	}
	name = nftnl_obj_get_str(object, NFTNL_OBJ_TABLE);
	if ((name && strcmp(name, table->name) != 0) ||
	    nftnl_obj_get_u32(object, NFTNL_OBJ_TYPE) != NFT_OBJECT_COUNTER) {
		nftnl_obj_free(object);
		return 0;
	}
	return nft_table_take_counter(table, object) ? 0 : -ENOMEM;
}

static void element_from_object(const struct nft_set *set, struct nftnl_set_elem *object,
				struct nft_element *ret)
{
	struct nft_element element = {0};
	uint32_t length;
	const void *bytes;

	if (nftnl_set_elem_is_set(object, NFTNL_SET_ELEM_FLAGS))
		element.flags = nftnl_set_elem_get_u32(object, NFTNL_SET_ELEM_FLAGS);
	bytes = nftnl_set_elem_get(object, NFTNL_SET_ELEM_KEY, &length);
	if (bytes)
		memcpy(element.bytes, bytes, MIN_OF(length, set->key_length));
	if (set->verdicts) {
		const char *chain = nftnl_set_elem_get_str(object, NFTNL_SET_ELEM_CHAIN);

		if (chain)
			snprintf((char *)element.bytes + set->key_length, NFT_NAME_MAX, "%s",
				 chain);
	} else if (set->data_length) {
		bytes = nftnl_set_elem_get(object, NFTNL_SET_ELEM_DATA, &length);
		if (bytes)
			memcpy(element.bytes + set->key_length, bytes,
			       MIN_OF(length, set->data_length));
	}
	*ret = element;
}

struct element_walk {
	const struct nft_set *set;
	int (*handler)(void *userdata, const struct nft_element *element);
	void *userdata;
};

static int read_elements_answer(const struct nlmsghdr *nlh, void *userdata)
{
	struct element_walk *walk = userdata;
	struct nftnl_set *object = nftnl_set_alloc();
	struct nftnl_set_elems_iter *iter;
	struct nftnl_set_elem *one;
	struct nft_element element;
	int r = 0;

	if (!object)
		return -ENOMEM;
	if (nftnl_set_elems_nlmsg_parse(nlh, object) < 0) {
		nftnl_set_free(object);
		return -EBADMSG;
	}
	iter = nftnl_set_elems_iter_create(object);
	if (!iter) {
		nftnl_set_free(object);
		return -ENOMEM;
	}
	while (r >= 0 && (one = nftnl_set_elems_iter_next(iter))) {
		element_from_object(walk->set, one, &element);
		r = walk->handler(walk->userdata, &element);
	}
	nftnl_set_elems_iter_destroy(iter);
	nftnl_set_free(object);
	return r;
}

static int read_elements(struct nft *nft, const struct nft_set *set,
			 int (*handler)(void *userdata, const struct nft_element *element),
			 void *userdata, struct fault *reterr)
{
	struct element_walk walk = {.set = set, .handler = handler, .userdata = userdata};
	char buffer[1024] = {0}, what[WHAT_MAX];
	struct nlmsghdr *nlh = question(nft, buffer, NFT_MSG_GETSETELEM, true);

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, set->table->name);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set->name);
	snprintf(what, sizeof(what), "read nftables set %s", set->name);
	return ask(nft, nlh, read_elements_answer, &walk, what, reterr);
}

static int keep_element(void *userdata, const struct nft_element *element)
{
	struct nft_set *set = userdata;

	nft_set_take_element(set, element);
	return set->table->failed ? -ENOMEM : 0;
}

static int read_one_table(struct nft *nft, struct nft_table *table, struct fault *reterr)
{
	char buffer[1024] = {0};
	struct nlmsghdr *nlh = question(nft, buffer, NFT_MSG_GETTABLE, false);
	struct fault fault = {0};
	int r;

	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table->name);
	r = ask(nft, nlh, read_table_answer, table, "read nftables table", &fault);
	if (r < 0 && r != -ENOENT && reterr)
		*reterr = fault;
	return r;
}

static int read_parts(struct nft *nft, struct nft_table *table, uint16_t type, int table_attribute,
		      int (*handler)(const struct nlmsghdr *nlh, void *userdata), const char *what,
		      struct fault *reterr)
{
	char buffer[1024] = {0};
	struct nlmsghdr *nlh = question(nft, buffer, type, true);

	if (table_attribute)
		mnl_attr_put_strz(nlh, (uint16_t)table_attribute, table->name);
	return ask(nft, nlh, handler, table, what, reterr);
}

/* Static sets are read with their elements; which sets are static is told by want (a set that is
 * not wanted is only going to be deleted). */
static int read_sets(struct nft *nft, struct nft_table *table, const struct nft_table *want,
		     struct fault *reterr)
{
	int r = read_parts(nft, table, NFT_MSG_GETSET, NFTA_SET_TABLE, read_set_answer,
			   "read nftables sets", reterr);

	for (size_t i = 0; r >= 0 && i < table->set_count; i++) {
		const struct nft_set *wanted = nft_table_find_set(want, table->sets[i]->name);

		if (wanted && !wanted->learnt)
			r = read_elements(nft, table->sets[i], keep_element, table->sets[i],
					  reterr);
	}
	return r;
}

/* 1 and *ret when it stands, 0 when not. -EINTR: read again. */
static int read_table(struct nft *nft, const char *name, const struct nft_table *want,
		      struct nft_table **ret, struct fault *reterr)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = nft_table_new(name, NULL);
	int r;

	if (!table)
		return fault_errno(reterr, -ENOMEM, "read nftables table %s", name);
	r = read_one_table(nft, table, reterr);
	if (r == -ENOENT)
		return 0;
	if (r >= 0 && want)
		r = read_parts(nft, table, NFT_MSG_GETCHAIN, 0, read_chain_answer,
			       "read nftables chains", reterr);
	if (r >= 0 && want)
		r = read_parts(nft, table, NFT_MSG_GETRULE, NFTA_RULE_TABLE, read_rule_answer,
			       "read nftables rules", reterr);
	if (r >= 0 && want)
		r = read_parts(nft, table, NFT_MSG_GETOBJ, NFTA_OBJ_TABLE, read_counter_answer,
			       "read nftables counters", reterr);
	if (r >= 0 && want)
		r = read_sets(nft, table, want, reterr);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(table);
	return 1;
}

/* ---- the transaction ---------------------------------------------------------------------------
 */

struct batch {
	uint8_t *data;
	size_t length, room;
	uint32_t first_sequence, sequence;
	char (*what)[WHAT_MAX]; /* of message first_sequence + index */
	size_t what_room;
	unsigned int changes;
	struct nlmsghdr *last; /* the message that is asked for an ACK */
	size_t last_offset;
	bool failed;
};

static void batch_done(struct batch *batch)
{
	free(batch->data);
	free(batch->what);
}

static bool batch_reserve(struct batch *batch)
{
	size_t wanted = batch->room ? batch->room * 2 : 4 * MESSAGE_MAX;
	size_t index = batch->sequence - batch->first_sequence;
	uint8_t *data;

	if (batch->failed)
		return false;
	if (batch->room - batch->length < 2 * MESSAGE_MAX) {
		data = realloc(batch->data, wanted);
		if (!data) {
			batch->failed = true;
			return false;
		}
		/* libmnl leaves the octets between attributes as they are; the kernel shall not see
		 * ours. */
		memset(data + batch->room, 0, wanted - batch->room);
		batch->data = data;
		batch->room = wanted;
	}
	if (index + 2 > batch->what_room) {
		size_t room = batch->what_room ? batch->what_room * 2 : 256;
		void *what = realloc(batch->what, room * sizeof(*batch->what));

		if (!what) {
			batch->failed = true;
			return false;
		}
		batch->what = what;
		batch->what_room = room;
	}
	return true;
}

static struct nlmsghdr *batch_add(struct batch *batch, uint16_t type, uint16_t flags,
				  const char *verb, const char *kind, const char *name)
{
	if (!batch_reserve(batch))
		return NULL;
	snprintf(batch->what[batch->sequence - batch->first_sequence], WHAT_MAX,
		 "%s nftables %s %s", verb, kind, name);
	batch->changes++;
	return nftnl_nlmsg_build_hdr((char *)batch->data + batch->length, type, NFPROTO_INET, flags,
				     batch->sequence++);
}

static void batch_end_message(struct batch *batch, const struct nlmsghdr *nlh)
{
	if (!nlh)
		return;
	batch->last_offset = batch->length;
	batch->length += MNL_ALIGN(nlh->nlmsg_len);
}

static void batch_begin(struct batch *batch, uint32_t sequence, uint32_t generation)
{
	struct nlmsghdr *nlh;

	*batch = (struct batch){.first_sequence = sequence, .sequence = sequence};
	if (!batch_reserve(batch))
		return;
	snprintf(batch->what[0], WHAT_MAX, "start an nftables transaction");
	nlh = nftnl_batch_begin((char *)batch->data, batch->sequence++);
	if (generation)
		mnl_attr_put_u32(nlh, NFNL_BATCH_GENID, htonl(generation));
	batch->length += MNL_ALIGN(nlh->nlmsg_len);
}

static void batch_end(struct batch *batch)
{
	struct nlmsghdr *nlh;

	if (!batch_reserve(batch))
		return;
	snprintf(batch->what[batch->sequence - batch->first_sequence], WHAT_MAX,
		 "commit an nftables transaction");
	if (batch->last_offset) {
		nlh = (struct nlmsghdr *)(batch->data + batch->last_offset);
		nlh->nlmsg_flags |= NLM_F_ACK;
	}
	nlh = nftnl_batch_end((char *)batch->data + batch->length, batch->sequence++);
	batch->length += MNL_ALIGN(nlh->nlmsg_len);
}

/* The kernel works the whole batch off inside sendmsg(), so every answer is waiting afterwards. */
static int batch_answers(struct nft *nft, const struct batch *batch, struct fault *reterr)
{
	int fd = mnl_socket_get_fd(nft->socket), result = 0;

	for (;;) {
		ssize_t length = recv(fd, nft->buffer, RECEIVE_SIZE, MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)nft->buffer;
		int left = (int)length;

		if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return result;
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return result < 0
				       ? result
				       : fault_errno(reterr, -errno, "hear the answer of nftables");
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			const struct nlmsgerr *error = mnl_nlmsg_get_payload(nlh);
			uint32_t index = nlh->nlmsg_seq - batch->first_sequence;

			if (nlh->nlmsg_type != NLMSG_ERROR || error->error == 0 || result < 0)
				continue;
			if (index >= batch->sequence - batch->first_sequence)
				continue;
			result = fault_from_kernel(reterr, nlh, batch->what[index]);
		}
	}
}

static int batch_send(struct nft *nft, struct batch *batch, struct fault *reterr)
{
	if (batch->failed)
		return fault_errno(reterr, -ENOMEM, "write an nftables transaction");
	nft->sequence = batch->sequence;
	if (mnl_socket_sendto(nft->socket, batch->data, batch->length) < 0)
		return fault_errno(reterr, -errno, "send an nftables transaction");
	nft->changes += batch->changes;
	return batch_answers(nft, batch, reterr);
}

/* ---- messages
 * ------------------------------------------------------------------------------------ */

static void put_table(struct batch *batch, const struct nft_table *table, bool create)
{
	struct nlmsghdr *nlh = batch_add(batch, create ? NFT_MSG_NEWTABLE : NFT_MSG_DELTABLE,
					 create ? NLM_F_CREATE : 0, create ? "add" : "delete",
					 "table", table->name);

	if (nlh && create)
		nftnl_table_nlmsg_build_payload(nlh, table->object);
	else if (nlh)
		mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table->name);
	batch_end_message(batch, nlh);
}

static void put_counter(struct batch *batch, const struct nft_counter *counter, bool create)
{
	struct nlmsghdr *nlh = batch_add(batch, create ? NFT_MSG_NEWOBJ : NFT_MSG_DELOBJ,
					 create ? NLM_F_CREATE : 0, create ? "add" : "delete",
					 "counter", counter->name);

	if (nlh)
		nftnl_obj_nlmsg_build_payload(nlh, counter->object);
	batch_end_message(batch, nlh);
}

static void put_chain(struct batch *batch, const struct nft_chain *chain)
{
	struct nlmsghdr *nlh =
		batch_add(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "add", "chain", chain->name);

	if (nlh)
		nftnl_chain_nlmsg_build_payload(nlh, chain->object);
	batch_end_message(batch, nlh);
}

static void delete_chain(struct batch *batch, const struct nft_chain *chain)
{
	struct nlmsghdr *nlh =
		batch_add(batch, NFT_MSG_DELCHAIN, 0, "delete", "chain", chain->name);

	if (nlh) {
		mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, chain->table->name);
		mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, chain->name);
	}
	batch_end_message(batch, nlh);
}

static void flush_chain(struct batch *batch, const struct nft_chain *chain)
{
	struct nlmsghdr *nlh;

	if (chain->count == 0)
		return;
	nlh = batch_add(batch, NFT_MSG_DELRULE, 0, "empty", "chain", chain->name);
	if (nlh) {
		mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, chain->table->name);
		mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, chain->name);
	}
	batch_end_message(batch, nlh);
}

static void put_rules(struct batch *batch, const struct nft_chain *chain)
{
	char name[NFT_NAME_MAX + 40];

	for (size_t i = 0; i < chain->count; i++) {
		struct nlmsghdr *nlh;

		snprintf(name, sizeof(name), "%zu of chain %s", i + 1, chain->name);
		nlh = batch_add(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "add", "rule",
				name);
		if (nlh)
			nftnl_rule_nlmsg_build_payload(nlh, chain->rules[i]->object);
		batch_end_message(batch, nlh);
	}
}

static void put_set(struct batch *batch, const struct nft_set *set)
{
	struct nlmsghdr *nlh =
		batch_add(batch, NFT_MSG_NEWSET, NLM_F_CREATE, "add", "set", set->name);

	if (nlh)
		nftnl_set_nlmsg_build_payload(nlh, set->object);
	batch_end_message(batch, nlh);
}

static void delete_set(struct batch *batch, const struct nft_set *set)
{
	struct nlmsghdr *nlh = batch_add(batch, NFT_MSG_DELSET, 0, "delete", "set", set->name);

	if (nlh) {
		mnl_attr_put_strz(nlh, NFTA_SET_TABLE, set->table->name);
		mnl_attr_put_strz(nlh, NFTA_SET_NAME, set->name);
	}
	batch_end_message(batch, nlh);
}

static void flush_set(struct batch *batch, const struct nft_set *set)
{
	struct nlmsghdr *nlh = batch_add(batch, NFT_MSG_DELSETELEM, 0, "empty", "set", set->name);

	if (nlh) {
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, set->table->name);
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set->name);
	}
	batch_end_message(batch, nlh);
}

static bool element_to_object(const struct nft_set *set, const struct nft_element *element,
			      bool with_data, struct nftnl_set *list)
{
	struct nftnl_set_elem *object = nftnl_set_elem_alloc();

	if (!object)
		return false;
	nftnl_set_elem_set(object, NFTNL_SET_ELEM_KEY, element->bytes, set->key_length);
	if (element->flags)
		nftnl_set_elem_set_u32(object, NFTNL_SET_ELEM_FLAGS, element->flags);
	if (with_data && set->verdicts) {
		nftnl_set_elem_set_u32(object, NFTNL_SET_ELEM_VERDICT, (uint32_t)NFT_GOTO);
		nftnl_set_elem_set_str(object, NFTNL_SET_ELEM_CHAIN,
				       (const char *)element->bytes + set->key_length);
	} else if (with_data && set->data_length && !(element->flags & NFT_SET_ELEM_INTERVAL_END)) {
		nftnl_set_elem_set(object, NFTNL_SET_ELEM_DATA, element->bytes + set->key_length,
				   set->data_length);
	}
	nftnl_set_elem_add(list, object);
	return true;
}

static void put_element_chunk(struct batch *batch, const struct nft_set *set,
			      const struct nft_element *const *elements, size_t count, bool create)
{
	struct nftnl_set *list = nftnl_set_alloc();
	struct nlmsghdr *nlh;
	bool ok = list != NULL;

	if (ok) {
		nftnl_set_set_str(list, NFTNL_SET_TABLE, set->table->name);
		nftnl_set_set_str(list, NFTNL_SET_NAME, set->name);
		if (create)
			nftnl_set_set_u32(list, NFTNL_SET_ID, set->id);
	}
	for (size_t i = 0; ok && i < count; i++)
		ok = element_to_object(set, elements[i], create, list);
	if (ok) {
		nlh = batch_add(batch, create ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
				create ? NLM_F_CREATE : 0, create ? "add" : "delete",
				"elements of set", set->name);
		if (nlh)
			nftnl_set_elems_nlmsg_build_payload(nlh, list);
		batch_end_message(batch, nlh);
	} else {
		batch->failed = true;
	}
	if (list)
		nftnl_set_free(list);
}

static void put_elements(struct batch *batch, const struct nft_set *set,
			 const struct nft_element *const *elements, size_t count, bool create)
{
	for (size_t i = 0; i < count; i += ELEMENT_CHUNK)
		put_element_chunk(batch, set, elements + i, MIN_OF(count - i, ELEMENT_CHUNK),
				  create);
}

static const struct nft_element **element_pointers(struct batch *batch, const struct nft_set *set)
{
	const struct nft_element **pointers = calloc(set->count + 1, sizeof(*pointers));

	if (!pointers) {
		batch->failed = true;
		return NULL;
	}
	for (size_t i = 0; i < set->count; i++)
		pointers[i] = &set->elements[i];
	return pointers;
}

static void put_all_elements(struct batch *batch, const struct nft_set *set)
{
	const struct nft_element **pointers = element_pointers(batch, set);

	if (pointers)
		put_elements(batch, set, pointers, set->count, true);
	free(pointers);
}

/* Chains come before what leads to them, sets before their elements, rules last. */
static void put_everything(struct batch *batch, const struct nft_table *want)
{
	put_table(batch, want, true);
	for (size_t i = 0; i < want->chain_count; i++)
		put_chain(batch, want->chains[i]);
	for (size_t i = 0; i < want->counter_count; i++)
		put_counter(batch, &want->counters[i], true);
	for (size_t i = 0; i < want->set_count; i++) {
		put_set(batch, want->sets[i]);
		put_all_elements(batch, want->sets[i]);
	}
	for (size_t i = 0; i < want->chain_count; i++)
		put_rules(batch, want->chains[i]);
}

/* ---- comparing
 * ------------------------------------------------------------------------------------- */

static int print_expression(struct nftnl_expr *expr, void *userdata)
{
	char line[1024];

	char *zero;

	nftnl_expr_snprintf(line, sizeof(line), expr, NFTNL_OUTPUT_DEFAULT, 0);
	/* The kernel says so of a dynset without a timeout, but does not want to hear it. */
	zero = strstr(line, "timeout 0ms ");
	if (zero)
		memmove(zero, zero + 12, strlen(zero + 12) + 1);
	text_add(userdata, "%s %s\n", nftnl_expr_get_str(expr, NFTNL_EXPR_NAME), line);
	return 0;
}

static void print_rule(struct nftnl_rule *rule, struct text *out)
{
	uint32_t length = 0;
	const uint8_t *userdata = nftnl_rule_get_data(rule, NFTNL_RULE_USERDATA, &length);

	nftnl_expr_foreach(rule, print_expression, out);
	for (uint32_t i = 0; userdata && i < length; i++)
		text_add(out, "%02x", userdata[i]);
}

static bool rules_equal(struct nftnl_rule *a, struct nftnl_rule *b)
{
	_cleanup_text_ struct text one = TEXT_INIT, other = TEXT_INIT;

	print_rule(a, &one);
	print_rule(b, &other);
	return !text_failed(&one) && !text_failed(&other) &&
	       strcmp(text_get(&one), text_get(&other)) == 0;
}

static bool chain_rules_equal(const struct nft_chain *want, const struct nft_chain *have)
{
	if (want->count != have->count)
		return false;
	for (size_t i = 0; i < want->count; i++)
		if (!rules_equal(want->rules[i]->object, have->rules[i]->object))
			return false;
	return true;
}

static bool chain_hooks_equal(const struct nft_chain *want, const struct nft_chain *have)
{
	bool base = nftnl_chain_is_set(want->object, NFTNL_CHAIN_HOOKNUM);

	if (base != nftnl_chain_is_set(have->object, NFTNL_CHAIN_HOOKNUM))
		return false;
	return !base || (nftnl_chain_get_u32(want->object, NFTNL_CHAIN_HOOKNUM) ==
				 nftnl_chain_get_u32(have->object, NFTNL_CHAIN_HOOKNUM) &&
			 nftnl_chain_get_s32(want->object, NFTNL_CHAIN_PRIO) ==
				 nftnl_chain_get_s32(have->object, NFTNL_CHAIN_PRIO) &&
			 strcmp(nftnl_chain_get_str(want->object, NFTNL_CHAIN_TYPE),
				nftnl_chain_get_str(have->object, NFTNL_CHAIN_TYPE)) == 0);
}

static bool chain_policy_equal(const struct nft_chain *want, const struct nft_chain *have)
{
	return !nftnl_chain_is_set(want->object, NFTNL_CHAIN_HOOKNUM) ||
	       nftnl_chain_get_u32(want->object, NFTNL_CHAIN_POLICY) ==
		       nftnl_chain_get_u32(have->object, NFTNL_CHAIN_POLICY);
}

static bool set_u32_equal(const struct nft_set *a, const struct nft_set *b, uint16_t attribute)
{
	return nftnl_set_get_u32(a->object, attribute) == nftnl_set_get_u32(b->object, attribute);
}

static uint64_t set_timeout(const struct nft_set *set)
{
	return nftnl_set_is_set(set->object, NFTNL_SET_TIMEOUT)
		       ? nftnl_set_get_u64(set->object, NFTNL_SET_TIMEOUT)
		       : 0;
}

static bool sets_alike(const struct nft_set *want, const struct nft_set *have)
{
	return set_u32_equal(want, have, NFTNL_SET_FLAGS) &&
	       set_u32_equal(want, have, NFTNL_SET_KEY_TYPE) &&
	       set_u32_equal(want, have, NFTNL_SET_KEY_LEN) &&
	       set_u32_equal(want, have, NFTNL_SET_DATA_TYPE) &&
	       want->data_length == have->data_length &&
	       set_u32_equal(want, have, NFTNL_SET_DESC_SIZE) &&
	       set_timeout(want) == set_timeout(have);
}

/* What cannot be changed in place. */
static bool must_remake(const struct nft_table *want, const struct nft_table *have)
{
	for (size_t i = 0; i < want->set_count; i++) {
		const struct nft_set *set = nft_table_find_set(have, want->sets[i]->name);

		if (set && !sets_alike(want->sets[i], set))
			return true;
	}
	for (size_t i = 0; i < want->chain_count; i++) {
		const struct nft_chain *chain = nft_table_find_chain(have, want->chains[i]->name);

		if (chain && !chain_hooks_equal(want->chains[i], chain))
			return true;
	}
	return false;
}

static int compare_elements(const void *a, const void *b)
{
	const struct nft_element *const *one = a, *const *other = b;
	int r = memcmp((*one)->bytes, (*other)->bytes, sizeof((*one)->bytes));

	if (r != 0)
		return r;
	return ((*one)->flags > (*other)->flags) - ((*one)->flags < (*other)->flags);
}

/* Walks both sides in order; out gets the elements of a that b has not. */
static size_t missing_in(const struct nft_element **a, size_t a_count, const struct nft_element **b,
			 size_t b_count, const struct nft_element **out)
{
	size_t found = 0, j = 0;

	for (size_t i = 0; i < a_count; i++) {
		while (j < b_count && compare_elements(&b[j], &a[i]) < 0)
			j++;
		if (j == b_count || compare_elements(&b[j], &a[i]) != 0)
			out[found++] = a[i];
	}
	return found;
}

/* Interval sets are written anew: their elements make sense only together. */
static bool diff_elements(struct batch *batch, const struct nft_set *want,
			  const struct nft_set *have, bool send)
{
	const struct nft_element **wanted = element_pointers(batch, want);
	const struct nft_element **standing = element_pointers(batch, have);
	const struct nft_element **out = calloc(want->count + have->count + 1, sizeof(*out));
	bool whole = nftnl_set_get_u32(want->object, NFTNL_SET_FLAGS) & NFT_SET_INTERVAL;
	size_t gone = 0, fresh = 0;

	if (!out)
		batch->failed = true;
	if (wanted && standing && out) {
		qsort(wanted, want->count, sizeof(*wanted), compare_elements);
		qsort(standing, have->count, sizeof(*standing), compare_elements);
		gone = missing_in(standing, have->count, wanted, want->count, out);
		fresh = missing_in(wanted, want->count, standing, have->count, out + gone);
	}
	if (send && gone + fresh > 0 && whole) {
		if (have->count)
			flush_set(batch, have);
		put_all_elements(batch, want);
	} else if (send && gone + fresh > 0) {
		put_elements(batch, want, out, gone, false);
		put_elements(batch, want, out + gone, fresh, true);
	}
	free(wanted);
	free(standing);
	free(out);
	return gone + fresh > 0;
}

static bool identity_changed(struct batch *batch, const struct nft_table *want,
			     const struct nft_table *have)
{
	for (size_t i = 0; i < want->set_count; i++) {
		const struct nft_set *set = nft_table_find_set(have, want->sets[i]->name);

		if (want->sets[i]->identity &&
		    (!set || diff_elements(batch, want->sets[i], set, false)))
			return true;
	}
	return false;
}

static void diff_sets(struct batch *batch, const struct nft_table *want,
		      const struct nft_table *have)
{
	bool forget = identity_changed(batch, want, have);

	for (size_t i = 0; i < want->set_count; i++) {
		const struct nft_set *wanted = want->sets[i];
		const struct nft_set *set = nft_table_find_set(have, wanted->name);

		if (!set) {
			put_set(batch, wanted);
			put_all_elements(batch, wanted);
		} else if (!wanted->learnt) {
			diff_elements(batch, wanted, set, true);
		} else if (forget) {
			flush_set(batch, set);
		}
	}
}

static void diff_table(struct batch *batch, const struct nft_table *want,
		       const struct nft_table *have)
{
	if (nftnl_table_get_u32(have->object, NFTNL_TABLE_FLAGS) & NFT_TABLE_F_DORMANT) {
		struct nlmsghdr *nlh =
			batch_add(batch, NFT_MSG_NEWTABLE, 0, "wake up", "table", want->name);

		if (nlh) {
			mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, want->name);
			mnl_attr_put_u32(nlh, NFTA_TABLE_FLAGS, 0);
		}
		batch_end_message(batch, nlh);
	}
}

/* Which chains get their rules anew. */
static bool chain_changed(const struct nft_chain *want, const struct nft_table *have)
{
	const struct nft_chain *chain = nft_table_find_chain(have, want->name);

	return !chain || !chain_rules_equal(want, chain);
}

static void diff_chains_begin(struct batch *batch, const struct nft_table *want,
			      const struct nft_table *have, const bool *changed)
{
	for (size_t i = 0; i < have->chain_count; i++)
		if (!nft_table_find_chain(want, have->chains[i]->name))
			flush_chain(batch, have->chains[i]);
	for (size_t i = 0; i < want->chain_count; i++) {
		const struct nft_chain *chain = nft_table_find_chain(have, want->chains[i]->name);

		if (chain && changed[i])
			flush_chain(batch, chain);
		if (!chain || !chain_policy_equal(want->chains[i], chain))
			put_chain(batch, want->chains[i]);
	}
}

static void diff_leftovers(struct batch *batch, const struct nft_table *want,
			   const struct nft_table *have)
{
	for (size_t i = 0; i < have->chain_count; i++)
		if (!nft_table_find_chain(want, have->chains[i]->name))
			delete_chain(batch, have->chains[i]);
	for (size_t i = 0; i < have->set_count; i++)
		/* Anonymous sets go with the rule that they belong to. */
		if (!nft_table_find_set(want, have->sets[i]->name) &&
		    !(nftnl_set_get_u32(have->sets[i]->object, NFTNL_SET_FLAGS) &
		      NFT_SET_ANONYMOUS))
			delete_set(batch, have->sets[i]);
	for (size_t i = 0; i < have->counter_count; i++)
		if (!nft_table_find_counter(want, have->counters[i].name))
			put_counter(batch, &have->counters[i], false);
}

static void put_difference(struct batch *batch, const struct nft_table *want,
			   const struct nft_table *have)
{
	bool *changed = calloc(want->chain_count + 1, sizeof(*changed));

	if (!changed) {
		batch->failed = true;
		return;
	}
	for (size_t i = 0; i < want->chain_count; i++)
		changed[i] = chain_changed(want->chains[i], have);
	diff_table(batch, want, have);
	diff_chains_begin(batch, want, have, changed);
	for (size_t i = 0; i < want->counter_count; i++)
		if (!nft_table_find_counter(have, want->counters[i].name))
			put_counter(batch, &want->counters[i], true);
	diff_sets(batch, want, have);
	for (size_t i = 0; i < want->chain_count; i++)
		if (changed[i])
			put_rules(batch, want->chains[i]);
	diff_leftovers(batch, want, have);
	free(changed);
}

static void write_batch(struct batch *batch, const struct nft_table *want,
			const struct nft_table *have)
{
	if (!want) {
		if (have)
			put_table(batch, have, false);
	} else if (!have) {
		put_everything(batch, want);
	} else if (must_remake(want, have)) {
		put_table(batch, have, false);
		put_everything(batch, want);
	} else {
		put_difference(batch, want, have);
	}
	batch_end(batch);
}

/* ---- verbs --------------------------------------------------------------------------------------
 */

static int sync_once(struct nft *nft, const char *name, const struct nft_table *want,
		     struct fault *reterr)
{
	_cleanup_(nft_table_free_p) struct nft_table *have = NULL;
	_cleanup_(batch_done) struct batch batch = {0};
	uint32_t generation = 0;
	int r;

	r = read_generation(nft, &generation, reterr);
	if (r < 0)
		return r;
	r = read_table(nft, name, want, &have, reterr);
	if (r < 0)
		return r;
	batch_begin(&batch, nft->sequence + 1, generation);
	write_batch(&batch, want, have);
	if (batch.changes == 0 && !batch.failed)
		return 0;
	r = batch_send(nft, &batch, reterr);
	return r < 0 ? r : 1;
}

int nft_sync(struct nft *nft, const char *name, const struct nft_table *want, struct fault *reterr)
{
	struct fault fault = {0};
	int r = 0;

	if (want && want->failed)
		return fault_errno(reterr, -ENOMEM, "describe nftables table %s", name);
	/* ERESTART: another program's transaction came between reading and writing. */
	for (unsigned int i = 0; i < RETRIES; i++) {
		r = sync_once(nft, name, want, &fault);
		if (r != -EINTR && r != -ERESTART)
			break;
	}
	if (r == -EINTR || r == -ERESTART)
		return fault_errno(reterr, -EBUSY,
				   "nftables table %s: other programs change nftables all the time",
				   name);
	if (r < 0 && reterr)
		*reterr = fault;
	return r;
}

/* The shape of one set, so that its elements can be read. */
static int read_set_shape(struct nft *nft, const char *table_name, const char *name,
			  struct nft_table **ret, struct fault *reterr)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = nft_table_new(table_name, NULL);
	char buffer[1024] = {0}, what[WHAT_MAX];
	struct nlmsghdr *nlh;
	int r;

	if (!table)
		return fault_errno(reterr, -ENOMEM, "read nftables set %s", name);
	snprintf(what, sizeof(what), "read nftables set %s", name);
	nlh = question(nft, buffer, NFT_MSG_GETSET, false);
	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, table_name);
	mnl_attr_put_strz(nlh, NFTA_SET_NAME, name);
	r = ask(nft, nlh, read_set_answer, table, what, reterr);
	if (r < 0)
		return r;
	if (table->set_count != 1)
		return fault_errno(reterr, -ENOENT, "%s", what);
	*ret = TAKE_PTR(table);
	return 0;
}

struct element_reader {
	const struct nft_set *set;
	void (*handler)(void *userdata, const void *key, const void *data);
	void *userdata;
};

static int tell_element(void *userdata, const struct nft_element *element)
{
	const struct element_reader *reader = userdata;
	const struct nft_set *set = reader->set;

	reader->handler(reader->userdata, element->bytes,
			set->data_length ? element->bytes + set->key_length : NULL);
	return 0;
}

int nft_read_elements(struct nft *nft, const char *table, const char *set,
		      void (*handler)(void *userdata, const void *key, const void *data),
		      void *userdata, struct fault *reterr)
{
	_cleanup_(nft_table_free_p) struct nft_table *shape = NULL;
	struct element_reader reader = {.handler = handler, .userdata = userdata};
	int r = read_set_shape(nft, table, set, &shape, reterr);

	if (r < 0)
		return r;
	reader.set = shape->sets[0];
	r = read_elements(nft, shape->sets[0], tell_element, &reader, reterr);
	return r == -EINTR ? 0 : r; /* seen twice or not at all: good enough for counting */
}

struct element_picker {
	struct nft_set *set;
	bool (*unwanted)(void *userdata, const void *key, const void *data);
	void *userdata;
};

static int pick_element(void *userdata, const struct nft_element *element)
{
	struct element_picker *picker = userdata;
	struct nft_set *set = picker->set;

	if (!picker->unwanted(picker->userdata, element->bytes,
			      set->data_length ? element->bytes + set->key_length : NULL))
		return 0;
	return keep_element(set, element);
}

/* One transaction an element: one that has timed out meanwhile must not keep the others. */
static int remove_element(struct nft *nft, const struct nft_set *set,
			  const struct nft_element *element, struct fault *reterr)
{
	_cleanup_(batch_done) struct batch batch = {0};

	batch_begin(&batch, nft->sequence + 1, 0);
	put_elements(&batch, set, &element, 1, false);
	batch_end(&batch);
	return batch_send(nft, &batch, reterr);
}

int nft_remove_elements(struct nft *nft, const char *table, const char *set,
			bool (*unwanted)(void *userdata, const void *key, const void *data),
			void *userdata, struct fault *reterr)
{
	_cleanup_(nft_table_free_p) struct nft_table *shape = NULL;
	struct element_picker picker = {.unwanted = unwanted, .userdata = userdata};
	struct fault fault = {0};
	int removed = 0, r = read_set_shape(nft, table, set, &shape, reterr);

	if (r < 0)
		return r;
	picker.set = shape->sets[0];
	r = read_elements(nft, picker.set, pick_element, &picker, reterr);
	if (r < 0 && r != -EINTR)
		return r;
	for (size_t i = 0; i < picker.set->count; i++) {
		r = remove_element(nft, picker.set, &picker.set->elements[i], &fault);
		if (r < 0 && r != -ENOENT) {
			if (reterr)
				*reterr = fault;
			return r;
		}
		removed += r >= 0;
	}
	return removed;
}

int nft_read_counter(struct nft *nft, const char *table_name, const char *name,
		     uint64_t *ret_packets, struct fault *reterr)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = nft_table_new(table_name, NULL);
	char buffer[1024] = {0}, what[WHAT_MAX];
	struct nlmsghdr *nlh;
	int r;

	if (!table)
		return fault_errno(reterr, -ENOMEM, "read nftables counter %s", name);
	snprintf(what, sizeof(what), "read nftables counter %s", name);
	nlh = question(nft, buffer, NFT_MSG_GETOBJ, false);
	mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, table_name);
	mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, name);
	mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	r = ask(nft, nlh, read_counter_answer, table, what, reterr);
	if (r < 0)
		return r;
	if (table->counter_count != 1)
		return fault_errno(reterr, -ENOENT, "%s", what);
	*ret_packets = nftnl_obj_get_u64(table->counters[0].object, NFTNL_OBJ_CTR_PKTS);
	return 0;
}

int nft_table_messages(const struct nft_table *table, void **ret, size_t *ret_length)
{
	_cleanup_(batch_done) struct batch batch = {0};

	if (table->failed)
		return -ENOMEM;
	batch_begin(&batch, 1, 0);
	write_batch(&batch, table, NULL);
	if (batch.failed)
		return -ENOMEM;
	*ret = TAKE_PTR(batch.data);
	*ret_length = batch.length;
	return 0;
}
