/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nat_memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/nat_map.h"

void nat_memory_done(struct nat_memory *memory)
{
	free(memory->entries);
	*memory = (struct nat_memory){0};
}

/* ---- reading ------------------------------------------------------------------------------ */

struct reading {
	const struct nat_plan *plan;
	struct nat_memory *memory;
	bool only_streams, failed;
};

static bool is_given(const struct nat_plan *plan, uint16_t port)
{
	return portset_has(&plan->ports, port) && !is_reserved(plan, port);
}

static bool is_kind(uint8_t protocol)
{
	for (size_t i = 0; i < NAT_KINDS; i++)
		if (nat_kinds[i]->protocol == protocol)
			return true;
	return false;
}

static bool is_stream(const struct conntrack_entry *entry)
{
	return entry->protocol == IPPROTO_UDP && entry->assured;
}

static void take_entry(void *userdata, const struct conntrack_entry *entry)
{
	struct reading *reading = userdata;
	struct nat_memory *memory = reading->memory;

	if (reading->failed || memory->count == NAT_MEMORY_MAX || !is_kind(entry->protocol) ||
	    !is_given(reading->plan, entry->reply.destination_port) ||
	    (reading->only_streams && !is_stream(entry)))
		return;
	if (memory->count == memory->room) {
		size_t room = memory->room ? memory->room * 2 : 64;
		void *entries = reallocarray(memory->entries, room, sizeof(*memory->entries));

		reading->failed = !entries;
		if (!entries)
			return;
		memory->entries = entries;
		memory->room = room;
	}
	memory->entries[memory->count++] = *entry;
}

static int read_into(struct nat_memory *ret, struct conntrack *ct, const struct nat_plan *plan,
		     bool only_streams)
{
	struct reading reading = {.plan = plan, .memory = ret, .only_streams = only_streams};
	int r;

	*ret = (struct nat_memory){0};
	r = conntrack_walk(ct, plan->address.addr, take_entry, &reading, NULL);
	return reading.failed ? -ENOMEM : r;
}

int nat_memory_read(struct conntrack *ct, const struct nat_plan *plan, struct nat_memory *ret)
{
	return read_into(ret, ct, plan, false);
}

int nat_memory_read_streams(struct conntrack *ct, const struct nat_plan *plan,
			    struct nat_memory *ret)
{
	return read_into(ret, ct, plan, true);
}

/* ---- recalling ---------------------------------------------------------------------------- */

#define KEY_WORDS  3u
#define DATA_WORDS 2u

/* An element of a learnt set, in words. */
struct learnt {
	uint32_t key[KEY_WORDS], data[DATA_WORDS];
	uint64_t timeout;   /* ms; 0: the set's */
	bool spare;         /* data is a port that endpoints move to */
	bool stands;        /* the set has an element of this key */
	unsigned int times; /* connections that teach this */
};

/* A number of 16 bits stands at the beginning of its word. */
static uint32_t word_of(uint16_t number)
{
	uint16_t octets = htons(number);
	uint32_t word = 0;

	memcpy(&word, &octets, sizeof(octets));
	return word;
}

/* The other end is where the reply comes from: of a hairpin, the LAN host that it was led to, as
 * the rules see it behind routing. false: the entry teaches this set nothing. */
typedef bool (*teacher)(const struct nat_plan *plan, const struct conntrack_entry *entry,
			struct learnt *ret);

static bool is_spare(const struct nat_plan *plan, uint16_t port)
{
	unsigned int count = portset_count(&plan->ports);

	for (unsigned int i = 0; i < MIN_OF(count, SPARE_PORTS); i++)
		if (portset_nth(&plan->ports, count - 1 - i) == port)
			return true;
	return false;
}

static bool learn_owner(const struct nat_plan *plan, const struct conntrack_entry *entry,
			struct learnt *ret)
{
	*ret = (struct learnt){
		.key = {entry->original.source.s_addr, word_of(entry->original.source_port)},
		.data = {word_of(entry->reply.destination_port)},
		.timeout = entry->answered ? 0 : UNANSWERED_MS,
		.spare = is_spare(plan, entry->reply.destination_port),
	};
	return true;
}

