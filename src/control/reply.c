/* SPDX-License-Identifier: Apache-2.0 */
#include "control/reply.h"

#include <unistd.h>

void reply_done(struct reply *reply)
{
	buf_done(&reply->location);
	buf_done(&reply->body);
	if (reply->file_bytes > 0)
		(void) close(reply->file);
	*reply = (struct reply) { 0 };
}
