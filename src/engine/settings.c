/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/settings.h"

#include "base/heap.h"
#include "base/log.h"
#include "base/units.h"
#include "engine/recorder.h"
#include "engine/settings_parts.h"
#include "engine/workers.h"
#include "fetch/decode.h"
#include "fetch/head.h"
#include "job/url_known.h"
#include "queue/queue.h"
#include "sink/bodies.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* --- loading ----------------------------------------------------------------------- */

/* A list of URLs always comes to its end, and has a number of workers for all of it. */
static void relax_origins(struct settings *s, const struct config *c)
{
	const struct origin_settings *origins = s->origins.items;

	for (size_t i = 0; i < s->origins.n; i++) {
		struct origin_settings relaxed = origins[i];
		if (settings_is_default(c, i, "concurrency"))
			relaxed.concurrency = 0;
		if (settings_is_default(c, i, "breaker"))
			relaxed.breaker = 0;
		config_store_element(&s->origins, i, &relaxed, sizeof(relaxed));
	}
}

/* "conf.d" beside penstock.conf, and "FILE.d" of any other file: so those that lie beside each
 * other, one for each instance, do not share theirs.  The caller frees it. */
static char *find_drop_ins(const char *path)
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int) (slash + 1 - path) : 0;
	char *found = NULL;

	int n = strcmp(path + folder, "penstock.conf") == 0
	                ? asprintf(&found, "%.*sconf.d", folder, path)
	                : asprintf(&found, "%s.d", path);
	return n < 0 ? NULL : found;
}

/* Hands over what was loaded, if it is good. */
static int finish(const struct settings *s, struct config *c, struct settings *ret_settings,
                  struct config **ret_config, struct buf *errors)
{
	int r = settings_check(s, c, errors);

	if (r < 0) {
		config_free(c);
		return r;
	}
	*ret_settings = *s;
	*ret_config = c;
	return 0;
}

int settings_load(enum settings_program program, const char *path, const char *const *overrides,
                  size_t n_overrides, struct settings *ret_settings, struct config **ret_config,
                  struct buf *errors)
{
	struct settings s;
	struct config *c = NULL;
	char *drop_ins = path ? find_drop_ins(path) : NULL;

	if (path && !drop_ins) {
		buf_add_str(errors, "out of memory\n");
		return -ENOMEM;
	}
	int r = config_load(&settings_table, path, drop_ins, overrides, n_overrides, &s, &c, errors);
	free(drop_ins);
	if (r < 0)
		return r;
	if (program == SETTINGS_FETCH)
		relax_origins(&s, c);
	return finish(&s, c, ret_settings, ret_config, errors);
}

int settings_amend(const struct settings *s, const struct config *c, const char *const *overrides,
                   size_t n_overrides, struct settings *ret_settings, struct config **ret_config,
                   struct buf *errors)
{
	struct settings amended;
	struct config *config = NULL;

	int r = config_amend(&settings_table, s, c, overrides, n_overrides, "set", &amended, &config,
	                     errors);
	return r < 0 ? r : finish(&amended, config, ret_settings, ret_config, errors);
}

/* --- what follows from them -------------------------------------------------------- */

uint64_t settings_max_jobs(const struct settings *s)
{
	if (s->backlog.max_jobs > 0)
		return s->backlog.max_jobs;
	return s->backlog.type == BACKLOG_SQLITE ? 1000000 : 10 * s->queue.capacity;
}

uint64_t settings_max_backlog_bytes(const struct settings *s)
{
	if (s->backlog.max_bytes > 0)
		return s->backlog.max_bytes;
	return s->backlog.type == BACKLOG_SQLITE ? GIB : 64 * MIB;
}

uint64_t settings_max_out_bytes(const struct settings *s) { return 2 * s->queue.max_bytes; }

/* A lane: its struct, a name as long as one can be, and its place in the tables.  A place in a
 * heap, which doubles. */
enum { LANE_BYTES = 640, HEAP_BYTES = 2 * sizeof(struct heap_entry) };

/* Of the jobs that are in memory.  In a backlog in memory that is all of them, from
 * acceptance to the final record; of a durable one, those that are out of it. */
static uint64_t max_job_bytes(const struct settings *s)
{
	if (s->backlog.type == BACKLOG_SQLITE)
		return settings_max_out_bytes(s);
	return settings_max_backlog_bytes(s) + settings_max_jobs(s) * (2 * HEAP_BYTES + LANE_BYTES);
}

/* Of bodies on their way into records: each is there as it came and, up to twice as long, in
 * its line, which may be moved while it grows; and a few lines are with the recorder. */
static uint64_t max_inline_bytes(const struct settings *s)
{
	if (s->results.bodies != BODIES_INLINE)
		return 0;
	return 4 * s->results.inline_memory + 8 * s->results.max_inline;
}

