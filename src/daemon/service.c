/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/service.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#define STATUS_INTERVAL_NS (5 * NS_PER_S)

/* For how long a stop may seem to make no progress: two ticks. */
#define PROGRESS_NS (2 * STATUS_INTERVAL_NS)

void service_init(struct service *s)
{
	uint64_t watchdog_us = 0;

	*s = (struct service) { .notifies = getenv("NOTIFY_SOCKET") != NULL, .next_ns = NEVER };
	if (!s->notifies)
		return;
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		s->watchdog_ns = watchdog_us * NS_PER_US;
	s->next_ns = clock_now_ns();
}

int service_listen_fd(void)
{
	int n = sd_listen_fds(1);

	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++)
		if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0)
			return fd;
	return -1;
}

void service_ready(struct service *s)
{
	if (s->notifies)
		(void) sd_notify(0, "READY=1");
}

/* Debian 12 has systemd 252, without Type=notify-reload; later ones want the time. */
void service_reloading(struct service *s)
{
	if (s->notifies)
		(void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		                  (unsigned long long) (clock_now_ns() / NS_PER_US));
}

static void extend(const struct service *s, const char *state, uint64_t more_ns)
{
	if (s->notifies)
		(void) sd_notifyf(0, "%sEXTEND_TIMEOUT_USEC=%llu", state,
		                  (unsigned long long) (more_ns / NS_PER_US));
}

void service_stopping(struct service *s, uint64_t timeout_ns)
{
	s->stopping = true;
	extend(s, "STOPPING=1\n", timeout_ns + PROGRESS_NS);
}

void service_progress(struct service *s)
{
	if (s->stopping)
		extend(s, "", PROGRESS_NS);
}

/* Whatever a stop moves in the ledger is progress: nothing is started any more. */
static void tell_progress(struct service *s, const struct ledger_balance *ledger)
{
	if (memcmp(&s->last_ledger, ledger, sizeof(*ledger)) != 0)
		service_progress(s);
	s->last_ledger = *ledger;
}

uint64_t service_next_ns(const struct service *s) { return s->next_ns; }

static void tell_status(struct service *s, struct engine *e, uint64_t now_ns)
{
	struct engine_stats stats;

	engine_stats(e, &stats);
	uint64_t final = stats.ledger.jobs[LEDGER_DONE] + stats.ledger.jobs[LEDGER_DEAD];
	double seconds = (double) (now_ns - s->last_ns) / (double) NS_PER_S;
	if (s->last_ns == 0) /* what earlier runs have settled is nobody's rate */
		s->last_final = final;
	double rate = seconds > 0 ? (double) (final - s->last_final) / seconds : 0;

	(void) sd_notifyf(0, "STATUS=queue %zu of %zu, %.1f jobs/s, %llu settled",
	                  stats.queue.depth_jobs, stats.queue.capacity_jobs, rate,
	                  (unsigned long long) final);
	tell_progress(s, &stats.ledger);
	s->last_final = final;
	s->last_ns = now_ns;
}

static void answer_watchdog(struct service *s, struct engine *e)
{
	struct buf why = { 0 };

	if (engine_is_healthy(e, &why)) {
		(void) sd_notify(0, "WATCHDOG=1");
		if (s->withheld)
			crash_pardon();
		s->withheld = false;
	} else if (!s->withheld) {
		crash_blame(engine_stuck_job(e));
		log_event(LOG_LEVEL_ERROR, LOG_EVENT_UNHEALTHY, "the watchdog is not answered: %.*s",
		          (int) why.len, why.data ? why.data : "");
		s->withheld = true;
	}
	buf_done(&why);
}

void service_tick(struct service *s, struct engine *e)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t interval_ns = STATUS_INTERVAL_NS;

	if (now_ns < s->next_ns)
		return;
	if (s->watchdog_ns > 0) {
		answer_watchdog(s, e);
		interval_ns = s->watchdog_ns / 3 < interval_ns ? s->watchdog_ns / 3 : interval_ns;
	}
	tell_status(s, e, now_ns);
	s->next_ns = now_ns + interval_ns;
}
