/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults on demand: a library that tests preload into a program (LD_PRELOAD).
 *
 * It stands between the program, SQLite included, and the calls that change files.  Each
 * call on a file whose path holds one of the wanted strings is counted, from 1; at a
 * certain one the process dies, or the call fails without having done anything.
 *
 *   FAULTS_PATHS  the strings, with ':' between them; without it, no call counts
 *   FAULTS_CALLS  the kinds of calls that count, with ',' between them: "write", "sync",
 *                 "truncate", "rename", "link" (linkat, renameat), "unlink"; all
 *                 without it
 *   FAULTS_DO     kill-before, kill-middle (half of the bytes are written), kill-after,
 *                 ENOSPC, EIO, EROFS or short (half of the bytes are written, once; then
 *                 ENOSPC); nothing without it
 *   FAULTS_AT     from this call on; 1 without it
 *   FAULTS_TIMES  for so many calls; for ever without it
 *   FAULTS_WHILE  only as long as there is a file of this name
 *   FAULTS_TRACE  a file that gets a line for each call that counts
 *   FAULTS_NO_TMPFILE  there are no files without names (O_TMPFILE)
 *   FAULTS_CRASH_PORT  connect(2) to this TCP port is a segmentation violation
 *
 * Whether a path is wanted is asked anew at each call: descriptors are used again for
 * other files, files get other names, and some are closed where no library sees it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { NOTHING, KILL_BEFORE, KILL_MIDDLE, KILL_AFTER, SHORT, FAIL };

static struct {
	const char *paths, *calls, *whiles;
	enum action action;
	int error;
	long at, times;
	int trace;
	bool no_tmpfile;
	int crash_port;
} faults = { .trace = -1 };

static _Atomic long counted;
static _Atomic long done; /* of FAULTS_TIMES */

static struct {
	ssize_t (*write)(int, const void *, size_t);
	ssize_t (*writev)(int, const struct iovec *, int);
	ssize_t (*pwrite)(int, const void *, size_t, off64_t);
	int (*fsync)(int);
	int (*fdatasync)(int);
	int (*ftruncate)(int, off64_t);
	int (*rename)(const char *, const char *);
	int (*linkat)(int, const char *, int, const char *, int);
	int (*renameat)(int, const char *, int, const char *);
	int (*unlink)(const char *);
	int (*openat)(int, const char *, int, ...);
	int (*connect)(int, const struct sockaddr *, socklen_t);
} real;

/* --- what is asked for ------------------------------------------------------------- */

static long number(const char *name, long preset)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : preset;
}

static void read_action(void)
{
	static const struct { const char *name; enum action action; int error; } actions[] = {
		{ "kill-before", KILL_BEFORE, 0 }, { "kill-middle", KILL_MIDDLE, 0 },
		{ "kill-after", KILL_AFTER, 0 },   { "short", SHORT, ENOSPC },
		{ "ENOSPC", FAIL, ENOSPC },        { "EIO", FAIL, EIO },
		{ "EROFS", FAIL, EROFS },
	};
	const char *text = getenv("FAULTS_DO");

	for (size_t i = 0; text && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(text, actions[i].name) == 0) {
			faults.action = actions[i].action;
			faults.error = actions[i].error;
			return;
		}
	}
	if (text)
		abort();
}

static void *symbol(const char *name)
{
	void *at = dlsym(RTLD_NEXT, name);

	if (!at)
		abort();
	return at;
}

