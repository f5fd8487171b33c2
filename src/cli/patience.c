/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/patience.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>

#define FIRST_PAUSE_NS  (50 * NS_PER_MS)
#define LAST_PAUSE_NS   (5 * NS_PER_S)
#define MAX_RETRY_AFTER_S UINT64_C(30)
#define SAY_AGAIN_NS    (60 * NS_PER_S)

enum { TICK_MS = 200 };

void patience_answered(struct patience *p)
{
	if (p->silent_since_ns != 0)
		log_info("%s: the daemon answers again", p->path);
	p->silent_since_ns = 0;
	p->was_there = true;
}

void patience_rewarded(struct patience *p)
{
	p->pause_ns = 0;
	p->said_ns = 0;
}

int patience_pause(const struct patience *p, uint64_t span_ns)
{
	struct pollfd set = { .fd = p->watch.stop_fd, .events = POLLIN };
	uint64_t until_ns = clock_after(clock_now_ns(), span_ns);

	while (clock_now_ns() < until_ns) {
		int wait_ms = clock_poll_ms(until_ns);
		int n = poll(&set, 1, wait_ms < TICK_MS ? wait_ms : TICK_MS);
		if (n > 0)
			return -ECANCELED;
		if (p->watch.tick)
			p->watch.tick(p->watch.arg);
	}
	return 0;
}

static int pause_longer(struct patience *p, uint64_t at_least_ns)
{
	p->pause_ns = p->pause_ns == 0 ? FIRST_PAUSE_NS : p->pause_ns * 2;
	if (p->pause_ns > LAST_PAUSE_NS)
		p->pause_ns = LAST_PAUSE_NS;
	uint64_t span_ns = p->pause_ns > at_least_ns ? p->pause_ns : at_least_ns;
	return patience_pause(p, span_ns) < 0 ? EXIT_UNFINISHED : EXIT_OK;
}

int patience_failed(struct patience *p, int error)
{
	uint64_t now_ns = clock_now_ns();

	if (error == -ECANCELED)
		return EXIT_UNFINISHED;
	p->was_there |= error == -ECONNRESET; /* somebody took the connection */
	if (error == -ENOMEM || !p->was_there)
		return unix_http_log_error(p->path, error);

	if (p->silent_since_ns == 0) {
		p->silent_since_ns = now_ns;
		log_warning("%s: the daemon has gone; trying again", p->path);
	} else if (now_ns - p->silent_since_ns >= p->limit_ns) {
		return unix_http_log_error(p->path, error);
	}
	return pause_longer(p, 0);
}

int patience_refused(struct patience *p, const char *why, uint64_t retry_after_s)
{
	uint64_t now_ns = clock_now_ns();

	if (p->said_ns == 0 || now_ns - p->said_ns >= SAY_AGAIN_NS) {
		log_info("%s: the daemon takes no more now: %s; waiting", p->path, why);
		p->said_ns = now_ns;
	}
	if (retry_after_s > MAX_RETRY_AFTER_S)
		retry_after_s = MAX_RETRY_AFTER_S;
	return pause_longer(p, retry_after_s * NS_PER_S);
}
