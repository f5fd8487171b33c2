/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h: no way leads around the guard.
 *
 * There is a server on 127.0.0.2, which the guard lets by, and a trap on the same port of
 * 127.0.0.1 and ::1, which nobody may ever connect to.
 */
#include "fetch/fetch.h"

#include "dns_server.h"
#include "fetch/transfer.h"
#include "fetch_stage.h"
#include "wire_server.h"

#include <locale.h>

struct guard_stage {
	struct stage fetch;
	struct server names;
	struct wire_server there;
	unsigned port;      /* of the server, and of the trap */
	int trap4, trap6;   /* -1: there is no IPv6 */
};

#define LIST(...)                                                                                  \
	{ .entries = (const char *const[]) { __VA_ARGS__ },                                        \
	  .n = sizeof((const char *const[]) { __VA_ARGS__ }) / sizeof(const char *) }

/* The loopback is out of reach but for the server. */
static const struct fetch_rules_options usual = {
	.deny = LIST("loopback", "10.0.0.0/8"), .allow = LIST("127.0.0.2")
};

static const struct fetch_rules_options the_default = {
	.deny = LIST("link-local", "metadata")
};
static const struct fetch_rules_options public_only = {
	.deny = LIST("private"), .allow = LIST("127.0.0.2/31")
};
static const struct fetch_rules_options strict = { .deny = LIST("127.0.0.2") };

/* --- the stage --------------------------------------------------------------------- */

static int listen_at(const struct sockaddr *at, socklen_t size)
{
	int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd >= 0 && at->sa_family == AF_INET6)
		(void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (fd >= 0 && (bind(fd, at, size) < 0 || listen(fd, 64) < 0)) {
		(void) close(fd);
		fd = -1;
	}
	return fd;
}

/* Sets the trap on the server's port.  Fails if somebody else has that. */
static bool set_trap(struct guard_stage *s)
{
	const struct sockaddr_in at4 = {
		.sin_family = AF_INET,
		.sin_port = htons(s->there.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct sockaddr_in6 at6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(s->there.port),
		.sin6_addr = in6addr_loopback,
	};

	s->trap4 = listen_at((const struct sockaddr *) &at4, sizeof(at4));
	s->trap6 = listen_at((const struct sockaddr *) &at6, sizeof(at6));
	return s->trap4 >= 0;
}

static void close_trap(struct guard_stage *s)
{
	if (s->trap4 >= 0)
		(void) close(s->trap4);
	if (s->trap6 >= 0)
		(void) close(s->trap6);
}

/* Connections that came into the trap since the last call. */
static unsigned count_trapped(const struct guard_stage *s)
{
	const int traps[] = { s->trap4, s->trap6 };
	unsigned n = 0;
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(traps); i++)
		while (traps[i] >= 0 && (fd = accept(traps[i], NULL, NULL)) >= 0) {
			n++;
			(void) close(fd);
		}
	return n;
}

static void begin_with(struct guard_stage *s, const struct fetch_rules_options *options)
{
	bool set = false;

	for (int i = 0; i < 100 && !set; i++) {
		wire_start_at(&s->there, "127.0.0.2");
		set = set_trap(s);
		if (!set) {
			close_trap(s);
			wire_stop(&s->there);
		}
	}
	CU_ASSERT_TRUE_FATAL(set);
	s->port = s->there.port;
	server_start(&s->names);
	stage_init(&s->fetch);
	s->fetch.options.resolver.servers = s->names.list;
	fetch_rules_unref(s->fetch.options.rules);
	CU_ASSERT_EQUAL_FATAL(fetch_rules_create(options, &s->fetch.options.rules), 0);
	stage_create(&s->fetch);
}

static void begin(struct guard_stage *s)
{
	begin_with(s, &usual);
}

static void end(struct guard_stage *s)
{
	CU_ASSERT_EQUAL(count_trapped(s), 0);
	stage_done(&s->fetch);
	server_stop(&s->names);
	wire_stop(&s->there);
	close_trap(s);
}

