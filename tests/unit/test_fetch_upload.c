/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h: bodies of requests that are files, and no way out of their directory. */
#include "fetch/upload.h"

#include "fetch/fetch.h"
#include "wire_stage.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

struct upload_stage {
	struct wire_stage w;
	char dir[64]; /* with "in", which is allowed, and "out" */
	char in[80];
};

static void path_of(const struct upload_stage *s, const char *name, char path[PATH_MAX])
{
	(void) snprintf(path, PATH_MAX, "%s/%s", s->dir, name);
}

/* A file of 'n' bytes: "0123456789012…". */
static void put(const struct upload_stage *s, const char *name, size_t n)
{
	char path[PATH_MAX];

	path_of(s, name, path);
	FILE *file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	for (size_t i = 0; i < n; i++)
		(void) fputc((int) ('0' + i % 10), file);
	CU_ASSERT_EQUAL_FATAL(fclose(file), 0);
}

static void link_to(const struct upload_stage *s, const char *target, const char *name)
{
	char path[PATH_MAX];

	path_of(s, name, path);
	CU_ASSERT_EQUAL_FATAL(symlink(target, path), 0);
}

static void make_directory(const struct upload_stage *s, const char *name)
{
	char path[PATH_MAX];

	path_of(s, name, path);
	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
}

static void begin(struct upload_stage *s)
{
	wire_begin(&s->w);
	(void) snprintf(s->dir, sizeof(s->dir), "/tmp/penstock-upload-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s->dir));
	(void) snprintf(s->in, sizeof(s->in), "%s/in", s->dir);
	make_directory(s, "in");
	make_directory(s, "in/below");
	make_directory(s, "out");
	put(s, "in/small", 25);
	put(s, "in/empty", 0);
	put(s, "in/below/file", 3);
	put(s, "out/secret", 6);
	s->w.fetch.fetcher = fetcher_free(s->w.fetch.fetcher);
	s->w.fetch.options.body_dir = s->in;
	stage_create(&s->w.fetch);
}

static void end(struct upload_stage *s)
{
	char command[128];

	wire_end(&s->w);
	(void) snprintf(command, sizeof(command), "rm -r %s", s->dir);
	CU_ASSERT_EQUAL(system(command), 0);
}

static int send_file(struct upload_stage *s, const char *method, const char *file)
{
	struct fetch_request req = { .url = s->w.url, .method = method, .body_file = file };

	return stage_fetch(&s->w.fetch, &req);
}

/* --- what is sent ------------------------------------------------------------------- */

static void test_a_file_is_sent_as_the_body(void)
{
	static const char *const methods[] = { "POST", "PUT", "PATCH", "DELETE", "GET", "QUERY" };
	struct upload_stage s;
	char expected[256];

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		CU_ASSERT_EQUAL(send_file(&s, methods[i], "small"), 0);
		(void) snprintf(expected, sizeof(expected), "%s /x HTTP/1.1\r\nHost: @\r\n"
		                "Accept: */*\r\nUser-Agent: test/1\r\nContent-Length: 25\r\n\r\n"
		                "0123456789012345678901234", methods[i]);
		CU_ASSERT_TRUE(wire_came(&s.w, &s.w.a, expected));
	}
	CU_ASSERT_EQUAL(send_file(&s, "POST", "below/../below/./file"), 0);
	CU_ASSERT_TRUE(wire_came(&s.w, &s.w.a, HEAD_OF("POST", "/x") "Content-Length: 3\r\n\r\n012"));
	CU_ASSERT_EQUAL(send_file(&s, "POST", "empty"), 0);
	CU_ASSERT_TRUE(wire_came(&s.w, &s.w.a, HEAD_OF("POST", "/x") "Content-Length: 0\r\n\r\n"));
	CU_ASSERT_EQUAL(stage_get(&s.w.fetch, "%s", s.w.url), 0);
	CU_ASSERT_TRUE(wire_came(&s.w, &s.w.a, HEAD_OF("GET", "/x") "\r\n"));
	CU_ASSERT_EQUAL(atomic_load(&s.w.a.connections), 1);
	end(&s);
}

/* More than libcurl would ask for leave to send, of a server that does not answer that. */
static void test_a_large_file_arrives_whole(void)
{
	enum { SIZE = 3000000 };
	struct upload_stage s;

	begin(&s);
	put(&s, "in/large", SIZE);
	CU_ASSERT_EQUAL(send_file(&s, "PUT", "large"), 0);
	wire_take(&s.w.a, &s.w.wire);
	CU_ASSERT_TRUE(s.w.wire.len > SIZE);
	CU_ASSERT_PTR_NULL(strstr(s.w.wire.data, "Expect"));
	const char *body = s.w.wire.data + s.w.wire.len - 1 - SIZE;
	size_t right = 0;
	while (right < SIZE && body[right] == (char) ('0' + right % 10))
		right++;
	CU_ASSERT_EQUAL(right, SIZE);
	end(&s);
}

