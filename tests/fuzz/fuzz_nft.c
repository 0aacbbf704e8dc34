/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that the netfilter room receives: our own table, its elements and counters, connection
 * tracking, the rule sets of other programs, refusals, and events.
 *
 * The first octet chooses what is asked; the rest are the messages of the kernel, one behind the
 * other (tests/unit/answers.h). Recorded by tests/fuzz/record-nft.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <sanitizer/allocator_interface.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/kernel/conntrack.h"
#include "lib/kernel/nat.h"
#include "lib/kernel/nft_diff.h"
#include "lib/kernel/nft_read.h"
#include "lib/kernel/nft_survey.h"
#include "lib/kernel/nft_watch.h"
#include "tests/unit/answers.h"

#define TABLE   PLAN_TABLE
#define ADDRESS 0xc0000212u /* 192.0.2.18 */

const char *__lsan_default_options(void);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is waited for never comes. */
int nanosleep(const struct timespec *time, struct timespec *left)
{
	(void)time;
	(void)left;
	return 0;
}

/* ---- our table ------------------------------------------------------------------------------- */

/* The table that tests/fuzz/record-nft makes, and its picture; made once. */
static const struct nft_table *wanted(const struct nft_picture **ret_picture)
{
	static struct nft_table *table;
	static struct nft_picture *picture;
	static struct nat_forward forward = {
		.protocols = PROTO_TCP,
		.ports = {4148, 4148},
		.to_port = 80,
	};
	static struct nat_device lan = {"lo", 1};
	struct nat_plan plan = {
		.present = true,
		.map = true,
		.offload = true,
		.devices = &lan,
		.device_count = 1,
		.tunnel = "map0",
		.ports = {4, 12, 0x34},
		.tunnel_mtu = 1460,
		.forwards = &forward,
		.forward_count = 1,
	};

	if (!table) {
		plan.address = (struct prefix4){{htonl(ADDRESS)}, 32};
		forward.to.s_addr = htonl(0xc0a8010a);
		table = nat_table_new(&plan, 7);
		assert(table && !nft_table_failed(table));
		assert(nft_picture_new(table, &picture) == 0);
	}
	if (ret_picture)
		*ret_picture = picture;
	return table;
}

static void check_picture(const struct nft_picture *picture)
{
	for (size_t i = 0; i < picture->chain_count; i++)
		assert(memchr(picture->chains[i].name, 0, NFT_NAME_MAX) &&
		       memchr(picture->chains[i].hook.type, 0,
			      sizeof(((struct nft_hook *)0)->type)));
	for (size_t i = 0; i < picture->set_count; i++)
		assert(memchr(picture->sets[i].name, 0, NFT_NAME_MAX));
	for (size_t i = 0; i < picture->object_count; i++)
		assert(memchr(picture->objects[i].name, 0, NFT_NAME_MAX));
}

static struct nft_picture *look(const struct nft_table *want)
{
	_cleanup_(nfnl_close_p) struct nfnl *nl = NULL;
	struct nft_picture *have = NULL;
	struct fault fault = {0};
	int r;

	assert(nfnl_open("open nftables", &nl, NULL) == 0);
	r = nft_read_picture(nl, NFT_IP, TABLE, want, &have, &fault);
	assert(r >= 0 || (!have && (r == -EINTR || fault.text[0])));
	return have;
}

static void table(void)
{
	_cleanup_(nft_picture_free_p) struct nft_picture *have = look(wanted(NULL));

	if (have)
		check_picture(have);
}

/* Whatever stands, what is sent can be written. Slower. */
static void difference(void)
{
	_cleanup_nft_batch_ struct nft_batch batch = {0};
	const struct nft_picture *picture;
	const struct nft_table *want = wanted(&picture);
	_cleanup_(nft_picture_free_p) struct nft_picture *have = look(want);

	nft_batch_begin(&batch, 1);
	nft_diff(&batch, want, picture, have);
	nft_batch_end(&batch);
	assert(!batch.failed);
}

