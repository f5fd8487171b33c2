/* SPDX-License-Identifier: Apache-2.0 */
#include "source/urlfile.h"

#include "source/input.h"
#include "source/lines.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct urlfile {
	struct source source;
	char *name; /* owned; the path, or what to call standard input */
	struct input input;
	struct lines lines;
	struct url_parser *parser;
	struct buf why; /* of the line that is no job; kept for its memory */
	int status;     /* what the next call returns, unless 0: read on */
};

/* --- lines -------------------------------------------------------------------------- */

static void complain(struct urlfile *f, const char *why)
{
	source_complain(&f->source, f->lines.number, why);
}

/* Makes a job of a line.  Returns 1, 0 if it is none, or -ENOMEM. */
static int take_text(struct urlfile *f, const char *text, size_t len, struct job **ret_job)
{
	while (len > 0 && (*text == ' ' || *text == '\t' || *text == '\r')) {
		text++;
		len--;
	}
	if (len == 0 || *text == '#')
		return 0;
	if (memchr(text, '\0', len)) {
		complain(f, "line holds a NUL byte");
		return 0;
	}

	struct job *job = NULL;
	buf_clear(&f->why);
	int r = job_parse(f->parser, text, len, &job, &f->why);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		buf_add_char(&f->why, '\0');
		complain(f, f->why.failed ? "not a job" : f->why.data);
		return 0;
	}
	job->source = f->source.name;
	*ret_job = job;
	return 1;
}

static int take_line(struct urlfile *f, enum line_kind kind, const char *text, size_t len,
                     struct job **ret_job)
{
	static_assert(JOB_MAX_LINE_BYTES == 1024 * 1024, "the complaint says so");

	switch (kind) {
	case LINE_WHOLE:
		return take_text(f, text, len, ret_job);
	case LINE_TOO_LONG:
		complain(f, "line is longer than 1 MiB");
		return 0;
	case LINE_NONE:
		return 0;
	}
	return 0;
}

/* Makes up to 'max' jobs of the lines in the buffer.  Returns 0 or -ENOMEM. */
static int take_lines(struct urlfile *f, struct job **jobs, size_t max, size_t *n)
{
	while (*n < max) {
		const char *text = NULL;
		size_t len = 0;
		enum line_kind kind = lines_next(&f->lines, &text, &len);
		if (kind == LINE_NONE)
			return 0;

		int r = take_line(f, kind, text, len, &jobs[*n]);
		if (r < 0)
			return r;
		*n += (size_t) r;
	}
	return 0;
}

/* An unfinished line has ended without a line ending. */
static int take_last_line(struct urlfile *f, struct job **jobs, size_t *n)
{
	const char *text = NULL;
	size_t len = 0;
	enum line_kind kind = lines_last(&f->lines, &text, &len);

	int r = take_line(f, kind, text, len, jobs);
	if (r < 0)
		return r;
	*n = (size_t) r;
	return 0;
}

/* --- reading ------------------------------------------------------------------------ */

static void tell_trouble(struct urlfile *f)
{
	buf_clear(&f->why);
	buf_add_str(&f->why, "cannot be opened: ");
	buf_add_str(&f->why, strerrordesc_np(-f->input.trouble));
	buf_add_char(&f->why, '\0');
	source_complain(&f->source, 0, f->why.failed ? "cannot be opened" : f->why.data);
}

/* Waits for the next thing to happen to the input.  The end of a line that lacks
 * its line ending makes '*n' 1 if it is a job. */
static int refill(struct urlfile *f, struct job **jobs, size_t *n)
{
	char *room = NULL;
	size_t got = 0;

	int r = lines_room(&f->lines, &room);
	if (r < 0)
		return r;
	int event = input_read(&f->input, room, LINES_READ_BYTES, &got);
	switch (event) {
	case INPUT_BYTES:
		lines_fed(&f->lines, got);
		atomic_fetch_add_explicit(&f->source.bytes_read, got, memory_order_relaxed);
		return 0;
	case INPUT_BREAK:
		return take_last_line(f, jobs, n);
	case INPUT_NEW_FILE:
		r = take_last_line(f, jobs, n);
		lines_restart(&f->lines);
		return r;
	case INPUT_END:
		f->status = -ENODATA;
		return take_last_line(f, jobs, n);
	case INPUT_TROUBLE:
		tell_trouble(f);
		return 0;
	default:
		return event < 0 ? event : 0;
	}
}

/* Fills the batch.  May return an error and still have jobs. */
static int read_batch(struct urlfile *f, struct job **jobs, size_t max, size_t *n)
{
	int r = take_lines(f, jobs, max, n);

	while (r == 0 && *n == 0 && f->status == 0) {
		r = refill(f, jobs, n);
		if (r == 0 && *n == 0)
			r = take_lines(f, jobs, max, n);
	}
	return r < 0 ? r : *n > 0 ? 0 : f->status;
}

static int urlfile_read(struct source *s, struct job **ret_jobs, size_t max, size_t *ret_n)
{
	struct urlfile *f = (struct urlfile *) s;
	size_t n = 0;

	assert(max > 0);
	if (f->status == -ENODATA)
		return -ENODATA;

	/* Lines that are in the buffer need no wait that would notice the stop. */
	int r = source_poll(&(struct pollfd) { .fd = s->stop_fd, .events = POLLIN }, 1, 0);
	if (r == 0)
		r = f->status;
	if (r == 0)
		r = read_batch(f, ret_jobs, max, &n);
	if (r == -ECANCELED)
		return r;

	/* The jobs first; the error is for the next call. */
	f->status = r == 0 ? f->status : n > 0 ? r : -ENODATA;
	if (n == 0)
		return r;
	atomic_fetch_add_explicit(&s->jobs, n, memory_order_relaxed);
	*ret_n = n;
	return 0;
}

/* --- lifecycle ---------------------------------------------------------------------- */

static void urlfile_free(struct source *s)
{
	struct urlfile *f = (struct urlfile *) s;

	buf_done(&f->why);
	url_parser_free(f->parser);
	lines_done(&f->lines);
	input_close(&f->input);
	free(f->name);
	free(f);
}

static const struct source_ops urlfile_ops = { .read = urlfile_read, .free = urlfile_free };

int urlfile_create(const struct urlfile_options *options, struct source **ret_source)
{
	bool is_stdin = strcmp(options->path, "-") == 0;

	struct urlfile *f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;

	int r = -ENOMEM;
	f->name = strdup(is_stdin ? "stdin" : options->path);
	if (!f->name)
		goto free_urlfile;
	f->source = (struct source) {
		.ops = &urlfile_ops,
		.name = f->name,
		.stop_fd = options->stop_fd,
		.listener = options->listener,
	};

	r = lines_init(&f->lines);
	if (r < 0)
		goto free_name;
	r = url_parser_create(&f->parser);
	if (r < 0)
		goto free_lines;
	r = input_open(&f->input, is_stdin ? NULL : f->name, options->follow, options->stop_fd);
	if (r < 0)
		goto free_parser;

	if (!f->input.follow)
		atomic_store_explicit(&f->source.bytes_total, input_bytes_left(&f->input),
		                      memory_order_relaxed);
	*ret_source = &f->source;
	return 0;

free_parser:
	url_parser_free(f->parser);
free_lines:
	lines_done(&f->lines);
free_name:
	free(f->name);
free_urlfile:
	free(f);
	return r;
}
