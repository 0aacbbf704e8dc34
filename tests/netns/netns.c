/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/netns/netns.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

void netns_need(void)
{
	if (system("command -v ip >/dev/null 2>&1") != 0) {
		fprintf(stderr, "SKIP: ip(8) of iproute2 is not installed\n");
		exit(77);
	}
	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "SKIP: no network namespace: %s (root is needed)\n",
			strerror(errno));
		exit(77);
	}
}

int netns_setup(void **state)
{
	struct fault fault = {0};
	struct rtnl *nl;

	if (unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0)
		return -1;
	if (rtnl_open(&nl, &fault) < 0) {
		print_error("%s\n", fault.text);
		return -1;
	}
	*state = nl;
	return 0;
}

int netns_teardown(void **state)
{
	rtnl_close(*state);
	return 0;
}

void sh(const char *format, ...)
{
	char command[1024];
	va_list ap;
	int status;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	status = system(command);
	if (status != 0)
		fail_msg("failed (%d): %s", WEXITSTATUS(status), command);
}

static void trim(char *text)
{
	char *to = text;

	for (char *p = text; *p; p++) {
		if (*p == '\n')
			while (to > text && to[-1] == ' ')
				to--;
		*to++ = *p;
	}
	while (to > text && (to[-1] == ' ' || to[-1] == '\n'))
		to--;
	*to = '\0';
}

const char *shell_output(const char *format, ...)
{
	static char outputs[4][65536];
	static unsigned int next;
	char *output = outputs[next++ % 4], command[1024];
	va_list ap;
	size_t n;
	FILE *pipe;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	n = fread(output, 1, sizeof(outputs[0]) - 1, pipe);
	output[n] = '\0';
	pclose(pipe);
	trim(output);
	return output;
}

void netns_assert_done(int r, const struct fault *fault, const char *file, int line)
{
	if (r >= 0)
		return;
	print_error("%d: %s\n", r, fault->text);
	_fail(file, line);
}

static void print_missing(const char *mark, const char *lines, const char *from)
{
	while (*lines) {
		size_t length = strcspn(lines, "\n");
		const char *at = from;

		while (*at && (strncmp(at, lines, length) != 0 ||
			       (at[length] != '\0' && at[length] != '\n'))) {
			at += strcspn(at, "\n");
			at += *at == '\n';
		}
		if (!*at && length)
			print_error("%s %.*s\n", mark, (int)length, lines);
		lines += length;
		lines += *lines == '\n';
	}
}

void netns_assert_same_lines(const char *actual, const char *expected, const char *file, int line)
{
	if (strcmp(actual, expected) == 0)
		return;
	print_missing("unexpected:", actual, expected);
	print_missing("missing:   ", expected, actual);
	_fail(file, line);
}

static int count_and_fail(const struct nlmsghdr *request, void *userdata)
{
	struct fail_nth *fail = userdata;

	return ++fail->seen == fail->n ? fail->code : 0;
}

void fail_nth(struct rtnl *nl, struct fail_nth *fail)
{
	fail->seen = 0;
	rtnl_set_send_hook(nl, fail ? count_and_fail : NULL, fail);
}

bool kernel_has_link(const char *type)
{
	char command[128];

	snprintf(command, sizeof(command),
		 "ip link add name kindtest type %s 2>/dev/null && ip link del kindtest", type);
	return system(command) == 0;
}
