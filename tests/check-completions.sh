#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fails when the shells' completions do not offer what the programs have.
src=${PENSTOCK_SRC:-.}
PATH=$(dirname "${PENSTOCK:-./penstock}"):$PATH
export PATH
failed=0

# What bash is offered after these words, the last of which is being written.
in_bash() {
	bash --norc -c '
		. "$0"
		compopt() { :; }
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_penstock
		printf "%s\n" "${COMPREPLY[@]}"' "$src/packaging/completions/penstock" "$@"
}

# The same of zsh, whose own functions print what they are given.
in_zsh() {
	zsh -f -c '
		file=$1
		shift
		_describe() { printf "%s\n" "${(@)${(P)2}%%:*}" }
		compadd() { while [[ $1 == -* ]]; do [[ $1 == -S ]] && shift; shift; done; print -l -- "$@" }
		_files() { print -r -- FILES }
		words=("$@")
		CURRENT=$#
		source $file' zsh "$src/packaging/completions/_penstock" "$@"
}

# offers SHELL "WORD…" WORD…: after the words of the first, the others are offered.
offers() {
	shell=$1 words=$2
	shift 2
	# shellcheck disable=SC2086
	case $words in
	*' ') offered=$("in_$shell" $words '') ;;
	*) offered=$("in_$shell" $words) ;;
	esac
	for word in "$@"; do
		printf '%s\n' "$offered" | grep -qxF -- "$word" || {
			echo "check-completions: $shell: '$words' does not offer $word"
			failed=1
		}
	done
}

shells=bash
if command -v zsh >/dev/null; then
	shells="bash zsh"
else
	echo "check-completions: no zsh: its completions are not tried"
fi

# Each shell finds its file as it would where it is installed, and binds it to both programs.
loaded=$(bash --norc -c '. "$0" && complete -p penstock penstockd' "$src/packaging/completions/penstock" 2>&1)
[ "$(printf '%s\n' "$loaded" | grep -c -- '-F _penstock penstockd\{0,1\}$')" = 2 ] || {
	echo "check-completions: bash: not loaded: $loaded"
	failed=1
}
if [ "$shells" != bash ]; then
	loaded=$(zsh -f -c 'fpath=($1 $fpath)
		autoload -Uz compinit && compinit -D -u
		print -r -- $_comps[penstock] $_comps[penstockd]' zsh "$src/packaging/completions" 2>&1)
	[ "$loaded" = '_penstock _penstock' ] || {
		echo "check-completions: zsh: not loaded: $loaded"
		failed=1
	}
fi

commands=$(penstock --help | sed -nE 's/^  ([a-z][a-z-]+) .*/\1/p')
for shell in $shells; do
	# shellcheck disable=SC2086
	offers $shell 'penstock ' $commands
	for command in $commands; do
		# shellcheck disable=SC2046
		offers $shell "penstock $command --" $(penstock "$command" --help | grep -oE '^ +(-[a-zA-Z], )?--[a-z-]+' | grep -oE -- '--.*')
	done
	offers $shell 'penstockd --' --config --set --check --help --version
	# shellcheck disable=SC2046
	offers $shell 'penstock set ' workers= queue.capacity= fetch.success= control.mode= \
		$(sed -nE 's/^\.It Va ([a-z_]+\.[a-z_]+)$/\1=/p' "$src/doc/penstock.conf.5")
	offers $shell 'penstock fetch --set ' queue.capacity=
	offers $shell 'penstock lanes --sort ' depth wait rate state
	[ $shell = bash ] || offers $shell 'penstock status --socket ' FILES
	offers $shell 'penstock log-level ' error warning info debug
	offers $shell 'penstock results --outcome ' done dead cancelled
done
exit $failed
