/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/audit_check.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long ull; /* for %llu */

void audit_check_done(struct audit_check *c)
{
	seq_set_done(&c->seqs);
	audit_range_done(&c->pending);
	audit_range_done(&c->twice);
}

/* --- the database's figures -------------------------------------------------------- */

static uint64_t sum(const uint64_t outcomes[OUTCOMES])
{
	uint64_t all = 0;

	for (enum outcome i = 0; i < OUTCOMES; i++)
		all += outcomes[i];
	return all;
}

static void check_balance(const struct audit_check *c)
{
	const struct audit_totals *t = &c->totals;
	uint64_t settled = sum(t->settled);
	uint64_t found = settled + t->jobs;

	audit_say(c->report, "accepted  %llu = %llu done + %llu dead + %llu cancelled + %llu waiting",
	          (ull) t->accepted, (ull) t->settled[OUTCOME_DONE], (ull) t->settled[OUTCOME_DEAD],
	          (ull) t->settled[OUTCOME_CANCELLED], (ull) t->jobs);
	if (t->accepted > found)
		audit_problem(c->report, AUDIT_BOOKS, "books: %llu jobs were accepted, but %llu are neither "
		              "settled nor waiting", (ull) t->accepted, (ull) (t->accepted - found));
	else if (t->accepted < found)
		audit_problem(c->report, AUDIT_BOOKS, "books: %llu jobs were accepted, but %llu are settled or "
		              "waiting", (ull) t->accepted, (ull) found);
	if (t->last_seq != settled)
		audit_problem(c->report, AUDIT_BOOKS, "books: %llu jobs are settled, but the last record is "
		              "number %llu", (ull) settled, (ull) t->last_seq);
	if (t->greatest_number > t->last_number)
		audit_problem(c->report, AUDIT_BOOKS, "books: the last job is number %llu, but there is a "
		              "number %llu", (ull) t->last_number, (ull) t->greatest_number);
}

/* Rows are forgotten from the oldest on, so those that are left are the last ones. */
static void check_rows(const struct audit_check *c)
{
	const struct audit_totals *t = &c->totals;

	if (t->rows == 0)
		return;
	audit_say(c->report, "database  remembers %llu settled jobs: seq %llu to %llu", (ull) t->rows,
	          (ull) t->first_row, (ull) t->last_row);
	if (t->last_row > t->last_seq)
		audit_problem(c->report, AUDIT_BOOKS, "books: the last record is number %llu, but the "
		              "database has a number %llu", (ull) t->last_seq, (ull) t->last_row);
	if (t->first_row != 1)
		return;
	for (enum outcome i = 0; i < OUTCOMES; i++)
		if (t->row_outcomes[i] != t->settled[i])
			audit_problem(c->report, AUDIT_BOOKS, "books: %llu jobs are %s, but the database has "
			              "%llu of them", (ull) t->settled[i], outcome_name(i),
			              (ull) t->row_outcomes[i]);
}

/* A problem with a row: where, which one, what. */
static void say_row(const struct audit_check *c, enum audit_kind kind, const struct audit_row *row,
                    const char *where, const char *what)
{
	struct buf id = { 0 };

	audit_row_add_id(row, &id);
	audit_problem(c->report, kind, "%sseq %llu (%.*s)%s", where, (ull) row->seq, (int) id.len,
	              id.data ? id.data : "", what);
	buf_done(&id);
}

static void on_waiting_and_settled(void *arg, const struct audit_row *row)
{
	say_row(arg, AUDIT_ROW, row, "database: ", ": the job is settled, and waits as well");
}

static void on_row_missing(void *arg, const struct audit_row *row)
{
	const struct audit_check *c = arg;

	audit_problem(c->report, AUDIT_ROW, "database: seq %llu to %llu: the rows are missing, though "
	              "older ones are there", (ull) row->seq, (ull) row->number);
}

static void on_number_missing(void *arg, const struct audit_row *row)
{
	const struct audit_check *c = arg;

	audit_problem(c->report, AUDIT_ROW, "database: jobs number %llu to %llu (p-%llu and so on, "
	              "unless they had ids): neither settled nor waiting", (ull) row->seq,
	              (ull) row->number, (ull) row->seq);
}

