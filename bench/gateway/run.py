#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
jouletap serve beside nginx and HAProxy as plain proxies, in one run, in turns.

usage: bench/gateway/run.py [--build DIR] [--rounds N] [--quick] [--alone] [--only SCENARIO] [--json FILE]

The proxy has one core to itself; clients and engine (one process, `load`) and this script share another.
jouletap meters, attributes and keeps its metrics, which are scraped each second. Prints a table in Markdown;
--json FILE has every figure of every round. --quick only shows that everything runs: its figures mean nothing.
--alone leaves nginx and HAProxy out.
"""
import argparse
import json
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CPUS = sorted(os.sched_getaffinity(0))  # the first is the proxy's
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


# ---- the proxies ----

class Direct:
    """No proxy: what the clients and the engine cost by themselves."""
    name = "direct"

    def __init__(self, folder):
        self.port = None

    def start(self, engine_port):
        self.port = engine_port

    def pids(self):
        return []

    def stop(self):
        pass


class Proxy:
    """A program that is given a configuration file and listens on a port that is chosen here."""

    def __init__(self, folder):
        self.folder = folder
        self.process = None

    def start(self, engine_port):
        self.port = free_port()
        self.file = os.path.join(self.folder, self.name.replace(" ", "-") + ".conf")
        with open(self.file, "w") as f:
            f.write(self.config(engine_port))
        self.log = open(self.file + ".log", "w+")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {CPUS[0]}))
        self.wait_until_ready()

    def wait_until_ready(self):
        def connects():
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return True
            except OSError:
                return False
        self.wait_for(connects)

    def wait_for(self, what):
        until = time.monotonic() + 10
        while not what():
            if self.process.poll() is not None or time.monotonic() > until:
                self.log.seek(0)
                sys.exit(f"{self.name} does not start:\n{self.log.read()}")
            time.sleep(0.02)

    def pids(self):
        """The process and its children."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [pid, *map(int, f.read().split())]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Nginx(Proxy):
    name = "nginx"
    program = "nginx"

    def command(self):
        return ["nginx", "-c", self.file, "-e", self.file + ".err"]

    def config(self, engine_port):
        return f"""
daemon off;
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
pid {self.file}.pid;
error_log {self.file}.err crit;
events {{ worker_connections {FILES - 100}; }}
http {{
    access_log off;
    client_body_temp_path {self.folder}/body;
    proxy_temp_path {self.folder}/temp;
    fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
    keepalive_requests 1000000000;
    upstream engine {{ server 127.0.0.1:{engine_port} max_fails=0; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""


class Haproxy(Proxy):
    name = "HAProxy"
    program = "haproxy"
    options = ""

    def command(self):
        return ["haproxy", "-db", "-f", self.file]

    def config(self, engine_port):
        return f"""
