/* SPDX-License-Identifier: Apache-2.0
 *
 *            +------------------------- keep ---------------------------+
 *            v                                                          |
 *     READING_HEAD --> READING_BODY --> WAITING --> SENDING --> (the ending of the answer)
 *            |               |             |                        |   |   |
 *            |               |             +- never -> HANGING <----+   |   +--> closed
 *            +---- error ----+--> SENDING --> LINGERING --> closed      +--> RESETTING --> closed
 *
 * One step function per state does one thing and returns 0 to go on (perhaps in another state),
 * -EAGAIN to wait for the socket or the timer, or another error to close the connection.
 *
 * The socket is watched once, edge-triggered, for everything; there is no epoll_ctl() per
 * request.  Reading follows 'is_readable' of the input; writing is simply tried.
 */
#include "conn.h"

#include "answer.h"
#include "body.h"
#include "clock.h"
#include "input.h"
#include "request.h"
#include "routes.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STEPS_PER_TURN = 32 }; /* then other connections have theirs */

#define LINGER_NS   (2 * NS_PER_SECOND)
#define PACE_MIN_NS NS_PER_MS /* between two pieces of a paced answer */

struct conn {
	struct watch watch;
	struct timer timer;
	struct conns *all;
	struct conn *previous; /* in all->open */
	struct conn *next;     /* in all->open or all->spare */
	int fd;

	enum conn_state {
		READING_HEAD,
		READING_BODY,
		WAITING,
		SENDING,
		HANGING,
		RESETTING,
		LINGERING,
	} state;
	bool is_in_flight; /* counted as such */
	uint64_t number;   /* of the connection */
	uint64_t requests; /* so far */
	uint64_t until_ns; /* WAITING, LINGERING: the end of it */

	struct request req; /* slices of 'in' */
	size_t route;
	struct body body;
	struct answer answer;

	struct input in; /* the last member, as it is not zeroed */
};

static struct counters *counters_of(struct conn *c)
{
	return &c->all->origin->counters;
}

/* ---- Requests that are counted ---- */

static void count_request(struct conn *c)
{
	struct origin *o = c->all->origin;
	struct counters *n = &o->counters;

	c->requests++;
	if (routes_are_hidden(c->route))
		return;
	n->requests++;
	n->by_route[c->route]++;
	c->is_in_flight = true;
	if (++n->in_flight > n->max_in_flight)
		n->max_in_flight = n->in_flight;
	if (o->remembers && c->route != routes_malformed())
		(void) tally_note(&o->targets, c->req.target, clock_now_ns() / NS_PER_MS);
}

static void leave_flight(struct conn *c)
{
	counters_of(c)->in_flight -= c->is_in_flight;
	c->is_in_flight = false;
}

/* ---- Answering ---- */

static void begin_sending(struct conn *c)
{
	if (c->answer.status > 0 && !routes_are_hidden(c->route))
		counters_of(c)->by_status[c->answer.status]++;
	if (answer_is_paced(&c->answer))
		c->answer.began_ns = clock_now_ns();
	c->state = SENDING;
}

/* Answers a request that cannot be read, and ends the connection. */
static int refuse(struct conn *c, unsigned status, const char *why)
{
	if (c->state == READING_HEAD) {
		c->route = routes_malformed();
		count_request(c);
	}
	routes_refuse(&c->answer, status, why);
	begin_sending(c);
	return 0;
}

static int begin_answer(struct conn *c)
{
	struct call call = {
		.origin = c->all->origin,
		.req = &c->req,
		.body = buf_slice(&c->body.kept),
		.body_bytes = c->body.total,
		.connection = c->number,
		.number = c->requests,
		.answer = &c->answer,
	};

	routes_answer(c->route, &call);
	if (c->answer.text.failed || c->body.kept.failed)
		return -ENOMEM;

	if (c->answer.wait_ns == ANSWER_NEVER_NS) {
		c->state = HANGING;
	} else if (c->answer.wait_ns > 0) {
		c->until_ns = clock_now_ns() + c->answer.wait_ns;
		c->state = WAITING;
	} else {
		begin_sending(c);
	}
	return 0;
}