/* nf_conntrack_proto_tcp.c tcp_timeouts: ESTABLISHED, 5 days. What conntrack has left tells little:
 * with data under way it is 300 s, and every packet begins it anew. The set hears of none but those
 * with FIN or RST, which shorten it. */
#define ESTABLISHED_MS 432000000u

static bool learn_ending(const struct nat_plan *plan, const struct conntrack_entry *entry,
			 struct learnt *ret)
{
	(void)plan;
	*ret = (struct learnt){
		.key = {entry->reply.source.s_addr, word_of(entry->reply.source_port),
			word_of(entry->reply.destination_port)},
		.timeout = (uint64_t)entry->timeout * 1000,
	};
	if (entry->answered && entry->established)
		ret->timeout = MAX_OF(ret->timeout, (uint64_t)ESTABLISHED_MS);
	return entry->timeout > 0;
}

static void set_endpoint(const struct conntrack_entry *entry, struct learnt *ret)
{
	ret->data[0] = entry->original.source.s_addr;
	ret->data[1] = word_of(entry->original.source_port);
}

static bool learn_contacted(const struct nat_plan *plan, const struct conntrack_entry *entry,
			    struct learnt *ret)
{
	*ret = (struct learnt){
		.key = {word_of(entry->reply.destination_port), entry->reply.source.s_addr}};
	set_endpoint(entry, ret);
	return filtering_of(plan, entry->original.source) == FILTERING_ADDRESS_DEPENDENT;
}

static bool learn_open(const struct nat_plan *plan, const struct conntrack_entry *entry,
		       struct learnt *ret)
{
	*ret = (struct learnt){.key = {word_of(entry->reply.destination_port)}};
	set_endpoint(entry, ret);
	return filtering_of(plan, entry->original.source) == FILTERING_ENDPOINT_INDEPENDENT;
}

static bool learn_answered(const struct nat_plan *plan, const struct conntrack_entry *entry,
			   struct learnt *ret)
{
	(void)plan;
	*ret = (struct learnt){.key = {word_of(entry->reply.destination_port)}};
	set_endpoint(entry, ret);
	return entry->answered;
}

/* What lasts longest first. */
static int compare_timeout(const struct learnt *one, const struct learnt *other)
{
	if (one->timeout == 0 || other->timeout == 0)
		return (other->timeout == 0) - (one->timeout == 0);
	return (one->timeout < other->timeout) - (one->timeout > other->timeout);
}

static int compare_keys(const void *a, const void *b)
{
	const struct learnt *one = a, *other = b;

	return memcmp(one->key, other->key, sizeof(one->key));
}

static int compare_rows(const void *a, const void *b)
{
	const struct learnt *one = a, *other = b;
	int order = compare_keys(a, b);

	return order ? order : memcmp(one->data, other->data, sizeof(one->data));
}

static int compare_learnt(const void *a, const void *b)
{
	int order = compare_rows(a, b);

	return order ? order : compare_timeout(a, b);
}

/* By key; what is most likely right first: an endpoint moves only where its port is taken. */
static int compare_likely(const void *a, const void *b)
{
	const struct learnt *one = a, *other = b;
	int order = compare_keys(a, b);

	if (order == 0)
		order = (one->times < other->times) - (one->times > other->times);
	if (order == 0)
		order = one->spare - other->spare;
	return order != 0 ? order : compare_timeout(one, other);
}

/* What several connections teach becomes one, and counts them. Returns how many are left. */
static size_t merge(struct learnt *all, size_t count)
{
	size_t left = 0;

	qsort(all, count, sizeof(*all), compare_learnt);
	for (size_t i = 0; i < count; i++) {
		if (left == 0 || compare_rows(&all[left - 1], &all[i]) != 0)
			all[left++] = all[i];
		all[left - 1].times++;
	}
	return left;
}

/* Each key once, in order: the kernel takes no second one with other data. Returns how many are
 * left. */