static void set_rules(struct guard_stage *s, const struct fetch_rules_options *options)
{
	struct fetch_rules *rules = NULL;

	CU_ASSERT_EQUAL_FATAL(fetch_rules_create(options, &rules), 0);
	fetcher_set_rules(s->fetch.fetcher, rules);
	fetch_rules_unref(rules);
}

/* Whether the last fetch has this reason. */
static bool says(const struct guard_stage *s, const char *reason)
{
	bool same = strcmp(s->fetch.response.reason, reason) == 0;

	if (!same)
		(void) fprintf(stderr, "said: %s\n", s->fetch.response.reason);
	return same;
}

/* Writes a URL in which each "@@" is the port. */
static void write_url(const struct guard_stage *s, const char *pattern, struct buf *b)
{
	buf_clear(b);
	for (const char *at; (at = strstr(pattern, "@@")); pattern = at + 2) {
		buf_add(b, pattern, (size_t) (at - pattern));
		buf_add_u64(b, s->port);
	}
	buf_add_str(b, pattern);
	buf_add_char(b, '\0');
}

/* Puts a redirect in line at the server. */
static void redirect(struct guard_stage *s, const char *pattern)
{
	char answer[WIRE_ANSWER_SIZE];
	struct buf url = { 0 };

	write_url(s, pattern, &url);
	(void) snprintf(answer, sizeof(answer),
	                "HTTP/1.1 302 Go\r\nLocation: %s\r\nContent-Length: 3\r\n\r\nabc", url.data);
	wire_answer_next(&s->there, answer);
	buf_done(&url);
}

static unsigned connections(struct guard_stage *s)
{
	return atomic_load(&s->there.connections);
}

/* --- the corpus -------------------------------------------------------------------- */

enum { NO_URL = 1 }; /* in place of what fetch() returns */

struct bypass {
	const char *url; /* "@@" is the port */
	int expected;
};

