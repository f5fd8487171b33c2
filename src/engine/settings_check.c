/* SPDX-License-Identifier: Apache-2.0 */
/* What the table of keys cannot say: how values must go together. */
#include "engine/settings.h"

#include "base/endpoint.h"
#include "engine/profiles.h"
#include "engine/retry.h"
#include "engine/settings_parts.h"
#include "fetch/decode.h"
#include "fetch/dns.h"
#include "fetch/guard.h"
#include "fetch/upload.h"
#include "job/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool settings_control_mode(const char *text, unsigned *ret_mode)
{
	char *end = NULL;
	unsigned long mode = strtoul(text, &end, 8);

	if (end == text || *end != '\0' || mode < 0600 || mode > 0777)
		return false;
	*ret_mode = (unsigned) mode;
	return true;
}

bool settings_is_default(const struct config *c, size_t i, const char *member)
{
	char path[64];

	(void) snprintf(path, sizeof(path), "origins[%zu].%s", i, member);
	return strcmp(config_origin_of(c, path), "default") == 0;
}

/* Appends where a member of origins[i] comes from, and its path. */
static void add_place(const struct config *c, size_t i, const char *member, struct buf *errors)
{
	char path[64];

	(void) snprintf(path, sizeof(path), "origins[%zu].%s", i, member);
	buf_printf(errors, "%s: %s: ", config_origin_of(c, path), path);
}

/* Whether a host and what follows it has a port, or may have: a '*' stands for one as well. */
static bool may_have_port(const char *host)
{
	const char *bracket = strrchr(host, ']');

	return strpbrk(bracket ? bracket : host, ":*");
}

/* Why nothing can match, or NULL. */
static const char *match_trouble(const char *match)
{
	const char *scheme_end = strstr(match, "://");

	if (*match == '\0')
		return "must not be empty; \"*\" matches all";
	for (const char *p = match; *p != '\0'; p++) {
		if (*p >= 'A' && *p <= 'Z')
			return "must be in lower case, as origins are";
		if ((unsigned char) *p <= ' ')
			return "must have no blanks; write an element for each host";
	}
	if (strchr(scheme_end ? scheme_end + 3 : match, '/'))
		return "must have no path; write a host, host:port or http://host:port";
	if (scheme_end && !may_have_port(scheme_end + 3))
		return "must have a port if it has a scheme; write https://host:443";
	return NULL;
}

/* Whether 'match' names its scheme, and the host or, behind a '*', the domain to its end: with
 * "https://a.example*" a host of anybody's begins, too. */
static bool names_hosts(const char *match)
{
	const char *host = strncmp(match, "https://", 8) == 0  ? match + 8
	                   : strncmp(match, "http://", 7) == 0 ? match + 7
	                                                       : "";
	const char *end = strrchr(host, ':'); /* the port's */

	if (!end || (*host == '[' && end[-1] != ']'))
		return false;
	const char *star = memrchr(host, '*', (size_t) (end - host));
	return star ? star[1] == '.' && star + 2 < end : host < end;
}

/* What a login is sent to has to be said: no other host shall get it, and whether it goes in
 * clear text. */
static const char *secret_trouble(const struct origin_settings *o, const char **ret_key)
{
	*ret_key = *o->login != '\0' ? "login" : "bearer";
	if (*o->login != '\0' && *o->bearer != '\0')
		return "login and bearer: only one of them can be sent";
	if ((*o->login != '\0' || *o->bearer != '\0') && !names_hosts(o->match))
		return "match must be as https://host:port, so that nobody else gets it "
		       "(http://host:port sends it in clear text)";
	return NULL;
}

