/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fetch.h"

#include "base/clock.h"
#include "base/event.h"
#include "fetch/transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t transfer_elapsed_us(const struct transfer *t)
{
	return t->spent_us + (clock_now_ns() - t->start_ns) / NS_PER_US;
}

/* --- hops -------------------------------------------------------------------------- */

/* Keeps the redirect's target; libcurl has made it absolute. */
static int keep_target(struct transfer *t, const struct handle *h, bool *ret_redirected)
{
	char *url = NULL;

	*ret_redirected = false;
	if (t->req->max_redirects == 0 || !transfer_is_redirect(t->response->status))
		return 0;

	buf_clear(&t->target);
	if (curl_easy_getinfo(h->easy, CURLINFO_REDIRECT_URL, &url) == CURLE_OK && url)
		buf_add_str(&t->target, url);
	buf_add_char(&t->target, '\0');
	if (t->target.failed)
		return transfer_fail_memory(t);
	*ret_redirected = t->target.len > 1; /* without a Location it is a response as any other */

	/* libcurl does not see a value that begins on a continued line; its body was dropped. */
	if (t->has_body && t->redirects != *ret_redirected)
		return transfer_fail(t, -EPROTO, CURLE_WEIRD_SERVER_REPLY, "bad response: Location");
	return 0;
}

static void begin_hop(struct transfer *t, struct handle *h)
{
	t->handle = h;
	t->hop_start_us = transfer_elapsed_us(t);
	t->has_asked = true;
	t->head = (struct head) { 0 };
	t->has_body = t->redirects = false;
	t->refusal = 0;
	t->fault = NULL;
}

/* Whether the answer is whole but for the end of its body, which nobody wants. */
static bool is_cut_off(struct transfer *t, CURLcode code)
{
	t->response->truncated = code == CURLE_WRITE_ERROR && t->refusal == -EFBIG &&
	                         t->req->truncates && !t->redirects;
	if (t->response->truncated)
		buf_clear(&t->response->error); /* libcurl complains of our own callback */
	return t->response->truncated;
}

/* Performs one hop.  The handle is given back before the next one begins, which
 * may well take it again. */
static int perform_hop(struct transfer *t, bool *ret_redirected)
{
	struct handle *h = NULL;
	CURLcode code = CURLE_OK;

	int r = transfer_lend(t, &h);
	if (r < 0)
		return r;

	begin_hop(t, h);
	if (hop_prepare(&t->hop, h) < 0) {
		transfer_give_back(t, h, false);
		return transfer_fail_memory(t);
	}

	h->once = t->req->once;
	r = handle_perform(h, t,
	                   &(struct handle_limits) {
				   .deadline_ns = t->deadline_ns,
				   .cancel_fd = t->f->cancel_fd,
				   .least_speed = t->req->least_speed,
				   .speed_span_ns = t->req->speed_span_ns,
			   },
	                   &code);
	transfer_collect(t, h);
	if (r == -ECANCELED)
		r = transfer_fail(t, r, CURLE_ABORTED_BY_CALLBACK, "aborted");
	else if (r == -ETIMEDOUT)
		r = transfer_fail_timeout(t, h);
	else if (r == -ETIME)
		r = transfer_fail_slow(t);
	else if (transfer_is_proxy_login(t, h)) /* whatever becomes of its body */
		r = transfer_fail_proxy(t, h, t->response->status);
	else if ((code != CURLE_OK && !is_cut_off(t, code)) || !t->head.is_complete)
		r = transfer_fail_curl(t, h, code);
	else
		r = transfer_finish_body(t);
	if (r == 0)
		r = keep_target(t, h, ret_redirected);
	t->decoder = decoder_free(t->decoder);
	transfer_give_back(t, h, r == 0 && code == CURLE_OK);
	return r;
}

/* Keeps a hop that may not be made now, with its strings. */
static int keep_next(struct transfer *t, const struct hop *next)
{
	struct buf *text = &t->response->next_text;

	buf_clear(text);
	buf_add(text, next->url, strlen(next->url) + 1);
	size_t origin_at = text->len;
	buf_add(text, next->origin.text, strlen(next->origin.text) + 1);
	size_t host_at = text->len;
	buf_add(text, next->origin.host, strlen(next->origin.host) + 1);
	if (text->failed)
		return transfer_fail_memory(t);

	t->response->next = (struct job_hop) {
		.url = text->data,
		.origin = next->origin,
		.redirects = t->response->redirects + 1,
		.spent_us = transfer_elapsed_us(t),
		.becomes_get = next->without_content,
		.without_secrets = next->without_secrets,
	};
	t->response->next.origin.text = text->data + origin_at;
	t->response->next.origin.host = text->data + host_at;
	return transfer_fail(t, -EXDEV, CURLE_ABORTED_BY_CALLBACK,
	            "redirected to an origin that may not be asked now");
}

