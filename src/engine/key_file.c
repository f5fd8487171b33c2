/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char prefix[] = "credential:";

char *key_file_free(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	return NULL;
}

bool key_file_is_credential(const char *value)
{
	return strncmp(value, prefix, sizeof(prefix) - 1) == 0;
}

/* The path that a value means. */
static int find(const char *value, char **ret_path, struct buf *why)
{
	const char *name = value + sizeof(prefix) - 1;
	const char *directory = getenv("CREDENTIALS_DIRECTORY");

	if (!key_file_is_credential(value)) {
		*ret_path = strdup(value);
		return *ret_path ? 0 : -ENOMEM;
	}
	if (*name == '\0' || *name == '.' || strchr(name, '/')) {
		buf_printf(why, "%s: is no name of a credential", value);
		return -EINVAL;
	}
	if (!directory) {
		buf_printf(why, "%s: there are no credentials: CREDENTIALS_DIRECTORY is not set; "
		           "have systemd load it with LoadCredential=%s:PATH", value, name);
		return -EINVAL;
	}
	return asprintf(ret_path, "%s/%s", directory, name) < 0 ? -ENOMEM : 0;
}

static int fail(const char *path, const char *what, int error, struct buf *why)
{
	buf_printf(why, "%s: %s%s", path, what, error > 0 ? strerror(error) : "");
	return -EINVAL;
}

/* Reads to the end; 'size' is what there should be. */
static int read_all(int fd, size_t size, const char *path, char **ret_text, struct buf *why)
{
	char *text = malloc(size + 1);
	size_t n = 0;
	ssize_t got;

	if (!text)
		return -ENOMEM;
	while ((got = read(fd, text + n, size + 1 - n)) > 0 && n + (size_t) got <= size)
		n += (size_t) got;
	if (got == 0 && n == size && !memchr(text, '\0', n)) {
		text[n] = '\0';
		*ret_text = text;
		return 0;
	}
	int r = got < 0                ? fail(path, "cannot be read: ", errno, why)
	        : n != size || got > 0 ? fail(path, "has changed just now; try again", 0, why)
	                               : fail(path, "has NUL characters", 0, why);
	explicit_bzero(text, size + 1);
	free(text);
	return r;
}

/* Whether others than the owner can read it.  Where we are not the owner, its group may well
 * be how we are let in. */
static bool is_exposed(const struct stat *st)
{
	return (st->st_mode & S_IROTH) || ((st->st_mode & S_IRGRP) && st->st_uid == geteuid());
}

static int read_path(const char *path, char **ret_text, bool *ret_exposed, struct buf *why)
{
	struct stat st;
	int r;

	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fail(path, "cannot be read: ", errno, why);
	if (fstat(fd, &st) < 0)
		r = fail(path, "cannot be read: ", errno, why);
	else if (!S_ISREG(st.st_mode))
		r = fail(path, "is no regular file", 0, why);
	else if (st.st_size > KEY_FILE_MAX_BYTES)
		r = fail(path, "is larger than 1 MiB", 0, why);
	else
		r = read_all(fd, (size_t) st.st_size, path, ret_text, why);
	if (r == 0)
		*ret_exposed = is_exposed(&st);
	(void) close(fd);
	return r;
}

int key_file_read(const char *value, char **ret_text, bool *ret_exposed, struct buf *why)
{
	char *path = NULL;

	int r = find(value, &path, why);
	if (r == 0)
		r = read_path(path, ret_text, ret_exposed, why);
	if (r == 0 && key_file_is_credential(value))
		*ret_exposed = false; /* systemd's modes do not say who gets there */
	free(path);
	return r;
}

/* What is wrong with a line of 'n' characters; NULL if nothing is. */
static const char *line_trouble(const char *text, size_t n)
{
	if (n == 0)
		return "is empty";
	for (size_t i = 0; i < n; i++)
		if ((unsigned char) text[i] < ' ' || text[i] == 0x7f)
			return "must be one line, without control characters";
	return NULL;
}

/* Whether it may be the secret itself, written where the name of its file belongs. */
static bool may_be_secret(const char *value)
{
	return !key_file_is_credential(value) && *value != '/' && access(value, F_OK) < 0;
}

int key_file_read_line(const char *value, char **ret_text, bool *ret_exposed, struct buf *why)
{
	char *text = NULL;

	if (may_be_secret(value)) {
		buf_add_str(why, "no such file; write the path of the file that holds it");
		return -EINVAL;
	}
	int r = key_file_read(value, &text, ret_exposed, why);
	if (r < 0)
		return r;
	size_t n = strlen(text);
	if (n > 0 && text[n - 1] == '\n')
		n -= n > 1 && text[n - 2] == '\r' ? 2 : 1;
	const char *trouble = line_trouble(text, n);
	if (trouble) {
		key_file_free(text);
		return fail(value, trouble, 0, why);
	}
	text[n] = '\0';
	*ret_text = text;
	return 0;
}
