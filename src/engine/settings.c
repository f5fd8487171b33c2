/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "engine/settings.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "engine/recorder.h"
#include "engine/retry.h"
#include "engine/workers.h"
#include "fetch/dns.h"
#include "queue/queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define DAY (86400 * NS_PER_S)

/* --- the table --------------------------------------------------------------------- */

static const char *const backlog_types[] = {
	[BACKLOG_MEMORY] = "memory", [BACKLOG_SQLITE] = "sqlite", NULL
};
static const char *const source_types[] = {
	[SOURCE_FILE] = "file", [SOURCE_DIRECTORY] = "directory", [SOURCE_SCHEDULE] = "schedule", NULL
};

#define AT(member) .offset = offsetof(struct source_settings, member)
static const struct config_key source_keys[] = {
	{ "type", CONFIG_CHOICE, AT(type), .choices = source_types, .unit = "",
	  .help = "\"file\", \"directory\" or \"schedule\"" },
	{ "path", CONFIG_STRING, AT(path), .preset = "", .unit = "",
	  .help = "file: where the lines are; \"-\" is standard input; directory: where files of "
	          "lines are dropped" },
	{ "follow", CONFIG_BOOL, AT(follow), .preset = "false", .unit = "",
	  .help = "file: wait for more at the end, as tail -F does" },
	{ "every", CONFIG_DURATION, AT(every_ns), .preset = "0", .max = 365 * DAY, .unit = "time",
	  .help = "schedule: from one round to the next" },
	{ "jitter", CONFIG_DURATION, AT(jitter_ns), .preset = "0", .max = 365 * DAY, .unit = "time",
	  .help = "schedule: each round is late by a random part of this" },
	{ "urls", CONFIG_STRINGS, AT(urls), .preset = "", .unit = "",
	  .help = "schedule: what a round fetches: URLs or JSON jobs" },
};
#undef AT

static const struct config_table source_table = {
	.keys = source_keys,
	.n = ARRAY_LEN(source_keys),
	.size = sizeof(struct source_settings),
};

#define AT(member) .offset = offsetof(struct origin_settings, member)
static const struct config_key origin_keys[] = {
	{ "match", CONFIG_STRING, AT(match), .unit = "",
	  .help = "a host, host:port or http://host:port; * stands for any characters" },
	{ "concurrency", CONFIG_COUNT, AT(concurrency), .preset = "8", .max = 20000,
	  .unit = "fetches",
	  .help = "at the same time; 0, which penstock fetch defaults to: as many as there are workers" },
	{ "rate", CONFIG_RATE, AT(interval_ns), .preset = "0", .unit = "rate",
	  .help = "fetches that begin in a span of time; 0: no limit" },
	{ "burst", CONFIG_COUNT, AT(burst), .preset = "1", .min = 1, .max = 1000000,
	  .unit = "fetches", .help = "that the rate lets begin at once after a rest" },
	{ "gap", CONFIG_DURATION, AT(gap_ns), .preset = "0", .max = DAY, .unit = "time",
	  .help = "from the beginning of one fetch to that of the next, at least" },
	{ "breaker", CONFIG_COUNT, AT(breaker), .preset = "5", .max = 1000000, .unit = "failures",
	  .help = "of the transport in a row, after which it is left alone; 0, which penstock fetch "
	          "defaults to: never" },
	{ "breaker_pause", CONFIG_DURATION, AT(breaker_pause_ns), .preset = "10s",
	  .min = NS_PER_MS, .max = 365 * DAY, .unit = "time",
	  .help = "how long it is left alone at first; twice as long each further time…" },
	{ "breaker_max", CONFIG_DURATION, AT(breaker_max_ns), .preset = "5m", .min = NS_PER_MS,
	  .max = 365 * DAY, .unit = "time", .help = "…and never longer than this" },
};
#undef AT

static const struct config_table origin_table = {
	.keys = origin_keys,
	.n = ARRAY_LEN(origin_keys),
	.size = sizeof(struct origin_settings),
};

