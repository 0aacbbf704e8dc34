/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define FIELDS_MAX 16

struct log {
	bool journal;
};

/* $JOURNAL_STREAM names the device and inode of the socket that systemd put on our standard error
 * (man 5 systemd.exec); only then does the journal see what we say there. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

int log_open(struct log **ret)
{
	struct log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log->journal = stderr_is_journal();
	*ret = log;
	return 0;
}

void log_close(struct log *log)
{
	free(log);
}

static void add_field(struct iovec *fields, size_t *count, const char *text)
{
	if (*count < FIELDS_MAX)
		fields[(*count)++] = (struct iovec){(void *)text, strlen(text)};
}

static int send_journal(int priority, const char *id, const char *const *more, const char *sentence)
{
	struct iovec fields[FIELDS_MAX];
	char level[16], message_id[48], message[1200];
	size_t count = 0;

	snprintf(level, sizeof(level), "PRIORITY=%d", priority);
	snprintf(message, sizeof(message), "MESSAGE=%s", sentence);
	add_field(fields, &count, message);
	add_field(fields, &count, level);
	add_field(fields, &count, "SYSLOG_IDENTIFIER=maped");
	if (id) {
		snprintf(message_id, sizeof(message_id), "MESSAGE_ID=%s", id);
		add_field(fields, &count, message_id);
	}
	for (; more && *more; more++)
		add_field(fields, &count, *more);
	return sd_journal_sendv(fields, (int)count);
}

static void say(struct log *log, int priority, const char *id, const char *const *fields,
		const char *format, va_list ap) _printf_(5, 0);

static void say(struct log *log, int priority, const char *id, const char *const *fields,
		const char *format, va_list ap)
{
	char sentence[1100];

	vsnprintf(sentence, sizeof(sentence), format, ap);
	if (log->journal && send_journal(priority, id, fields, sentence) >= 0)
		return;
	/* sd-daemon(3): a priority prefix that systemd reads and nobody else has to see. */
	if (log->journal)
		fprintf(stderr, "<%d>", priority);
	fprintf(stderr, "%s\n", sentence);
}

void log_say(struct log *log, int priority, const char *id, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(log, priority, id, NULL, format, ap);
	va_end(ap);
}

void log_say_fields(struct log *log, int priority, const char *id, const char *const *fields,
		    const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(log, priority, id, fields, format, ap);
	va_end(ap);
}
