/* SPDX-License-Identifier: Apache-2.0 */
/* Who connects for a hop: names, addresses, handles. */
#include "fetch/transfer.h"

#include <arpa/inet.h>
#include <errno.h>

static bool is_address(const char *host)
{
	struct in_addr v4;
	return *host == '[' || inet_pton(AF_INET, host, &v4) == 1;
}

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

/* Takes a good idle handle, or makes a new one. */
static int lend(struct transfer *t, const struct addresses *addresses, struct handle **ret_handle)
{
	struct fetcher *f = t->f;
	struct fetch_rules *rules = current_rules(f);
	struct handle *h;

	while ((h = pool_take(f->pool, t->hop.origin.text)) && !is_good(h, rules, addresses))
		handle_free(h);
	int r = h ? 0 : handle_create(&f->handle_options, rules, &t->hop.origin, addresses, &h);
	fetch_rules_unref(rules);
	*ret_handle = h;
	return r;
}

int transfer_lend(struct transfer *t, struct handle **ret_handle)
{
	struct addresses *addresses = NULL;
	const char *why = NULL;

	if (!is_address(t->hop.origin.host)) {
		int r = resolver_lookup(t->f->resolver, t->hop.origin.host, t->deadline_ns,
		                        &addresses, &why);
		if (r < 0)
			return transfer_fail_lookup(t, r, why);
		t->response->namelookup_us = transfer_elapsed_us(t);
	}

	int r = lend(t, addresses, ret_handle);
	addresses_unref(addresses);
	return r < 0 ? transfer_fail_memory(t) : 0;
}

void transfer_give_back(struct transfer *t, struct handle *h, bool healthy)
{
	struct fetcher *f = t->f;

	if (!healthy || *h->remote_ip == '\0' ||
	    ((h->modified || f->handle_options.serves_once) &&
	     handle_reset(h, &f->handle_options) < 0)) {
		handle_free(h);
		return;
	}
	pool_give(f->pool, h);
}
