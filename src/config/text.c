/* SPDX-License-Identifier: Apache-2.0 */
#include "config/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGITS     "0123456789"
#define HEX_DIGITS DIGITS "abcdefABCDEF"
#define LETTERS    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define BLANKS     " \t"

/* More is no configuration but a mistake, such as a device or a core file. */
enum { MAX_BYTES = 16 << 20, MAX_DEPTH = 10 };

/* From 'line' of the text on, lines are those of 'file' from 'file_line' on. */
struct config_mark {
	unsigned line;
	unsigned file_line;
	const char *file; /* owned by the config */
};

/* One file while it is copied into the text. */
struct scan {
	struct loading *loading;
	struct config_text *out;
	const struct scan *outer; /* the file that includes this one, or NULL */
	const char *file;         /* its path, owned by the config */
	const char *start;        /* of its contents, NUL-terminated */
	const char *p;            /* what comes next */
	unsigned line;            /* of 'p' */
	unsigned depth;           /* how many files include it */
	dev_t dev;                /* with 'ino': which file it is, whatever its name */
	ino_t ino;
};

static void scan_file(struct scan *s);

/* Starts or resumes file 's' in the text, on a line of its own. */
static void add_mark(struct scan *s)
{
	struct config_text *t = s->out;

	if (t->text.len > 0) {
		buf_add_char(&t->text, '\n');
		t->line++;
	}
	if (t->n_marks == t->marks_size) {
		size_t size = t->marks_size > 0 ? t->marks_size * 2 : 8;
		struct config_mark *grown = reallocarray(t->marks, size, sizeof(*grown));
		if (!grown) {
			s->loading->no_memory = true;
			return;
		}
		t->marks = grown;
		t->marks_size = size;
	}
	t->marks[t->n_marks++] = (struct config_mark) {
		.line = t->line,
		.file_line = s->line,
		.file = s->file,
	};
}

const char *config_text_where(struct loading *l, const struct config_text *t, unsigned line)
{
	const struct config_mark *m = t->marks;
	size_t low = 0, high = t->n_marks;

	if (t->n_marks == 0)
		return "";
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (t->marks[middle].line <= line)
			low = middle;
		else
			high = middle;
	}
	return config_format(l, "%s:%u", m[low].file, m[low].file_line + (line - m[low].line));
}

void config_text_done(struct config_text *t)
{
	buf_done(&t->text);
	free(t->marks);
	*t = (struct config_text) { 0 };
}

PRINTF_LIKE(3, 4)
static void problem_at(struct scan *s, unsigned line, const char *format, ...);

static void problem_at(struct scan *s, unsigned line, const char *format, ...)
{
	char text[512];
	const struct place place = { .where = config_format(s->loading, "%s:%u", s->file, line) };
	va_list args;

	va_start(args, format);
	(void) vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	config_problem(s->loading, &place, "%s", text);
}

/* Copies 'n' characters. */
static void copy(struct scan *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] == '\n') {
			s->line++;
			s->out->line++;
		}
	}
	buf_add(&s->out->text, s->p, n);
	s->p += n;
}

/* Leaves out 'n' characters, but not their newlines. */
static void skip(struct scan *s, size_t n)
{
	buf_add_char(&s->out->text, ' ');
	for (const char *end = s->p + n; s->p < end; s->p++) {
		if (*s->p == '\n') {
			s->line++;
			s->out->line++;
			buf_add_char(&s->out->text, '\n');
		}
	}
}

static void scan_string(struct scan *s)
{
	const char *end = s->p + 1;
	unsigned line = s->line;

	for (; *end != '\0' && *end != '"'; end++) {
		if (*end != '\\' || end[1] == '\0')
			continue;
		end++;
		if ((*end == 'x' || *end == 'X') && end[1] == '0' && end[2] == '0')
			problem_at(s, line,
			           "a string cannot contain a NUL character (\\x00); remove it");
	}
	if (*end == '\0')
		problem_at(s, line, "a string starts here and does not end; add a quotation mark");
	copy(s, (size_t) (end - s->p) + (*end == '"'));
}

