/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config/config.h"
#include "lib/config/file.h"
#include "lib/config/load.h"
#include "lib/config/near.h"
#include "lib/config/section.h"
#include "lib/map/s46.h"

#define SUFFIX ".conf"

/* The rule files of a directory, in the order of their names, without ".conf": providers. */
struct names {
	char **list;
	size_t count;
	bool unknown; /* the directory could not be read */
};

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->list[i]);
	free(names->list);
	*names = (struct names){0};
}
#define _cleanup_names_ _cleanup_(names_done)

static int names_add(struct names *names, const char *name)
{
	_cleanup_free_ char *copy = strdup(name);
	char **list;

	if (!copy)
		return -ENOMEM;
	list = reallocarray(names->list, names->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	names->list = list;
	list[names->count++] = TAKE_PTR(copy);
	return 0;
}

static bool names_have(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->list[i], name) == 0)
			return true;
	return false;
}

static int name_compare(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Hidden files and leftovers of editors are passed over. */
static bool is_rule_file(const char *name)
{
	size_t length = strlen(name);

	return name[0] != '.' && length > strlen(SUFFIX) &&
	       strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

static void close_directory(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

/* A directory that does not exist has no names. */
static int names_read(struct names *ret, const char *path, struct fault *reterr)
{
	_cleanup_(close_directory) DIR *directory = NULL;
	int r = directory_check(path, reterr);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	directory = opendir(path);
	if (!directory)
		return fault_errno(reterr, -errno, "cannot be read");
	for (;;) {
		const struct dirent *entry;

		errno = 0;
		entry = readdir(directory);
		if (!entry && errno != 0)
			return fault_errno(reterr, -errno, "cannot be read");
		if (!entry)
			break;
		if (!is_rule_file(entry->d_name))
			continue;
		r = names_add(ret, entry->d_name);
		if (r < 0)
			return fault_errno(reterr, r, "cannot be read");
	}
	if (ret->count > 1)
		qsort(ret->list, ret->count, sizeof(*ret->list), name_compare);
	for (size_t i = 0; i < ret->count; i++)
		ret->list[i][strlen(ret->list[i]) - strlen(SUFFIX)] = '\0';
	return 0;
}

struct rule_target {
	const char *provider;
	struct ruleset *rules;
};

static void read_rules(struct reading *reading, const config_setting_t *root, void *target)
{
	const struct rule_target *to = target;

	rule_file_read(reading, root, to->provider, to->rules);
}

/* All or none. */
static int ruleset_append(struct ruleset *to, const struct ruleset *from)
{
	const size_t before = to->count;

	for (size_t i = 0; i < from->count; i++) {
		int r = ruleset_add(to, &from->rules[i]);

		if (r < 0) {
			to->count = before;
			return r;
		}
	}
	return 0;
}

int rules_read_source(const struct source *source, const char *provider,
		      struct complaints *complaints, struct ruleset *ret)
{
	_cleanup_ruleset_ struct ruleset rules = {0};
	struct rule_target target = {.provider = provider, .rules = &rules};
	int r = source_load(source, complaints, read_rules, &target);

	return r < 0 ? r : ruleset_append(ret, &rules);
}

static int read_file(const char *directory, const char *provider, struct ruleset *ret,
		     struct text *complaints)
{
	_cleanup_complaints_ struct complaints gathered = COMPLAINTS_INIT;
	_cleanup_source_ struct source source = SOURCE_INIT;
	struct text path = TEXT_INIT;
	_cleanup_free_ char *file = NULL;
	int r, q;

	text_add(&path, "%s/%s%s", directory, provider, SUFFIX);
	file = text_take(&path);
	if (!file)
		return -ENOMEM;
	if (strlen(provider) >= PROVIDER_NAME_MAX) {
		text_add(complaints, "%s: the name is too long (at most %d characters and %s)\n",
			 file, PROVIDER_NAME_MAX - 1, SUFFIX);
		return -EINVAL;
	}
	r = source_read(&source, file, &gathered);
	if (r == 0)
		r = rules_read_source(&source, provider, &gathered, ret);
	if (r == -ENOENT)
		r = -EINVAL; /* gone since the directory was read, or a dangling link */
	q = source_print_complaints(&source, &gathered, complaints);
	return q < 0 ? q : r;
}

/* hidden: names not to read, may be NULL. names: those found, may be NULL. */
static int read_directory(const char *directory, const struct names *hidden,
			  struct names *ret_names, struct ruleset *rules, struct text *complaints)
{
	_cleanup_names_ struct names names = {0};
	struct fault fault;
	int r, result = 0;

	r = names_read(&names, directory, &fault);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		text_add(complaints, "%s: %s\n", directory, fault.text);
		if (ret_names)
			ret_names->unknown = true;
		return -EINVAL;
	}
	for (size_t i = 0; i < names.count; i++) {
		if (hidden && names_have(hidden, names.list[i]))
			continue;
		r = read_file(directory, names.list[i], rules, complaints);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			result = r;
	}
	if (ret_names) {
		*ret_names = names;
		names = (struct names){0};
	}
	return result;
}

int config_load_rules(const char *directory, struct ruleset *rules, struct text *complaints)
{
	_cleanup_ruleset_ struct ruleset read = {0};
	int r = read_directory(directory, NULL, NULL, &read, complaints);

	return r < 0 ? r : ruleset_append(rules, &read);
}

static void set_rank(struct ruleset *rules, size_t from, uint8_t rank)
{
	for (size_t i = from; i < rules->count; i++)
		rules->rules[i].rank = rank;
}

/* A mistyped name would leave the line without any rule. */
static int check_provider(const struct settings *settings, const struct names *const *found,
			  size_t count, struct text *complaints)
{
	/* The file of the rules that the network tells comes and goes with them. */
	static const char *const always[] = {"auto", PROVIDER_OWN, S46_PROVIDER};
	const struct map_settings *map = &settings->map;
	struct near near = near_init(map->provider);

	if (!map->provider[0])
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		near_offer(&near, always[i]);
	for (size_t i = 0; i < count; i++) {
		if (found[i]->unknown)
			return 0;
		for (size_t j = 0; j < found[i]->count; j++)
			near_offer(&near, found[i]->list[j]);
	}
	if (near.best && near.distance == 0)
		return 0;
	settings_print_origin(settings, map->provider_origin, complaints);
	text_add(complaints, ": map.provider: there is no rule file %s%s", map->provider, SUFFIX);
	if (near.best)
		text_add(complaints, "; did you mean \"%s\"?", near.best);
	text_add(complaints, "\n");
	return text_failed(complaints) ? -ENOMEM : -EINVAL;
}

int config_collect_rules(const struct settings *settings, const char *own, const char *wire,
			 const char *shipped, struct ruleset *ret, struct text *complaints)
{
	_cleanup_ruleset_ struct ruleset all = {0};
	_cleanup_names_ struct names wire_names = {0}, own_names = {0}, shipped_names = {0};
	const struct {
		const char *directory;
		const struct names *hidden;
		struct names *names;
		uint8_t rank;
	} places[] = {
		{wire, NULL, &wire_names, RULE_RANK_WIRE},
		{own, NULL, &own_names, RULE_RANK_LOCAL},
		{shipped, &own_names, &shipped_names, RULE_RANK_SHIPPED},
	};
	const struct names *const found[] = {&own_names, &wire_names, &shipped_names};
	int r, result;

	result = settings ? ruleset_append(&all, &settings->map.own_rules) : 0;
	set_rank(&all, 0, RULE_RANK_OWN);
	for (size_t i = 0; i < ARRAY_SIZE(places) && result != -ENOMEM; i++) {
		size_t before = all.count;

		if (!places[i].directory)
			continue;
		r = read_directory(places[i].directory, places[i].hidden, places[i].names, &all,
				   complaints);
		if (r < 0)
			result = r;
		set_rank(&all, before, places[i].rank);
	}
	if (settings && result != -ENOMEM) {
		r = check_provider(settings, found, ARRAY_SIZE(found), complaints);
		if (r < 0)
			result = r;
	}
	if (result < 0)
		return result;
	*ret = all;
	all = (struct ruleset){0};
	return 0;
}
