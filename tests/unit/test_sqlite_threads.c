/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.h under load: submitters that wait for room, a taker, one that takes by id, and a
 * recorder that settles in every way; again and again after a restart.  No job is lost, none
 * is out twice at a time, and each has one record.  The threads only report.
 */
#include "sqlite_stage.h"

#include "base/thread.h"
#include "seed.h"

enum { LIVES = 3, SUBMITTERS = 3, BATCHES = 40, BATCH = 20, ROOM = 16, CHANNEL = 256,
       MAX_NUMBERS = LIVES * SUBMITTERS * BATCHES * BATCH + 1 };

/* Jobs on their way from those who take to the one who settles. */
struct channel {
	struct mutex lock;
	struct cond changed;
	struct job *jobs[CHANNEL] GUARDED_BY(lock);
	bool cancelled[CHANNEL] GUARDED_BY(lock);
	size_t n GUARDED_BY(lock);
	bool closed GUARDED_BY(lock);
};

struct load {
	struct stage *stage;
	struct channel channel;
	atomic_bool stop;         /* those who take */
	atomic_uint errors;
	atomic_size_t submitted;  /* jobs that were accepted, by their receipts */
	atomic_size_t settled;
	atomic_uchar out[MAX_NUMBERS];
	unsigned char final[MAX_NUMBERS]; /* the recorder's */
};

struct worker {
	struct load *load;
	struct random random;
	unsigned life, which;
	pthread_t thread;
};

static void check(struct load *l, bool good)
{
	if (!good)
		l->errors++;
}

static void put(struct load *l, struct job *job, bool cancelled)
{
	struct channel *c = &l->channel;

	check(l, job->number < MAX_NUMBERS);
	check(l, atomic_exchange(&l->out[job->number], 1) == 0);
	mutex_lock(&c->lock);
	while (c->n == CHANNEL)
		(void) cond_wait(&c->changed, &c->lock, NEVER);
	c->cancelled[c->n] = cancelled;
	c->jobs[c->n++] = job;
	cond_broadcast(&c->changed);
	mutex_unlock(&c->lock);
}

/* --- the threads -------------------------------------------------------------------------- */

static struct job *new_job(struct worker *w, struct url_parser *parser, unsigned at)
{
	static const char *const kinds[] = {
		"http://a/%u/%u/%u",
		"{\"url\":\"http://a/\",\"id\":\"%u-%u-%u\"}",
		"{\"url\":\"http://a/\",\"priority\":\"high\",\"meta\":[%u,%u,%u]}",
		"{\"url\":\"http://a/\",\"id\":\"same %u %u\",\"priority\":\"low\"}", /* known */
	};
	char line[128];
	struct buf why = { 0 };
	struct job *job = NULL;
	const char *kind = kinds[below(&w->random, ARRAY_LEN(kinds))];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void) snprintf(line, sizeof(line), kind, w->life, w->which, at);
#pragma GCC diagnostic pop
	if (job_parse(parser, line, strlen(line), &job, &why) < 0)
		abort();
	return job;
}

static void *run_submitter(void *arg)
{
	struct worker *w = arg;
	struct url_parser *parser = NULL;
	struct job *jobs[BATCH];
	struct receipt receipts[BATCH];

	check(w->load, url_parser_create(&parser) == 0);
	for (unsigned i = 0; i < BATCHES; i++) {
		size_t n = 1 + below(&w->random, BATCH);
		for (size_t j = 0; j < n; j++)
			jobs[j] = new_job(w, parser, i * BATCH + (unsigned) j);
		struct submission sub = { .jobs = jobs, .n = n, .receipts = receipts, .waits = true };
		check(w->load, backlog_submit_and_wait(w->load->stage->b, &sub) == 0);
		for (size_t j = 0; j < n; j++) {
			check(w->load, receipts[j].kind != RECEIPT_CONFLICT);
			w->load->submitted += receipts[j].kind == RECEIPT_ACCEPTED;
		}
	}
	url_parser_free(parser);
	return NULL;
}

static void *run_taker(void *arg)
{
	struct worker *w = arg;
	struct job *jobs[ROOM];
	uint64_t due = 0;

	while (!w->load->stop) {
		size_t n = backlog_take(w->load->stage->b, clock_now_ns(), 1 + below(&w->random, ROOM),
		                        NULL, jobs, &due);
		check(w->load, due == NEVER);
		for (size_t i = 0; i < n; i++)
			put(w->load, jobs[i], false);
		if (n == 0)
			(void) sched_yield();
	}
	return NULL;
}

static void *run_canceller(void *arg)
{
	struct worker *w = arg;

	while (!w->load->stop) {
		struct backlog_stats stats = stage_stats(w->load->stage);
		struct asked a = { .query = { .kind = QUERY_TAKE, .done = asked_done } };
		a.query.number = 1 + below(&w->random, (size_t) stats.accepted + 1);
		backlog_query(w->load->stage->b, &a.query);
		while (!a.ended)
			(void) sched_yield();
		check(w->load, (a.error == 0) == (a.query.job != NULL));
		check(w->load, a.error == 0 || a.error == -EBUSY || a.error == -EALREADY ||
		                       a.error == -ENOENT);
		if (a.query.job)
			put(w->load, a.query.job, true);
		asked_free(&a);
	}
	return NULL;
}

