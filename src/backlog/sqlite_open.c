/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a SQLite backlog: its lock, its files, its accounts; and freeing it. */
#include "backlog/sqlite_parts.h"

#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- opening ------------------------------------------------------------------------------ */

PRINTF_LIKE(4, 5)
static int complain(struct buf *errors, const char *path, int error, const char *format, ...)
{
	va_list args;
	char text[320];

	va_start(args, format);
	(void) vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	buf_printf(errors, "%s: %s", path, text);
	return error;
}

/* Of a kind that `penstock audit` can ask about without taking it for a moment. */
static int lock_file(struct sqlite_backlog *q, struct buf *errors)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char *path = NULL;
	if (asprintf(&path, "%s.lock", q->options.path) < 0)
		return complain(errors, q->options.path, -ENOMEM, "%s", strerror(ENOMEM));

	int r = 0;
	q->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (q->lock_fd < 0)
		r = complain(errors, path, -errno, "cannot be opened: %s", strerror(errno));
	else if (fcntl(q->lock_fd, F_OFD_SETLK, &whole) < 0)
		r = complain(errors, path, -errno,
		             errno == EAGAIN || errno == EACCES ? "another process owns this backlog"
		                                  : "cannot be locked: %s", strerror(errno));
	free(path);
	return r;
}

/* A log without its database holds accepted jobs; opening would throw them away. */
static int check_files(struct sqlite_backlog *q, struct buf *errors)
{
	struct stat database = { 0 }, wal = { 0 };

	if (stat(q->options.path, &database) < 0 && errno != ENOENT)
		return complain(errors, q->options.path, -errno, "%s", strerror(errno));
	if (database.st_size == 0 && stat(q->wal_path, &wal) == 0 && wal.st_size > 0)
		return complain(errors, q->options.path, -EUCLEAN,
		                "the database is gone, but its log %s is there", q->wal_path);
	return 0;
}

/* The directory's entry for a new database must be durable too. */
static int sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash ? strndup(path, (size_t) (slash - path) + 1) : strdup(".");
	if (!directory)
		return -ENOMEM;

	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
	if (fd >= 0)
		(void) close(fd);
	free(directory);
	return r;
}

/* Jobs may hold secrets; the log and the rest get the same mode from SQLite. */
static int make_file(struct sqlite_backlog *q, struct buf *errors)
{
	int fd = open(q->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0 && errno == EEXIST)
		return 0;
	int r = fd < 0 ? -errno : sync_directory(q->path);
	if (fd >= 0)
		(void) close(fd);
	return r < 0 ? complain(errors, q->path, r, "cannot be made: %s", strerror(-r)) : 0;
}

/* What an origin has asked for is kept to.  Other rests follow from settings, which may have
 * changed, and from what the last process has seen. */
static int end_own_rests(struct sqlite_backlog *q)
{
	db_bind_i64(&q->db, DB_OPEN_AT_START, 1, WAIT_RETRY_AFTER);
	int r = db_run(&q->db, DB_OPEN_AT_START);
	return r < 0 ? r : db_run(&q->db, DB_DELETE_LANES);
}

/* Returns 1 with the row's state and lane, 0 or -Exxx. */
static int look_at(struct db *db, uint64_t number, int64_t *ret_state, uint64_t *ret_lane)
{
	db_bind_u64(db, DB_ROW, 1, number);
	int r = db_next(db, DB_ROW);
	if (r == 1) {
		*ret_state = db_i64(db, DB_ROW, 0);
		*ret_lane = db_u64(db, DB_ROW, 1);
		db_end(db, DB_ROW);
	}
	return r;
}

static int take_off_lane(struct db *db, uint64_t lane)
{
	db_bind_u64(db, DB_CHANGE_LANE, 1, lane);
	db_bind_i64(db, DB_CHANGE_LANE, 2, 0);
	db_bind_i64(db, DB_CHANGE_LANE, 3, -1);
	return db_run(db, DB_CHANGE_LANE);
}

/* A job that is set aside waits in its lane no more. */
static int blame(struct sqlite_backlog *q)
{
	struct db *db = &q->db;
	int64_t before = 0, after = 0;
	uint64_t lane = 0;

	int r = look_at(db, q->options.blamed, &before, &lane);
	if (r <= 0)
		return r;
	db_bind_u64(db, DB_BLAME, 1, q->options.blamed);
	db_bind_i64(db, DB_BLAME, 2, SQLITE_BACKLOG_MAX_CRASHES);
	r = db_run(db, DB_BLAME);
	if (r == 0)
		r = look_at(db, q->options.blamed, &after, &lane);
	return r == 1 && before == ROW_WAITING && after == ROW_ASIDE ? take_off_lane(db, lane)
	       : r < 0                                               ? r
	                                                             : 0;
}

