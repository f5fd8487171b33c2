/* SPDX-License-Identifier: Apache-2.0 */
/* penstock top where it was built without ncurses. */
#include "cli/top.h"

#include "base/log.h"
#include "cli/cli.h"

int top_show(struct top_command *c)
{
	(void) c;
	log_error("this penstock was built without ncurses, and so without penstock top; penstock "
	          "status --watch does without");
	return EXIT_UNAVAILABLE;
}