#define AT(member) .offset = offsetof(struct settings, member)
static const struct config_key keys[] = {
	{ "workers", CONFIG_COUNT, AT(workers), .preset = "64", .min = 1, .max = 20000,
	  .unit = "threads", .reloads = true,
	  .help = "how many fetches run at the same time" },
	{ "stop_timeout", CONFIG_DURATION, AT(stop_timeout_ns), .preset = "5s", .max = DAY,
	  .unit = "time", .reloads = true,
	  .help = "how long a stop waits for running fetches before it aborts them" },

	{ "queue.capacity", CONFIG_COUNT, AT(queue.capacity), .preset = "1000", .min = 1,
	  .max = 10000000, .unit = "jobs",
	  .reloads = true,
	  .help = "jobs that stand ready for the workers; a full queue blocks who fills it" },
	{ "queue.max_bytes", CONFIG_SIZE, AT(queue.max_bytes), .preset = "64M", .min = JOB_MAX_BYTES,
	  .max = 1024 * GIB, .unit = "bytes", .reloads = true,
	  .help = "the same bound in memory, for jobs with large bodies" },

	{ "backlog.type", CONFIG_CHOICE, AT(backlog.type), .preset = "sqlite",
	  .choices = backlog_types, .unit = "",
	  .help = "penstockd: where accepted jobs wait; those in \"memory\" do not outlive the "
	          "program; penstock fetch always keeps them there" },
	{ "backlog.path", CONFIG_STRING, AT(backlog.path), .preset = "backlog.db", .unit = "",
	  .help = "sqlite: the database" },
	{ "backlog.max_jobs", CONFIG_COUNT, AT(backlog.max_jobs), .preset = "0", .max = 1000000000,
	  .unit = "jobs", .help = "accepted and not finished, retries included; 0: sqlite 1000000, "
	          "memory ten times the queue.capacity at the start" },
	{ "backlog.max_bytes", CONFIG_SIZE, AT(backlog.max_bytes), .preset = "0",
	  .max = 1024 * GIB, .unit = "bytes",
	  .help = "sqlite: of the database's files; memory: of the jobs; 0: 1G and 64M" },
	{ "backlog.min_free", CONFIG_SIZE, AT(backlog.min_free), .preset = "64M", .max = 1024 * GIB,
	  .unit = "bytes",
	  .help = "sqlite: below so much free space on its disk no job is accepted" },
	{ "backlog.ageing", CONFIG_DURATION, AT(backlog.ageing_ns), .preset = "10m",
	  .max = 365 * DAY, .unit = "time",
	  .help = "a waiting job outranks new ones of the next higher priority after this" },

	{ "sources", CONFIG_GROUPS, AT(sources), .preset = "", .element = &source_table, .unit = "",
	  .help = "where jobs come from" },

	{ "origins", CONFIG_GROUPS, AT(origins), .preset = "", .element = &origin_table,
	  .name_key = "match", .last_name = "*", .unit = "", .reloads = true,
	  .help = "limits of what is fetched from; the first element that matches holds" },

	{ "fetch.timeout", CONFIG_DURATION, AT(fetch.timeout_ns), .preset = "30s",
	  .min = NS_PER_MS, .max = DAY, .unit = "time",
	  .reloads = true,
	  .help = "of one attempt: name, connection, redirects and body together" },
	{ "fetch.connect_timeout", CONFIG_DURATION, AT(fetch.connect_timeout_ns), .preset = "5s",
	  .min = NS_PER_MS, .max = DAY, .unit = "time", .help = "of connecting, TLS included" },
	{ "fetch.max_redirects", CONFIG_COUNT, AT(fetch.max_redirects), .preset = "5", .max = 50,
	  .unit = "hops", .help = "0: a redirect is the result" },
	{ "fetch.max_body", CONFIG_SIZE, AT(fetch.max_body), .preset = "16M", .max = 1024 * GIB,
	  .min = 1, .unit = "bytes", .help = "a longer body fails its job" },
	{ "fetch.user_agent", CONFIG_STRING, AT(fetch.user_agent),
	  .preset = PACKAGE_NAME "/" PACKAGE_VERSION, .unit = "", .help = "who the origins are told is asking" },
	{ "fetch.success", CONFIG_STRINGS, AT(fetch.success), .preset = "200-399", .unit = "",
	  .reloads = true,
	  .help = "status codes that make a job done: \"200\", \"200-399\"" },
	{ "fetch.idle_connections", CONFIG_COUNT, AT(fetch.idle_connections), .preset = "256",
	  .max = 100000, .unit = "connections", .help = "kept open for the next job of their origin" },
	{ "fetch.dns_servers", CONFIG_STRINGS, AT(fetch.dns_servers), .preset = "", .unit = "",
	  .help = "addresses to ask, with :port if not 53; none: those of resolv.conf(5)" },

	{ "retry.max_attempts", CONFIG_COUNT, AT(retry.max_attempts), .preset = "5", .min = 1,
	  .max = 1000, .unit = "attempts", .reloads = true,
	  .help = "1: no retries" },
	{ "retry.base", CONFIG_DURATION, AT(retry.base_ns), .preset = "1s", .min = NS_PER_MS,
	  .max = DAY, .unit = "time",
	  .reloads = true,
	  .help = "the first retry waits a random part of this, the next of twice as much…" },
	{ "retry.max", CONFIG_DURATION, AT(retry.max_ns), .preset = "5m", .min = NS_PER_MS,
	  .max = 365 * DAY, .unit = "time", .reloads = true,
	  .help = "…and none longer than this" },
	{ "retry.max_retry_after", CONFIG_DURATION, AT(retry.max_retry_after_ns), .preset = "1h",
	  .max = 365 * DAY, .unit = "time",
	  .reloads = true,
	  .help = "a Retry-After is always kept to; a longer one than this makes the job dead" },

	{ "results.path", CONFIG_STRING, AT(results.path), .preset = "", .unit = "",
	  .help = "where results are appended, a JSON object a line; \"-\" is standard output, \"\" "
	          "too for penstock fetch, and results.jsonl for penstockd" },

	{ "results.remember", CONFIG_DURATION, AT(results.remember_ns), .preset = "1d",
	  .max = 365 * DAY, .unit = "time",
	  .help = "sqlite: how long a settled job is known by its id, if backlog.max_bytes allows" },

	{ "control.socket", CONFIG_STRING, AT(control.socket), .preset = "control.sock", .unit = "",
	  .help = "penstockd: the socket that penstock status and curl talk to" },
	{ "control.mode", CONFIG_STRING, AT(control.mode), .preset = "0660", .unit = "",
	  .help = "penstockd: who may connect to it, as chmod(1) takes it, in octal" },
};
#undef AT

