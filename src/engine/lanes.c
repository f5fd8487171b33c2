/* SPDX-License-Identifier: Apache-2.0 */
/* The queue's lanes, for those who ask. */
#include "engine/parts.h"

void engine_lane(struct engine *e, const char *origin, struct queue_lane *ret_lane)
{
	queue_lane(e->queue, origin, ret_lane);
}

size_t engine_list_lanes(struct engine *e, struct queue_lane *lanes, size_t max,
                         struct buf *names, size_t *ret_all)
{
	return queue_list(e->queue, lanes, max, names, ret_all);
}

/* A probe is one fetch, so what is in the way of others looks like a limit of fetches. */
static bool is_probed(const struct queue_lane *lane)
{
	const struct lane_limits *limits = &lane->limits;

	return lane->obstacle.why == WAIT_CONCURRENCY && limits->breaker > 0 &&
	       lane->failures >= limits->breaker &&
	       (limits->concurrency == 0 || lane->running < limits->concurrency);
}

enum wait_reason engine_lane_state(const struct queue_lane *lane)
{
	return is_probed(lane) ? WAIT_BREAKER : lane->obstacle.why;
}
