/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h, read back by a strict parser of both formats. */
#include "control/metrics.h"

#include "control_stage.h"

#include <ctype.h>

#define OPENMETRICS "application/openmetrics-text"

enum { MAX_SAMPLES = 600 };

/* --- the parser --------------------------------------------------------------------- */

struct sample {
	char series[256]; /* name and labels */
	double value;
};

struct parser {
	bool openmetrics;
	char family[128], type[32]; /* of the last TYPE line */
	bool has_help;              /* a HELP line came, for the TYPE line that must follow */
	char families[MAX_SAMPLES][128];
	size_t n_families;
	struct sample samples[MAX_SAMPLES];
	size_t n;
	double in_bucket;  /* of the histogram at hand, the last bucket; -1: none was begun */
	bool is_complete;  /* that was +Inf */
	bool ended;
};

static bool is_name(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalpha((unsigned char) p[i]) && p[i] != '_' && (i == 0 || !isdigit((unsigned char) p[i])))
			return false;
	return n > 0;
}

static void read_comment(struct parser *p, const char *line)
{
	char word[8], name[128];
	int at = 0;

	if (p->openmetrics && strcmp(line, "# EOF") == 0) {
		p->ended = true;
		return;
	}
	CU_ASSERT_EQUAL_FATAL(sscanf(line, "# %7s %127s %n", word, name, &at), 2);
	CU_ASSERT_TRUE(is_name(name, strlen(name)));
	CU_ASSERT_TRUE(line[at] != '\0');
	CU_ASSERT_EQUAL(p->in_bucket, -1);
	if (strcmp(word, "UNIT") == 0) {
		size_t len = strlen(name), unit = strlen(line + at);
		CU_ASSERT_TRUE(p->openmetrics && !p->has_help);
		CU_ASSERT_STRING_EQUAL(p->family, name);
		CU_ASSERT_TRUE_FATAL(len > unit + 1 && name[len - unit - 1] == '_');
		CU_ASSERT_STRING_EQUAL(name + len - unit, line + at);
	} else if (strcmp(word, "HELP") == 0) {
		CU_ASSERT_FALSE(p->has_help);
		CU_ASSERT_PTR_NULL(strpbrk(line, "\\\""));
		for (size_t i = 0; i < p->n_families; i++)
			CU_ASSERT_STRING_NOT_EQUAL(p->families[i], name);
		p->has_help = true;
		(void) snprintf(p->families[p->n_families++], sizeof(name), "%s", name);
	} else {
		CU_ASSERT_STRING_EQUAL(word, "TYPE");
		CU_ASSERT_TRUE(p->has_help);
		CU_ASSERT_STRING_EQUAL(p->families[p->n_families - 1], name);
		p->has_help = false;
		(void) snprintf(p->family, sizeof(p->family), "%s", name);
		(void) snprintf(p->type, sizeof(p->type), "%s", line + at);
	}
}

/* Moves over {name="value",…}. */
static const char *skip_labels(const char *at)
{
	do {
		at++;
		size_t len = strcspn(at, "=");
		CU_ASSERT_TRUE(is_name(at, len));
		at += len;
		CU_ASSERT_TRUE_FATAL(at[0] == '=' && at[1] == '"');
		for (at += 2; *at != '"'; at++) {
			CU_ASSERT_TRUE_FATAL(*at != '\0');
			if (*at == '\\') {
				at++;
				CU_ASSERT_TRUE_FATAL(*at != '\0' && strchr("\\\"n", *at));
			}
		}
		at++;
	} while (*at == ',');
	CU_ASSERT_EQUAL_FATAL(*at, '}');
	return at + 1;
}

/* Buckets hold no less than those before them; the sum and the count come behind the last. */
static const char *suffix_in_histogram(struct parser *p, const struct sample *sample)
{
	const char *le = strstr(sample->series, "le=\"");

	if (strstr(sample->series, "_bucket{")) {
		CU_ASSERT_FALSE(p->is_complete);
		CU_ASSERT_TRUE(le && sample->value >= p->in_bucket);
		p->in_bucket = sample->value;
		p->is_complete = le && strncmp(le + 4, "+Inf\"}", 6) == 0;
		return "_bucket";
	}
	CU_ASSERT_TRUE(p->is_complete && !le);
	if (strstr(sample->series, "_sum"))
		return "_sum";
	CU_ASSERT_EQUAL(sample->value, p->in_bucket);
	p->in_bucket = -1;
	p->is_complete = false;
	return "_count";
}

