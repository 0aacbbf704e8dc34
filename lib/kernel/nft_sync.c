/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes the kernel's tables equal to the wanted ones.
 *
 * What stands after our own transaction is remembered together with the generation of the rule set
 * that it led to. As long as the kernel still has this generation nobody has changed anything, and
 * nothing needs to be read; otherwise the tables are read anew. The transaction names the
 * generation it was made for, so that nothing can come between reading and writing.
 */
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/nft_diff.h"
#include "lib/kernel/nft_messages.h"
#include "lib/kernel/nft_read.h"
#include "lib/kernel/nft_watch.h"

#define RETRIES 8 /* a table that changes under our eyes more often than this is -EBUSY */

/* The tables of one name; NULL: none of that family. */
struct pictures {
	struct nft_picture *of[NFT_FAMILIES];
};

static void pictures_done(struct pictures *pictures)
{
	for (size_t i = 0; i < NFT_FAMILIES; i++)
		nft_picture_free(pictures->of[i]);
	*pictures = (struct pictures){0};
}

struct nft {
	struct nfnl *nl;
	struct nfnl *owner;      /* of the table that is held; NULL: none is */
	bool ownerless;          /* the kernel is older than tables with owners */
	struct nft_watch *watch; /* not ours; may be NULL */
	uint64_t changes;
	struct nft_rows made; /* nft_made() */
	bool refused;         /* nft_refused() */
	/* What stood at this generation; generation 0: not known. */
	char name[NFT_NAME_MAX];
	uint32_t generation;
	struct pictures pictures;
};

void nft_close(struct nft *nft)
{
	if (!nft)
		return;
	nft_release(nft);
	nfnl_close(nft->nl);
	pictures_done(&nft->pictures);
	nft_rows_done(&nft->made);
	free(nft);
}

int nft_open(struct nft **ret, struct fault *reterr)
{
	_cleanup_(nft_close_p) struct nft *nft = calloc(1, sizeof(*nft));
	int r;

	if (!nft)
		return fault_errno(reterr, -ENOMEM, "open nftables");
	nft->made = nft_name_rows();
	r = nfnl_open("open nftables", &nft->nl, reterr);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(nft);
	return 0;
}

void nft_set_watch(struct nft *nft, struct nft_watch *watch)
{
	nft->watch = watch;
}

uint64_t nft_changes(const struct nft *nft)
{
	return nft->changes;
}

bool nft_refused(const struct nft *nft)
{
	return nft->refused;
}

bool nft_made(const struct nft *nft, const char *set)
{
	for (size_t i = 0; i < nft->made.count; i++)
		if (strcmp((const char *)nft_rows_key(&nft->made, i), set) == 0)
			return true;
	return false;
}

/* ---- what is remembered ---------------------------------------------------------------------- */

static void forget(struct nft *nft)
{
	pictures_done(&nft->pictures);
	nft->generation = 0;
}

/* Takes the pictures. */
static void remember(struct nft *nft, const char *name, uint32_t generation,
		     struct pictures *pictures)
{
	forget(nft);
	snprintf(nft->name, sizeof(nft->name), "%s", name);
	nft->generation = generation;
	nft->pictures = *pictures;
	*pictures = (struct pictures){0};
}

static bool is_known(const struct nft *nft, const char *name, uint32_t generation)
{
	return nft->generation != 0 && nft->generation == generation &&
	       strcmp(nft->name, name) == 0;
}