static int count_rows(struct sqlite_backlog *q, enum db_statement which, size_t *ret_n)
{
	int r = db_next(&q->db, which);
	if (r == 1) {
		*ret_n = (size_t) db_u64(&q->db, which, 0);
		db_end(&q->db, which);
	}
	return r < 0 ? r : 0;
}

static int read_state(struct db *db, struct totals *t)
{
	int r = db_next(db, DB_STATE);
	if (r <= 0)
		return r < 0 ? r : db_fail(db, -EUCLEAN, "its state is missing");

	*t = (struct totals) {
		.last_number = db_u64(db, DB_STATE, 0),
		.accepted = db_u64(db, DB_STATE, 1),
		.settled[OUTCOME_DONE] = db_u64(db, DB_STATE, 2),
		.settled[OUTCOME_DEAD] = db_u64(db, DB_STATE, 3),
		.settled[OUTCOME_CANCELLED] = db_u64(db, DB_STATE, 4),
		.last_seq = db_u64(db, DB_STATE, 5),
		.mark_seq = db_u64(db, DB_STATE, 6),
		.last_lane = db_u64(db, DB_STATE, 7),
	};
	db_end(db, DB_STATE);
	r = db_next(db, DB_OLDEST);
	if (r == 1) {
		t->remembered_seq = db_u64(db, DB_OLDEST, 0);
		db_end(db, DB_OLDEST);
	}
	return r < 0 ? r : 0;
}

/* Rows of "reason, number". */
static int count_reasons(struct sqlite_backlog *q, enum db_statement which,
                         size_t ret_n[WAIT_REASONS])
{
	int r = 0;

	while ((r = db_next(&q->db, which)) == 1) {
		int64_t why = db_i64(&q->db, which, 0);
		if (why >= 0 && why < WAIT_REASONS)
			ret_n[why] = (size_t) db_u64(&q->db, which, 1);
	}
	return r;
}

/* What was accepted is either settled or there. */
static int read_totals(struct sqlite_backlog *q)
{
	struct totals t = { 0 };
	size_t waiting = 0, aside = 0;

	int r = read_state(&q->db, &t);
	if (r == 0)
		r = count_rows(q, DB_COUNT_WAITING, &waiting);
	if (r == 0)
		r = count_reasons(q, DB_COUNT_DELAYED, t.delayed);
	if (r == 0)
		r = count_reasons(q, DB_COUNT_RESTING, t.resting);
	if (r == 0)
		r = count_rows(q, DB_COUNT_ASIDE, &aside);
	if (r < 0)
		return r;

	t.jobs = waiting + totals_delayed(&t) + aside;
	uint64_t settled = t.settled[0] + t.settled[1] + t.settled[2];
	if (t.accepted != settled + t.jobs)
		return db_fail(&q->db, -EUCLEAN, "it accepted %llu jobs and settled %llu, but holds %zu",
		               (unsigned long long) t.accepted, (unsigned long long) settled, t.jobs);
	mutex_lock(&q->lock);
	q->totals = t;
	q->told = t.last_number;
	mutex_unlock(&q->lock);
	return 0;
}

/* All or nothing, and nothing after it but the thread can fail: whoever could not open tries
 * again, and that shall not blame a job twice. */
static int take_stock(struct sqlite_backlog *q)
{
	int r = db_run(&q->db, DB_BEGIN);
	if (r == 0)
		r = end_own_rests(q);
	if (r == 0)
		r = blame(q);
	if (r == 0)
		r = read_totals(q);
	if (r == 0)
		r = sqlite_count_pages(q, &q->used_pages);
	return r < 0 ? r : db_run(&q->db, DB_COMMIT); /* or closing rolls back */
}

static int open_databases(struct sqlite_backlog *q, struct buf *errors)
{
	const char *path = q->options.path;
	struct db *db = &q->db;

	int r = check_files(q, errors);
	if (r < 0)
		return r;
	if ((r = make_file(q, errors)) < 0)
		return r;
	r = db_open(db, path, DB_WRITER);
	if (r == 0)
		r = db_open(db = &q->taker, path, DB_TAKER);
	if (r == 0)
		r = db_open(db = &q->asker, path, DB_ASKER);
	if (r == 0) {
		db = &q->db;
		r = take_stock(q);
	}
	return r < 0 ? complain(errors, path, r, "%s", db->text) : 0;
}