static const char *suffix_of(struct parser *p, const struct sample *sample)
{
	if (strcmp(p->type, "histogram") == 0)
		return suffix_in_histogram(p, sample);
	if (!p->openmetrics)
		return "";
	return strcmp(p->type, "counter") == 0 ? "_total" : strcmp(p->type, "info") == 0 ? "_info" : "";
}

static void read_sample(struct parser *p, const char *line)
{
	size_t len = strcspn(line, "{ ");
	struct sample *sample = &p->samples[p->n++];
	char expected[160];
	char *end = NULL;

	CU_ASSERT_TRUE_FATAL(p->n <= MAX_SAMPLES);
	CU_ASSERT_FALSE(p->has_help);
	const char *at = line[len] == '{' ? skip_labels(line + len) : line + len;
	CU_ASSERT_EQUAL_FATAL(*at, ' ');
	(void) snprintf(sample->series, sizeof(sample->series), "%.*s", (int) (at - line), line);
	CU_ASSERT_TRUE(isdigit((unsigned char) at[1]));
	sample->value = strtod(at + 1, &end);
	CU_ASSERT_EQUAL(*end, '\0');
	(void) snprintf(expected, sizeof(expected), "%s%s", p->family, suffix_of(p, sample));
	CU_ASSERT_TRUE(strlen(expected) == len && strncmp(line, expected, len) == 0);
	bool counter = len > 6 && strncmp(line + len - 6, "_total", 6) == 0;
	CU_ASSERT_EQUAL(counter, strcmp(p->type, "counter") == 0);
	for (size_t i = 0; i + 1 < p->n; i++)
		CU_ASSERT_STRING_NOT_EQUAL(p->samples[i].series, sample->series);
}

static struct parser read_metrics(const char *accept)
{
	static struct parser p;
	struct buf header = { 0 };
	char *save = NULL;

	buf_printf(&header, "Accept: %s%c", accept, '\0');
	struct answer a = ask("/metrics", (struct question) { .header = header.data });
	CU_ASSERT_EQUAL_FATAL(a.status, 200);
	p = (struct parser) { .openmetrics = strstr(a.type, "openmetrics"), .in_bucket = -1 };
	CU_ASSERT_STRING_EQUAL(a.type, p.openmetrics ? OPENMETRICS "; version=1.0.0; charset=utf-8"
	                                             : "text/plain; version=0.0.4; charset=utf-8");
	CU_ASSERT_TRUE_FATAL(a.body.len > 2 && a.body.data[a.body.len - 2] == '\n');
	CU_ASSERT_PTR_NULL(strstr(a.body.data, "\n\n"));
	for (char *line = strtok_r(a.body.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		CU_ASSERT_FALSE(p.ended); /* EOF is the last line */
		if (*line == '#')
			read_comment(&p, line);
		else
			read_sample(&p, line);
	}
	CU_ASSERT_EQUAL(p.ended, p.openmetrics);
	buf_done(&a.body);
	buf_done(&header);
	return p;
}

static double value(const struct parser *p, const char *series)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->samples[i].series, series) == 0)
			return p->samples[i].value;
	printf("\nno %s", series);
	CU_FAIL("a series is missing");
	return -1;
}

/* --- tests -------------------------------------------------------------------------- */

static void test_both_formats_have_the_same_series(void)
{
	struct stage s;

	stage_init(&s, NULL, 0, (struct control_options) { .started_wall_us = 1234567 });
	const struct parser text = read_metrics("*/*"), open = read_metrics(OPENMETRICS);
	CU_ASSERT_FALSE(text.openmetrics);
	CU_ASSERT_TRUE(open.openmetrics);
	CU_ASSERT_TRUE(text.n > 40);
	CU_ASSERT_EQUAL(text.n, open.n);
	for (size_t i = 0; i < text.n && i < open.n; i++)
		CU_ASSERT_STRING_EQUAL(text.samples[i].series, open.samples[i].series);
	CU_ASSERT_EQUAL(value(&text, "penstock_build_info{version=\"1.2.3\"}"), 1);
	CU_ASSERT_DOUBLE_EQUAL(value(&text, "process_start_time_seconds"), 1.234567, 1e-9);
	stage_done(&s);
}

