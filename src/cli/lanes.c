/* SPDX-License-Identifier: Apache-2.0 */
/* `penstock lanes`: a table of the origins with most jobs. */
#include "base/log.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/lane_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_LIMIT = ASK_OPTIONS, OPT_SORT };
enum { DEFAULT_LIMIT = 100 };

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

struct lanes {
	struct ask ask;
	unsigned long limit;
	const struct lane_order_name *order;
};

/* --- options ----------------------------------------------------------------------- */

static int read_limit(struct lanes *l)
{
	char *end = NULL;

	l->limit = strtoul(optarg, &end, 10);
	if (*optarg >= '0' && *optarg <= '9' && *end == '\0' && l->limit >= 1 && l->limit <= LANE_MAX_LIMIT)
		return 0;
	log_error("--limit %s: give a number of 1 to %d", optarg, LANE_MAX_LIMIT);
	return -EINVAL;
}

static int read_order(struct lanes *l)
{
	for (size_t i = 0; i < LANE_ORDERS; i++) {
		if (strcmp(optarg, lane_orders[i].name) == 0) {
			l->order = &lane_orders[i];
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

struct table {
	struct buf cells; /* row by row, each NUL-terminated */
	size_t start;     /* of the cell that is being written */
	size_t n;
	size_t widths[LANE_COLUMNS];
};

static void end_cell(struct table *t)
{
	size_t *width = &t->widths[t->n++ % LANE_COLUMNS];
	size_t len = t->cells.len - t->start;

	*width = len > *width ? len : *width;
	buf_add_char(&t->cells, '\0');
	t->start = t->cells.len;
}

/* 'lane' is NULL for the head. */
static void add_row(struct table *t, const json_t *lane)
{
	for (enum lane_column column = 0; column < LANE_COLUMNS; column++) {
		if (lane)
			lane_text_add(&t->cells, lane, column);
		else
			buf_add_str(&t->cells, lane_columns[column].head);
		end_cell(t);
	}
}

static void lay_out(const struct table *t, struct buf *b)
{
	const char *cell = t->cells.data;

	for (size_t i = 0; i < t->n && !t->cells.failed; i++) {
		size_t column = i % LANE_COLUMNS;
		bool last = column + 1 == LANE_COLUMNS;
		int width = last ? 0 : (int) t->widths[column];
		buf_printf(b, "%*s%s", lane_columns[column].is_text ? -width : width, cell, last ? "\n" : "  ");
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
	if (lanes)
		qsort(lanes, n, sizeof(json_t *), l->order->order);
	add_row(&table, NULL);
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

	bool as_listed = l->order == &lane_orders[LANE_BY_DEPTH] || a->json;
	buf_printf(&target, "/v1/lanes?limit=%lu", as_listed ? l->limit : LANE_MAX_LIMIT);
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
		           .limit = DEFAULT_LIMIT, .order = &lane_orders[LANE_BY_DEPTH] };

	return ask_run(&l.ask, argc, argv);
}
