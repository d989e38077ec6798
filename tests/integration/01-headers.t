#!/bin/sh
# Each public header compiles alone, as C99 and as C++11, and the library exports only what they are named after.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
n=0

tap() { # tap STATUS TEXT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

for header in include/jouletap/*.h; do
	name=${header#include/}
	for as in "c99 c ${CC:-cc}" "c++11 c++ ${CXX:-c++}"; do
		set -- $as
		out=$(printf '#include "%s"\n#include "%s"\n' "$name" "$name" |
			$3 -std="$1" -x "$2" -Iinclude -pedantic-errors -Wall -Wextra -Werror -fsyntax-only - 2>&1)
		status=$?
		[ -z "$out" ] || echo "$out" | sed 's/^/# /'
		tap $status "$name compiles alone as $1"
	done
done

strange=$(nm -D --defined-only "$build/libjouletap.so" | awk '$3 !~ /^jt_[a-z]/ && $3 !~ /^(__asan|__ubsan|__odr|_init|_fini)/ { print $3 }')
[ -z "$strange" ]
status=$?
[ $status -eq 0 ] || echo "$strange" | sed 's/^/# /'
tap $status "the library exports only jt_ symbols"
nm -D --defined-only "$build/libjouletap.so" | grep -q ' jt_strerror$'
tap $? "the library exports jt_strerror"
echo 1..$n
