/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeping no more memory than what is in use: a router has better uses for it. */
#pragma once

/* At the beginning: large blocks go back to the system as soon as they are freed. */
void thrift_begin(void);

/* After something large (start, reload, a changed table): gives back free memory, and the pages of
 * programs and libraries that only this needed. They lie in files and are found again when they are
 * needed again. */
void thrift_give_back(void);
