/* SPDX-License-Identifier: Apache-2.0 */
/* One line about each attempt, for those who look into what goes on. */
#ifndef PENSTOCK_ENGINE_ATTEMPT_LOG_H
#define PENSTOCK_ENGINE_ATTEMPT_LOG_H

#include "base/attr.h"
#include "engine/retry.h"
#include "job/job.h"
#include "job/result.h"

#include <stdbool.h>

/* Logs at LOG_LEVEL_DEBUG how an attempt ended and what becomes of its job.  The URL is without
 * its query unless 'with_query'.  Costs nothing to speak of if such messages are not shown. */
NONNULL(1, 2, 3)
void attempt_log(const struct job *job, const struct response *response,
                 const struct judgement *judgement, bool with_query);

#endif
