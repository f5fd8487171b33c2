#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# embed.sh FILE...: writes a C source with the files' contents, see page.h.
set -eu
LC_ALL=C
export LC_ALL

echo '/* Made by embed.sh. */'
echo '#include "control/page.h"'
n=0
for file; do
	test -r "$file" || { echo "embed.sh: $file: cannot be read" >&2; exit 1; }
	printf '\nstatic const unsigned char data_%d[] = {\n' $n
	od -A n -v -t x1 "$file" | sed 's/ *\([0-9a-f][0-9a-f]\)/0x\1,/g'
	echo '};'
	n=$((n + 1))
done
printf '\nconst struct page_file page_files[] = {\n'
n=0
for file; do
	printf '\t{ "%s", data_%d, sizeof(data_%d) },\n' "${file##*/}" $n $n
	n=$((n + 1))
done
printf '\t{ NULL, NULL, 0 },\n};\n'
