/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/give_back.h"

#include <stdlib.h>

enum { BATCH = 64 };

void give_back(struct backlog *backlog, struct ledger *ledger, struct job_list *jobs)
{
	struct job_list last_first = { 0 };
	struct verdict verdicts[BATCH];

	/* Each goes before those that wait already. */
	for (struct job *job; (job = job_list_take(jobs));)
		job_list_prepend(&last_first, job);
	while (last_first.len > 0) {
		size_t n = 0;
		for (; n < BATCH && last_first.len > 0; n++)
			verdicts[n] = (struct verdict) { .job = job_list_take(&last_first),
				                         .kind = VERDICT_RETURN };
		ledger_move(ledger, LEDGER_QUEUED, LEDGER_WAITING, n);
		if (backlog_settle(backlog, verdicts, n) < 0)
			abort(); /* that needs nothing that can fail */
	}
}
