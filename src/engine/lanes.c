/* SPDX-License-Identifier: Apache-2.0 */
/* The queue's lanes, for those who ask. */
#include "engine/parts.h"

#include "base/clock.h"

void engine_lane(struct engine *e, const char *origin, struct queue_lane *ret_lane)
{
	queue_lane(e->queue, origin, ret_lane);
}

size_t engine_list_lanes(struct engine *e, struct queue_lane *lanes, size_t max,
                         struct buf *names, size_t *ret_all)
{
	return queue_list(e->queue, lanes, max, names, ret_all);
}

void engine_lane_adopt(struct queue_lane *lane, const struct lane_rest *rest)
{
	if (lane->obstacle.why == WAIT_WORKER && rest->until_ns > clock_now_ns())
		lane->obstacle = (struct lane_obstacle) { rest->why, rest->until_ns };
}
