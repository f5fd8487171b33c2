/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/rules.h"

#include "job/url.h"

#include <errno.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct fetch_rules {
	atomic_uint references;
	struct guard *guard;
	struct buf accept; /* "Accept-Encoding: gzip, br", NUL-terminated; empty for none */
	char **headers; /* n_headers, owned */
	size_t n_headers;
	bool have_proxy;
	size_t n_insecure;
	size_t n;
	struct fetch_profile profiles[];
};

/* Where the strings of a profile stand; each is NULL or owned. */
static const size_t strings[] = {
	offsetof(struct fetch_profile, match),
	offsetof(struct fetch_profile, client_cert),
	offsetof(struct fetch_profile, client_key),
	offsetof(struct fetch_profile, proxy),
	offsetof(struct fetch_profile, proxy_host),
	offsetof(struct fetch_profile, proxy_login),
	offsetof(struct fetch_profile, login),
	offsetof(struct fetch_profile, bearer),
};

static char **string_of(struct fetch_profile *p, size_t i)
{
	return (char **) (void *) ((char *) p + strings[i]);
}

static int copy(struct fetch_profile *to, const struct fetch_profile *from)
{
	int r = 0;

	*to = *from;
	if (to->authorities)
		(void) X509_STORE_up_ref(to->authorities);
	for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
		char **text = string_of(to, i);
		if (*text && !(*text = strdup(*text)))
			r = -ENOMEM;
	}
	return r;
}

static void done(struct fetch_profile *p)
{
	for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
		char *text = *string_of(p, i);
		if (text)
			explicit_bzero(text, strlen(text));
		free(text);
	}
	X509_STORE_free(p->authorities);
}

static int write_accept(struct fetch_rules *rules, const struct fetch_rules_options *options)
{
	for (size_t i = 0; i < options->n_codings; i++)
		buf_printf(&rules->accept, "%s%s", i == 0 ? "Accept-Encoding: " : ", ",
		           options->codings[i]);
	if (options->n_codings > 0)
		buf_add_char(&rules->accept, '\0');
	return rules->accept.failed ? -ENOMEM : 0;
}

static int copy_headers(struct fetch_rules *rules, const struct fetch_rules_options *options)
{
	if (options->n_headers == 0)
		return 0;
	rules->headers = calloc(options->n_headers, sizeof(*rules->headers));
	if (!rules->headers)
		return -ENOMEM;
	for (; rules->n_headers < options->n_headers; rules->n_headers++) {
		rules->headers[rules->n_headers] = strdup(options->headers[rules->n_headers]);
		if (!rules->headers[rules->n_headers])
			return -ENOMEM;
	}
	return 0;
}

int fetch_rules_create(const struct fetch_rules_options *options, struct fetch_rules **ret_rules)
{
	size_t size = sizeof(struct fetch_rules) + options->n_profiles * sizeof(struct fetch_profile);
	struct fetch_rules *rules = calloc(1, size);

	if (!rules)
		return -ENOMEM;
	atomic_init(&rules->references, 1);
	int r = guard_create(&options->deny, &options->allow, &rules->guard);
	if (r == 0)
		r = write_accept(rules, options);
	if (r == 0)
		r = copy_headers(rules, options);
	while (r == 0 && rules->n < options->n_profiles) {
		r = copy(&rules->profiles[rules->n], &options->profiles[rules->n]);
		rules->n_insecure += rules->profiles[rules->n].insecure;
		rules->have_proxy = rules->have_proxy || rules->profiles[rules->n].proxy;
		rules->n++;
	}
	if (r < 0) {
		fetch_rules_unref(rules);
		return r;
	}
	*ret_rules = rules;
	return 0;
}

struct fetch_rules *fetch_rules_ref(struct fetch_rules *rules)
{
	(void) atomic_fetch_add_explicit(&rules->references, 1, memory_order_relaxed);
	return rules;
}

struct fetch_rules *fetch_rules_unref(struct fetch_rules *rules)
{
	if (!rules || atomic_fetch_sub_explicit(&rules->references, 1, memory_order_acq_rel) > 1)
		return NULL;

	for (size_t i = 0; i < rules->n; i++)
		done(&rules->profiles[i]);
	guard_free(rules->guard);
	for (size_t i = 0; i < rules->n_headers; i++)
		free(rules->headers[i]);
	free(rules->headers);
	buf_done(&rules->accept);
	free(rules);
	return NULL;
}

const struct fetch_profile *fetch_rules_profile(const struct fetch_rules *rules,
                                                const char *origin)
{
	static const struct fetch_profile usual = { .match = "*", .tls_min = FETCH_TLS_1_2 };

	for (size_t i = 0; i < rules->n; i++)
		if (url_match_origin(rules->profiles[i].match, origin))
			return &rules->profiles[i];
	return &usual;
}

const struct guard *fetch_rules_guard(const struct fetch_rules *rules) { return rules->guard; }

const char *fetch_rules_accept(const struct fetch_rules *rules) { return rules->accept.data; }

bool fetch_rules_take_coding(const struct fetch_rules *rules, const char *coding, size_t n)
{
	if (n > 2 && strncasecmp(coding, "x-", 2) == 0) { /* as in "x-gzip": RFC 9110, 8.4.1.3 */
		coding += 2;
		n -= 2;
	}
	const char *at = rules->accept.data ? strchr(rules->accept.data, ':') + 1 : "";
	while (*(at += strspn(at, ", ")) != '\0') {
		size_t len = strcspn(at, ", ");
		if (len == n && strncasecmp(at, coding, n) == 0)
			return true;
		at += len;
	}
	return false;
}

bool fetch_rules_keep_headers(const struct fetch_rules *rules) { return rules->n_headers > 0; }

bool fetch_rules_keep_header(const struct fetch_rules *rules, const char *name)
{
	for (size_t i = 0; i < rules->n_headers; i++)
		if (strcmp(rules->headers[i], "*") == 0 || strcasecmp(rules->headers[i], name) == 0)
			return true;
	return false;
}

size_t fetch_rules_insecure(const struct fetch_rules *rules) { return rules->n_insecure; }

bool fetch_rules_have_proxy(const struct fetch_rules *rules) { return rules->have_proxy; }
