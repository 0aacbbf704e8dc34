/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gathers what doctor.h judges: from the kernel, from files, and over D-Bus. Changes nothing. */
#pragma once

#include "daemon/doctor.h"
#include "daemon/setup.h"

/* setup must outlive ret. What cannot be found out stays unknown; 0, or negative errno when not
 * even the kernel answers. The caller ends with doctor_facts_done(). */
int doctor_facts_gather(const struct setup *setup, struct doctor_facts *ret, struct fault *reterr);
void doctor_facts_done(struct doctor_facts *facts);
