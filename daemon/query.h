/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The status socket in the runtime directory. Whoever connects is sent the answer, a text for
 * people, a NUL, a JSON text, a NUL, and the end; nothing is read, so nothing can be asked or
 * changed. A user who does not read his answers gets the end alone. Without its last NUL an answer
 * is cut.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "lib/base/macro.h"
#include "lib/base/text.h"

#define QUERY_SOCKET "status"

struct query;

/* Fills the two texts. trusted: the asker is root or the daemon's own user, and may see what
 * concerns hosts of the LAN. */
typedef void (*query_answer)(void *userdata, bool trusted, struct text *plain, struct text *json);

/* Whether a daemon serves the socket already: 1, 0, or negative errno when it cannot be found out.
 * ret_pid: its process, 0 = not known. */
int query_served(pid_t *ret_pid);

/* Takes the place of a socket that is there, be it in use: ask query_served() first. */
int query_open(sd_event *event, query_answer answer, void *userdata, struct query **ret);
void query_close(struct query *query);
DEFINE_CLEANUP(struct query *, query_close);

/* The asking side: 0, -ENOENT or -ECONNREFUSED when no daemon runs, -EPROTO when the answer is cut,
 * other negative errno. */
int query_ask(struct text *ret_plain, struct text *ret_json);
