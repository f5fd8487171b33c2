/* SPDX-License-Identifier: Apache-2.0 */
/* Who connects for a hop: names, addresses, handles. */
#include "fetch/transfer.h"

#include <errno.h>

static struct fetch_rules *current_rules(struct fetcher *f)
{
	mutex_lock(&f->lock);
	struct fetch_rules *rules = fetch_rules_ref(f->rules);
	mutex_unlock(&f->lock);
	return rules;
}

/* Whether an idle handle may be used: its connection is good, was made by today's rules, and
 * still goes to one of 'addresses'. */
static bool is_good(const struct handle *h, const struct fetch_rules *rules,
                    const struct addresses *addresses)
{
	return h->rules == rules && handle_is_quiet(h) &&
	       (!addresses || addresses_include(addresses, h->remote_ip));
}

static struct handle *take_idle(struct transfer *t, const struct fetch_rules *rules,
                                const struct addresses *addresses)
{
	struct pool *pool = t->f->pool;
	struct handle *h;

	while ((h = pool_take(pool, t->hop.origin.text)) && !is_good(h, rules, addresses))
		handle_free(h);
	return h;
}

int transfer_resolve(struct transfer *t, struct addresses **ret_found)
{
	const char *why = NULL;

	*ret_found = NULL;
	if (ip_parse(t->hop.origin.host, &(struct ip) { 0 }))
		return 0;
	int r = resolver_lookup(t->f->resolver, t->hop.origin.host, t->deadline_ns, ret_found, &why);
	if (r < 0)
		return transfer_fail_lookup(t, r, why);
	t->response->namelookup_us = transfer_elapsed_us(t);
	return 0;
}

int transfer_admit(struct transfer *t, const struct fetch_rules *rules, struct addresses *found,
                   struct addresses **ret_allowed)
{
	const struct guard *guard = fetch_rules_guard(rules);
	struct guard_refusal refusal;
	struct ip ip;
	int r = 0;

	*ret_allowed = NULL;
	if (found)
		r = guard_filter(guard, found, ret_allowed, &refusal);
	else if (ip_parse(t->hop.origin.host, &ip))
		r = guard_check(guard, &ip, &refusal);
	if (r == -EACCES)
		return transfer_fail_refused(t, &refusal);
	return r < 0 ? transfer_fail_memory(t) : 0;
}

/* What the guard allows is looked at only where a connection will be made: an idle handle has
 * one that the same rules have allowed. */
static int make(struct transfer *t, struct fetch_rules *rules, struct addresses *found,
                struct handle **ret_handle)
{
	struct addresses *allowed = NULL;

	int r = transfer_admit(t, rules, found, &allowed);
	if (r == 0 && handle_create(&t->f->handle_options, rules, &t->hop.origin, allowed,
	                            ret_handle) < 0)
		r = transfer_fail_memory(t);
	addresses_unref(allowed);
	return r;
}

int transfer_lend(struct transfer *t, struct handle **ret_handle)
{
	struct addresses *found = NULL;

	int r = transfer_resolve(t, &found);
	if (r < 0)
		return r;
	struct fetch_rules *rules = current_rules(t->f);
	*ret_handle = take_idle(t, rules, found);
	if (!*ret_handle)
		r = make(t, rules, found, ret_handle);
	fetch_rules_unref(rules);
	addresses_unref(found);
	return r;
}

void transfer_give_back(struct transfer *t, struct handle *h, bool healthy)
{
	struct fetcher *f = t->f;

	if (!healthy || *h->remote_ip == '\0' ||
	    (h->modified && handle_reset(h, &f->handle_options) < 0)) {
		handle_free(h);
		return;
	}
	pool_give(f->pool, h);
}