static void test_a_redirect_sends_it_again_or_drops_it(void)
{
	struct upload_stage s;

	begin(&s);
	wire_redirect(&s.w.a, 307, &s.w.a, "/y");
	wire_redirect(&s.w.a, 308, &s.w.b, "/z");
	CU_ASSERT_EQUAL(send_file(&s, "PUT", "below/file"), 0);
	CU_ASSERT_TRUE(wire_came(&s.w, &s.w.a,
	                         HEAD_OF("PUT", "/x") "Content-Length: 3\r\n\r\n012"
	                         HEAD_OF("PUT", "/y") "Content-Length: 3\r\n\r\n012"));
	CU_ASSERT_TRUE(wire_came(&s.w, &s.w.b, HEAD_OF("PUT", "/z") "Content-Length: 3\r\n\r\n012"));

	wire_redirect(&s.w.a, 303, &s.w.a, "/y");
	CU_ASSERT_EQUAL(send_file(&s, "PUT", "below/file"), 0);
	CU_ASSERT_TRUE(wire_came(&s.w, &s.w.a,
	                         HEAD_OF("PUT", "/x") "Content-Length: 3\r\n\r\n012"
	                         HEAD_OF("GET", "/y") "\r\n"));
	end(&s);
}

/* Reads until 'end' has come, or the end of the connection; returns 1 if it has come, else 0. */
static size_t read_until(int fd, const char *end)
{
	char piece[4096];
	struct buf all = { 0 };

	do {
		ssize_t n = recv(fd, piece, sizeof(piece), 0);
		if (n <= 0)
			break;
		buf_add(&all, piece, (size_t) n);
	} while (!memmem(all.data, all.len, end, strlen(end)));
	size_t seen = all.data && memmem(all.data, all.len, end, strlen(end));
	buf_done(&all);
	return seen;
}

struct fickle {
	int listener;
	size_t bodies;
};

/* Answers one request, takes the next one whole and hangs up, and answers the third. */
static void *hang_up_once(void *arg)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	struct fickle *f = arg;

	int fd = accept(f->listener, NULL, NULL);
	(void) read_until(fd, "\r\n\r\n");
	(void) !send(fd, answer, strlen(answer), MSG_NOSIGNAL);
	f->bodies += read_until(fd, "\r\n\r\n0123456789012345678901234");
	(void) close(fd);
	fd = accept(f->listener, NULL, NULL);
	f->bodies += read_until(fd, "\r\n\r\n0123456789012345678901234");
	(void) !send(fd, answer, strlen(answer), MSG_NOSIGNAL);
	(void) read_until(fd, "the end");
	(void) close(fd);
	return NULL;
}

/* libcurl sends once more what a kept connection has swallowed. */
static void test_a_connection_that_breaks_gets_it_from_the_beginning(void)
{
	struct upload_stage s;
	struct fickle fickle = { 0 };
	pthread_t thread;
	uint16_t port = 0;
	char url[64];

	begin(&s);
	fickle.listener = wire_listen(4, &port);
	CU_ASSERT_EQUAL_FATAL(thread_start(&thread, "fickle", THREAD_STACK_SMALL, hang_up_once,
	                                   &fickle), 0);
	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/", (unsigned) port);
	CU_ASSERT_EQUAL(stage_get(&s.w.fetch, "%s", url), 0);
	struct fetch_request req = { .url = url, .method = "PUT", .body_file = "small" };
	CU_ASSERT_EQUAL(stage_fetch(&s.w.fetch, &req), 0);
	s.w.fetch.fetcher = fetcher_free(s.w.fetch.fetcher); /* closes the connection */
	thread_join(thread);
	CU_ASSERT_EQUAL(fickle.bodies, 2);
	(void) close(fickle.listener);
	end(&s);
}

/* A fetch that goes on after the body was lost does not need the file any more. */
static void test_a_lost_body_is_not_opened(void)
{
	struct upload_stage s;

	begin(&s);
	for (int lost = 0; lost < 2; lost++) {
		const struct job_hop from = {
			.url = s.w.url,
			.origin = { .text = "http://127.0.0.1:1", .host = "127.0.0.1", .port = 1 },
			.becomes_get = lost,
			.redirects = 1,
		};
		struct fetch_request req = { .url = s.w.url, .method = "POST",
			                     .body_file = "missing", .from = &from };
		CU_ASSERT_EQUAL(stage_fetch(&s.w.fetch, &req), lost ? 0 : -ENODATA);
	}
	end(&s);
}

