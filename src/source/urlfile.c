/* SPDX-License-Identifier: Apache-2.0 */
#include "source/urlfile.h"

#include "source/input.h"
#include "source/reader.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A position is told without jobs once so much was skipped. */
enum { TOLD_EVERY_BYTES = 1024 * 1024 };

static const char cursor_kind[] = "file ";

struct urlfile {
	struct source source;
	char *name; /* owned; the path, or what to call standard input */
	struct input input;
	struct reader reader;
	bool resumes;
	struct place told; /* where the last batch ended */
	int status;        /* what the next call returns, unless 0: read on */
};

/* --- reading ------------------------------------------------------------------------ */

static void on_bad_line(void *arg, uint64_t line, const char *why)
{
	source_complain(arg, line, why);
}

static void tell_trouble(struct urlfile *f)
{
	struct buf why = { 0 };

	buf_printf(&why, "cannot be opened: %s", strerrordesc_np(-f->input.trouble));
	buf_add_char(&why, '\0');
	source_complain(&f->source, 0, why.failed ? "cannot be opened" : why.data);
	buf_done(&why);
}

/* What is in the buffer has not been read, as far as anybody can tell. */
static void tell_lag(struct urlfile *f)
{
	uint64_t unread = input_bytes_left(&f->input) + (f->reader.fed - f->reader.place.offset);

	if (f->source.lag_of != SOURCE_LAG_NONE)
		atomic_store_explicit(&f->source.lag, unread, memory_order_relaxed);
}

/* Waits for the next thing to happen to the input.  The end of a line that lacks
 * its line ending makes '*n' 1 if it is a job. */
static int refill(struct urlfile *f, struct job **jobs, size_t *n)
{
	char *room = NULL;
	size_t got = 0;

	tell_lag(f);
	int r = reader_room(&f->reader, &room);
	if (r < 0)
		return r;
	int event = input_read(&f->input, room, LINES_READ_BYTES, &got);
	switch (event) {
	case INPUT_BYTES:
		reader_fed(&f->reader, got);
		return 0;
	case INPUT_BREAK:
		return reader_take_last(&f->reader, jobs, 1, n);
	case INPUT_NEW_FILE:
		r = reader_take_last(&f->reader, jobs, 1, n);
		if (r == 0)
			reader_begin(&f->reader, &f->input.now.id);
		return r;
	case INPUT_END:
		f->status = -ENODATA;
		return reader_take_last(&f->reader, jobs, 1, n);
	case INPUT_TROUBLE:
		tell_trouble(f);
		return 0;
	default:
		return event < 0 ? event : 0;
	}
}

/* Whether the position shall be told although there are no jobs. */
static bool is_worth_telling(const struct urlfile *f)
{
	const struct place *now = &f->reader.place, *told = &f->told;

	if (!f->resumes || !input_has_places(&f->input))
		return false;
	if (now->offset < told->offset || !file_is_same(&now->file, &told->file))
		return true;
	uint64_t skipped = now->offset - told->offset;
	return skipped >= TOLD_EVERY_BYTES || (f->status != 0 && skipped > 0);
}

/* Fills the batch.  May return an error and still have jobs. */
static int read_batch(struct urlfile *f, struct job **jobs, size_t max, size_t *n)
{
	int r = reader_take(&f->reader, jobs, max, n);

	while (r == 0 && *n == 0 && f->status == 0 && !is_worth_telling(f)) {
		r = refill(f, jobs, n);
		if (r == 0 && *n == 0)
			r = reader_take(&f->reader, jobs, max, n);
	}
	return r < 0 ? r : *n > 0 || is_worth_telling(f) ? 0 : f->status;
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
	if (r < 0 && n == 0)
		return r;
	f->told = f->reader.place;
	tell_lag(f);
	atomic_fetch_add_explicit(&s->jobs, n, memory_order_relaxed);
	*ret_n = n;
	return 0;
}

static void urlfile_position(struct source *s, struct buf *b)
{
	const struct urlfile *f = (const struct urlfile *) s;
	struct place place;

	if (!f->resumes || !input_has_places(&f->input))
		return;
	reader_place(&f->reader, &place);
	buf_add_str(b, cursor_kind);
	place_write(&place, b);
}

/* --- going on after a restart ------------------------------------------------------- */

static bool parse_cursor(const char *cursor, struct place *ret_place)
{
	const char *rest;
	size_t len = strlen(cursor_kind);

	return strncmp(cursor, cursor_kind, len) == 0 &&
	       place_parse(cursor + len, ret_place, &rest) == 0 && *rest == '\0';
}

/* Says what is not read because another file has taken the place of the old one. */
static void tell_replaced(struct urlfile *f, const struct place *place)
{
	struct buf text = { 0 };

	buf_printf(&text, "has been replaced; is read from its start, and what came behind line "
	           "%llu of the old file was not read", (unsigned long long) place->line);
	buf_add_char(&text, '\0');
	source_notice(&f->source, NULL,
	              text.failed ? place_match_text(PLACE_REPLACED) : text.data);
	buf_done(&text);
}

static int go_on(struct urlfile *f, const char *cursor)
{
	unsigned char head[PLACE_HEAD_BYTES];
	struct place place;

	if (!parse_cursor(cursor, &place)) {
		source_notice(&f->source, NULL,
		              "is read from its start: the position that was kept is damaged");
		return 0;
	}

	int match = input_go_on(&f->input, &place, head);
	if (match < 0)
		return match;
	if (match == PLACE_HOLDS) {
		reader_begin_at(&f->reader, &place, head);
		f->told = place;
	} else if (match == PLACE_REPLACED && f->input.follow) {
		tell_replaced(f, &place);
	} else {
		source_notice(&f->source, NULL, place_match_text((enum place_match) match));
	}
	return 0;
}

/* --- lifecycle ---------------------------------------------------------------------- */

static void urlfile_free(struct source *s)
{
	struct urlfile *f = (struct urlfile *) s;

	reader_done(&f->reader);
	input_close(&f->input);
	free(f->name);
	free(f);
}

static const struct source_ops urlfile_ops = {
	.read = urlfile_read,
	.position = urlfile_position,
	.free = urlfile_free,
};

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

	r = reader_init(&f->reader, &f->source, on_bad_line, &f->source);
	if (r < 0)
		goto free_name;
	r = input_open(&f->input, is_stdin ? NULL : f->name, options->follow, options->stop_fd);
	if (r < 0)
		goto free_reader;
	reader_begin(&f->reader, &f->input.now.id);
	f->told = f->reader.place;
	f->resumes = options->resumes;
	if (options->cursor && !is_stdin)
		r = go_on(f, options->cursor);
	if (r < 0)
		goto close_input;

	if (input_has_places(&f->input) || f->input.follow)
		f->source.lag_of = SOURCE_LAG_BYTES;
	tell_lag(f);
	if (!f->input.follow)
		atomic_store_explicit(&f->source.bytes_total, input_bytes_left(&f->input),
		                      memory_order_relaxed);
	*ret_source = &f->source;
	return 0;

close_input:
	input_close(&f->input);
free_reader:
	reader_done(&f->reader);
free_name:
	free(f->name);
free_urlfile:
	free(f);
	return r;
}
