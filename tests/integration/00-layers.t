#!/bin/sh
# No room reaches into one that it does not stand on.
cd "$(dirname "$0")/../.." || exit 1
echo 1..3

out=$(scripts/layers) && echo "ok 1 - every #include follows the table in ARCHITECTURE.md" || {
	echo "not ok 1 - every #include follows the table in ARCHITECTURE.md"
	echo "$out" | sed 's/^/# /'
}

# The check itself: a base that includes the model, a room nobody knows.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy/src/base" "$copy/src/cellar" "$copy/scripts" "$copy/include"
cp ARCHITECTURE.md "$copy"
cp scripts/layers "$copy/scripts"
printf '#include "model/model.h"\n' > "$copy/src/base/bad.c"
printf '#include "base/base.h"\n' > "$copy/src/cellar/odd.c"
out=$("$copy/scripts/layers") && code=0 || code=1
case $code:$out in
1:*'src/base/bad.c:1: "base" may not include "model/model.h" of "model"'*) echo "ok 2 - an include upwards is found" ;;
*) echo "not ok 2 - an include upwards is found" ;;
esac
case $out in
*'src/cellar/odd.c:1: "cellar" is not a room of ARCHITECTURE.md'*) echo "ok 3 - an unknown room is found" ;;
*) echo "not ok 3 - an unknown room is found" ;;
esac
