/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fetcher keeps to, beside the request: which addresses it may connect to, and how
 * each origin is spoken to.  Immutable; a change of settings makes new rules, and connections
 * that were made by others are not used again.  References are counted, from any thread.
 */
#ifndef PENSTOCK_FETCH_RULES_H
#define PENSTOCK_FETCH_RULES_H

#include "base/attr.h"
#include "base/buf.h"
#include "fetch/guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fetch_tls { FETCH_TLS_1_0, FETCH_TLS_1_1, FETCH_TLS_1_2, FETCH_TLS_1_3 };

/* How the origins that 'match' fits, as url_match_origin() has it, are spoken to. */
struct fetch_profile {
	const char *match;
	bool insecure;   /* certificates are not checked */
	enum fetch_tls tls_min;

	/* Who vouches for certificates; NULL: the system's authorities.  A reference. */
	struct x509_store_st *authorities;

	/* PEM that pem_check_identity() has found good; NULL for none. */
	const char *client_cert, *client_key;

	/* Through whom; NULL: nobody.  As in struct url_origin. */
	const char *proxy, *proxy_host;
	uint16_t proxy_port;
	const char *proxy_login; /* "user:password"; NULL for none */

	/* The proxy finds the host's addresses, and we do not know them; otherwise it is asked
	 * for a tunnel to one of those that we have found. */
	bool proxy_resolves;

	/* What every request has unless it came by a redirect from another origin: at most one
	 * of "user:password" and a token. */
	const char *login;
	const char *bearer;
};

struct fetch_rules_options {
	const struct fetch_profile *profiles; /* the first that fits holds; copied */
	size_t n_profiles;
	struct guard_list deny, allow; /* of the guard; copied */
	const char *const *codings; /* of bodies that are asked for, and decoded: decoder_create() */
	size_t n_codings;
	const char *const *headers; /* names of the fields that a response keeps; "*": all; copied */
	size_t n_headers;
};

struct fetch_rules;

/* Makes rules with one reference.  Returns 0, -ENOMEM, or -EINVAL if a list is none for
 * guard_create(). */
NODISCARD NONNULL(1, 2)
int fetch_rules_create(const struct fetch_rules_options *options, struct fetch_rules **ret_rules);

/* Returns 'rules'. */
NONNULL(1) struct fetch_rules *fetch_rules_ref(struct fetch_rules *rules);

/* What 'rules' own is overwritten before it is freed, secrets being among it.  Ignores NULL,
 * returns NULL. */
struct fetch_rules *fetch_rules_unref(struct fetch_rules *rules);

/* The profile of an origin ("https://host:443"), which lives as long as the rules; one with
 * the defaults if none fits. */
NONNULL(1, 2)
const struct fetch_profile *fetch_rules_profile(const struct fetch_rules *rules,
                                                const char *origin);

/* Which addresses may be connected to; lives as long as the rules. */
NONNULL(1) const struct guard *fetch_rules_guard(const struct fetch_rules *rules);

/* The Accept-Encoding of a request; NULL: none. */
NONNULL(1) const char *fetch_rules_accept(const struct fetch_rules *rules);

/* Whether the coding, of 'n' characters, was asked for there. */
NONNULL(1, 2)
bool fetch_rules_take_coding(const struct fetch_rules *rules, const char *coding, size_t n);

/* Whether a response keeps any header fields, and whether that of this name. */
NONNULL(1) bool fetch_rules_keep_headers(const struct fetch_rules *rules);
NONNULL(1, 2) bool fetch_rules_keep_header(const struct fetch_rules *rules, const char *name);

/* How many profiles have certificates unchecked. */
NONNULL(1) size_t fetch_rules_insecure(const struct fetch_rules *rules);

/* Whether any profile has a proxy. */
NONNULL(1) bool fetch_rules_have_proxy(const struct fetch_rules *rules);

#endif
