/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock why`: why a job is where it is. */
#include "base/log.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/safe_text.h"

#include <curl/curl.h>
#include <errno.h>

static const struct option long_options[] = {
	ASK_LONG_OPTIONS,
	ASK_JSON_OPTION,
	{ NULL, 0, NULL, 0 },
};

static char name[] = "penstock why";
static const char help[] =
	"Usage: penstock why [OPTION]... ID...\n"
	"Say in a sentence why each of these jobs is where it is: what it waits for, since when it\n"
	"runs, or what has come of it.\n\n"
	ASK_HELP_SOCKET
	ASK_HELP_JSON
	ASK_HELP_HELP
	"Exit status: 0, 1 a job is unknown, 7 interrupted, 64 usage,\n"
	"69 no daemon answers, 70 internal, 74 cannot write.\n";

static int check(const struct ask *a)
{
	if (a->n_names > 0)
		return 0;
	log_error("name the jobs; see penstock why --help");
	return -EINVAL;
}

static int say_why(const struct ask *a, const char *id, const json_t *answer)
{
	const char *why = json_string_value(json_object_get(answer, "why"));
	struct buf text = { 0 };

	if (!why)
		return ask_misunderstood(a);
	if (a->n_names > 1)
		buf_printf(&text, "%s: ", id);
	safe_text_add(&text, why);
	buf_add_char(&text, '\n');
	int code = ask_print(&text);
	buf_done(&text);
	return code;
}

static int explain(struct ask *a, const char *id)
{
	struct buf target = { 0 };
	json_t *answer = NULL;
	char *escaped = curl_easy_escape(NULL, id, 0);
	int code = EXIT_INTERNAL;

	if (escaped)
		buf_printf(&target, "/v1/jobs/%s", escaped);
	buf_add_char(&target, '\0');
	if (escaped && !target.failed)
		code = ask_daemon(a, target.data, NULL, id, &answer);
	else
		log_error("out of memory");
	if (code == EXIT_OK)
		code = a->json ? ask_print_answer(a) : say_why(a, id, answer);
	json_decref(answer);
	curl_free(escaped);
	buf_done(&target);
	return code;
}

static int perform(struct ask *a) { return ask_each(a, explain); }

int cli_why(int argc, char **argv)
{
	struct ask a = { .command = name, .options = long_options, .help = help,
		         .check = check, .perform = perform };

	return ask_run(&a, argc, argv);
}
