#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Hands jobs to penstockd: each argument, or else each line of standard input, is a URL or a
# JSON job.  While the daemon has no room, this waits; so does whoever writes to it.
#
#	./submit.sh https://www.example.com/ https://www.example.org/
#	generate-urls | ./submit.sh
#
# PENSTOCK_SOCKET is the daemon's socket, if it is not where penstock(1) looks for it.
set -eu
[ $# = 0 ] || {
	printf '%s\n' "$@" | penstock submit --quiet --ids -
	exit
}
exec penstock submit --quiet --ids -