/* Why keys of an element do not go together, and one of them that is given; or NULL. */
static const char *access_trouble(const struct origin_settings *o, const char **ret_key)
{
	if (*o->client_key != '\0' && *o->client_cert == '\0') {
		*ret_key = "client_key";
		return "needs client_cert";
	}
	if (*o->proxy == '\0' && *o->proxy_login != '\0') {
		*ret_key = "proxy_login";
		return "needs proxy";
	}
	if (*o->proxy == '\0' && o->guard == ORIGIN_GUARD_PROXY) {
		*ret_key = "guard";
		return "\"proxy\" needs proxy";
	}
	return secret_trouble(o, ret_key);
}

static void check_access(const struct origin_settings *o, const struct config *c, size_t i,
                         struct buf *errors)
{
	const char *key = NULL, *trouble = access_trouble(o, &key);

	if (trouble) {
		add_place(c, i, key, errors);
		buf_printf(errors, "of \"%s\": %s\n", o->match, trouble);
	}
	trouble = *o->proxy != '\0' ? profiles_proxy_trouble(o->proxy) : NULL;
	if (trouble) {
		add_place(c, i, "proxy", errors);
		buf_printf(errors, "of \"%s\": %s\n", o->match, trouble);
	}
}

static void check_origins(const struct config_groups *groups, const struct config *c,
                          struct buf *errors)
{
	const struct origin_settings *origins = groups->items;

	for (size_t i = 0; i < groups->n; i++) {
		const struct origin_settings *o = &origins[i];
		const char *trouble = match_trouble(o->match);
		if (trouble) {
			add_place(c, i, "match", errors);
			buf_printf(errors, "\"%s\": %s\n", o->match, trouble);
		}
		if (o->breaker_pause_ns > o->breaker_max_ns) {
			bool given = !settings_is_default(c, i, "breaker_pause");
			add_place(c, i, given ? "breaker_pause" : "breaker_max", errors);
			buf_printf(errors, "of \"%s\": breaker_pause must not be longer than "
			           "breaker_max\n", o->match);
		}
		check_access(o, c, i, errors);
	}
}

static void check_guard(const char *key, const struct config_strings *entries,
                        const struct config *c, struct buf *errors)
{
	for (size_t i = 0; i < entries->n; i++) {
		const char *trouble = guard_entry_trouble(entries->items[i]);
		if (trouble)
			buf_printf(errors, "%s: %s: \"%s\": %s\n", config_origin_of(c, key), key,
			           entries->items[i], trouble);
	}
}

static void check_headers(const struct config_strings *names, const struct config *c,
                          struct buf *errors)
{
	for (size_t i = 0; i < names->n; i++)
		if (!job_is_token(names->items[i]))
			buf_printf(errors,
			           "%s: results.headers: \"%s\" is no name of a header field; write "
			           "\"etag\", or \"*\" for all\n",
			           config_origin_of(c, "results.headers"), names->items[i]);
}

static void check_encodings(const struct config_strings *names, const struct config *c,
                            struct buf *errors)
{
	for (size_t i = 0; i < names->n; i++)
		if (decoder_max_bytes(names->items[i], strlen(names->items[i])) == 0)
			buf_printf(errors,
			           "%s: fetch.encodings: \"%s\" cannot be decoded; there are gzip, "
			           "deflate, br and zstd\n",
			           config_origin_of(c, "fetch.encodings"), names->items[i]);
}

/* It is opened for good at the start; that it can be is told before. */
static void check_body_dir(const struct settings *s, const struct config *c, struct buf *errors)
{
	if (*s->fetch.body_dir == '\0')
		return;
	int fd = upload_open_directory(s->fetch.body_dir);
	if (fd < 0)
		buf_printf(errors, "%s: fetch.body_dir: %s: %s\n", config_origin_of(c, "fetch.body_dir"),
		           s->fetch.body_dir, strerror(-fd));
	else
		(void) close(fd);
}

static void check_bodies(const struct settings *s, const struct config *c, struct buf *errors)
{
	bool given = strcmp(config_origin_of(c, "results.max_inline"), "default") != 0;
	const char *key = given ? "results.max_inline" : "results.inline_memory";

	if (s->results.inline_memory < s->results.max_inline)
		buf_printf(errors, "%s: %s: results.inline_memory must be at least "
		           "results.max_inline\n", config_origin_of(c, key), key);
	if (*s->results.bodies_dir == '\0')
		buf_printf(errors, "%s: results.bodies_dir: must not be empty\n",
		           config_origin_of(c, "results.bodies_dir"));
}

