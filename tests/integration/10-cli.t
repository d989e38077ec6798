#!/bin/bash
# The command line as a person meets it: help, mistakes, completion, manual pages.
cd "$(dirname "$0")/../.." || exit 1
jouletap=$(realpath "${BUILD:-build}")/jouletap
n=0

tap() { # tap STATUS TEXT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

# answers CODE STREAM PATTERN ARGS...: the exit code, what a stream says, and silence on the other one.
answers() {
	local code=$1 stream=$2 pattern=$3 got out err
	shift 3
	out=$("$jouletap" "$@" 2>"$tmp/err")
	got=$?
	err=$(cat "$tmp/err")
	[ "$stream" = err ] && { local swap=$out; out=$err; err=$swap; }
	[ "$got" -eq "$code" ] && [[ $out == $pattern ]] && [ -z "$err" ]
	local status=$?
	[ $status -eq 0 ] || printf '# exit code %s, said: %s | %s\n' "$got" "${out//$'\n'/ / }" "${err//$'\n'/ / }"
	tap $status "jouletap $*"
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

answers 2 err 'usage: jouletap COMMAND*'
answers 0 out 'jouletap [0-9]*.[0-9]*.[0-9]*' --version
answers 0 out 'usage: jouletap COMMAND*Commands:*completion*help*' help
answers 0 out 'usage: jouletap COMMAND*' --help
answers 2 err "jouletap: no command 'hlep'; did you mean 'help'"$'\n''try: jouletap help' hlep
answers 2 err "jouletap: no command 'xyzzy'"$'\n''try: jouletap help' xyzzy
answers 2 err "jouletap: unknown option '--foo'"$'\n''try: jouletap help' --foo
answers 2 err "jouletap: completion: unknown option '--hepl'; did you mean '--help'"$'\n'*'help completion' completion --hepl
answers 2 err 'jouletap: completion: bash|zsh|fish is missing'* completion
answers 2 err "jouletap: completion: no completion for 'csh'"* completion csh

commands=$("$jouletap" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ "$commands" = "$(echo "$commands" | LC_ALL=C sort)" ]
tap $? "the commands are sorted"
for c in $commands; do
	answers 0 out "usage: jouletap $c*Options:*--help*Exit codes:*" help "$c"
	answers 0 out "usage: jouletap $c*" "$c" --help
	"$jouletap" help --scdoc "$c" > "$tmp/$c.scd"
	if command -v scdoc >/dev/null; then
		scdoc < "$tmp/$c.scd" > "$tmp/$c.1" && grep -q "^.SH EXAMPLES" "$tmp/$c.1"
		tap $? "jouletap-$c(1) is a manual page with examples"
	fi
done

"$jouletap" help replay | grep -q '^  blackwell  *NVIDIA B100' && "$jouletap" help --scdoc replay | grep -q '^\*blackwell\*$'
tap $? "help and manual list the kinds of sensors"
"$jouletap" help --scdoc serve | grep -qF '*jouletap*(1), *jouletap.yaml*(5), *jouletap-record*(5)'
tap $? "the manual names pages that belong to it"
help=$(COLUMNS=72 "$jouletap" help serve) && ! sed '/^Examples:/,$d' <<<"$help" | grep -q '.\{73\}'
tap $? "help fits the terminal"

"$jouletap" help > /dev/full 2> "$tmp/err"
[ $? -eq 1 ] && grep -q '^jouletap: stdout: cannot write: ' "$tmp/err"
tap $? "a full disk is a failure"

# complete WORD...: what bash would offer for the last word.
complete_bash() {
	bash -c 'source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _jouletap; echo "${COMPREPLY[*]}"' \
		"$jouletap" jouletap "$@"
}
[ "$(complete_bash comp)" = completion ]
tap $? "bash completes a command"
[ "$(complete_bash completion z)" = zsh ]
tap $? "bash completes an operand"
[ "$(complete_bash help --sc)" = --scdoc ]
tap $? "bash completes an option"
[ "$(complete_bash replay --sensor black)" = blackwell ]
tap $? "bash completes a kind of sensor"
for shell in zsh fish; do
	if command -v $shell >/dev/null; then
		"$jouletap" completion $shell > "$tmp/c" && $shell -n "$tmp/c"
		tap $? "$shell accepts its completion"
	else
		n=$((n + 1))
		echo "ok $n - $shell accepts its completion # SKIP no $shell here"
	fi
done
echo 1..$n