global
    nbthread 1
    maxconn {FILES // 2 - 100}
defaults
    mode http
    option http-keep-alive
    option http-no-delay
    {self.options}
    http-reuse always
    retries 0
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend clients
    bind 127.0.0.1:{self.port} backlog 4096
    default_backend engine
backend engine
    server engine 127.0.0.1:{engine_port}
"""


class HaproxyAbortonclose(Haproxy):
    name = "HAProxy abortonclose"
    options = "option abortonclose"


class Jouletap(Proxy):
    name = "jouletap"
    program = None  # set from --build

    def command(self):
        return [self.program, "serve", "-c", self.file]

    def config(self, engine_port):
        self.admin = free_port()
        return f"""
listen: 127.0.0.1:{self.port}
admin: 127.0.0.1:{self.admin}
workers: 1
timeouts:
  drain_s: 1
upstreams:
  - name: engine
    url: http://127.0.0.1:{engine_port}
"""

    def scrape(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5) as page:
                return page.read().decode()
        except OSError:
            return ""

    def wait_until_ready(self):
        """Energy is metered, and somebody reads the metrics each second."""
        self.wait_for(lambda: "jouletap_domain_joules_total{" in self.scrape())
        self.over = threading.Event()
        self.scraper = threading.Thread(target=self.scrape_each_second)
        self.scraper.start()

    def scrape_each_second(self):
        while not self.over.wait(1):
            self.scrape()

    def stop(self):
        self.over.set()
        self.scraper.join()
        super().stop()
        if self.process.returncode:
            with open(self.file + ".log") as f:
                sys.exit(f"jouletap ended with status {self.process.returncode}:\n{f.read()}")


reserved = []


def free_port():
    """A port that nobody else is given until the end: bound, but not listened to, which leaves it to whoever does."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    reserved.append(s)
    return s.getsockname()[1]


# ---- the runs ----

CANCELS = ("cancel_ttft", "cancel_stream", "cancel_json")


def scenarios(quick):
    """Name: mode and arguments of `load`."""
    def ms(full):
        return 500 if quick else full
    streams, idle = (100, 300) if quick else (1000, min(8000, FILES // 2 - 200))
    patience = 500 if quick else 5000
    settle = f"settle_ms={100 if quick else 500}"
    return {
        "json_1": ["json", "answer=j", "conns=1", f"window_ms={ms(1500)}", settle],
        "json_32": ["json", "answer=j", "conns=32", f"window_ms={ms(2500)}", settle],
        "first_event": ["stream", "answer=f", "conns=1", "events=4", f"window_ms={ms(1000)}", settle],
        "flat": ["stream", "answer=f", "conns=64", "events=4000", f"window_ms={ms(2000)}", settle],
        "paced": ["paced", "answer=p", f"conns={streams}", "gap_us=40000", f"window_ms={ms(3000)}", settle],
        "idle": ["idle", "answer=p", f"conns={idle}", settle],
        "cancel_ttft": ["cancel", "answer=n", "conns=20", f"patience_ms={patience}"],
        "cancel_stream": ["cancel", "answer=p", "gap_us=40000", "conns=20", f"patience_ms={patience}"],
        "cancel_json": ["cancel", "answer=s", "conns=20", f"patience_ms={patience}"],
    }


def measure(load, target, args):
    engine_port = free_port()
    target.start(engine_port)
    try:
        command = [load, *args, f"port={target.port}", f"engine={engine_port}",
                   *(f"pid={pid}" for pid in target.pids())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            sys.exit(f"{target.name}: {' '.join(command)}: {done.stderr}")
        return json.loads(done.stdout)
    finally:
        target.stop()


def is_wanted(name, target, number):
    """Cancelling is not a matter of speed: once. Without a proxy there is neither CPU nor memory of one."""
    if isinstance(target, HaproxyAbortonclose):
        return name in CANCELS and not number
    if isinstance(target, Direct) and name in (*CANCELS, "idle"):
        return False
    return name not in CANCELS or not number


def run_all(load, targets, chosen, rounds):
    """Results by scenario and target, one for each round; targets take turns within each scenario."""
    results = {name: {} for name in chosen}
    for number in range(rounds):
        for name, args in chosen.items():
            for target in targets:
                if is_wanted(name, target, number):
                    results[name].setdefault(target.name, []).append(measure(load, target, args))
                    print(f"round {number + 1} {name} {target.name}: {results[name][target.name][-1]}", file=sys.stderr)
    return results


# ---- the table ----

ROWS = [  # what, scenario, figure, digits, goal
    ("JSON, 1 client: latency p50, µs", "json_1", "latency_p50_us", 0),
    ("— p99, µs", "json_1", "latency_p99_us", 0),
    ("JSON, 32 connections: requests/s", "json_32", "per_s", 0),
    ("— CPU per request, µs", "json_32", "cpu_us", 1),
    ("SSE flat out, 64 streams: CPU per event, µs", "flat", "cpu_us", 2),
    ("SSE paced, 25 000 events/s over 1 000 streams: CPU per event, µs", "paced", "cpu_us", 1),
    ("— event delay p50, µs", "paced", "delay_p50_us", 0),
    ("— event delay p99, µs", "paced", "delay_p99_us", 0),
    ("— first event of one more stream p50, µs", "paced", "first_p50_us", 0),
    ("first event, nothing else running: p50, µs", "first_event", "first_p50_us", 0),
    ("8 000 open streams: memory per stream, KiB", "idle", "rss_kib", 1),
]
CANCEL_ROWS = [
    ("client leaves before the first token", "cancel_ttft"),
    ("client leaves in mid-stream", "cancel_stream"),
    ("client of a plain request leaves", "cancel_json"),
]


def values(results, scenario, target, figure):
    got = results.get(scenario, {}).get(target, [])
    if figure == "rss_kib":
        return [r["rss_bytes"] / 1024 for r in got]
    if target == "direct" and figure == "cpu_us":
        return []
    return [r[figure] for r in got if figure in r]


def spread(numbers, digits):
    if not numbers:
        return "–"
    low, mid, high = (f"{f(numbers):,.{digits}f}".replace(",", " ") for f in (min, statistics.median, max))
    return mid if low == high else f"{mid} ({low}–{high})"


def ratio(results, scenario, figure, a="jouletap", b="nginx"):
    pairs = zip(values(results, scenario, a, figure), values(results, scenario, b, figure))
    return [x / y for x, y in pairs if y]


def cancel_text(results, scenario, target):
    got = results.get(scenario, {}).get(target, [])
    if not got:
        return "–"
    if not got[0]["n_seen"]:
        return "never"
    text = f"{got[0]['seen_p50_us'] / 1e3:.2f} (max {got[0]['seen_max_us'] / 1e3:.2f})"
    missed = got[0]["n"] - got[0]["n_seen"]
    return text + (f", {missed} of {got[0]['n']} never" if missed else "")


def print_tables(results, names, rounds, quick):
    plain = [n for n in names if n != HaproxyAbortonclose.name]
    print("A quick run, fewer streams than said below: no figure means anything.\n" if quick else
          f"Median of {rounds} rounds (least–most); the last column is of each round's pair.\n")
    print("| | " + " | ".join(plain) + " | jouletap / nginx |")
    print("|---" * (len(plain) + 2) + "|")
    for what, scenario, figure, digits in ROWS:
        cells = [spread(values(results, scenario, n, figure), digits) for n in plain]
        print(f"| {what} | " + " | ".join(cells) + f" | {spread(ratio(results, scenario, figure), 2)} |")
    proxies = [n for n in names if n != "direct"]
    print("\nTime until the engine sees that the client has left, ms, median of 20 (`never`: not within 5 s).\n")
    print("| | " + " | ".join(proxies) + " |")
    print("|---" * (len(proxies) + 1) + "|")
    for what, scenario in CANCEL_ROWS:
        print(f"| {what} | " + " | ".join(cancel_text(results, scenario, n) for n in proxies) + " |")


def added_first_us(results, target):
    """How much later the first event comes than without a proxy, round by round."""
    return [a - b for a, b in zip(values(results, "first_event", target, "first_p50_us"),
                                  values(results, "first_event", "direct", "first_p50_us"))]


def print_goals(results):
    def middle(numbers):
        return statistics.median(numbers) if numbers else None

    def row(goal, value, text, met):
        print(f"| {goal} | " + ("not measured | |" if value is None else f"{text} | {'met' if met else 'missed'} |"))

    per_core = middle([1 / r for r in ratio(results, "json_32", "cpu_us")])
    paced = middle(ratio(results, "paced", "cpu_us"))
    kib = middle(values(results, "idle", "jouletap", "rss_kib"))
    first = [middle(added_first_us(results, n)) for n in ("jouletap", "nginx")]
    first = first[0] - first[1] if None not in first else None
    cancels = [r for name in CANCELS for r in results.get(name, {}).get("jouletap", [])]
    worst = max((r.get("seen_max_us", 1e9) if r["n_seen"] == r["n"] else 1e9 for r in cancels), default=None)
    print("\n| goal | measured | |\n|---|---|---|")
    row("JSON: at least 1.2 times nginx's requests per second of CPU", per_core, f"{per_core or 0:.2f}",
        (per_core or 0) >= 1.2)
    row("paced SSE: CPU per event at most nginx's", paced, f"{paced or 0:.2f}", (paced or 9) <= 1)
    row("at most 5 KB per idle stream", kib, f"{(kib or 0) * 1.024:.1f} KB", (kib or 99) * 1.024 <= 5)
    row("cancel within 20 ms in all cases", worst, "never" if worst == 1e9 else f"{(worst or 0) / 1e3:.1f} ms at most",
        (worst or 1e9) <= 20e3)
    row("first token at most 50 µs later than with nginx", first, f"{first or 0:+.0f} µs", (first or 0) <= 50)
    print("| TLS: at least 0.9 times nginx's | not measured: jouletap has no TLS yet | |")


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())
    return {"cpus": os.cpu_count(), "model": model, "kernel": platform.release(), "load_average": os.getloadavg()[0],
            "files": FILES}


def versions(targets):
    found = {}
    for target in targets:
        if isinstance(target, Direct) or isinstance(target, HaproxyAbortonclose):
            continue
        flag = "--version" if isinstance(target, Jouletap) else "-v"
        done = subprocess.run([target.program, flag], capture_output=True, text=True)
        found[target.name] = (done.stdout or done.stderr).splitlines()[0]
    return found


def main():
    options = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    options.add_argument("--build", default=os.path.join(ROOT, "build-bench"))
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--alone", action="store_true")
    options.add_argument("--only", action="append", choices=scenarios(False))
    options.add_argument("--json")
    o = options.parse_args()
    if len(CPUS) < 2:
        sys.exit("bench-gateway needs two CPUs: one for the proxy, one for clients and engine")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    os.sched_setaffinity(0, {CPUS[1]})
    Jouletap.program = os.path.join(o.build, "jouletap")
    rounds = 1 if o.quick else o.rounds
    chosen = {name: args for name, args in scenarios(o.quick).items() if not o.only or name in o.only}
    os.environ["PATH"] += ":/usr/sbin"
    with tempfile.TemporaryDirectory(prefix="jouletap-bench-") as folder:
        targets = [kind(folder) for kind in (Direct, Nginx, Haproxy, HaproxyAbortonclose, Jouletap)
                   if kind in (Direct, Jouletap) or (not o.alone and shutil.which(kind.program))]
        facts = {"machine": machine(), "versions": versions(targets)}
        results = run_all(os.path.join(o.build, "bench", "gateway-load"), targets, chosen, rounds)
    print("; ".join(f"{k} {v}" for k, v in facts["machine"].items()))
    print("; ".join(facts["versions"].values()) + "\n")
    print_tables(results, [t.name for t in targets], rounds, o.quick)
    print_goals(results)
    if o.json:
        with open(o.json, "w") as f:
            json.dump(dict(facts, results=results), f, indent=1)


main()
