/* SPDX-License-Identifier: Apache-2.0 */
/* What came back for a job, and the line of the results log that says so. */
#ifndef PENSTOCK_JOB_RESULT_H
#define PENSTOCK_JOB_RESULT_H

#include "base/attr.h"
#include "base/buf.h"
#include "job/job.h"

#include <stdbool.h>
#include <stdint.h>

enum { RESPONSE_ADDRESS_SIZE = 46 }; /* INET6_ADDRSTRLEN */

/* What is kept of a response's header fields, at most: of their text and in number. */
enum { RESPONSE_MAX_HEADER_BYTES = 16 * 1024, RESPONSE_MAX_HEADERS = 256 };

/* Of the connection that the last hop was asked on. */
struct response_tls {
	char version[16]; /* "TLSv1.3"; "": there was no TLS */
	char cipher[48];  /* as OpenSSL calls it: "TLS_AES_256_GCM_SHA384" */
	bool verified;    /* the certificate was checked, and is good */
	int64_t expires_wall_us; /* the certificate; 0: unknown */
};

/*
 * One attempt's answer, whole or not.  Reused by its owner from attempt to
 * attempt; zero-initialised is empty.  Times are microseconds since the attempt
 * began, without the waits between its hops; those of connecting and answering are
 * the last hop's.
 */
struct response {
	long status;           /* 0: there was none */
	bool complete;         /* the whole response has arrived */
	char reason[160];      /* why it failed, for people and records: "timeout: connecting" */
	int curl_code;         /* as curl(1) would exit: libcurl-errors(3) */
	struct buf error;      /* libcurl's own words, if any */
	struct buf effective;  /* the URL of the last hop */
	struct buf content_type;
	long http_version;     /* 10, 11, 20, 30; 0: unknown */
	char remote_ip[RESPONSE_ADDRESS_SIZE];
	unsigned redirects;
	uint64_t body_bytes;   /* of the last hop, decoded, as far as it was taken */
	bool truncated;        /* there was more of it */
	uint64_t download_bytes; /* of that body, as they came over the wire */
	uint64_t upload_bytes;   /* of the last hop's body */
	uint64_t header_bytes, request_bytes; /* of the last hop, as curl counts them */
	struct response_tls tls;

	/* Header fields of the last hop's final answer that were asked for: each a name in
	 * lower case and a value, NUL-terminated. */
	struct buf headers;
	size_t n_headers;
	bool headers_truncated; /* there were more, or longer ones, than are kept */
	int body_error;        /* why the body could not be taken, after fetch()'s -ENOSPC */
	int64_t retry_after_s; /* from Retry-After (RFC 9110, section 10.2.3); 0 without, or if past */
	uint64_t namelookup_us, connect_us, appconnect_us, pretransfer_us, starttransfer_us;
	uint64_t redirect_us; /* when the last redirect was followed; 0: there was none */
	uint64_t total_us;

	/* Where it goes on after fetch()'s -EXDEV, for job_set_hop(); all zero otherwise. */
	struct job_hop next;
	struct buf next_text;  /* the strings of 'next' */
};

/* Empties 'response' and keeps its memory. */
NONNULL(1) void response_clear(struct response *response);

/* Releases what 'response' owns and zeroes it.  Idempotent. */
NONNULL(1) void response_done(struct response *response);

enum outcome {
	OUTCOME_DONE, /* a complete response with a status that counts as success */
	OUTCOME_DEAD, /* given up for good */
	OUTCOME_CANCELLED, /* not to be fetched any more, or no longer possible: a daemon's shutdown */
	OUTCOMES,
};

/* As it is in records: "done", "dead", "cancelled". */
const char *outcome_name(enum outcome outcome);

struct result {
	const struct job *job;
	enum outcome outcome;
	const char *reason;               /* why it is not done; NULL for done */
	const struct response *response;  /* of the last attempt */
	int64_t started_wall_us;          /* of the last attempt; 0: there was none */
	int64_t finished_wall_us;
	uint64_t queued_us;               /* from when it could run to the start of the last attempt */

	/* Appends what is said of the body that was kept, as JSON.  NULL: none was. */
	void (*add_body)(const void *body, struct buf *b);
	const void *body;
};

/*
 * Appends the result as the members of a JSON object, from "id" to the closing
 * brace and a newline; the recorder puts the opening brace and "seq" in front.
 * Members that curl's --write-out '%{json}' has bear its names (curl(1)).
 */
NONNULL(1, 2) void result_add_members(const struct result *result, struct buf *b);

#endif