/* What may be taken for 127.0.0.1 in one place and for something else in another. */
static const struct bypass bypasses[] = {
	{ "http://127.0.0.1:@@/", -EACCES },
	{ "http://127.255.255.254:@@/", -EACCES },

	/* other ways to write the numbers */
	{ "http://127.1:@@/", -EACCES },
	{ "http://127.0.1:@@/", -EACCES },
	{ "http://2130706433:@@/", -EACCES },
	{ "http://0x7f000001:@@/", -EACCES },
	{ "http://0X7F.0x0.0x0.0x1:@@/", -EACCES },
	{ "http://0x7f.1:@@/", -EACCES },
	{ "http://017700000001:@@/", -EACCES },
	{ "http://0177.0.0.1:@@/", -EACCES },
	{ "http://0177.0.0.01:@@/", -EACCES },
	{ "http://00000177.0.0.1:@@/", -EACCES },
	{ "http://127.00.000.0001:@@/", -EACCES },
	{ "http://012.0.0.1:@@/", -EACCES }, /* 10.0.0.1 */
	{ "http://0:@@/", -EACCES },
	{ "http://0.0.0.0:@@/", -EACCES },
	{ "http://0x0:@@/", -EACCES },
	{ "http://127.0.0.1.:@@/", -ENOENT },
	{ "http://127.1.:@@/", 0 }, /* a name, for all that it looks like */
	{ "http://2130706433.:@@/", -ENOENT },
	{ "http://127.0.0.256:@@/", -ENOENT },
	{ "http://127.0.0.1.2:@@/", -ENOENT },
	{ "http://127..0.0.1:@@/", -ENOENT },
	{ "http://127.0.0.08:@@/", -EACCES },
	{ "http://4294967296:@@/", -ENOENT },
	{ "http://6425673729:@@/", -ENOENT }, /* 127.0.0.1 + 2^32 */
	{ "http://-2130706433:@@/", -ENOENT },

	/* IPv6, and IPv4 within it */
	{ "http://[::1]:@@/", -EACCES },
	{ "http://[0:0:0:0:0:0:0:1]:@@/", -EACCES },
	{ "http://[0000::0001]:@@/", -EACCES },
	{ "http://[::]:@@/", -EACCES },
	{ "http://[::ffff:127.0.0.1]:@@/", -EACCES },
	{ "http://[::ffff:7f00:1]:@@/", -EACCES },
	{ "http://[::FFFF:7F00:0001]:@@/", -EACCES },
	{ "http://[::ffff:0.0.0.0]:@@/", -EACCES },
	{ "http://[::127.0.0.1]:@@/", -EACCES },
	{ "http://[::ffff:0:127.0.0.1]:@@/", -EACCES },
	{ "http://[64:ff9b::7f00:1]:@@/", -EACCES },
	{ "http://[64:ff9b:1::7f00:1]:@@/", -EACCES },
	{ "http://[2002:7f00:1::]:@@/", -EACCES },
	{ "http://[2001:db8::5efe:127.0.0.1]:@@/", -EACCES },
	{ "http://[::1%25lo]:@@/", -EACCES },
	{ "http://[::1%lo]:@@/", -EACCES },
	{ "http://[127.0.0.1]:@@/", NO_URL },
	{ "http://[::1/", NO_URL },
	{ "http://[::1]x:@@/", NO_URL },
	{ "http://::1:@@/", NO_URL },

	/* names */
	{ "http://localhost:@@/", -EACCES },
	{ "http://LOCALHOST:@@/", -EACCES },
	{ "http://localhost.:@@/", -EACCES },
	{ "http://LOCALHOST.:@@/", -EACCES },
	{ "http://a.localhost:@@/", -EACCES },
	{ "http://local.test:@@/", -EACCES },
	{ "http://LOCAL.TEST:@@/", -EACCES },
	{ "http://local.test.:@@/", -EACCES },
	{ "http://mapped.test:@@/", -EACCES },
	{ "http://nat64.test:@@/", -EACCES },

	/* other scripts; the dots of U+3002, U+FF0E and U+FF61 are dots */
	{ "http://①②⑦.⓪.⓪.①:@@/", -EACCES },
	{ "http://１２７.0.0.1:@@/", -EACCES },
	{ "http://127。0。0。1:@@/", -EACCES },
	{ "http://127．0．0．1:@@/", -EACCES },
	{ "http://127｡0｡0｡1:@@/", -EACCES },
	{ "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:@@/", -EACCES },
	{ "http://ｌｏｃａｌｈｏｓｔ:@@/", -EACCES },
	{ "http://local。test:@@/", -EACCES },
	{ "http://127。1:@@/", 0 },

	/* percent-encoding */
	{ "http://%31%32%37.0.0.1:@@/", -EACCES },
	{ "http://127%2e0%2e0%2e1:@@/", -EACCES },
	{ "http://%6cocalhost:@@/", -EACCES },
	{ "http://%5b::1%5d:@@/", NO_URL },
	{ "http://127.0.0.1%00.there.test:@@/", NO_URL },
	{ "http://127.0.0.1%2f@there.test:@@/", 0 },
	{ "http://there.test%2f@127.0.0.1:@@/", -EACCES },
	{ "http://127.0.0.1%20:@@/", NO_URL },
	{ "http://%e2%91%a0%e2%91%a1%e2%91%a6.0.0.1:@@/", -EACCES },

	/* who is the host, and who is not */
	{ "http://there.test@127.0.0.1:@@/", -EACCES },
	{ "http://there.test:@@@127.0.0.1:@@/", -EACCES },
	{ "http://a@there.test@127.0.0.1:@@/", NO_URL },
	{ "http://127.0.0.1:@@@there.test:@@/", 0 },
	{ "http://127.0.0.1\\@there.test:@@/", 0 },
	{ "http://there.test\\@127.0.0.1:@@/", -EACCES },
	{ "http://there.test:@@\\@127.0.0.1:@@/", -EACCES },
	{ "http://127.0.0.1:@@#@there.test:@@/", -EACCES },
	{ "http://127.0.0.1:@@?@there.test:@@/", -EACCES },
	{ "http://there.test:@@#@127.0.0.1:@@/", 0 },
	{ "http://there.test:@@?@127.0.0.1:@@/", 0 },
	{ "http://there.test:@@/@127.0.0.1:@@/", 0 },
	{ "http://there.test:@@;@127.0.0.1:@@/", -EACCES },
	{ "http://127.0.0.1;there.test:@@/", NO_URL },
	{ "http://127.0.0.1 there.test:@@/", NO_URL },
	{ "http://127.0.0.1\tthere.test:@@/", NO_URL },
	{ "http://there.test,127.0.0.1:@@/", NO_URL },
	{ "http:/127.0.0.1:@@/", -EACCES },
	{ "http:///127.0.0.1:@@/", -EACCES },
	{ "http:127.0.0.1:@@/", NO_URL },
	{ "http:\\\\127.0.0.1:@@/", NO_URL },
	{ "//127.0.0.1:@@/", NO_URL },
	{ "127.0.0.1:@@/", NO_URL },

	/* ports */
	{ "http://127.0.0.1:/", -EACCES },
	{ "http://127.0.0.1:0@@/", -EACCES },
	{ "http://127.0.0.1:0/", NO_URL },
	{ "http://127.0.0.1:99999/", NO_URL },
	{ "http://127.0.0.1:@@:@@/", NO_URL },
	{ "http://127.0.0.1:+@@/", NO_URL },
	{ "http://127.0.0.1:80@@@/", NO_URL },
	{ "http://127.0.0.1: @@/", NO_URL },

	/* TLS makes no difference */
	{ "https://127.0.0.1:@@/", -EACCES },
	{ "https://localhost:@@/", -EACCES },
};