/* Every transaction that changes something counts one further; there is no generation 0. */
static uint32_t next_generation(uint32_t generation)
{
	return generation + 1 ? generation + 1 : 1;
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static int send_batch(struct nft *nft, struct nft_batch *batch, struct fault *reterr)
{
	nft_batch_end(batch);
	if (!batch->failed)
		nft->changes += batch->changes;
	return nft_batch_send(batch, nft->nl, reterr);
}

/* Brings what stands at generation into the memory. */
static int look(struct nft *nft, const char *name, const struct nft_table *const want[],
		uint32_t generation, struct fault *reterr)
{
	_cleanup_(pictures_done) struct pictures have = {0};

	if (is_known(nft, name, generation))
		return 0;
	forget(nft);
	for (enum nft_family i = 0; i < NFT_FAMILIES; i++) {
		int r = nft_read_picture(nft->nl, i, name, want[i], &have.of[i], reterr);

		if (r < 0)
			return r;
	}
	remember(nft, name, generation, &have);
	return 0;
}

/* Not that it was too late, too much or not allowed. */
static bool is_refusal(int error)
{
	return error < 0 && error != -ERESTART && error != -EINTR && error != -ENOMEM &&
	       error != -EPERM && error != -ENOBUFS;
}

static bool stands(const struct nft *nft)
{
	return nft->pictures.of[NFT_IP] || nft->pictures.of[NFT_IP6];
}

static void note_made(struct nft *nft, const struct nft_rows *made)
{
	for (size_t i = 0; i < made->count; i++)
		(void)nft_rows_add(&nft->made, nft_rows_key(made, i), NULL, 0);
}

/* What stands afterwards is remembered; after a failure nobody knows. */
static int commit(struct nft *nft, struct nft_batch *batch, const char *name,
		  struct pictures *pictures, struct fault *reterr)
{
	int r;

	nft_watch_pause(nft->watch);
	r = send_batch(nft, batch, reterr);
	(void)nft_watch_resume(nft->watch); /* or at the next beginning */
	nft->refused = is_refusal(r) && stands(nft);
	if (r > 0)
		remember(nft, name, next_generation(batch->generation), pictures);
	else
		forget(nft);
	if (r >= 0)
		note_made(nft, &batch->made);
	return r < 0 ? r : 1;
}

static int take_pictures(const struct nft_table *const want[], struct pictures *ret)
{
	int r = 0;

	for (size_t i = 0; i < NFT_FAMILIES && r >= 0; i++)
		if (want[i])
			r = nft_picture_new(want[i], &ret->of[i]);
	return r;
}

static void put_differences(struct nft_batch *batch, const char *name,
			    const struct nft_table *const want[], const struct pictures *pictures,
			    const struct pictures *have, bool anew)
{
	for (enum nft_family i = 0; i < NFT_FAMILIES; i++) {
		batch->family = nft_protocol(i);
		if (have->of[i] && (anew || !want[i]))
			nft_delete_table(batch, name);
		if (want[i])
			nft_diff(batch, want[i], pictures->of[i], anew ? NULL : have->of[i]);
	}
}

static int sync_once(struct nft *nft, const char *name, const struct nft_table *const want[],
		     bool anew, struct fault *reterr)
{
	_cleanup_(pictures_done) struct pictures pictures = {0};
	_cleanup_nft_batch_ struct nft_batch batch = {0};
	uint32_t generation = 0;
	int r = take_pictures(want, &pictures);

	if (r < 0)
		return fault_errno(reterr, r, "describe nftables table %s", name);
	r = nft_read_generation(nft->nl, &generation, reterr);
	if (r < 0)
		return r;
	r = look(nft, name, want, generation, reterr);
	if (r < 0)
		return r;
	nft_batch_begin(&batch, generation);
	put_differences(&batch, name, want, &pictures, &nft->pictures, anew);
	if (batch.changes == 0 && !batch.failed)
		return 0;
	return commit(nft, &batch, name, &pictures, reterr);
}

/* While a transaction of ours was under way the watch heard nothing. */
static bool others_came(struct nft *nft)
{
	uint32_t generation = 0;

	return nft->watch && (nft_read_generation(nft->nl, &generation, NULL) < 0 ||
			      generation != nft->generation);
}

static bool failed(const struct nft_table *const want[])
{
	for (size_t i = 0; i < NFT_FAMILIES; i++)
		if (want[i] && want[i]->failed)
			return true;
	return false;
}

static int sync_all(struct nft *nft, const char *name, const struct nft_table *const want[],
		    bool anew, struct fault *reterr)
{
	struct fault fault = {0};
	bool changed = false;
	int r = nft_watch_resume(nft->watch);

	nft_rows_done(&nft->made);
	nft->refused = false;
	if (r < 0)
		return fault_errno(reterr, r, "listen to nftables");
	if (failed(want))
		return fault_errno(reterr, -ENOMEM, "describe nftables table %s", name);
	/* ERESTART: another program's transaction came between reading and writing. */
	for (unsigned int i = 0; i < RETRIES; i++) {
		r = sync_once(nft, name, want, anew && !changed, &fault);
		changed = changed || r > 0;
		if (r == -EINTR || r == -ERESTART)
			continue;
		if (r <= 0 || !others_came(nft))
			break;
	}
	if (r == -EINTR || r == -ERESTART)
		return fault_errno(reterr, -EBUSY,
				   "nftables table %s: other programs change nftables all the time",
				   name);
	if (r < 0 && reterr)
		*reterr = fault;
	return r < 0 ? r : changed;
}

int nft_sync(struct nft *nft, const char *name, const struct nft_table *const want[NFT_FAMILIES],
	     struct fault *reterr)
{
	return sync_all(nft, name, want, false, reterr);
}

int nft_remake(struct nft *nft, const char *name, const struct nft_table *const want[NFT_FAMILIES],
	       struct fault *reterr)
{
	return sync_all(nft, name, want, true, reterr);
}

int nft_stands(struct nft *nft, const char *name, struct fault *reterr)
{
	uint32_t generation = 0;
	int r = nft_watch_resume(nft->watch);

	if (r < 0)
		return fault_errno(reterr, r, "listen to nftables");
	if (nft->generation == 0 || !nft->pictures.of[NFT_IP])
		return 0;
	r = nft_read_generation(nft->nl, &generation, reterr);
	return r < 0 ? r : is_known(nft, name, generation);
}

bool nft_knows(struct nft *nft, const char *name)
{
	uint32_t generation = 0;

	return nft->generation != 0 && nft_read_generation(nft->nl, &generation, NULL) >= 0 &&
	       is_known(nft, name, generation);
}

void nft_release(struct nft *nft)
{
	if (nft->owner)
		nfnl_close(nft->owner);
	nft->owner = NULL;
}

bool nft_may_hold(const struct nft *nft)
{
	return !nft->ownerless;
}

bool nft_holds(const struct nft *nft)
{
	return nft->owner != NULL;
}

static int send_held(struct nfnl *owner, const struct nft_table *table, bool again,
		     struct fault *reterr)
{
	_cleanup_nft_batch_ struct nft_batch batch = {0};

	nftnl_table_set_u32(table->object, NFTNL_TABLE_FLAGS, NFT_TABLE_F_OWNER);
	nft_batch_begin(&batch, 0);
	batch.family = nft_protocol(table->family);
	if (again)
		nft_delete_table(&batch, table->name);
	nft_diff(&batch, table, NULL, NULL);
	nft_batch_end(&batch);
	batch.failed |= table->failed;
	return nft_batch_send(&batch, owner, reterr);
}

int nft_hold(struct nft *nft, const struct nft_table *table, struct fault *reterr)
{
	_cleanup_(nfnl_close_p) struct nfnl *owner = NULL;
	int r;

	if (nft->ownerless)
		return -EOPNOTSUPP;
	if (nft->owner) {
		r = send_held(nft->owner, table, true, reterr);
		return r < 0 ? r : 0;
	}
	r = nfnl_open("open nftables", &owner, reterr);
	if (r < 0)
		return r;
	r = send_held(owner, table, false, reterr);
	nft->ownerless = r == -EOPNOTSUPP || r == -EINVAL;
	if (r < 0)
		return r;
	nft->owner = TAKE_PTR(owner);
	return 0;
}

struct element_teller {
	void (*handler)(void *userdata, const void *key, const void *data);
	void *userdata;
};

static int tell_element(void *userdata, const void *key, const void *data, uint8_t flags)
{
	const struct element_teller *teller = userdata;

	(void)flags;
	teller->handler(teller->userdata, key, data);
	return 0;
}

int nft_read_elements(struct nft *nft, const char *table, const char *set,
		      void (*handler)(void *userdata, const void *key, const void *data),
		      void *userdata, struct fault *reterr)
{
	struct element_teller teller = {handler, userdata};
	const struct nft_element_reader reader = {tell_element, &teller};
	struct nft_shape shape;
	int r = nft_read_shape(nft->nl, NFT_IP, table, set, &shape, reterr);

	if (r < 0)
		return r;
	r = nft_read_rows(nft->nl, NFT_IP, table, set, &shape, &reader, reterr);
	return r == -EINTR ? 0 : r; /* seen twice or not at all: good enough for counting */
}

struct element_picker {
	bool (*chosen)(void *userdata, const void *key, const void *data);
	void *userdata;
	struct nft_rows rows;
};

static int pick_element(void *userdata, const void *key, const void *data, uint8_t flags)
{
	struct element_picker *picker = userdata;

	if (!picker->chosen(picker->userdata, key, data))
		return 0;
	return nft_rows_add(&picker->rows, key, data, flags);
}

enum rewrite {
	REMOVE,
	RENEW,
	CREATE,
};

/* Rows of a transaction. */
#define REWRITE_CHUNK ((size_t)64)

static void put_rows(struct nft_element_writer *writer, const struct nft_rows *rows, size_t first,
		     size_t count, bool create)
{
	writer->create = create;
	for (size_t i = first; i < first + count; i++)
		nft_put_element(writer, rows, i);
	nft_put_last_elements(writer);
}

/* One element has timed out; to be made, it was meanwhile, or there is no room: no word on the
 * table, and none of the others. */
static bool is_of_an_element(int r, enum rewrite how)
{
	return r == -ENOENT || (how != REMOVE && (r == -EEXIST || r == -EBUSY || r == -ENFILE));
}

/* What is remembered holds no learnt elements, so it is true of the next generation as well. */
static int rewrite_once(struct nft *nft, struct nft_element_writer writer,
			const struct nft_rows *rows, size_t first, size_t count, enum rewrite how,
			struct fault *reterr)
{
	_cleanup_nft_batch_ struct nft_batch batch = {0};
	int r;

	nft_batch_begin(&batch, nft->generation);
	batch.family = nft_protocol(NFT_IP);
	writer.batch = &batch;
	if (how != CREATE)
		put_rows(&writer, rows, first, count, false);
	if (how != REMOVE)
		put_rows(&writer, rows, first, count, true);
	r = send_batch(nft, &batch, reterr);
	if (r > 0 && nft->generation != 0)
		nft->generation = next_generation(nft->generation);
	else if (!is_of_an_element(r, how))
		forget(nft);
	return r;
}

static int rewrite_some(struct nft *nft, const struct nft_element_writer *writer,
			const struct nft_rows *rows, size_t first, size_t count, enum rewrite how,
			struct fault *reterr)
{
	int r = rewrite_once(nft, *writer, rows, first, count, how, reterr);

	if (r == -ERESTART) /* others have been here, and nothing is remembered now */
		r = rewrite_once(nft, *writer, rows, first, count, how, reterr);
	return r;
}

/* Many in one transaction; where one is in the way of the others, each by itself. Returns how many
 * were written, or negative errno. */
static int rewrite_chunk(struct nft *nft, const struct nft_element_writer *writer,
			 const struct nft_rows *rows, size_t first, size_t count, enum rewrite how,
			 struct fault *reterr)
{
	struct fault fault = {0};
	int r = rewrite_some(nft, writer, rows, first, count, how, &fault), written = 0;

	if (r >= 0)
		return (int)count;
	if (!is_of_an_element(r, how)) {
		if (reterr)
			*reterr = fault;
		return r;
	}
	for (size_t i = first; count > 1 && i < first + count; i++) {
		r = rewrite_chunk(nft, writer, rows, i, 1, how, reterr);
		if (r < 0)
			return r;
		written += r;
	}
	return written;
}

static int rewrite_rows(struct nft *nft, const struct nft_element_writer *writer,
			const struct nft_rows *rows, enum rewrite how, struct fault *reterr)
{
	int written = 0;

	for (size_t i = 0; i < rows->count; i += REWRITE_CHUNK) {
		size_t count = MIN_OF(REWRITE_CHUNK, rows->count - i);
		int r = rewrite_chunk(nft, writer, rows, i, count, how, reterr);

		if (r < 0)
			return r;
		written += r;
	}
	return written;
}

static int rewrite_elements(struct nft *nft, const struct nft_element_writer *names,
			    struct element_picker *picker, enum rewrite how, struct fault *reterr)
{
	const struct nft_element_reader reader = {pick_element, picker};
	struct nft_element_writer writer = *names;
	struct nft_shape shape;
	int r = nft_read_shape(nft->nl, NFT_IP, names->table, names->set, &shape, reterr);

	if (r < 0)
		return r;
	writer.shape = &shape;
	picker->rows = nft_shape_rows(&shape);
	r = nft_read_rows(nft->nl, NFT_IP, names->table, names->set, &shape, &reader, reterr);
	if (r >= 0 || r == -EINTR)
		r = rewrite_rows(nft, &writer, &picker->rows, how, reterr);
	nft_rows_done(&picker->rows);
	return r;
}

int nft_remove_elements(struct nft *nft, const char *table, const char *set,
			bool (*unwanted)(void *userdata, const void *key, const void *data),
			void *userdata, struct fault *reterr)
{
	struct element_picker picker = {.chosen = unwanted, .userdata = userdata};
	const struct nft_element_writer names = {.table = table, .set = set};

	return rewrite_elements(nft, &names, &picker, REMOVE, reterr);
}

int nft_renew_elements(struct nft *nft, const char *table, const char *set,
		       bool (*living)(void *userdata, const void *key, const void *data),
		       void *userdata, struct fault *reterr)
{
	struct element_picker picker = {.chosen = living, .userdata = userdata};
	const struct nft_element_writer names = {.table = table, .set = set};

	return rewrite_elements(nft, &names, &picker, RENEW, reterr);
}

int nft_create_elements(struct nft *nft, const char *table, const char *set,
			bool (*next)(void *userdata, const void **ret_key, const void **ret_data),
			void *userdata, struct fault *reterr)
{
	struct nft_element_writer writer = {.table = table, .set = set};
	const void *key, *data;
	struct nft_shape shape;
	struct nft_rows rows;
	int r = nft_read_shape(nft->nl, NFT_IP, table, set, &shape, reterr);

	if (r < 0)
		return r;
	writer.shape = &shape;
	rows = nft_shape_rows(&shape);
	while (r >= 0 && next(userdata, &key, &data))
		r = nft_rows_add(&rows, key, data, 0);
	r = r < 0 ? fault_errno(reterr, r, "make elements of %s", set)
		  : rewrite_rows(nft, &writer, &rows, CREATE, reterr);
	nft_rows_done(&rows);
	return r;
}

int nft_read_counter(struct nft *nft, enum nft_family family, const char *table, const char *name,
		     uint64_t *ret_packets, struct fault *reterr)
{
	return nft_read_packets(nft->nl, family, table, name, ret_packets, reterr);
}

int nft_table_messages(const struct nft_table *table, void **ret, size_t *ret_length)
{
	_cleanup_nft_batch_ struct nft_batch batch = {0};

	if (table->failed)
		return -ENOMEM;
	nft_batch_begin(&batch, 0);
	nft_diff(&batch, table, NULL, NULL);
	nft_batch_end(&batch);
	if (batch.failed)
		return -ENOMEM;
	*ret = TAKE_PTR(batch.data);
	*ret_length = batch.length;
	return 0;
}
