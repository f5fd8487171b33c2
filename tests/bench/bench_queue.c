/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_queue [PRODUCERS CONSUMERS [CAPACITY [BATCH [ITEMS]]]]
 * bench_queue lanes [LANES...]
 * bench_queue steps KIND LANES JOBS
 *
 * How many jobs of one origin a second go through queue.h, and how many voluntary context
 * switches that takes; then what a push, a pop and a leave cost one thread together while so
 * many lanes have jobs.  Without arguments: the usual tables.  Each figure is the median of
 * five runs.  The jobs are made beforehand: only the queue is measured.  'steps' does the last
 * once with lanes of a kind and JOBS pops, for callgrind to count.
 */
#include "queue/queue.h"

#include "base/clock.h"
#include "base/sync.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { RUNS = 5, MAX_THREADS = 1024, MAX_BATCH = 1024, DEFAULT_ITEMS = 4000000 };

struct setup {
	size_t producers, consumers;
	size_t capacity; /* in jobs */
	size_t batch;    /* jobs in a push */
	size_t items;    /* of all producers */
};

struct measure {
	double items_per_s;
	double switches_per_1000;
};

/* All threads start into the measured part together. */
struct start {
	struct mutex lock;
	struct cond opened;
	bool open GUARDED_BY(lock);
};

struct producer {
	const struct setup *setup;
	struct start *start;
	struct queue *queue;
	struct job *ring; /* its jobs, in the order in which they are used, again and again */
	size_t ring_len;
	size_t items;
};

struct consumer {
	struct start *start;
	struct queue *queue;
	size_t items; /* that it got */
};

static void die(const char *what)
{
	(void) fprintf(stderr, "bench_queue: %s failed\n", what);
	exit(EXIT_FAILURE);
}

static void await(struct start *s)
{
	mutex_lock(&s->lock);
	while (!s->open)
		(void) cond_wait(&s->opened, &s->lock, NEVER);
	mutex_unlock(&s->lock);
}

static void open_start(struct start *s)
{
	mutex_lock(&s->lock);
	s->open = true;
	cond_broadcast(&s->opened);
	mutex_unlock(&s->lock);
}

/* The queue holds at most 'capacity' jobs, first in first out, so the one that was
 * pushed capacity + batch jobs ago has left it and can be pushed again. */
static void *produce(void *arg)
{
	struct producer *p = arg;
	struct job *batch[MAX_BATCH];
	size_t at = 0, pushed = 0;

	await(p->start);
	for (size_t left = p->items; left > 0; left -= pushed) {
		size_t n = left < p->setup->batch ? left : p->setup->batch;
		for (size_t i = 0; i < n; i++) {
			batch[i] = &p->ring[at];
			at = at + 1 < p->ring_len ? at + 1 : 0;
		}
		if (queue_push(p->queue, batch, n, NEVER, &pushed) < 0)
			die("queue_push");
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct consumer *c = arg;
	struct job_list evicted = { 0 };
	struct lane *lane = NULL, *left = NULL;
	struct job *job = NULL;

	await(c->start);
	while (queue_leave_and_pop(c->queue, left, NEVER, &job, &lane) == 0) {
		left = queue_may_leave_later(lane, LANE_ANSWERED, 0) ? lane : NULL;
		if (!left)
			queue_leave(c->queue, lane, LANE_ANSWERED, 0, &evicted);
		c->items++;
	}
	return NULL;
}

static void *make(size_t n, size_t size)
{
	void *made = calloc(n, size);

	if (!made)
		die("calloc");
	return made;
}

static struct job *make_ring(size_t len)
{
	struct job *ring = make(len, sizeof(*ring));

	for (size_t i = 0; i < len; i++) {
		ring[i].bytes = 200;
		ring[i].origin.text = "https://www.example.com:443";
	}
	return ring;
}

static long switches(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) < 0)
		die("getrusage");
	return usage.ru_nvcsw;
}

static void begin(pthread_t *ret_thread, void *(*run)(void *), void *arg)
{
	if (thread_start(ret_thread, "bench", THREAD_STACK_SMALL, run, arg) < 0)
		die("thread_start");
}

/* Runs the threads from the opening of the start to the last pop. */
static struct measure time_threads(const struct setup *setup, struct start *start,
                                   struct queue *queue, const pthread_t *producers,
                                   const pthread_t *consumers)
{
	long switches_before = switches();
	uint64_t before_ns = clock_now_ns();

	open_start(start);
	for (size_t i = 0; i < setup->producers; i++)
		thread_join(producers[i]);
	queue_close(queue);
	for (size_t i = 0; i < setup->consumers; i++)
		thread_join(consumers[i]);

	double seconds = (double) (clock_now_ns() - before_ns) / (double) NS_PER_S;
	return (struct measure){
		.items_per_s = (double) setup->items / seconds,
		.switches_per_1000 = (double) (switches() - switches_before) * 1000 /
		                     (double) setup->items,
	};
}

