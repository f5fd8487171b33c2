/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/job_lines.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_standard_input(const char *path) { return strcmp(path, "-") == 0; }

const char *job_lines_name(const struct job_lines *l, size_t file)
{
	return is_standard_input(l->paths[file]) ? "standard input" : l->paths[file];
}

/* Looks at a file before anything is read; adds its size to '*total', or says in '*measured' that
 * it has none. */
static int look(const char *path, uint64_t *total, bool *measured)
{
	bool standard = is_standard_input(path);
	struct stat st;

	if ((standard ? fstat(STDIN_FILENO, &st) : stat(path, &st)) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!standard && access(path, R_OK) < 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		*total += (uint64_t) st.st_size;
	else
		*measured = false;
	return 0;
}

int job_lines_open(struct job_lines *l, char *const *paths, size_t n, int stop_fd,
                   size_t *ret_failed)
{
	struct job_lines fresh = { .paths = paths, .n_paths = n, .stop_fd = stop_fd };
	bool measured = true;

	for (size_t i = 0; i < n; i++) {
		int r = look(paths[i], &fresh.bytes_total, &measured);
		if (r < 0) {
			*ret_failed = i;
			return r;
		}
	}
	if (!measured)
		fresh.bytes_total = 0;
	int r = lines_init(&fresh.lines);
	if (r == 0)
		*l = fresh;
	return r;
}

void job_lines_close(struct job_lines *l)
{
	if (l->is_open)
		input_close(&l->input);
	lines_done(&l->lines);
	*l = (struct job_lines) { 0 };
}

uint64_t job_lines_number(const struct job_lines *l) { return l->lines.number; }
uint64_t job_lines_serial(const struct job_lines *l) { return l->before + l->lines.number; }

static int open_next(struct job_lines *l)
{
	const char *path = l->paths[l->file];

	int r = input_open(&l->input, is_standard_input(path) ? NULL : path, false, l->stop_fd);
	l->is_open = r == 0;
	l->at_end = false;
	return r;
}

static void leave_file(struct job_lines *l)
{
	input_close(&l->input);
	l->is_open = false;
	l->before += l->lines.number;
	lines_restart(&l->lines);
	l->file++;
}

/* Whether a read would not have to wait. */
static bool is_readable(const struct job_lines *l)
{
	struct pollfd set = { .fd = l->input.now.fd, .events = POLLIN };
	bool waits = l->input.now.type != S_IFREG && l->input.now.type != S_IFBLK;

	return !waits || poll(&set, 1, 0) > 0;
}

static int read_more(struct job_lines *l, bool waits)
{
	char *room = NULL;
	size_t n = 0;

	if (!waits && !is_readable(l))
		return JOB_LINES_PAUSE;
	int r = lines_room(&l->lines, &room);
	if (r == 0)
		r = input_read(&l->input, room, LINES_READ_BYTES, &n);
	if (r < 0)
		return r;
	if (r == INPUT_BYTES) {
		lines_fed(&l->lines, n);
		l->bytes += n;
	}
	l->at_end = r == INPUT_END;
	return JOB_LINES_LINE; /* for the caller: go on */
}

int job_lines_next(struct job_lines *l, bool waits, const char **ret_text, size_t *ret_len)
{
	while (l->file < l->n_paths) {
		int r = l->is_open ? JOB_LINES_LINE : open_next(l);
		if (r < 0)
			return r;
		enum line_kind kind = l->at_end ? lines_last(&l->lines, ret_text, ret_len)
		                                : lines_next(&l->lines, ret_text, ret_len);
		if (kind != LINE_NONE)
			return kind == LINE_WHOLE ? JOB_LINES_LINE : JOB_LINES_TOO_LONG;
		if (l->at_end) {
			leave_file(l);
			continue;
		}
		r = read_more(l, waits);
		if (r != JOB_LINES_LINE)
			return r;
	}
	return JOB_LINES_END;
}