const struct config_table settings_table = {
	.keys = keys,
	.n = ARRAY_LEN(keys),
	.size = sizeof(struct settings),
};

bool settings_control_mode(const struct settings *s, unsigned *ret_mode)
{
	char *end = NULL;
	unsigned long mode = strtoul(s->control.mode, &end, 8);

	if (end == s->control.mode || *end != '\0' || mode < 0600 || mode > 0777)
		return false;
	*ret_mode = (unsigned) mode;
	return true;
}

/* --- checks ------------------------------------------------------------------------ */

static int check_source(const struct source_settings *s, size_t index, struct buf *errors)
{
	size_t before = errors->len;

	if (s->type == SOURCE_FILE && *s->path == '\0')
		buf_printf(errors, "sources[%zu]: a file source needs a path\n", index);
	if (s->type == SOURCE_DIRECTORY && *s->path == '\0')
		buf_printf(errors, "sources[%zu]: a directory source needs a path\n", index);
	if (s->type == SOURCE_SCHEDULE && s->every_ns == 0)
		buf_printf(errors, "sources[%zu]: a schedule needs every, such as \"10s\"\n", index);
	if (s->type == SOURCE_SCHEDULE && s->urls.n == 0)
		buf_printf(errors, "sources[%zu]: a schedule needs urls\n", index);
	return errors->len > before ? -EINVAL : 0;
}

