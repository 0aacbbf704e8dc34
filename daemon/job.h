/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why are we asked to end? systemd knows: the job of our own unit.
 */
#pragma once

#include <stdint.h>

enum job {
	JOB_UNKNOWN, /* not under systemd, or it does not answer */
	JOB_NONE,    /* no job: a plain signal */
	JOB_STOP,
	JOB_RESTART, /* what stands in the kernel is handed to the next process */
};

/* Asks over the system bus, waiting at most two seconds. To be called when the SIGTERM has come:
 * later the restart job has become a start job. While there is no job it goes on asking for
 * patience_usec, since one may still come. */
enum job job_of_own_unit(uint64_t patience_usec);