static void test_the_figures_are_the_engines(void)
{
	const struct source_settings source = { .type = SOURCE_FILE, .path = "urls.txt" };
	struct stage s;

	write_text("urls.txt", NOBODY "a\nno job\n" NOBODY "b\n");
	stage_init(&s, &source, 1, (struct control_options) { 0 });
	stage_finish(&s);
	control_set_phase(s.control, CONTROL_READY);
	control_set_results_error(s.control, -5);
	const struct parser p = read_metrics("*/*");
	CU_ASSERT_EQUAL(value(&p, "penstock_ready"), 1);
	CU_ASSERT_EQUAL(value(&p, "penstock_queue_jobs"), 0);
	CU_ASSERT_EQUAL(value(&p, "penstock_queue_capacity_jobs"), 1000);
	CU_ASSERT_EQUAL(value(&p, "penstock_queue_capacity_bytes"), 64 << 20);
	CU_ASSERT_EQUAL(value(&p, "penstock_jobs_accepted_total"), 2);
	CU_ASSERT_EQUAL(value(&p, "penstock_jobs_settled_total{outcome=\"dead\"}"), 2);
	CU_ASSERT_EQUAL(value(&p, "penstock_jobs_settled_total{outcome=\"done\"}"), 0);
	CU_ASSERT_EQUAL(value(&p, "penstock_jobs{state=\"running\"}"), 0);
	for (enum wait_reason why = 0; why < WAIT_REASONS; why++) {
		char series[64];
		(void) snprintf(series, sizeof(series), "penstock_jobs_waiting{reason=\"%s\"}",
		                wait_reason_name(why));
		CU_ASSERT_EQUAL(value(&p, series), 0);
	}
	CU_ASSERT_TRUE(value(&p, "penstock_lanes{state=\"active\"}") >= 0);
	CU_ASSERT_TRUE(value(&p, "penstock_lanes{state=\"idle\"}") >= 0);
	CU_ASSERT_EQUAL(value(&p, "penstock_lanes{state=\"paused\"}"), 0);
	CU_ASSERT_EQUAL(value(&p, "penstock_paused"), 0);
	CU_ASSERT_EQUAL(value(&p, "penstock_workers{state=\"idle\"}") +
	                        value(&p, "penstock_workers{state=\"busy\"}"),
	                2);
	CU_ASSERT_EQUAL(value(&p, "penstock_fetch_attempts_total"), 6);
	CU_ASSERT_EQUAL(value(&p, "penstock_fetch_failures_total{reason=\"connect\"}"), 6);
	CU_ASSERT_EQUAL(value(&p, "penstock_fetch_failures_total{reason=\"http_5xx\"}"), 0);
	CU_ASSERT_EQUAL(value(&p, "penstock_fetch_retried_total{reason=\"connect\"}"), 4);
	CU_ASSERT_EQUAL(value(&p, "penstock_fetch_responses_total{class=\"2xx\"}"), 0);
	CU_ASSERT_EQUAL(value(&p, "penstock_fetch_duration_seconds_count"), 6);
	CU_ASSERT_EQUAL(value(&p, "penstock_queue_wait_seconds_count"), 6);
	CU_ASSERT_EQUAL(value(&p, "penstock_fetch_phase_seconds_count{phase=\"connect\"}"), 0);
	CU_ASSERT_TRUE(value(&p, "penstock_results_append_seconds_count") >= 1);
	CU_ASSERT_TRUE(value(&p, "penstock_results_busy_seconds_total") > 0);
	CU_ASSERT_TRUE(value(&p, "process_open_fds") > 3);
	CU_ASSERT_TRUE(value(&p, "process_threads") >= 4);
	CU_ASSERT_TRUE(value(&p, "process_resident_memory_bytes") > 1 << 20);
	CU_ASSERT_EQUAL(value(&p, "penstock_results_recorded_total"), 2);
	CU_ASSERT_EQUAL(value(&p, "penstock_results_failing"), 1);
	CU_ASSERT_EQUAL(value(&p, "penstock_results_bodies_total"), 0);
	CU_ASSERT_EQUAL(value(&p, "penstock_results_bodies_failing"), 0);
	CU_ASSERT_EQUAL(value(&p, "penstock_source_jobs_total{source=\"urls.txt\"}"), 2);
	CU_ASSERT_EQUAL(value(&p, "penstock_source_bad_lines_total{source=\"urls.txt\"}"), 1);
	CU_ASSERT_TRUE(value(&p, "penstock_queue_consumers_idle_seconds_total") > 0);
	stage_done(&s);
}

static void test_a_database_has_figures_of_its_own(void)
{
	const struct source_settings source = { .type = SOURCE_FILE, .path = "urls.txt" };
	struct stage s;

	write_text("urls.txt", NOBODY "a\n" NOBODY "b\n");
	stage_database = "jobs.db";
	stage_init(&s, &source, 1, (struct control_options) { 0 });
	stage_database = NULL;
	stage_finish(&s);
	for (int i = 0; i < 2; i++) {
		const struct parser p = read_metrics(i == 0 ? "*/*" : OPENMETRICS);
		CU_ASSERT_EQUAL(value(&p, "penstock_backlog_records_total"), 2);
		CU_ASSERT_EQUAL(value(&p, "penstock_backlog_remembered_record"), 1);
		CU_ASSERT_TRUE(value(&p, "penstock_backlog_commits_total") >= 2);
		CU_ASSERT_EQUAL(value(&p, "penstock_backlog_commit_seconds_count"),
		                value(&p, "penstock_backlog_commits_total"));
		CU_ASSERT_TRUE(value(&p, "penstock_backlog_free_bytes") > 0);
		CU_ASSERT_EQUAL(value(&p, "penstock_backlog_min_free_bytes"), 64 << 20);
		CU_ASSERT_EQUAL(value(&p, "penstock_backlog_failing"), 0);
	}
	stage_done(&s);
}

