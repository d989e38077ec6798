#!/bin/bash
# jouletap devices on machines made of files and a fake driver.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
fake=$build/tests/fake/libnvidia-ml.so.1
trees=tests/data/sysfs
script=$(mktemp)
empty=$(mktemp -d)
trap 'rm -f "$script"; rmdir "$empty"' EXIT
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
	query "$out" '[d["domains"][0][k] for k in ("avg_window_s", "gain", "offset_w", "max_power_w")] == [1, 0.05, 5, 1500]' &&
	query "$out" 'd["domains"][1]["reading"]["energy_j"] is None and "energy" not in d["domains"][1]["fields"]' &&
	query "$out" 'd["domains"][2]["reading"]["power_w"] is None and d["domains"][2]["wrap_j"] > 262143'
tap $? "the same as JSON, with null for what is not known" "$out"

out=$("$build/jouletap" devices --json --root $trees/virtual-machine)
query "$out" '[(x["name"], x["provenance"]) for x in d["domains"]] == [("cpu:0", "modelled")]' &&
	query "$out" '[x["source"] for x in d["absent"]] == ["nvml", "amdgpu", "rapl", "hwmon"] and all(x["message"] for x in d["absent"])'
tap $? "without a meter the CPU is modelled and the absent are explained" "$out"

out=$("$build/jouletap" devices --root "$empty")
[ $? -eq 0 ] && has "$out" '^Nothing can be measured here' '^nvml ' '^amdgpu ' '^rapl ' '^hwmon ' '^cpumodel '
tap $? "a machine with nothing is told so" "$out"

out=$("$build/jouletap" devices --root /nonexistent 2>&1)
[ $? -eq 1 ] && [ "$out" = "jouletap: devices: '--root' '/nonexistent': No such file or directory" ]
tap $? "a root that is not there is an error" "$out"
out=$("$build/jouletap" devices --root "$script" 2>&1)
[ $? -eq 1 ] && [ "$out" = "jouletap: devices: '--root' '$script' is no directory" ]
tap $? "a root that is a file is an error" "$out"

out=$("$build/jouletap" devices --sensors)
has "$out" '^acpi .* 50000 W ' && ! has "$out" '[0-9]e\+'
tap $? "the table of sensors has no exponents" "$out"
out=$("$build/jouletap" devices --sensors --json)
has "$out" '"kind":"gh100".*"avg_window_s":1,.*"gain":0\.05,"offset_w":5,"max_power_w":1500,' && ! has "$out" '[0-9]{9}'
tap $? "the figures of sensors are exact" "$out"

places() { # places TREE: "name source provenance part_of power" of each domain, a line each
	"$build/jouletap" devices --json --root "$trees/$1" 2>/dev/null | python3 -c '
import json, sys
for d in json.load(sys.stdin)["domains"]:
	print(d["name"], d["source"], d["provenance"], d["part_of"] or "-", d["reading"]["power_w"])'
}

golden() { # golden TEXT TREE LINES
	local out
	out=$(places "$2" | diff - <(echo "$3"))
	tap $? "$1" "$out"
}

golden "a Grace superchip's module, and what is inside of it" grace \
	'cpu:0 hwmon derived grace:0 95
sysio:0 hwmon derived grace:0 12
grace:0 hwmon derived module:0 130
module:0 hwmon derived - 430'

golden "a Jetson's board and its rails" jetson \
	'board:0 hwmon derived - 6
rail:VDD_CPU_GPU_CV hwmon derived board:0 2.003
rail:VDD_SOC hwmon derived board:0 0'

golden "a server's own meter contains its CPU" server \
	'cpu:0 rapl measured node:0 None
dram:0 rapl measured node:0 None
node:0 hwmon derived - 312'

golden "Intel GPUs, each counted once" arc \
	'gpu:0 hwmon measured - None
gpu:1 hwmon measured - None
gpu:2 hwmon measured - None'

golden "Instinct GPUs count energy" instinct \
	'gpu:0 amdgpu measured - 333
gpu:2 amdgpu measured - 410'

golden "a Radeon's power is integrated, and an APU contains its CPU" radeon \
	'gpu:0 amdgpu derived - 61
apu:0 amdgpu derived - 35.09
cpu:0 rapl measured apu:0 None'

out=$("$build/jouletap" devices --root $trees/grace)
has "$out" '^cpu:0 +hwmon +acpi +derived +50 ms +50 ms .* 95\.0 ' 'part of grace:0: not to be added to it'
tap $? "a part says so, and the window is the meter's own" "$out"

out=$("$build/jouletap" devices --root $trees/instinct 2>/dev/null)
has "$out" '^amdgpu .*0000:42:00.0 tells neither power nor energy'
tap $? "what was found and cannot be read is named beside the rest" "$out"

out=$("$build/jouletap" devices --root $trees/no-driver)
has "$out" '^amdgpu .*0000:03:00.0 has no driver .*module amdgpu' '^rapl .*module intel_rapl_msr' \
	'^hwmon .*module acpi_power_meter' && ! has "$out" sudo