static int init_sync(struct sqlite_backlog *q)
{
	int r = mutex_init(&q->lock);
	if (r < 0)
		return r;
	if ((r = cond_init(&q->work)) < 0)
		goto destroy_lock;
	if ((r = cond_init(&q->answered)) < 0)
		goto destroy_work;
	if ((r = cond_init(&q->asked)) < 0)
		goto destroy_answered;
	if ((r = cond_init(&q->reading)) < 0)
		goto destroy_asked;
	return 0;

destroy_asked:
	cond_destroy(&q->asked);
destroy_answered:
	cond_destroy(&q->answered);
destroy_work:
	cond_destroy(&q->work);
destroy_lock:
	mutex_destroy(&q->lock);
	return r;
}

/* Frees all but the threads, however far opening came. */
void sqlite_release(struct sqlite_backlog *q)
{
	mutex_lock(&q->lock);
	claims_done(&q->claims);
	turns_done(&q->turns);
	for (struct source_name *name = q->sources, *next; name; name = next) {
		next = name->next;
		free(name);
	}
	mutex_unlock(&q->lock);

	db_close(&q->asker);
	db_close(&q->taker);
	db_close(&q->db); /* the last one: copies the log into the database and removes it */
	url_parser_free(q->parser);
	url_parser_free(q->taker_parser);
	buf_done(&q->specs);
	buf_done(&q->why);
	sqlite_free_lanes(q);
	free(q->round);
	if (q->lock_fd >= 0)
		(void) close(q->lock_fd);

	cond_destroy(&q->reading);
	cond_destroy(&q->asked);
	cond_destroy(&q->answered);
	cond_destroy(&q->work);
	mutex_destroy(&q->lock);
	free(q->path);
	free(q->wal_path);
	free(q);
}

static int create(const struct sqlite_backlog_options *options, struct sqlite_backlog **ret_q)
{
	struct sqlite_backlog *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;

	int r = init_sync(q);
	if (r < 0) {
		free(q);
		return r;
	}
	q->base = (struct backlog) {
		.ops = &sqlite_ops, .type = "sqlite", .durable = true, .listener = options->listener,
	};
	q->lock_fd = -1;
	q->options = *options;
	q->options.path = q->path = strdup(options->path);
	if (asprintf(&q->wal_path, "%s-wal", options->path) < 0)
		q->wal_path = NULL;
	q->round = calloc(1, sizeof(*q->round));
	mutex_lock(&q->lock);
	q->turns.scan = true; /* what the last process has left */
	mutex_unlock(&q->lock);
	if (!q->path || !q->wal_path || !q->round || url_parser_create(&q->parser) < 0 ||
	    url_parser_create(&q->taker_parser) < 0) {
		sqlite_release(q);
		return -ENOMEM;
	}
	*ret_q = q;
	return 0;
}

static int start_threads(struct sqlite_backlog *q)
{
	int r = sqlite_reader_start(q);
	if (r < 0)
		return r;
	r = thread_start(&q->writer, "backlog", THREAD_STACK_PARSER, sqlite_writer_run, q);
	if (r < 0)
		sqlite_reader_join(q);
	return r;
}

int sqlite_backlog_open(const struct sqlite_backlog_options *options,
                        struct backlog **ret_backlog, struct buf *errors)
{
	struct sqlite_backlog *q = NULL;

	if (options->max_jobs == 0 || options->max_bytes == 0 || options->max_out_bytes == 0)
		return complain(errors, options->path, -EINVAL, "a bound of 0 lets nothing in or out");
	/* Nobody asks SQLite how much memory it has, and to count that it takes a lock of the whole
	 * process for each piece, of which a job needs some thirty: a seventh of its instructions.  Has
	 * an effect before the first use only, so a second backlog may be refused. */
	(void) sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);

	int r = create(options, &q);
	if (r < 0)
		return complain(errors, options->path, r, "%s", strerror(-r));

	r = lock_file(q, errors);
	if (r == 0)
		r = open_databases(q, errors);
	if (r == 0) {
		sqlite_prepare_checkpoints(q);
		sqlite_measure(q);
		r = start_threads(q);
		if (r < 0)
			(void) complain(errors, options->path, r, "no thread: %s", strerror(-r));
	}
	if (r < 0) {
		sqlite_release(q);
		return r;
	}
	*ret_backlog = &q->base;
	return 0;
}
