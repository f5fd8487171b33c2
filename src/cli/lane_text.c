/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lane_text.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/units.h"
#include "cli/safe_text.h"

#include <string.h>

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
	int r = greater_first(number(lane(a), "depth"), number(lane(b), "depth"));
	return r != 0 ? r : strcmp(string(lane(a), "origin"), string(lane(b), "origin"));
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

const struct lane_order_name lane_orders[LANE_ORDERS] = {
	[LANE_BY_DEPTH] = { "depth", by_depth },
	[LANE_BY_WAIT] = { "wait", by_wait },
	[LANE_BY_RATE] = { "rate", by_rate },
	[LANE_BY_STATE] = { "state", by_state },
};

/* --- cells ------------------------------------------------------------------------- */

const struct lane_column_head lane_columns[LANE_COLUMNS] = {
	[LANE_ORIGIN] = { "ORIGIN", true },    [LANE_JOBS] = { "JOBS", false },
	[LANE_WAITING] = { "WAITING", false }, [LANE_QUEUED] = { "QUEUED", false },
	[LANE_RUNNING] = { "RUNNING", false }, [LANE_OLDEST] = { "OLDEST", false },
	[LANE_RATE] = { "RATE", false },       [LANE_STATE] = { "STATE", true },
};

static void add_number(struct buf *b, const json_t *lane, const char *member)
{
	buf_printf(b, "%.0f", number(lane, member));
}

static void add_running(struct buf *b, const json_t *lane)
{
	double limit = number(lane, "concurrency");

	add_number(b, lane, "running");
	if (limit > 0)
		buf_printf(b, "/%.0f", limit);
}

static void add_wait(struct buf *b, const json_t *lane)
{
	double seconds = number(lane, "wait_seconds");

	if (seconds < 0)
		buf_add_char(b, '-');
	else
		units_add_duration_rough(b, (uint64_t) (seconds * 1e3) * NS_PER_MS);
}

/* "breaker 8.2s, 5 failures" */
static void add_state(struct buf *b, const json_t *lane)
{
	const char *until = string(lane, "until");
	int64_t until_us = 0, now_us = clock_wall_us();

	safe_text_add(b, string(lane, "state"));
	if (*until != '\0' && clock_parse(until, &until_us) == 0 && until_us > now_us) {
		buf_add_char(b, ' ');
		units_add_duration_rough(b, (uint64_t) (until_us - now_us) * NS_PER_US);
	}
	if (number(lane, "failures") > 0)
		buf_printf(b, ", %.0f failures", number(lane, "failures"));
}

void lane_text_add(struct buf *b, const json_t *lane, enum lane_column column)
{
	switch (column) {
	case LANE_ORIGIN:
		safe_text_add(b, string(lane, "origin"));
		break;
	case LANE_JOBS:
		add_number(b, lane, "depth");
		break;
	case LANE_WAITING:
		add_number(b, lane, "waiting");
		break;
	case LANE_QUEUED:
		add_number(b, lane, "queued");
		break;
	case LANE_RUNNING:
		add_running(b, lane);
		break;
	case LANE_OLDEST:
		add_wait(b, lane);
		break;
	case LANE_RATE:
		safe_text_add(b, *string(lane, "rate") != '\0' ? string(lane, "rate") : "-");
		break;
	case LANE_STATE:
		add_state(b, lane);
		break;
	case LANE_COLUMNS:
		break;
	}
}
