/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/resolver.h"

#include "base/clock.h"
#include "base/sync.h"
#include "fetch/dns.h"
#include "fetch/ip.h"
#include "fetch/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* 253 characters, perhaps a dot at the end (RFC 1035, section 2.3.4), and NUL. */
enum { NAME_SIZE = 255 };

/* Between names that are asked for while nobody can wait for them, on average; and what is saved
 * up for those that come together. */
#define AHEAD_INTERVAL_NS (1 * NS_PER_MS)
#define AHEAD_SAVED_NS    (100 * NS_PER_MS)

struct resolver {
	struct resolver_options options; /* 'servers' is not kept */
	struct dns *dns;

	struct mutex lock;
	struct names names GUARDED_BY(lock);
	struct resolver_stats stats GUARDED_BY(lock); /* but 'cached' */
	uint64_t ahead_ns GUARDED_BY(lock); /* when the next name may be asked for ahead */
	bool cancelled GUARDED_BY(lock);
};

/* --- hosts --- */

/* Writes the name in lower case (RFC 4343).  Returns 0, or -ENOENT if no name
 * looks like that; what was meant as an address never gets to a name server. */
static int read_name(const char *host, char name[static NAME_SIZE])
{
	size_t length = strlen(host);
	if (length == 0 || length >= NAME_SIZE || strpbrk(host, ":[]") != NULL)
		return -ENOENT;

	for (size_t i = 0; i <= length; i++)
		name[i] = (char) (host[i] >= 'A' && host[i] <= 'Z' ? host[i] - 'A' + 'a' : host[i]);
	return 0;
}

/* RFC 6761, section 6.3: such names are the loopback's, and no name server's business. */
static bool is_localhost(const char *host)
{
	static const char name[] = "localhost";
	size_t length = strlen(host), n = sizeof(name) - 1;

	length -= length > 0 && host[length - 1] == '.';
	return length >= n && strncasecmp(host + length - n, name, n) == 0 &&
	       (length == n || host[length - n - 1] == '.');
}

static int answer_at_once(const char *first, const char *second,
                          struct addresses **ret_addresses, const char **ret_why)
{
	struct addresses *addresses = addresses_create();
	if (addresses == NULL) {
		*ret_why = "out of memory";
		return -ENOMEM;
	}
	memcpy(addresses->text[addresses->n++], first, strlen(first) + 1);
	if (second != NULL)
		memcpy(addresses->text[addresses->n++], second, strlen(second) + 1);
	*ret_addresses = addresses;
	return 0;
}

/* --- lookups --- */

/* How long an answer is kept.  Failures of our own making are not. */
static uint64_t lifetime_ns(const struct resolver_options *o, const struct dns_answer *answer)
{
	if (answer->status == -ENOMEM || answer->status == -ECANCELED)
		return 0;
	if (answer->status != 0)
		return o->failure_ttl_ns;

	uint64_t ttl_ns = answer->ttl_s * NS_PER_S;
	if (ttl_ns < o->min_ttl_ns)
		ttl_ns = o->min_ttl_ns;
	return ttl_ns < o->max_ttl_ns ? ttl_ns : o->max_ttl_ns;
}

/* On the DNS thread. */
static void on_answer(void *arg, struct dns_query *query, const struct dns_answer *answer)
{
	struct resolver *r = arg;
	struct name *name = (struct name *) query;
	uint64_t expires_ns = clock_after(clock_now_ns(), lifetime_ns(&r->options, answer));

	mutex_lock(&r->lock);
	names_answer(&r->names, name, answer, expires_ns);
	mutex_unlock(&r->lock);
}

static int take_answer(const struct name *name, struct addresses **ret_addresses,
                       const char **ret_why)
{
	if (name->answer.status == 0)
		*ret_addresses = addresses_ref(name->answer.addresses);
	else
		*ret_why = name->answer.why;
	return name->answer.status;
}

/* Makes a pending name and asks for it; returns a reference to it. */
static int ask(struct resolver *r, const char *text, struct name **ret_name,
               const char **ret_why) REQUIRES(r->lock)
{
	struct name *name;
	int status = names_add(&r->names, text, &name);
	if (status < 0) {
		*ret_why = status == -EBUSY ? "too many lookups under way" : "out of memory";
		return status;
	}

	/* To ask is to write to a descriptor, so not with the lock held. */
	r->stats.queries++;
	mutex_unlock(&r->lock);
	dns_ask(r->dns, &name->query);
	mutex_lock(&r->lock);
	*ret_name = name;
	return 0;
}

static int wait_for(struct resolver *r, struct name *name, uint64_t deadline_ns,
                    struct addresses **ret_addresses, const char **ret_why) REQUIRES(r->lock)
{
	bool in_time = true;
	while (name->pending && !r->cancelled && in_time)
		in_time = cond_wait(&name->answered, &r->lock, deadline_ns);

