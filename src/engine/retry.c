/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/retry.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A job that could not be attempted because too many wait for names comes back after this. */
#define BUSY_DELAY_NS (100 * NS_PER_MS)

/* One whose body could not be kept, after this. */
#define BODIES_DELAY_NS (1 * NS_PER_S)

/* --- status sets ------------------------------------------------------------------- */

enum { STATUS_MIN = 100, STATUS_MAX = 599 };

static bool read_status(const char **at, long *ret_status)
{
	char *end = NULL;
	long status = strtol(*at, &end, 10);

	if (end != *at + 3 || status < STATUS_MIN || status > STATUS_MAX)
		return false;
	*at = end;
	*ret_status = status;
	return true;
}

int status_set_add(struct status_set *set, const char *text)
{
	long first = 0, last = 0;

	if (!read_status(&text, &first))
		return -EINVAL;
	last = first;
	if (*text == '-') {
		text++;
		if (!read_status(&text, &last))
			return -EINVAL;
	}
	if (*text != '\0' || last < first)
		return -EINVAL;

	for (long i = first - STATUS_MIN; i <= last - STATUS_MIN; i++)
		set->bits[i / 64] |= UINT64_C(1) << (i % 64);
	return 0;
}

bool status_set_has(const struct status_set *set, long status)
{
	if (status < STATUS_MIN || status > STATUS_MAX)
		return false;
	return set->bits[(status - STATUS_MIN) / 64] >> ((status - STATUS_MIN) % 64) & 1;
}

/* --- judging ----------------------------------------------------------------------- */

/* The origin, or the way there, has failed, and may work the next time. */
static bool is_transport_failure(int error)
{
	return error == -ETIMEDOUT || error == -ECONNREFUSED || error == -ECONNRESET ||
	       error == -EPROTO || error == -EIO;
}

/* Another attempt may end otherwise. */
static bool is_passing(int error, const struct response *response)
{
	static const long passing[] = { 408, 425, 429, 500, 502, 503, 504 };

	if (error == -ENOSPC)
		return response->body_error == -ETIMEDOUT;
	if (error < 0)
		return is_transport_failure(error) || error == -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(passing); i++)
		if (passing[i] == response->status)
			return true;
	return false;
}

/* Nothing was asked, or it may be asked once more, so that what could not be kept may come again:
 * it is not the attempt that has failed. */
static bool is_unkept(int error, const struct job *job, const struct response *response)
{
	bool is_its_own = response->body_error == -ETIMEDOUT || response->body_error == -EFBIG;

	return error == -ENOSPC && !is_its_own && (response->status == 0 || job_may_retry(job));
}

/* How long the origin has asked for a pause (RFC 9110, section 10.2.3; RFC 6585, section
 * 4).  It has said so even if the rest of its answer was lost. */
static uint64_t asked_pause_ns(const struct retry_policy *policy, const struct response *response)
{
	if (response->status != 429 && response->status != 503)
		return 0;
	if (response->retry_after_s > (int64_t) (policy->max_retry_after_ns / NS_PER_S))
		return policy->max_retry_after_ns;
	return (uint64_t) response->retry_after_s * NS_PER_S;
}

static uint64_t back_off(const struct retry_policy *policy, unsigned attempts, struct random *random)
{
	uint64_t bound = policy->base_ns;

	for (unsigned i = 1; i < attempts && bound < policy->max_ns; i++)
		bound = bound > policy->max_ns / 2 ? policy->max_ns : bound * 2;
	return random_up_to(random, bound < policy->max_ns ? bound : policy->max_ns);
}

static void die(struct judgement *j, const char *prefix, int error, const struct response *response)
{
	j->kind = VERDICT_FINAL;
	j->outcome = OUTCOME_DEAD;
	if (error < 0)
		(void) snprintf(j->reason, sizeof(j->reason), "%s%s", prefix, response->reason);
	else
		(void) snprintf(j->reason, sizeof(j->reason), "%shttp %ld", prefix, response->status);
}

static void try_again(const struct retry_policy *policy, const struct job *job, int error,
                      uint64_t left_ns, const struct response *response, struct random *random,
                      struct judgement *j)
{
	uint64_t asked_ns = (uint64_t) response->retry_after_s * NS_PER_S;

	if (response->retry_after_s > (int64_t) (policy->max_retry_after_ns / NS_PER_S)) {
		die(j, "retry-after is longer than retry.max_retry_after: ", error, response);
		return;
	}
	j->delay_ns = back_off(policy, job->attempts, random);
	if (j->delay_ns < asked_ns)
		j->delay_ns = asked_ns;
	if (j->delay_ns >= left_ns) {
		die(j, "deadline before the next attempt: ", error, response);
		return;
	}
	j->kind = VERDICT_RETRY;
	j->why = WAIT_RETRY;
}

void retry_judge(const struct retry_policy *policy, struct job *job, int error, uint64_t left_ns,
                 const struct response *response, struct random *random,
                 struct judgement *ret_judgement)
{
	struct judgement j = {
		.kind = VERDICT_RETURN,
		.cool_ns = asked_pause_ns(policy, response),
		.transport_failed = is_transport_failure(error),
	};

	if (error == -EBUSY) {
		j.delay_ns = BUSY_DELAY_NS;
		j.why = WAIT_NAMES;
	} else if (is_unkept(error, job, response)) {
		j.delay_ns = BODIES_DELAY_NS;
		j.why = WAIT_BODIES;
	} else if (error != -ECANCELED) {
		job->attempts++;
		if (error == 0 && status_set_has(&policy->success, response->status)) {
			j.kind = VERDICT_FINAL;
			j.outcome = OUTCOME_DONE;
		} else if (!is_passing(error, response)) {
			die(&j, "", error, response);
		} else if (!job_may_retry(job)) {
			die(&j, "not retried: ", error, response);
		} else if (job->attempts >= policy->max_attempts) {
			die(&j, policy->max_attempts > 1 ? "retries exhausted: " : "", error,
			    response);
		} else {
			try_again(policy, job, error, left_ns, response, random, &j);
		}
	}
	*ret_judgement = j;
}
