/* SPDX-License-Identifier: Apache-2.0 */
/* How the settings have it fetched. */
#include "engine/parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "engine/profiles.h"
#include "engine/settings.h"
#include "fetch/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef int profiles_maker(const struct config_groups *origins,
                           struct fetch_profile **ret_profiles, struct buf *errors);

static int make_rules(const struct settings *s, profiles_maker *make_profiles,
                      struct fetch_rules **ret_rules, struct buf *errors)
{
	struct fetch_profile *profiles = NULL;

	int r = make_profiles(&s->origins, &profiles, errors);
	if (r < 0)
		return r;
	const struct fetch_rules_options options = {
		.profiles = profiles,
		.n_profiles = s->origins.n,
		.codings = s->fetch.encodings.items,
		.n_codings = s->fetch.encodings.n,
		.headers = s->results.headers.items,
		.n_headers = s->results.headers.n,
		.deny = { .entries = s->guard.deny.items, .n = s->guard.deny.n },
		.allow = { .entries = s->guard.allow.items, .n = s->guard.allow.n },
	};
	r = fetch_rules_create(&options, ret_rules);
	profiles_free(profiles, s->origins.n);
	return r;
}

int engine_make_rules(const struct settings *s, struct fetch_rules **ret_rules, struct buf *errors)
{
	return make_rules(s, profiles_make, ret_rules, errors);
}

bool engine_check_rules(const struct settings *s)
{
	struct fetch_rules *rules = NULL;
	struct buf errors = { 0 };

	int r = make_rules(s, profiles_check, &rules, &errors);
	if (r == -ENOMEM)
		log_error("out of memory");
	log_error_lines(errors.data, errors.len);
	buf_done(&errors);
	fetch_rules_unref(rules);
	return r == 0;
}

int engine_start_fetcher(struct engine *e, struct buf *errors)
{
	const struct settings *s = e->options.settings;
	struct buf servers = { 0 };
	struct fetch_rules *rules = NULL;

	int r = engine_make_rules(s, &rules, errors);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->fetch.dns_servers.n; i++)
		buf_printf(&servers, "%s%s", i > 0 ? "," : "", s->fetch.dns_servers.items[i]);
	buf_add_char(&servers, '\0');

	const struct fetch_options options = {
		.connect_timeout_ns = s->fetch.connect_timeout_ns,
		.user_agent = s->fetch.user_agent,
		.max_idle = s->fetch.idle_connections,
		.rules = rules,
		.body_dir = *s->fetch.body_dir != '\0' ? s->fetch.body_dir : NULL,
		.resolver = {
			.servers = servers.data,
			.max_waiters = (unsigned) (s->workers > 1 ? s->workers / 2 : 1),
			.max_cached = 4096 + s->workers,
			.min_ttl_ns = 1 * NS_PER_S,
			.max_ttl_ns = 300 * NS_PER_S,
			.failure_ttl_ns = 2 * NS_PER_S,
		},
	};
	r = servers.failed ? -ENOMEM : fetcher_create(&options, &e->fetcher);
	if (r == -EINVAL)
		buf_printf(errors, "fetch.dns_servers: %s: not a list of addresses\n", servers.data);
	if (r == -ENOENT || r == -ENOTDIR || r == -EACCES || r == -ELOOP) {
		buf_printf(errors, "fetch.body_dir: %s: %s\n", s->fetch.body_dir, strerror(-r));
		r = -EINVAL;
	}
	buf_done(&servers);
	fetch_rules_unref(rules);
	return r;
}
