#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The gateway on a machine with eight GPUs whose true power is scripted: joules of requests against the truth,
while sensors are read through a driver that loses a GPU, resets a counter and takes its time.

One run of six seconds, in which each GPU has its own engine and its own trouble; the tests then ask about it. A
second one is of two engines on two MIG instances of one GPU.
"""
import json
import os
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import http1
import tap
import upstream
from gateway import Gateway
from http1 import JSON
from tap import test
from upstream import Engine

GPUS = """
gpus 8
gpu 0 power 0 400
gpu 1 power 0 100 3 500 4.5 100
gpu 2 power 0 300
gpu 2 lost 2 3
gpu 3 power 0 350
gpu 3 reset 2.2
gpu 4 power 0 250
gpu 4 slow nvmlDeviceGetFieldValues 500 1.5 4
gpu 5 power 0 200
gpu 5 update_ms 0
gpu 6 power 0 220
gpu 6 update_ms 0
gpu 6 lost 2 3
"""
WORK = [  # name, GPU, begin, prefill and decode in s; times count from when the gateway serves
    ("alone", 0, 0.8, 0.5, 1.0),
    ("twin.a", 0, 2.8, 0.4, 0.8),
    ("twin.b", 0, 2.8, 0.4, 0.8),
    ("burst", 1, 2.0, 0.5, 2.9),
    ("lost", 2, 1.2, 0.2, 2.4),
    ("reset", 3, 1.2, 0.2, 2.0),
    ("slow", 4, 1.1, 0.2, 3.3),
    ("uncounted", 5, 0.8, 0.5, 1.5),
    ("unseen", 6, 1.2, 0.2, 2.4),
]


def work(connection, request):
    """An engine that computes for as long as it is told."""
    asked = request.json()
    if "prefill_s" not in asked:
        connection.send(upstream.json_answer({}))
        return
    time.sleep(asked["prefill_s"])
    n = max(1, round(asked["decode_s"] / 0.05))
    connection.send(upstream.STREAM_HEAD)
    for i in range(n):
        connection.send(http1.chunk(upstream.token(str(i))))
        time.sleep(asked["decode_s"] / n)
    connection.send(http1.chunk(upstream.usage(10, n)) + http1.chunk(upstream.DONE) + upstream.LAST_CHUNK)


class Run:
    """What happened in those seconds."""

    def __init__(self):
        self.scrapes = []  # (time, metrics)
        self.latencies = []
        upstreams = [{"name": f"gpu{i}", "url": Engine(work).url, "models": [f"on-gpu{i}"], "domains": [f"gpu:{i}"]}
                     for i in range(8)]
        folder = tempfile.TemporaryDirectory(prefix="jouletap-test-")
        recording = os.path.join(folder.name, "run.jsonl")
        metering = {"policy": "equal", "idle_power_w": {"gpu:0": 100, "gpu:1": 100}, "recording": recording}
        with folder, Gateway(upstreams, {"metering": metering}, script=GPUS) as g:
            self.begun = time.monotonic()
            threads = [threading.Thread(target=self.ask, args=(g, *row)) for row in WORK]
            for thread in threads:
                thread.start()
            while time.monotonic() < self.begun + 5.8:
                asked = time.monotonic()
                assert g.chat({"model": "on-gpu7"}).head.status == 200
                self.latencies.append(time.monotonic() - asked)
                self.scrapes.append((time.monotonic() - self.begun, g.metrics()))
                time.sleep(0.1)
            for thread in threads:
                thread.join(30)
            self.records = {name: g.record(name) for name, *_ in WORK}
            self.energies = {name: g.final_energy(name) for name, *_ in WORK}
            self.last = g.metrics()
            self.all_records = g.wait_records(len(WORK) + len(self.latencies))
            self.status = g.stop()
            self.log = g.log
            self.replayed = tap.jouletap("replay", "--json", recording)
            with open(recording) as f:
                self.lines = [json.loads(line) for line in f]

    def ask(self, g, name, gpu, begin, prefill, decode):
        time.sleep(max(0, self.begun + begin - time.monotonic()))
        body = {"model": f"on-gpu{gpu}", "stream": True, "prefill_s": prefill, "decode_s": decode}
        g.fetch("POST", "/v1/chat/completions", json.dumps(body).encode(), [*JSON, ("x-request-id", name)])

    def meter(self, gpu):
        """(time, joules so far) of each scrape that has them."""
        found = []
        for at, metrics in self.scrapes:
            domain = f"gpu:{gpu}"
            if domain in metrics.domains():
                found.append((at, metrics.sum("jouletap_domain_joules_total", domain=domain)))
        return found

    def mean_w(self, series, begin, end):
        inside = [(at, j) for at, j in series if begin <= at <= end]
        return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])


MIG = """
gpus 1
gpu 0 mig 1
gpu 0 noise_w 0
gpu 0 instance 1 3
gpu 0 instance 2 4
gpu 0 power 0 100 4 450 7 100
gpu 0 works 1 0 0 0 0 4 0.9 0.3 0.6 7 0 0 0
gpu 0 works 2 0 0 0 0
"""


class MigRun:
    """Two requests at a time, one on each instance; only the first of them computes."""

    def __init__(self):
        upstreams = [{"name": f"mig{i}", "url": Engine(work).url, "models": [f"on-mig{i}"], "domains": [f"mig:0:{i}"]}
                     for i in (1, 2)]
        folder = tempfile.TemporaryDirectory(prefix="jouletap-test-")
        recording = os.path.join(folder.name, "run.jsonl")
        metering = {"policy": "equal", "recording": recording, "gpm": True}
        begun = time.monotonic()  # a little before the script's zero
        with folder, Gateway(upstreams, {"metering": metering}, script=MIG) as g:
            time.sleep(max(0, begun + 4.9 - time.monotonic()))
            threads = [threading.Thread(target=self.ask, args=(g, i)) for i in (1, 2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            self.records = {i: g.record(f"on{i}") for i in (1, 2)}
            self.metrics = g.metrics()
            self.status = g.stop()
            with open(recording) as f:
                self.lines = [json.loads(line) for line in f]

    def ask(self, g, i):
        body = {"model": f"on-mig{i}", "stream": True, "prefill_s": 0.2, "decode_s": 1.2}
        g.fetch("POST", "/v1/chat/completions", json.dumps(body).encode(), [*JSON, ("x-request-id", f"on{i}")])

    def samples(self, domain):
        return [line["sample"] for line in self.lines if line.get("sample", {}).get("domain") == domain]


_run = []
_mig_run = []


def mig_run():
    if not _mig_run:
        _mig_run.append(MigRun())
    return _mig_run[0]


def run():
    if not _run:
        _run.append(Run())
    return _run[0]


def near(got, truth, bound, what):
    assert abs(got - truth) <= bound, f"{what}: {got:.2f} J, in truth {truth:.2f} J, bound {bound:.2f} J"


@test
def a_lone_request_at_known_power_gets_its_joules():
    r = run().records["alone"]
    truth = 400 * r["duration_s"]
    assert 1.45 < r["duration_s"] < 2.5, r
    near(r["total_j"], truth, r["bound_j"], "total")
    near(r["prefill_j"], 400 * r["ttft_s"], r["bound_j"], "prefill")
    near(r["decode_j"], 400 * (r["duration_s"] - r["ttft_s"]), r["bound_j"], "decode")
    near(r["dynamic_j"], 300 * r["duration_s"], r["bound_j"], "dynamic")
    assert r["bound_j"] < 0.2 * truth, "the bound says nothing"
    assert r["provenance"] == "measured" and r["coverage"] == 1 and r["domains"] == "gpu:0", r
    assert r["policy"] == "equal" and r["phase_source"] == "stream", r


@test
def two_at_a_time_share_alike_and_say_that_it_is_a_share():
    a, b = run().records["twin.a"], run().records["twin.b"]
    assert a["provenance"] == b["provenance"] == "derived", (a, b)
    overslept_s = abs(a["duration_s"] - b["duration_s"]) + abs(a["ttft_s"] - b["ttft_s"])  # the scripted engine
    for key in ("total_j", "prefill_j", "decode_j"):
        assert abs(a[key] - b[key]) < 0.05 * a[key] + 10 + 400 * overslept_s, (key, a, b)
    near(a["total_j"] + b["total_j"], 400 * max(a["duration_s"], b["duration_s"]), a["bound_j"] + b["bound_j"], "both")


@test
def a_burst_inside_a_request_is_its_own():
    r = run().records["burst"]
    truth = 100 * r["duration_s"] + 400 * 1.5
    near(r["total_j"], truth, r["bound_j"], "total")
    near(r["dynamic_j"], 400 * 1.5, r["bound_j"], "dynamic")
    assert r["bound_j"] < 0.2 * truth and r["provenance"] == "measured", r


@test
def power_readings_serve_where_there_is_no_counter():
    r = run().records["uncounted"]
    near(r["total_j"], 200 * r["duration_s"], r["bound_j"], "total")
    assert r["provenance"] == "derived" and r["bound_j"] < 0.25 * r["total_j"], r
    # The power field of this kind of GPU is a mean over 25 of each 100 ms.
    assert 0.2 < r["coverage"] < 0.3, r


@test
def a_gpu_that_is_lost_and_comes_back_loses_nothing_if_its_counter_went_on():
    r, t = run().records["lost"], run()
    near(r["total_j"], 300 * r["duration_s"], r["bound_j"], "total")
    assert r["provenance"] == "measured", r
    meter = t.meter(2)
    for (at0, j0), (at1, j1) in zip(meter, meter[1:]):
        assert j0 <= j1, "the meter ran backwards"
    assert 0.9 * 300 < t.mean_w(meter, 1, 5.5) < 1.1 * 300, meter
    for gpu in ("gpu:2", "gpu:6"):
        valid = [m.sum("jouletap_domain_sensor_valid", domain=gpu) for at, m in t.scrapes if 2.5 < at < 2.8]
        assert valid and 1 not in valid, valid
        assert t.last.sum("jouletap_domain_sensor_valid", domain=gpu) == 1
        assert t.last.sum("jouletap_domain_sensor_events_total", domain=gpu, event="gap") == 1


@test
def without_a_counter_what_nobody_saw_is_missing_and_not_invented():
    r, t = run().records["unseen"], run()
    unseen = t.last.sum("jouletap_domain_uncovered_seconds_total", domain="gpu:6")
    assert 0.8 < unseen < 1.6, unseen
    near(r["total_j"], 220 * (r["duration_s"] - unseen), r["bound_j"], "total")
    assert 0.05 < r["coverage"] < 0.2, r
    meter = t.meter(6)
    assert meter[-1][1] - meter[0][1] < 220 * (meter[-1][0] - meter[0][0]), meter


@test
def a_counter_that_begins_again_is_no_energy():
    r, t = run().records["reset"], run()
    near(r["total_j"], 350 * r["duration_s"], r["bound_j"], "total")
    assert t.last.sum("jouletap_domain_sensor_events_total", domain="gpu:3", event="reset") == 1
    assert 0.9 * 350 < t.mean_w(t.meter(3), 1, 5.5) < 1.1 * 350, t.meter(3)


@test
def a_driver_that_takes_half_a_second_stalls_nobody_else():
    t = run()
    worst = max(t.latencies)
    print(f"# {len(t.latencies)} requests during it: {worst * 1e3:.1f} ms at the worst")
    assert worst < 0.4, t.latencies
    for name in ("alone", "twin.a", "burst"):  # all of them while gpu:4 was slow
        assert t.records[name]["coverage"] == 1, t.records[name]
    r = t.records["slow"]
    near(r["total_j"], 250 * r["duration_s"], r["bound_j"], "total")
    assert 0.85 * 250 < t.mean_w(t.meter(4), 1, 5.5) < 1.15 * 250, t.meter(4)


@test
def requests_idle_and_unattributed_make_the_meter():
    t = run()
    t.last.check_account()
    for at, metrics in t.scrapes:
        if metrics.domains():
            metrics.check_account()
    own = [r for r in t.all_records if r["domains"] == "gpu:0"]
    attributed = t.last.sum("jouletap_attributed_joules_total", domain="gpu:0")
    assert abs(attributed - sum(r["total_j"] for r in own)) < 1e-5, (attributed, len(own))

    # From 4.4 s on nobody of note is on GPU 0: what its idle floor explains is idle, the rest nobody's.
    def series(name):
        return [(at, m.sum(name, domain="gpu:0")) for at, m in t.scrapes if at > 4.4]
    assert 90 < t.mean_w(series("jouletap_idle_joules_total"), 4.4, 5.8) < 110
    assert 270 < t.mean_w(series("jouletap_unattributed_joules_total"), 4.4, 5.8) < 330


@test
def what_a_client_is_told_in_the_end_is_what_the_record_says():
    t = run()
    for name, energy in t.energies.items():
        for key in ("prefill_j", "decode_j", "total_j", "bound_j", "provenance"):
            assert energy[key] == t.records[name][key], (name, energy)


@test
def the_recording_of_it_says_the_same():
    t = run()
    code, out, err = t.replayed
    assert code == 0, err
    windows = {w["domain"]: w for w in json.loads(out)["windows"]}
    for gpu, power_w in ((0, 400), (3, 350), (4, 250), (5, 200)):
        w = windows[f"gpu:{gpu}"]
        truth = power_w * (w["to_s"] - w["from_s"])
        assert abs(w["energy_j"] - truth) <= w["bound_j"] + 0.03 * truth, (w, truth)
    spans = [line["span"] for line in t.lines if "span" in line]
    decodes = sorted(s["end_s"] - s["begin_s"] for s in spans if s["phase"] == "decode")
    assert len(decodes) == len(WORK), len(decodes)
    told = sorted(r["duration_s"] - r["ttft_s"] for r in t.records.values())
    for got, want, least in zip(decodes, told, sorted(decode for *_, decode in WORK)):
        assert abs(got - want) < 0.1 and got > least - 0.1, (decodes, told, WORK)


@test
def it_ends_well():
    assert run().status == 0, run().log


@test
def an_instance_of_a_gpu_has_an_account_of_its_own_and_says_that_it_is_modelled():
    t = mig_run()
    assert t.status == 0
    for i in (1, 2):
        r = t.records[i]
        assert r["domains"] == f"mig:0:{i}" and r["provenance"] == "modelled", r
    t.metrics.check_account()
    assert [d for d in t.metrics.domains() if not d.startswith("cpu")] == ["gpu:0", "mig:0:1", "mig:0:2"]
    assert t.metrics.sum("jouletap_domain_joules_total", domain="mig:0:1", provenance="modelled") > 0
    assert t.metrics.sum("jouletap_domain_joules_total", domain="gpu:0", provenance="measured") > 0


@test
def who_computes_is_charged_for_it_and_who_waits_is_not():
    busy, idle = mig_run().records[1], mig_run().records[2]
    # 3/7 of the 100 W that the GPU draws anyway and all of the 350 W above that; 4/7 of 100 W
    near(busy["total_j"], (300 / 7 + 350) * busy["duration_s"], 0.25 * busy["total_j"], "busy")
    near(idle["total_j"], 400 / 7 * idle["duration_s"], 0.5 * idle["total_j"], "idle")
    for r, watts in ((busy, 300 / 7 + 350), (idle, 400 / 7)):
        near(r["total_j"], watts * r["duration_s"], r["bound_j"], "within its bound")


@test
def the_instances_together_are_the_gpu_to_the_microjoule():
    t = mig_run()
    counter = {round(s["energy_j"] * 1e6) for s in t.samples("gpu:0") if "energy_j" in s}
    parts = {}  # by the division that they are of, which both tell with the same times
    for i in (1, 2):
        for s in t.samples(f"mig:0:{i}"):
            if "energy_j" in s:
                parts.setdefault((s["t_s"], s["t_end_s"]), []).append(round(s["energy_j"] * 1e6))
    sums = sorted({sum(both) for both in parts.values() if len(both) == 2})
    assert len(sums) > 20, len(sums)
    near_counter = {c + off for c in counter for off in (-2, -1, 0, 1, 2)}  # for µJ not yet told

    # The first division was made at some value of the counter. With the right one each sum is one too, but for
    # steps that the GPU's own reader came too late for.
    matches = max(sum(s + zero in near_counter for s in sums) for zero in (c - sums[-1] for c in counter))
    print(f"# {matches} of {len(sums)} divisions are values of the GPU's counter")
    assert matches > len(sums) / 2, (sums, sorted(counter))


@test
def how_busy_an_instance_was_is_recorded_and_exported():
    t = mig_run()
    seen = [s["sm_activity"] for s in t.samples("mig:0:1") if "sm_activity" in s]
    assert max(seen) == 0.9 and min(seen) == 0, seen
    assert all(s.get("sm_activity", 0) == 0 for s in t.samples("mig:0:2"))
    t.metrics.sum("jouletap_domain_activity_ratio", domain="mig:0:1", unit="dram")


if __name__ == "__main__":
    tap.run()
