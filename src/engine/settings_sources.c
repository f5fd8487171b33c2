/* SPDX-License-Identifier: Apache-2.0 */
/* How the keys of a source must go together, and whether its jobs are any. */
#include "engine/settings_parts.h"

#include "base/attr.h"
#include "job/job.h"

#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {
	[SOURCE_FILE] = "file", [SOURCE_DIRECTORY] = "directory", [SOURCE_SCHEDULE] = "schedule",
};

/* One source that is looked at. */
struct checked {
	const struct settings *settings;
	const struct source_settings *source;
	size_t index;
	const struct config *config;
	struct buf *errors;
};

/* Appends where a member of the source comes from, and its path; of the source, if it is NULL. */
static void add_place(const struct checked *k, const char *member)
{
	char path[64];

	(void) snprintf(path, sizeof(path), "sources[%zu]%s%s", k->index, member ? "." : "",
	                member ? member : "");
	buf_printf(k->errors, "%s: %s: ", config_origin_of(k->config, path), path);
}

static void require(const struct checked *k, bool is_there, const char *trouble)
{
	if (is_there)
		return;
	add_place(k, NULL);
	buf_printf(k->errors, "%s\n", trouble);
}

static void check_needed(const struct checked *k)
{
	const struct source_settings *s = k->source;

	if (s->type == SOURCE_FILE)
		require(k, *s->path != '\0', "a file source needs a path");
	if (s->type == SOURCE_DIRECTORY)
		require(k, *s->path != '\0', "a directory source needs a path");
	if (s->type == SOURCE_SCHEDULE) {
		require(k, s->every_ns > 0, "a schedule needs every, such as \"10s\"");
		require(k, s->urls.n > 0, "a schedule needs urls");
	}
}

/* What would be without effect is not what somebody meant. */
static void check_unused(const struct checked *k)
{
	const struct source_settings *s = k->source;
	bool is_file = s->type == SOURCE_FILE, is_schedule = s->type == SOURCE_SCHEDULE;
	const struct {
		const char *member;
		bool is_set, is_used;
	} members[] = {
		{ "path", *s->path != '\0', !is_schedule },
		{ "follow", s->follow, is_file },
		{ "every", s->every_ns > 0, is_schedule },
		{ "jitter", s->jitter_ns > 0, is_schedule },
		{ "urls", s->urls.n > 0, is_schedule },
	};

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		if (!members[i].is_set || members[i].is_used)
			continue;
		add_place(k, members[i].member);
		buf_printf(k->errors, "a %s source has none; remove it\n", type_names[s->type]);
	}
}

/* Why a line makes no job that can be fetched is appended to 'why'. */
static void check_line(const struct checked *k, struct url_parser *parser, const char *line,
                       struct buf *why)
{
	struct job *job = NULL;

	if (job_parse(parser, line, strlen(line), &job, why) < 0)
		return;
	if (job->extra && job->extra->body_file && *k->settings->fetch.body_dir == '\0')
		buf_add_str(why, "body_file: there is no fetch.body_dir");
	job_free(job);
}

static void check_lines(const struct checked *k)
{
	const struct config_strings *urls = &k->source->urls;
	struct url_parser *parser = NULL;

	if (url_parser_create(&parser) < 0) {
		buf_add_str(k->errors, "out of memory\n");
		return;
	}
	for (size_t i = 0; i < urls->n; i++) {
		struct buf why = { 0 };
		check_line(k, parser, urls->items[i], &why);
		if (why.len > 0) {
			add_place(k, "urls");
			buf_printf(k->errors, "entry %zu: ", i + 1);
			buf_add(k->errors, why.data, why.len);
			buf_add_char(k->errors, '\n');
		}
		buf_done(&why);
	}
	url_parser_free(parser);
}

/* Two sources of one path would share one position. */
static void check_path(const struct checked *k)
{
	const struct source_settings *sources = k->settings->sources.items;

	for (size_t j = 0; j < k->index; j++) {
		if (*k->source->path == '\0' || strcmp(k->source->path, sources[j].path) != 0)
			continue;
		add_place(k, NULL);
		buf_printf(k->errors, "%s is read by sources[%zu] already\n", k->source->path, j);
	}
}

void settings_check_sources(const struct settings *s, const struct config *c, struct buf *errors)
{
	const struct source_settings *sources = s->sources.items;

	for (size_t i = 0; i < s->sources.n; i++) {
		const struct checked k = {
			.settings = s,
			.source = &sources[i],
			.index = i,
			.config = c,
			.errors = errors,
		};
		check_needed(&k);
		check_unused(&k);
		check_path(&k);
		if (sources[i].type == SOURCE_SCHEDULE)
			check_lines(&k);
	}
}