/* --- what is refused ------------------------------------------------------------------ */

static void test_there_is_no_way_out_of_the_directory(void)
{
	static const char no_file[] = "body_file: there is no such file below fetch.body_dir";
	static const char outside[] = "body_file: it is not below fetch.body_dir";
	static const char irregular[] = "body_file: it is not a regular file";
	static const char *const cases[][2] = {
		{ "missing", no_file },
		{ "small/x", no_file },
		{ "dangling", no_file },
		{ "../out/secret", outside },
		{ "below/../../out/secret", outside },
		{ "../in/small", outside },
		{ "..", outside },
		{ "/etc/passwd", outside },
		{ "absolute", outside },
		{ "relative", outside },
		{ "folder/secret", outside },
		{ "below", irregular },
		{ ".", irregular },
		{ "fifo", irregular },
		{ "loop", "body_file: it cannot be opened: Too many levels of symbolic links" },
	};
	struct upload_stage s;
	char path[PATH_MAX];

	begin(&s);
	path_of(&s, "in/fifo", path);
	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	path_of(&s, "in/small", path);
	link_to(&s, path, "in/absolute"); /* though it leads back */
	link_to(&s, "../out/secret", "in/relative");
	link_to(&s, "../out", "in/folder");
	link_to(&s, "nowhere", "in/dangling");
	link_to(&s, "loop", "in/loop");
	link_to(&s, "below/file", "in/good");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CU_ASSERT_EQUAL(send_file(&s, "POST", cases[i][0]), -ENODATA);
		if (strcmp(s.w.fetch.response.reason, cases[i][1]) != 0)
			(void) fprintf(stderr, "%s: %s\n", cases[i][0], s.w.fetch.response.reason);
		CU_ASSERT_STRING_EQUAL(s.w.fetch.response.reason, cases[i][1]);
		CU_ASSERT_EQUAL(s.w.fetch.response.curl_code, CURLE_READ_ERROR);
	}
	CU_ASSERT_TRUE(wire_came(&s.w, &s.w.a, ""));
	CU_ASSERT_EQUAL(atomic_load(&s.w.a.connections), 0);

	CU_ASSERT_EQUAL(send_file(&s, "POST", "good"), 0);
	CU_ASSERT_TRUE(wire_came(&s.w, &s.w.a, HEAD_OF("POST", "/x") "Content-Length: 3\r\n\r\n012"));
	end(&s);
}

static void test_without_a_directory_no_file_is_sent(void)
{
	struct upload_stage s;

	begin(&s);
	s.w.fetch.fetcher = fetcher_free(s.w.fetch.fetcher);
	s.w.fetch.options.body_dir = NULL;
	stage_create(&s.w.fetch);
	CU_ASSERT_EQUAL(send_file(&s, "POST", s.in), -ENODATA);
	CU_ASSERT_STRING_EQUAL(s.w.fetch.response.reason,
	                       "body_file: it is not allowed: fetch.body_dir is not set");
	end(&s);
}

static void test_the_directory_must_be_one(void)
{
	struct upload_stage s;
	char path[PATH_MAX];

	begin(&s);
	s.w.fetch.fetcher = fetcher_free(s.w.fetch.fetcher);
	path_of(&s, "in/small", path);
	s.w.fetch.options.body_dir = path;
	CU_ASSERT_EQUAL(fetcher_create(&s.w.fetch.options, &s.w.fetch.fetcher), -ENOTDIR);
	path_of(&s, "missing", path);
	CU_ASSERT_EQUAL(fetcher_create(&s.w.fetch.options, &s.w.fetch.fetcher), -ENOENT);
	CU_ASSERT_PTR_NULL(s.w.fetch.fetcher);
	end(&s);
}

/* --- a file that changes ---------------------------------------------------------------- */

static void test_a_file_that_has_become_shorter_is_noticed(void)
{
	struct upload_stage s;
	struct upload upload;
	char path[PATH_MAX], piece[64];

	begin(&s);
	int directory = upload_open_directory(s.in);
	CU_ASSERT_TRUE_FATAL(directory >= 0);
	CU_ASSERT_TRUE_FATAL(upload_open(&upload, directory, "small"));
	CU_ASSERT_EQUAL(upload.bytes, 25);
	CU_ASSERT_EQUAL(upload_read(piece, 1, 10, &upload), 10);
	path_of(&s, "in/small", path);
	CU_ASSERT_EQUAL_FATAL(truncate(path, 12), 0);
	CU_ASSERT_EQUAL(upload_read(piece, 1, sizeof(piece), &upload), 2);
	CU_ASSERT_EQUAL(upload_read(piece, 1, sizeof(piece), &upload), CURL_READFUNC_ABORT);
	CU_ASSERT_STRING_EQUAL(upload.trouble, "it has become shorter while it was sent");
	upload_close(&upload);
	(void) close(directory);
	end(&s);
}

