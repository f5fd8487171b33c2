/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/attempt_log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "job/url.h"

static void add_answer(struct buf *b, const struct response *response)
{
	if (response->status > 0)
		buf_printf(b, "http %ld", response->status);
	if (response->status > 0 && response->reason[0] != '\0')
		buf_add_str(b, ", ");
	buf_add_str(b, response->reason);
	buf_add_str(b, " after ");
	units_add_duration_rough(b, response->total_us * NS_PER_US);
}

static void add_fate(struct buf *b, const struct judgement *j)
{
	if (j->kind == VERDICT_FINAL) {
		buf_printf(b, ": %s", outcome_name(j->outcome));
	} else if (j->kind == VERDICT_HOP) {
		buf_add_str(b, ": redirected to another origin, where it waits for its turn");
	} else {
		buf_add_str(b, j->kind == VERDICT_RETRY ? ": once more in " : ": not counted, once more in ");
		units_add_duration_rough(b, j->delay_ns);
	}
}

static void log_line(const struct job *job, const struct response *response,
                     const struct judgement *j, bool with_query)
{
	struct buf id = { 0 }, text = { 0 };

	job_add_id(job, &id);
	buf_add_char(&id, '\0');
	buf_printf(&text, "attempt %u: ", job->attempts);
	add_answer(&text, response);
	add_fate(&text, j);
	buf_add_str(&text, " (");
	url_add_redacted(&text, job->url, with_query);
	buf_add_char(&text, ')');
	if (!id.failed && !text.failed) {
		const struct log_fields about = {
			.job = id.data,
			.origin = job->origin.text,
			.source = job->source,
		};
		log_about(LOG_LEVEL_DEBUG, &about, "job %s: %.*s", id.data, (int) text.len, text.data);
	}
	buf_done(&text);
	buf_done(&id);
}

void attempt_log(const struct job *job, const struct response *response,
                 const struct judgement *judgement, bool with_query)
{
	if (log_shows(LOG_LEVEL_DEBUG))
		log_line(job, response, judgement, with_query);
}
