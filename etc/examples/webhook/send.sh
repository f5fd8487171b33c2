#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Has an event delivered: ./send.sh ID URL FILE, where FILE is what is posted; needs jq(1).
#
# Returns as soon as penstockd has it on disk.  If that was not to be learnt, send it again: the
# same event under the same ID is delivered once.  A receiver may get one twice all the same, if
# its answer was lost, and knows it by the header Idempotency-Key.
set -eu
[ $# = 3 ] || { echo "usage: $0 ID URL FILE" >&2; exit 64; }
# "retry": without it a POST is made once, as the first one may have arrived.
event=$(jq -cn --arg id "$1" --arg url "$2" --rawfile body "$3" '{
	id: $id, url: $url, method: "POST", body: $body,
	headers: { "Content-Type": "application/json", "Idempotency-Key": $id },
	retry: true }')
printf '%s\n' "$event" | penstock submit --quiet
