/* SPDX-License-Identifier: Apache-2.0 */
#include "source/directory.h"

#include "source/arrivals.h"
#include "source/drop.h"
#include "source/outcome.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* While nothing comes, and while something cannot be done, it is looked at again so often. */
enum { RECHECK_MS = 1000 };

static const char cursor_kind[] = "directory ";
static const char cursor_none[] = "none";

struct directory {
	struct source source;
	char *name; /* owned */
	char *path; /* owned */
	struct arrivals arrivals;
	struct drop file;

	/* Whether the last batch, or the cursor, said that no file is in work.  That is told
	 * before a wait, so that a file which looks the same is not taken for the last one;
	 * and after each file with a report, so that a report belongs to the file that was
	 * told last. */
	bool told_none;
	bool tell_none;

	int trouble; /* -Exxx that was told, and lasts; or 0 */
	int status;  /* what the next call returns, unless 0: read on */
};

/* --- waiting ------------------------------------------------------------------------ */

/* Tells of a trouble once, until it is over or another one. */
static void tell_trouble(struct directory *d, const char *file, const char *what, int error)
{
	struct buf text = { 0 };

	if (error == d->trouble)
		return;
	d->trouble = error;
	buf_printf(&text, "%s: %s; is tried again", what, strerrordesc_np(-error));
	buf_add_char(&text, '\0');
	source_notice(&d->source, file, text.failed ? what : text.data);
	buf_done(&text);
}

/* Waits for a while; if 'for_files', no longer than until one comes. */
static int wait(struct directory *d, bool for_files)
{
	struct pollfd fds[] = {
		{ .fd = d->source.stop_fd, .events = POLLIN },
		{ .fd = for_files ? d->arrivals.notify_fd : -1, .events = POLLIN },
	};

	return source_poll(fds, ARRAY_LEN(fds), RECHECK_MS);
}

static int wait_for_files(struct directory *d)
{
	atomic_store_explicit(&d->source.lag, 0, memory_order_relaxed);
	int r = wait(d, true);
	if (r == 0)
		r = arrivals_check(&d->arrivals);
	if (r == 0)
		d->trouble = 0;
	return r;
}

/* --- reading ------------------------------------------------------------------------ */

/* Takes the next file into work, or waits, or has the batch handed over first. */
static int find_file(struct directory *d, bool *ret_tell)
{
	char name[NAME_MAX + 1];
	bool closed = false;

	int r = arrivals_next(&d->arrivals, name, &closed);
	if (r > 0) {
		r = drop_open(&d->file, d->arrivals.fd, name, closed);
		if (r < 0)
			arrivals_look_again(&d->arrivals);
	} else if (r == 0) {
		*ret_tell = !d->told_none;
		r = *ret_tell ? 0 : wait_for_files(d);
	}
	if (r == 0 || r == -ECANCELED)
		return r;
	tell_trouble(d, NULL, "cannot be read", r);
	return wait(d, false);
}

static int put_away(struct directory *d)
{
	bool bad = d->file.bad > 0;

	int r = drop_put_away(&d->file, d->arrivals.fd);
	if (r < 0) {
		tell_trouble(d, d->file.name,
		             bad ? "cannot be moved to failed/" : "cannot be moved to done/", r);
		return r;
	}
	d->trouble = 0;
	d->tell_none = bad && drop_is_none(&d->file);
	return 0;
}

/* Does the next thing; stores whether the batch shall be handed over. */
static int step(struct directory *d, struct job **jobs, size_t max, size_t *n, bool *ret_tell)
{
	int r = 0;

	if (drop_is_none(&d->file)) {
		*ret_tell = d->tell_none;
		return d->tell_none ? 0 : find_file(d, ret_tell);
	}
	if (!d->file.ended)
		r = drop_read(&d->file, jobs, max, n);
	if (r < 0 || *n > 0 || drop_is_untold(&d->file)) {
		*ret_tell = r == 0 || *n > 0;
		return r;
	}
	if (!d->file.ended)
		return 0;
	return put_away(d) < 0 ? wait(d, false) : 0;
}

