/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine in this process with a control socket in a temporary directory, and a
 * client for it.  Its jobs go to a port of the loopback where nobody listens.
 */
#ifndef PENSTOCK_TESTS_CONTROL_STAGE_H
#define PENSTOCK_TESTS_CONTROL_STAGE_H

#include "base/attr.h"
#include "base/buf.h"
#include "control/control.h"
#include "control/socket.h"
#include "engine/engine.h"
#include "unit.h"

#include <curl/curl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME "control.sock"
#define RESULTS_NAME "results.jsonl"
#define NOBODY "http://127.0.0.1:1/"

struct stage {
	struct settings settings;
	struct config *config;
	struct results *results;
	struct engine *engine;
	struct control_socket socket;
	struct control *control;
};

/* Where the jobs of the next stage wait; NULL: in memory. */
static const char *stage_database;

static inline void write_text(const char *name, const char *text)
{
	FILE *f = fopen(name, "we");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_TRUE_FATAL(fputs(text, f) >= 0);
	CU_ASSERT_EQUAL_FATAL(fclose(f), 0);
}

/* Starts the engine with 'sources' and the settings "key=value"; 'options' says what is
 * not usual about the socket. */
static inline void stage_init_with(struct stage *s, const struct source_settings *sources,
                                   size_t n_sources, struct control_options options,
                                   const char *const *settings, size_t n_settings)
{
	struct buf errors = { 0 };

	*s = (struct stage) { 0 };
	CU_ASSERT_EQUAL_FATAL(
		settings_load(SETTINGS_FETCH, NULL, settings, n_settings, &s->settings, &s->config,
		              &errors), 0); /* no breaker, which would take its time */
	CU_ASSERT_EQUAL_FATAL(results_open(RESULTS_NAME, &s->results), 0);
	const struct engine_options engine_options = {
		.is_read = true,
		.settings = &s->settings,
		.sources = sources,
		.n_sources = n_sources,
		.results = s->results,
		.database = stage_database,
	};
	CU_ASSERT_EQUAL_FATAL(engine_start(&engine_options, &s->engine, &errors), 0);
	CU_ASSERT_EQUAL_FATAL(control_socket_open(SOCKET_NAME, 0660, &s->socket), 0);
	options.listen_fd = s->socket.listen_fd;
	options.engine = s->engine;
	options.version = "1.2.3";
	options.results_path = options.results_path ? options.results_path : RESULTS_NAME;
	CU_ASSERT_EQUAL_FATAL(control_start(&options, &s->control), 0);
	buf_done(&errors);
}

/* The same with two workers and short retries; nobody's port is asked again and again. */
static inline void stage_init(struct stage *s, const struct source_settings *sources,
                              size_t n_sources, struct control_options options)
{
	static const char *const settings[] = { "workers=2", "retry.max_attempts=3",
		                                "retry.base=1ms", "retry.max=2ms" };
	stage_init_with(s, sources, n_sources, options, settings, ARRAY_LEN(settings));
}

static inline void stage_done(struct stage *s)
{
	s->control = control_free(s->control);
	s->engine = engine_free(s->engine);
	CU_ASSERT_EQUAL(results_close(s->results), 0);
	control_socket_close(&s->socket);
	config_free(s->config);
	CU_ASSERT_EQUAL(unlink(RESULTS_NAME), 0);
}

/* Waits until every job is settled. */
static inline void stage_finish(struct stage *s)
{
	struct pollfd set = { .fd = engine_event_fd(s->engine), .events = POLLIN };
	struct engine_state state;

	for (;;) {
		engine_state(s->engine, &state);
		if (state.phase == ENGINE_ENDED)
			return;
		CU_ASSERT_EQUAL_FATAL(poll(&set, 1, -1), 1);
	}
}

/* --- a client by libcurl ------------------------------------------------------------- */

struct answer {
	CURLcode code;
	long status;
	char type[128], allow[64];
	long length;     /* the header; -1: none */
	struct buf body; /* NUL-terminated, which 'len' counts in */
};

struct question {
	const char *method; /* NULL: GET */
	const char *header; /* "Name: value" */
	const char *body;
};

static inline size_t on_answer(char *data, size_t size, size_t n, void *arg)
{
	buf_add(arg, data, size * n);
	return size * n;
}

static inline void copy_header(CURL *curl, const char *name, char *to, size_t size)
{
	struct curl_header *header = NULL;

	to[0] = '\0';
	if (curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
		(void) snprintf(to, size, "%s", header->value);
}

static inline struct answer ask(const char *target, struct question q)
{
	struct answer a = { 0 };
	struct curl_slist *headers = q.header ? curl_slist_append(NULL, q.header) : NULL;
	struct buf url = { 0 };
	char length[32];
	CURL *curl = curl_easy_init();

	CU_ASSERT_PTR_NOT_NULL_FATAL(curl);
	buf_printf(&url, "http://localhost%s", target);
	buf_add_char(&url, '\0');
	(void) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, SOCKET_NAME);
	(void) curl_easy_setopt(curl, CURLOPT_URL, url.data);
	(void) curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void) curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void) curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
	(void) curl_easy_setopt(curl, CURLOPT_WRITEDATA, &a.body);
	if (q.body)
		(void) curl_easy_setopt(curl, CURLOPT_POSTFIELDS, q.body);
	if (q.method && strcmp(q.method, "HEAD") == 0)
		(void) curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	else if (q.method)
		(void) curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, q.method);

	a.code = curl_easy_perform(curl);
	(void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a.status);
	copy_header(curl, "Content-Type", a.type, sizeof(a.type));
	copy_header(curl, "Allow", a.allow, sizeof(a.allow));
	copy_header(curl, "Content-Length", length, sizeof(length));
	a.length = length[0] != '\0' ? strtol(length, NULL, 10) : -1;
	buf_add_char(&a.body, '\0');
	CU_ASSERT_FALSE_FATAL(a.body.failed);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	buf_done(&url);
	return a;
}

static inline struct answer get(const char *target)
{
	return ask(target, (struct question) { 0 });
}

/* Asks, and keeps nothing but the status. */
static inline long status_of(const char *target)
{
	struct answer a = get(target);

	buf_done(&a.body);
	return a.code == CURLE_OK ? a.status : -1;
}

/* --- a client by hand ----------------------------------------------------------------- */

static inline int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_TRUE_FATAL(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	return fd;
}

static inline void send_text(int fd, const char *text)
{
	CU_ASSERT_EQUAL_FATAL(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
}

/* --- the directory --------------------------------------------------------------------- */

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void) st, (void) type, (void) at;
	return remove(path);
}

/* Runs the tests in a directory of their own. */
static inline int run_in_directory(const char *suite, CU_TestInfo *tests)
{
	char dir[] = "/tmp/penstock-control-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return EXIT_FAILURE;
	int status = unit_run(suite, tests);
	curl_global_cleanup();
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 ? status : EXIT_FAILURE;
}

#endif
