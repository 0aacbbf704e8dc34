/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fault.h"
#include "lib/config/config.h"
#include "lib/config/file.h"
#include "lib/config/scan.h"
#include "lib/config/screen.h"

int source_add_line(struct source *source, unsigned int file, unsigned int line)
{
	/* Grows when the count reaches a power of two. */
	if ((source->line_count & (source->line_count - 1)) == 0) {
		size_t room = source->line_count ? source->line_count * 2 : 1;
		struct origin *lines = reallocarray(source->lines, room, sizeof(*lines));

		if (!lines)
			return -ENOMEM;
		source->lines = lines;
	}
	source->lines[source->line_count++] = (struct origin){.file = file, .line = line};
	return 0;
}

int source_add_file(struct source *source, const char *name, unsigned int *ret)
{
	_cleanup_free_ char *copy = strdup(name);
	char **files;

	if (!copy)
		return -ENOMEM;
	files = reallocarray(source->files, source->file_count + 1, sizeof(*files));
	if (!files)
		return -ENOMEM;
	source->files = files;
	files[source->file_count] = TAKE_PTR(copy);
	*ret = source->file_count++;
	return 0;
}

static int source_take(struct source *ret, const char *data, size_t size, bool with_includes,
		       struct complaints *complaints)
{
	_cleanup_screen_ struct screen *screen = screen_new(ret, complaints);
	struct scan scan = {.screen = screen,
			    .source = ret,
			    .complaints = complaints,
			    .with_includes = with_includes};
	int r;

	if (!screen)
		return -ENOMEM;
	ret->octets = size;
	r = scan_text(&scan, 0, data, size);
	if (r < 0)
		return r;
	r = screen_end(screen);
	if (r < 0)
		return r;
	return text_failed(&ret->text) || complaints->failed ? -ENOMEM : 0;
}

int source_read(struct source *ret, const char *path, struct complaints *complaints)
{
	_cleanup_free_ char *data = NULL;
	struct fault fault = {0};
	unsigned int file;
	size_t size = 0;
	int r;

	r = source_add_file(ret, path, &file);
	if (r < 0)
		return r;
	r = file_read(path, CONFIG_FILE_MAX, &data, &size, &fault);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		complaints_add(complaints, 0, "%s", fault.text);
		return r == -ENOENT ? r : -EINVAL;
	}
	return source_take(ret, data, size, true, complaints);
}

int source_read_memory(struct source *ret, const char *name, const char *data, size_t size,
		       struct complaints *complaints)
{
	unsigned int file;
	int r = source_add_file(ret, name, &file);

	if (r < 0)
		return r;
	if (size > CONFIG_FILE_MAX) {
		complaints_add(complaints, 0, "is larger than %d octets", CONFIG_FILE_MAX);
		return -EINVAL;
	}
	return source_take(ret, data, size, false, complaints);
}

void source_done(struct source *source)
{
	text_done(&source->text);
	for (unsigned int i = 0; i < source->file_count; i++)
		free(source->files[i]);
	free(source->files);
	free(source->lines);
	*source = SOURCE_INIT;
}

void source_print_origin(const struct source *source, unsigned int line, struct text *out)
{
	if (line >= 1 && line <= source->line_count) {
		const struct origin *origin = &source->lines[line - 1];

		text_add(out, "%s:%u", source->files[origin->file], origin->line);
	} else if (source->file_count > 0) {
		text_add(out, "%s", source->files[0]);
	}
}

int source_print_complaints(const struct source *source, struct complaints *complaints,
			    struct text *out)
{
	complaints_sort(complaints);
	for (size_t i = 0; i < complaints->count; i++) {
		source_print_origin(source, complaints->list[i].line, out);
		text_add(out, ": %s\n", complaints->list[i].text);
	}
	if (complaints->unlisted > 0) {
		source_print_origin(source, 0, out);
		text_add(out, ": %zu more mistakes are not listed\n", complaints->unlisted);
	}
	return complaints->failed || text_failed(out) ? -ENOMEM : 0;
}