/* Two sources of one path would share one position. */
static void check_sources(const struct config_groups *groups, struct buf *errors)
{
	const struct source_settings *sources = groups->items;

	for (size_t i = 0; i < groups->n; i++) {
		(void) check_source(&sources[i], i, errors);
		for (size_t j = 0; j < i; j++)
			if (*sources[i].path != '\0' && strcmp(sources[i].path, sources[j].path) == 0)
				buf_printf(errors, "sources[%zu]: %s is read by sources[%zu] already\n", i,
				           sources[i].path, j);
	}
}

static bool is_default(const struct config *c, size_t i, const char *member)
{
	char path[64];

	(void) snprintf(path, sizeof(path), "origins[%zu].%s", i, member);
	return strcmp(config_origin_of(c, path), "default") == 0;
}

/* Appends where a member of origins[i] comes from, and its path. */
static void add_place(const struct config *c, size_t i, const char *member, struct buf *errors)
{
	char path[64];

	(void) snprintf(path, sizeof(path), "origins[%zu].%s", i, member);
	buf_printf(errors, "%s: %s: ", config_origin_of(c, path), path);
}

/* Why nothing can match, or NULL. */
static const char *match_trouble(const char *match)
{
	const char *scheme_end = strstr(match, "://");

	if (*match == '\0')
		return "must not be empty; \"*\" matches all";
	for (const char *p = match; *p != '\0'; p++) {
		if (*p >= 'A' && *p <= 'Z')
			return "must be in lower case, as origins are";
		if ((unsigned char) *p <= ' ')
			return "must have no blanks; write an element for each host";
	}
	if (strchr(scheme_end ? scheme_end + 3 : match, '/'))
		return "must have no path; write a host, host:port or http://host:port";
	return NULL;
}

static void check_origins(const struct config_groups *groups, const struct config *c,
                          struct buf *errors)
{
	const struct origin_settings *origins = groups->items;

	for (size_t i = 0; i < groups->n; i++) {
		const struct origin_settings *o = &origins[i];
		const char *trouble = match_trouble(o->match);
		if (trouble) {
			add_place(c, i, "match", errors);
			buf_printf(errors, "\"%s\": %s\n", o->match, trouble);
		}
		if (o->breaker_pause_ns > o->breaker_max_ns) {
			bool given = !is_default(c, i, "breaker_pause");
			add_place(c, i, given ? "breaker_pause" : "breaker_max", errors);
			buf_printf(errors, "of \"%s\": breaker_pause must not be longer than "
			           "breaker_max\n", o->match);
		}
	}
}

static int check(const struct settings *s, const struct config *c, struct buf *errors)
{
	size_t before = errors->len;

	check_sources(&s->sources, errors);
	check_origins(&s->origins, c, errors);
	for (size_t i = 0; i < s->fetch.success.n; i++) {
		struct status_set set = { 0 };
		if (status_set_add(&set, s->fetch.success.items[i]) < 0)
			buf_printf(errors,
			           "%s: fetch.success: \"%s\" is no status code (100 to 599) "
			           "and no range of them such as \"200-399\"\n",
			           config_origin_of(c, "fetch.success"), s->fetch.success.items[i]);
	}
	for (size_t i = 0; i < s->fetch.dns_servers.n; i++)
		if (!dns_is_server(s->fetch.dns_servers.items[i]))
			buf_printf(errors,
			           "%s: fetch.dns_servers: \"%s\" is no address; write 127.0.0.1, "
			           "127.0.0.1:5353 or [::1]:5353\n",
			           config_origin_of(c, "fetch.dns_servers"),
			           s->fetch.dns_servers.items[i]);
	if (!settings_control_mode(s, &(unsigned) { 0 }))
		buf_printf(errors, "%s: control.mode: must be octal, 0600 to 0777\n",
		           config_origin_of(c, "control.mode"));
	if (s->backlog.max_bytes > 0 && s->backlog.max_bytes < JOB_MAX_BYTES)
		buf_printf(errors, "%s: backlog.max_bytes: must be 0, or at least 4M, which one job may have\n",
		           config_origin_of(c, "backlog.max_bytes"));
	if (*s->backlog.path == '\0')
		buf_printf(errors, "%s: backlog.path: must not be empty\n",
		           config_origin_of(c, "backlog.path"));
	if (s->retry.base_ns > s->retry.max_ns)
		buf_printf(errors, "%s: retry.base: must not be longer than retry.max\n",
		           config_origin_of(c, "retry.base"));
	return errors->len > before ? -EINVAL : 0;
}

