/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/macro.h"
#include "lib/kernel/conntrack.h"

/* Ten connections every 20 ms: far below what any host takes for a flood. And no more than WINDOW
 * that wait for their first answer, so that a slow line is not overrun; one that has waited for
 * AGE is silent and counts no more. */
#define BURST         10
#define PAUSE_MS      20
#define WINDOW        64
#define AGE_USEC      ((uint64_t)300000)
#define PATIENCE_USEC ((uint64_t)5000000)  /* two retransmissions of a SYN: after 1 s and 3 s */
#define END_USEC      ((uint64_t)20000000) /* however slowly they come in */
#define OTHER_FILES   64
#define BIND_TRIES    64
#define WHOLE_FLOWS   1008 /* of 65536 ports, when the address is not shared */

struct flow {
	int fd;
	uint16_t local; /* source port before translation */
	uint64_t opened_usec;
	bool settled, answered, accepted;
};

struct probe {
	const struct map_params *params;
	struct probe_target target;
	struct probe_result *result;
	struct conntrack *conntrack;
	int epoll;
	struct flow *flows;
	unsigned int count, opened, settled;
	unsigned int aged;      /* flows before this one have waited for AGE */
	uint64_t progress_usec; /* when the last one was settled */
	bool *mapped;           /* by flow: connection tracking told its port */
	int *flow_of;           /* by local port, -1 = none */
	int *port_of;           /* by flow: index of its port in the set, -1 = none */
};

static uint64_t now_usec(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- connections ------------------------------------------------------------------------- */

static int allow_files(unsigned int count)
{
	struct rlimit limit;
	rlim_t wanted = count + OTHER_FILES;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_cur >= wanted)
		return 0;
	limit.rlim_cur = wanted;
	if (limit.rlim_max < wanted)
		limit.rlim_max = wanted;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

static int make_socket(const char *tunnel)
{
	const struct linger reset = {1, 0};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, tunnel, (socklen_t)strlen(tunnel)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* A socket with a source port that no flow before had: the kernel gives those of refused
 * connections out again at once, and such a flow would be taken for the old one. */
static int bind_socket(const struct probe *probe, const char *tunnel, uint16_t *ret_port)
{
	struct sockaddr_in local = {.sin_family = AF_INET};

	for (int i = 0; i < BIND_TRIES; i++) {
		_cleanup_close_ int fd = make_socket(tunnel);
		socklen_t size = sizeof(local);

		if (fd < 0)
			return fd;
		local.sin_addr = probe->params->ipv4.addr;
		local.sin_port = 0;
		if (bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0 ||
		    getsockname(fd, (struct sockaddr *)&local, &size) < 0)
			return -errno;
		*ret_port = ntohs(local.sin_port);
		if (probe->flow_of[*ret_port] < 0)
			return TAKE_FD(fd);
	}
	return -EADDRINUSE;
}

/* From the shared address, so that the answer finds its way back whatever the routes say, and out
 * of the tunnel. The reset at the end leaves no TIME_WAIT behind. */
static int open_flow(const struct probe *probe, const char *tunnel, struct flow *ret)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
				       .sin_addr = probe->target.address,
				       .sin_port = htons(probe->target.port)};
	uint16_t local = 0;
	_cleanup_close_ int fd = bind_socket(probe, tunnel, &local);

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		return -errno;
	*ret = (struct flow){.fd = TAKE_FD(fd), .local = local, .opened_usec = now_usec()};
	return 0;
}

static unsigned int count_waiting(struct probe *probe)
{
	uint64_t now = now_usec();
	unsigned int waiting = 0;

	while (probe->aged < probe->opened &&
	       probe->flows[probe->aged].opened_usec + AGE_USEC < now)
		probe->aged++;
	for (unsigned int i = probe->aged; i < probe->opened; i++)
		waiting += !probe->flows[i].settled;
	return waiting;
}

static int open_burst(struct probe *probe, const char *tunnel, struct fault *reterr)
{
	unsigned int waiting = count_waiting(probe);

	for (unsigned int i = 0; i < BURST && waiting + i < WINDOW && probe->opened < probe->count;
	     i++) {
		struct flow *flow = &probe->flows[probe->opened];
		struct epoll_event event = {.events = EPOLLOUT, .data.u32 = probe->opened};
		int r = open_flow(probe, tunnel, flow);

		/* A filter of this machine itself refuses at once: that flow has no answer. */
		if (r == -EPERM || r == -EACCES) {
			flow->settled = true;
			probe->settled++;
		} else if (r < 0) {
			return fault_errno(reterr, r, "open a connection through %s", tunnel);
		} else if (epoll_ctl(probe->epoll, EPOLL_CTL_ADD, flow->fd, &event) < 0) {
			return fault_errno(reterr, -errno, "wait for a connection");
		} else {
			probe->flow_of[flow->local] = (int)probe->opened;
		}
		probe->opened++;
	}
	return 0;
}

