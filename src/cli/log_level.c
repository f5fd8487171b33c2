/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock log-level`: what the daemon's log tells, asked or changed while it runs. */
#include "base/log.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/safe_text.h"

#include <errno.h>
#include <string.h>

static const struct option long_options[] = { ASK_LONG_OPTIONS, { 0 } };

static const char help[] =
	"Usage: penstock log-level [OPTION]... [LEVEL]\n"
	"Print the least important level of message that the running daemon logs, or change it:\n"
	"error, warning, info, or debug, which tells of each attempt.  A change holds until the\n"
	"next reload or restart, as with penstock set log.level=LEVEL.\n\n"
	ASK_HELP_SOCKET ASK_HELP_HELP
	"Exit status: 0, 7 interrupted, 64 usage, 69 no daemon answers, 70 internal,\n"
	"74 cannot write.\n";

static bool is_level(const char *name)
{
	for (size_t i = 0; log_level_names[i]; i++)
		if (strcmp(log_level_names[i], name) == 0)
			return true;
	return false;
}

static int check(const struct ask *a)
{
	if (a->n_names > 1)
		log_error("%s: penstock log-level takes one level", a->names[1]);
	else if (a->n_names == 1 && !is_level(a->names[0]))
		log_error("%s: no level; give error, warning, info or debug", a->names[0]);
	else
		return 0;
	return -EINVAL;
}

static int print_level(struct ask *a)
{
	json_t *status = NULL;
	struct buf text = { 0 };

	int code = ask_daemon(a, "/v1/status", NULL, NULL, &status);
	const char *level = json_string_value(json_object_get(status, "log_level"));
	if (code == EXIT_OK && !level)
		code = ask_misunderstood(a);
	if (code == EXIT_OK) {
		safe_text_add(&text, level);
		buf_add_char(&text, '\n');
		code = ask_print(&text);
	}
	buf_done(&text);
	json_decref(status);
	return code;
}

static int change_level(struct ask *a)
{
	struct buf question = { 0 };
	json_t *answer = NULL;

	buf_printf(&question, "{\"log.level\": \"%s\"}", a->names[0]);
	int code = ask_daemon(a, "/v1/control/set", &question, NULL, &answer);
	json_decref(answer);
	buf_done(&question);
	return code;
}

static int perform(struct ask *a) { return a->n_names == 0 ? print_level(a) : change_level(a); }

int cli_log_level(int argc, char **argv)
{
	static char name[] = "penstock log-level";
	struct ask a = {
		.command = name,
		.options = long_options,
		.help = help,
		.check = check,
		.perform = perform,
	};

	return ask_run(&a, argc, argv);
}
