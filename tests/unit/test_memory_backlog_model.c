/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h against a model of it that is too simple to be wrong: plain arrays.  And
 * under load, with submitters that wait for what others settle. */
#include "backlog/memory.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"
#include "seed.h"
#include "backlog_calls.h"
#include "stub_jobs.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { MAX_JOBS = 200, MAX_BYTES = 10000, STEPS = 20000, BATCH = 12 };

/* Jobs in order.  The delayed ones are found by looking at all of them. */
struct line {
	struct job *jobs[MAX_JOBS];
	size_t len;
};

struct model {
	struct line waiting, delayed, out;
	size_t bytes;
	uint64_t last_number;
	unsigned ready; /* calls of the listener that there must have been */
};

static void insert(struct line *l, size_t at, struct job *job)
{
	memmove(l->jobs + at + 1, l->jobs + at, (l->len - at) * sizeof(l->jobs[0]));
	l->jobs[at] = job;
	l->len++;
}

static struct job *take_at(struct line *l, size_t at)
{
	struct job *job = l->jobs[at];

	l->len--;
	memmove(l->jobs + at, l->jobs + at + 1, (l->len - at) * sizeof(l->jobs[0]));
	return job;
}

static size_t held(const struct model *m) { return m->waiting.len + m->delayed.len + m->out.len; }

/* Where the job that falls due first stands; due times differ, so there is one. */
static size_t first_due(const struct line *l)
{
	size_t first = 0;

	for (size_t i = 1; i < l->len; i++)
		if (l->jobs[i]->due_ns < l->jobs[first]->due_ns)
			first = i;
	return first;
}

static uint64_t next_due(const struct line *l)
{
	return l->len > 0 ? l->jobs[first_due(l)]->due_ns : NEVER;
}

static void count_ready(void *arg) { ++*(unsigned *) arg; }

/* --- steps: each does the same to both and compares --------------------------------------- */

static void step_submit(struct model *m, struct backlog *b, struct random *r)
{
	struct job *jobs[BATCH];
	size_t n = below(r, BATCH), bytes = 0;

	for (size_t i = 0; i < n; i++) {
		jobs[i] = stub_job(0, 1 + below(r, below(r, 200) ? 20 : 2 * MAX_BYTES));
		bytes += jobs[i]->bytes;
	}
	if (bytes > MAX_BYTES) {
		CU_ASSERT_EQUAL(submit_jobs(b, jobs, n), -EMSGSIZE);
	} else if (held(m) + n > MAX_JOBS || m->bytes + bytes > MAX_BYTES) {
		/* It would wait, and here nobody else could make room. */
	} else {
		CU_ASSERT_EQUAL_FATAL(submit_jobs(b, jobs, n), 0);
		m->ready++;
		m->bytes += bytes;
		for (size_t i = 0; i < n; i++) {
			CU_ASSERT_EQUAL(jobs[i]->number, ++m->last_number);
			insert(&m->waiting, m->waiting.len, jobs[i]);
		}
		return;
	}
	free_jobs(jobs, n);
}

static void step_take(struct model *m, struct backlog *b, struct random *r, uint64_t now_ns)
{
	struct job *jobs[BATCH];
	size_t room = below(r, BATCH), n = 0;
	uint64_t due = 0;

	while (next_due(&m->delayed) <= now_ns)
		insert(&m->waiting, m->waiting.len, take_at(&m->delayed, first_due(&m->delayed)));
	n = backlog_take(b, now_ns, room, jobs, &due);
	CU_ASSERT_EQUAL_FATAL(n, room < m->waiting.len ? room : m->waiting.len);
	CU_ASSERT_EQUAL(due, next_due(&m->delayed));
	for (size_t i = 0; i < n; i++) {
		struct job *expected = take_at(&m->waiting, 0);
		CU_ASSERT_PTR_EQUAL_FATAL(jobs[i], expected);
		CU_ASSERT_EQUAL(jobs[i]->due_ns, 0);
		insert(&m->out, m->out.len, expected);
	}
}