static int try_url(struct guard_stage *s, const char *url)
{
	struct url_origin origin;
	const char *why = NULL;

	if (url_parse(s->fetch.parser, url, &origin, &why) < 0)
		return NO_URL;
	return stage_get(&s->fetch, "%s", url);
}

static void test_no_spelling_leads_around_the_guard(void)
{
	struct guard_stage s;
	struct buf url = { 0 };

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(bypasses); i++) {
		write_url(&s, bypasses[i].url, &url);
		int r = try_url(&s, url.data);
		unsigned trapped = count_trapped(&s);
		CU_ASSERT_EQUAL(r, bypasses[i].expected);
		CU_ASSERT_EQUAL(trapped, 0);
		if (r != bypasses[i].expected || trapped > 0)
			(void) fprintf(stderr, "%s: %d, trapped %u; %s\n", bypasses[i].url, r, trapped,
			               s.fetch.response.reason);
	}
	buf_done(&url);
	end(&s);
}

/* libcurl makes the target of a redirect absolute: what was no URL by itself may be one then. */
static void test_no_redirect_leads_around_the_guard(void)
{
	struct guard_stage s;

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(bypasses); i++) {
		redirect(&s, bypasses[i].url);
		int r = stage_get(&s.fetch, "http://127.0.0.2:%u/", s.port);
		unsigned trapped = count_trapped(&s);
		bool right = bypasses[i].expected == NO_URL || r == bypasses[i].expected;
		CU_ASSERT_EQUAL(trapped, 0);
		CU_ASSERT_TRUE(right);
		if (trapped > 0 || !right)
			(void) fprintf(stderr, "%s: %d, trapped %u; %s\n", bypasses[i].url, r, trapped,
			               s.fetch.response.reason);
	}
	end(&s);
}

/* --- names ------------------------------------------------------------------------- */

