/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/audit_check.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

typedef unsigned long long ull; /* for %llu */

void audit_check_done(struct audit_check *c) { seq_set_done(&c->seqs); }

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
		.seq = (uint64_t) json_integer_value(seq), .id = id, .outcome = i };
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
		audit_problem(c->report, AUDIT_TWICE, "%s:%llu: seq %llu (%s): once more", file->path,
		              (ull) file->lines, (ull) record->seq, record->id);
	else
		c->outcomes[record->outcome]++;
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
	if (!wrong)
		return take_record(c, file, &record, text, len);
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
	if (first == last)
		audit_problem(c->report, AUDIT_MISSING, "missing: seq %llu: not in the log, and no longer "
		              "in the database", (ull) first);
	else
		audit_problem(c->report, AUDIT_MISSING, "missing: seq %llu to %llu: not in the log, and no "
		              "longer in the database", (ull) first, (ull) last);
}

/* Names what is missing from 'first' to 'last'. */
static int name_gap(struct audit_check *c, uint64_t first, uint64_t last)
{
	struct audit_row row;

	while (first <= last) {
		int r = audit_db_row_from(c->db, first, &row);
		if (r < 0)
			return r;
		uint64_t next = r > 0 && row.seq <= last ? row.seq : last + 1;
		if (next > first)
			say_lost(c, first, next - 1);
		if (next <= last)
			say_row(c, AUDIT_MISSING, &row, "missing: ",
			        ": not in the log; the database has its record");
		first = next + 1;
	}
	return 0;
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
	if (r == 0 && next <= c->totals.last_seq)
		r = name_gap(c, next, c->totals.last_seq);
	return r;
}

/* The figures are about all records, so the log must begin with the first. */
static void compare_outcomes(const struct audit_check *c)
{
	if (!audit_check_is_whole(c) || c->seqs.n == 0 || c->seqs.runs[0].first != 1)
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

int audit_check_log(struct audit_check *c)
{
	say_range(c);
	if (c->seqs.n == 0 && c->totals.last_seq > 0)
		audit_problem(c->report, AUDIT_MISSING, "missing: the log has no record at all; the last one "
		              "is seq %llu", (ull) c->totals.last_seq);
	int r = name_gaps(c);
	compare_outcomes(c);
	return r;
}