/* The table goes: a transaction, which another program may come before. */
static void transaction(void)
{
	static const struct nft_table *const none[NFT_FAMILIES] = {NULL};
	_cleanup_(nft_close_p) struct nft *nft = NULL;
	struct fault fault = {0};
	int r;

	assert(nft_open(&nft, NULL) == 0);
	r = nft_sync(nft, TABLE, none, &fault);
	assert(r >= 0 || fault.text[0]);
	assert(answers_requests() <= 8 * 6);
	assert(nft_stands(nft, TABLE, NULL) <= 1);
}

/* ---- elements and counters --------------------------------------------------------------------
 */

static void see_element(void *userdata, const void *key, const void *data)
{
	assert(key);
	if (data)
		++*(size_t *)userdata;
}

static bool is_odd(void *userdata, const void *key, const void *data)
{
	uint8_t octet;

	memcpy(&octet, key, sizeof(octet));
	return octet & 1;
}

static void elements(void)
{
	_cleanup_(nft_close_p) struct nft *nft = NULL;
	uint64_t packets = 0;
	size_t count = 0;

	assert(nft_open(&nft, NULL) == 0);
	(void)nft_read_counter(nft, NFT_IP, TABLE, "refused", &packets, NULL);
	(void)nft_read_elements(nft, TABLE, "map_tcp_owner", see_element, &count, NULL);
	(void)nft_remove_elements(nft, TABLE, "map_tcp_owner", is_odd, NULL, NULL);
}

/* ---- connection tracking ----------------------------------------------------------------------
 */

static void see_connection(void *userdata, const struct conntrack_entry *entry)
{
	assert(entry->reply.destination.s_addr == htonl(ADDRESS));
}

static void connections(void)
{
	_cleanup_(conntrack_close_p) struct conntrack *ct = NULL;
	const struct portset keep = {4, 12, 0x34};
	const struct in_addr address = {htonl(ADDRESS)};

	assert(conntrack_open(&ct, NULL) == 0);
	(void)conntrack_walk(ct, address, see_connection, NULL, NULL);
	(void)conntrack_forget(ct, address, &keep, false, NULL);
	(void)conntrack_forget(ct, address, NULL, true, NULL);
}

/* ---- other programs ---------------------------------------------------------------------------
 */

static void others(void)
{
	struct nft_survey survey;

	if (nft_survey_read(TABLE, &survey, NULL) < 0)
		return;
	assert(survey.count <= SURVEY_CHAIN_MAX && survey.pass_count <= SURVEY_PASS_MAX);
	for (size_t i = 0; i < survey.pass_count; i++) {
		const struct nft_survey_pass *pass = &survey.passes[i];

		assert(memchr(pass->table, 0, sizeof(pass->table)) &&
		       memchr(pass->chain, 0, sizeof(pass->chain)) &&
		       memchr(pass->jump, 0, sizeof(pass->jump)) &&
		       memchr(pass->in, 0, sizeof(pass->in)) &&
		       memchr(pass->out, 0, sizeof(pass->out)));
	}
	for (size_t i = 0; i < survey.count; i++) {
		assert(memchr(survey.chains[i].name, 0, SURVEY_NAME_MAX) &&
		       memchr(survey.chains[i].table, 0, SURVEY_NAME_MAX));
		assert(strcmp(survey.chains[i].table, TABLE) != 0);
		(void)nft_survey_lets_pass(&survey, &survey.chains[i], "lan0", "map0");
	}
}

/* In its own storage, for the sanitizer. */
static void events(const uint8_t *data, size_t size)
{
	struct nft_watch *watch = nft_watch_new(TABLE);
	void *copy = malloc(size);
	char culprit[64];

	if (watch) {
		memcpy(copy, data, size);
		(void)nft_watch_feed(watch, copy, size);
		nft_watch_take_culprit(watch, culprit, sizeof(culprit));
		assert(memchr(culprit, 0, sizeof(culprit)));
	}
	free(copy);
	nft_watch_close(watch);
}

/* ---- libnftnl gives up ------------------------------------------------------------------------
 */

/* It trusts the kernel: it calls exit(3) when a number has another length than it knows, and
 * follows a NULL where a name or a list is missing; then the input counts as refused. And it loses
 * texts of rules that it refuses. So what was allocated is known here: it is freed where libnftnl
 * has not done so, and otherwise has to be free at the end. */
