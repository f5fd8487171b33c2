#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fails when a message of the journal has no entry in the catalogue, or an entry no message.
src=${PENSTOCK_SRC:-.}
catalog=$src/packaging/catalog/penstock.catalog
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

events=$(sed -nE 's/^\t(LOG_EVENT_[A-Z_]+),$/\1/p' "$src/src/base/log.h" | grep -v LOG_EVENT_NONE)
for event in $events; do
	grep -qE "\[$event\] = \"[0-9a-f]{32}\"" "$src/src/daemon/journal.c" || {
		echo "check-catalog: $event has no MESSAGE_ID in src/daemon/journal.c"
		exit 1
	}
	grep -rq "$event" --include='*.c' "$src/src/daemon" "$src/src/engine" "$src/src/control" &&
		grep -rl "$event" --include='*.c' "$src/src" | grep -qv /journal.c || {
		echo "check-catalog: $event is never logged"
		exit 1
	}
done

grep -oE '"[0-9a-f]{32}"' "$src/src/daemon/journal.c" | tr -d '"' | sort >"$work/code"
sed -nE 's/^-- ([0-9a-f]{32})$/\1/p' "$catalog" | sort >"$work/catalog"
diff "$work/code" "$work/catalog" >"$work/differ" || {
	echo "check-catalog: MESSAGE_IDs of journal.c (<) and of the catalogue (>) differ:"
	cat "$work/differ"
	exit 1
}
[ -z "$(uniq -d "$work/code")" ] || { echo "check-catalog: a MESSAGE_ID stands for two"; exit 1; }

command -v journalctl >/dev/null || exit 0
mkdir -p "$work/root/usr/lib/systemd/catalog" "$work/root/var/lib/systemd/catalog"
cp "$catalog" "$work/root/usr/lib/systemd/catalog/"
journalctl --root="$work/root" --update-catalog >"$work/said" 2>&1 && [ ! -s "$work/said" ] || {
	echo "check-catalog: journalctl does not like the catalogue:"
	cat "$work/said"
	exit 1
}
