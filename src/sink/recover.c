/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the results log whole after a crash.
 *
 *                 mark          found ends here
 *     the file ────┼── right ─────┼── torn, or garbage │
 *     the store ───┼──────────────┼────────────────────────► what is to be there
 *
 * The bytes behind the mark are compared with the store's.  Where they cease to be equal,
 * the file is cut: at that very byte, not at the end of a line, for a reader may have come
 * as far as that, and a file that becomes shorter than what was read of it looks like a
 * new one.  Then the store's bytes follow from that byte on.
 */
#include "sink/results.h"

#include "sink/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* What every record begins with. */
static const char record_head[] = "{\"seq\":";
enum { RECORD_HEAD = sizeof(record_head) - 1, CHUNK = 16 * 1024 };

/* --- positions --------------------------------------------------------------------- */

void results_position_write(const struct results_position *p, struct buf *b)
{
	if (p->regular)
		buf_printf(b, "file %" PRIu64 " %" PRIu64 " %" PRIu64, p->device, p->inode,
		           p->offset);
	else
		buf_add_str(b, "stream");
}

/* Reads " NUMBER" and moves behind it. */
static bool read_number(const char **at, uint64_t *ret_number)
{
	char *end;

	if ((*at)[0] != ' ' || (*at)[1] < '0' || (*at)[1] > '9')
		return false;
	errno = 0;
	*ret_number = strtoull(*at + 1, &end, 10);
	*at = end;
	return errno == 0;
}

int results_position_read(const char *text, struct results_position *ret_position)
{
	struct results_position p = { .regular = true };
	const char *at = text + strlen("file");

	if (strcmp(text, "stream") == 0) {
		*ret_position = (struct results_position){ .regular = false };
		return 0;
	}
	if (strncmp(text, "file", strlen("file")) != 0 || !read_number(&at, &p.device) ||
	    !read_number(&at, &p.inode) || !read_number(&at, &p.offset) || *at != '\0')
		return -EINVAL;
	*ret_position = p;
	return 0;
}

/* --- the store's records ----------------------------------------------------------- */

struct stream {
	const struct results_store *store;
	uint64_t before_seq; /* the last record before the page */
	uint64_t last_seq;   /* the page's last */
	struct buf page;     /* whole lines */
	size_t at;           /* how much of the page has been used */
	bool ended;
};

/* Goes back to what follows 'seq'. */
static void rewind_to(struct stream *s, uint64_t seq)
{
	buf_clear(&s->page);
	s->at = 0;
	s->before_seq = s->last_seq = seq;
	s->ended = false;
}

/* Gets the next page once the last one is used up. */
static int fill(struct stream *s)
{
	if (s->at < s->page.len || s->ended)
		return 0;

	uint64_t after = s->last_seq;
	rewind_to(s, after);
	int err = s->store->next(s->store->arg, after, &s->page, &s->last_seq);
	if (err < 0)
		return err;
	if (s->page.failed)
		return -ENOMEM;
	s->ended = s->page.len == 0;
	return 0;
}

static uint64_t count_lines(const char *data, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += data[i] == '\n';
	return n;
}

/* The last record that has been used whole. */
static uint64_t used_seq(const struct stream *s)
{
	return s->before_seq + count_lines(s->page.data, s->at);
}

static bool is_inside_line(const struct stream *s)
{
	return s->at > 0 && s->page.data[s->at - 1] != '\n';
}

/* --- what is there already --------------------------------------------------------- */

