/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Odd URLs, as jobs and as targets of redirects: what is asked on the wire is what the job's
 * origin says, or the URL is refused with a reason; and no message shows a password.
 */
#include "job_maker.h"
#include "odd_urls.h"
#include "wire_stage.h"

/* --- a name server that says 127.0.0.1 of every name ----------------------------------- */

struct name_server {
	int fd;
	char text[32];
	pthread_t thread;
};

/* Answers to A with one address, and to all else with none (RFC 1035, section 4). */
static void *serve_names(void *arg)
{
	static const unsigned char address[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1 };
	const struct name_server *s = arg;
	unsigned char packet[1024];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(s->fd, packet, 512, 0, (struct sockaddr *) &from, &from_len)) > 12) {
		size_t at = 12;
		while (at < (size_t) n && packet[at] != 0)
			at += 1u + packet[at];
		size_t end = at + 5;
		bool has_address = end <= (size_t) n && packet[at + 2] == 1;
		packet[2] = 0x81;
		packet[3] = 0x80;
		packet[7] = has_address;
		memset(packet + 8, 0, 4);
		memcpy(packet + end, address, sizeof(address));
		(void) sendto(s->fd, packet, end + (has_address ? sizeof(address) : 0), 0,
		              (struct sockaddr *) &from, from_len);
	}
	return NULL;
}

static void names_start(struct name_server *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_TRUE_FATAL(s->fd >= 0 && bind(s->fd, (struct sockaddr *) &at, len) == 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(s->fd, (struct sockaddr *) &at, &len), 0);
	(void) snprintf(s->text, sizeof(s->text), "127.0.0.1:%u", (unsigned) ntohs(at.sin_port));
	CU_ASSERT_EQUAL_FATAL(thread_start(&s->thread, "names", THREAD_STACK_SMALL, serve_names, s), 0);
}

static void names_stop(struct name_server *s)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	CU_ASSERT_EQUAL(getsockname(s->fd, (struct sockaddr *) &at, &len), 0);
	(void) sendto(s->fd, "", 0, 0, (struct sockaddr *) &at, len); /* wakes it */
	thread_join(s->thread);
	(void) close(s->fd);
}

/* --- the stage -------------------------------------------------------------------------- */

struct corpus {
	struct name_server names;
	struct wire_stage w;
	struct job_maker maker;
	char port[8];
	unsigned refused, asked, unreachable;
};

static void corpus_begin(struct corpus *c)
{
	memset(c, 0, sizeof(*c));
	names_start(&c->names);
	wire_begin(&c->w);
	c->w.fetch.fetcher = fetcher_free(c->w.fetch.fetcher);
	c->w.fetch.options.resolver.servers = c->names.text;
	stage_create(&c->w.fetch);
	job_maker_init(&c->maker);
	(void) snprintf(c->port, sizeof(c->port), "%u", (unsigned) c->w.a.port);
}

static void corpus_end(struct corpus *c)
{
	job_maker_done(&c->maker);
	wire_end(&c->w);
	names_stop(&c->names);
}

/* Appends 'text' with the port put in. */
static void add_with_port(struct buf *url, const struct corpus *c, const char *text)
{
	for (const char *at; (at = strstr(text, "{P}")); text = at + 3) {
		buf_add(url, text, (size_t) (at - text));
		buf_add_str(url, c->port);
	}
	buf_add_str(url, text);
}

/* Whether the request at 'wire' is one that 'origin' stands for, and how the text goes on. */
static const char *is_asked_of(const char *wire, const struct url_origin *origin)
{
	char host[512];
	const char *line_end = strstr(wire, " HTTP/1.1\r\n");

	if (strncmp(wire, "GET /", 5) != 0 || !line_end)
		return NULL;
	for (const char *p = wire + 4; p < line_end; p++)
		if ((unsigned char) *p <= ' ' || *p == '#' || *p == 0x7f)
			return NULL;
	(void) snprintf(host, sizeof(host), " HTTP/1.1\r\nHost: %s:%u\r\n", origin->host,
	                (unsigned) origin->port);
	if (strncasecmp(line_end, host, strlen(host)) != 0)
		return NULL;
	const char *end = strstr(line_end, "\r\n\r\n");
	return end ? end + 4 : NULL;
}

static void complain(const struct corpus *c, const char *url, const char *about)
{
	(void) fprintf(stderr, "\n\"%s\": %s\n%s\n", url, about, c->w.wire.data ? c->w.wire.data : "");
	CU_FAIL("a URL was misunderstood");
}

/* --- as a job --------------------------------------------------------------------------- */