static struct measure run(const struct setup *setup)
{
	static struct producer producers[MAX_THREADS];
	static struct consumer consumers[MAX_THREADS];
	static pthread_t pushing[MAX_THREADS], popping[MAX_THREADS];
	struct start start = { .open = false };
	struct queue *queue = NULL;
	size_t total = 0;

	if (mutex_init(&start.lock) < 0 || cond_init(&start.opened) < 0 ||
	    queue_create(&(struct queue_options){ .capacity_jobs = setup->capacity,
	                                          .capacity_bytes = SIZE_MAX },
	                 &queue) < 0)
		die("set-up");
	for (size_t i = 0; i < setup->producers; i++) {
		size_t ring_len = setup->capacity + setup->batch;
		producers[i] = (struct producer){
			.setup = setup,
			.start = &start,
			.queue = queue,
			.ring = make_ring(ring_len),
			.ring_len = ring_len,
			.items = setup->items / setup->producers +
			         (i < setup->items % setup->producers),
		};
		begin(&pushing[i], produce, &producers[i]);
	}
	for (size_t i = 0; i < setup->consumers; i++) {
		consumers[i] = (struct consumer){ .start = &start, .queue = queue };
		begin(&popping[i], consume, &consumers[i]);
	}

	struct measure measure = time_threads(setup, &start, queue, pushing, popping);
	for (size_t i = 0; i < setup->consumers; i++)
		total += consumers[i].items;
	if (total != setup->items)
		die("counting the items");
	for (size_t i = 0; i < setup->producers; i++)
		free(producers[i].ring);
	queue_free(queue);
	cond_destroy(&start.opened);
	mutex_destroy(&start.lock);
	return measure;
}

static int by_rate(const void *a, const void *b)
{
	double x = ((const struct measure *) a)->items_per_s;
	double y = ((const struct measure *) b)->items_per_s;
	return (x > y) - (x < y);
}

static void bench(const struct setup *setup)
{
	struct measure runs[RUNS];

	for (size_t i = 0; i < RUNS; i++)
		runs[i] = run(setup);
	qsort(runs, RUNS, sizeof(runs[0]), by_rate);
	(void) printf("%9zu %9zu %9zu %6zu %12.2f %12.2f %12.2f %14.2f\n", setup->producers,
	              setup->consumers, setup->capacity, setup->batch, runs[0].items_per_s / 1e6,
	              runs[RUNS / 2].items_per_s / 1e6, runs[RUNS - 1].items_per_s / 1e6,
	              runs[RUNS / 2].switches_per_1000);
	(void) fflush(stdout);
}

/* --- many lanes --------------------------------------------------------------------------- */

/* What lanes are like. */
static const struct lane_kind {
	const char *name;
	size_t jobs; /* that each has: a lane whose one job is popped is freed, and made again */
	struct lane_limits limits;
} lane_kinds[] = {
	{ "stay", 2, { .burst = 1 } },
	{ "come and go", 1, { .burst = 1 } },
	{ "have limits", 2, { .concurrency = 4, .interval_ns = 1, .burst = 1000000000 } },
};

enum { ORIGIN_SIZE = 48, LANE_ITEMS = 1000000 };

static struct job *make_lane_jobs(const struct lane_kind *kind, size_t lanes, char *origins)
{
	struct job *jobs = make(lanes * kind->jobs, sizeof(*jobs));

	for (size_t i = 0; i < lanes; i++)
		(void) snprintf(origins + i * ORIGIN_SIZE, ORIGIN_SIZE, "https://h%zu.example:443",
		                i);
	for (size_t i = 0; i < lanes * kind->jobs; i++) {
		jobs[i].bytes = 200;
		jobs[i].origin.text = origins + i % lanes * ORIGIN_SIZE;
	}
	return jobs;
}

static void push_one(struct queue *queue, struct job *job)
{
	size_t pushed = 0;

	if (queue_push(queue, &job, 1, 0, &pushed) < 0)
		die("queue_push");
}

static struct job *pop_one(struct queue *queue)
{
	struct job_list evicted = { 0 };
	struct lane *lane = NULL;
	struct job *job = NULL;

	if (queue_pop(queue, 0, &job, &lane) < 0)
		die("queue_pop");
	queue_leave(queue, lane, LANE_ANSWERED, 0, &evicted);
	return job;
}

/* Nanoseconds a job, of 'n' jobs that go through lanes which have some. */
static double time_lanes(const struct lane_kind *kind, size_t lanes, size_t n)
{
	const struct queue_options options = { .capacity_jobs = lanes * kind->jobs,
		                               .capacity_bytes = SIZE_MAX };
	const struct lane_rule rule = { "*", kind->limits };
	char *origins = make(lanes, ORIGIN_SIZE);
	struct job *jobs = make_lane_jobs(kind, lanes, origins);
	struct queue *queue = NULL;

	if (queue_create(&options, &queue) < 0 || queue_set_rules(queue, &rule, 1) < 0)
		die("set-up");
	for (size_t i = 0; i < lanes * kind->jobs; i++)
		push_one(queue, &jobs[i]);
	uint64_t before_ns = clock_now_ns();
	for (size_t i = 0; i < n; i++)
		push_one(queue, pop_one(queue));
	uint64_t spent_ns = clock_now_ns() - before_ns;

	struct job_list evicted = { 0 };
	queue_evict(queue, &evicted);
	queue_free(queue);
	free(jobs);
	free(origins);
	return (double) spent_ns / (double) n;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;
	return (x > y) - (x < y);
}