static void scan_comment(struct scan *s)
{
	const char *end = strstr(s->p + 2, "*/");

	if (!end)
		problem_at(s, s->line, "a comment starts here and does not end; add */");
	skip(s, end ? (size_t) (end + 2 - s->p) : strlen(s->p));
}

/* The length of the number at 'p', as libconfig reads it. */
static size_t number_length(const char *p, bool *ret_whole)
{
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X') && isxdigit((unsigned char) p[2])) {
		*ret_whole = true;
		return 2 + strspn(p + 2, HEX_DIGITS);
	}

	size_t sign = *p == '+' || *p == '-';
	size_t n = sign + strspn(p + sign, DIGITS);
	bool whole = n > sign;
	if (p[n] == '.') {
		whole = false;
		n += 1 + strspn(p + n + 1, DIGITS);
	}
	if (p[n] == 'e' || p[n] == 'E') {
		size_t exponent = n + 1 + (p[n + 1] == '+' || p[n + 1] == '-');
		if (isdigit((unsigned char) p[exponent])) {
			whole = false;
			n = exponent + strspn(p + exponent, DIGITS);
		}
	}
	*ret_whole = whole;
	return n;
}

static void scan_number(struct scan *s)
{
	bool whole = false;
	size_t n = number_length(s->p, &whole);
	if (!whole) {
		copy(s, n);
		return;
	}

	bool is_hex = n > 2 && (s->p[1] == 'x' || s->p[1] == 'X');
	size_t suffix = s->p[n] != 'L' ? 0 : s->p[n + 1] == 'L' ? 2 : 1;
	errno = 0;
	long long value = strtoll(s->p, NULL, is_hex ? 16 : 10);
	if (errno == ERANGE) {
		buf_add_str(&s->out->text, value < 0 ? "-9.9e99" : "9.9e99");
		s->p += n + suffix;
		return;
	}
	copy(s, n + suffix);
	if (suffix == 0 && (value > INT_MAX || value < INT_MIN))
		buf_add_char(&s->out->text, 'L');
}

static bool starts_line(const struct scan *s)
{
	const char *p = s->p;

	while (p > s->start && (p[-1] == ' ' || p[-1] == '\t'))
		p--;
	return p == s->start || p[-1] == '\n';
}

/* Finds the name in '@include "NAME"', and the end of it all; false if that is not there. */
static bool find_include(const struct scan *s, const char **ret_name, const char **ret_end)
{
	static const char word[] = "@include";
	const char *p = s->p + sizeof(word) - 1;

	if (strncmp(s->p, word, sizeof(word) - 1) != 0 || !starts_line(s))
		return false;
	p += strspn(p, BLANKS);
	if (*p != '"')
		return false;
	const char *end = p + 1 + strcspn(p + 1, "\"\n");
	if (*end != '"')
		return false;
	*ret_name = p + 1;
	*ret_end = end + 1;
	return true;
}

/* The path of the included file, as seen from where the user named the first one. */
static const char *include_path(const struct scan *s, const char *name, size_t n)
{
	const char *slash = strrchr(s->file, '/');
	int folder = slash && *name != '/' ? (int) (slash + 1 - s->file) : 0;

	return config_format(s->loading, "%.*s%.*s", folder, s->file, (int) n, name);
}

