/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/dead_log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "job/url.h"

int dead_log_init(struct dead_log *d)
{
	*d = (struct dead_log) { 0 };
	return mutex_init(&d->lock);
}

void dead_log_destroy(struct dead_log *d) { mutex_destroy(&d->lock); }

static bool is_allowed(struct dead_log *d, uint64_t *ret_held_back)
{
	mutex_lock(&d->lock);
	bool allowed = log_allowed(&d->limit, clock_now_ns());
	*ret_held_back = allowed ? log_take_held_back(&d->limit) : 0;
	mutex_unlock(&d->lock);
	return allowed;
}

void dead_log_tell(struct dead_log *d, const struct job *job, const char *reason)
{
	struct buf id = { 0 }, url = { 0 };
	uint64_t held_back = 0;

	if (!is_allowed(d, &held_back))
		return;
	if (held_back > 0)
		log_info("%llu more jobs are dead, not shown", (unsigned long long) held_back);
	job_add_id(job, &id);
	buf_add_char(&id, '\0');
	const struct log_fields about = {
		.event = LOG_EVENT_JOB_DEAD,
		.job = id.failed ? "?" : id.data,
		.origin = job->origin.text,
		.source = job->source,
	};
	url_add_redacted(&url, job->url, atomic_load(&d->queries));
	buf_add_char(&url, '\0');
	log_about(LOG_LEVEL_INFO, &about, "job %s is dead: %s (%s)", about.job, reason,
	          url.failed ? "?" : url.data);
	buf_done(&url);
	buf_done(&id);
}
