/* SPDX-License-Identifier: Apache-2.0 */
#include "control/receipts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Not every file system has files without a name, and not every disk has room. */
static int open_file(const char *folder)
{
	int fd = folder ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		fd = memfd_create("penstock-receipts", MFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int write_all(int fd, const struct buf *b, uint64_t *at)
{
	for (size_t done = 0; done < b->len;) {
		ssize_t n = pwrite(fd, b->data + done, b->len - done, (off_t) *at);
		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t) n : 0;
		*at += n > 0 ? (uint64_t) n : 0;
	}
	return 0;
}

static int move_to_file(struct receipts *r, const char *folder)
{
	int fd = r->file_bytes > 0 ? r->file : open_file(folder);
	if (fd < 0)
		return fd;

	int e = write_all(fd, &r->memory, &r->file_bytes);
	if (r->file_bytes == 0)
		(void) close(fd);
	else
		r->file = fd;
	buf_clear(&r->memory);
	return e;
}

int receipts_spill(struct receipts *r, const char *folder)
{
	if (r->memory.failed)
		return -ENOMEM;
	return r->memory.len < RECEIPTS_MEMORY_BYTES ? 0 : move_to_file(r, folder);
}

int receipts_finish(struct receipts *r, const char *folder, struct reply *reply)
{
	if (r->memory.failed)
		return -ENOMEM;
	if (r->file_bytes > 0) {
		int e = move_to_file(r, folder);
		if (e < 0)
			return e;
		reply->file = r->file;
		reply->file_bytes = r->file_bytes;
		buf_done(&r->memory);
	} else {
		reply->body = r->memory;
	}
	*r = (struct receipts) { 0 };
	return 0;
}

void receipts_done(struct receipts *r)
{
	if (r->file_bytes > 0)
		(void) close(r->file);
	buf_done(&r->memory);
	*r = (struct receipts) { 0 };
}
