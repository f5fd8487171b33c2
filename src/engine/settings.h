/* SPDX-License-Identifier: Apache-2.0 */
/* penstock's settings: the table of every configuration key, and the checks that
 * concern more than one of them. */
#ifndef PENSTOCK_ENGINE_SETTINGS_H
#define PENSTOCK_ENGINE_SETTINGS_H

#include "base/attr.h"
#include "base/buf.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BACKLOG_MEMORY, BACKLOG_SQLITE };
enum { OVERSIZE_FAIL, OVERSIZE_TRUNCATE };
enum { ORIGIN_GUARD_ADDRESS, ORIGIN_GUARD_PROXY };
enum { SOURCE_FILE, SOURCE_DIRECTORY, SOURCE_SCHEDULE };

/* Whose settings they are: some defaults differ. */
enum settings_program { SETTINGS_DAEMON, SETTINGS_FETCH };

/* An element of 'origins'; the last one matches all. */
struct origin_settings {
	const char *match;         /* a host, host:port, or scheme://host:port; '*': any characters */
	uint64_t concurrency;      /* 0: as many as there are workers */
	uint64_t interval_ns;      /* of 'rate'; 0: no rate */
	uint64_t burst;
	uint64_t gap_ns;
	uint64_t breaker;          /* 0: never */
	uint64_t breaker_pause_ns;
	uint64_t breaker_max_ns;
	bool insecure;
	int tls_min;               /* of enum fetch_tls */
	const char *ca_file;       /* files as in engine/key_file.h; "" for none */
	const char *client_cert;
	const char *client_key;
	const char *login;
	const char *bearer;
	const char *proxy;         /* a URL; "" for none */
	const char *proxy_login;
	int guard;                 /* ORIGIN_GUARD_… */
};

/* An element of 'sources'. */
struct source_settings {
	int type; /* SOURCE_… */
	const char *path;
	bool follow;
	uint64_t every_ns;
	uint64_t jitter_ns;
	struct config_strings urls;
};

/* Sizes in bytes, times in nanoseconds. */
struct settings {
	uint64_t workers;
	uint64_t stop_timeout_ns;
	struct {
		uint64_t capacity;
		uint64_t max_bytes;
	} queue;
	struct {
		int type; /* BACKLOG_… */
		const char *path;
		uint64_t max_jobs;  /* 0: settings_max_jobs() */
		uint64_t max_bytes; /* 0: settings_max_backlog_bytes() */
		uint64_t min_free;
		uint64_t ageing_ns;
	} backlog;
	struct config_groups sources; /* of struct source_settings */
	struct config_groups origins; /* of struct origin_settings; at least one */
	struct {
		uint64_t timeout_ns;
		uint64_t connect_timeout_ns;
		const char *body_dir; /* "": none */
		bool log_queries;
		uint64_t max_redirects;
		uint64_t max_body;
		int oversize; /* OVERSIZE_… */
		struct config_strings encodings; /* "gzip" */
		uint64_t low_speed; /* in bytes a second; 0: any will do */
		uint64_t low_speed_time_ns;
		const char *user_agent;
		struct config_strings success; /* "200", "200-399" */
		uint64_t idle_connections;
		struct config_strings dns_servers; /* none: as in resolv.conf(5) */
	} fetch;
	struct {
		struct config_strings deny, allow; /* entries as of fetch/guard.h */
	} guard;
	struct {
		uint64_t max_attempts;
		uint64_t base_ns;
		uint64_t max_ns;
		uint64_t max_retry_after_ns;
	} retry;
	struct {
		const char *path; /* "": the program's own default */
		struct config_strings headers; /* names of fields, or "*" */
		uint64_t remember_ns;
		int bodies; /* enum bodies_mode */
		uint64_t max_inline;
		uint64_t inline_memory;
		const char *bodies_dir;
	} results;
	struct {
		const char *socket;
		const char *mode;
		const char *stats_socket; /* "": none */
		const char *stats_mode;
		struct config_strings listen; /* as endpoint_parse() reads them */
		struct config_strings host_names;
	} control;
	struct {
		int level; /* enum log_level */
	} log;
};

/* The table of all keys; for the documentation's check as well. */
extern const struct config_table settings_table;

/*
 * Reads the settings as config_load() does, with the drop-ins in "conf.d" beside a 'path' that
 * is called penstock.conf, or in "PATH.d"; and checks what concerns several keys.
 * Their strings live as long as '*ret_config'.  Returns what config_load() returns.
 */
NODISCARD NONNULL(5, 6, 7)
int settings_load(enum settings_program program, const char *path, const char *const *overrides,
                  size_t n_overrides, struct settings *ret_settings, struct config **ret_config,
                  struct buf *errors);

/* The same for what config_amend() makes of 's', which was loaded as 'c'.  Messages begin with
 * "set". */
NODISCARD NONNULL(1, 2, 5, 6, 7)
int settings_amend(const struct settings *s, const struct config *c, const char *const *overrides,
                   size_t n_overrides, struct settings *ret_settings, struct config **ret_config,
                   struct buf *errors);

enum { SETTINGS_MAX_LISTEN = 8 };

/* Reads control.mode or control.stats_mode.  Returns false if it is no octal mode of 0600 to
 * 0777. */
NODISCARD NONNULL(1, 2) bool settings_control_mode(const char *text, unsigned *ret_mode);

/* The backlog's bounds in force: backlog.max_jobs and backlog.max_bytes, or what they default to. */
NONNULL(1) uint64_t settings_max_jobs(const struct settings *s);
NONNULL(1) uint64_t settings_max_backlog_bytes(const struct settings *s);

/* How many bytes of jobs may be out of a durable backlog: in the queue, with workers and
 * the recorder. */
NONNULL(1) uint64_t settings_max_out_bytes(const struct settings *s);

/* So many records may be on their way to those who ask where a job is: whoever asks the engine
 * keeps to it, and the next function counts with it. */
enum { SETTINGS_MAX_RECORDS = 8 };

/* An upper bound of the resident memory, in bytes, with 'n_sources' sources. */
NONNULL(1) uint64_t settings_memory_ceiling(const struct settings *s, size_t n_sources);

/* What a program needs besides the engine. */
struct settings_others {
	size_t descriptors;
	uint64_t bytes; /* of memory */
};

/* Writes the settings in force to standard output, as a configuration file, with
 * where each value comes from, and what follows from them.  Returns 0, -ENOMEM or -EIO. */
NODISCARD NONNULL(1, 2, 4)
int settings_show(const struct settings *s, const struct config *c, size_t n_sources,
                  const struct settings_others *others);

/* Raises the soft limit of descriptors to what is needed.  Returns 0, or -EMFILE, after
 * it has logged why, if the hard limit is lower. */
NODISCARD NONNULL(1)
int settings_allow_descriptors(const struct settings *s, size_t n_sources, size_t others);

/* An upper bound of the descriptors that an engine has open at the same time. */
NONNULL(1) uint64_t settings_descriptors(const struct settings *s, size_t n_sources);

#endif
