/* SPDX-License-Identifier: Apache-2.0 */
#include "source/reader.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int reader_init(struct reader *r, struct source *source,
                void (*bad_line)(void *arg, uint64_t line, const char *why), void *arg)
{
	*r = (struct reader) { .source = source, .bad_line = bad_line, .arg = arg };

	int error = lines_init(&r->lines);
	if (error < 0)
		return error;
	error = url_parser_create(&r->parser);
	if (error < 0)
		lines_done(&r->lines);
	return error;
}

void reader_done(struct reader *r)
{
	buf_done(&r->why);
	url_parser_free(r->parser);
	lines_done(&r->lines);
}

/* --- places ------------------------------------------------------------------------- */

void reader_begin(struct reader *r, const struct file_id *file)
{
	lines_restart(&r->lines);
	r->place = (struct place) { .file = *file };
	r->fed = 0;
}

static size_t head_bytes(uint64_t offset)
{
	return offset < PLACE_HEAD_BYTES ? (size_t) offset : PLACE_HEAD_BYTES;
}

void reader_begin_at(struct reader *r, const struct place *place, const unsigned char *head)
{
	lines_restart_behind(&r->lines, place->line, place->in_long_line);
	r->place = *place;
	r->fed = place->offset;
	memcpy(r->head, head, head_bytes(place->offset));
}

/* All lines up to here are dealt with. */
static void keep_place(struct reader *r)
{
	r->place.offset = r->fed - (r->lines.end - r->lines.start);
	r->place.line = r->lines.number;
	r->place.in_long_line = r->lines.skipping;
}

void reader_place(const struct reader *r, struct place *ret_place)
{
	*ret_place = r->place;
	ret_place->hash = place_hash(r->head, head_bytes(r->place.offset));
}

/* --- bytes -------------------------------------------------------------------------- */

int reader_room(struct reader *r, char **ret_room) { return lines_room(&r->lines, ret_room); }

void reader_fed(struct reader *r, size_t n)
{
	if (r->fed < PLACE_HEAD_BYTES) {
		size_t missing = PLACE_HEAD_BYTES - (size_t) r->fed;
		memcpy(r->head + r->fed, r->lines.data + r->lines.end, n < missing ? n : missing);
	}
	lines_fed(&r->lines, n);
	r->fed += n;
	atomic_fetch_add_explicit(&r->source->bytes_read, n, memory_order_relaxed);
}

/* --- lines -------------------------------------------------------------------------- */

static void complain(struct reader *r, const char *why)
{
	r->bad_line(r->arg, r->lines.number, why);
}

/* Makes a job of a line.  Returns 1, 0 if it is none, or -ENOMEM. */
static int take_text(struct reader *r, const char *text, size_t len, struct job **ret_job)
{
	while (len > 0 && (*text == ' ' || *text == '\t' || *text == '\r')) {
		text++;
		len--;
	}
	if (len == 0 || *text == '#')
		return 0;
	if (memchr(text, '\0', len)) {
		complain(r, "line holds a NUL byte");
		return 0;
	}

	struct job *job = NULL;
	buf_clear(&r->why);
	int error = job_parse(r->parser, text, len, &job, &r->why);
	if (error == -ENOMEM)
		return error;
	if (error < 0) {
		buf_add_char(&r->why, '\0');
		complain(r, r->why.failed ? "not a job" : r->why.data);
		return 0;
	}
	job->source = r->source->name;
	*ret_job = job;
	return 1;
}

static int take_line(struct reader *r, enum line_kind kind, const char *text, size_t len,
                     struct job **ret_job)
{
	static_assert(JOB_MAX_LINE_BYTES == 1024 * 1024, "the complaint says so");

	switch (kind) {
	case LINE_WHOLE:
		return take_text(r, text, len, ret_job);
	case LINE_TOO_LONG:
		complain(r, "line is longer than 1 MiB");
		return 0;
	case LINE_NONE:
		return 0;
	}
	return 0;
}

int reader_take(struct reader *r, struct job **jobs, size_t max, size_t *n)
{
	enum line_kind kind = LINE_WHOLE;

	while (*n < max && kind != LINE_NONE) {
		const char *text = NULL;
		size_t len = 0;
		kind = lines_next(&r->lines, &text, &len);
		int made = take_line(r, kind, text, len, &jobs[*n]);
		if (made < 0)
			return made;
		*n += (size_t) made;
		keep_place(r);
	}
	return 0;
}

int reader_take_last(struct reader *r, struct job **jobs, size_t max, size_t *n)
{
	const char *text = NULL;
	size_t len = 0;

	assert(*n < max);
	enum line_kind kind = lines_last(&r->lines, &text, &len);
	int made = take_line(r, kind, text, len, &jobs[*n]);
	if (made < 0)
		return made;
	*n += (size_t) made;
	keep_place(r);
	return 0;
}