static void set_up(void)
{
	real.write = symbol("write");
	real.writev = symbol("writev");
	real.pwrite = symbol("pwrite64");
	real.fsync = symbol("fsync");
	real.fdatasync = symbol("fdatasync");
	real.ftruncate = symbol("ftruncate64");
	real.rename = symbol("rename");
	real.linkat = symbol("linkat");
	real.renameat = symbol("renameat");
	real.unlink = symbol("unlink");
	real.openat = symbol("openat64");
	real.connect = symbol("connect");

	faults.paths = getenv("FAULTS_PATHS");
	faults.calls = getenv("FAULTS_CALLS");
	faults.whiles = getenv("FAULTS_WHILE");
	faults.at = number("FAULTS_AT", 1);
	faults.times = number("FAULTS_TIMES", LONG_MAX);
	faults.no_tmpfile = getenv("FAULTS_NO_TMPFILE") != NULL;
	faults.crash_port = (int) number("FAULTS_CRASH_PORT", 0);
	const char *trace = getenv("FAULTS_TRACE");
	if (trace)
		faults.trace = open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	read_action();
}

/* The first call may come before the library's constructors ran. */
static void prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void) pthread_once(&once, set_up);
}

/* --- which calls count ------------------------------------------------------------- */

static bool is_in_list(const char *list, char separator, const char *text, bool whole)
{
	char item[PATH_MAX];

	for (const char *at = list; at && *at;) {
		const char *end = strchrnul(at, separator);
		size_t len = (size_t) (end - at);
		if (len > 0 && len < sizeof(item)) {
			memcpy(item, at, len);
			item[len] = '\0';
			if (whole ? strcmp(text, item) == 0 : strstr(text, item) != NULL)
				return true;
		}
		at = *end ? end + 1 : end;
	}
	return false;
}

static bool is_wanted(const char *kind, const char *path)
{
	return is_in_list(faults.paths, ':', path, false) &&
	       (!faults.calls || is_in_list(faults.calls, ',', kind, true));
}

static bool find_path(int fd, char path[PATH_MAX])
{
	char link[64];
	struct stat st;

	if (!faults.paths || fd == faults.trace || fstat(fd, &st) < 0 ||
	    !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return false;
	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, PATH_MAX - 1);
	if (len < 0)
		return false;
	path[len] = '\0';
	return true;
}

static void make_absolute(const char *name, char path[PATH_MAX])
{
	size_t len = 0;

	path[0] = '\0';
	if (name[0] != '/' && getcwd(path, PATH_MAX - 1)) {
		len = strlen(path);
		path[len++] = '/';
	}
	(void) snprintf(path + len, PATH_MAX - len, "%s", name);
}

static void write_trace(long n, const char *kind, const char *path, size_t bytes)
{
	char line[PATH_MAX + 64];
	const char *base = strrchr(path, '/');

	int len = snprintf(line, sizeof(line), "%ld %s %s %zu\n", n, kind, base ? base + 1 : path,
	                   bytes);
	if (faults.trace >= 0 && len > 0)
		(void) !real.write(faults.trace, line, (size_t) len);
}

/* Counts a call; returns what shall become of it. */
static enum action count(const char *kind, const char *path, size_t bytes)
{
	if (!is_wanted(kind, path))
		return NOTHING;
	int saved = errno;
	long n = atomic_fetch_add(&counted, 1) + 1;
	write_trace(n, kind, path, bytes);
	bool hit = faults.action != NOTHING && n >= faults.at &&
	           (!faults.whiles || access(faults.whiles, F_OK) == 0) &&
	           atomic_fetch_add(&done, 1) < faults.times;
	errno = saved;
	return hit ? faults.action : NOTHING;
}

static enum action count_fd(const char *kind, int fd, size_t bytes)
{
	char path[PATH_MAX];
	int saved = errno;
	bool found = find_path(fd, path);

	errno = saved;
	return found ? count(kind, path, bytes) : NOTHING;
}

/* --- the faults -------------------------------------------------------------------- */

static void die(void)
{
	for (;;)
		(void) kill(getpid(), SIGKILL);
}

/* Before a call that is all or nothing: returns 0 to go on, or -1 with errno. */
static int before(enum action action)
{
	if (action == KILL_BEFORE || action == KILL_MIDDLE)
		die();
	if (action == SHORT || action == FAIL) {
		errno = faults.error;
		return -1;
	}
	return 0;
}

static int after(enum action action, int result)
{
	if (action == KILL_AFTER)
		die();
	return result;
}

