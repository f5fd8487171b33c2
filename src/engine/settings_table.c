/* SPDX-License-Identifier: Apache-2.0 */
/* The table of every configuration key. */
#include "config.h"

#include "base/clock.h"
#include "base/log.h"
#include "engine/settings.h"
#include "fetch/rules.h"
#include "job/job.h"
#include "job/url.h"
#include "sink/bodies.h"

#define MIB (UINT64_C(1024) * 1024)
#define GIB (1024 * MIB)
#define DAY (86400 * NS_PER_S)

static const char *const backlog_types[] = {
	[BACKLOG_MEMORY] = "memory", [BACKLOG_SQLITE] = "sqlite", NULL
};
static const char *const source_types[] = {
	[SOURCE_FILE] = "file", [SOURCE_DIRECTORY] = "directory", [SOURCE_SCHEDULE] = "schedule", NULL
};

static const char *const oversizes[] = {
	[OVERSIZE_FAIL] = "fail", [OVERSIZE_TRUNCATE] = "truncate", NULL
};

static const char *const bodies_modes[] = {
	[BODIES_NONE] = "none", [BODIES_INLINE] = "inline", [BODIES_FILES] = "files", NULL
};
static const char *const tls_versions[] = {
	[FETCH_TLS_1_0] = "1.0", [FETCH_TLS_1_1] = "1.1", [FETCH_TLS_1_2] = "1.2",
	[FETCH_TLS_1_3] = "1.3", NULL
};
static const char *const origin_guards[] = {
	[ORIGIN_GUARD_ADDRESS] = "address", [ORIGIN_GUARD_PROXY] = "proxy", NULL
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
	{ "insecure", CONFIG_BOOL, AT(insecure), .preset = "false", .unit = "",
	  .help = "its certificate is not checked: anybody may be in between" },
	{ "tls_min", CONFIG_CHOICE, AT(tls_min), .preset = "1.2", .choices = tls_versions, .unit = "",
	  .help = "the oldest version of TLS that will do: \"1.0\", \"1.1\", \"1.2\" or \"1.3\"" },
	{ "ca_file", CONFIG_STRING, AT(ca_file), .preset = "", .unit = "",
	  .help = "certificates, in PEM, that are trusted in the place of the system's; this and all "
	          "other files: a path, or \"credential:NAME\" for one of systemd's" },
	{ "client_cert", CONFIG_STRING, AT(client_cert), .preset = "", .unit = "",
	  .help = "file of the certificate, in PEM, that we show" },
	{ "client_key", CONFIG_STRING, AT(client_key), .preset = "", .unit = "",
	  .help = "file of its key, in PEM; none: it is in client_cert" },
	{ "login", CONFIG_STRING, AT(login), .preset = "", .unit = "",
	  .help = "file of user:password, sent as Authorization: Basic" },
	{ "bearer", CONFIG_STRING, AT(bearer), .preset = "", .unit = "",
	  .help = "file of a token, sent as Authorization: Bearer" },
	{ "proxy", CONFIG_STRING, AT(proxy), .preset = "", .unit = "",
	  .help = "http://host:port or https://host:port that it is asked through; none: directly" },
	{ "proxy_login", CONFIG_STRING, AT(proxy_login), .preset = "", .unit = "",
	  .help = "file of user:password for the proxy" },
	{ "guard", CONFIG_CHOICE, AT(guard), .preset = "address", .choices = origin_guards, .unit = "",
	  .help = "with a proxy: \"address\" finds and checks the address here, and has the proxy "
	          "tunnel to it; \"proxy\" leaves names and checks to the proxy" },
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

	{ "log.level", CONFIG_CHOICE, AT(log.level), .preset = "info", .choices = log_level_names,
	  .unit = "", .reloads = true,
	  .help = "the least important messages that are shown: \"error\", \"warning\", \"info\", or "
	          "\"debug\", which tells of each attempt" },

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
	  .name_key = "match", .last_name = "*", .fits = url_match_origin, .unit = "",
	  .reloads = true,
	  .help = "limits of what is fetched from; the first element that matches holds" },

	{ "fetch.timeout", CONFIG_DURATION, AT(fetch.timeout_ns), .preset = "30s",
	  .min = NS_PER_MS, .max = DAY, .unit = "time",
	  .reloads = true,
	  .help = "of one attempt: name, connection, redirects and body together" },
	{ "fetch.connect_timeout", CONFIG_DURATION, AT(fetch.connect_timeout_ns), .preset = "5s",
	  .min = NS_PER_MS, .max = DAY, .unit = "time", .help = "of connecting, TLS included" },
	{ "fetch.max_redirects", CONFIG_COUNT, AT(fetch.max_redirects), .preset = "5",
	  .max = JOB_MAX_REDIRECTS,
	  .unit = "hops", .reloads = true, .help = "0: a redirect is the result" },
	{ "fetch.max_body", CONFIG_SIZE, AT(fetch.max_body), .preset = "16M", .max = 1024 * GIB,
	  .min = 1, .unit = "bytes", .reloads = true,
	  .help = "of a body, decoded; see oversize" },
	{ "fetch.oversize", CONFIG_CHOICE, AT(fetch.oversize), .preset = "fail",
	  .choices = oversizes, .unit = "", .reloads = true,
	  .help = "a body longer than max_body: \"fail\" makes its job dead, \"truncate\" cuts it off" },
	{ "fetch.encodings", CONFIG_STRINGS, AT(fetch.encodings), .preset = "gzip,deflate", .unit = "",
	  .reloads = true,
	  .help = "of bodies that are asked for, and decoded: gzip, deflate, br, zstd" },
	{ "fetch.low_speed", CONFIG_SIZE, AT(fetch.low_speed), .preset = "0", .max = 1024 * GIB,
	  .unit = "bytes", .reloads = true,
	  .help = "a second: an attempt with fewer for low_speed_time has failed; 0: none has" },
	{ "fetch.low_speed_time", CONFIG_DURATION, AT(fetch.low_speed_time_ns), .preset = "30s",
	  .min = NS_PER_MS, .max = DAY, .unit = "time", .reloads = true,
	  .help = "how long an attempt may be slower than low_speed" },
	{ "fetch.body_dir", CONFIG_STRING, AT(fetch.body_dir), .preset = "", .unit = "",
	  .help = "where a job's body_file may be; none: nowhere" },
	{ "fetch.log_queries", CONFIG_BOOL, AT(fetch.log_queries), .preset = "false", .unit = "",
	  .reloads = true, .help = "whether messages show the queries of URLs" },
	{ "fetch.user_agent", CONFIG_STRING, AT(fetch.user_agent),
	  .preset = PACKAGE_NAME "/" PACKAGE_VERSION, .unit = "", .help = "who the origins are told is asking" },
	{ "fetch.success", CONFIG_STRINGS, AT(fetch.success), .preset = "200-399", .unit = "",
	  .reloads = true,
	  .help = "status codes that make a job done: \"200\", \"200-399\"" },
	{ "fetch.idle_connections", CONFIG_COUNT, AT(fetch.idle_connections), .preset = "768",
	  .max = 100000, .unit = "connections", .help = "kept open for the next job of their origin" },
	{ "fetch.dns_servers", CONFIG_STRINGS, AT(fetch.dns_servers), .preset = "", .unit = "",
	  .help = "addresses to ask, with :port if not 53; none: those of resolv.conf(5)" },

	{ "guard.deny", CONFIG_STRINGS, AT(guard.deny), .preset = "link-local, metadata", .unit = "",
	  .reloads = true,
	  .help = "networks that are not connected to, or \"private\", \"loopback\", \"link-local\", "
	          "\"metadata\", \"multicast\"" },
	{ "guard.allow", CONFIG_STRINGS, AT(guard.allow), .preset = "", .unit = "", .reloads = true,
	  .help = "what is connected to all the same" },

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

	{ "results.headers", CONFIG_STRINGS, AT(results.headers), .preset = "", .unit = "",
	  .reloads = true,
	  .help = "names of the response's header fields that a record has; \"*\": all" },
	{ "results.remember", CONFIG_DURATION, AT(results.remember_ns), .preset = "1d",
	  .max = 365 * DAY, .unit = "time",
	  .help = "sqlite: how long a settled job is known by its id, if backlog.max_bytes allows" },

	{ "results.bodies", CONFIG_CHOICE, AT(results.bodies), .preset = "none",
	  .choices = bodies_modes, .unit = "",
	  .help = "what becomes of the responses' bodies: \"none\" are kept, or \"inline\", in the "
	          "records, or in \"files\" of their own" },
	{ "results.max_inline", CONFIG_SIZE, AT(results.max_inline), .preset = "64K", .min = 1,
	  .max = 8 * MIB, .unit = "bytes",
	  .help = "inline: what is longer is cut off there in its record" },
	{ "results.inline_memory", CONFIG_SIZE, AT(results.inline_memory), .preset = "16M",
	  .min = 1, .max = 1024 * GIB, .unit = "bytes",
	  .help = "inline: of all bodies that are under way; at least max_inline" },
	{ "results.bodies_dir", CONFIG_STRING, AT(results.bodies_dir), .preset = "bodies",
	  .unit = "", .help = "files: the directory for them; it is made if it is not there" },

	{ "control.socket", CONFIG_STRING, AT(control.socket), .preset = "control.sock", .unit = "",
	  .help = "penstockd: the socket that penstock status and curl talk to" },
	{ "control.mode", CONFIG_STRING, AT(control.mode), .preset = "0660", .unit = "",
	  .help = "penstockd: who may connect to it, as chmod(1) takes it, in octal" },
	{ "control.stats_socket", CONFIG_STRING, AT(control.stats_socket), .preset = "", .unit = "",
	  .help = "penstockd: a second socket for those who may look at everything and touch nothing; "
	          "none: there is none" },
	{ "control.stats_mode", CONFIG_STRING, AT(control.stats_mode), .preset = "0660", .unit = "",
	  .help = "penstockd: who may connect to that one; 0666: every user of this machine, who then "
	          "sees jobs and results as well" },
	{ "control.listen", CONFIG_STRINGS, AT(control.listen), .preset = "", .unit = "",
	  .help = "penstockd: addresses such as 127.0.0.1:9147 or [::1]:9147 where whoever connects "
	          "can read figures, /metrics among them, but no jobs and no results; none: nowhere" },
	{ "control.host_names", CONFIG_STRINGS, AT(control.host_names), .preset = "", .unit = "",
	  .help = "penstockd: names under which control.listen may be asked, besides localhost and "
	          "this machine's own" },
};
#undef AT

const struct config_table settings_table = {
	.keys = keys,
	.n = ARRAY_LEN(keys),
	.size = sizeof(struct settings),
};