const char *__lsan_default_options(void)
{
	return "detect_leaks=0";
}

#define BLOCKS_MAX 65536u /* a power of two */

static const volatile void *blocks[BLOCKS_MAX]; /* a hash table; NULL: free, FREED: was one */
static const volatile void **taken[BLOCKS_MAX]; /* its slots, in order */
static size_t block_count;
static bool running, rule_refused;
static sigjmp_buf given_up;
static struct sigaction sanitizer;
static const char freed;

static const volatile void **block_slot(const volatile void *block, const volatile void *wanted)
{
	size_t i = (uintptr_t)block / 16;

	while (blocks[i % BLOCKS_MAX] && blocks[i % BLOCKS_MAX] != wanted)
		i++;
	return &blocks[i % BLOCKS_MAX];
}

static void on_malloc(const volatile void *block, size_t size)
{
	const volatile void **slot;

	if (!running)
		return;
	slot = block_slot(block, &freed);
	*slot = block;
	taken[block_count++] = slot;
	assert(block_count < BLOCKS_MAX);
}

static void on_free(const volatile void *block)
{
	const volatile void **slot = block_count && block ? block_slot(block, block) : NULL;

	if (slot && *slot)
		*slot = &freed;
}

void exit(int code)
{
	if (running)
		siglongjmp(given_up, 1);
	((void (*)(int))dlsym(RTLD_NEXT, __func__))(code);
	abort();
}

int nftnl_rule_nlmsg_parse(const struct nlmsghdr *nlh, struct nftnl_rule *rule)
{
	static int (*original)(const struct nlmsghdr *nlh, struct nftnl_rule *rule);
	int r;

	if (!original)
		original = (__typeof__(original))dlsym(RTLD_NEXT, __func__);
	r = original(nlh, rule);
	rule_refused = rule_refused || r < 0;
	return r;
}

static bool is_parser(const void *address)
{
	Dl_info info;

	return dladdr(address, &info) && info.dli_sname &&
	       strncmp(info.dli_sname, "nftnl_", 6) == 0 && strstr(info.dli_sname, "_nlmsg_parse");
}

static void on_segv(int number, siginfo_t *info, void *context)
{
	void *frames[16];
	int count = running && (uintptr_t)info->si_addr < 64 ? backtrace(frames, 16) : 0;

	for (int i = 0; i < count; i++)
		if (is_parser(frames[i]))
			siglongjmp(given_up, 1);
	sanitizer.sa_sigaction(number, info, context);
}

static size_t free_blocks(void)
{
	size_t count = 0;

	(void)strerror(-1); /* the C library keeps what the last one of an unknown error made */
	for (size_t i = 0; i < block_count; i++) {
		if (*taken[i] == &freed)
			continue;
		free((void *)*taken[i]);
		count++;
	}
	return count;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
	void *frame;

	(void)wanted(NULL);
	(void)backtrace(&frame, 1); /* loads what it needs */
	assert(sigaction(SIGSEGV, &action, &sanitizer) == 0);
	assert(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free));
	return 0;
}

/* -1: not worth keeping. */
static int ask(void (*question)(void))
{
	static FILE *nowhere;
	static char buffer[4096];
	FILE *loud = stderr;
	int r = 0;
	size_t left;

	if (!nowhere) {
		nowhere = fopen("/dev/null", "w");
		setvbuf(nowhere, buffer, _IOFBF, sizeof(buffer));
	}
	while (block_count)
		*taken[--block_count] = NULL;
	stderr = nowhere; /* it says why, each time */
	running = true;
	rule_refused = false;
	if (sigsetjmp(given_up, 1) == 0)
		question();
	else
		r = -1;
	running = false;
	stderr = loud;
	left = free_blocks();
	assert(left == 0 || r < 0 || rule_refused);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const questions[])(void) = {table,    difference,  transaction,
						  elements, connections, others};
	size_t choice;

	if (size == 0)
		return 0;
	choice = data[0] % (ARRAY_SIZE(questions) + 1);
	if (choice == ARRAY_SIZE(questions)) {
		events(data + 1, size - 1);
		return 0;
	}
	answers_give(data + 1, size - 1);
	return ask(questions[choice]);
}