static void check_messages(struct corpus *c, const char *url)
{
	struct buf shown = { 0 };

	buf_add_str(&shown, c->maker.why.data);
	url_add_redacted(&shown, url, false);
	url_add_json_redacted(&shown, url, strlen(url));
	buf_add_char(&shown, '\0');
	if (strstr(url, "SEC") && strstr(shown.data, "SEC"))
		complain(c, url, shown.data);
	buf_done(&shown);
}

static void check_job(struct corpus *c, const char *url)
{
	struct job *job = NULL;

	if (try_bytes(&c->maker, url, strlen(url), &job) < 0) {
		if (*c->maker.why.data == '\0')
			complain(c, url, "no reason");
		c->refused++;
		check_messages(c, url);
		return;
	}
	struct url_origin origin = job->origin;
	struct fetch_request req = { .url = job->url, .timeout_ns = 5 * NS_PER_S };
	int r = stage_fetch(&c->w.fetch, &req);
	wire_take(&c->w.a, &c->w.wire);
	const char *end = is_asked_of(c->w.wire.data, &origin);
	if (r == 0 ? !end || *end != '\0' : *c->w.wire.data != '\0')
		complain(c, url, r == 0 ? origin.text : c->w.fetch.response.reason);
	c->asked += r == 0;
	c->unreachable += r < 0;
	check_messages(c, url);
	job_free(job);
}

/* --- as the target of a redirect -------------------------------------------------------- */

static void check_redirect(struct corpus *c, const char *url)
{
	char answer[WIRE_ANSWER_SIZE];
	struct url_origin start, origin;
	const char *why = NULL;

	(void) snprintf(answer, sizeof(answer), "HTTP/1.1 302 Go\r\nLocation: %s\r\n"
	                "Content-Length: 0\r\n\r\n", url);
	wire_answer_next(&c->w.a, answer);
	struct fetch_request req = { .url = c->w.url, .timeout_ns = 5 * NS_PER_S };
	int r = stage_fetch(&c->w.fetch, &req);
	wire_take(&c->w.a, &c->w.wire);
	CU_ASSERT_EQUAL_FATAL(url_parse(c->w.fetch.parser, c->w.url, &start, &why), 0);
	const char *next = is_asked_of(c->w.wire.data, &start);
	if (!next) {
		complain(c, url, "the redirect was not asked for");
	} else if (r == 0 && *next != '\0') {
		struct buf *effective = &c->w.fetch.response.effective;
		buf_add_char(effective, '\0');
		int e = url_parse(c->w.fetch.parser, effective->data, &origin, &why);
		const char *end = e == 0 ? is_asked_of(next, &origin) : NULL;
		if (!end || *end != '\0')
			complain(c, url, "another was asked than the redirect leads to");
		c->asked++;
	} else if (*next != '\0') {
		complain(c, url, c->w.fetch.response.reason);
	}
}

/* --- the tests --------------------------------------------------------------------------- */

/* Checks every text between 'before' and 'after'. */
static void each(struct corpus *c, void (*check)(struct corpus *c, const char *url),
                 const char *before, const char *const *texts, size_t n, const char *after)
{
	struct buf url = { 0 };

	for (size_t i = 0; i < n; i++) {
		buf_clear(&url);
		add_with_port(&url, c, before);
		add_with_port(&url, c, texts[i]);
		buf_add_str(&url, after);
		buf_add_char(&url, '\0');
		check(c, url.data);
	}
	buf_done(&url);
}

static void each_of_all(struct corpus *c, void (*check)(struct corpus *c, const char *url))
{
	each(c, check, "http://", odd_authorities, ARRAY_LEN(odd_authorities), "/");
	each(c, check, "http://a.test:{P}", odd_paths, ARRAY_LEN(odd_paths), "");
	each(c, check, "", odd_urls, ARRAY_LEN(odd_urls), "");
}

static void test_jobs_ask_whom_their_origin_says(void)
{
	struct corpus c;

	corpus_begin(&c);
	each_of_all(&c, check_job);
	CU_ASSERT_TRUE(c.asked > 150);
	CU_ASSERT_TRUE(c.refused > 100);
	CU_ASSERT_TRUE(c.unreachable < 60); /* ports that are closed, names that are none */
	corpus_end(&c);
}

static void test_redirects_lead_where_their_origin_says(void)
{
	struct corpus c;

	corpus_begin(&c);
	each_of_all(&c, check_redirect);
	CU_ASSERT_TRUE(c.asked > 150);
	corpus_end(&c);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "jobs ask whom their origin says", test_jobs_ask_whom_their_origin_says },
		{ "redirects lead where their origin says",
		  test_redirects_lead_where_their_origin_says },
		CU_TEST_INFO_NULL,
	};

	stage_begin_all();
	return unit_run("URL corpus", tests);
}
