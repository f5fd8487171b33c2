/* SPDX-License-Identifier: Apache-2.0 */
#include "source/input.h"

#include "source/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A followed file is looked at whenever its watch wakes, and once in this time
 * at the latest: no notification tells of what another machine writes to a
 * network file system, of a change behind a symbolic link or above the folder,
 * or of anything once the user's watches are used up.  A look costs two or three
 * system calls.
 */
enum { RECHECK_MS = 1000 };

static const struct input_file no_file = { .fd = -1 };

/* --- files -------------------------------------------------------------------------- */

static int describe(int fd, struct input_file *ret_file)
{
	struct file_state state;

	int r = file_look(fd, "", &state);
	if (r < 0)
		return r;
	if (state.type == S_IFDIR)
		return -EISDIR;
	*ret_file = (struct input_file) {
		.fd = fd,
		.type = state.type,
		.device = state.device,
		.id = state.id,
	};
	return 0;
}

static int open_file(int dir_fd, const char *path, struct input_file *ret_file)
{
	/* O_NONBLOCK, because opening a FIFO otherwise waits for a writer where no stop
	 * can end the wait. */
	int fd = openat(dir_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	int r = describe(fd, ret_file);
	if (r < 0)
		(void) close(fd);
	return r;
}

static void close_file(struct input_file *file)
{
	if (file->fd >= 0)
		(void) close(file->fd);
	*file = no_file;
}

static bool is_same(const struct input_file *a, const struct input_file *b)
{
	return a->fd >= 0 && a->device == b->device && a->id.inode == b->id.inode;
}

/* Whether poll(2) knows if there is something to read; of files it does not. */
static bool can_be_waited_for(const struct input_file *file)
{
	return file->fd >= 0 && file->type != S_IFREG && file->type != S_IFBLK;
}

static void arm_watch(struct input *in)
{
	/* Only files: poll(2) tells what happens to a FIFO. */
	watch_arm(&in->watch, in->now.type == S_IFREG ? in->now.fd : -1);
}

int input_open(struct input *in, const char *path, bool follow, int stop_fd)
{
	struct input fresh = {
		.path = path,
		.stop_fd = stop_fd,
		.follow = follow && path,
		.now = no_file,
		.next = no_file,
	};

	int r = path ? open_file(AT_FDCWD, path, &fresh.now) : describe(STDIN_FILENO, &fresh.now);
	if (r < 0 && !(fresh.follow && r == -ENOENT))
		return r;

	if (fresh.follow) {
		r = watch_init(&fresh.watch, path);
		if (r < 0) {
			close_file(&fresh.now);
			return r;
		}
		arm_watch(&fresh);
	}
	*in = fresh;
	return 0;
}

void input_close(struct input *in)
{
	if (in->path)
		close_file(&in->now);
	close_file(&in->next);
	if (in->follow)
		watch_done(&in->watch);
}

bool input_has_places(const struct input *in) { return in->path && in->now.type == S_IFREG; }

uint64_t input_bytes_left(const struct input *in)
{
	struct stat st;

	if (in->now.type != S_IFREG || fstat(in->now.fd, &st) < 0)
		return 0;
	off_t at = lseek(in->now.fd, 0, SEEK_CUR);
	return at >= 0 && at < st.st_size ? (uint64_t) (st.st_size - at) : 0;
}

/* --- going on after a restart ------------------------------------------------------- */

/* Goes on in 'file', if the place is there. */
static int go_on_in(const struct input_file *file, const struct place *place,
                    unsigned char ret_head[PLACE_HEAD_BYTES])
{
	int match = place_check(place, file->fd, ret_head);

	if (match == PLACE_HOLDS && lseek(file->fd, (off_t) place->offset, SEEK_SET) < 0)
		return -errno;
	return match;
}

/* Opens the file of that place, which has another name in the folder now. */
static int open_renamed(const struct input *in, const struct place *place,
                        struct input_file *ret_file)
{
	char name[NAME_MAX + 1];

	int folder_fd = open(in->watch.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder_fd < 0)
		return -errno;
	int r = file_find(folder_fd, &place->file, name);
	if (r == 0)
		r = open_file(folder_fd, name, ret_file);
	(void) close(folder_fd);
	return r;
}

int input_go_on(struct input *in, const struct place *place,
                unsigned char ret_head[PLACE_HEAD_BYTES])
{
	int match = in->now.fd >= 0 ? go_on_in(&in->now, place, ret_head) : PLACE_REPLACED;

	if (match == PLACE_REPLACED && in->follow) {
		struct input_file renamed = no_file;
		if (open_renamed(in, place, &renamed) < 0)
			return match;
		match = go_on_in(&renamed, place, ret_head);
		if (match != PLACE_HOLDS) {
			close_file(&renamed);
			return PLACE_REPLACED;
		}

		/* Its end leads to what has its name now, as if that had just happened. */
		close_file(&in->now);
		in->now = renamed;
		arm_watch(in);
	}
	if (match == PLACE_HOLDS)
		in->offset = (off_t) place->offset;
	return match;
}

/* --- following ---------------------------------------------------------------------- */

static int change_over(struct input *in)
{
	close_file(&in->now);
	in->now = in->next;
	in->next = no_file;
	in->offset = 0;
	in->trouble = 0;
	return INPUT_NEW_FILE;
}

/* The path cannot be opened. */
static int go_without(struct input *in, int error, bool hung_up)
{
	if (hung_up) {
		/* poll(2) would report the hang-up again and again. */
		close_file(&in->now);
		return INPUT_NEW_FILE;
	}

	in->idle = true;
	if (error == -ENOENT || error == in->trouble) {
		in->trouble = error == -ENOENT ? 0 : error;
		return INPUT_NONE;
	}
	in->trouble = error;
	return INPUT_TROUBLE;
}

/* Looks where the path leads now.  'hung_up' says that it was a FIFO, and its
 * last writer has left. */
static int look_at_path(struct input *in, bool hung_up)
{
	struct input_file file;
	struct stat st;

	if (!hung_up && in->now.fd >= 0 && stat(in->path, &st) == 0 &&
	    st.st_dev == in->now.device && st.st_ino == in->now.id.inode) {
		in->idle = true;
		return INPUT_NONE;
	}

	int r = open_file(AT_FDCWD, in->path, &file);
	if (r < 0)
		return go_without(in, r, hung_up);

	bool same = is_same(&in->now, &file);
	if (same && !hung_up) {
		close_file(&file);
		return INPUT_NONE;
	}

	in->next = file;
	if (in->now.fd >= 0 && !hung_up)
		return INPUT_NONE; /* first what is left of the old one */

	/* A FIFO that is opened again says nothing of a hang-up before it has a new
	 * writer.  The old descriptor is closed only now, so that writers always
	 * find a reader. */
	(void) change_over(in);
	return same ? INPUT_BREAK : INPUT_NEW_FILE;
}

/* Everything that is there was read: finds out what has happened to the file. */
static int look(struct input *in, bool hung_up)
{
	/* Before the look, so that nothing happens unnoticed in between. */
	arm_watch(in);

	if (in->now.fd >= 0 && in->now.type == S_IFREG) {
		struct stat st;
		if (fstat(in->now.fd, &st) < 0)
			return -errno;
		if (st.st_size > in->offset)
			return INPUT_NONE;
		if (st.st_size < in->offset) {
			if (lseek(in->now.fd, 0, SEEK_SET) < 0)
				return -errno;
			in->offset = 0;
			return INPUT_NEW_FILE;
		}
	}
	return look_at_path(in, hung_up);
}

/* --- reading ------------------------------------------------------------------------ */

/* Waits until there is something to do; says whether that is to read. */
static int await(struct input *in, bool *ret_readable)
{
	bool waits = can_be_waited_for(&in->now);
	bool at_once = in->next.fd >= 0 || (!waits && !in->idle);
	struct pollfd fds[] = {
		{ .fd = in->stop_fd, .events = POLLIN },
		{ .fd = waits ? in->now.fd : -1, .events = POLLIN },
		{ .fd = in->follow ? in->watch.fd : -1, .events = POLLIN },
	};

	int r = source_poll(fds, ARRAY_LEN(fds), at_once ? 0 : in->follow ? RECHECK_MS : -1);
	if (r < 0)
		return r;

	if (fds[2].revents != 0)
		watch_drain(&in->watch);
	in->idle = false;

	/* A FIFO is read only when poll says so: before its first writer has come, a
	 * read would look like the end. */
	*ret_readable = in->now.fd >= 0 && (!waits || fds[1].revents != 0 || in->next.fd >= 0);
	return 0;
}

int input_read(struct input *in, void *data, size_t size, size_t *ret_n)
{
	bool readable = false;

	int r = await(in, &readable);
	if (r < 0)
		return r;
	if (!readable)
		return in->follow ? look(in, false) : INPUT_NONE;

	ssize_t n = read(in->now.fd, data, size);
	if (n > 0) {
		in->offset += n;
		*ret_n = (size_t) n;
		return INPUT_BYTES;
	}
	if (n < 0 && errno != EAGAIN)
		return errno == EINTR ? INPUT_NONE : -errno;

	/* At the end, or, of a FIFO that still has writers, nothing there. */
	if (in->next.fd >= 0)
		return change_over(in);
	if (n < 0)
		return INPUT_NONE;
	bool fifo = in->now.type == S_IFIFO;
	return in->follow && (fifo || in->now.type == S_IFREG) ? look(in, fifo) : INPUT_END;
}