static void settle(struct probe *probe, struct flow *flow)
{
	socklen_t size = sizeof(int);
	int error = 0;

	getsockopt(flow->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	flow->settled = true;
	flow->accepted = error == 0;
	flow->answered = error == 0 || error == ECONNREFUSED;
	probe->settled++;
	probe->progress_usec = now_usec();
	epoll_ctl(probe->epoll, EPOLL_CTL_DEL, flow->fd, NULL);
}

static void wait_for_answers(struct probe *probe, int patience_ms)
{
	struct epoll_event events[64];
	int count = epoll_wait(probe->epoll, events, (int)ARRAY_SIZE(events), patience_ms);

	for (int i = 0; i < count; i++)
		settle(probe, &probe->flows[events[i].data.u32]);
}

/* ---- ports ------------------------------------------------------------------------------- */

static void take_entry(void *userdata, const struct conntrack_entry *entry)
{
	struct probe *probe = userdata;
	int flow;

	if (entry->protocol != IPPROTO_TCP ||
	    entry->original.destination.s_addr != probe->target.address.s_addr ||
	    entry->original.destination_port != probe->target.port ||
	    entry->original.source.s_addr != probe->params->ipv4.addr.s_addr)
		return;
	flow = probe->flow_of[entry->original.source_port];
	if (flow < 0)
		return;
	probe->mapped[flow] = true;
	probe->port_of[flow] = portset_index(&probe->params->ports, entry->reply.destination_port);
}

static int read_ports(struct probe *probe, struct fault *reterr)
{
	return conntrack_walk(probe->conntrack, probe->params->ipv4.addr, take_entry, probe,
			      reterr);
}

/* ---- the whole --------------------------------------------------------------------------- */

static int run(struct probe *probe, const char *tunnel, struct fault *reterr)
{
	uint64_t end;
	int r;

	while (probe->opened < probe->count) {
		uint64_t next = now_usec() + PAUSE_MS * 1000;

		r = open_burst(probe, tunnel, reterr);
		if (r < 0)
			return r;
		for (uint64_t now = now_usec(); now < next; now = now_usec())
			wait_for_answers(probe, (int)((next - now) / 1000) + 1);
	}
	probe->progress_usec = now_usec();
	end = probe->progress_usec + END_USEC;
	while (probe->settled < probe->opened && now_usec() < end &&
	       now_usec() < probe->progress_usec + PATIENCE_USEC)
		wait_for_answers(probe, 50);
	return read_ports(probe, reterr);
}

static void count(const struct probe *probe, struct probe_result *result)
{
	result->flows = probe->opened;
	for (unsigned int i = 0; i < probe->opened; i++) {
		const struct flow *flow = &probe->flows[i];

		result->answered += flow->answered;
		if (flow->answered && !flow->accepted && !probe->mapped[i])
			result->unknown++;
		else
			result->unmapped += !probe->mapped[i];
		result->foreign += probe->mapped[i] && probe->port_of[i] < 0;
		if (!probe->mapped[i] || probe->port_of[i] < 0)
			continue;
		result->seen[probe->port_of[i]].tried = true;
		result->seen[probe->port_of[i]].answered |= flow->answered;
	}
}

static void probe_close(struct probe *probe)
{
	for (unsigned int i = 0; probe->flows && i < probe->opened; i++)
		if (probe->flows[i].fd >= 0)
			close(probe->flows[i].fd);
	if (probe->epoll >= 0)
		close(probe->epoll);
	conntrack_close(probe->conntrack);
	free(probe->flows);
	free(probe->mapped);
	free(probe->flow_of);
	free(probe->port_of);
}

static int prepare(struct probe *probe, struct fault *reterr)
{
	int r;

	probe->flows = calloc(probe->count, sizeof(*probe->flows));
	probe->mapped = calloc(probe->count, sizeof(*probe->mapped));
	probe->flow_of = calloc(UINT16_MAX + 1, sizeof(*probe->flow_of));
	probe->port_of = calloc(probe->count, sizeof(*probe->port_of));
	if (!probe->flows || !probe->mapped || !probe->flow_of || !probe->port_of)
		return fault_errno(reterr, -ENOMEM, "prepare the probe");
	for (unsigned int i = 0; i <= UINT16_MAX; i++)
		probe->flow_of[i] = -1;
	for (unsigned int i = 0; i < probe->count; i++) {
		probe->flows[i].fd = -1;
		probe->port_of[i] = -1;
	}
	r = allow_files(probe->count);
	if (r < 0)
		return fault_errno(reterr, r, "open %u files at a time", probe->count);
	probe->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (probe->epoll < 0)
		return fault_errno(reterr, -errno, "prepare the probe");
	return conntrack_open(&probe->conntrack, reterr);
}

int probe_run(const struct map_params *params, const char *tunnel,
	      const struct probe_target *target, struct probe_result *ret, struct fault *reterr)
{
	const struct portset *ports = &params->ports;
	_cleanup_(probe_done) struct probe_result result = {.target = *target, .ports = *ports};
	_cleanup_(probe_close) struct probe probe = {
		.params = params,
		.target = *target,
		.epoll = -1,
		.count = portset_is_whole(ports) ? WHOLE_FLOWS
						 : MIN_OF(portset_count(ports), PROBE_FLOWS_MAX),
	};
	uint64_t start = now_usec();
	int r;

	result.seen = calloc(portset_count(ports), sizeof(*result.seen));
	if (!result.seen)
		return fault_errno(reterr, -ENOMEM, "prepare the probe");
	r = prepare(&probe, reterr);
	if (r == 0)
		r = run(&probe, tunnel, reterr);
	if (r < 0)
		return r;
	count(&probe, &result);
	result.took_usec = now_usec() - start;
	*ret = result;
	result.seen = NULL;
	return 0;
}