/* Of records on their way to those who ask: each is copied once, and one is looked into. */
static uint64_t max_record_bytes(const struct settings *s)
{
	const uint64_t body = s->results.bodies == BODIES_INLINE ? 2 * s->results.max_inline : 0;

	if (s->backlog.type != BACKLOG_SQLITE) /* it has none */
		return 0;
	return (2 * SETTINGS_MAX_RECORDS + 4) * (JOB_MAX_LINE_BYTES + body);
}

/* What decoding a body takes in the worst encoding that is asked for. */
static uint64_t max_decoder_bytes(const struct settings *s)
{
	uint64_t most = 0;

	for (size_t i = 0; i < s->fetch.encodings.n; i++) {
		const char *name = s->fetch.encodings.items[i];
		uint64_t bytes = decoder_max_bytes(name, strlen(name));
		most = bytes > most ? bytes : most;
	}
	return most;
}

/*
 * A job's record, which is about as large, exists beside it for a moment.  The other
 * figures were measured with libcurl 7.88, OpenSSL 3.0 and SQLite 3.40: a handle with its
 * TLS connection, a worker's stack and buffers, the database's caches, and the program
 * with its libraries.  Of URLs, each source has a parser, and the database's writer and taker.
 */
uint64_t settings_memory_ceiling(const struct settings *s, size_t n_sources)
{
	const uint64_t program = 16 * MIB, handle = 160 * KIB;
	const uint64_t database = 16 * MIB + 2 * URL_KNOWN_BYTES;
	const uint64_t decoder = max_decoder_bytes(s);
	const uint64_t headers = s->results.headers.n > 0 ? 2 * RESPONSE_MAX_HEADER_BYTES : 0;
	const uint64_t worker = 48 * KIB + WORKER_KEEPS_BYTES + HEAD_MAX_BYTES + decoder + headers;
	const uint64_t source = 2 * JOB_MAX_LINE_BYTES + JOB_MAX_BYTES + URL_KNOWN_BYTES;
	const uint64_t lanes = s->queue.capacity + s->workers + QUEUE_MAX_IDLE_LANES +
	                       QUEUE_MAX_PAUSED_LANES;

	return program + lanes * LANE_BYTES + s->queue.capacity * HEAP_BYTES + 2 * max_job_bytes(s) +
	       (s->backlog.type == BACKLOG_SQLITE ? database : 0) +
	       s->workers * (worker + handle) + s->fetch.idle_connections * handle +
	       4 * (uint64_t) RECORDER_MAX_BYTES + n_sources * source + max_inline_bytes(s) +
	       max_record_bytes(s);
}

/* Each handle has its socket (two while IPv6 and IPv4 race) and libcurl's wakeup pair; each
 * worker may write a body, and look at another. */
uint64_t settings_descriptors(const struct settings *s, size_t n_sources)
{
	const uint64_t program = 40, resolver = 32, source = 6;
	const uint64_t upload = *s->fetch.body_dir != '\0';             /* a body_file */
	const uint64_t kept = s->results.bodies == BODIES_FILES ? 2 : 0; /* a file, its folder */
	const uint64_t worker = 4 + upload + kept;

	return program + resolver + s->workers * worker + s->fetch.idle_connections * 3 +
	       n_sources * source;
}

int settings_show(const struct settings *s, const struct config *c, size_t n_sources,
                  const struct settings_others *others)
{
	struct buf b = { 0 };
	const uint64_t ceiling = settings_memory_ceiling(s, n_sources) + others->bytes;
	const uint64_t mib = (ceiling >> 20) + 1;

	config_print(&settings_table, c, s, &b);
	buf_add_str(&b, "\n# What follows from them:\n# memory: at most ");
	units_add_size_rough(&b, ceiling);
	buf_printf(&b, "\n# with room for the kernel's part of it: MemoryHigh=%lluM MemoryMax=%lluM",
	           (unsigned long long) (mib + mib / 4), (unsigned long long) (mib + mib / 2));
	buf_printf(&b, "\n# backlog: at most %llu jobs\n# descriptors: at most %llu\n",
	           (unsigned long long) settings_max_jobs(s),
	           (unsigned long long) (settings_descriptors(s, n_sources) + others->descriptors));

	int r = b.failed ? -ENOMEM : 0;
	if (r == 0 && (fwrite(b.data, 1, b.len, stdout) != b.len || fflush(stdout) != 0))
		r = -EIO;
	buf_done(&b);
	return r;
}

int settings_allow_descriptors(const struct settings *s, size_t n_sources, size_t others)
{
	uint64_t needed = settings_descriptors(s, n_sources) + others;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
		return 0;
	if (limit.rlim_max < needed) {
		log_error("workers and fetch.idle_connections need up to %llu descriptors, the limit "
		          "is %llu: lower them or raise it (ulimit -n, LimitNOFILE=)",
		          (unsigned long long) needed, (unsigned long long) limit.rlim_max);
		return -EMFILE;
	}
	limit.rlim_cur = needed;
	(void) setrlimit(RLIMIT_NOFILE, &limit);
	return 0;
}
