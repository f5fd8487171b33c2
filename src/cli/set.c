/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock set` and `penstock reload`: change the daemon's settings while it runs. */
#include "base/log.h"
#include "cli/ask.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRY_RUN = ASK_OPTIONS, DIFF };

static const struct option set_options[] = {
	ASK_LONG_OPTIONS, { "dry-run", no_argument, NULL, DRY_RUN }, { 0 },
};
static const struct option reload_options[] = {
	ASK_LONG_OPTIONS, { "diff", no_argument, NULL, DIFF }, { 0 },
};

struct set {
	struct ask ask;
	bool dry_run; /* of either: the daemon only says what would change */
	bool differs; /* something would */
};

#define HELP_STATUS(first) \
	"Exit status: " first ", 7 interrupted, 64 usage, 69 no daemon answers,\n" \
	"70 internal, 74 cannot write, 78 the settings are refused, and nothing has changed.\n"

static const char set_help[] =
	"Usage: penstock set [OPTION]... KEY=VALUE...\n"
	"Change settings of the running daemon, all of these or none, and say what has\n"
	"changed.  They hold until its next reload or restart.\n\n"
	"      --dry-run       only check them, and say what would change\n"
	ASK_HELP_SOCKET ASK_HELP_HELP HELP_STATUS("0");

static const char reload_help[] =
	"Usage: penstock reload [OPTION]...\n"
	"Have the running daemon read its settings again, all or nothing, and say what has\n"
	"changed.\n\n"
	"      --diff          only say what would change, and what needs a restart\n"
	ASK_HELP_SOCKET ASK_HELP_HELP
	HELP_STATUS("0, 1 with --diff if the settings differ");

/* --- the answer -------------------------------------------------------------------- */

/* Each line is a problem of its own. */
static int say_refused(struct ask *a, long status)
{
	struct buf text = { 0 };

	unix_http_add_problem(status, &a->body, &text);
	log_error_lines(text.data, text.len);
	buf_done(&text);
	return status == 400 || status == 409 ? EXIT_CONFIG : EXIT_UNAVAILABLE;
}

static const char *member(const json_t *change, const char *name)
{
	const char *text = json_string_value(json_object_get(change, name));
	return !text ? "?" : *text == '\0' ? "\"\"" : text;
}

static int print_changes(json_t *changed)
{
	struct buf text = { 0 };
	json_t *change = NULL;
	size_t i = 0;

	json_array_foreach(changed, i, change)
		buf_printf(&text, "%s: %s, was %s\n", member(change, "key"), member(change, "after"),
		           member(change, "before"));
	if (json_array_size(changed) == 0)
		buf_add_str(&text, "nothing has changed\n");
	int code = ask_print(&text);
	buf_done(&text);
	return code;
}

static int print_differences(json_t *changed, json_t *needs_restart)
{
	struct buf text = { 0 };
	json_t *item = NULL;
	size_t i = 0;

	json_array_foreach(changed, i, item)
		buf_printf(&text, "%s: %s -> %s\n", member(item, "key"), member(item, "before"),
		           member(item, "after"));
	json_array_foreach(needs_restart, i, item)
		buf_printf(&text, "%s: differs, and needs a restart\n", json_string_value(item));
	if (text.len == 0)
		buf_add_str(&text, "nothing would change\n");
	int code = ask_print(&text);
	buf_done(&text);
	return code;
}

static int say_differences(struct set *s, json_t *answer)
{
	json_t *changed = json_object_get(answer, "changed");
	json_t *needs_restart = json_object_get(answer, "needs_restart");

	if (!json_is_array(changed) || !json_is_true(json_object_get(answer, "dry_run")))
		return ask_misunderstood(&s->ask);
	s->differs = json_array_size(changed) > 0 || json_array_size(needs_restart) > 0;
	return print_differences(changed, needs_restart);
}

static int say_changes(const struct ask *a, json_t *answer)
{
	json_t *changed = json_object_get(answer, "changed"), *key = NULL;
	const char *warning = json_string_value(json_object_get(answer, "warning"));
	size_t i = 0;

	if (!json_is_array(changed))
		return ask_misunderstood(a);
	int code = print_changes(changed);
	json_array_foreach(json_object_get(answer, "needs_restart"), i, key)
		log_warning("%s: differs, and needs a restart", json_string_value(key));
	if (warning)
		log_warning("%s", warning);
	return code;
}

static int ask(struct set *s, const char *target, const struct buf *question)
{
	json_t *answer = NULL;
	char full[64];

	(void) snprintf(full, sizeof(full), "%s%s", target, s->dry_run ? "?dry_run=true" : "");
	int code = ask_daemon(&s->ask, full, question, NULL, &answer);
	if (code == EXIT_OK)
		code = s->dry_run ? say_differences(s, answer) : say_changes(&s->ask, answer);
	json_decref(answer);
	return code;
}

/* There is one option, and this is it. */
static int take_dry_run(struct ask *a, int option)
{
	(void) option;
	((struct set *) a)->dry_run = true;
	return 0;
}

/* --- set --------------------------------------------------------------------------- */

static int check_settings(const struct ask *a)
{
	for (size_t i = 0; i < a->n_names; i++) {
		if (strchr(a->names[i], '='))
			continue;
		log_error("%s: no value; write KEY=VALUE", a->names[i]);
		return -EINVAL;
	}
	if (a->n_names > 0)
		return 0;
	log_error("nothing to set: write KEY=VALUE; see penstock set --help");
	return -EINVAL;
}

/* Returns {"KEY": "VALUE", …}, which the caller frees, or NULL.  The last one of a key holds. */
static char *make_body(const struct ask *a)
{
	json_auto_t *object = json_object();
	bool good = object;

	for (size_t i = 0; good && i < a->n_names; i++) {
		const char *equals = strchr(a->names[i], '=');
		char *key = strndup(a->names[i], (size_t) (equals - a->names[i]));
		good = key && json_object_set_new(object, key, json_string(equals + 1)) == 0;
		free(key);
	}
	return good ? json_dumps(object, 0) : NULL;
}

static int perform_set(struct ask *a)
{
	char *text = make_body(a);
	if (!text) {
		log_error("out of memory, or a setting is not UTF-8");
		return EXIT_INTERNAL;
	}

	const struct buf question = { .data = text, .len = strlen(text) };
	int code = ask((struct set *) a, "/v1/control/set", &question);
	free(text);
	return code;
}

int cli_set(int argc, char **argv)
{
	static char name[] = "penstock set";
	struct set s = { .ask = {
		.command = name,
		.options = set_options,
		.help = set_help,
		.take = take_dry_run,
		.check = check_settings,
		.refused = say_refused,
		.perform = perform_set,
	} };

	return ask_run(&s.ask, argc, argv);
}

/* --- reload ------------------------------------------------------------------------ */

static int check_nothing(const struct ask *a)
{
	if (a->n_names == 0)
		return 0;
	log_error("%s: penstock reload takes no arguments", a->names[0]);
	return -EINVAL;
}

static int perform_reload(struct ask *a)
{
	static char nothing[] = "{}";
	const struct buf question = { .data = nothing, .len = strlen(nothing) };

	struct set *s = (struct set *) a;
	int code = ask(s, "/v1/control/reload", &question);
	return code == EXIT_OK && s->differs ? EXIT_SOME_FAILED : code;
}

int cli_reload(int argc, char **argv)
{
	static char name[] = "penstock reload";
	struct set s = { .ask = {
		.command = name,
		.options = reload_options,
		.help = reload_help,
		.take = take_dry_run,
		.check = check_nothing,
		.refused = say_refused,
		.perform = perform_reload,
	} };

	return ask_run(&s.ask, argc, argv);
}
