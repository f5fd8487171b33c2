/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs made of lines, and the reasons why there is none. */
#ifndef PENSTOCK_TESTS_JOB_MAKER_H
#define PENSTOCK_TESTS_JOB_MAKER_H

#include "job/job.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

struct job_maker {
	struct url_parser *parser;
	struct buf why; /* of the last line; NUL-terminated */
};

static inline void job_maker_init(struct job_maker *m)
{
	*m = (struct job_maker) { 0 };
	CU_ASSERT_EQUAL_FATAL(url_parser_create(&m->parser), 0);
}

static inline void job_maker_done(struct job_maker *m)
{
	m->parser = url_parser_free(m->parser);
	buf_done(&m->why);
}

/* Parses exactly 'len' bytes, in memory of just that size, so that a sanitizer sees a
 * read beyond them. */
static inline int try_bytes(struct job_maker *m, const char *line, size_t len, struct job **ret_job)
{
	char *copy = malloc(len > 0 ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, line, len);
	buf_clear(&m->why);
	int r = job_parse(m->parser, copy, len, ret_job, &m->why);
	free(copy);
	buf_add_char(&m->why, '\0');
	return r;
}

static inline struct job *make_job(struct job_maker *m, const char *line)
{
	struct job *job = NULL;

	if (try_bytes(m, line, strlen(line), &job) < 0)
		(void) printf("\n%s: %s\n", line, m->why.data);
	CU_ASSERT_PTR_NOT_NULL_FATAL(job);
	CU_ASSERT_STRING_EQUAL(m->why.data, "");
	return job;
}

/* Expects that no job is made of 'len' bytes, and a reason that begins with 'why'. */
static inline void refuse_bytes(struct job_maker *m, const char *line, size_t len, int error,
                                const char *why)
{
	struct job *job = NULL;

	CU_ASSERT_EQUAL(try_bytes(m, line, len, &job), error);
	CU_ASSERT_PTR_NULL(job);
	if (strncmp(m->why.data, why, strlen(why)) != 0)
		(void) printf("\n%.200s\n  why: %s\n  not: %s\n", line, m->why.data, why);
	CU_ASSERT_EQUAL(strncmp(m->why.data, why, strlen(why)), 0);
	job_free(job);
}

static inline void refuse_line(struct job_maker *m, const char *line, int error, const char *why)
{
	refuse_bytes(m, line, strlen(line), error, why);
}

#endif