tap $? "what a kernel module would bring is said" "$out"

out=$("$build/jouletap" devices --json --root $trees/rocm --rocm-library "$build/tests/fake/librocm_smi64.so.7")
query "$out" '[x["provenance"] for x in d["domains"]] == ["measured", "derived"]'
tap $? "AMD's library counts where the driver's files do not" "$out"

out=$("$build/jouletap" devices --root $trees/rocm --rocm-library /nonexistent/librocm_smi64.so)
has "$out" "^amdgpu .*cannot load '/nonexistent/librocm_smi64.so'"
tap $? "a library that was named and is not there is an error of its source" "$out"

echo 'gpu 0 slow nvmlDeviceGetFieldValues 8000 0.2 1e9' >>"$script"
out=$(timeout 20 "$build/jouletap" devices --nvml-library "$fake" --root $trees/epyc)
[ $? -eq 0 ] && has "$out" '^gpu:0 ' '^gpu:1 ' '^cpu:0 '
tap $? "a driver that hangs does not hang the list" "$out"

cat >"$script" <<'END'
gpu 0 mig 1
gpu 0 noise_w 0
gpu 0 power 0 210
gpu 0 instance 1 3
gpu 0 instance 2 2
gpu 0 activity 0 0.5 0.25 0.125
gpu 0 works 1 0 1 0.5 0.25
gpu 0 works 2 0 0 0 0
END
out=$("$build/jouletap" devices --json --root $trees/virtual-machine --nvml-library "$fake")
query "$out" '[(x["name"], x["provenance"], x["part_of"]) for x in d["domains"][:3]] == [
	("gpu:0", "measured", ""), ("mig:0:1", "modelled", "gpu:0"), ("mig:0:2", "modelled", "gpu:0")]' &&
	query "$out" 'd["domains"][1]["uuid"].startswith("MIG-") and "3g" in d["domains"][1]["device"]' &&
	query "$out" 'd["domains"][1]["gain"] > 1 and "slices alone" in d["domains"][1]["missing"]' &&
	query "$out" 'abs(d["domains"][1]["reading"]["power_w"] - 90) < 0.1' &&
	query "$out" 'd["domains"][1]["reading"]["sm_activity"] is None'
tap $? "the instances of a GPU that is split by MIG are listed, modelled, with whose part they are" "$out"

out=$("$build/jouletap" devices --gpm --json --root $trees/virtual-machine --nvml-library "$fake")
query "$out" 'd["domains"][0]["reading"]["dram_activity"] == 0.125 and "sm_activity" in d["domains"][0]["fields"]' &&
	query "$out" 'd["domains"][1]["reading"]["sm_activity"] == 1 and "SM activity" in d["domains"][1]["missing"]' &&
	query "$out" '0.5 <= d["domains"][1]["gain"] < 0.6'
tap $? "profiling counters are read where they are asked for, and split a GPU better" "$out"

cat >"$script" <<'END'
gpu 0 name NVIDIA GH200 480GB
gpu 0 power 0 300
gpu 0 noise_w 0
gpu 0 module_w 150
END
out=$("$build/jouletap" devices --json --root $trees/virtual-machine --nvml-library "$fake")
query "$out" '[(x["name"], x["part_of"], x["reading"]["power_w"]) for x in d["domains"][:2]] == [
	("gpu:0", "module:0", 300), ("module:0", "", 450)]' &&
	query "$out" '"contains GPU, CPU" in d["domains"][1]["missing"]'
tap $? "a superchip's GPU is part of its module" "$out"

for what in field:186 field:185 field:83 nvmlDeviceGetPowerUsage nvmlDeviceGetTotalEnergyConsumption; do
	echo "gpu 0 error $what 3" >>"$script"
done
out=$("$build/jouletap" devices --json --root $trees/virtual-machine --nvml-library "$fake")
query "$out" 'd["domains"][0]["name"] == "module:0" and "does not tell the GPU alone" in d["domains"][0]["missing"]'
tap $? "a superchip that tells its module alone is explained" "$out"

printf 'gpus 2\ngpu 1 vgpu 1\ngpu 1 update_ms 0\ngpu 1 average_ms 0\ngpu 1 window_ms 0\n' >"$script"
out=$("$build/jouletap" devices --root $trees/virtual-machine --nvml-library "$fake" 2>/dev/null)
has "$out" '^gpu:0 ' 'gpu:1 is a vGPU' && ! has "$out" '^gpu:1 +nvml'
tap $? "a GPU that cannot be metered is named beside the others" "$out"

echo 'gpu 9 nonsense' >"$script"
out=$("$build/jouletap" devices --nvml-library "$fake" --root $trees/epyc 2>&1)
has "$out" 'not understood' 'NVML code 999'
tap $? "a library that cannot start is named with its code" "$out"
echo 1..$n