static void test_sources_of_one_name_share_a_series(void)
{
	const struct source_settings sources[] = {
		{ .type = SOURCE_FILE, .path = "urls.txt" },
		{ .type = SOURCE_FILE, .path = "more.txt" },
		{ .type = SOURCE_FILE, .path = "urls.txt" },
	};
	struct stage s;

	write_text("urls.txt", NOBODY "a\n" NOBODY "b\n");
	write_text("more.txt", NOBODY "c\n");
	stage_init(&s, sources, ARRAY_LEN(sources), (struct control_options) { 0 });
	stage_finish(&s);
	const struct parser p = read_metrics("*/*");
	CU_ASSERT_EQUAL(value(&p, "penstock_source_jobs_total{source=\"urls.txt\"}"), 4);
	CU_ASSERT_EQUAL(value(&p, "penstock_source_jobs_total{source=\"more.txt\"}"), 1);
	stage_done(&s);
}

static void test_label_values_are_escaped(void)
{
	const struct source_settings source = { .type = SOURCE_FILE, .path = "a\\b\"c\nd\t\xff" };
	struct stage s;

	write_text(source.path, NOBODY "\n");
	stage_init(&s, &source, 1, (struct control_options) { 0 });
	stage_finish(&s);
	for (int i = 0; i < 2; i++) {
		const struct parser p = read_metrics(i == 0 ? "*/*" : OPENMETRICS);
		CU_ASSERT_EQUAL(value(&p, "penstock_source_jobs_total{source=\"a\\\\b\\\"c\\nd\t"
		                          "\xef\xbf\xbd\"}"),
		                1);
	}
	stage_done(&s);
}

static void test_the_format_is_what_accept_prefers(void)
{
	static const struct {
		const char *accept;
		enum metrics_format format;
	} cases[] = {
		{ "", METRICS_TEXT },
		{ "*/*", METRICS_TEXT },
		{ "text/plain", METRICS_TEXT },
		{ OPENMETRICS, METRICS_OPENMETRICS },
		{ "Application/OpenMetrics-Text", METRICS_OPENMETRICS },
		{ OPENMETRICS "; version=1.0.0; charset=utf-8", METRICS_OPENMETRICS },
		{ OPENMETRICS ";version=1.0.0," OPENMETRICS ";version=0.0.1;q=0.75,"
		  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		  METRICS_OPENMETRICS },
		{ "text/html, " OPENMETRICS " ;q=0.5", METRICS_OPENMETRICS },
		{ OPENMETRICS ";q=0.5, text/plain;q=0.75", METRICS_TEXT },
		{ "text/plain;q=0.999," OPENMETRICS, METRICS_OPENMETRICS },
		{ "text/plain;q=0.125," OPENMETRICS ";q=0.13", METRICS_OPENMETRICS },
		{ "text/plain," OPENMETRICS ";q=0.999", METRICS_TEXT },
		{ OPENMETRICS ";q=0", METRICS_TEXT },
		{ OPENMETRICS ";q=0.000, */*", METRICS_TEXT },
		{ OPENMETRICS "-ng", METRICS_TEXT },
		{ "x/" OPENMETRICS, METRICS_TEXT },
		{ ",,;q=,;", METRICS_TEXT },
		{ OPENMETRICS ";q=", METRICS_OPENMETRICS }, /* no weight, so the usual one */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (metrics_choose_format(cases[i].accept) == cases[i].format)
			continue;
		printf("\n%s", cases[i].accept);
		CU_FAIL("another format");
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "both formats have the same series", test_both_formats_have_the_same_series },
		{ "the figures are the engine's", test_the_figures_are_the_engines },
		{ "a database has figures of its own", test_a_database_has_figures_of_its_own },
		{ "sources of one name share a series", test_sources_of_one_name_share_a_series },
		{ "label values are escaped", test_label_values_are_escaped },
		{ "the format is what Accept prefers", test_the_format_is_what_accept_prefers },
		CU_TEST_INFO_NULL,
	};
	return run_in_directory("metrics", tests);
}
