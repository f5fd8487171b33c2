/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tally.h"

#include "base/clock.h"

#include <errno.h>

const char *failure_name(enum failure why)
{
	static const char *const names[FAILURES] = {
		[FAILURE_HTTP_4XX] = "http_4xx",   [FAILURE_HTTP_5XX] = "http_5xx",
		[FAILURE_HTTP_OTHER] = "http_other", [FAILURE_TIMEOUT] = "timeout",
		[FAILURE_DEADLINE] = "deadline",   [FAILURE_NAME] = "name",
		[FAILURE_CONNECT] = "connect",     [FAILURE_RESET] = "reset",
		[FAILURE_TLS] = "tls",             [FAILURE_PROTOCOL] = "protocol",
		[FAILURE_REDIRECT] = "redirect",   [FAILURE_TOO_LARGE] = "too_large",
		[FAILURE_GUARD] = "guard",         [FAILURE_BODY] = "body",
		[FAILURE_OTHER] = "other",
	};
	return names[why];
}

const char *fetch_phase_name(enum fetch_phase phase)
{
	static const char *const names[PHASES] = {
		[PHASE_NAME] = "name",
		[PHASE_CONNECT] = "connect",
		[PHASE_TLS] = "tls",
		[PHASE_FIRST_BYTE] = "first_byte",
		[PHASE_TRANSFER] = "transfer",
	};
	return names[phase];
}

static enum failure failure_of_status(long status)
{
	return status / 100 == 4   ? FAILURE_HTTP_4XX
	       : status / 100 == 5 ? FAILURE_HTTP_5XX
	                           : FAILURE_HTTP_OTHER;
}

static enum failure failure_of(int error, const struct response *response)
{
	if (response->body_error < 0)
		return FAILURE_BODY;
	switch (error) {
	case 0:
		return failure_of_status(response->status);
	case -ETIMEDOUT:
		return FAILURE_TIMEOUT;
	case -ETIME:
		return FAILURE_DEADLINE;
	case -ENOENT:
		return FAILURE_NAME;
	case -ECONNREFUSED:
		return FAILURE_CONNECT;
	case -ECONNRESET:
		return FAILURE_RESET;
	case -EKEYREJECTED:
		return FAILURE_TLS;
	case -EPROTO:
		return FAILURE_PROTOCOL;
	case -EINVAL:
	case -ELOOP:
	case -EPROTONOSUPPORT:
		return FAILURE_REDIRECT;
	case -EFBIG:
		return FAILURE_TOO_LARGE;
	case -EACCES:
		return FAILURE_GUARD;
	case -ENODATA:
	case -ENOSPC:
		return FAILURE_BODY;
	default:
		return FAILURE_OTHER;
	}
}

static void add_one(_Atomic uint64_t *counter)
{
	(void) atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* A step that was taken has a time at its end. */
static void add_phase(struct tally *t, enum fetch_phase phase, uint64_t from_us, uint64_t to_us)
{
	if (to_us > 0)
		histogram_add(&t->phases[phase], to_us > from_us ? (to_us - from_us) * NS_PER_US : 0);
}

/* Those of the last hop; a connection that was kept from before has no steps up to it. */
static void add_phases(struct tally *t, const struct response *r)
{
	uint64_t begin_us = r->redirect_us;
	uint64_t named_us = r->namelookup_us > begin_us ? r->namelookup_us : begin_us;

	if (r->namelookup_us > begin_us)
		add_phase(t, PHASE_NAME, begin_us, named_us);
	add_phase(t, PHASE_CONNECT, named_us, r->connect_us);
	add_phase(t, PHASE_TLS, r->connect_us, r->appconnect_us);
	add_phase(t, PHASE_FIRST_BYTE, r->pretransfer_us, r->starttransfer_us);
	if (r->complete)
		add_phase(t, PHASE_TRANSFER, r->starttransfer_us, r->total_us);
}

void tally_attempt(struct tally *t, int error, const struct response *response,
                   const struct judgement *j)
{
	long class = response->status / 100;
	enum failure why = failure_of(error, response);

	histogram_add(&t->duration, response->total_us * NS_PER_US);
	add_phases(t, response);
	if (error == 0 && class >= 1 && class <= STATUS_CLASSES)
		add_one(&t->responses[class - 1]);
	if (j->kind == VERDICT_FINAL && j->outcome == OUTCOME_DONE)
		return;
	add_one(&t->failures[why]);
	if (j->kind == VERDICT_RETRY)
		add_one(&t->retried[why]);
}

static void read_counters(_Atomic uint64_t *counters, size_t n, uint64_t *to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = atomic_load_explicit(&counters[i], memory_order_relaxed);
}

void tally_read(struct tally *t, struct tally_figures *ret_figures)
{
	read_counters(t->responses, STATUS_CLASSES, ret_figures->responses);
	read_counters(t->failures, FAILURES, ret_figures->failures);
	read_counters(t->retried, FAILURES, ret_figures->retried);
	histogram_read(&t->queue_wait, &ret_figures->queue_wait);
	histogram_read(&t->duration, &ret_figures->duration);
	for (int i = 0; i < PHASES; i++)
		histogram_read(&t->phases[i], &ret_figures->phases[i]);
}
