/* SPDX-License-Identifier: Apache-2.0 */
#include "source/place.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* --- files -------------------------------------------------------------------------- */

int file_look(int dir_fd, const char *name, struct file_state *ret_state)
{
	struct statx st;

	if (statx(dir_fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
	          STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		return -errno;

	bool has_birth = (st.stx_mask & STATX_BTIME) != 0;
	*ret_state = (struct file_state) {
		.id.inode = st.stx_ino,
		.id.born_ns = has_birth ? (uint64_t) st.stx_btime.tv_sec * NS_PER_S +
		                                  st.stx_btime.tv_nsec
		                        : 0,
		.type = st.stx_mode & S_IFMT,
		.device = makedev(st.stx_dev_major, st.stx_dev_minor),
		.size = st.stx_size,
		.modified_ns = st.stx_mtime.tv_sec * (int64_t) NS_PER_S + st.stx_mtime.tv_nsec,
	};
	return 0;
}

bool file_is_same(const struct file_id *a, const struct file_id *b)
{
	return a->inode == b->inode &&
	       (a->born_ns == b->born_ns || a->born_ns == 0 || b->born_ns == 0);
}

static bool is_file(int dir_fd, const char *name, const struct file_id *id)
{
	struct file_state state;

	return file_look(dir_fd, name, &state) == 0 && state.type == S_IFREG &&
	       file_is_same(&state.id, id);
}

int file_find(int dir_fd, const struct file_id *id, char ret_name[NAME_MAX + 1])
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		(void) close(fd);
		return -ENOMEM;
	}

	const struct dirent *entry;
	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && (entry->d_ino != id->inode || !is_file(dir_fd, entry->d_name, id)));

	int r = entry ? 0 : errno != 0 ? -errno : -ENOENT;
	if (entry)
		(void) snprintf(ret_name, NAME_MAX + 1, "%s", entry->d_name);
	(void) closedir(dir);
	return r;
}

/* --- places ------------------------------------------------------------------------- */

uint64_t place_hash(const void *head, size_t n)
{
	const unsigned char *bytes = head;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++) {
		hash ^= bytes[i];
		hash *= UINT64_C(0x100000001b3);
	}
	return hash;
}

void place_write(const struct place *p, struct buf *b)
{
	buf_printf(b, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %d %016" PRIx64,
	           p->file.inode, p->file.born_ns, p->offset, p->line, p->in_long_line, p->hash);
}

int place_parse(const char *text, struct place *ret_place, const char **ret_rest)
{
	struct place p = { 0 };
	unsigned in_long_line = 0;
	int end = 0;

	int n = sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %1u %16" SCNx64 "%n",
	               &p.file.inode, &p.file.born_ns, &p.offset, &p.line, &in_long_line, &p.hash,
	               &end);
	if (n != 6 || p.offset > INT64_MAX)
		return -EINVAL;
	p.in_long_line = in_long_line != 0;
	*ret_place = p;
	*ret_rest = text + end;
	return 0;
}

int place_check(const struct place *p, int fd, unsigned char ret_head[PLACE_HEAD_BYTES])
{
	struct file_state state;
	size_t want = p->offset < PLACE_HEAD_BYTES ? (size_t) p->offset : PLACE_HEAD_BYTES;
	size_t have = 0;

	int r = file_look(fd, "", &state);
	if (r < 0)
		return r;
	if (state.type != S_IFREG || !file_is_same(&state.id, &p->file))
		return PLACE_REPLACED;
	if (state.size < p->offset)
		return PLACE_TRUNCATED;

	while (have < want) {
		ssize_t n = pread(fd, ret_head + have, want - have, (off_t) have);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return PLACE_TRUNCATED;
		if (n > 0)
			have += (size_t) n;
	}
	return place_hash(ret_head, want) == p->hash ? PLACE_HOLDS : PLACE_REWRITTEN;
}

const char *place_match_text(enum place_match match)
{
	switch (match) {
	case PLACE_REPLACED:
		return "has been replaced; is read from its start";
	case PLACE_TRUNCATED:
		return "was truncated; is read from its start";
	case PLACE_REWRITTEN:
		return "was rewritten; is read from its start";
	case PLACE_HOLDS:
		break;
	}
	return "is read on";
}