/* Tells a client that waits for it to send the body.  The socket has room for one line, as every
 * earlier answer is out of the way; if not, the client is one that we can lose. */
static int send_continue(struct conn *c)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const size_t len = sizeof(line) - 1;

	if (!c->req.expects_continue || input_rest(&c->in).len > 0)
		return 0;
	if (send(c->fd, line, len, MSG_NOSIGNAL) != (ssize_t) len)
		return -EPIPE;
	counters_of(c)->bytes_out += len;
	return 0;
}

static int read_more(struct conn *c)
{
	return input_read(&c->in, c->fd, &counters_of(c)->bytes_in);
}

static int step_reading_head(struct conn *c)
{
	int r = input_find_head(&c->in);
	if (r == -EAGAIN)
		return read_more(c);
	if (r == -EMSGSIZE)
		return refuse(c, 431, "the head is longer than 64 KiB\n");
	if (r < 0 || request_parse(input_head(&c->in), &c->req) < 0)
		return refuse(c, 400, "this request breaks RFC 9112\n");

	c->route = routes_find(c->req.path);
	count_request(c);
	body_begin(&c->body, &c->req, routes_keep_body(c->route));
	if (c->body.state == BODY_COMPLETE)
		return begin_answer(c);
	c->state = READING_BODY;
	return send_continue(c);
}

static int step_reading_body(struct conn *c)
{
	size_t used = 0;
	int r = body_feed(&c->body, input_rest(&c->in), &used);

	input_use(&c->in, used);
	if (r == -EAGAIN)
		return read_more(c);
	if (r < 0)
		return refuse(c, 400, "the body breaks RFC 9112\n");
	return begin_answer(c);
}

static int sleep_until(struct conn *c, uint64_t due_ns)
{
	if (c->timer.slot > 0 && c->timer.due_ns == due_ns)
		return -EAGAIN;
	int r = timers_arm(&c->all->loop->timers, &c->timer, due_ns);
	return r < 0 ? r : -EAGAIN;
}

static int step_waiting(struct conn *c)
{
	if (c->in.has_ended)
		return -EPIPE;
	if (clock_now_ns() < c->until_ns)
		return sleep_until(c, c->until_ns);
	begin_sending(c);
	return 0;
}

static int end_answer(struct conn *c)
{
	if (c->answer.ending == ENDING_HANG) {
		c->state = HANGING;
		return 0;
	}

	leave_flight(c);
	switch (c->answer.ending) {
	case ENDING_KEEP:
		input_next(&c->in);
		c->state = READING_HEAD;
		return 0;
	case ENDING_RESET:
		c->state = RESETTING;
		return 0;
	case ENDING_LINGER:
		(void) shutdown(c->fd, SHUT_WR);
		c->until_ns = clock_now_ns() + LINGER_NS;
		c->state = LINGERING;
		return 0;
	case ENDING_CLOSE:
	case ENDING_HANG:
		break;
	}
	return -EPIPE;
}

static int sleep_for_pace(struct conn *c, uint64_t now_ns)
{
	uint64_t due_ns = answer_next_due_ns(&c->answer);

	if (c->in.has_ended)
		return -EPIPE;
	if (due_ns < now_ns + PACE_MIN_NS)
		due_ns = now_ns + PACE_MIN_NS;
	return sleep_until(c, due_ns);
}

static int step_sending(struct conn *c)
{
	struct answer *a = &c->answer;

	if (answer_is_complete(a))
		return end_answer(c);

	uint64_t now_ns = answer_is_paced(a) ? clock_now_ns() : 0;
	struct slice bytes = answer_next(a, now_ns);
	if (bytes.len == 0)
		return sleep_for_pace(c, now_ns);

	int flags = MSG_NOSIGNAL | (answer_has_more(a) ? MSG_MORE : 0);
	ssize_t n = send(c->fd, bytes.at, bytes.len, flags);
	if (n < 0)
		return -errno;
	answer_sent(a, (size_t) n);
	counters_of(c)->bytes_out += (uint64_t) n;
	return answer_is_complete(a) ? end_answer(c) : 0;
}

