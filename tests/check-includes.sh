#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fails when a folder of src/ includes from one that is not before it in this list.
# queue, backlog, source, fetch and sink do not see each other: engine/ joins them.
order='base 0  job 1  config 2  queue 3  backlog 3  source 3  fetch 3  sink 3  engine 4  control 5  daemon 6  cli 6'
cd "${PENSTOCK_SRC:-.}/src" || exit 99
find . -name '*.[ch]' | sed 's|^\./||' | sort | xargs awk -v order="$order" '
	BEGIN { n = split(order, w); for (i = 1; i < n; i += 2) rank[w[i]] = w[i + 1] }
	FNR == 1 { split(FILENAME, at, "/"); here = at[1]; files++
		if (!(here in rank)) { print FILENAME ": " here "/ has no place in the order"; bad = 1 } }
	/^#include "/ {
		split($2, part, "\""); dep = part[2]
		if (dep == "config.h") next
		if (split(dep, at, "/") != 2) { printf "%s:%d: write the folder: %s\n", FILENAME, FNR, dep; bad = 1; next }
		if (at[1] != here && !(rank[at[1]] < rank[here])) { printf "%s:%d: %s/ may not include %s\n", FILENAME, FNR, here, dep; bad = 1 }
		includes++
	}
	END { printf "%d files, %d includes\n", files, includes; exit bad || files == 0 || includes == 0 }'