static int read_at(int fd, char *data, size_t len, off_t offset, size_t *ret_n)
{
	ssize_t n;

	do
		n = pread(fd, data, len, offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_n = (size_t) n;
	return 0;
}

static size_t common_length(const char *a, const char *b, size_t len)
{
	size_t n = 0;

	if (memcmp(a, b, len) == 0)
		return len;
	while (a[n] == b[n])
		n++;
	return n;
}

/* Finds where the file from 'offset' on ceases to hold what the stream does, which then
 * stands at the same place. */
static int compare(struct stream *s, int fd, off_t offset, off_t *ret_end)
{
	char chunk[CHUNK];

	for (;;) {
		size_t n = 0;
		int err = fill(s);
		if (err == 0 && !s->ended) {
			size_t left = s->page.len - s->at;
			err = read_at(fd, chunk, left < CHUNK ? left : CHUNK, offset, &n);
		}
		if (err < 0)
			return err;
		size_t same = n > 0 ? common_length(chunk, s->page.data + s->at, n) : 0;
		s->at += same;
		offset += (off_t) same;
		if (n == 0 || same < n)
			break;
	}
	*ret_end = offset;
	return 0;
}

/* Whether a record, or as much of it as there is, may begin at 'offset'. */
static int may_be_record(int fd, off_t offset, bool *ret_may)
{
	char head[RECORD_HEAD];
	size_t n = 0;

	int err = read_at(fd, head, sizeof(head), offset, &n);
	if (err == 0)
		*ret_may = n > 0 && memcmp(head, record_head, n) == 0;
	return err;
}

/* Whether 'mark' can be about this file at all: it is at the beginning of a line. */
static int is_marked(int fd, off_t size, uint64_t mark, bool *ret_marked)
{
	char last = '\n';
	size_t n = 0;

	if (mark > (uint64_t) size) {
		*ret_marked = false;
		return 0;
	}
	int err = mark > 0 ? read_at(fd, &last, 1, (off_t) mark - 1, &n) : 0;
	if (err == 0)
		*ret_marked = last == '\n';
	return err;
}

/* --- recovery ---------------------------------------------------------------------- */

struct recovery {
	struct stream stream;
	uint64_t mark_seq;
	struct results_recovery found;
};

/* Writes the next 'len' bytes of the page. */
static int write_from_page(struct recovery *c, struct target *t, size_t len)
{
	struct stream *s = &c->stream;
	const char *data = s->page.data + s->at;
	size_t written = 0;

	int err = target_write(t, data, len, &written);
	if (err == 0) {
		s->at += len;
		c->found.missing += count_lines(data, len);
	}
	return err;
}

static int write_line_rest(struct recovery *c, struct target *t)
{
	const struct stream *s = &c->stream;

	if (!is_inside_line(s))
		return 0;
	size_t left = s->page.len - s->at;
	const char *newline = memchr(s->page.data + s->at, '\n', left);
	return write_from_page(c, t,
	                       newline ? (size_t) (newline - s->page.data) + 1 - s->at : left);
}

static int write_rest(struct recovery *c, struct target *t)
{
	for (;;) {
		int err = fill(&c->stream);
		if (err == 0 && c->stream.ended)
			return 0;
		if (err == 0)
			err = write_from_page(c, t, c->stream.page.len - c->stream.at);
		if (err < 0)
			return err;
	}
}

/*
 * Decides about what follows 'end', where the stream and the file part.
 *
 * Behind all that the store has, records that it does not know may follow: then it is an
 * older copy of itself, and they are nobody's to throw away.  And an inode's number may have
 * been given to a new file: nothing is cut from one that has no record of ours.
 */
static int cut_garbage(struct recovery *c, struct target *t, off_t end, bool sure, bool *ret_ours)
{
	struct stream *s = &c->stream;
	bool may = false;
	int err = 0;

	if (s->ended)
		err = may_be_record(t->fd, end, &may);
	if (err == 0 && may)
		return 0;
	bool ours = sure || used_seq(s) > c->mark_seq;
	if (err == 0 && !ours)
		err = may_be_record(t->fd, 0, &ours);
	if (err < 0)
		return err;
	if (!ours) {
		rewind_to(s, c->mark_seq);
		*ret_ours = false;
		return 0;
	}
	t->torn = false;
	if (ftruncate(t->fd, end) < 0)
		return -errno;
	c->found.cut_bytes += (uint64_t) (t->end - end);
	return 0;
}

/*
 * Has the stream go on where the file does, behind which there is nothing else then.
 * '*ret_ours': whether the mark is about this file.
 */
static int resume(struct recovery *c, struct target *t, const struct results_position *mark,
                  bool sure, bool *ret_ours)
{
	bool ours = false;
	off_t end;

	t->end = lseek(t->fd, 0, SEEK_END);
	int err = t->end < 0 ? -errno : is_marked(t->fd, t->end, mark->offset, &ours);
	if (err < 0 || !ours) {
		*ret_ours = false;
		return err;
	}
	err = compare(&c->stream, t->fd, (off_t) mark->offset, &end);
	if (err == 0 && end < t->end)
		err = cut_garbage(c, t, end, sure, &ours);
	else
		t->torn = false; /* it is about to be completed */
	*ret_ours = ours;
	return err;
}

/* --- the rotated file -------------------------------------------------------------- */

/* Opens the entry if it is the regular file with this inode; -ENOENT if it is not. */
static int open_if_inode(int folder, const char *name, uint64_t inode)
{
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_ino != inode)
		return -ENOENT;
	int fd = openat(folder, name, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Looks for the inode in the log's folder.  Returns a descriptor, -ENOENT or another -Exxx. */
static int find_rotated(const char *path, uint64_t inode)
{
	int folder = target_open_folder(path);
	if (folder < 0)
		return folder;
	DIR *dir = fdopendir(folder);
	if (!dir) {
		int err = -errno;
		(void) close(folder);
		return err;
	}

	int fd = -ENOENT;
	const struct dirent *entry;
	while (fd == -ENOENT && (entry = readdir(dir)) != NULL)
		fd = open_if_inode(dirfd(dir), entry->d_name, inode);
	(void) closedir(dir);
	return fd;
}

/* Ends the file that the mark is about as it should have ended.  The stream then stands at
 * the first record that it has not. */
static int finish_rotated(struct recovery *c, const char *path, const struct results_position *mark)
{
	struct target t = { .fd = find_rotated(path, mark->inode), .regular = true };
	bool ours = false;

	c->found.lost = t.fd == -ENOENT;
	if (t.fd < 0)
		return t.fd == -ENOENT ? 0 : t.fd;
	int err = flock(t.fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	if (err == 0)
		err = resume(c, &t, mark, false, &ours);
	c->found.lost = err == 0 && !ours;
	if (err == 0 && ours)
		err = write_line_rest(c, &t);
	if (err == 0 && ours)
		err = target_sync(&t);
	target_close(&t);
	return err == -EWOULDBLOCK ? 0 : err; /* another process's log */
}

/* --- all of it --------------------------------------------------------------------- */

/* Makes what there is durable, and has the store remember how far that is. */
static int keep(struct recovery *c, struct results *r)
{
	struct results_position position;

	int err = results_sync(r, &position);
	if (err == 0 && position.regular)
		err = target_sync_folder(r->path);
	if (err < 0)
		return err;
	const struct results_store *store = c->stream.store;
	return store->keep(store->arg, used_seq(&c->stream), &position);
}

/* Finds the place in the log where the stream goes on.  A device has another number after
 * some restarts of the machine, so that the inode alone counts. */
static int find_place(struct recovery *c, struct results *r, const struct results_position *mark)
{
	struct target *t = &r->target;
	bool here = false;
	int err = 0;

	if (!t->regular || !t->owned)
		return 0;
	if ((fcntl(t->fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return -EACCES;
	if (mark && mark->regular && mark->inode == t->inode)
		err = resume(c, t, mark, mark->device == t->device, &here);
	else if (mark && mark->regular)
		err = finish_rotated(c, r->path, mark);
	if (err < 0 || here)
		return err;
	if (mark && mark->inode == t->inode)
		c->found.lost = true;
	t->end = lseek(t->fd, 0, SEEK_END);
	return t->end < 0 ? -errno : keep(c, r);
}

int results_recover(struct results *r, const struct results_position *mark, uint64_t mark_seq,
                    const struct results_store *store, struct results_recovery *ret_found)
{
	struct recovery c = { .stream.store = store, .mark_seq = mark_seq };
	struct target *t = &r->target;

	rewind_to(&c.stream, mark_seq);
	int err = find_place(&c, r, mark);
	if (err == 0)
		err = write_rest(&c, t);
	if (err == 0 && t->regular)
		t->end = lseek(t->fd, 0, t->owned ? SEEK_END : SEEK_CUR);
	if (err == 0)
		err = keep(&c, r);
	buf_done(&c.stream.page);
	if (err < 0)
		return err;
	r->begun = 0;
	r->kept = true;
	*ret_found = c.found;
	return 0;
}