static void test_what_is_resolved_is_what_is_connected_to(void)
{
	/* Only our name server knows the name: libcurl, if it read another one out of the URL
	 * than we did, would not find it. */
	static const char *const spellings[] = {
		"http://there.test:@@/", "http://THERE.test:@@/", "http://there.test.:@@/",
		"http://THERE.TEST.:@@/", "http://th%65re.test:@@/", "http://there%2Etest:@@/",
		"http://ｔｈｅｒｅ.test:@@/", "http://ⓣhere。ｔest:@@/", "http://there．test．:@@/",
		"http://127.0.0.1@there.test:@@/", "http://u:p%40@there.test:0@@/",
	};
	struct guard_stage s;
	struct buf url = { 0 };

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		write_url(&s, spellings[i], &url);
		int r = try_url(&s, url.data);
		CU_ASSERT_EQUAL(r, 0);
		CU_ASSERT_STRING_EQUAL(s.fetch.response.remote_ip, "127.0.0.2");
		if (r != 0)
			(void) fprintf(stderr, "%s: %s\n", url.data, s.fetch.response.reason);
	}
	buf_done(&url);
	end(&s);
}

static void test_of_mixed_addresses_the_allowed_ones_are_used(void)
{
	struct guard_stage s;

	begin(&s);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://mixed.test:%u/1", s.port), 0);
	CU_ASSERT_STRING_EQUAL(s.fetch.response.remote_ip, "127.0.0.2");
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://mixed.test:%u/2", s.port), 0);
	CU_ASSERT_EQUAL(connections(&s), 1);

	server_rebind(&s.names); /* none is left that is allowed */
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://mixed.test:%u/3", s.port), -EACCES);
	CU_ASSERT_EQUAL(strncmp(s.fetch.response.reason, "refused: 127.0.0.", 17), 0);
	CU_ASSERT_EQUAL(connections(&s), 1);
	end(&s);
}

static void test_a_name_that_is_rebound_is_refused(void)
{
	struct guard_stage s;

	begin(&s);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://rebind.test:%u/1", s.port), 0);
	server_rebind(&s.names);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://rebind.test:%u/2", s.port), -EACCES);
	CU_ASSERT_TRUE(says(&s, "refused: 127.0.0.1 is denied by \"loopback\" (127.0.0.0/8)"));
	CU_ASSERT_EQUAL(connections(&s), 1);
	end(&s);
}

static int rebind_on_enter(void *arg, const struct url_origin *origin)
{
	struct guard_stage *s = arg;

	(void) origin;
	server_rebind(&s->names);
	return 0;
}

static void test_a_name_that_is_rebound_within_a_fetch_is_refused(void)
{
	struct guard_stage s;
	struct buf url = { 0 };

	begin(&s);
	redirect(&s, "http://there.test:@@/2");
	redirect(&s, "http://rebind.test:@@/3");
	write_url(&s, "http://rebind.test:@@/1", &url);
	struct fetch_request req = { .url = url.data, .enter = rebind_on_enter, .arg = &s };
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), -EACCES);
	CU_ASSERT_TRUE(says(&s, "refused: 127.0.0.1 is denied by \"loopback\" (127.0.0.0/8)"));
	CU_ASSERT_EQUAL(s.fetch.response.redirects, 2);
	CU_ASSERT_EQUAL(connections(&s), 2);
	buf_done(&url);
	end(&s);
}

/* --- hops -------------------------------------------------------------------------- */

static void test_every_hop_is_checked(void)
{
	struct guard_stage s;
	char url[64];

	begin(&s);
	for (unsigned hops = 1; hops <= 5; hops++) {
		for (unsigned i = 1; i < hops; i++)
			redirect(&s, i % 2 == 0 ? "http://there.test:@@/" : "http://127.0.0.2:@@/");
		redirect(&s, "http://localhost:@@/secret");
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://127.0.0.2:%u/", s.port), -EACCES);
		CU_ASSERT_TRUE(says(&s, "refused: 127.0.0.1 is denied by \"loopback\" (127.0.0.0/8)"));
		CU_ASSERT_EQUAL(s.fetch.response.curl_code, CURLE_COULDNT_CONNECT);
		CU_ASSERT_EQUAL(s.fetch.response.redirects, hops);
	}

	/* Nothing is said of the hops before. */
	(void) snprintf(url, sizeof(url), "http://localhost:%u/secret", s.port);
	CU_ASSERT_TRUE(holds(&s.fetch.response.effective, url));
	CU_ASSERT_EQUAL(s.fetch.response.status, 0);
	CU_ASSERT_EQUAL(s.fetch.response.body_bytes, 0);
	CU_ASSERT_STRING_EQUAL(s.fetch.response.remote_ip, "");
	end(&s);
}

