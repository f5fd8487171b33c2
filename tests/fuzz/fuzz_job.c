/* SPDX-License-Identifier: Apache-2.0 */
/* job.h: whatever a line is, it is a job or is refused; and what is written of a job makes the
 * same job again. */
#include "job/job.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rewritten(struct url_parser *parser, const struct job *job)
{
	struct buf text = { 0 }, again = { 0 }, why = { 0 };
	struct job *same = NULL;

	job_write(job, &text);
	if (text.failed || job_read(parser, text.data, text.len, &same, &why) != 0)
		abort();
	job_write(same, &again);
	if (again.len != text.len || memcmp(again.data, text.data, text.len) != 0)
		abort();
	if (strcmp(same->origin.text, job->origin.text) != 0)
		abort();
	job_free(same);
	buf_done(&text);
	buf_done(&again);
	buf_done(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct url_parser *parser;
	struct buf why = { 0 };
	struct job *job = NULL;

	if (!parser && url_parser_create(&parser) < 0)
		abort();
	int r = job_parse(parser, (const char *) data, size, &job, &why);
	if ((r == 0) != (job != NULL) || (r == 0) != (why.len == 0))
		abort();
	if (job)
		check_rewritten(parser, job);
	job_free(job);
	buf_done(&why);
	return 0;
}