static void bench_lanes(size_t lanes)
{
	(void) printf("%9zu", lanes);
	for (size_t k = 0; k < ARRAY_LEN(lane_kinds); k++) {
		double runs[RUNS];

		for (size_t i = 0; i < RUNS; i++)
			runs[i] = time_lanes(&lane_kinds[k], lanes, LANE_ITEMS);
		qsort(runs, RUNS, sizeof(runs[0]), by_size);
		(void) printf(" %12.0f", runs[RUNS / 2]);
	}
	(void) printf("\n");
	(void) fflush(stdout);
}

static void print_lanes_head(void)
{
	(void) printf("%9s", "lanes");
	for (size_t k = 0; k < ARRAY_LEN(lane_kinds); k++)
		(void) printf(" %12s", lane_kinds[k].name);
	(void) printf("  (ns a job)\n");
}

/* --- arguments ---------------------------------------------------------------------------- */

/* Stores the number in 'text', if it is one from 1 to 'max'. */
static bool read_count(const char *text, size_t max, size_t *ret_count)
{
	char *end = NULL;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || n < 1 || n > max)
		return false;
	*ret_count = n;
	return true;
}

static bool read_setup(int argc, char **argv, struct setup *ret_setup)
{
	struct setup s = { .capacity = 1024, .batch = 1, .items = DEFAULT_ITEMS };
	const struct {
		size_t *value;
		size_t max;
	} fields[] = { { &s.producers, MAX_THREADS },
		       { &s.consumers, MAX_THREADS },
		       { &s.capacity, 1000000 },
		       { &s.batch, MAX_BATCH },
		       { &s.items, 1000000000 } };

	if (argc < 3 || argc - 1 > (int) ARRAY_LEN(fields))
		return false;
	for (int i = 1; i < argc; i++)
		if (!read_count(argv[i], fields[i - 1].max, fields[i - 1].value))
			return false;
	*ret_setup = s;
	return true;
}

static int bench_given_lanes(int argc, char **argv)
{
	size_t lanes = 0;

	print_lanes_head();
	for (int i = 2; i < argc; i++) {
		if (!read_count(argv[i], 9999999, &lanes))
			return 64;
		bench_lanes(lanes);
	}
	return EXIT_SUCCESS;
}

static int take_steps(int argc, char **argv)
{
	size_t lanes = 0, n = 0;

	if (argc != 5 || !read_count(argv[3], 9999999, &lanes) ||
	    !read_count(argv[4], 1000000000, &n))
		return 64;
	for (size_t k = 0; k < ARRAY_LEN(lane_kinds); k++) {
		if (strcmp(argv[2], lane_kinds[k].name) == 0) {
			(void) time_lanes(&lane_kinds[k], lanes, n);
			return EXIT_SUCCESS;
		}
	}
	return 64;
}

static void print_threads_head(void)
{
	(void) printf("%9s %9s %9s %6s %12s %12s %12s %14s\n", "producers", "consumers", "capacity",
	              "batch", "M/s least", "M/s median", "M/s most", "switches/1000");
}

static void bench_usual(void)
{
	static const size_t threads[][2] = { { 1, 1 }, { 2, 2 }, { 4, 64 } };
	static const size_t batches[] = { 1, 8, 64 };
	static const size_t lanes[] = { 1, 100, 100000, 1000000 };

	print_threads_head();
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		for (size_t k = 0; k < ARRAY_LEN(batches); k++) {
			bench(&(struct setup){
			        .producers = threads[i][0],
			        .consumers = threads[i][1],
			        .capacity = 1024,
			        .batch = batches[k],
			        .items = DEFAULT_ITEMS,
			});
		}
	}
	print_lanes_head();
	for (size_t i = 0; i < ARRAY_LEN(lanes); i++)
		bench_lanes(lanes[i]);
}

int main(int argc, char **argv)
{
	struct setup setup;

	if (argc == 1) {
		bench_usual();
		return EXIT_SUCCESS;
	}
	if (strcmp(argv[1], "lanes") == 0)
		return bench_given_lanes(argc, argv);
	if (strcmp(argv[1], "steps") == 0)
		return take_steps(argc, argv);
	if (!read_setup(argc, argv, &setup)) {
		(void) fprintf(stderr, "Usage: bench_queue [PRODUCERS CONSUMERS [CAPACITY [BATCH "
		                       "[ITEMS]]]]\n"
		                       "       bench_queue lanes [LANES...]\n"
		               "       bench_queue steps KIND LANES JOBS\n");
		return 64;
	}
	print_threads_head();
	bench(&setup);
	return EXIT_SUCCESS;
}
