#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/gpu_probe against a fake GPU: what it says of a sensor is what the script made it."""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap
from gateway import FAKE_NVML
from tap import test

PROBE = os.path.join(os.path.dirname(tap.JOULETAP), "bench", "gpu_probe")


def probe(script, seconds):
    with tempfile.NamedTemporaryFile("w") as f:
        f.write(script)
        f.flush()
        done = subprocess.run([PROBE, "0", str(seconds), FAKE_NVML], env=dict(os.environ, FAKE_NVML_SCRIPT=f.name),
                              capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    print("".join(f"# {line}\n" for line in done.stdout.splitlines()), end="")
    return done.stdout


def number(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    assert found, (pattern, text)
    return float(found.group(1))


@test
def tells_periods_windows_and_the_step_of_the_counter():
    said = probe("gpu 0 burst 80 600 0.2 1.5 3\ngpu 0 noise_w 1\ngpu 0 quantum_mj 4\ngpu 0 jitter_ms 0\n"
                 "gpu 0 samples_ms 20\ngpu 0 activity 0 0.5 0.25 0.125\n", 12)
    assert 95 < number(r"^counter \(83\): .* period ([\d.]+) ms", said) < 106
    assert 95 < number(r"^average \(185\): .* period ([\d.]+) ms", said) < 106
    assert number(r"multiples of (\d+) mJ", said) == 4
    assert 850 < number(r"^average \(185\): .*\n  window (\d+) ms", said) < 1200
    assert number(r"^instant \(186\): .*\n  window (\d+) ms", said) < 150
    assert 19 < number(r"^nvmlDeviceGetSamples.* one each ([\d.]+) ms", said) < 21
    assert re.search(r"^GPM: NVML code 0; id=value 2=50 5=25 10=12.5$", said, re.MULTILINE), said
    assert "MIG: off" in said and "module power not told" in said
    assert number(r"three fields: (\d+) calls", said) > 500


@test
def a_steady_power_tells_how_counter_and_field_agree_and_no_window():
    said = probe("gpu 0 power 0 200\n", 3)
    assert 0.98 < number(r"integral of instant: ([\d.]+) ", said) < 1.02
    assert said.count("did not change enough") == 2, said


@test
def what_a_gpu_does_not_tell_is_said_with_the_drivers_code():
    said = probe("gpu 0 arch 7\ngpu 0 update_ms 0\ngpu 0 average_ms 0\ngpu 0 mig 1\ngpu 0 instance 1 3\n", 1)
    for line in (r"counter \(83\): not told \(NVML code 3\)", r"average \(185\): not told \(NVML code 3\)",
                 r"nvmlDeviceGetSamples\(power\): not told \(NVML code 3\)", "GPM: not supported", "MIG: on, 1 of 7"):
        assert re.search("^" + line, said, re.MULTILINE), (line, said)


if __name__ == "__main__":
    tap.run()