static size_t one_for_each_key(struct learnt *all, size_t count)
{
	size_t left = 0;

	if (count == 0)
		return 0;
	count = merge(all, count);
	qsort(all, count, sizeof(*all), compare_likely);
	for (size_t i = 0; i < count; i++)
		if (left == 0 || compare_keys(&all[left - 1], &all[i]) != 0)
			all[left++] = all[i];
	return left;
}

static void add_all(struct nft_set *set, struct learnt *all, size_t count)
{
	count = one_for_each_key(all, count);
	for (size_t i = 0; i < count; i++)
		nft_add_learnt(set, all[i].key, all[i].data, all[i].timeout);
}

/* What the entries of a protocol teach; returns how many rows of all, which has room for them, are
 * filled. */
static size_t gather(const struct nat_memory *memory, const struct nat_plan *plan, uint8_t protocol,
		     bool only_answered, teacher teach, struct learnt *all)
{
	size_t count = 0;

	for (size_t i = 0; i < memory->count; i++) {
		const struct conntrack_entry *entry = &memory->entries[i];

		if (entry->protocol == protocol && (entry->answered || !only_answered) &&
		    teach(plan, entry, &all[count]))
			count++;
	}
	return count;
}

static void recall(const struct nat_memory *memory, const struct nat_plan *plan,
		   struct nft_table *table, const char *name, uint8_t protocol, teacher teach)
{
	struct nft_set *set = name ? nft_find_set(table, name) : NULL;
	_cleanup_free_ struct learnt *all = NULL;

	if (!set || memory->count == 0)
		return;
	all = calloc(memory->count, sizeof(*all));
	if (!all) {
		nft_table_fail(table);
		return;
	}
	add_all(set, all, gather(memory, plan, protocol, false, teach, all));
}

void nat_memory_recall(const struct nat_memory *memory, const struct nat_plan *plan,
		       struct nft_table *table)
{
	for (size_t i = 0; i < NAT_KINDS; i++) {
		recall(memory, plan, table, nat_kinds[i]->owner, nat_kinds[i]->protocol,
		       learn_owner);
		recall(memory, plan, table, nat_kinds[i]->closing, nat_kinds[i]->protocol,
		       learn_ending);
	}
	recall(memory, plan, table, "map_contacted", IPPROTO_UDP, learn_contacted);
	recall(memory, plan, table, "map_open", IPPROTO_UDP, learn_open);
	recall(memory, plan, table, "map_answered", IPPROTO_UDP, learn_answered);
}

/* ---- prolonging --------------------------------------------------------------------------- */

/* What living connections have taught one set, sorted, and how much of a row its elements fill. */
struct lessons {
	struct learnt *all;
	size_t count, key_length, data_length;
};

static bool is_taught(void *userdata, const void *key, const void *data)
{
	const struct lessons *lessons = userdata;
	struct learnt element = {0};

	if (!data) /* another program has made a set of the map */
		return false;
	memcpy(element.key, key, lessons->key_length);
	memcpy(element.data, data, lessons->data_length);
	return bsearch(&element, lessons->all, lessons->count, sizeof(element), compare_rows);
}

static int prolong(const struct nat_memory *memory, const struct nat_plan *plan, struct nft *nft,
		   const char *set, uint8_t protocol, teacher teach, struct lessons lessons,
		   struct fault *reterr)
{
	_cleanup_free_ struct learnt *all = calloc(memory->count, sizeof(*all));

	if (!all)
		return fault_errno(reterr, -ENOMEM, "prolong what %s has learnt", set);
	lessons.all = all;
	lessons.count = gather(memory, plan, protocol, true, teach, all);
	if (lessons.count == 0)
		return 0;
	qsort(all, lessons.count, sizeof(*all), compare_rows);
	return nft_renew_elements(nft, PLAN_TABLE, set, is_taught, &lessons, reterr);
}

int nat_memory_prolong(const struct nat_memory *memory, const struct nat_plan *plan,
		       struct nft *nft, struct fault *reterr)
{
	static const struct lessons owner = {.key_length = 8, .data_length = 4};
	static const struct lessons answered = {.key_length = 4, .data_length = 8};
	int r = 0, renewed = 0;