/* --- loading ----------------------------------------------------------------------- */

/* A list of URLs always comes to its end, and has a number of workers for all of it. */
static void relax_origins(struct settings *s, const struct config *c)
{
	const struct origin_settings *origins = s->origins.items;

	for (size_t i = 0; i < s->origins.n; i++) {
		struct origin_settings relaxed = origins[i];
		if (is_default(c, i, "concurrency"))
			relaxed.concurrency = 0;
		if (is_default(c, i, "breaker"))
			relaxed.breaker = 0;
		config_store_element(&s->origins, i, &relaxed, sizeof(relaxed));
	}
}

/* Hands over what was loaded, if it is good. */
static int finish(const struct settings *s, struct config *c, struct settings *ret_settings,
                  struct config **ret_config, struct buf *errors)
{
	int r = check(s, c, errors);

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

	int r = config_load(&settings_table, path, overrides, n_overrides, &s, &c, errors);
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

/* A lane: its struct, a name as long as one can be, and its place in the tables. */
enum { LANE_BYTES = 640 };

/* Of the jobs that are in memory.  In a backlog in memory that is all of them, from
 * acceptance to the final record; of a durable one, those that are out of it. */
static uint64_t max_job_bytes(const struct settings *s)
{
	if (s->backlog.type == BACKLOG_SQLITE)
		return settings_max_out_bytes(s);
	return settings_max_backlog_bytes(s) +
	       settings_max_jobs(s) * (2 * sizeof(void *) + LANE_BYTES);
}

/*
 * A job's record, which is about as large, exists beside it for a moment.  The other
 * figures were measured with libcurl 7.88, OpenSSL 3.0 and SQLite 3.40: a handle with its
 * TLS connection, a worker's stack and buffers, the database's caches, and the program
 * with its libraries.
 */
uint64_t settings_memory_ceiling(const struct settings *s, size_t n_sources)
{
	const uint64_t program = 16 * MIB, handle = 160 * KIB, database = 16 * MIB;
	const uint64_t worker = 48 * KIB + WORKER_KEEPS_BYTES;
	const uint64_t source = 2 * JOB_MAX_LINE_BYTES + JOB_MAX_BYTES;
	const uint64_t lanes = s->queue.capacity + s->workers + QUEUE_MAX_IDLE_LANES +
	                       QUEUE_MAX_PAUSED_LANES;

	return program + lanes * LANE_BYTES + (s->backlog.type == BACKLOG_SQLITE ? database : 0) + 2 * max_job_bytes(s) +
	       s->workers * (worker + handle) + s->fetch.idle_connections * handle +
	       4 * (uint64_t) RECORDER_MAX_BYTES + n_sources * source;
}

/* Each handle has its socket (two while IPv6 and IPv4 race) and libcurl's wakeup pair. */
uint64_t settings_descriptors(const struct settings *s, size_t n_sources)
{
	const uint64_t program = 40, resolver = 32, source = 6;

	return program + resolver + s->workers * 4 + s->fetch.idle_connections * 3 +
	       n_sources * source;
}

int settings_show(const struct settings *s, const struct config *c, size_t n_sources,
                  size_t others)
{
	struct buf b = { 0 };

	config_print(&settings_table, c, s, &b);
	buf_add_str(&b, "\n# What follows from them:\n# memory: at most ");
	units_add_size_rough(&b, settings_memory_ceiling(s, n_sources));
	buf_printf(&b, "\n# backlog: at most %llu jobs\n# descriptors: at most %llu\n",
	           (unsigned long long) settings_max_jobs(s),
	           (unsigned long long) (settings_descriptors(s, n_sources) + others));

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
