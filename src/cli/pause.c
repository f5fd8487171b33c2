/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock pause` and `penstock resume`. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/safe_text.h"

static const struct option long_options[] = {
	ASK_LONG_OPTIONS,
	{ NULL, 0, NULL, 0 },
};

#define EXITS \
	"Exit status: 0, 1 it cannot be done, 7 interrupted, 64 usage,\n" \
	"69 no daemon answers, 70 internal, 74 cannot write.\n"

static const char pause_help[] =
	"Usage: penstock pause [OPTION]... [ORIGIN]...\n"
	"Let no fetch start any more: to these origins, such as https://api.example.com:8443, or at\n"
	"all.  Fetches under way go on; jobs wait until penstock resume.\n\n"
	ASK_HELP_SOCKET
	ASK_HELP_HELP
	EXITS;

static const char resume_help[] =
	"Usage: penstock resume [OPTION]... [ORIGIN]...\n"
	"End a pause: of these origins, there also a Retry-After and the breaker's pause; or the\n"
	"pause of everything, after which origins that are paused themselves stay so.\n\n"
	ASK_HELP_SOCKET
	ASK_HELP_HELP
	EXITS;

struct lever {
	struct ask ask;
	const char *target;
	const char *done;      /* what is said then… */
	const char *forgotten; /* …and of what the daemon will not remember */
};

static int say_done(const struct lever *l, const json_t *answer)
{
	const char *origin = json_string_value(json_object_get(answer, "origin"));
	const json_t *durable = json_object_get(answer, "durable");
	struct buf text = { 0 };

	if (!json_is_boolean(durable))
		return ask_misunderstood(&l->ask);
	buf_printf(&text, "%s ", l->done);
	safe_text_add(&text, origin ? origin : "everything");
	buf_printf(&text, "%s\n", json_is_true(durable) ? "" : l->forgotten);
	int code = ask_print(&text);
	buf_done(&text);
	return code;
}

/* 'origin' is NULL for everything. */
static int pull(struct ask *a, const char *origin)
{
	struct lever *l = (struct lever *) a;
	struct buf question = { 0 };
	json_t *answer = NULL;

	buf_add_str(&question, "{");
	if (origin) {
		buf_add_str(&question, "\"origin\": ");
		buf_add_json_str(&question, origin);
	}
	buf_add_str(&question, "}");
	int code = ask_daemon(a, l->target, &question, NULL, &answer);
	if (code == EXIT_OK)
		code = say_done(l, answer);
	json_decref(answer);
	buf_done(&question);
	return code;
}

static int perform(struct ask *a) { return a->n_names > 0 ? ask_each(a, pull) : pull(a, NULL); }

int cli_pause(int argc, char **argv)
{
	static char name[] = "penstock pause";
	struct lever l = { .ask = { .command = name, .options = long_options, .help = pause_help,
		                    .perform = perform },
		           .target = "/v1/control/pause", .done = "paused",
		           .forgotten = ", until the daemon ends" };

	return ask_run(&l.ask, argc, argv);
}

int cli_resume(int argc, char **argv)
{
	static char name[] = "penstock resume";
	struct lever l = { .ask = { .command = name, .options = long_options, .help = resume_help,
		                    .perform = perform },
		           .target = "/v1/control/resume", .done = "resumed", .forgotten = "" };

	return ask_run(&l.ask, argc, argv);
}