static void step_settle(struct model *m, struct backlog *b, struct random *r, uint64_t *next_due_ns)
{
	struct verdict verdicts[BATCH];
	size_t n = 0;
	bool came_back = false;

	for (size_t most = below(r, BATCH); n < most && m->out.len > 0; n++) {
		struct job *job = take_at(&m->out, below(r, m->out.len));
		struct verdict *v = &verdicts[n];

		*v = (struct verdict) { .job = job, .kind = (enum verdict_kind) below(r, 3) };
		if (below(r, 2))
			v->due_ns = *next_due_ns += 1 + below(r, 100);
		if (v->kind == VERDICT_FINAL) {
			m->bytes -= job->bytes;
			continue;
		}
		came_back = true;
		job->due_ns = v->due_ns; /* so that the model knows it */
		if (v->due_ns > 0)
			insert(&m->delayed, below(r, m->delayed.len + 1), job);
		else
			insert(&m->waiting, v->kind == VERDICT_RETURN ? 0 : m->waiting.len, job);
	}
	settle_jobs(b, verdicts, n);
	m->ready += came_back;
}

static void compare(const struct model *m, struct backlog *b, unsigned ready)
{
	struct backlog_stats s;

	backlog_stats(b, &s);
	CU_ASSERT_EQUAL_FATAL(s.waiting, m->waiting.len);
	CU_ASSERT_EQUAL_FATAL(s.delayed, m->delayed.len);
	CU_ASSERT_EQUAL_FATAL(s.held_jobs, held(m));
	CU_ASSERT_EQUAL_FATAL(s.held_bytes, m->bytes);
	CU_ASSERT_EQUAL(s.submitters_blocked_ns, 0);
	CU_ASSERT_EQUAL_FATAL(ready, m->ready);
}

static void test_random_histories_go_as_in_the_model(void)
{
	struct random r = seeded();
	struct model m = { 0 };
	struct backlog *b = NULL;
	uint64_t now_ns = 0, due_ns = 0;
	unsigned ready = 0;

	CU_ASSERT_EQUAL_FATAL(create_memory_backlog(MAX_JOBS, MAX_BYTES, &b), 0);
	b->listener = (struct backlog_listener) { .ready = count_ready, .arg = &ready };
	for (int i = 0; i < STEPS; i++) {
		switch (below(&r, 3)) {
		case 0:
			step_submit(&m, b, &r);
			break;
		case 1:
			now_ns += below(&r, 200);
			step_take(&m, b, &r, now_ns);
			break;
		default:
			/* Times before the present one as well: those are due at once. */
			if (due_ns < now_ns && below(&r, 2))
				due_ns = now_ns;
			step_settle(&m, b, &r, &due_ns);
			break;
		}
		compare(&m, b, ready);
	}
	while (m.out.len > 0) /* none may be out when it is freed */
		step_settle(&m, b, &r, &due_ns);
	backlog_free(b);
}

/* --- load ---------------------------------------------------------------------------------- */

enum { SUBMITTERS = 4, JOBS_EACH = 3000, WORKERS = 3, LOAD_JOBS = 6, LOAD_BYTES = 400 };

struct load {
	struct backlog *backlog;
	atomic_size_t settled;
	atomic_bool failed;
	struct mutex lock;
	struct cond changed; /* ready || finished */
	bool ready GUARDED_BY(lock);
	bool finished GUARDED_BY(lock);
};

struct loader {
	struct load *load;
	struct random random;
};

static void on_ready(void *arg)
{
	struct load *l = arg;

	mutex_lock(&l->lock);
	l->ready = true;
	cond_broadcast(&l->changed);
	mutex_unlock(&l->lock);
}

