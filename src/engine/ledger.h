/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where every accepted job is:
 *
 *     accepted = waiting + queued + running + done + dead + cancelled
 *
 * at every moment, because each call moves jobs from one account to another.
 * 'waiting' is the backlog, delayed jobs included; 'queued' is what was handed to
 * the queue; 'running' lasts until the job is settled.  Safe from any thread.
 */
#ifndef PENSTOCK_ENGINE_LEDGER_H
#define PENSTOCK_ENGINE_LEDGER_H

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

enum ledger_account {
	LEDGER_WAITING,
	LEDGER_QUEUED,
	LEDGER_RUNNING,
	LEDGER_DONE,
	LEDGER_DEAD,
	LEDGER_CANCELLED,
	LEDGER_ACCOUNTS,
};

struct ledger;

struct ledger_balance {
	uint64_t accepted;
	uint64_t jobs[LEDGER_ACCOUNTS];
};

/* Opens the books with what stands in a durable backlog.  Returns 0 or -ENOMEM.  Free with
 * ledger_free(). */
NODISCARD NONNULL(1, 2)
int ledger_create(const struct ledger_balance *start, struct ledger **ret_ledger);
struct ledger *ledger_free(struct ledger *l);

/* Books 'n' jobs as accepted and waiting. */
NONNULL(1) void ledger_accept(struct ledger *l, size_t n);

/*
 * Moves 'n' jobs.  A job may come to the feeder a moment before the thread that
 * submitted or settled it has booked it; the move then waits for that.
 */
NONNULL(1)
void ledger_move(struct ledger *l, enum ledger_account from, enum ledger_account to, size_t n);

NONNULL(1, 2) void ledger_balance(struct ledger *l, struct ledger_balance *ret_balance);

#endif