int audit_check_books(struct audit_check *c)
{
	int r = audit_db_totals(c->db, &c->totals);
	if (r < 0)
		return r;
	check_balance(c);
	check_rows(c);
	r = audit_db_find(c->db, AUDIT_WAITING_AND_SETTLED, on_waiting_and_settled, c);
	if (r == 0)
		r = audit_db_find(c->db, AUDIT_ROW_MISSING, on_row_missing, c);
	if (r == 0 && (c->totals.first_row == 1 || c->totals.last_seq == 0))
		r = audit_db_find(c->db, AUDIT_NUMBER_MISSING, on_number_missing, c);
	return r;
}

/* --- a line ------------------------------------------------------------------------ */

struct record {
	uint64_t seq;
	const char *id;
	int outcome; /* OUTCOMES: none that is known */
	const json_t *body;
};

/* Says what is wrong with it, or NULL. */
static const char *read_record(const json_t *json, struct record *ret_record)
{
	const json_t *seq = json_object_get(json, "seq");
	const char *id = json_string_value(json_object_get(json, "id"));
	const char *outcome = json_string_value(json_object_get(json, "outcome"));
	int i = 0;

	if (!json_is_integer(seq) || json_integer_value(seq) < 1)
		return "has no seq";
	if (!id)
		return "has no id";
	while (i < OUTCOMES && (!outcome || strcmp(outcome, outcome_name((enum outcome) i)) != 0))
		i++;
	if (i == OUTCOMES)
		return "has no outcome";
	*ret_record = (struct record) {
		.seq = (uint64_t) json_integer_value(seq), .id = id, .outcome = i,
		.body = json_object_get(json, "body") };
	return NULL;
}

static bool is_same_id(const struct audit_row *row, const char *id)
{
	struct buf b = { 0 };

	audit_row_add_id(row, &b);
	bool same = b.len == strlen(id) && (b.len == 0 || memcmp(b.data, id, b.len) == 0);
	buf_done(&b);
	return same;
}

static bool is_same_line(const struct audit_row *row, const char *text, size_t len)
{
	return row->line_len == len + 1 && row->line[len] == '\n' && memcmp(row->line, text, len) == 0;
}

static int compare(struct audit_check *c, const struct audit_file *file,
                   const struct record *record, const char *text, size_t len)
{
	struct audit_row row;

	int r = audit_db_row_from(c->db, record->seq, &row);
	if (r <= 0 || row.seq != record->seq)
		return r < 0 ? r : 0;
	c->matched++;
	if (!is_same_line(&row, text, len))
		audit_problem(c->report, AUDIT_DIFFERS, "%s:%llu: seq %llu (%s): the database has another "
		              "record", file->path, (ull) file->lines, (ull) record->seq, record->id);
	else if (row.outcome != record->outcome || !is_same_id(&row, record->id))
		say_row(c, AUDIT_ROW, &row, "database: ", ": the row's id or outcome is not its record's");
	return 0;
}

/* Says which records came twice, up to now. */
static void end_twice(struct audit_check *c)
{
	ull first_line = (ull) (c->twice_line + 1 - c->twice.n), last_line = (ull) c->twice_line;
	char *where = NULL;

	if (c->twice.n == 0)
		return;
	int n = first_line == last_line
	                ? asprintf(&where, "%s:%llu: ", c->twice_path, last_line)
	                : asprintf(&where, "%s:%llu to %llu: ", c->twice_path, first_line, last_line);
	audit_problem_range(c->report, AUDIT_TWICE, &c->twice, n < 0 ? "" : where, ": once more");
	if (n >= 0)
		free(where);
}

static void take_twice(struct audit_check *c, const struct audit_file *file,
                       const struct record *record)
{
	if (file->path != c->twice_path || file->lines != c->twice_line + 1 ||
	    record->seq != c->twice.last + 1)
		end_twice(c);
	audit_range_add(&c->twice, record->seq, record->id);
	c->twice_path = file->path;
	c->twice_line = file->lines;
}

