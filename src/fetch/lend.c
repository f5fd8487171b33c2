/* SPDX-License-Identifier: Apache-2.0 */
/* Who connects for a hop: names, addresses, handles. */
#include "fetch/transfer.h"

#include <errno.h>
#include <string.h>

static struct fetch_rules *current_rules(struct fetcher *f)
{
	mutex_lock(&f->lock);
	struct fetch_rules *rules = fetch_rules_ref(f->rules);
	mutex_unlock(&f->lock);
	return rules;
}

/* Who is connected to for the hop. */
struct way {
	struct fetch_rules *rules;
	const struct fetch_profile *proxied; /* the profile of the hop's origin; NULL: no proxy */
	struct addresses *host;  /* of the hop's; NULL: an address itself, or found by the proxy */
	struct addresses *proxy; /* NULL: none, or an address itself */
};

/* Whether the proxy finds the address of the host, and says whether it may be asked. */
static bool is_proxys_affair(const struct way *way)
{
	return way->proxied && way->proxied->proxy_resolves;
}

/* Whether an idle handle may be used: its connection is good, was made by today's rules, and
 * still goes to an address of its host. */
static bool is_good(const struct handle *h, const struct way *way)
{
	const struct addresses *peer = way->proxied ? way->proxy : way->host;

	return h->rules == way->rules && handle_is_quiet(h) &&
	       (!peer || addresses_include(peer, h->remote_ip)) &&
	       (!h->tunnel || addresses_include(way->host, h->tunnel_ip));
}

/* The address that a proxy is asked for, which may well have no IPv6. */
static const char *tunnel_end(const struct addresses *addresses)
{
	for (size_t i = 0; i < addresses->n; i++)
		if (!strchr(addresses->text[i], ':'))
			return addresses->text[i];
	return addresses->text[0];
}

static struct handle *take_idle(struct transfer *t, const struct way *way)
{
	struct handle *h;

	while ((h = pool_take(t->f->pool, t->hop.origin.text)) && !is_good(h, way))
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
		return transfer_fail_lookup(t, r, "", why);
	t->response->namelookup_us = transfer_elapsed_us(t);
	return 0;
}

/* Refuses the hop's host, if it is an address, or keeps of the addresses 'found' those that may
 * be connected to: a reference, or NULL again.  Returns 0 or as fetch() does. */
static int admit(struct transfer *t, const struct fetch_rules *rules, struct addresses *found,
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
static int make(struct transfer *t, const struct way *way, struct handle **ret_handle)
{
	struct addresses *allowed = NULL;
	struct handle *h = NULL;

	int r = is_proxys_affair(way) ? 0 : admit(t, way->rules, way->host, &allowed);
	if (r < 0)
		return r;
	r = handle_create(&t->f->handle_options, way->rules, &t->hop.origin,
	                  way->proxied ? way->proxy : allowed, &h);
	if (r == 0 && way->proxied && allowed)
		r = handle_tunnel_to(h, tunnel_end(allowed));
	addresses_unref(allowed);
	if (r < 0) {
		handle_free(h);
		return transfer_fail_memory(t);
	}
	*ret_handle = h;
	return 0;
}

static int find_proxy(struct transfer *t, struct way *way)
{
	const char *why = NULL;

	if (!way->proxied || ip_parse(way->proxied->proxy_host, &(struct ip) { 0 }))
		return 0;
	int r = resolver_lookup(t->f->resolver, way->proxied->proxy_host, t->deadline_ns,
	                        &way->proxy, &why);
	return r < 0 ? transfer_fail_lookup(t, r, "proxy: ", why) : 0;
}

int transfer_lend(struct transfer *t, struct handle **ret_handle)
{
	struct way way = { .rules = current_rules(t->f) };

	if (fetch_rules_have_proxy(way.rules))
		way.proxied = fetch_rules_profile(way.rules, t->hop.origin.text);
	if (way.proxied && !way.proxied->proxy)
		way.proxied = NULL;
	int r = is_proxys_affair(&way) ? 0 : transfer_resolve(t, &way.host);
	if (r == 0)
		r = find_proxy(t, &way);
	if (r == 0 && !(*ret_handle = take_idle(t, &way)))
		r = make(t, &way, ret_handle);
	addresses_unref(way.host);
	addresses_unref(way.proxy);
	fetch_rules_unref(way.rules);
	return r;
}

void transfer_give_back(struct transfer *t, struct handle *h, bool healthy)
{
	struct fetcher *f = t->f;
	bool is_large = t->head.bytes + t->response->request_bytes > HANDLE_KEEPS_BYTES;

	if (!healthy || *h->remote_ip == '\0' ||
	    ((h->needs_reset || is_large) && handle_reset(h, &f->handle_options, is_large) < 0)) {
		handle_free(h);
		return;
	}
	pool_give(f->pool, h);
}