/* Appends the contents of the open file 'fd' to 'b', with a NUL behind them. */
static int read_all(int fd, struct buf *b)
{
	enum { CHUNK = 65536 };

	for (;;) {
		if (buf_reserve(b, CHUNK) < 0)
			return -ENOMEM;
		ssize_t n = read(fd, b->data + b->len, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		b->len += (size_t) n;
		if (b->len > MAX_BYTES)
			return -EFBIG;
	}
	buf_add_char(b, '\0');
	return b->failed ? -ENOMEM : 0;
}

/* Reads the file s->file into 'b' and notes which file it is. */
static int read_file(struct scan *s, struct buf *b)
{
	struct stat st;
	int r = 0;

	int fd = open(s->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		r = -errno;
	} else {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
		r = read_all(fd, b);
	}
	(void) close(fd);
	return r;
}

static const char *advice(int err)
{
	return err == EISDIR    ? "give a file"
	       : err == EACCES  ? "let this user read it"
	       : err == ENOENT  ? "check the name"
	       : err == ENOTDIR ? "check the name"
	       : err == EFBIG   ? "it is not a configuration file"
	                        : "check the file system";
}

static bool is_open(const struct scan *s)
{
	for (const struct scan *o = s->outer; o; o = o->outer)
		if (o->dev == s->dev && o->ino == s->ino)
			return true;
	return false;
}

/* Copies the included file 'path' into the text; 's' is the file that asks for it. */
static void include(struct scan *s, const char *path)
{
	struct buf contents = { 0 };
	struct scan inner = {
		.loading = s->loading,
		.out = s->out,
		.outer = s,
		.file = path,
		.line = 1,
		.depth = s->depth + 1,
	};

	if (inner.depth > MAX_DEPTH) {
		problem_at(s, s->line, "cannot include %s: more than %d files deep; merge some",
		           path, MAX_DEPTH);
		return;
	}
	int r = read_file(&inner, &contents);
	if (r < 0)
		problem_at(s, s->line, "cannot include %s: %s; %s", path, strerror(-r), advice(-r));
	else if (is_open(&inner))
		problem_at(s, s->line, "%s would include itself; remove this @include", path);
	else if (contents.len + s->out->text.len + s->loading->text_bytes > MAX_BYTES)
		problem_at(s, s->line, "cannot include %s: more than 16M in all; include less",
		           path);
	else if (memchr(contents.data, '\0', contents.len - 1))
		problem_at(s, s->line, "%s contains NUL characters; it is not a text file", path);
	else {
		inner.start = inner.p = contents.data;
		scan_file(&inner);
	}
	buf_done(&contents);
}

static void scan_include(struct scan *s)
{
	const char *name = NULL, *end = NULL;

	if (!find_include(s, &name, &end)) {
		problem_at(s, s->line,
		           "unexpected @; to include a file, write on a line: @include \"FILE\"");
		skip(s, 1);
		return;
	}
	include(s, include_path(s, name, (size_t) (end - 1 - name)));
	s->p = end;
	add_mark(s);
}

/* Copies file 's' into the text, and what it includes. */
static void scan_file(struct scan *s)
{
	add_mark(s);
	while (*s->p != '\0') {
		const char *p = s->p;
		if (*p == '"')
			scan_string(s);
		else if (*p == '#' || (p[0] == '/' && p[1] == '/'))
			skip(s, strcspn(p, "\n"));
		else if (p[0] == '/' && p[1] == '*')
			scan_comment(s);
		else if (*p == '@')
			scan_include(s);
		else if (strchr(LETTERS "*", *p))
			copy(s, strspn(p, LETTERS DIGITS "*_-"));
		else if (strchr("+-." DIGITS, *p))
			scan_number(s);
		else
			copy(s, 1);
	}
}

int config_text_unreadable(struct loading *l, const char *path, int err)
{
	const struct place place = { .where = path };

	config_problem(l, &place, "cannot read it: %s; %s", strerror(err), advice(err));
	if (err == ENOENT || err == ENOTDIR)
		return -ENOENT;
	if (err == EISDIR || err == EFBIG)
		return -EINVAL;
	return err == EACCES || err == ENOMEM ? -err : -EIO;
}

int config_text_read(struct loading *l, const char *path, struct config_text *ret_text)
{
	struct buf contents = { 0 };
	const struct place place = { .where = path };
	struct scan s = {
		.loading = l,
		.out = ret_text,
		.file = config_copy(l, path, strlen(path)),
		.line = 1,
	};

	*ret_text = (struct config_text) { .line = 1 };
	int r = read_file(&s, &contents);
	if (r < 0) {
		r = config_text_unreadable(l, path, -r);
	} else if (contents.len + l->text_bytes > MAX_BYTES) {
		config_problem(l, &place, "more than 16M in all files; take out some");
	} else if (memchr(contents.data, '\0', contents.len - 1)) {
		config_problem(l, &place, "contains NUL characters; it is not a text file");
	} else {
		s.start = s.p = contents.data;
		scan_file(&s);
	}
	buf_add_char(&ret_text->text, '\0');
	l->text_bytes += ret_text->text.len;
	l->no_memory = l->no_memory || ret_text->text.failed;
	buf_done(&contents);
	return r;
}
