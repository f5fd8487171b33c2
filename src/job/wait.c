/* SPDX-License-Identifier: Apache-2.0 */
#include "job/wait.h"

const char *wait_reason_name(enum wait_reason reason)
{
	static const char *const names[WAIT_REASONS] = {
		[WAIT_NOT_BEFORE] = "not_before",
		[WAIT_RETRY] = "retry",
		[WAIT_NAMES] = "names",
		[WAIT_PAUSED] = "paused",
		[WAIT_RETRY_AFTER] = "retry_after",
		[WAIT_BREAKER] = "breaker",
		[WAIT_RATE] = "rate",
		[WAIT_CONCURRENCY] = "concurrency",
		[WAIT_QUEUE] = "queue",
		[WAIT_WORKER] = "worker",
		[WAIT_POISON] = "poison",
		[WAIT_BODIES] = "bodies",
	};
	return names[reason];
}
