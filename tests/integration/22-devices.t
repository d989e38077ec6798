#!/bin/bash
# jouletap devices on machines made of files and a fake driver.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
fake=$build/tests/fake/libnvidia-ml.so.1
trees=tests/data/sysfs
script=$(mktemp)
trap 'rm -f "$script"' EXIT
export ASAN_OPTIONS=detect_leaks=0 # a driver that hangs leaves its source open on purpose
n=0

tap() { # tap STATUS TEXT OUTPUT
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		echo "$3" | sed 's/^/# /'
	fi
}

has() { # has TEXT PATTERN...: every pattern is in it
	local text=$1
	shift
	for pattern; do grep -qE -- "$pattern" <<<"$text" || return 1; done
}

query() { # query JSON EXPRESSION: a Python expression over d
	python3 -c 'import json, sys; d = json.load(sys.stdin); sys.exit(not eval(sys.argv[1]))' "$2" <<<"$1"
}

cat >"$script" <<'END'
gpus 2
gpu 0 power 0 321
gpu 0 noise_w 0
gpu 1 name Tesla V100-SXM2-16GB
gpu 1 arch 5
gpu 1 sensor volta
gpu 1 update_ms 0
END
export FAKE_NVML_SCRIPT=$script

out=$("$build/jouletap" devices --root $trees/xeon-two-sockets --nvml-library "$fake")
has "$out" '^gpu:0 +nvml +gh100 +measured .* 321\.0 .*H100' '^gpu:1 +nvml +volta +derived .*V100' \
	'^cpu:1 +rapl .*CPU package 1' '^dram:0 +rapl' 'no energy counter'
tap $? "lists GPUs, packages and memory, and says what is missing" "$out"

has "$out" 'the counter does not move' && ! has "$out" ' 0\.0 +- +CPU package'
tap $? "a counter that does not move is not 0 W" "$out"

out=$("$build/jouletap" devices --json --root $trees/xeon-two-sockets --nvml-library "$fake")
query "$out" '[x["name"] for x in d["domains"]] == ["gpu:0", "gpu:1", "cpu:0", "dram:0", "cpu:1", "dram:1"]' &&
	query "$out" 'd["domains"][0]["reading"]["power_w"] == 321 and d["domains"][0]["update_s"] == 0.1' &&
	query "$out" 'd["domains"][1]["reading"]["energy_j"] is None and "energy" not in d["domains"][1]["fields"]' &&
	query "$out" 'd["domains"][2]["reading"]["power_w"] is None and d["domains"][2]["wrap_j"] > 262143'
tap $? "the same as JSON, with null for what is not known" "$out"

out=$("$build/jouletap" devices --json --root $trees/virtual-machine)
query "$out" '[(x["name"], x["provenance"]) for x in d["domains"]] == [("cpu:0", "modelled")]' &&
	query "$out" '[x["source"] for x in d["absent"]] == ["nvml", "rapl"] and all(x["message"] for x in d["absent"])'
tap $? "without a meter the CPU is modelled and the absent are explained" "$out"

out=$("$build/jouletap" devices --root /nonexistent)
[ $? -eq 0 ] && has "$out" '^Nothing can be measured here' '^nvml ' '^rapl ' '^cpumodel '
tap $? "a machine with nothing is told so" "$out"

echo 'gpu 0 slow nvmlDeviceGetFieldValues 8000 0.2 1e9' >>"$script"
out=$(timeout 20 "$build/jouletap" devices --nvml-library "$fake" --root $trees/epyc)
[ $? -eq 0 ] && has "$out" '^gpu:0 ' '^gpu:1 ' '^cpu:0 '
tap $? "a driver that hangs does not hang the list" "$out"

echo 'gpu 9 nonsense' >"$script"
out=$("$build/jouletap" devices --nvml-library "$fake" --root $trees/epyc 2>&1)
has "$out" 'not understood' 'NVML code 999'
tap $? "a library that cannot start is named with its code" "$out"
echo 1..$n
