#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is down: time, URL and reason of each last probe that failed; needs jq(1).
#
#	./down.sh [RESULTS]      # /var/lib/penstock/results.jsonl
#
# Exit code: 1 if something is down, 0 if nothing is.
set -eu
log=${1:-/var/lib/penstock/results.jsonl}
# The last line may be one that is being written.
down=$(tail -n 10000 "$log" | jq -Rrn 'reduce (inputs | fromjson?) as $r ({}; .[$r.url] = $r)
	| .[] | select(.outcome == "dead") | [.finished_at, .url, .reason] | @tsv')
[ -n "$down" ] || exit 0
printf '%s\n' "$down"
exit 1
