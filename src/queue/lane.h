/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the jobs of one origin may start: its limits, and what it has done lately.  Only
 * arithmetic on times that are given: no clock, no lock, no memory.
 *
 * The rate is a token bucket kept as one time (GCRA, ITU-T I.371): 'full_ns' is when the
 * bucket will be full again; a start moves it on by the interval, and may come as long as it
 * is no more than burst - 1 intervals ahead.
 *
 * The breaker:
 *
 *     closed ──failures in a row──► open ──its pause is over──► half open: one probe
 *       ▲                            ▲                              │          │
 *       └────────── an answer ───────┼──────────────────────────────┘          │
 *                                    └── a failure: twice the pause ◄──────────┘
 */
#ifndef PENSTOCK_QUEUE_LANE_H
#define PENSTOCK_QUEUE_LANE_H

#include "base/attr.h"
#include "job/wait.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lane_limits {
	uint64_t concurrency;      /* fetches at the same time; 0: as many as there are workers */
	uint64_t interval_ns;      /* from one start to the next on average; 0: no rate */
	uint64_t burst;            /* starts that may come at once; >= 1 */
	uint64_t gap_ns;           /* from one start to the next at least */
	uint64_t breaker;          /* transport failures in a row that open it; 0: never */
	uint64_t breaker_pause_ns; /* the first pause… */
	uint64_t breaker_max_ns;   /* …doubles up to this */
};

/* The limits of the origins that 'match' fits, as url_match_origin() has it. */
struct lane_rule {
	const char *match;
	struct lane_limits limits;
};

/* The limits of the first rule that fits; no limits at all if none does.  They live as long as
 * the rules. */
NODISCARD NONNULL(3)
const struct lane_limits *lane_find_limits(const struct lane_rule *rules, size_t n,
                                           const char *origin);

/* What a lane keeps; zero-initialised is an origin that nothing is known of. */
struct lane_state {
	uint64_t full_ns;       /* the token bucket; see above */
	uint64_t started_ns;    /* the last start; 0: none */
	uint64_t cool_until_ns; /* Retry-After */
	uint64_t open_until_ns; /* the breaker's pause */
	uint64_t failed_ns;     /* the last failure; see lane_forget_ns() */
	unsigned failures;      /* in a row */
	unsigned trips;         /* of the breaker, since the last answer */
	bool paused;
};

/* What stands in the way of another start. */
struct lane_obstacle {
	enum wait_reason why; /* WAIT_WORKER: nothing does */
	uint64_t until_ns;    /* WAIT_RETRY_AFTER, WAIT_BREAKER, WAIT_RATE: when it is gone.  NEVER: a
	                       * fetch has to end first (a probe's, of WAIT_BREAKER), or the lane to
	                       * be resumed */
};

/* Looks for it, with 'running' fetches under way at 'now_ns'. */
NONNULL(1, 2)
struct lane_obstacle lane_look(const struct lane_limits *limits, const struct lane_state *s,
                               uint64_t running, uint64_t now_ns);

/*
 * How many jobs may be queued beside the 'queued' that are, so that workers find some, and no
 * more wait in the queue than soon start: what concurrency has left and a few more, at a rate
 * the starts of the next second, a single probe while half open.  If 0, '*ret' says why
 * (WAIT_QUEUE: enough are queued, and nothing stops them but that all workers are busy) and
 * when to ask again: NEVER means after a start or an end of this lane, or when it is resumed.
 */
NODISCARD NONNULL(1, 2, 6)
size_t lane_room(const struct lane_limits *limits, const struct lane_state *s, uint64_t running,
                 uint64_t queued, uint64_t now_ns, struct lane_obstacle *ret);

/* Whether so few are queued that a lane which was full is worth filling again. */
NODISCARD NONNULL(1) bool lane_is_low(const struct lane_limits *limits, uint64_t queued);

/* Whether anything here depends on the time; if not, any 'now_ns' will do for lane_look(),
 * lane_room() and lane_start(). */
NODISCARD NONNULL(1, 2)
static inline bool lane_is_timed(const struct lane_limits *limits, const struct lane_state *s)
{
	return limits->interval_ns > 0 || limits->gap_ns > 0 || s->cool_until_ns > 0 ||
	       (s->failures > 0 && limits->breaker > 0);
}

/* A fetch starts, which lane_look() had nothing against. */
NONNULL(1, 2)
void lane_start(const struct lane_limits *limits, struct lane_state *s, uint64_t now_ns);

/* A fetch has ended: with an answer, whatever its status, or by a failure of the transport
 * that opens the breaker if it is one too many (returns true then); or it was not really
 * made, which gives its start back to the rate, though not to the gap.  If it was not the
 * 'latest' start, the ones after it have used up some of that. */
NONNULL(1) void lane_answered(struct lane_state *s);
NONNULL(1, 2)
bool lane_failed(const struct lane_limits *limits, struct lane_state *s, uint64_t now_ns);
NONNULL(1, 2)
void lane_unstart(const struct lane_limits *limits, struct lane_state *s, bool latest);

/* No start before 'until_ns'; a longer pause stays. */
NONNULL(1) void lane_cool(struct lane_state *s, uint64_t until_ns);

/* Ends its pause, its Retry-After, and its breaker's pause, so that a probe may come.  Returns
 * whether there was any. */
NONNULL(1, 2)
bool lane_resume(const struct lane_limits *limits, struct lane_state *s, uint64_t now_ns);

/* Other limits are in force: a bucket that is emptier than they allow is just empty. */
NONNULL(1, 2)
void lane_adopt(const struct lane_limits *limits, struct lane_state *s, uint64_t now_ns);

/* From when on the state is as if nothing were known of the origin (0: it is now); NEVER if
 * paused.  Failures are remembered for the breaker's longest pause after the last one, or
 * after the pause that it led to, and as long as a fetch is under way. */
NODISCARD NONNULL(1, 2)
uint64_t lane_forget_ns(const struct lane_limits *limits, const struct lane_state *s);

#endif
