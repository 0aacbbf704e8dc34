/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sections of maped.conf: each reads its group into its part of the settings. What one section
 * says about another is checked by settings_check().
 */
#pragma once

#include "lib/config/setting.h"
#include "lib/map/rule.h"
#include "lib/map/settings.h"

/* For the table of the root; field is the section's struct … */
void wan_read(struct reading *reading, const config_setting_t *at, const struct key *key,
	      void *field);
void map_read(struct reading *reading, const config_setting_t *at, const struct key *key,
	      void *field);
void lan_read(struct reading *reading, const config_setting_t *at, const struct key *key,
	      void *field);
void nat_read(struct reading *reading, const config_setting_t *at, const struct key *key,
	      void *field);
void pppoe_read(struct reading *reading, const config_setting_t *at, const struct key *key,
		void *field);
void firewalld_read(struct reading *reading, const config_setting_t *at, const struct key *key,
		    void *field);

/* … and here struct settings. */
void forward_read(struct reading *reading, const config_setting_t *at, const struct key *key,
		  void *field);

/* A list of forwards on the PPPoE line: fixed ports only. *ret and *ret_count are set; the caller
 * owns the array. */
void forwards_read_fixed(struct reading *reading, const config_setting_t *at, struct forward **ret,
			 size_t *ret_count);

/* A list of services; tcp: the kind of span they must not share. The caller owns the array. */
void services_read(struct reading *reading, const config_setting_t *at, enum span_kind tcp,
		   struct service **ret, size_t *ret_count);

/* The mapping rules of a list; defaults for what a rule leaves out. br_given: defaults->br
 * holds. Rules without mistakes are added to ret. */
struct rule_defaults {
	const char *provider;
	uint8_t psid_offset;
	enum iid_format iid_format;
	bool br_given;
	bool br_refused; /* it is there, and was complained about */
	struct in6_addr br;
};
#define RULE_PSID_OFFSET_DEFAULT 6 /* RFC 7597 section 5.1 */

void rules_read(struct reading *reading, const config_setting_t *at,
		const struct rule_defaults *defaults, struct ruleset *ret);

/* A whole rule file: defaults, then "rules". */
void rule_file_read(struct reading *reading, const config_setting_t *root, const char *provider,
		    struct ruleset *ret);

/* What holds between sections. root: for the lines. */
void settings_check(struct reading *reading, const config_setting_t *root,
		    const struct settings *settings);
