/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock set` and `penstock reload`: change the daemon's settings while it runs. */
#include "base/log.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/socket_path.h"
#include "cli/unix_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPT_SOCKET = 256 };

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* One of the two commands. */
struct command {
	const char *name;
	const char *target;
	const char *usage;
	bool takes_settings;
};

static const struct command set_command = {
	.name = "penstock set",
	.target = "/v1/control/set",
	.usage = "Usage: penstock set [OPTION]... KEY=VALUE...\n"
	         "Change settings of the running daemon, all of these or none, and say what has\n"
	         "changed.  They hold until its next reload or restart.\n\n",
	.takes_settings = true,
};

static const struct command reload_command = {
	.name = "penstock reload",
	.target = "/v1/control/reload",
	.usage = "Usage: penstock reload [OPTION]...\n"
	         "Have the running daemon read its settings again, all or nothing, and say what has\n"
	         "changed.\n\n",
};

struct call {
	const struct command *command;
	const char *given; /* --socket */
	char **settings;
	size_t n_settings;
	char *path;        /* of the socket; owned */
};

/* --- options ----------------------------------------------------------------------- */

static void print_help(const struct command *command)
{
	(void) printf(
		"%s"
		"      --socket PATH  the daemon's control socket; else $PENSTOCK_SOCKET, else\n"
		"                     control.sock in $RUNTIME_DIRECTORY, else\n"
		"                     %s\n"
		"  -h, --help         print this and exit\n\n"
		"Exit status: 0, 7 interrupted, 64 usage, 69 no daemon answers, 70 internal,\n"
		"74 cannot write, 78 the settings are refused, and nothing has changed.\n",
		command->usage, PENSTOCK_RUNSTATEDIR "/penstock/control.sock");
}

static int check_settings(const struct call *c)
{
	if (c->command->takes_settings == (c->n_settings > 0)) {
		for (size_t i = 0; i < c->n_settings; i++) {
			if (strchr(c->settings[i], '='))
				continue;
			log_error("%s: no value; write KEY=VALUE", c->settings[i]);
			return -EINVAL;
		}
		return 0;
	}
	if (c->command->takes_settings)
		log_error("nothing to set: write KEY=VALUE; see penstock set --help");
	else
		log_error("%s: penstock reload takes no arguments", c->settings[0]);
	return -EINVAL;
}

/* Returns 0, 1 if --help was asked for, or -EINVAL after the problem was said. */
static int read_options(struct call *c, int argc, char **argv)
{
	int option = 0, r = 0;

	while (r == 0 && (option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (option == OPT_SOCKET) {
			c->given = optarg;
		} else if (option == 'h') {
			print_help(c->command);
			r = 1;
		} else { /* getopt_long() has said what is wrong */
			log_error("see %s --help", c->command->name);
			r = -EINVAL;
		}
	}
	c->settings = argv + optind;
	c->n_settings = (size_t) (argc - optind);
	return r == 0 ? check_settings(c) : r;
}

/* --- the answer -------------------------------------------------------------------- */

/* Each line is a problem of its own. */
static int say_refused(long status, const struct buf *body)
{
	struct buf text = { 0 };

	unix_http_add_problem(status, body, &text);
	log_error_lines(text.data, text.len);
	buf_done(&text);
	return status == 400 || status == 409 ? EXIT_CONFIG : EXIT_UNAVAILABLE;
}

static bool print_changes(json_t *changed)
{
	json_t *change = NULL;
	size_t i = 0;
	bool written = json_array_size(changed) > 0 || printf("nothing has changed\n") >= 0;

	json_array_foreach(changed, i, change) {
		const char *key = json_string_value(json_object_get(change, "key"));
		const char *before = json_string_value(json_object_get(change, "before"));
		const char *after = json_string_value(json_object_get(change, "after"));
		written = written && printf("%s: %s, was %s\n", key ? key : "?", after ? after : "?",
		                            before ? before : "?") >= 0;
	}
	return written && fflush(stdout) == 0;
}

static int say_changes(const struct call *c, const struct buf *body)
{
	json_auto_t *answer = body->data ? json_loadb(body->data, body->len, 0, NULL) : NULL;
	json_t *changed = json_object_get(answer, "changed"), *key = NULL;
	const char *warning = json_string_value(json_object_get(answer, "warning"));
	size_t i = 0;

	if (!json_is_array(changed)) {
		log_error("%s: the answer is not understood; is it penstockd's socket?", c->path);
		return EXIT_UNAVAILABLE;
	}
	if (!print_changes(changed)) {
		log_error("standard output cannot be written: %s", strerror(errno));
		return EXIT_IO;
	}
	json_array_foreach(json_object_get(answer, "needs_restart"), i, key)
		log_warning("%s: differs, and needs a restart", json_string_value(key));
	if (warning)
		log_warning("%s", warning);
	return EXIT_OK;
}

/* --- the command ------------------------------------------------------------------- */

/* Returns {"KEY": "VALUE", …}, which the caller frees, or NULL.  The last one of a key holds. */
static char *make_body(const struct call *c)
{
	json_auto_t *object = json_object();
	bool good = object;

	for (size_t i = 0; good && i < c->n_settings; i++) {
		const char *equals = strchr(c->settings[i], '=');
		char *key = strndup(c->settings[i], (size_t) (equals - c->settings[i]));
		good = key && json_object_set_new(object, key, json_string(equals + 1)) == 0;
		free(key);
	}
	return good ? json_dumps(object, 0) : NULL;
}

static int ask(const struct call *c, struct unix_http *http, const char *question)
{
	struct unix_http_answer answer;
	struct buf body = { 0 };
	const struct unix_http_request request = {
		.method = "POST",
		.target = c->command->target,
		.type = question ? "application/json" : NULL,
		.body = question,
		.body_len = question ? strlen(question) : 0,
		.on_body = unix_http_collect,
		.arg = &body,
	};

	int r = unix_http_perform(http, &request, &answer);
	int code = r == -ECANCELED        ? EXIT_UNFINISHED
	           : r < 0                ? unix_http_log_error(c->path, r)
	           : answer.status == 200 ? say_changes(c, &body)
	                                  : say_refused(answer.status, &body);
	buf_done(&body);
	return code;
}

static int perform(struct call *c)
{
	const struct unix_http_watch watch = { .stop_fd = interrupt_open() };
	int code = EXIT_INTERNAL;

	if (watch.stop_fd < 0) {
		log_error("signals cannot be waited for: %s", strerror(-watch.stop_fd));
		return EXIT_INTERNAL;
	}
	c->path = socket_path(c->given);
	char *question = c->command->takes_settings ? make_body(c) : NULL;
	struct unix_http *http = c->path ? unix_http_open(c->path, &watch) : NULL;
	if (http && (question || !c->command->takes_settings))
		code = ask(c, http, question);
	else
		log_error("out of memory, or a setting is not UTF-8");
	unix_http_close(http);
	free(question);
	free(c->path);
	(void) close(watch.stop_fd);
	return code;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct call c = { .command = command };

	int r = read_options(&c, argc, argv);
	if (r != 0)
		return r > 0 ? EXIT_OK : EXIT_USAGE;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		log_error("libcurl cannot be initialised");
		return EXIT_INTERNAL;
	}
	int code = perform(&c);
	curl_global_cleanup();
	return code;
}

int cli_set(int argc, char **argv)
{
	static char name[] = "penstock set";

	argv[0] = name; /* what getopt_long() puts in front of its messages */
	return run(&set_command, argc, argv);
}

int cli_reload(int argc, char **argv)
{
	static char name[] = "penstock reload";

	argv[0] = name;
	return run(&reload_command, argc, argv);
}
