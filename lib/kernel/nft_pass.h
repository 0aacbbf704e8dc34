/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules of other programs, read attribute by attribute: which of them let a packet pass because of
 * the interfaces it comes from and goes to. For nft_survey.c.
 */
#pragma once

#include <libmnl/libmnl.h>
#include <stdbool.h>

#include "lib/kernel/nft_survey.h"

/* Fills in, out and jump of ret from the expressions of a rule. false: the rule neither accepts by
 * interfaces alone nor leads to another chain. A set of interfaces counts as any: what is in it is
 * not looked up. */
bool nft_pass_read(const struct nlattr *expressions, struct nft_survey_pass *ret);
