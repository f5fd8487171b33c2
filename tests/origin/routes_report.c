/* SPDX-License-Identifier: Apache-2.0
 *
 * Routes that report in JSON what the origin saw. */
#include "handlers.h"

#include <errno.h>

static void put_key(struct buf *json, const char *name)
{
	buf_put_json(json, slice_of(name));
	buf_puts(json, ": ");
}

static void put_string(struct buf *json, const char *name, struct slice value)
{
	put_key(json, name);
	buf_put_json(json, value);
	buf_puts(json, ", ");
}

static void put_number(struct buf *json, const char *name, uint64_t value)
{
	put_key(json, name);
	buf_put_number(json, value);
	buf_puts(json, ", ");
}

/* Takes a trailing ", " back, and closes what it separated. */
static void close_list(struct buf *json, const char *bracket)
{
	if (!json->failed && json->at[json->len - 1] == ' ')
		json->len -= 2;
	buf_puts(json, bracket);
}

/* Answers with 'json', and frees it.  A failed buffer fails the answer. */
static int finish_json(struct call *call, unsigned status, struct buf *json)
{
	buf_puts(json, "\n");
	answer_begin(call->answer, call->req, status);
	answer_finish_with(call->answer, "application/json", buf_slice(json));
	call->answer->text.failed |= json->failed;
	buf_done(json);
	return 0;
}

/* /echo */
int handle_echo(struct call *call)
{
	const struct request *req = call->req;
	struct slice fields = req->fields;
	struct slice name = { 0 };
	struct slice value = { 0 };
	struct buf json = { 0 };

	buf_puts(&json, "{");
	put_string(&json, "method", req->method);
	put_string(&json, "target", req->target);
	put_string(&json, "version", req->version);
	put_key(&json, "headers");
	buf_puts(&json, "[");
	while (request_next_field(&fields, &name, &value)) {
		buf_puts(&json, "[");
		buf_put_json(&json, name);
		buf_puts(&json, ", ");
		buf_put_json(&json, value);
		buf_puts(&json, "], ");
	}
	close_list(&json, "], ");
	put_string(&json, "body", call->body);
	put_number(&json, "body_bytes", call->body_bytes);
	put_number(&json, "connection", call->connection);
	put_number(&json, "request", call->number);
	close_list(&json, "}");
	return finish_json(call, 200, &json);
}

static void put_by_route(struct buf *json, const struct counters *c)
{
	put_key(json, "by_route");
	buf_puts(json, "{");
	for (size_t i = 0; routes_name(i); i++)
		if (c->by_route[i] > 0)
			put_number(json, routes_name(i), c->by_route[i]);
	close_list(json, "}, ");
}

static void put_by_status(struct buf *json, const struct counters *c)
{
	put_key(json, "by_status");
	buf_puts(json, "{");
	for (size_t status = 0; status < ORIGIN_STATUS_MAX; status++) {
		if (c->by_status[status] == 0)
			continue;
		buf_puts(json, "\"");
		buf_put_number(json, status);
		buf_puts(json, "\": ");
		buf_put_number(json, c->by_status[status]);
		buf_puts(json, ", ");
	}
	close_list(json, "}, ");
}

/* /_counters */
int handle_counters(struct call *call)
{
	const struct origin *o = call->origin;
	const struct counters *c = &o->counters;
	struct buf json = { 0 };

	buf_puts(&json, "{");
	put_number(&json, "connections", c->connections);
	put_number(&json, "open", c->open);
	put_number(&json, "max_open", c->max_open);
	put_number(&json, "requests", c->requests);
	put_number(&json, "in_flight", c->in_flight);
	put_number(&json, "max_in_flight", c->max_in_flight);
	put_number(&json, "bytes_in", c->bytes_in);
	put_number(&json, "bytes_out", c->bytes_out);
	put_by_route(&json, c);
	put_by_status(&json, c);
	put_number(&json, "targets_remembered", o->targets.names);
	put_number(&json, "arrivals_not_remembered", o->targets.dropped);
	close_list(&json, "}");
	return finish_json(call, 200, &json);
}

/* The arrivals that are remembered, the oldest first. */
static void put_arrivals(struct buf *json, const struct entry *e)
{
	uint64_t kept = e->count < e->ring_size ? e->count : e->ring_size;

	put_key(json, "arrivals_ms");
	buf_puts(json, "[");
	for (uint64_t i = e->count - kept; i < e->count; i++) {
		buf_put_number(json, e->arrivals_ms[i % e->ring_size]);
		buf_puts(json, ", ");
	}
	close_list(json, "]");
}

static void put_entry(struct buf *json, const struct entry *e)
{
	if (!e) {
		buf_puts(json, "\"count\": 0, \"first_ms\": null, \"last_ms\": null, "
			       "\"arrivals_ms\": []");
		return;
	}
	put_number(json, "count", e->count);
	put_number(json, "first_ms", e->first_ms);
	put_number(json, "last_ms", e->last_ms);
	put_arrivals(json, e);
}

/* /_path?path=TARGET, percent-encoded */
int handle_path(struct call *call)
{
	struct slice encoded = { 0 };
	struct buf target = { 0 };
	struct buf json = { 0 };

	if (!call->origin->remembers) {
		buf_puts(&json, "{\"error\": \"penstock-origin runs without --remember\"}");
		return finish_json(call, 404, &json);
	}
	if (!text_query(call->req->query, "path", &encoded))
		return -EINVAL;
	int r = buf_put_decoded(&target, encoded);
	if (r == 0) {
		buf_puts(&json, "{");
		put_string(&json, "path", buf_slice(&target));
		put_entry(&json, tally_find(&call->origin->targets, buf_slice(&target)));
		buf_puts(&json, "}");
		r = finish_json(call, 200, &json);
	}
	buf_done(&target);
	return r;
}

/* /_reset */
int handle_reset_counters(struct call *call)
{
	origin_reset(call->origin);
	return handle_ok(call);
}
