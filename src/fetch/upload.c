/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- opening ----------------------------------------------------------------------- */

int upload_open_directory(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* There is no wrapper in glibc.  A FIFO is opened at once, and found out then. */
static int open_beneath(int directory, const char *path)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = -1;

	/* -EAGAIN: something was renamed meanwhile, so that ".." cannot be trusted. */
	for (int tries = 0; tries < 16 && fd < 0; tries++) {
		fd = syscall(SYS_openat2, directory, path, &how, sizeof(how));
		if (fd < 0 && errno != EAGAIN && errno != EINTR)
			break;
	}
	return fd < 0 ? -errno : (int) fd;
}

static void fail(struct upload *upload, const char *trouble)
{
	(void) snprintf(upload->trouble, sizeof(upload->trouble), "%s", trouble);
}

static void fail_open(struct upload *upload, int error)
{
	if (error == -EXDEV)
		fail(upload, "it is not below fetch.body_dir");
	else if (error == -ENOENT || error == -ENOTDIR)
		fail(upload, "there is no such file below fetch.body_dir");
	else if (error == -ENXIO || error == -EISDIR)
		fail(upload, "it is not a regular file");
	else
		(void) snprintf(upload->trouble, sizeof(upload->trouble), "it cannot be opened: %s",
		                strerror(-error));
}

bool upload_open(struct upload *upload, int directory, const char *path)
{
	struct stat file;

	*upload = (struct upload) { .fd = -1 };
	if (directory < 0) {
		fail(upload, "it is not allowed: fetch.body_dir is not set");
		return false;
	}
	upload->fd = open_beneath(directory, path);
	if (upload->fd < 0)
		fail_open(upload, upload->fd);
	else if (fstat(upload->fd, &file) < 0)
		fail_open(upload, -errno);
	else if (!S_ISREG(file.st_mode))
		fail(upload, "it is not a regular file");
	else
		upload->bytes = (uint64_t) file.st_size;
	return *upload->trouble == '\0';
}

void upload_close(struct upload *upload)
{
	if (upload->fd >= 0)
		(void) close(upload->fd);
	upload->fd = -1;
}

/* --- reading ----------------------------------------------------------------------- */

size_t upload_read(char *to, size_t size, size_t count, void *arg)
{
	struct upload *upload = arg;
	uint64_t left = upload->bytes - upload->at;
	size_t wanted = size * count < left ? size * count : (size_t) left;
	ssize_t n = 0;

	if (wanted == 0)
		return 0;
	do
		n = pread(upload->fd, to, wanted, (off_t) upload->at);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		upload->at += (uint64_t) n;
		return (size_t) n;
	}
	if (n == 0)
		fail(upload, "it has become shorter while it was sent");
	else
		(void) snprintf(upload->trouble, sizeof(upload->trouble), "it cannot be read: %s",
		                strerror(errno));
	return CURL_READFUNC_ABORT;
}

int upload_seek(void *arg, curl_off_t offset, int origin)
{
	struct upload *upload = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t) offset > upload->bytes)
		return CURL_SEEKFUNC_FAIL;
	upload->at = (uint64_t) offset;
	return CURL_SEEKFUNC_OK;
}