	if (memory->count == 0)
		return 0;
	for (size_t i = 0; i < NAT_KINDS && r >= 0 && !portset_is_whole(&plan->ports); i++) {
		r = prolong(memory, plan, nft, nat_kinds[i]->owner, nat_kinds[i]->protocol,
			    learn_owner, owner, reterr);
		renewed += r;
	}
	if (r >= 0)
		r = prolong(memory, plan, nft, "map_answered", IPPROTO_UDP, learn_answered,
			    answered, reterr);
	return r < 0 ? r : renewed + r;
}

/* ---- teaching ------------------------------------------------------------------------------ */

static bool is_lesson(void *userdata, const void *key, const void *data)
{
	const struct lessons *lessons = userdata;
	struct learnt element = {0}, *lesson;

	memcpy(element.key, key, lessons->key_length);
	lesson = bsearch(&element, lessons->all, lessons->count, sizeof(element), compare_keys);
	if (!lesson)
		return false;
	lesson->stands = true;
	return data && memcmp(lesson->data, data, lessons->data_length) == 0;
}

/* Those that stand have been told by is_lesson(). */
static bool next_missing(void *userdata, const void **ret_key, const void **ret_data)
{
	struct lessons *lessons = userdata;

	while (lessons->count > 0 && lessons->all->stands) {
		lessons->all++;
		lessons->count--;
	}
	if (lessons->count == 0)
		return false;
	lessons->all->stands = true;
	*ret_key = lessons->all->key;
	*ret_data = lessons->all->data;
	return true;
}

static int teach_set(const struct nat_memory *streams, const struct nat_plan *plan, struct nft *nft,
		     const char *set, teacher teach, struct lessons lessons, struct fault *reterr)
{
	_cleanup_free_ struct learnt *all = calloc(streams->count, sizeof(*all));
	int r, renewed;

	if (!all)
		return fault_errno(reterr, -ENOMEM, "teach %s", set);
	lessons.all = all;
	lessons.count = gather(streams, plan, IPPROTO_UDP, true, teach, all);
	lessons.count = one_for_each_key(all, lessons.count);
	if (lessons.count == 0)
		return 0;
	renewed = nft_renew_elements(nft, PLAN_TABLE, set, is_lesson, &lessons, reterr);
	if (renewed < 0)
		return renewed;
	r = nft_create_elements(nft, PLAN_TABLE, set, next_missing, &lessons, reterr);
	return r < 0 ? r : renewed + r;
}

int nat_memory_teach(const struct nat_memory *streams, const struct nat_plan *plan, struct nft *nft,
		     struct fault *reterr)
{
	static const struct lessons contacted = {.key_length = 8, .data_length = 8};
	static const struct lessons open = {.key_length = 4, .data_length = 8};
	int r, taught;

	if (streams->count == 0)
		return 0;
	taught = teach_set(streams, plan, nft, "map_contacted", learn_contacted, contacted, reterr);
	if (taught < 0)
		return taught;
	r = teach_set(streams, plan, nft, "map_open", learn_open, open, reterr);
	return r < 0 ? r : taught + r;
}

/* ---- renewing ----------------------------------------------------------------------------- */

static bool can_begin_anew(void *userdata, const struct conntrack_entry *entry)
{
	const struct nat_plan *plan = *(const struct nat_plan *const *)userdata;

	if (!is_given(plan, entry->reply.destination_port))
		return false;
	if (entry->protocol == IPPROTO_ICMP)
		return true;
	return entry->protocol == IPPROTO_UDP &&
	       (!entry->answered ||
		filtering_of(plan, entry->original.source) != FILTERING_ADDRESS_AND_PORT_DEPENDENT);
}

int nat_memory_renew(struct conntrack *ct, const struct nat_plan *plan)
{
	if (portset_is_whole(&plan->ports)) /* there is no set of living connections */
		return 0;
	return conntrack_drop(ct, plan->address.addr, can_begin_anew, &plan, NULL);
}