/* Asks whether a hop to another origin may be made. */
static int enter(struct transfer *t, const struct hop *next)
{
	if (strlen(next->url) > JOB_MAX_HOP_URL_BYTES)
		return transfer_fail(t, -EINVAL, CURLE_URL_MALFORMAT,
		            "redirect refused: the URL is longer than 8 KiB");
	if (t->deadline_ns <= clock_now_ns())
		return transfer_fail_redirected(t); /* which is the fault of the origins so far */

	int r = t->req->enter ? t->req->enter(t->req->arg, &next->origin) : 0;
	if (r == -EAGAIN)
		return keep_next(t, next);
	return r < 0 ? transfer_fail_memory(t) : 0;
}

/* Finds the target's origin, and completes the target by what the hop has and it lacks. */
static int parse_target(struct transfer *t, struct url_parser *parser,
                        struct url_origin *ret_origin)
{
	const char *why = NULL;

	int r = url_parse(parser, t->target.data, ret_origin, &why);
	if (r == -ENOMEM)
		return transfer_fail_memory(t);
	if (r < 0)
		return transfer_fail(t, r, r == -EINVAL ? CURLE_URL_MALFORMAT : CURLE_UNSUPPORTED_PROTOCOL,
		            "redirect refused: %s", why);
	url_inherit(&t->target, t->hop.url, strcmp(t->hop.origin.text, ret_origin->text) == 0);
	return t->target.failed ? transfer_fail_memory(t) : 0;
}

/* Makes 'next', which points into the target and 'parser', the hop. */
static void go_on(struct transfer *t, const struct hop *next, struct url_parser *parser)
{
	struct buf old = t->url;

	t->hop = *next;
	t->url = t->target;
	t->target = old;
	url_parser_free(t->parser);
	t->parser = parser;
	t->response->redirects++;
	t->response->redirect_us = transfer_elapsed_us(t);
}

/* What was answered so far, another origin may have said. */
static void forget_answer(struct transfer *t)
{
	struct buf *effective = &t->response->effective;

	transfer_forget(t);
	buf_clear(effective);
	buf_add_str(effective, t->hop.url);
}

/* Makes the redirect's target the next hop. */
static int follow(struct transfer *t)
{
	struct url_origin origin;
	struct hop next = t->hop;

	if (t->response->redirects >= t->req->max_redirects)
		return transfer_fail(t, -ELOOP, CURLE_TOO_MANY_REDIRECTS, "more than %u redirects",
		            t->req->max_redirects);
	/* The hop's origin lives in the parser that made it: each hop has its own. */
	struct url_parser *parser = NULL;
	if (url_parser_create(&parser) < 0)
		return transfer_fail_memory(t);

	int r = parse_target(t, parser, &origin);
	if (r == 0) {
		hop_redirect(&next, t->response->status, t->target.data, &origin);
		if (strcmp(t->hop.origin.text, origin.text) != 0)
			r = enter(t, &next);
	}
	if (r < 0) {
		url_parser_free(parser);
		return r;
	}
	go_on(t, &next, parser);
	forget_answer(t);
	return 0;
}

/* --- the fetch --------------------------------------------------------------------- */

/* Sets up the first hop, and what is left for it and those that follow. */
static void begin(struct transfer *t)
{
	const struct fetch_request *req = t->req;
	const struct job_hop *from = req->from;
	uint64_t left_ns = req->timeout_ns;

	t->hop = (struct hop) {
		.url = req->url,
		.origin = *req->origin,
		.method = req->method,
		.headers = req->headers,
		.body = req->body,
		.body_bytes = req->body_bytes,
		.upload = req->body_file ? &t->upload : NULL,
	};
	response_clear(t->response);
	if (from) {
		hop_resume(&t->hop, from);
		t->spent_us = from->spent_us;
		t->response->redirects = from->redirects;
		buf_add_str(&t->response->effective, from->url);
		t->response->redirect_us = from->spent_us;
		left_ns = from->spent_us < left_ns / NS_PER_US
		                  ? left_ns - from->spent_us * NS_PER_US
		                  : 0;
	}
	t->start_ns = clock_now_ns();
	t->deadline_ns = clock_after(t->start_ns, left_ns);
	t->has_deadline = req->deadline_ns != 0 && req->deadline_ns < t->deadline_ns;
	if (t->has_deadline)
		t->deadline_ns = req->deadline_ns;
}

