/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/lane.h"

#include "base/clock.h"
#include "base/sync.h"
#include "job/url.h"

#include <limits.h>
#include <string.h>

/* --- arithmetic that stays at its limits instead of wrapping around ----------------------- */

static uint64_t min(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
static uint64_t plus(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

static uint64_t times(uint64_t a, uint64_t b)
{
	return a > 0 && b > UINT64_MAX / a ? UINT64_MAX : a * b;
}

/* --- rules --------------------------------------------------------------------------------- */

const struct lane_limits *lane_find_limits(const struct lane_rule *rules, size_t n,
                                           const char *origin)
{
	static const struct lane_limits none = { .burst = 1 };

	for (size_t i = 0; i < n; i++)
		if (url_match_origin(rules[i].match, origin))
			return &rules[i].limits;
	return &none;
}

/* --- obstacles ----------------------------------------------------------------------------- */

/* Until when failures count, if the breaker asks for them. */
static uint64_t remembered_ns(const struct lane_limits *limits, const struct lane_state *s)
{
	if (limits->breaker == 0 || s->failures == 0)
		return 0;
	return clock_after(max(s->failed_ns, s->open_until_ns), limits->breaker_max_ns);
}

static bool is_open(const struct lane_limits *limits, const struct lane_state *s, uint64_t now_ns)
{
	return limits->breaker > 0 && now_ns < s->open_until_ns;
}

/* Nothing is forgotten while a fetch is under way: time alone never lets a second one start. */
static bool is_half_open(const struct lane_limits *limits, const struct lane_state *s,
                         uint64_t running, uint64_t now_ns)
{
	return limits->breaker > 0 && s->failures >= limits->breaker &&
	       now_ns >= s->open_until_ns && (running > 0 || now_ns < remembered_ns(limits, s));
}

/* What lets nothing start at all.  WAIT_WORKER: nothing of that kind. */
static struct lane_obstacle look_for_stop(const struct lane_limits *limits,
                                          const struct lane_state *s, uint64_t now_ns)
{
	if (s->paused)
		return (struct lane_obstacle){ WAIT_PAUSED, NEVER };
	if (now_ns < s->cool_until_ns)
		return (struct lane_obstacle){ WAIT_RETRY_AFTER, s->cool_until_ns };
	if (is_open(limits, s, now_ns))
		return (struct lane_obstacle){ WAIT_BREAKER, s->open_until_ns };
	return (struct lane_obstacle){ WAIT_WORKER, 0 };
}

/* The earliest moment that the rate allows, and the one that the gap does. */
static uint64_t next_by_rate_ns(const struct lane_limits *limits, const struct lane_state *s)
{
	return limits->interval_ns > 0
	               ? less(s->full_ns, times(limits->interval_ns, limits->burst - 1))
	               : 0;
}

static uint64_t next_by_gap_ns(const struct lane_limits *limits, const struct lane_state *s)
{
	return limits->gap_ns > 0 && s->started_ns > 0 ? clock_after(s->started_ns, limits->gap_ns)
	                                               : 0;
}

static uint64_t next_start_ns(const struct lane_limits *limits, const struct lane_state *s)
{
	return max(next_by_rate_ns(limits, s), next_by_gap_ns(limits, s));
}

struct lane_obstacle lane_look(const struct lane_limits *limits, const struct lane_state *s,
                               uint64_t running, uint64_t now_ns)
{
	struct lane_obstacle stop = look_for_stop(limits, s, now_ns);
	if (stop.why != WAIT_WORKER)
		return stop;

	if (running > 0 && is_half_open(limits, s, running, now_ns))
		return (struct lane_obstacle){ WAIT_BREAKER, NEVER }; /* a probe is under way */
	if (limits->concurrency > 0 && running >= limits->concurrency)
		return (struct lane_obstacle){ WAIT_CONCURRENCY, NEVER };

	uint64_t next_ns = next_start_ns(limits, s);
	if (now_ns < next_ns)
		return (struct lane_obstacle){ WAIT_RATE, next_ns };
	return (struct lane_obstacle){ WAIT_WORKER, 0 };
}

/* --- room ---------------------------------------------------------------------------------- */

/* How many may wait for the places that become free next. */
static uint64_t ahead(const struct lane_limits *limits) { return max(2, limits->concurrency / 2); }

/* How many starts could come from now until 'end_ns', each as early as it may. */
static uint64_t starts_until(const struct lane_limits *limits, const struct lane_state *s,
                             uint64_t now_ns, uint64_t end_ns)
{
	uint64_t starts = UINT64_MAX, interval = limits->interval_ns, burst = limits->burst;
	uint64_t full_ns = max(s->full_ns, now_ns), gap_ns = max(next_by_gap_ns(limits, s), now_ns);

	if (interval > 0 && full_ns <= end_ns)
		starts = plus(burst, (end_ns - full_ns) / interval);
	else if (interval > 0)
		starts = less(burst, (full_ns - end_ns - 1) / interval + 1);
	if (limits->gap_ns > 0)
		starts = min(starts, gap_ns <= end_ns ? (end_ns - gap_ns) / limits->gap_ns + 1 : 0);
	return starts;
}

/* How many places are left. */
static uint64_t places(const struct lane_limits *limits, const struct lane_state *s,
                       uint64_t running, uint64_t queued, uint64_t now_ns)
{
	uint64_t used = plus(running, queued);

	if (is_half_open(limits, s, running, now_ns))
		return less(1, used);
	if (limits->concurrency > 0)
		return less(plus(limits->concurrency, ahead(limits)), used);
	return UINT64_MAX;
}

/* Fewer than may run do if there are not workers enough: then nothing but its turn is awaited. */
static enum wait_reason why_full(const struct lane_limits *limits, const struct lane_state *s,
                                 uint64_t running, uint64_t now_ns)
{
	if (is_half_open(limits, s, running, now_ns))
		return WAIT_BREAKER;
	return running >= limits->concurrency ? WAIT_CONCURRENCY : WAIT_QUEUE;
}

size_t lane_room(const struct lane_limits *limits, const struct lane_state *s, uint64_t running,
                 uint64_t queued, uint64_t now_ns, struct lane_obstacle *ret)
{
	*ret = look_for_stop(limits, s, now_ns);
	if (ret->why != WAIT_WORKER)
		return 0;

	uint64_t by_places = places(limits, s, running, queued, now_ns);
	if (by_places == 0) {
		*ret = (struct lane_obstacle){ why_full(limits, s, running, now_ns), NEVER };
		return 0;
	}

	uint64_t starts = starts_until(limits, s, now_ns, clock_after(now_ns, NS_PER_S));
	if (starts <= queued) {
		*ret = (struct lane_obstacle){ WAIT_RATE,
			                       queued > 0 ? NEVER
			                                  : next_start_ns(limits, s) - NS_PER_S };
		return 0;
	}
	return (size_t) min(SIZE_MAX, min(by_places, starts - queued));
}

bool lane_is_low(const struct lane_limits *limits, uint64_t queued)
{
	uint64_t full = limits->concurrency > 0 ? ahead(limits) : UINT64_MAX;

	if (limits->interval_ns > 0)
		full = min(full, NS_PER_S / limits->interval_ns);
	if (limits->gap_ns > 0)
		full = min(full, NS_PER_S / limits->gap_ns);
	return queued <= full / 2;
}

/* --- what happens -------------------------------------------------------------------------- */

void lane_start(const struct lane_limits *limits, struct lane_state *s, uint64_t now_ns)
{
	if (limits->interval_ns > 0)
		s->full_ns = clock_after(max(s->full_ns, now_ns), limits->interval_ns);
	s->started_ns = now_ns;
	if (s->failures > 0 && limits->breaker > 0 && now_ns >= remembered_ns(limits, s))
		lane_answered(s); /* as good as that */
}

void lane_answered(struct lane_state *s)
{
	s->failures = 0;
	s->trips = 0;
	s->open_until_ns = 0;
}

/* The pause of this trip: the first one, doubled each time. */
static uint64_t breaker_pause_ns(const struct lane_limits *limits, unsigned trip)
{
	uint64_t pause_ns = limits->breaker_pause_ns;

	for (; trip > 1 && pause_ns > 0 && pause_ns < limits->breaker_max_ns; trip--)
		pause_ns = plus(pause_ns, pause_ns);
	return min(pause_ns, limits->breaker_max_ns);
}

bool lane_failed(const struct lane_limits *limits, struct lane_state *s, uint64_t now_ns)
{
	if (s->failures < UINT_MAX)
		s->failures++;
	s->failed_ns = now_ns;
	if (limits->breaker == 0 || s->failures < limits->breaker || is_open(limits, s, now_ns))
		return false;

	if (s->trips < UINT_MAX)
		s->trips++;
	s->open_until_ns = clock_after(now_ns, breaker_pause_ns(limits, s->trips));
	return true;
}

void lane_unstart(const struct lane_limits *limits, struct lane_state *s, bool latest)
{
	if (limits->interval_ns == 0)
		return;

	uint64_t without_ns = less(s->full_ns, limits->interval_ns);
	uint64_t least_ns = latest ? 0 : clock_after(s->started_ns, limits->interval_ns);
	s->full_ns = min(s->full_ns, max(without_ns, least_ns));
}

void lane_cool(struct lane_state *s, uint64_t until_ns)
{
	s->cool_until_ns = max(s->cool_until_ns, until_ns);
}

bool lane_resume(const struct lane_limits *limits, struct lane_state *s, uint64_t now_ns)
{
	bool stopped = look_for_stop(limits, s, now_ns).why != WAIT_WORKER;

	s->paused = false;
	s->cool_until_ns = 0;
	s->open_until_ns = min(s->open_until_ns, now_ns);
	return stopped;
}

void lane_adopt(const struct lane_limits *limits, struct lane_state *s, uint64_t now_ns)
{
	uint64_t empty_ns = clock_after(now_ns, times(limits->interval_ns, limits->burst));

	s->full_ns = min(s->full_ns, empty_ns);
}

uint64_t lane_forget_ns(const struct lane_limits *limits, const struct lane_state *s)
{
	if (s->paused)
		return NEVER;

	uint64_t at_ns = max(s->cool_until_ns, next_by_gap_ns(limits, s));
	if (limits->interval_ns > 0)
		at_ns = max(at_ns, s->full_ns);
	if (limits->breaker > 0)
		at_ns = max(at_ns, s->open_until_ns);
	return max(at_ns, remembered_ns(limits, s));
}