static void check_mode(const char *key, const char *mode, const struct config *c,
                       struct buf *errors)
{
	if (!settings_control_mode(mode, &(unsigned) { 0 }))
		buf_printf(errors, "%s: %s: must be octal, 0600 to 0777\n", config_origin_of(c, key),
		           key);
}

static void check_control(const struct settings *s, const struct config *c, struct buf *errors)
{
	const struct config_strings *listen = &s->control.listen;

	check_mode("control.mode", s->control.mode, c, errors);
	check_mode("control.stats_mode", s->control.stats_mode, c, errors);
	if (*s->control.stats_socket != '\0' &&
	    strcmp(s->control.stats_socket, s->control.socket) == 0)
		buf_printf(errors, "%s: control.stats_socket: must be another file than control.socket\n",
		           config_origin_of(c, "control.stats_socket"));
	for (size_t i = 0; i < listen->n; i++)
		if (!endpoint_parse(listen->items[i], &(struct endpoint) { 0 }))
			buf_printf(errors, "%s: control.listen: \"%s\" is no address with a port; write "
			           "127.0.0.1:9147 or [::1]:9147\n",
			           config_origin_of(c, "control.listen"), listen->items[i]);
	if (listen->n > SETTINGS_MAX_LISTEN)
		buf_printf(errors, "%s: control.listen: has %zu addresses; at most %d are possible\n",
		           config_origin_of(c, "control.listen"), listen->n, SETTINGS_MAX_LISTEN);
}

int settings_check(const struct settings *s, const struct config *c, struct buf *errors)
{
	size_t before = errors->len;

	settings_check_sources(s, c, errors);
	check_origins(&s->origins, c, errors);
	check_guard("guard.deny", &s->guard.deny, c, errors);
	check_guard("guard.allow", &s->guard.allow, c, errors);
	check_bodies(s, c, errors);
	for (size_t i = 0; i < s->fetch.success.n; i++) {
		struct status_set set = { 0 };
		if (status_set_add(&set, s->fetch.success.items[i]) < 0)
			buf_printf(errors,
			           "%s: fetch.success: \"%s\" is no status code (100 to 599) "
			           "and no range of them such as \"200-399\"\n",
			           config_origin_of(c, "fetch.success"), s->fetch.success.items[i]);
	}
	for (size_t i = 0; i < s->fetch.dns_servers.n; i++)
		if (!dns_is_server(s->fetch.dns_servers.items[i]))
			buf_printf(errors,
			           "%s: fetch.dns_servers: \"%s\" is no address; write 127.0.0.1, "
			           "127.0.0.1:5353 or [::1]:5353\n",
			           config_origin_of(c, "fetch.dns_servers"),
			           s->fetch.dns_servers.items[i]);
	check_headers(&s->results.headers, c, errors);
	check_encodings(&s->fetch.encodings, c, errors);
	check_body_dir(s, c, errors);
	check_control(s, c, errors);
	if (s->backlog.max_bytes > 0 && s->backlog.max_bytes < JOB_MAX_BYTES)
		buf_printf(errors, "%s: backlog.max_bytes: must be 0, or at least 4M, which one job may have\n",
		           config_origin_of(c, "backlog.max_bytes"));
	if (*s->backlog.path == '\0')
		buf_printf(errors, "%s: backlog.path: must not be empty\n",
		           config_origin_of(c, "backlog.path"));
	if (s->retry.base_ns > s->retry.max_ns)
		buf_printf(errors, "%s: retry.base: must not be longer than retry.max\n",
		           config_origin_of(c, "retry.base"));
	return errors->len > before ? -EINVAL : 0;
}
