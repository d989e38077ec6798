#!/bin/sh
# The predictor in WebAssembly against the native one, on 10,000 questions, and through predictor.js.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
missing=
for tool in clang node; do
	command -v $tool >/dev/null || missing="$missing $tool"
done
command -v wasm-ld >/dev/null || command -v wasm-ld-14 >/dev/null || missing="$missing lld"
if [ -n "$missing" ]; then
	echo "1..0 # SKIP not installed:$missing (scripts/deps wasm)"
	exit 0
fi
if ! [ -f "$build/web/predictor/predictor.wasm" ]; then
	echo "Bail out! '$build/web/predictor/predictor.wasm' has not been built: meson setup --reconfigure $build, then ninja"
	exit 1
fi
directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT
"$build/tests/tools/fitted_rows" "$directory" | sed 's/^/# /'
node tests/tools/predictor_wasm.mjs "$build/web/predictor/predictor.wasm" "$directory"
