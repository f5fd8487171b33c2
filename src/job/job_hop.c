/* SPDX-License-Identifier: Apache-2.0 */
/* Where a job goes on after a redirect: kept with the job, and written for another process. */
#include "job/job.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* --- with the job ------------------------------------------------------------------- */

static size_t hop_size(const struct job_hop *hop)
{
	return sizeof(*hop) + strlen(hop->url) + 1 + strlen(hop->origin.text) + 1 +
	       strlen(hop->origin.host) + 1;
}

/* Copies 'text' to '*at', moves it on, and returns the copy. */
static const char *pack(char **at, const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy = memcpy(*at, text, n);

	*at += n;
	return copy;
}

int job_set_hop(struct job *job, const struct job_hop *hop)
{
	if (!hop) {
		job_clear_hop(job);
		return 0;
	}
	size_t size = hop_size(hop);
	struct job_hop *copy = malloc(size);
	if (!copy)
		return -ENOMEM;

	char *at = (char *) (copy + 1);
	*copy = *hop;
	copy->url = pack(&at, hop->url);
	copy->origin.text = pack(&at, hop->origin.text);
	copy->origin.host = pack(&at, hop->origin.host);
	job_clear_hop(job); /* only now: it may be what was copied */
	job->hop = copy;
	job->bytes += size;
	return 0;
}

void job_clear_hop(struct job *job)
{
	if (!job->hop)
		return;
	job->bytes -= hop_size(job->hop);
	free(job->hop);
	job->hop = NULL;
}

/* --- written and read ----------------------------------------------------------------- */

void job_write_hop(const struct job_hop *hop, struct buf *b)
{
	buf_add_str(b, "{\"url\":");
	url_add_json(b, hop->url);
	buf_add_str(b, ",\"redirects\":");
	buf_add_u64(b, hop->redirects);
	buf_add_str(b, ",\"spent_us\":");
	buf_add_u64(b, hop->spent_us);
	if (hop->becomes_get)
		buf_add_str(b, ",\"get\":true");
	if (hop->without_secrets)
		buf_add_str(b, ",\"no_secrets\":true");
	buf_add_char(b, '}');
}

static bool read_count(const json_t *object, const char *key, uint64_t max, uint64_t *ret_count)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t) json_integer_value(value) > max)
		return false;
	*ret_count = (uint64_t) json_integer_value(value);
	return true;
}

/* A flag that is not set is not there. */
static bool read_flag(const json_t *object, const char *key, bool *ret_set)
{
	const json_t *value = json_object_get(object, key);

	*ret_set = value != NULL;
	return !value || json_is_true(value);
}

/* The hop's URL stays in 'object'. */
static bool read_members(const json_t *object, struct job_hop *hop)
{
	uint64_t redirects = 0;

	hop->url = json_string_value(json_object_get(object, "url"));
	bool good = hop->url && read_count(object, "redirects", UINT_MAX, &redirects) &&
	            read_count(object, "spent_us", INT64_MAX, &hop->spent_us) &&
	            read_flag(object, "get", &hop->becomes_get) &&
	            read_flag(object, "no_secrets", &hop->without_secrets) &&
	            json_object_size(object) == 3u + hop->becomes_get + hop->without_secrets;
	hop->redirects = (unsigned) redirects;
	return good;
}

int job_read_hop(struct job *job, struct url_parser *parser, const char *text, size_t len)
{
	struct job_hop hop = { 0 };
	const char *why = NULL;
	json_error_t error;

	json_auto_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!object && error.text[0] == '\0')
		return -ENOMEM; /* jansson has words for everything else */
	if (!object || !read_members(object, &hop))
		return -EINVAL;

	int r = url_parse(parser, hop.url, &hop.origin, &why);
	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	return job_set_hop(job, &hop);
}
