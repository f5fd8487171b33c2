/* SPDX-License-Identifier: Apache-2.0 */
#include "source/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	/* A batch that has jobs is handed over after so many bytes; one without, so that
	 * its position is kept, after so many. */
	BATCH_BYTES = LINES_READ_BYTES,
	SKIP_BYTES = 1024 * 1024,
};

/* --- lifecycle ---------------------------------------------------------------------- */

static void on_bad_line(void *arg, uint64_t line, const char *why)
{
	struct drop *f = arg;

	source_complain_of(f->source, f->name, line, why);
	f->bad++;
	report_add(&f->report, line, why);
}

int drop_init(struct drop *f, struct source *source)
{
	*f = (struct drop) { .source = source, .fd = -1, .report.fd = -1 };
	return reader_init(&f->reader, source, on_bad_line, f);
}

static void forget(struct drop *f)
{
	if (f->fd >= 0)
		(void) close(f->fd);
	f->fd = -1;
	f->name[0] = '\0';
	report_done(&f->report);
}

void drop_done(struct drop *f)
{
	forget(f);
	reader_done(&f->reader);
}

bool drop_is_none(const struct drop *f) { return f->name[0] == '\0'; }

/* --- opening ------------------------------------------------------------------------ */

static void begin(struct drop *f, const char *name, const struct file_id *id, int fd)
{
	(void) snprintf(f->name, sizeof(f->name), "%s", name);
	f->id = *id;
	f->fd = fd;
	f->bad = 0;
	report_begin(&f->report, 0);
	f->ended = false;
	f->given_up = false;
	f->moved = false;
	f->told_offset = 0;
	f->told_bad = 0;
	reader_begin(&f->reader, id);
}

/* The file, or from 'line' on the rest of it, cannot be read. */
static void give_up(struct drop *f, uint64_t line, const char *what, int error)
{
	struct buf why = { 0 };

	buf_printf(&why, "%s: %s", what, strerrordesc_np(-error));
	buf_add_char(&why, '\0');
	on_bad_line(f, line, why.failed ? what : why.data);
	buf_done(&why);
	f->ended = true;
	f->given_up = true;
}