static void *submit_all(void *arg)
{
	struct loader *me = arg;
	struct job *jobs[BATCH];

	for (size_t done = 0; done < JOBS_EACH;) {
		size_t n = 1 + below(&me->random, 4);
		n = n < JOBS_EACH - done ? n : JOBS_EACH - done;
		for (size_t i = 0; i < n; i++)
			jobs[i] = stub_job(0, 1 + below(&me->random, LOAD_BYTES / 5));
		if (submit_jobs(me->load->backlog, jobs, n) < 0)
			atomic_store(&me->load->failed, true);
		done += n;
	}
	return NULL;
}

/* Settles a job after some two attempts. */
static void *work(void *arg)
{
	struct loader *me = arg;
	struct load *l = me->load;
	bool finished = false;

	while (!finished) {
		struct job *jobs[BATCH];
		struct verdict verdicts[BATCH];
		uint64_t due = 0;
		size_t n = backlog_take(l->backlog, clock_now_ns(),
		                        1 + below(&me->random, BATCH - 1), jobs, &due);
		size_t final = 0;

		for (size_t i = 0; i < n; i++) {
			verdicts[i] = (struct verdict) {
				.job = jobs[i],
				.kind = (enum verdict_kind) below(&me->random, 3),
				.due_ns = below(&me->random, 2) ? clock_now_ns() + 20000 : 0,
			};
			final += verdicts[i].kind == VERDICT_FINAL;
		}
		if (n > 0)
			settle_jobs(l->backlog, verdicts, n);
		atomic_fetch_add(&l->settled, final);

		mutex_lock(&l->lock);
		bool in_time = n == 0;
		while (!l->ready && !l->finished && in_time)
			in_time = cond_wait(&l->changed, &l->lock, due);
		l->ready = false;
		finished = l->finished;
		mutex_unlock(&l->lock);
	}
	return NULL;
}

static void finish(struct load *l)
{
	mutex_lock(&l->lock);
	l->finished = true;
	cond_broadcast(&l->changed);
	mutex_unlock(&l->lock);
}

static void test_under_load_every_job_is_settled_once(void)
{
	struct random r = seeded();
	struct load l = { 0 };
	struct loader loaders[SUBMITTERS + WORKERS];
	pthread_t threads[SUBMITTERS + WORKERS];
	struct backlog_stats s;

	CU_ASSERT_EQUAL_FATAL(mutex_init(&l.lock), 0);
	CU_ASSERT_EQUAL_FATAL(cond_init(&l.changed), 0);
	CU_ASSERT_EQUAL_FATAL(create_memory_backlog(LOAD_JOBS, LOAD_BYTES, &l.backlog), 0);
	l.backlog->listener = (struct backlog_listener) { .ready = on_ready, .arg = &l };
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		loaders[i] = (struct loader) { .load = &l,
			                      .random.state = random_up_to(&r, UINT64_MAX) };
		CU_ASSERT_EQUAL_FATAL(thread_start(&threads[i], "load", THREAD_STACK_SMALL,
		                                   i < SUBMITTERS ? submit_all : work, &loaders[i]),
		                      0);
	}
	for (size_t i = 0; i < SUBMITTERS; i++)
		thread_join(threads[i]);
	do
		backlog_stats(l.backlog, &s);
	while (s.held_jobs > 0);
	finish(&l);
	for (size_t i = SUBMITTERS; i < ARRAY_LEN(threads); i++)
		thread_join(threads[i]);

	CU_ASSERT_FALSE(atomic_load(&l.failed));
	CU_ASSERT_EQUAL(atomic_load(&l.settled), SUBMITTERS * JOBS_EACH);
	backlog_stats(l.backlog, &s);
	CU_ASSERT_EQUAL(s.waiting + s.delayed + s.held_bytes + s.submitters_blocked, 0);
	backlog_free(l.backlog);
	cond_destroy(&l.changed);
	mutex_destroy(&l.lock);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "random histories go as in the model", test_random_histories_go_as_in_the_model },
		{ "under load every job is settled once",
		  test_under_load_every_job_is_settled_once },
		CU_TEST_INFO_NULL,
	};

	(void) alarm(600); /* a hang is a failure */
	return unit_run("memory_backlog_model", tests);
}
