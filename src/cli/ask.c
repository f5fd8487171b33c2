/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include "base/log.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/socket_path.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- options ----------------------------------------------------------------------- */

static int take_option(struct ask *a, int option)
{
	switch (option) {
	case ASK_SOCKET:
		a->socket = optarg;
		return 0;
	case ASK_JSON:
		a->json = true;
		return 0;
	case 'h':
		(void) fputs(a->help, stdout);
		return 1;
	case '?': /* getopt_long() has said what is wrong */
		log_error("see %s --help", a->command);
		return -EINVAL;
	default:
		return a->take(a, option);
	}
}

/* Returns 0, 1 if --help was asked for, or -EINVAL after the problem was said. */
static int read_options(struct ask *a, int argc, char **argv)
{
	const char *shorts = a->short_options ? a->short_options : "h";
	int option = 0, r = 0;

	argv[0] = a->command; /* what getopt_long() puts in front of its messages */
	while (r == 0 && (option = getopt_long(argc, argv, shorts, a->options, NULL)) != -1)
		r = take_option(a, option);
	a->names = argv + optind;
	a->n_names = (size_t) (argc - optind);
	return r == 0 && a->check ? a->check(a) : r;
}

/* --- asking ------------------------------------------------------------------------ */

static int say_problem(const struct ask *a, const char *about, long status)
{
	struct buf text = { 0 };

	unix_http_add_problem(status, &a->body, &text);
	log_error("%s%s%.*s", about ? about : "", about ? ": " : "", (int) text.len,
	          text.data ? text.data : "");
	buf_done(&text);
	return status == 404 || status == 409 ? EXIT_SOME_FAILED
	       : status == 400                ? EXIT_USAGE
	                                      : EXIT_UNAVAILABLE;
}

int ask_misunderstood(const struct ask *a)
{
	log_error("%s: the answer is not understood; is it penstockd's socket?", a->path);
	return EXIT_UNAVAILABLE;
}

static int read_answer(const struct ask *a, json_t **ret_answer)
{
	json_t *answer = a->body.data ? json_loadb(a->body.data, a->body.len, 0, NULL) : NULL;

	if (!answer)
		return ask_misunderstood(a);
	*ret_answer = answer;
	return EXIT_OK;
}

int ask_daemon(struct ask *a, const char *target, const struct buf *question, const char *about,
               json_t **ret_answer)
{
	const struct unix_http_request request = {
		.method = question ? "POST" : "GET",
		.target = target,
		.type = question ? "application/json" : NULL,
		.body = question ? question->data : NULL,
		.body_len = question ? question->len : 0,
		.on_body = unix_http_collect,
		.arg = &a->body,
	};
	struct unix_http_answer answer;

	buf_clear(&a->body);
	int r = question && question->failed ? -ENOMEM
	                                     : unix_http_perform(a->http, &request, &answer);
	if (r == -ECANCELED)
		return EXIT_UNFINISHED;
	if (r < 0)
		return unix_http_log_error(a->path, r);
	if (answer.status == 200)
		return read_answer(a, ret_answer);
	return a->refused ? a->refused(a, answer.status) : say_problem(a, about, answer.status);
}

int ask_each(struct ask *a, int (*one)(struct ask *a, const char *name))
{
	bool some_failed = false;
	int code = EXIT_OK;

	for (size_t i = 0; code == EXIT_OK && i < a->n_names; i++) {
		code = one(a, a->names[i]);
		some_failed |= code == EXIT_SOME_FAILED;
		code = code == EXIT_SOME_FAILED ? EXIT_OK : code;
	}
	return code == EXIT_OK && some_failed ? EXIT_SOME_FAILED : code;
}

int ask_print(const struct buf *text)
{
	if (text->failed) {
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	if (fwrite(text->data, 1, text->len, stdout) == text->len && fflush(stdout) == 0)
		return EXIT_OK;
	log_error("standard output cannot be written: %s", strerror(errno));
	return EXIT_IO;
}

int ask_print_answer(const struct ask *a) { return ask_print(&a->body); }

/* --- the command ------------------------------------------------------------------- */

static int perform(struct ask *a)
{
	a->stop_fd = interrupt_open();
	if (a->stop_fd < 0) {
		log_error("signals cannot be waited for: %s", strerror(-a->stop_fd));
		return EXIT_INTERNAL;
	}
	const struct unix_http_watch watch = { .stop_fd = a->stop_fd };
	a->path = socket_path(a->socket);
	a->http = a->path ? unix_http_open(a->path, &watch) : NULL;
	if (!a->http) {
		log_error("out of memory");
		return EXIT_INTERNAL;
	}
	return a->perform(a);
}

int ask_run(struct ask *a, int argc, char **argv)
{
	int r = read_options(a, argc, argv);
	if (r != 0)
		return r > 0 ? EXIT_OK : EXIT_USAGE;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		log_error("libcurl cannot be initialised");
		return EXIT_INTERNAL;
	}
	a->stop_fd = -1;
	int code = perform(a);
	unix_http_close(a->http);
	curl_global_cleanup();
	if (a->stop_fd >= 0)
		(void) close(a->stop_fd);
	buf_done(&a->body);
	free(a->path);
	return code;
}