static void tell(struct directory *d)
{
	d->told_none = drop_is_none(&d->file);
	d->tell_none = false;
	if (!d->told_none)
		drop_tell(&d->file, d->arrivals.fd);
}

/* The one in work is as yet not put away. */
static void tell_lag(struct directory *d)
{
	size_t files = d->arrivals.n - d->arrivals.next + !drop_is_none(&d->file);

	atomic_store_explicit(&d->source.lag, files, memory_order_relaxed);
}

static int directory_read(struct source *s, struct job **ret_jobs, size_t max, size_t *ret_n)
{
	struct directory *d = (struct directory *) s;
	size_t n = 0;
	bool is_batch = false;

	assert(max > 0);
	int r = d->status;
	while (r == 0 && !is_batch) {
		r = source_poll(&(struct pollfd) { .fd = s->stop_fd, .events = POLLIN }, 1, 0);
		if (r == 0)
			r = step(d, ret_jobs, max, &n, &is_batch);
	}

	tell_lag(d);

	/* The jobs first; the error is for the next call. */
	d->status = r == -ECANCELED ? 0 : r;
	if (!is_batch)
		return r;
	tell(d);
	atomic_fetch_add_explicit(&s->jobs, n, memory_order_relaxed);
	*ret_n = n;
	return 0;
}

static int directory_accepted(struct source *s)
{
	struct directory *d = (struct directory *) s;

	/* What cannot be moved now is tried again by the next read. */
	if (!drop_is_none(&d->file) && d->file.ended)
		(void) !put_away(d);
	return 0;
}

static void directory_position(struct source *s, struct buf *b)
{
	const struct directory *d = (const struct directory *) s;

	buf_add_str(b, cursor_kind);
	if (drop_is_none(&d->file))
		buf_add_str(b, cursor_none);
	else
		drop_position(&d->file, b);
}

/* --- lifecycle ---------------------------------------------------------------------- */

static int go_on(struct directory *d, const char *cursor)
{
	size_t len = strlen(cursor_kind);
	int r = -EINVAL;

	if (strncmp(cursor, cursor_kind, len) == 0) {
		if (strcmp(cursor + len, cursor_none) == 0)
			return 0;
		r = drop_go_on(&d->file, d->arrivals.fd, cursor + len);
		d->told_none = false;
		d->tell_none = r == 0 && drop_is_none(&d->file);
	}
	if (r != -EINVAL)
		return r;
	source_notice(&d->source, NULL, "the position that was kept is damaged; all files are read "
	                                "from their start");
	return 0;
}

static void directory_free(struct source *s)
{
	struct directory *d = (struct directory *) s;

	drop_done(&d->file);
	arrivals_close(&d->arrivals);
	free(d->path);
	free(d->name);
	free(d);
}

static const struct source_ops directory_ops = {
	.read = directory_read,
	.position = directory_position,
	.accepted = directory_accepted,
	.free = directory_free,
};

/* What needs the open directory. */
static int prepare(struct directory *d, const char *cursor)
{
	int r = outcome_make_folders(d->arrivals.fd);

	return r == 0 && cursor ? go_on(d, cursor) : r;
}

int directory_create(const struct directory_options *options, struct source **ret_source)
{
	struct directory *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;

	int r = -ENOMEM;
	d->name = strdup(options->name);
	d->path = strdup(options->path);
	if (!d->name || !d->path)
		goto free_directory;
	d->told_none = true;
	d->source = (struct source) {
		.ops = &directory_ops,
		.name = d->name,
		.lag_of = SOURCE_LAG_FILES,
		.stop_fd = options->stop_fd,
		.listener = options->listener,
	};

	r = drop_init(&d->file, &d->source);
	if (r < 0)
		goto free_directory;
	r = arrivals_open(&d->arrivals, d->path, options->stop_fd);
	if (r < 0)
		goto close_file;
	r = prepare(d, options->cursor);
	if (r < 0)
		goto close_arrivals;
	*ret_source = &d->source;
	return 0;

close_arrivals:
	arrivals_close(&d->arrivals);
close_file:
	drop_done(&d->file);
free_directory:
	free(d->path);
	free(d->name);
	free(d);
	return r;
}