static void test_a_file_that_grows_is_sent_as_it_was(void)
{
	struct upload_stage s;
	struct upload upload;
	char piece[64];

	begin(&s);
	int directory = upload_open_directory(s.in);
	CU_ASSERT_TRUE_FATAL(directory >= 0);
	CU_ASSERT_TRUE_FATAL(upload_open(&upload, directory, "small"));
	put(&s, "in/small", 50);
	CU_ASSERT_EQUAL(upload_read(piece, 1, sizeof(piece), &upload), 25);
	CU_ASSERT_EQUAL(upload_read(piece, 1, sizeof(piece), &upload), 0);
	CU_ASSERT_EQUAL(upload_seek(&upload, 20, SEEK_SET), CURL_SEEKFUNC_OK);
	CU_ASSERT_EQUAL(upload_read(piece, 1, sizeof(piece), &upload), 5);
	CU_ASSERT_EQUAL(memcmp(piece, "01234", 5), 0);
	CU_ASSERT_EQUAL(upload_seek(&upload, 26, SEEK_SET), CURL_SEEKFUNC_FAIL);
	CU_ASSERT_EQUAL(upload_seek(&upload, 0, SEEK_END), CURL_SEEKFUNC_FAIL);
	upload_close(&upload);
	upload_close(&upload);
	(void) close(directory);
	end(&s);
}

/* Truncates the file once the server has seen the beginning of it. */
static void *shorten(void *arg)
{
	int *sockets = arg; /* the listener, and the file */
	char byte[4096];

	int fd = accept(sockets[0], NULL, NULL);
	if (fd >= 0 && recv(fd, byte, sizeof(byte), 0) > 0)
		(void) !ftruncate(sockets[1], 0);
	while (fd >= 0 && recv(fd, byte, sizeof(byte), 0) > 0)
		continue;
	(void) close(fd);
	return NULL;
}

static void test_the_origin_is_not_blamed_for_a_file_that_shrinks(void)
{
	enum { SIZE = 64 * 1024 * 1024 }; /* more than sockets hold */
	struct upload_stage s;
	char path[PATH_MAX], url[64];
	pthread_t thread;
	uint16_t port = 0;

	begin(&s);
	path_of(&s, "in/huge", path);
	int fds[] = { wire_listen(1, &port), open(path, O_RDWR | O_CREAT, 0600) };
	CU_ASSERT_TRUE_FATAL(fds[1] >= 0 && ftruncate(fds[1], SIZE) == 0);
	CU_ASSERT_EQUAL_FATAL(thread_start(&thread, "shorten", THREAD_STACK_SMALL, shorten, fds), 0);

	(void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/", (unsigned) port);
	struct fetch_request req = { .url = url, .method = "PUT", .body_file = "huge" };
	CU_ASSERT_EQUAL(stage_fetch(&s.w.fetch, &req), -ENODATA);
	CU_ASSERT_STRING_EQUAL(s.w.fetch.response.reason,
	                       "body_file: it has become shorter while it was sent");
	CU_ASSERT_EQUAL(s.w.fetch.response.error.len, 0);
	thread_join(thread);
	(void) close(fds[0]);
	(void) close(fds[1]);
	end(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a file is sent as the body", test_a_file_is_sent_as_the_body },
		{ "a large file arrives whole, and nobody is asked for leave",
		  test_a_large_file_arrives_whole },
		{ "a redirect sends it again or drops it", test_a_redirect_sends_it_again_or_drops_it },
		{ "a connection that breaks gets it from the beginning",
		  test_a_connection_that_breaks_gets_it_from_the_beginning },
		{ "a lost body is not opened", test_a_lost_body_is_not_opened },
		{ "there is no way out of the directory", test_there_is_no_way_out_of_the_directory },
		{ "without a directory no file is sent", test_without_a_directory_no_file_is_sent },
		{ "the directory must be one", test_the_directory_must_be_one },
		{ "a file that has become shorter is noticed",
		  test_a_file_that_has_become_shorter_is_noticed },
		{ "a file that grows is sent as it was", test_a_file_that_grows_is_sent_as_it_was },
		{ "the origin is not blamed for a file that shrinks",
		  test_the_origin_is_not_blamed_for_a_file_that_shrinks },
		CU_TEST_INFO_NULL,
	};

	stage_begin_all();
	return unit_run("fetch: uploads", tests);
}
