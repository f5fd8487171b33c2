#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fails when the manual pages, etc/penstock.conf or operations.md differ from what the program says
# of its options, keys, defaults, ranges and memory.  In documents, VERSION stands for the program's version.
LC_ALL=C
export LC_ALL
src=${PENSTOCK_SRC:-.}
penstock=${PENSTOCK:-./penstock}
penstockd=${PENSTOCKD:-$(dirname "$penstock")/penstockd}
page1=$src/doc/penstock.1
page5=$src/doc/penstock.conf.5
conf=$src/etc/penstock.conf
failed=0

fail() {
	echo "check-docs: $*"
	failed=1
}

# same WHAT EXPECTED ACTUAL: both files must have the same lines, and some.
same() {
	test -s "$2" || fail "$1: nothing was found to compare with"
	diff -u "$2" "$3" || fail "$1 (-: the program, +: the documents)"
}

# settings ARGUMENT...: the settings in force.
settings() {
	"$penstockd" -c /dev/null --check "$@" </dev/null >"$dir/settings" || fail "not accepted: $*"
	sed "s|penstock/$version\"|penstock/VERSION\"|" "$dir/settings"
}

# Drops from the settings where each comes from.
values() {
	sed 's/  *# [^#]*$//'
}

# "KEY=VALUE" of settings, without those of groups; a key of an element is "sources[].path".
flatten() {
	awk '
		/^#/ || /^ *\{/ || /^ *\},?$/ { next }
		/: \{$/ { sub(/:.*/, ""); depth++; name[depth] = $1 "."; next }
		/^ *\);/ || /^ *\};/ { depth--; next }
		/ = \(( *#.*)?$/ { depth++; name[depth] = $1 "[]."; next }
		/ = / {
			prefix = ""
			for (i = 1; i <= depth; i++) prefix = prefix name[i]
			key = $1
			sub(/^[^=]*= /, "")
			sub(/;  *# [^#]*$/, "")
			print prefix key "=" $0
		}'
}

# documented WORD: "KEY=TEXT" for each "WORD: TEXT." of a key in penstock.conf(5).
documented() {
	awk -v word="$1" '
		/^\.Bl/ { depth++ }
		/^\.El/ { depth-- }
		/^\.It Va / {
			key[depth] = $3
			path = depth > 1 ? key[1] "[]." $3 : $3
			if (word == "") print path
		}
		word != "" && path != "" && index($0, word ": ") == 1 {
			sub(/^[^:]*: /, ""); sub(/\.$/, ""); print path "=" $0
		}
		/^\.Sh/ { path = "" }' "$page5"
}

for file in "$page1" "$page5" "$conf"; do
	test -r "$file" || { fail "$file: not there"; exit 1; }
done
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
trap 'exit 99' HUP INT TERM
version=$("$penstock" --version | sed 's/^penstock \([^ ]*\).*/\1/')

# --- options: each line "-o, --output FILE" of the help is an item of the page -------------

{ "$penstock" --help
	for command in $("$penstock" --help | sed -nE 's/^  ([a-z][a-z-]+)  .*/\1/p'); do
		"$penstock" "$command" --help
	done
} |
	sed -n 's/^  *\(-[a-zA-Z], \)\{0,1\}--\([a-z-]*\).*/\1--\2/p' | sort -u >"$dir/options"
awk '/^\.It Fl / || /^\.Fl [a-zA-Z] , Fl -/ {
		line = $0
		sub(/^\.(It )?/, "", line)
		short = long = ""
		n = split(line, word, " ")
		for (i = 1; i < n; i++) {
			if (word[i] != "Fl") continue
			if (word[i + 1] ~ /^-/) long = word[i + 1]; else short = word[i + 1]
		}
		if (long != "") print (short != "" ? "-" short ", " : "") "-" long
	}' "$page1" | sort -u >"$dir/options.page"
same "options in penstock.1" "$dir/options" "$dir/options.page"

# The synopsis of a command has each of its options, by one of its names.
for command in $("$penstock" --help | sed -nE 's/^  ([a-z][a-z-]+)  .*/\1/p'); do
	awk -v command="$command" '
		/^\.Sh/ { synopsis = $2 == "SYNOPSIS" }
		/^\.Nm/ { here = 0 }
		/^\.Cm/ { for (i = 2; i <= NF; i++) if ($i == command) here = 1 }
		synopsis && here' "$page1" >"$dir/synopsis"
	"$penstock" "$command" --help | sed -nE 's/^ +(-([a-zA-Z]), )?--([a-z-]+).*/\2 \3/p' |
		while read -r short long; do
			test -n "$long" || { long=$short; short=$long; }
			test "$long" = help || grep -Eq "Fl (-$long|$short)( |\$)" "$dir/synopsis" ||
				echo "$command --$long"
		done >"$dir/missing"
	test ! -s "$dir/missing" || fail "not in the synopsis in penstock.1: $(cat "$dir/missing")"
done

# --- jobs and results -------------------------------------------------------------------------

# Nothing listens there, which makes no difference: a result always has every member, but for
# a body.
printf '%s\n' '{"url": "http://127.0.0.1:1/", "meta": 0, "requeued_from": "p-1"}' '{"unknown": 0}' |
	"$penstock" fetch --max-attempts 1 >"$dir/result" 2>"$dir/messages"
{ grep -o '"[a-z_]*":' "$dir/result" | tr -d '":'; echo body; } >"$dir/members"
# Only some answers have these.
sed -n 's/^\([a-z_]*\)	[a-z]*	T{$/\1/p' "$page1" >"$dir/members.all"
for member in tls headers headers_truncated; do
	grep -qx $member "$dir/members.all" || fail "penstock.1: $member is not described"
done
grep -vx 'tls\|headers\|headers_truncated' "$dir/members.all" >"$dir/members.page"
same "members of a result in penstock.1" "$dir/members" "$dir/members.page"

sed -n 's/.*a job has //p' "$dir/messages" | tr -d ' ' | tr ',' '\n' >"$dir/job"
awk '/^\.Sh/ { jobs = $2 == "JOBS" } jobs && /^\.It Cm / { print $3 }' "$page1" >"$dir/job.page"
same "keys of a job in penstock.1" "$dir/job" "$dir/job.page"

# --- etc/penstock.conf: as it is, and with every key in force -------------------------------

settings >"$dir/defaults.full"
values <"$dir/defaults.full" >"$dir/defaults"
settings -c "$conf" | values >"$dir/loaded"
same "etc/penstock.conf as it is" "$dir/defaults" "$dir/loaded"

sed 's/^\([	 ]*\)#\([a-z_]* = \)/\1\2/' "$conf" >"$dir/all.conf"
settings -c "$dir/all.conf" >"$dir/all.full"
values <"$dir/all.full" >"$dir/all"
same "etc/penstock.conf without the # of its keys" "$dir/defaults" "$dir/all"
# An element of origins that is always there need not stand in it.
sed '/^origins = (/,/^);/d' "$dir/all.full" | grep '# default$' && fail "these keys are missing in etc/penstock.conf"

# Its examples of sources and origins, which have every key of an element.
sed -n 's/^#	\(.*\)/\1/p' "$conf" >"$dir/example.conf"
settings -c "$dir/example.conf" >"$dir/example"
for key in $(flatten <"$dir/example" | sed -n 's/^[a-z]*\[\]\.\([^=]*\)=.*/\1/p' | sort -u); do
	grep -q "[{ 	]$key = .*;" "$dir/example.conf" ||
		fail "$key is missing in the examples in etc/penstock.conf"
done

# --- penstock.conf(5): keys, defaults, ranges -----------------------------------------------

{ flatten <"$dir/defaults.full"; flatten <"$dir/example" | grep '^sources\[\]'; } |
	sed 's/=.*//' | { cat; echo sources; echo origins; } | sort -u >"$dir/keys"
documented "" | sort -u >"$dir/keys.page"
same "keys in penstock.conf.5" "$dir/keys" "$dir/keys.page"

# An element that has only what must be given shows the defaults of the rest.
cat >"$dir/element.conf" <<'END'
sources = ( { type = "file"; path = "x"; }, { type = "schedule"; every = "1s"; urls = "http://x/"; } );
END
settings -c "$dir/element.conf" | grep ' # default$\|[({]\( *#.*\)\{0,1\}$\|^ *[)}]' | flatten |
	grep '^sources\[\]' | sort -u >"$dir/element"
{ flatten <"$dir/defaults.full" | grep -v '^origins\[\]\.match='; cat "$dir/element"; } |
	sort -u >"$dir/presets"
documented Default | sort -u >"$dir/presets.page"
same "defaults in penstock.conf.5" "$dir/presets" "$dir/presets.page"

# A value that is too large, or no choice, is answered by what is allowed.
big=99999999999999999999
set --
for key in $(flatten <"$dir/defaults.full" | sed 's/=.*//; s/\[\]/[x]/' | grep -v '^sources$'); do
	set -- "$@" --set "$key=$big" --set "$key=${big}d"
done
echo "sources = ( { type = \"$big\"; every = \"${big}d\"; jitter = \"${big}d\"; } );" >"$dir/bad.conf"
"$penstock" fetch --check -c "$dir/bad.conf" "$@" 2>&1 >/dev/null </dev/null |
	sed -n '/give for example/d
		s/--set origins\[x\]/--set origins[]/
		s/.*: --set \([^=]*\)=.*; give \(.*\)/\1=\2/p
		s/.*: sources\[0\]\.\([a-z]*\): .*; give \(.*\)/sources[].\1=\2/p' | sort -u >"$dir/ranges"
{ documented Range; documented Values; } | sort -u >"$dir/ranges.page"
same "ranges in penstock.conf.5" "$dir/ranges" "$dir/ranges.page"

# --- the memory that follows from the defaults ----------------------------------------------

sed -n '/^# memory: /p; /MemoryMax=/p' "$dir/defaults.full" >"$dir/memory"
sed -n 's/^    \(# memory: .*\)/\1/p; s/^    \(# .*MemoryMax=.*\)/\1/p' "$src/doc/operations.md" \
	>"$dir/memory.page"
same "memory in operations.md" "$dir/memory" "$dir/memory.page"
grep -o 'Memory[A-Z][a-z]*=[0-9]*M' "$dir/memory" >"$dir/limits"
grep '^Memory' "$src/packaging/systemd/drop-ins/memory.conf" >"$dir/limits.page"
same "limits in drop-ins/memory.conf" "$dir/limits" "$dir/limits.page"

# --- form ------------------------------------------------------------------------------------

if command -v mandoc >/dev/null 2>&1; then
	for page in "$src"/doc/*.[1-8]; do
		mandoc -Tlint -W warning "$page" >"$dir/lint" 2>&1 && continue
		cat "$dir/lint"
		fail "mandoc complains about $page"
	done
fi
exit $failed