static struct verdict judge(struct worker *w, struct job *job, bool cancelled, uint64_t *seq,
                            char *line)
{
	struct verdict v = { .job = job };
	size_t dice = cancelled ? 0 : below(&w->random, 10);

	if (dice < 6) {
		v.seq = ++*seq;
		v.kind = VERDICT_FINAL;
		v.outcome = (enum outcome) below(&w->random, OUTCOMES);
		v.line = line;
		v.line_len = (size_t) sprintf(line, "%llu\n", (unsigned long long) v.seq);
	} else {
		v.kind = dice < 8 ? VERDICT_RETRY : VERDICT_RETURN;
		v.due_ns = dice % 2 == 0 ? 0 : clock_now_ns() + below(&w->random, 3 * NS_PER_MS);
	}
	return v;
}

/* Settles all that the channel has, until it is closed and empty. */
static void *run_recorder(void *arg)
{
	struct worker *w = arg;
	struct load *l = w->load;
	struct channel *c = &l->channel;
	struct verdict v[CHANNEL];
	static char lines[CHANNEL][24];

	for (;;) {
		mutex_lock(&c->lock);
		while (c->n == 0 && !c->closed)
			(void) cond_wait(&c->changed, &c->lock, NEVER);
		size_t n = c->n, final = 0;
		uint64_t seq = l->stage->seq;
		for (size_t i = 0; i < n; i++)
			v[i] = judge(w, c->jobs[i], c->cancelled[i], &seq, lines[i]);
		c->n = 0;
		cond_broadcast(&c->changed);
		mutex_unlock(&c->lock);
		if (n == 0)
			return NULL;

		for (size_t i = 0; i < n; i++) {
			uint64_t number = v[i].job->number;
			if (v[i].kind == VERDICT_FINAL) {
				check(l, l->final[number]++ == 0);
				final++;
			} else {
				l->out[number] = 0; /* it may be out again as soon as it is settled */
			}
		}
		check(l, backlog_settle(l->stage->b, v, n) == 0);
		l->stage->seq = seq;
		l->settled += final;
	}
}

/* --- a life ---------------------------------------------------------------------------------- */

static void start(struct worker *w, struct load *l, struct random *r, void *(*run)(void *))
{
	w->load = l;
	w->random.state = random_up_to(r, UINT64_MAX);
	CU_ASSERT_EQUAL_FATAL(thread_start(&w->thread, "test", THREAD_STACK_PARSER, run, w), 0);
}

/* The last life goes on until all is settled; the others end in the midst of it. */
static void live(struct load *l, struct random *r, unsigned life)
{
	struct worker submitters[SUBMITTERS], taker = { 0 }, canceller = { 0 }, recorder = { 0 };

	stage_open(l->stage);
	mutex_lock(&l->channel.lock);
	l->channel.closed = false;
	mutex_unlock(&l->channel.lock);
	l->stop = false;
	start(&recorder, l, r, run_recorder);
	start(&taker, l, r, run_taker);
	start(&canceller, l, r, run_canceller);
	for (unsigned i = 0; i < SUBMITTERS; i++) {
		submitters[i] = (struct worker) { .life = life, .which = i };
		start(&submitters[i], l, r, run_submitter);
	}
	for (unsigned i = 0; i < SUBMITTERS; i++)
		thread_join(submitters[i].thread);
	while (life == LIVES - 1 && l->settled < l->submitted)
		(void) sched_yield();
	l->stop = true;
	thread_join(taker.thread);
	thread_join(canceller.thread);
	mutex_lock(&l->channel.lock);
	l->channel.closed = true;
	cond_broadcast(&l->channel.changed);
	mutex_unlock(&l->channel.lock);
	thread_join(recorder.thread);

	size_t held = l->submitted - l->settled;
	struct backlog_stats stats = stage_stats(l->stage);
	CU_ASSERT_EQUAL(stats.waiting + stats.delayed, held);
	CU_ASSERT_EQUAL(stats.held_jobs, held);
	CU_ASSERT_EQUAL(stats.accepted, l->submitted);
	CU_ASSERT_EQUAL(stats.last_seq, l->settled);
	CU_ASSERT_EQUAL(l->stage->accepted, l->submitted);
	stage_close(l->stage);
}

static void test_nothing_is_lost_and_nothing_is_out_twice(void)
{
	struct load *l = calloc(1, sizeof(*l));
	struct stage s;
	struct random r = seeded();
	struct buf b = { 0 };
	uint64_t last = 0, after = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(l);
	stage_init(&s);
	s.options.max_jobs = 200;
	l->stage = &s;
	CU_ASSERT_EQUAL_FATAL(mutex_init(&l->channel.lock), 0);
	CU_ASSERT_EQUAL_FATAL(cond_init(&l->channel.changed), 0);
	for (unsigned life = 0; life < LIVES; life++)
		live(l, &r, life);

	CU_ASSERT_EQUAL(l->errors, 0);
	CU_ASSERT_EQUAL(l->submitted, l->settled);
	for (size_t number = 1; number <= l->submitted; number++)
		CU_ASSERT_EQUAL(l->final[number], 1);
	stage_open(&s);
	do {
		after = last;
		CU_ASSERT_EQUAL_FATAL(backlog_history(s.b, after, &b, &last), 0);
	} while (last > after);
	CU_ASSERT_EQUAL(last, l->settled);
	buf_done(&b);
	cond_destroy(&l->channel.changed);
	mutex_destroy(&l->channel.lock);
	free(l);
	stage_done(&s);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "nothing is lost, and nothing is out twice",
		  test_nothing_is_lost_and_nothing_is_out_twice },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("sqlite_threads", tests);
}