static int take_record(struct audit_check *c, const struct audit_file *file,
                       const struct record *record, const char *text, size_t len)
{
	if (record->seq > c->totals.last_seq) {
		c->ahead++;
		if (!c->in_use)
			audit_problem(c->report, AUDIT_DIFFERS, "%s:%llu: seq %llu (%s): the database's last "
			              "is %llu", file->path, (ull) file->lines, (ull) record->seq,
			              record->id, (ull) c->totals.last_seq);
		return 0;
	}

	int r = seq_set_add(&c->seqs, record->seq);
	if (r < 0)
		return r;
	if (r == 0)
		take_twice(c, file, record);
	else
		c->outcomes[record->outcome]++;
	if (r > 0 && c->bodies &&
	    audit_bodies_take(c->bodies, record->seq, record->id, record->body) < 0)
		return -ENOMEM;
	return compare(c, file, record, text, len);
}

int audit_check_line(void *check, struct audit_file *file, const char *text, size_t len)
{
	struct audit_check *c = check;
	struct record record;
	json_error_t error = { .text = "longer than a record can be" };
	json_auto_t *json = text ? json_loadb(text, len, JSON_ALLOW_NUL, &error) : NULL;
	const char *wrong = json ? read_record(json, &record) : error.text;

	if (text && !json && error.text[0] == '\0')
		return -ENOMEM; /* jansson has words for everything else */
	if (!wrong) {
		file->last_seq = record.seq;
		return take_record(c, file, &record, text, len);
	}
	audit_problem(c->report, AUDIT_LINE, "%s:%llu: torn or malformed: %s", file->path,
	              (ull) file->lines, wrong);
	return 0;
}

/* --- the log as a whole ------------------------------------------------------------ */

bool audit_check_is_whole(const struct audit_check *c)
{
	return c->totals.last_seq == 0 ||
	       (c->seqs.n == 1 && c->seqs.runs[0].last == c->totals.last_seq);
}

static void say_lost(const struct audit_check *c, uint64_t first, uint64_t last)
{
	struct audit_range lost = { .n = last - first + 1, .first = first, .last = last };

	audit_problem_range(c->report, AUDIT_MISSING, &lost, "missing: ",
	                    ": not in the log, and no longer in the database");
}

static void add_row(struct audit_range *range, const struct audit_row *row)
{
	struct buf id = { 0 };

	audit_row_add_id(row, &id);
	buf_add_char(&id, '\0');
	audit_range_add(range, row->seq, id.failed ? NULL : id.data);
	buf_done(&id);
}

static void say_unwritten(const struct audit_check *c, struct audit_range *range)
{
	audit_problem_range(c->report, AUDIT_MISSING, range, "missing: ", range->n == 1
	                    ? ": not in the log; the database has its record"
	                    : ": not in the log; the database has them");
}

/* Names what is missing from 'first' to 'last'. */
static int name_gap(struct audit_check *c, uint64_t first, uint64_t last)
{
	struct audit_range unwritten = { 0 };
	struct audit_row row;
	int r = 0;

	while (first <= last) {
		r = audit_db_row_from(c->db, first, &row);
		if (r < 0)
			break;
		uint64_t next = r > 0 && row.seq <= last ? row.seq : last + 1;
		if (next > first) {
			say_unwritten(c, &unwritten);
			say_lost(c, first, next - 1);
		}
		if (next <= last)
			add_row(&unwritten, &row);
		first = next + 1;
	}
	say_unwritten(c, &unwritten);
	return r < 0 ? r : 0;
}

/* What a row is written to the log as. */
static int check_unwritten_row(const struct audit_check *c, const struct audit_row *row)
{
	struct record record;
	json_error_t error = { .text = "" };
	size_t len = row->line_len > 0 && row->line[row->line_len - 1] == '\n' ? row->line_len - 1 : 0;
	json_auto_t *json = json_loadb(len > 0 ? row->line : "", len, JSON_ALLOW_NUL, &error);

	if (!json && error.text[0] == '\0')
		return -ENOMEM;
	if (!json || read_record(json, &record) != NULL || record.seq != row->seq)
		say_row(c, AUDIT_ROW, row, "database: ", ": the row has no record with this number");
	else if (record.outcome != row->outcome || !is_same_id(row, record.id))
		say_row(c, AUDIT_ROW, row, "database: ", ": the row's id or outcome is not its record's");
	return 0;
}

/* The end of the log that the next start writes: from 'first' to 'last', unless the database
 * lacks something itself. */
