/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the daemon's sentences go: the journal with structured fields when systemd started us,
 * standard error otherwise. Nothing below daemon/ logs.
 */
#pragma once

#include <syslog.h>

#include "lib/base/macro.h"

/* Stable MESSAGE_IDs; systemd/maped.catalog explains each. */
#define MESSAGE_STATE           "4d415045000141a5b8d0c7e1f2a30001"
#define MESSAGE_REPAIRED        "4d415045000141a5b8d0c7e1f2a30002"
#define MESSAGE_CONFIG_REFUSED  "4d415045000141a5b8d0c7e1f2a30003"
#define MESSAGE_CONFIG_LOADED   "4d415045000141a5b8d0c7e1f2a30004"
#define MESSAGE_APPLY_FAILED    "4d415045000141a5b8d0c7e1f2a30005"
#define MESSAGE_FOUGHT          "4d415045000141a5b8d0c7e1f2a30006"
#define MESSAGE_FORWARD_LOST    "4d415045000141a5b8d0c7e1f2a30007"
#define MESSAGE_PORTS_SCARCE    "4d415045000141a5b8d0c7e1f2a30008"
#define MESSAGE_USAGE           "4d415045000141a5b8d0c7e1f2a30009"
#define MESSAGE_FOREIGN_ROUTE   "4d415045000141a5b8d0c7e1f2a3000a"
#define MESSAGE_FIREWALL        "4d415045000141a5b8d0c7e1f2a3000b"
#define MESSAGE_FIREWALL_PLACED "4d415045000141a5b8d0c7e1f2a3000c"
#define MESSAGE_NO_OFFLOAD      "4d415045000141a5b8d0c7e1f2a3000d"

struct log;

int log_open(struct log **ret); /* 0 or -ENOMEM */
void log_close(struct log *log);
DEFINE_CLEANUP(struct log *, log_close);

/* One sentence. id: a MESSAGE_ID or NULL. */
void log_say(struct log *log, int priority, const char *id, const char *format, ...) _printf_(4, 5);

/* The same with further journal fields, "KEY=value" strings ended by NULL. */
void log_say_fields(struct log *log, int priority, const char *id, const char *const *fields,
		    const char *format, ...) _printf_(5, 6);