/* Opens the file that is the request's body, unless a redirect has lost it. */
static int open_body(struct transfer *t)
{
	if (!t->hop.upload || upload_open(&t->upload, t->f->body_dir, t->req->body_file))
		return 0;
	return transfer_fail(t, -ENODATA, CURLE_READ_ERROR, "body_file: %s", t->upload.trouble);
}

static int perform(struct transfer *t)
{
	bool redirected = false;

	if (t->req->from && t->deadline_ns <= t->start_ns)
		return transfer_fail_redirected(t);
	int r = open_body(t);
	if (r == 0)
		r = perform_hop(t, &redirected);
	while (r == 0 && redirected) {
		r = follow(t);
		if (r == 0)
			r = perform_hop(t, &redirected);
	}
	return r;
}

int fetch(struct fetcher *f, const struct fetch_request *req, struct response *response)
{
	struct transfer t = { .f = f, .req = req, .response = response, .upload.fd = -1 };

	begin(&t);
	int r = perform(&t);
	response->complete = r == 0;
	response->total_us = transfer_elapsed_us(&t);
	upload_close(&t.upload);
	url_parser_free(t.parser);
	buf_done(&t.url);
	buf_done(&t.target);
	return r;
}

/* --- the fetcher ------------------------------------------------------------------- */

int fetcher_create(const struct fetch_options *options, struct fetcher **ret_fetcher)
{
	struct fetcher *f = calloc(1, sizeof(*f));
	int r = f ? mutex_init(&f->lock) : -ENOMEM;
	if (r < 0) {
		free(f);
		return r;
	}
	const curl_version_info_data *library = curl_version_info(CURLVERSION_NOW);
	f->handle_options = (struct handle_options) {
		.user_agent = options->user_agent,
		.connect_timeout_ns = options->connect_timeout_ns,
		.ca_path = library->capath,
		.previews_heads = library->version_num < 0x080200,
		.on_header = transfer_on_header,
		.on_body = transfer_on_body,
	};
	f->body_dir = options->body_dir ? upload_open_directory(options->body_dir) : -1;
	f->cancel_fd = event_create();
	r = f->cancel_fd < 0 ? f->cancel_fd : 0;
	if (options->body_dir && f->body_dir < 0)
		r = f->body_dir;
	mutex_lock(&f->lock);
	f->rules = fetch_rules_ref(options->rules);
	mutex_unlock(&f->lock);
	if (r == 0)
		r = pool_create(options->max_idle, &f->pool);
	if (r == 0)
		r = resolver_create(&options->resolver, &f->resolver);
	if (r < 0) {
		fetcher_free(f);
		return r;
	}
	*ret_fetcher = f;
	return 0;
}

struct fetcher *fetcher_free(struct fetcher *f)
{
	if (!f)
		return NULL;

	resolver_free(f->resolver);
	pool_free(f->pool);
	if (f->cancel_fd >= 0)
		(void) close(f->cancel_fd);
	if (f->body_dir >= 0)
		(void) close(f->body_dir);
	mutex_lock(&f->lock);
	f->rules = fetch_rules_unref(f->rules);
	mutex_unlock(&f->lock);
	mutex_destroy(&f->lock);
	free(f);
	return NULL;
}

void fetcher_set_rules(struct fetcher *f, struct fetch_rules *rules)
{
	mutex_lock(&f->lock);
	struct fetch_rules *old = f->rules;
	f->rules = fetch_rules_ref(rules);
	mutex_unlock(&f->lock);
	fetch_rules_unref(old);
}

void fetcher_cancel(struct fetcher *f)
{
	event_raise(f->cancel_fd);
	resolver_cancel(f->resolver);
}

void fetch_stats(struct fetcher *f, struct fetch_stats *ret_stats)
{
	*ret_stats = (struct fetch_stats) { .idle_connections = pool_idle(f->pool) };
	mutex_lock(&f->lock);
	ret_stats->insecure_profiles = fetch_rules_insecure(f->rules);
	mutex_unlock(&f->lock);
	resolver_stats(f->resolver, &ret_stats->resolver);
}
