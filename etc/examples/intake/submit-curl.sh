#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Hands one job to penstockd with curl alone: ./submit-curl.sh ID URL
#
# 202 says that it is on disk.  429 and 503 say when to come again, and curl does.  If no answer
# comes through, it may have been accepted nevertheless; because of the id it is not done twice.
set -eu
exec curl --silent --show-error --fail-with-body --retry 10 --retry-connrefused \
	--unix-socket "${PENSTOCK_SOCKET:-/run/penstock/control.sock}" \
	--header 'Content-Type: application/json' --data-raw "{\"id\": \"$1\", \"url\": \"$2\"}" \
	http://localhost/v1/jobs
