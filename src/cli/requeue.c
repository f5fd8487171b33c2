/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock requeue`: has the daemon make new jobs of dead ones. */
#include "base/log.h"
#include "cli/ask.h"
#include "cli/cli.h"

#include <errno.h>

enum { OPT_ALL = ASK_OPTIONS };

static const struct option long_options[] = {
	ASK_LONG_OPTIONS,
	{ "all", no_argument, NULL, OPT_ALL },
	{ NULL, 0, NULL, 0 },
};

static char name[] = "penstock requeue";
static const char help[] =
	"Usage: penstock requeue [OPTION]... ID...\n"
	"       penstock requeue [OPTION]... --all\n"
	"Make new jobs of dead ones, and write the new ids.  A dead job is requeued once.\n\n"
	ASK_HELP_SOCKET
	"      --all           all dead jobs that the daemon remembers\n"
	ASK_HELP_HELP
	"Exit status: 0, 1 some could not be requeued, 7 interrupted, 64 usage,\n"
	"69 no daemon answers, 70 internal, 74 cannot write.\n";

struct requeue {
	struct ask ask;
	bool all;
};

static int take(struct ask *a, int option)
{
	((struct requeue *) a)->all = option == OPT_ALL;
	return 0;
}

static int check(const struct ask *a)
{
	if (((const struct requeue *) a)->all != (a->n_names > 0))
		return 0;
	log_error("name the jobs, or give --all; see penstock requeue --help");
	return -EINVAL;
}

static int say_requeued(const struct ask *a, const char *id, const json_t *answer)
{
	const json_t *n = json_object_get(answer, "requeued");
	const char *new_id = json_string_value(json_object_get(answer, "id"));
	struct buf text = { 0 };

	if (!json_is_integer(n) || (id && !new_id))
		return ask_misunderstood(a);
	if (id)
		buf_printf(&text, "%s requeued as %s\n", id, new_id);
	else
		buf_printf(&text, "%lld requeued\n", (long long) json_integer_value(n));
	int code = ask_print(&text);
	buf_done(&text);
	return code;
}

/* 'id' is NULL for all. */
static int requeue(struct ask *a, const char *id)
{
	struct buf question = { 0 };
	json_t *answer = NULL;

	buf_add_str(&question, id ? "{\"id\": " : "{\"all\": true");
	if (id)
		buf_add_json_str(&question, id);
	buf_add_char(&question, '}');
	int code = ask_daemon(a, "/v1/control/requeue", &question, id ? id : "--all", &answer);
	if (code == EXIT_OK)
		code = say_requeued(a, id, answer);
	json_decref(answer);
	buf_done(&question);
	return code;
}

static int perform(struct ask *a)
{
	return ((struct requeue *) a)->all ? requeue(a, NULL) : ask_each(a, requeue);
}

int cli_requeue(int argc, char **argv)
{
	struct requeue q = { .ask = { .command = name, .options = long_options, .help = help,
		                      .take = take, .check = check, .perform = perform } };

	return ask_run(&q.ask, argc, argv);
}