	if (!name->pending)
		return take_answer(name, ret_addresses, ret_why);
	*ret_why = r->cancelled ? "stopped" : "the name was not resolved in time";
	return r->cancelled ? -ECANCELED : -ETIMEDOUT;
}

/* Asks for a name although nobody can wait for it: who comes back for it may find the answer, so
 * that a thousand names without one do not keep others from theirs.  Not all at once, which a name
 * server takes for a flood. */
static int ask_ahead(struct resolver *r, const char *text, uint64_t now_ns,
                     const char **ret_why) REQUIRES(r->lock)
{
	struct name *name = NULL;

	if (r->ahead_ns > now_ns)
		return 0;
	if (r->ahead_ns + AHEAD_SAVED_NS < now_ns)
		r->ahead_ns = now_ns - AHEAD_SAVED_NS;
	r->ahead_ns += AHEAD_INTERVAL_NS;
	int status = ask(r, text, &name, ret_why);
	if (status == 0)
		name_unref(name);
	return status;
}

static int find(struct resolver *r, const char *text, uint64_t now_ns, uint64_t deadline_ns,
                struct addresses **ret_addresses, const char **ret_why) REQUIRES(r->lock)
{
	struct name *name = names_find(&r->names, text, now_ns);
	if (name != NULL && !name->pending) {
		r->stats.hits++;
		return take_answer(name, ret_addresses, ret_why);
	}

	if (r->cancelled) {
		*ret_why = "stopped";
		return -ECANCELED;
	}
	if (r->stats.waiting >= r->options.max_waiters) {
		*ret_why = "too many lookups under way";
		int status = name == NULL ? ask_ahead(r, text, now_ns, ret_why) : 0;
		return status < 0 ? status : -EBUSY;
	}

	r->stats.waiting++;
	int status = 0;
	if (name != NULL)
		name->references++;
	else
		status = ask(r, text, &name, ret_why);
	if (status == 0) {
		status = wait_for(r, name, deadline_ns, ret_addresses, ret_why);
		name_unref(name);
	}
	r->stats.waiting--;
	return status;
}

/* Answers an address or the loopback's name without the cache.  Returns whether
 * it was one, with the result in '*ret_status'. */
static bool needs_no_lookup(const char *host, struct addresses **ret_addresses,
                            const char **ret_why, int *ret_status)
{
	char literal[IP_TEXT_SIZE];
	struct ip ip;

	if (is_localhost(host)) {
		*ret_status = answer_at_once("127.0.0.1", "::1", ret_addresses, ret_why);
		return true;
	}
	if (!ip_parse(host, &ip))
		return false;
	ip_format(&ip, literal);
	*ret_status = answer_at_once(literal, NULL, ret_addresses, ret_why);
	return true;
}

int resolver_lookup(struct resolver *r, const char *host, uint64_t deadline_ns,
                    struct addresses **ret_addresses, const char **ret_why)
{
	char name[NAME_SIZE];
	int status = 0;
	bool answered = needs_no_lookup(host, ret_addresses, ret_why, &status);
	if (!answered && (status = read_name(host, name)) == -ENOENT)
		*ret_why = "not a host name";
	uint64_t now_ns = clock_now_ns();

	mutex_lock(&r->lock);
	r->stats.lookups++;
	if (status == 0 && !answered)
		status = find(r, name, now_ns, deadline_ns, ret_addresses, ret_why);
	if (status != 0)
		r->stats.failures++;
	mutex_unlock(&r->lock);
	return status;
}

void resolver_cancel(struct resolver *r)
{
	mutex_lock(&r->lock);
	r->cancelled = true;
	names_wake_all(&r->names);
	mutex_unlock(&r->lock);
}

void resolver_stats(struct resolver *r, struct resolver_stats *ret_stats)
{
	mutex_lock(&r->lock);
	*ret_stats = r->stats;
	ret_stats->cached = r->names.n;
	mutex_unlock(&r->lock);
}

/* --- making and freeing --- */

int resolver_create(const struct resolver_options *options, struct resolver **ret_resolver)
{
	struct resolver *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	r->options = *options;
	r->options.servers = NULL;

	int status = mutex_init(&r->lock);
	if (status < 0)
		goto free_resolver;
	status = names_init(&r->names, options->max_cached);
	if (status < 0)
		goto destroy_lock;
	status = dns_create(options->servers, on_answer, r, &r->dns);
	if (status < 0)
		goto destroy_names;

	*ret_resolver = r;
	return 0;

destroy_names:
	names_destroy(&r->names);
destroy_lock:
	mutex_destroy(&r->lock);
free_resolver:
	free(r);
	return status;
}

struct resolver *resolver_free(struct resolver *r)
{
	if (r == NULL)
		return NULL;

	r->dns = dns_free(r->dns);
	names_destroy(&r->names);
	mutex_destroy(&r->lock);
	free(r);
	return NULL;
}
