/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's body that is a file: opened for each attempt below the one directory that is
 * allowed, and read while it is sent.  A path cannot lead out of there, by symbolic links
 * neither (openat2(2), RESOLVE_BENEATH).
 */
#ifndef PENSTOCK_FETCH_UPLOAD_H
#define PENSTOCK_FETCH_UPLOAD_H

#include "base/attr.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

/* Opens the directory.  Returns a descriptor, or -ENOENT, -ENOTDIR, -EACCES…, as open(2). */
NODISCARD NONNULL(1) int upload_open_directory(const char *path);

/* Belongs to one thread. */
struct upload {
	int fd;          /* -1: there is none */
	uint64_t bytes;  /* its length when it was opened, which is what is announced */
	uint64_t at;     /* so far it was read */
	char trouble[96]; /* why it cannot be sent: "no such file"; "" if nothing is wrong */
};

/* Opens the file at 'path' in the directory 'directory', or -1 for none; on failure sets
 * upload->trouble and returns false.  End with upload_close(), also then. */
NODISCARD NONNULL(1, 3) bool upload_open(struct upload *upload, int directory, const char *path);

/* Idempotent. */
NONNULL(1) void upload_close(struct upload *upload);

/* A CURLOPT_READFUNCTION(3) and a CURLOPT_SEEKFUNCTION(3), with the struct upload as last
 * and first argument.  A file that has become shorter ends the transfer. */
size_t upload_read(char *to, size_t size, size_t count, void *arg);
int upload_seek(void *arg, curl_off_t offset, int origin);

#endif