static void test_a_hop_that_is_resumed_is_checked(void)
{
	struct job_hop from = { .url = "http://10.0.0.1/secret", .redirects = 1 };
	struct url_parser *parser = NULL;
	struct guard_stage s;
	const char *why = NULL;

	begin(&s);
	CU_ASSERT_EQUAL_FATAL(url_parser_create(&parser), 0);
	CU_ASSERT_EQUAL_FATAL(url_parse(parser, from.url, &from.origin, &why), 0);
	struct fetch_request req = { .url = "http://there.test/", .from = &from };
	CU_ASSERT_EQUAL(stage_fetch(&s.fetch, &req), -EACCES);
	CU_ASSERT_TRUE(says(&s, "refused: 10.0.0.1 is denied by \"10.0.0.0/8\""));
	CU_ASSERT_TRUE(holds(&s.fetch.response.effective, from.url));
	url_parser_free(parser);
	end(&s);
}

/* --- rules ------------------------------------------------------------------------- */

static void test_the_default_denies_metadata(void)
{
	static const struct {
		const char *host, *reason;
	} cases[] = {
		{ "169.254.169.254",
		  "refused: 169.254.169.254 is denied by \"link-local\" (169.254.0.0/16)" },
		{ "metadata.test",
		  "refused: 169.254.169.254 is denied by \"link-local\" (169.254.0.0/16)" },
		{ "[fe80::a9fe:a9fe%25lo]",
		  "refused: fe80::a9fe:a9fe is denied by \"link-local\" (fe80::/10)" },
		{ "[::ffff:169.254.169.254]",
		  "refused: ::ffff:169.254.169.254 (169.254.169.254) is denied by \"link-local\" "
		  "(169.254.0.0/16)" },
		{ "[fd00:ec2::254]",
		  "refused: fd00:ec2::254 is denied by \"metadata\" (fd00:ec2::254/128)" },
		{ "100.100.100.200",
		  "refused: 100.100.100.200 is denied by \"metadata\" (100.100.100.200/32)" },
	};
	struct guard_stage s;

	begin_with(&s, &the_default);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://%s/latest", cases[i].host), -EACCES);
		CU_ASSERT_TRUE(says(&s, cases[i].reason));
		CU_ASSERT_EQUAL(s.fetch.response.curl_code, CURLE_COULDNT_CONNECT);
	}
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://127.0.0.2:%u/", s.port), 0);
	end(&s);
}

static void test_allow_overrides_deny(void)
{
	struct guard_stage s;

	begin_with(&s, &public_only);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://127.0.0.2:%u/", s.port), 0);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://there.test:%u/", s.port), 0);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://localhost:%u/", s.port), -EACCES);
	CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://10.0.0.1:%u/", s.port), -EACCES);
	CU_ASSERT_TRUE(says(&s, "refused: 10.0.0.1 is denied by \"private\" (10.0.0.0/8)"));
	end(&s);
}

static void test_new_rules_hold_for_kept_connections(void)
{
	static const char *const hosts[] = { "127.0.0.2", "there.test" };
	struct guard_stage s;
	struct fetch_stats stats;

	begin(&s);
	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++) {
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://%s:%u/", hosts[i], s.port), 0);
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://%s:%u/", hosts[i], s.port), 0);
		CU_ASSERT_EQUAL(connections(&s), 2 * i + 1);

		set_rules(&s, &strict);
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://%s:%u/", hosts[i], s.port), -EACCES);
		CU_ASSERT_TRUE(says(&s, "refused: 127.0.0.2 is denied by \"127.0.0.2\""));
		fetch_stats(s.fetch.fetcher, &stats);
		CU_ASSERT_EQUAL(stats.idle_connections, i);

		set_rules(&s, &usual);
		CU_ASSERT_EQUAL(stage_get(&s.fetch, "http://%s:%u/", hosts[i], s.port), 0);
		CU_ASSERT_EQUAL(connections(&s), 2 * i + 2);
	}
	end(&s);
}

