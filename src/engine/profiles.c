/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/profiles.h"

#include "base/log.h"
#include "engine/key_file.h"
#include "fetch/pem.h"
#include "job/url.h"

#include <errno.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* Where a setting of an element stands, for messages, and where messages go. */
struct place {
	const struct origin_settings *origin;
	bool lacks_credentials; /* they are at hand in the service only */
	struct buf *errors;
};

static int complain(const struct place *at, const char *key, const char *file, const char *what)
{
	buf_printf(at->errors, "origins[%s].%s: %s%s%s\n", at->origin->match, key, file,
	           *file != '\0' ? ": " : "", what);
	return -EINVAL;
}

/* --- files ------------------------------------------------------------------------- */

typedef int reader(const char *value, char **ret_text, bool *ret_exposed, struct buf *why);

/* Reads the file that a key names; none if it names none. */
static int read_file(const struct place *at, const char *key, const char *value, reader *read,
                     bool is_secret, const char **ret_text)
{
	struct buf why = { 0 };
	bool exposed = false;
	char *text = NULL;

	if (*value == '\0')
		return 0;
	if (at->lacks_credentials && key_file_is_credential(value)) {
		log_warning("origins[%s].%s: %s: not checked: only the service has it", at->origin->match,
		            key, value);
		return 0;
	}
	int r = read(value, &text, &exposed, &why);
	if (r == -EINVAL) {
		buf_add_char(&why, '\0');
		r = why.failed ? -ENOMEM : complain(at, key, "", why.data);
	}
	buf_done(&why);
	if (r < 0)
		return r;
	if (is_secret && exposed)
		log_warning("origins[%s].%s: %s: others can read it: chmod go= would keep it "
		            "secret", at->origin->match, key, value);
	*ret_text = text;
	return 0;
}

static int read_authorities(const struct place *at, X509_STORE **ret_store)
{
	const char *file = at->origin->ca_file, *pem = NULL, *why = NULL;

	int r = read_file(at, "ca_file", file, key_file_read, false, &pem);
	if (r == 0 && pem)
		r = pem_read_authorities(pem, ret_store, &why);
	key_file_free((char *) (uintptr_t) pem);
	return r == -EINVAL && why ? complain(at, "ca_file", file, why) : r;
}

/* The key may be in the file of the certificate. */
static int read_identity(const struct place *at, struct fetch_profile *p)
{
	bool together = *at->origin->client_key == '\0';
	const char *key_name = together ? "client_cert" : "client_key";
	const char *key_file = together ? at->origin->client_cert : at->origin->client_key;
	const char *why = NULL;

	int r = read_file(at, "client_cert", at->origin->client_cert, key_file_read, together,
	                  &p->client_cert);
	if (r == 0)
		r = read_file(at, key_name, key_file, key_file_read, !together, &p->client_key);
	if (r < 0 || !p->client_cert)
		return r;
	r = pem_check_identity(p->client_cert, p->client_key, &why);
	return r == -EINVAL ? complain(at, key_name, key_file, why) : r;
}

static int read_login(const struct place *at, const char *key, const char *file,
                      const char **ret_login)
{
	int r = read_file(at, key, file, key_file_read_line, true, ret_login);

	if (r == 0 && *ret_login && !strchr(*ret_login, ':'))
		r = complain(at, key, file, "must hold user:password");
	return r;
}

/* --- proxies ----------------------------------------------------------------------- */

const char *profiles_proxy_trouble(const char *url)
{
	struct url_parser *parser = NULL;
	struct url_origin origin;
	const char *why = NULL;
	const char *authority = strstr(url, "://");

	if (authority && strchr(authority, '@'))
		return "must have no user and password; write them to a file for proxy_login";
	if (authority && authority[3 + strcspn(authority + 3, "/?#")] != '\0')
		return "must have no path; write http://host:port";
	if (url_parser_create(&parser) < 0)
		return "out of memory";
	int r = url_parse(parser, url, &origin, &why);
	url_parser_free(parser);
	return r == 0                  ? NULL
	       : r == -EPROTONOSUPPORT ? "must be http:// or https://; there are no others"
	                               : "must be http://host:port or https://host:port";
}

static int read_proxy(const char *url, struct fetch_profile *p)
{
	struct url_parser *parser = NULL;
	struct url_origin origin;
	const char *why = NULL;

	if (*url == '\0')
		return 0;
	int r = url_parser_create(&parser);
	if (r == 0)
		r = url_parse(parser, url, &origin, &why);
	if (r == 0) {
		p->proxy = strdup(origin.text);
		p->proxy_host = strdup(origin.host);
		p->proxy_port = origin.port;
		r = p->proxy && p->proxy_host ? 0 : -ENOMEM;
	}
	url_parser_free(parser);
	return r;
}

/* --- all of it --------------------------------------------------------------------- */

/* Says all that is wrong; lack of memory goes before. */
static int worse(int r, int other) { return r == -ENOMEM || other == 0 ? r : other; }

static int make(const struct place *at, struct fetch_profile *p)
{
	const struct origin_settings *o = at->origin;

	*p = (struct fetch_profile) {
		.match = o->match,
		.insecure = o->insecure,
		.tls_min = (enum fetch_tls) o->tls_min,
		.proxy_resolves = o->guard == ORIGIN_GUARD_PROXY,
	};
	if (o->insecure)
		log_warning("origins[%s].insecure: certificates are not checked: anybody may be in "
		            "between, read everything and answer", o->match);
	int r = read_authorities(at, &p->authorities);
	r = worse(r, read_identity(at, p));
	r = worse(r, read_proxy(o->proxy, p));
	r = worse(r, read_login(at, "proxy_login", o->proxy_login, &p->proxy_login));
	r = worse(r, read_login(at, "login", o->login, &p->login));
	return worse(r, read_file(at, "bearer", o->bearer, key_file_read_line, true, &p->bearer));
}

static int make_all(const struct config_groups *origins, bool lacks_credentials,
                    struct fetch_profile **ret_profiles, struct buf *errors)
{
	const struct origin_settings *items = origins->items;
	struct fetch_profile *profiles = calloc(origins->n + 1, sizeof(*profiles));
	int r = profiles ? 0 : -ENOMEM;

	for (size_t i = 0; profiles && i < origins->n; i++)
		r = worse(r, make(&(struct place) { &items[i], lacks_credentials, errors },
		                  &profiles[i]));
	if (r < 0) {
		profiles_free(profiles, origins->n);
		return r;
	}
	*ret_profiles = profiles;
	return 0;
}

int profiles_make(const struct config_groups *origins, struct fetch_profile **ret_profiles,
                  struct buf *errors)
{
	return make_all(origins, false, ret_profiles, errors);
}

int profiles_check(const struct config_groups *origins, struct fetch_profile **ret_profiles,
                   struct buf *errors)
{
	return make_all(origins, !getenv("CREDENTIALS_DIRECTORY"), ret_profiles, errors);
}

static void drop(const char *text) { key_file_free((char *) (uintptr_t) text); }

struct fetch_profile *profiles_free(struct fetch_profile *profiles, size_t n)
{
	for (size_t i = 0; profiles && i < n; i++) {
		struct fetch_profile *p = &profiles[i];
		X509_STORE_free(p->authorities);
		drop(p->client_cert);
		drop(p->client_key);
		drop(p->proxy);
		drop(p->proxy_host);
		drop(p->proxy_login);
		drop(p->login);
		drop(p->bearer);
	}
	free(profiles);
	return NULL;
}
