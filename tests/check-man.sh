#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fails when mandoc(1) warns of a manual page, or a page's references lead to no page of ours.
src=${PENSTOCK_SRC:-.}
failed=0

command -v mandoc >/dev/null || { echo "check-man: there is no mandoc"; exit 77; }
for page in "$src"/doc/*.[1-8]; do
	# What it finds in the machine's own index of pages is no matter of ours.
	lint=$(mandoc -T lint -W warning "$page" 2>&1 | grep -v 'outdated mandoc.db')
	[ -z "$lint" ] || { echo "check-man: $lint"; failed=1; }
	sed -nE 's/^\.Xr (penstock[a-z.-]*) ([1-8]).*/\1.\2/p' "$page" | sort -u | while read -r other; do
		[ -e "$src/doc/$other" ] || echo "check-man: $page: there is no $other"
	done | grep . && failed=1
done
exit $failed
