/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/jobs: many jobs, line by line in bounded memory, or one. */
#ifndef PENSTOCK_CONTROL_UPLOAD_H
#define PENSTOCK_CONTROL_UPLOAD_H

#include "base/attr.h"
#include "control/submitter.h"

/* Where jobs come from, in their records. */
#define UPLOAD_SOURCE "socket"

#define UPLOAD_TOO_LARGE "a job has at most 1 MiB; send many as application/x-ndjson"

/* Each returns the task, empty but for its operations, or NULL if there is no memory; the first
 * knows how long the body will be, or BODY_UNKNOWN. */
NODISCARD struct submitter *upload_lines_create(uint64_t body_bytes);
NODISCARD struct submitter *upload_job_create(void);

#endif
