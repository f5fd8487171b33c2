/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ledger.h"

#include "base/sync.h"

#include <errno.h>
#include <stdlib.h>

struct ledger {
	struct mutex lock;
	struct cond booked; /* jobs[from] >= n of some ledger_move() */
	struct ledger_balance balance GUARDED_BY(lock);
};

int ledger_create(const struct ledger_balance *start, struct ledger **ret_ledger)
{
	struct ledger *l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct ledger) { .balance = *start };

	int r = mutex_init(&l->lock);
	if (r < 0)
		goto free_ledger;
	r = cond_init(&l->booked);
	if (r < 0)
		goto destroy_lock;

	*ret_ledger = l;
	return 0;

destroy_lock:
	mutex_destroy(&l->lock);
free_ledger:
	free(l);
	return r;
}

struct ledger *ledger_free(struct ledger *l)
{
	if (l) {
		cond_destroy(&l->booked);
		mutex_destroy(&l->lock);
		free(l);
	}
	return NULL;
}

void ledger_accept(struct ledger *l, size_t n)
{
	mutex_lock(&l->lock);
	l->balance.accepted += n;
	l->balance.jobs[LEDGER_WAITING] += n;
	cond_broadcast(&l->booked);
	mutex_unlock(&l->lock);
}

void ledger_move(struct ledger *l, enum ledger_account from, enum ledger_account to, size_t n)
{
	if (n == 0)
		return;

	mutex_lock(&l->lock);
	while (l->balance.jobs[from] < n)
		(void) cond_wait(&l->booked, &l->lock, NEVER);
	l->balance.jobs[from] -= n;
	l->balance.jobs[to] += n;
	cond_broadcast(&l->booked);
	mutex_unlock(&l->lock);
}

void ledger_balance(struct ledger *l, struct ledger_balance *ret_balance)
{
	mutex_lock(&l->lock);
	*ret_balance = l->balance;
	mutex_unlock(&l->lock);
}