static int step_hanging(struct conn *c)
{
	return c->in.has_ended ? -EPIPE : -EAGAIN;
}

/* Closing with no time to linger sends a RST, and drops what the peer has not acknowledged. */
static int step_resetting(struct conn *c)
{
	const struct linger no_time = { .l_onoff = 1, .l_linger = 0 };
	int unacknowledged = 0;

	if (ioctl(c->fd, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 0)
		return sleep_until(c, clock_now_ns() + NS_PER_MS);
	(void) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &no_time, sizeof(no_time));
	return -EPIPE;
}

static int step_lingering(struct conn *c)
{
	if (clock_now_ns() >= c->until_ns)
		return -EPIPE;
	input_clear(&c->in);
	int r = read_more(c);
	return r == -EAGAIN ? sleep_until(c, c->until_ns) : r;
}

static int step(struct conn *c)
{
	switch (c->state) {
	case READING_HEAD:
		return step_reading_head(c);
	case READING_BODY:
		return step_reading_body(c);
	case WAITING:
		return step_waiting(c);
	case SENDING:
		return step_sending(c);
	case HANGING:
		return step_hanging(c);
	case RESETTING:
		return step_resetting(c);
	case LINGERING:
		return step_lingering(c);
	}
	return -EINVAL;
}

/* ---- Life and death ---- */

static void link_open(struct conn *c)
{
	struct conns *all = c->all;

	c->previous = NULL;
	c->next = all->open;
	if (all->open)
		all->open->previous = c;
	all->open = c;
}

static void unlink_open(struct conn *c)
{
	if (c->previous)
		c->previous->next = c->next;
	else
		c->all->open = c->next;
	if (c->next)
		c->next->previous = c->previous;
}

static void close_conn(struct conn *c)
{
	leave_flight(c);
	counters_of(c)->open--;
	timers_cancel(&c->all->loop->timers, &c->timer);
	(void) close(c->fd);
	unlink_open(c);
	body_done(&c->body);
	answer_done(&c->answer);
	c->next = c->all->spare;
	c->all->spare = c;
}

/* Goes on as far as it can, but not for ever: others wait. */
static void advance(struct conn *c)
{
	int r = 0;

	for (int i = 0; r == 0 && i < STEPS_PER_TURN; i++)
		r = step(c);
	if (r == 0)
		r = sleep_until(c, clock_now_ns() + 1); /* "at once", after the others */
	if (r != 0 && r != -EAGAIN)
		close_conn(c);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct conn *c = CONTAINER_OF(w, struct conn, watch);

	if (events & (EPOLLERR | EPOLLHUP)) {
		close_conn(c);
		return;
	}
	if (events & EPOLLRDHUP)
		c->in.has_ended = true;
	if (events & (EPOLLIN | EPOLLRDHUP))
		c->in.is_readable = true;
	advance(c);
}

static void on_timer(struct timer *t)
{
	advance(CONTAINER_OF(t, struct conn, timer));
}

static struct conn *take_memory(struct conns *cs)
{
	struct conn *c = cs->spare;

	if (!c)
		return malloc(sizeof(*c));
	cs->spare = c->next;
	return c;
}

int conns_open(struct conns *cs, int fd)
{
	struct counters *n = &cs->origin->counters;
	struct conn *c = take_memory(cs);
	if (!c)
		return -ENOMEM;

	memset(c, 0, offsetof(struct conn, in));
	input_init(&c->in);
	c->watch.ready = on_ready;
	c->timer.fire = on_timer;
	c->all = cs;
	c->fd = fd;
	c->number = cs->origin->connections_opened + 1;
	int r = loop_watch(cs->loop, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &c->watch);
	if (r < 0) {
		c->next = cs->spare;
		cs->spare = c;
		return r;
	}
	link_open(c);

	cs->origin->connections_opened++;
	n->connections++;
	if (++n->open > n->max_open)
		n->max_open = n->open;
	return 0;
}

void conns_done(struct conns *cs)
{
	while (cs->open)
		close_conn(cs->open);
	while (cs->spare) {
		struct conn *c = cs->spare;
		cs->spare = c->next;
		free(c);
	}
}
