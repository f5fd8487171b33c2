#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# packages.sh deb|rpm TARBALL DIR: builds the package from the tarball in DIR.
# packages.sh check-deb TARBALL DIR: builds it, fails if lintian finds fault, prints what is in it.
# packages.sh check TARBALL DIR: builds each twice, at different places; fails if they differ or
# if lintian or rpmlint finds fault with them, and prints what is in them.
set -eu
unset MAKEFLAGS MFLAGS MAKELEVEL CFLAGS CPPFLAGS LDFLAGS VERBOSE
what=$1 tarball=$(realpath "$2") out=$3
name=$(basename "$tarball" .tar.xz)
version=${name#penstock-}
jobs=$(nproc)

say() { printf 'packages: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

needs() {
	for tool in "$@"; do
		command -v "$tool" >/dev/null || die "$tool is missing; ./bootstrap packages installs it"
	done
}

# quietly LOG COMMAND...: shows what it said only if it fails.
quietly() {
	log=$1
	shift
	"$@" >"$log" 2>&1 || { cat "$log" >&2; die "failed: $1; all it said is above, and in $log"; }
}

# The changelog's date is the time of everything.
epoch() {
	date +%s -d "$(tar -xOf "$tarball" "$name/packaging/debian/changelog" |
		sed -n 's/^ -- .*>  //p' | head -n 1)"
}

# --- building ----------------------------------------------------------------------

# build_deb DIR: .deb, and the source package.
build_deb() {
	rm -rf "$1" && mkdir -p "$1"
	cp "$tarball" "$1/penstock_$version.orig.tar.xz"
	tar -C "$1" -xf "$tarball"
	cp -r "$1/$name/packaging/debian" "$1/$name/debian"
	(cd "$1/$name" && DEB_BUILD_OPTIONS="parallel=$jobs" \
		quietly ../build.log dpkg-buildpackage -us -uc)
	rm -rf "${1:?}/$name"
}

# build_rpm DIR
build_rpm() {
	rm -rf "$1" && mkdir -p "$1"
	SOURCE_DATE_EPOCH=$(epoch)
	export SOURCE_DATE_EPOCH
	quietly "$1/build.log" rpmbuild --nodeps -tb --define "_topdir $1/top" --define "_rpmdir $1" \
		--define "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
		--define "_smp_mflags -j$jobs" --define "_buildhost localhost" \
		--define "use_source_date_epoch_as_buildtime 1" \
		--define "clamp_mtime_to_source_date_epoch 1" "$tarball"
	rm -rf "$1/top"
}

# --- checking ----------------------------------------------------------------------

# same A B PATTERN: the files that the pattern names are the same in both directories.
same() {
	for file in "$1"/$3; do
		cmp "$file" "$2/${file##*/}" || die "two builds differ: ${file##*/}"
		say "built twice, the same: ${file##*/}, $(stat -c %s "$file") bytes"
	done
}

build_twice() {
	export CCACHE_DISABLE=1 # nothing of the first build is in the second
	build_deb "$out/deb"
	build_deb "$out/once-more/deb"
	same "$out/deb" "$out/once-more/deb" "*.deb"
	same "$out/deb" "$out/once-more/deb" "*.debian.tar.xz"
	build_rpm "$out/rpm"
	build_rpm "$out/once-more/rpm"
	same "$out/rpm" "$out/once-more/rpm" "*.rpm"
	rm -rf "$out/once-more"
}

lint_deb() {
	# Its --fail-on counts what is overridden as well.
	lintian --allow-root --fail-on none --pedantic --show-overrides "$out"/deb/*.changes \
		>"$out/lintian.log"
	cat "$out/lintian.log"
	! grep -q '^[EW]:' "$out/lintian.log" || die "lintian finds fault with the Debian package"
	for file in "$out"/deb/penstock_*.deb; do dpkg-deb --contents "$file"; done
}

lint_rpm() {
	rpmlint -c "$(dirname "$0")/rpm/rpmlint.toml" "$out"/rpm/*.rpm \
		"$(dirname "$0")/rpm/penstock.spec"
	for file in "$out"/rpm/*.rpm; do rpm -qplv "$file"; done
}

case $what in
deb)
	needs dpkg-buildpackage dh
	build_deb "$out/deb"
	ls -l "$out"/deb/*.deb
	;;
rpm)
	needs rpmbuild
	build_rpm "$out/rpm"
	ls -l "$out"/rpm/*.rpm
	;;
check-deb)
	needs dpkg-buildpackage dh lintian
	build_deb "$out/deb"
	lint_deb
	;;
check)
	needs dpkg-buildpackage dh lintian rpmbuild rpmlint
	build_twice
	lint_deb
	lint_rpm
	;;
*) die "usage: $0 deb|rpm|check-deb|check TARBALL DIR" ;;
esac