static int take_pending(struct audit_check *c, uint64_t first, uint64_t last)
{
	struct audit_row row;

	for (uint64_t seq = first; seq <= last; seq++) {
		int r = audit_db_row_from(c->db, seq, &row);
		if (r < 0)
			return r;
		if (r == 0 || row.seq != seq)
			return name_gap(c, seq, last);
		add_row(&c->pending, &row);
		if (row.outcome >= 0 && row.outcome < OUTCOMES)
			c->outcomes[row.outcome]++;
		r = check_unwritten_row(c, &row);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The log lacks everything from 'next' on. */
static int name_end(struct audit_check *c, uint64_t next)
{
	uint64_t last = c->totals.last_seq;
	uint64_t promised = c->in_use || c->totals.mark_seq > last ? last : c->totals.mark_seq;
	int r = 0;

	if (next <= promised) {
		r = name_gap(c, next, promised);
		next = promised + 1;
	}
	return r == 0 && next <= last ? take_pending(c, next, last) : r;
}

static int name_gaps(struct audit_check *c)
{
	struct seq_run run;
	uint64_t next = c->seqs.n > 0 ? c->seqs.runs[0].first : 1;
	int r = 0;

	while (r == 0 && seq_set_run_from(&c->seqs, next, &run)) {
		if (run.first > next)
			r = name_gap(c, next, run.first - 1);
		next = run.last + 1;
	}
	return r == 0 ? name_end(c, next) : r;
}

/* The figures are about all records, so the log must begin with the first. */
static void compare_outcomes(const struct audit_check *c)
{
	uint64_t first = c->seqs.n > 0 ? c->seqs.runs[0].first : c->pending.first;

	if (c->report->found[AUDIT_MISSING] > 0 || first != 1)
		return;
	for (enum outcome i = 0; i < OUTCOMES; i++)
		if (c->outcomes[i] != c->totals.settled[i])
			audit_problem(c->report, AUDIT_BOOKS, "books: %llu jobs are %s, but the log has %llu of "
			              "them", (ull) c->totals.settled[i], outcome_name(i),
			              (ull) c->outcomes[i]);
}

static void say_range(const struct audit_check *c)
{
	if (c->seqs.n == 0)
		return;
	audit_say(c->report, "log       %llu records: seq %llu to %llu; %llu of them compared with the "
	          "database", (ull) sum(c->outcomes), (ull) c->seqs.runs[0].first,
	          (ull) c->seqs.runs[c->seqs.n - 1].last, (ull) c->matched);
	if (c->seqs.runs[0].first > 1)
		audit_say(c->report, "log       records before seq %llu are in none of these files, and not "
		          "checked", (ull) c->seqs.runs[0].first);
	if (c->ahead > 0 && c->in_use)
		audit_say(c->report, "log       %llu newer records, settled since the snapshot",
		          (ull) c->ahead);
}

static void say_pending(const struct audit_check *c)
{
	const struct audit_range *p = &c->pending;

	if (p->n == 1)
		audit_say(c->report, "log       1 record, seq %llu, is in the database only; the next "
		          "start of penstockd appends it to the log", (ull) p->first);
	else if (p->n > 1)
		audit_say(c->report, "log       %llu records, seq %llu to %llu, are in the database only; "
		          "the next start of penstockd appends them to the log", (ull) p->n,
		          (ull) p->first, (ull) p->last);
}

int audit_check_log(struct audit_check *c)
{
	end_twice(c);
	say_range(c);
	if (c->seqs.n == 0 && c->totals.last_seq > 0 && (c->in_use || c->totals.mark_seq > 0))
		audit_problem(c->report, AUDIT_MISSING, "missing: the log has no record at all; the last one "
		              "is seq %llu", (ull) c->totals.last_seq);
	int r = name_gaps(c);
	say_pending(c);
	compare_outcomes(c);
	return r;
}

int audit_check_is_begun(const struct audit_check *c, const struct audit_file *file)
{
	const struct buf *rest = &file->rest;
	bool at_end = file->last_seq == 0 || file->last_seq + 1 == c->pending.first;
	struct audit_row row;

	if (c->pending.n == 0 || !at_end)
		return 0;
	int r = audit_db_row_from(c->db, c->pending.first, &row);
	if (r <= 0)
		return r;
	return row.seq == c->pending.first && rest->len < row.line_len &&
	       memcmp(row.line, rest->data, rest->len) == 0;
}
