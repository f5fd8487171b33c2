/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top_history.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* --- samples ----------------------------------------------------------------------- */

static void append(struct top_history *h, const double sample[TOP_SERIES])
{
	bool is_full = h->n == TOP_SAMPLES;

	for (size_t i = 0; i < TOP_SERIES; i++) {
		double *values = h->values[i];
		if (is_full)
			memmove(values, values + 1, (TOP_SAMPLES - 1) * sizeof(*values));
		values[is_full ? h->n - 1 : h->n] = sample[i];
	}
	h->n += !is_full;
	h->first += is_full;
}

static double positive(double value) { return value > 0 ? value : 0; }

/* --- as the daemon tells it -------------------------------------------------------- */

static const struct {
	const char *name;
	bool is_rate;
} series[TOP_SERIES] = {
	[TOP_QUEUE_JOBS] = { "queue_jobs", false },
	[TOP_RUNNING] = { "running", false },
	[TOP_WAITING] = { "waiting", false },
	[TOP_SETTLED] = { "settled", true },
	[TOP_DEAD] = { "dead", true },
	[TOP_FAILURES] = { "failures", true },
	[TOP_RECEIVED_BYTES] = { "received_bytes", true },
};

/* null is a moment that the daemon has missed. */
static double read_value(const json_t *value)
{
	return json_is_number(value) ? positive(json_number_value(value)) : -1;
}

/* Stores the arrays.  Returns whether they are there and of one length. */
static bool find_arrays(const json_t *answer, const json_t *ret[TOP_SERIES], size_t *ret_n)
{
	const json_t *all = json_object_get(answer, "series");

	for (size_t i = 0; i < TOP_SERIES; i++) {
		ret[i] = json_object_get(all, series[i].name);
		if (!json_is_array(ret[i]) || json_array_size(ret[i]) != json_array_size(ret[0]))
			return false;
	}
	*ret_n = json_array_size(ret[0]);
	return true;
}

int top_history_take(struct top_history *h, const json_t *answer)
{
	const json_t *arrays[TOP_SERIES];
	double period_s = json_number_value(json_object_get(answer, "period"));
	json_int_t first = json_integer_value(json_object_get(answer, "first"));
	uint64_t next = h->first + h->n;
	size_t n = 0;

	if (!find_arrays(answer, arrays, &n) || period_s <= 0 || first < 0)
		return -EPROTO;
	if (h->period_s != period_s || (uint64_t) first > next || (uint64_t) first + n < next) {
		*h = (struct top_history) { .first = (uint64_t) first, .period_s = period_s };
		next = h->first;
	}
	for (size_t at = (size_t) (next - (uint64_t) first); at < n; at++) {
		double sample[TOP_SERIES];
		for (size_t i = 0; i < TOP_SERIES; i++)
			sample[i] = read_value(json_array_get(arrays[i], at)) /
			            (series[i].is_rate ? period_s : 1);
		append(h, sample);
	}
	return 0;
}

/* --- as seen from here ------------------------------------------------------------- */

static double number(const json_t *status, const char *object, const char *member)
{
	return json_number_value(json_object_get(json_object_get(status, object), member));
}

static double settled(const json_t *status)
{
	return number(status, "ledger", "done") + number(status, "ledger", "dead") +
	       number(status, "ledger", "cancelled");
}

void top_history_observe(struct top_history *h, const json_t *before, const json_t *now,
                         double period_s)
{
	double s = json_number_value(json_object_get(now, "uptime_seconds")) -
	           json_number_value(json_object_get(before, "uptime_seconds"));

	if (s <= 0 ||
	    !json_equal(json_object_get(before, "started_at"), json_object_get(now, "started_at")))
		return;
	h->period_s = period_s;
	append(h, (const double[TOP_SERIES]) {
		[TOP_QUEUE_JOBS] = number(now, "queue", "jobs"),
		[TOP_RUNNING] = number(now, "ledger", "running"),
		[TOP_WAITING] = number(now, "ledger", "waiting"),
		[TOP_SETTLED] = positive(settled(now) - settled(before)) / s,
		[TOP_DEAD] = positive(number(now, "ledger", "dead") - number(before, "ledger", "dead")) / s,
		[TOP_FAILURES] =
			positive(number(now, "fetch", "failed") - number(before, "fetch", "failed")) / s,
		[TOP_RECEIVED_BYTES] =
			positive(number(now, "fetch", "body_bytes") - number(before, "fetch", "body_bytes")) / s,
	});
}