/* Before a call that writes '*len' bytes, which it may make fewer. */
static int before_write(enum action action, size_t *len)
{
	static _Atomic bool was_short;

	if (action == KILL_MIDDLE || (action == SHORT && !atomic_exchange(&was_short, true))) {
		*len = (*len + 1) / 2;
		return 0;
	}
	return before(action);
}

static ssize_t after_write(enum action action, ssize_t result)
{
	if (action == KILL_MIDDLE || action == KILL_AFTER)
		die();
	return result;
}

/* --- the calls --------------------------------------------------------------------- */

ssize_t write(int fd, const void *data, size_t len)
{
	prepare();
	enum action action = count_fd("write", fd, len);
	if (before_write(action, &len) < 0)
		return -1;
	return after_write(action, real.write(fd, data, len));
}

/* As one write of the first part, if it is not to be whole. */
ssize_t writev(int fd, const struct iovec *parts, int n)
{
	prepare();
	size_t len = n > 0 ? parts[0].iov_len : 0;
	size_t wanted = len;
	enum action action = count_fd("write", fd, len);
	if (before_write(action, &len) < 0)
		return -1;
	return after_write(action, len < wanted ? real.write(fd, parts[0].iov_base, len)
	                                        : real.writev(fd, parts, n));
}

static ssize_t write_at(int fd, const void *data, size_t len, off64_t offset)
{
	prepare();
	enum action action = count_fd("write", fd, len);
	if (before_write(action, &len) < 0)
		return -1;
	return after_write(action, real.pwrite(fd, data, len, offset));
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
	return write_at(fd, data, len, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
	return write_at(fd, data, len, offset);
}

int fsync(int fd)
{
	prepare();
	enum action action = count_fd("sync", fd, 0);
	return before(action) < 0 ? -1 : after(action, real.fsync(fd));
}

int fdatasync(int fd)
{
	prepare();
	enum action action = count_fd("sync", fd, 0);
	return before(action) < 0 ? -1 : after(action, real.fdatasync(fd));
}

static int truncate_to(int fd, off64_t len)
{
	prepare();
	enum action action = count_fd("truncate", fd, (size_t) len);
	return before(action) < 0 ? -1 : after(action, real.ftruncate(fd, len));
}

int ftruncate(int fd, off_t len) { return truncate_to(fd, len); }
int ftruncate64(int fd, off64_t len) { return truncate_to(fd, len); }

int rename(const char *from, const char *to)
{
	char path[PATH_MAX];

	prepare();
	make_absolute(from, path);
	enum action action = count("rename", path, 0);
	return before(action) < 0 ? -1 : after(action, real.rename(from, to));
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	char path[PATH_MAX];

	prepare();
	enum action action = find_path(to_dir, path) ? count("link", path, 0) : NOTHING;
	if (before(action) < 0)
		return -1;
	return after(action, real.linkat(from_dir, from, to_dir, to, flags));
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	char path[PATH_MAX];

	prepare();
	enum action action = find_path(to_dir, path) ? count("link", path, 0) : NOTHING;
	if (before(action) < 0)
		return -1;
	return after(action, real.renameat(from_dir, from, to_dir, to));
}

int openat64(int dir, const char *path, int flags, ...)
{
	va_list args;

	prepare();
	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (faults.no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return real.openat(dir, path, flags, mode);
}

int unlink(const char *name)
{
	char path[PATH_MAX];

	prepare();
	make_absolute(name, path);
	enum action action = count("unlink", path, 0);
	return before(action) < 0 ? -1 : after(action, real.unlink(name));
}

/* A wild pointer's work, so that the program's handlers see what a bug would show them. */
static void crash(void)
{
	volatile char *volatile nowhere = NULL;

	*nowhere = 0;
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	prepare();
	if (faults.crash_port && address->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, address, sizeof(in));
		if (ntohs(in.sin_port) == faults.crash_port)
			crash();
	}
	return real.connect(fd, address, len);
}