/* --- the last line ----------------------------------------------------------------- */

/* Whatever address libcurl comes to, it is asked about before it is connected to. */
static void test_libcurl_is_stopped_at_the_socket(void)
{
	static const char *const hosts[] = { "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "local.test" };
	const struct handle_options options = {
		.user_agent = "test/1",
		.connect_timeout_ns = PLENTY,
		.on_body = transfer_on_body,
	};
	struct guard_stage s;

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct transfer t = {
			.f = s.fetch.fetcher,
			.response = &s.fetch.response,
			.deadline_ns = clock_after(clock_now_ns(), 10 * NS_PER_S),
		};
		const struct handle_limits limits = {
			.deadline_ns = t.deadline_ns,
			.cancel_fd = t.f->cancel_fd,
		};
		struct addresses *unchecked = NULL;
		struct handle *h = NULL;
		CURLcode code = CURLE_OK;
		char url[64];
		const char *why = NULL;

		(void) snprintf(url, sizeof(url), "http://%s:%u/", hosts[i], s.port);
		CU_ASSERT_EQUAL_FATAL(url_parse(s.fetch.parser, url, &t.hop.origin, &why), 0);
		CU_ASSERT_EQUAL_FATAL(transfer_resolve(&t, &unchecked), 0);
		CU_ASSERT_EQUAL_FATAL(handle_create(&options, s.fetch.options.rules, &t.hop.origin,
		                                    unchecked, &h), 0);
		if (i % 2 > 0) /* as after a request of more than a plain GET */
			CU_ASSERT_EQUAL(handle_reset(h, &options, false), 0);
		CU_ASSERT_EQUAL(curl_easy_setopt(h->easy, CURLOPT_URL, url), CURLE_OK);
		CU_ASSERT_EQUAL(handle_perform(h, &t, &limits, &code), 0);
		CU_ASSERT_EQUAL(code, CURLE_COULDNT_CONNECT);
		CU_ASSERT_EQUAL(transfer_fail_curl(&t, h, code), -EACCES);
		CU_ASSERT_PTR_NOT_NULL(strstr(s.fetch.response.reason, "is denied by \"loopback\""));
		CU_ASSERT_EQUAL(count_trapped(&s), 0);
		handle_free(h);
		addresses_unref(unchecked);
	}
	end(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "no spelling leads around the guard", test_no_spelling_leads_around_the_guard },
		{ "no redirect leads around the guard", test_no_redirect_leads_around_the_guard },
		{ "what is resolved is what is connected to",
		  test_what_is_resolved_is_what_is_connected_to },
		{ "of mixed addresses the allowed ones are used",
		  test_of_mixed_addresses_the_allowed_ones_are_used },
		{ "a name that is rebound is refused", test_a_name_that_is_rebound_is_refused },
		{ "a name that is rebound within a fetch is refused",
		  test_a_name_that_is_rebound_within_a_fetch_is_refused },
		{ "every hop is checked", test_every_hop_is_checked },
		{ "a hop that is resumed is checked", test_a_hop_that_is_resumed_is_checked },
		{ "the default denies metadata", test_the_default_denies_metadata },
		{ "allow overrides deny", test_allow_overrides_deny },
		{ "new rules hold for kept connections", test_new_rules_hold_for_kept_connections },
		{ "libcurl is stopped at the socket", test_libcurl_is_stopped_at_the_socket },
		CU_TEST_INFO_NULL,
	};

	stage_begin_all();
	if (!setlocale(LC_CTYPE, "C.UTF-8")) /* international names are read by it */
		return EXIT_FAILURE;
	return unit_run("fetch guard", tests);
}