static int open_file(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Whether opening failed for a reason that has nothing to do with the file. */
static bool is_passing(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* Whether a program has the file open for writing.  Where the kernel does not tell, because
 * the file is another user's, say, it counts as written. */
static bool is_being_written(int fd)
{
	/* The kernel gives no lease on a file that is open for writing.  Who wants to write
	 * while there is one waits until it is given back, and its holder gets a signal:
	 * one that is ignored, rather than SIGIO, which would end the process. */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0)
		return false;
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN;
	(void) fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
}

int drop_open(struct drop *f, int dir_fd, const char *name, bool closed)
{
	struct file_state state;

	if (file_look(dir_fd, name, &state) < 0 || state.type != S_IFREG)
		return 0;
	int fd = open_file(dir_fd, name);
	if (fd < 0) {
		if (is_passing(fd))
			return fd;
		if (fd == -ENOENT || fd == -ELOOP)
			return 0;
		begin(f, name, &state.id, -1);
		give_up(f, 0, "cannot be opened", fd);
		return 0;
	}

	/* Who has the file open still will close it: that is another arrival. */
	bool complete = file_look(fd, "", &state) == 0 && state.type == S_IFREG &&
	                (closed || !is_being_written(fd));
	if (complete)
		begin(f, name, &state.id, fd);
	else
		(void) close(fd);
	return 0;
}

/* --- reading ------------------------------------------------------------------------ */

/* Reads more of the file; its end may make '*n' one more. */
static int refill(struct drop *f, struct job **jobs, size_t max, size_t *n, size_t *bytes)
{
	char *room = NULL;

	int r = reader_room(&f->reader, &room);
	if (r < 0)
		return r;
	ssize_t got = read(f->fd, room, LINES_READ_BYTES);
	if (got > 0) {
		reader_fed(&f->reader, (size_t) got);
		*bytes += (size_t) got;
		return reader_take(&f->reader, jobs, max, n);
	}
	if (got < 0) {
		if (errno != EINTR)
			give_up(f, f->reader.place.line + 1, "cannot be read", -errno);
		return 0;
	}
	f->ended = true;
	return reader_take_last(&f->reader, jobs, max, n);
}

int drop_read(struct drop *f, struct job **jobs, size_t max, size_t *n)
{
	size_t bytes = 0;

	int r = reader_take(&f->reader, jobs, max, n);
	while (r == 0 && !f->ended && *n < max && bytes < (*n > 0 ? BATCH_BYTES : SKIP_BYTES))
		r = refill(f, jobs, max, n, &bytes);
	return r;
}

bool drop_is_untold(const struct drop *f)
{
	return f->reader.place.offset != f->told_offset || f->bad != f->told_bad;
}

void drop_tell(struct drop *f, int dir_fd)
{
	if (report_sync(&f->report, dir_fd) < 0)
		source_notice(f->source, f->name,
		              "the report of its bad lines cannot be written; it stays incomplete");
	f->told_offset = f->reader.place.offset;
	f->told_bad = f->bad;
}

/* --- moving ------------------------------------------------------------------------- */

/* Whether the file has changed since its end was read, so that it has not ended. */
static bool has_changed(struct drop *f)
{
	struct file_state state;

	if (f->given_up || f->moved || file_look(f->fd, "", &state) < 0 ||
	    state.size == f->reader.fed)
		return false;
	if (state.size < f->reader.fed) {
		if (lseek(f->fd, 0, SEEK_SET) < 0)
			return false;
		source_notice(f->source, f->name, place_match_text(PLACE_TRUNCATED));
		reader_begin(&f->reader, &f->id);
		f->told_offset = 0;
	}
	f->ended = false;
	return true;
}

int drop_put_away(struct drop *f, int dir_fd)
{
	if (has_changed(f))
		return 0;

	if (!f->moved) {
		int r = outcome_move(dir_fd, f->name, &f->id, f->bad > 0 ? "failed" : "done",
		                     f->target);
		if (r == -ENOENT) /* somebody else has moved, replaced or deleted it */
			(void) snprintf(f->target, sizeof(f->target), "%s", f->name);
		else if (r < 0)
			return r;
		f->moved = true;
	}
	int r = report_name(&f->report, dir_fd, f->target);
	if (r == 0)
		forget(f);
	return r;
}

/* --- positions ---------------------------------------------------------------------- */

void drop_position(const struct drop *f, struct buf *b)
{
	struct place place;

	reader_place(&f->reader, &place);
	buf_printf(b, "%d %" PRIu64 " %" PRIu64 " ", f->given_up, f->bad, f->report.length);
	place_write(&place, b);
	buf_printf(b, " %s", f->name);
}

struct position {
	bool given_up;
	uint64_t bad, report_bytes;
	struct place place;
	char name[NAME_MAX + 1];
};

static int parse_position(const char *text, struct position *ret_position)
{
	struct position p = { 0 };
	unsigned given_up = 0;
	int end = 0;

	if (sscanf(text, "%1u %" SCNu64 " %" SCNu64 " %n", &given_up, &p.bad, &p.report_bytes,
	           &end) != 3 ||
	    place_parse(text + end, &p.place, &text) < 0)
		return -EINVAL;
	size_t len = strlen(text);
	if (len < 2 || text[0] != ' ' || len > sizeof(p.name) || strchr(text, '/'))
		return -EINVAL;

	p.given_up = given_up != 0;
	memcpy(p.name, text + 1, len);
	*ret_position = p;
	return 0;
}

/* Begins the file, none of which was read by this process, where it was left. */
static int begin_at(struct drop *f, const struct position *p, const unsigned char *head)
{
	if (f->fd >= 0 && lseek(f->fd, (off_t) p->place.offset, SEEK_SET) < 0)
		return -errno;
	reader_begin_at(&f->reader, &p->place, head);
	report_begin(&f->report, p->report_bytes);
	f->bad = p->bad;
	f->given_up = p->given_up;
	f->ended = p->given_up;
	f->told_offset = p->place.offset;
	f->told_bad = p->bad;
	return 0;
}

/* Takes up the file again, which is called 'name' now. */
static int go_on_in(struct drop *f, int dir_fd, const char *name, const struct position *p)
{
	unsigned char head[PLACE_HEAD_BYTES] = { 0 };
	int fd = -1;

	if (!p->given_up) {
		fd = open_file(dir_fd, name);
		if (is_passing(fd))
			return fd;
	}
	begin(f, name, &p->place.file, fd < 0 ? -1 : fd);
	if (p->given_up)
		return begin_at(f, p, head);
	if (fd < 0) {
		give_up(f, 0, "cannot be opened", fd);
		return 0;
	}

	int match = place_check(&p->place, fd, head);
	if (match == PLACE_HOLDS)
		return begin_at(f, p, head);
	if (match < 0)
		give_up(f, 0, "cannot be read", match);
	else
		source_notice(f->source, name, place_match_text((enum place_match) match));
	return 0;
}

int drop_go_on(struct drop *f, int dir_fd, const char *position)
{
	struct file_state state;
	struct position p;

	int r = parse_position(position, &p);
	if (r < 0)
		return r;
	r = file_look(dir_fd, p.name, &state);
	if (r < 0 || !file_is_same(&state.id, &p.place.file))
		r = file_find(dir_fd, &p.place.file, p.name);
	if (r == 0)
		return go_on_in(f, dir_fd, p.name, &p);
	if (r != -ENOENT)
		return r;

	/* It has been moved, except perhaps for its report. */
	report_name_late(dir_fd, &p.place.file, p.report_bytes);
	return 0;
}
