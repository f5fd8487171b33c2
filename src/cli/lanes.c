/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock lanes`: a table of the origins with most jobs. */
#include "base/clock.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/safe_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_LIMIT = ASK_OPTIONS, OPT_SORT };
enum { DEFAULT_LIMIT = 100, MAX_LIMIT = 1000 };

static const struct option long_options[] = {
	ASK_LONG_OPTIONS,
	ASK_JSON_OPTION,
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "sort", required_argument, NULL, OPT_SORT },
	{ NULL, 0, NULL, 0 },
};

static char name[] = "penstock lanes";
static const char help[] =
	"Usage: penstock lanes [OPTION]...\n"
	"List the origins that have jobs, or were asked lately: how many jobs, how long the first of\n"
	"them has waited, and what is in the way of the next fetch.\n\n"
	ASK_HELP_SOCKET
	ASK_HELP_JSON
	"      --limit N       no more than so many, up to 1000; default 100\n"
	"      --sort WHAT     by depth (the default), wait, rate or state, out of 1000\n"
	ASK_HELP_HELP
	"Exit status: 0, 7 interrupted, 64 usage, 69 no daemon answers, 70 internal,\n"
	"74 cannot write.\n";

typedef int lane_order(const void *a, const void *b);

struct lanes {
	struct ask ask;
	unsigned long limit;
	lane_order *order; /* NULL: as the daemon lists them, by depth */
};

/* --- orders ------------------------------------------------------------------------ */

static const json_t *lane(const void *item) { return *(json_t *const *) item; }

static double number(const json_t *lane, const char *member)
{
	const json_t *value = json_object_get(lane, member);
	return json_is_number(value) ? json_number_value(value) : -1;
}

static const char *string(const json_t *lane, const char *member)
{
	const char *text = json_string_value(json_object_get(lane, member));
	return text ? text : "";
}

/* From one start to the next; NEVER without a rate: such lanes come last. */
static uint64_t interval_ns(const json_t *lane)
{
	uint64_t ns = 0;
	return units_parse_rate(string(lane, "rate"), &ns) == 0 && ns > 0 ? ns : NEVER;
}

static int greater_first(double a, double b) { return (a < b) - (a > b); }

static int by_depth(const void *a, const void *b)
{
	return greater_first(number(lane(a), "depth"), number(lane(b), "depth"));
}

static int by_wait(const void *a, const void *b)
{
	int r = greater_first(number(lane(a), "wait_seconds"), number(lane(b), "wait_seconds"));
	return r != 0 ? r : by_depth(a, b);
}

static int by_rate(const void *a, const void *b)
{
	uint64_t x = interval_ns(lane(a)), y = interval_ns(lane(b));
	return x != y ? (x > y) - (x < y) : by_depth(a, b);
}

static int by_state(const void *a, const void *b)
{
	int r = strcmp(string(lane(a), "state"), string(lane(b), "state"));
	return r != 0 ? r : by_depth(a, b);
}

/* --- options ----------------------------------------------------------------------- */

static int read_limit(struct lanes *l)
{
	char *end = NULL;

	l->limit = strtoul(optarg, &end, 10);
	if (*optarg >= '0' && *optarg <= '9' && *end == '\0' && l->limit >= 1 && l->limit <= MAX_LIMIT)
		return 0;
	log_error("--limit %s: give a number of 1 to %d", optarg, MAX_LIMIT);
	return -EINVAL;
}

static int read_order(struct lanes *l)
{
	static const struct {
		const char *name;
		lane_order *order;
	} orders[] = {
		{ "depth", NULL }, { "wait", by_wait }, { "rate", by_rate }, { "state", by_state },
	};

	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		if (strcmp(optarg, orders[i].name) == 0) {
			l->order = orders[i].order;
			return 0;
		}
	}
	log_error("--sort %s: give depth, wait, rate or state", optarg);
	return -EINVAL;
}

static int take(struct ask *a, int option)
{
	struct lanes *l = (struct lanes *) a;
	return option == OPT_LIMIT ? read_limit(l) : read_order(l);
}

static int check(const struct ask *a)
{
	if (a->n_names == 0)
		return 0;
	log_error("%s: penstock lanes takes no such argument; see penstock lanes --help",
	          a->names[0]);
	return -EINVAL;
}

/* --- the table --------------------------------------------------------------------- */

static const struct {
	const char *head;
	bool is_text; /* to the left */
} columns[] = {
	{ "ORIGIN", true },   { "JOBS", false },   { "WAITING", false }, { "QUEUED", false },
	{ "RUNNING", false }, { "OLDEST", false }, { "RATE", false },    { "STATE", true },
};

struct table {
	struct buf cells; /* row by row, each NUL-terminated */
	size_t start;     /* of the cell that is being written */
	size_t n;
	size_t widths[ARRAY_LEN(columns)];
};

static void end_cell(struct table *t)
{
	size_t *width = &t->widths[t->n++ % ARRAY_LEN(columns)];
	size_t len = t->cells.len - t->start;

	*width = len > *width ? len : *width;
	buf_add_char(&t->cells, '\0');
	t->start = t->cells.len;
}

static void add_text(struct table *t, const char *text)
{
	safe_text_add(&t->cells, text);
	end_cell(t);
}

static void add_number(struct table *t, const json_t *lane, const char *member)
{
	buf_printf(&t->cells, "%.0f", number(lane, member));
	end_cell(t);
}

static void add_running(struct table *t, const json_t *lane)
{
	double limit = number(lane, "concurrency");

	buf_printf(&t->cells, "%.0f", number(lane, "running"));
	if (limit > 0)
		buf_printf(&t->cells, "/%.0f", limit);
	end_cell(t);
}

static void add_wait(struct table *t, const json_t *lane)
{
	double seconds = number(lane, "wait_seconds");

	if (seconds < 0)
		buf_add_char(&t->cells, '-');
	else
		units_add_duration_rough(&t->cells, (uint64_t) (seconds * 1e3) * NS_PER_MS);
	end_cell(t);
}

/* "breaker 8.2s, 5 failures" */
static void add_state(struct table *t, const json_t *lane)
{
	const char *until = string(lane, "until");
	int64_t until_us = 0, now_us = clock_wall_us();

	safe_text_add(&t->cells, string(lane, "state"));
	if (*until != '\0' && clock_parse(until, &until_us) == 0 && until_us > now_us) {
		buf_add_char(&t->cells, ' ');
		units_add_duration_rough(&t->cells, (uint64_t) (until_us - now_us) * NS_PER_US);
	}
	if (number(lane, "failures") > 0)
		buf_printf(&t->cells, ", %.0f failures", number(lane, "failures"));
	end_cell(t);
}

static void add_row(struct table *t, const json_t *lane)
{
	add_text(t, string(lane, "origin"));
	add_number(t, lane, "depth");
	add_number(t, lane, "waiting");
	add_number(t, lane, "queued");
	add_running(t, lane);
	add_wait(t, lane);
	add_text(t, *string(lane, "rate") != '\0' ? string(lane, "rate") : "-");
	add_state(t, lane);
}

static void lay_out(const struct table *t, struct buf *b)
{
	const char *cell = t->cells.data;

	for (size_t i = 0; i < t->n && !t->cells.failed; i++) {
		size_t column = i % ARRAY_LEN(columns);
		bool last = column + 1 == ARRAY_LEN(columns);
		int width = last ? 0 : (int) t->widths[column];
		buf_printf(b, "%*s%s", columns[column].is_text ? -width : width, cell, last ? "\n" : "  ");
		cell += strlen(cell) + 1;
	}
	b->failed |= t->cells.failed;
}

/* --- the command ------------------------------------------------------------------- */

static int show(const struct lanes *l, json_t *list, uint64_t total)
{
	size_t n = json_array_size(list);
	json_t **lanes = calloc(n + 1, sizeof(json_t *));
	struct table table = { 0 };
	struct buf text = { 0 };

	for (size_t i = 0; lanes && i < n; i++)
		lanes[i] = json_array_get(list, i);
	if (lanes && l->order)
		qsort(lanes, n, sizeof(json_t *), l->order);
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		add_text(&table, columns[i].head);
	for (size_t i = 0; lanes && i < n && i < l->limit; i++)
		add_row(&table, lanes[i]);
	lay_out(&table, &text);
	if (total > l->limit)
		buf_printf(&text, "… and %llu more\n", (unsigned long long) (total - l->limit));
	text.failed |= !lanes;
	int code = ask_print(&text);
	free(lanes);
	buf_done(&table.cells);
	buf_done(&text);
	return code;
}

static int perform(struct ask *a)
{
	const struct lanes *l = (const struct lanes *) a;
	struct buf target = { 0 };
	json_t *answer = NULL;
	int code = EXIT_INTERNAL;

	buf_printf(&target, "/v1/lanes?limit=%lu", l->order && !a->json ? MAX_LIMIT : l->limit);
	buf_add_char(&target, '\0');
	if (target.failed)
		log_error("out of memory");
	else
		code = ask_daemon(a, target.data, NULL, NULL, &answer);
	json_t *list = json_object_get(answer, "lanes");
	const json_t *total = json_object_get(answer, "total");
	if (code == EXIT_OK && a->json)
		code = ask_print_answer(a);
	else if (code == EXIT_OK && json_is_array(list) && json_is_integer(total))
		code = show(l, list, (uint64_t) json_integer_value(total));
	else if (code == EXIT_OK)
		code = ask_misunderstood(a);
	json_decref(answer);
	buf_done(&target);
	return code;
}

int cli_lanes(int argc, char **argv)
{
	struct lanes l = { .ask = { .command = name, .options = long_options, .help = help,
		                    .take = take, .check = check, .perform = perform },
		           .limit = DEFAULT_LIMIT };

	return ask_run(&l.ask, argc, argv);
}
