# SPDX-License-Identifier: Apache-2.0
"""
Starts `jouletap serve` for a test and reads what it tells: its access log, its metrics, its log.
Use it with `with`: it is gone at the end, whatever happens.
"""
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

import http1
import tap
import upstream

SERVING = re.compile(r"serving on http://(\S+), admin on http://(\S+)")
FAKE_NVML = os.environ.get(
    "FAKE_NVML", os.path.join(os.path.dirname(tap.JOULETAP), "tests", "fake", "libnvidia-ml.so.1"))


def yaml(value, depth=0):
    """Enough of YAML for a configuration."""
    pad = "  " * depth
    if isinstance(value, dict):
        lines = ""
        for key, item in value.items():
            nested = isinstance(item, (dict, list))
            lines += f"{pad}{key}:" + ("\n" + yaml(item, depth + 1) if nested else f" {json.dumps(item)}\n")
        return lines
    lines = ""
    for item in value:
        if isinstance(item, dict):
            lines += pad + "- " + yaml(item, depth + 1).lstrip()
        else:
            lines += f"{pad}- {json.dumps(item)}\n"
    return lines


def is_sanitized():
    """Whether the program carries a sanitizer, next to which its own memory cannot be seen."""
    with open(tap.JOULETAP, "rb") as f:
        program = f.read()
    return b"__asan_init" in program or b"__tsan_init" in program


class Gateway:
    """
    @upstreams: engines, or mappings as in the configuration. @config is laid over the defaults of the
    tests: two workers, a reading each 20 ms, an access log in a directory of its own. At the end it is asked
    to stop, and has to do so properly, unless the test failed already.
    """

    def __init__(self, upstreams, config=None, script=None, env=None, args=()):
        self.dir = tempfile.TemporaryDirectory(prefix="jouletap-test-")
        self.access_log = os.path.join(self.dir.name, "access.jsonl")
        settings = {
            "listen": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "workers": 2,
            "metering": {"poll_interval_ms": 20},
            "telemetry": {"access_log": self.access_log},
            "timeouts": {"drain_s": 1},
            "upstreams": [u if isinstance(u, dict) else {"name": "engine", "url": u.url} for u in upstreams],
        }
        for section, value in (config or {}).items():
            if isinstance(value, dict):
                settings.setdefault(section, {}).update(value)
            else:
                settings[section] = value
        environment = dict(os.environ, **(env or {}))
        if script is not None:  # a machine whose GPUs are scripted
            settings["metering"]["nvml_library"] = FAKE_NVML
            environment["FAKE_NVML_SCRIPT"] = os.path.join(self.dir.name, "gpus.txt")
            with open(environment["FAKE_NVML_SCRIPT"], "w") as f:
                f.write(script)
        self.config = os.path.join(self.dir.name, "gateway.yaml")
        with open(self.config, "w") as f:
            f.write(yaml(settings))
        self.log = []
        self.started = threading.Event()
        self.process = subprocess.Popen([tap.JOULETAP, "serve", "-c", self.config, *args], env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        if not self.started.wait(20) or not hasattr(self, "address"):
            self.close()
            raise AssertionError("the gateway did not start: " + "\n".join(self.log))

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))
            found = SERVING.search(line)
            if found:
                self.address, self.admin = found.groups()
                self.started.set()
        self.started.set()

    # ---- talking to it ----

    def client(self, **options):
        return http1.Client(self.address, **options)

    def fetch(self, method, target, body=b"", headers=()):
        return http1.fetch(self.address, method, target, body, headers)

    def chat(self, value, headers=(), path="/v1/chat/completions"):
        """One chat completion on a connection of its own, body and all."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.fetch("POST", path, body, [*http1.JSON, *headers])

    # ---- what it tells ----

    def records(self):
        if not os.path.exists(self.access_log):
            return []
        with open(self.access_log, "rb") as f:
            return [json.loads(line) for line in f.read().split(b"\n")[:-1]]

    def wait_records(self, count, timeout=10):
        """All records, once there are @count of them."""
        return wait_for(lambda: (lambda r: r if len(r) >= count else None)(self.records()), timeout,
                        lambda: f"{count} records; there are {len(self.records())}")

    def record(self, request_id, timeout=10):
        """The record of that request."""
        return wait_for(lambda: next((r for r in self.records() if r["id"] == request_id), None), timeout,
                        lambda: f"the record of {request_id}")

    def energy(self, request_id):
        """GET /v1/energy/ID as (status, value)."""
        got = self.fetch("GET", "/v1/energy/" + request_id)
        return got.head.status, json.loads(got.body) if got.body else None

    def final_energy(self, request_id, timeout=10):
        def final():
            status, value = self.energy(request_id)
            return value["energy"] if status == 200 and value["energy"]["provisional"] is False else None
        return wait_for(final, timeout, lambda: f"the final energy of {request_id}: {self.energy(request_id)}")

    def metrics(self):
        return Metrics(http1.fetch(self.admin, "GET", "/metrics").body.decode())

    def warm_up(self):
        """Waits until energy is metered."""
        return wait_for(lambda: self.metrics().domains(), 10, lambda: "the first readings")

    def rss_kb(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # ---- its end ----

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=30):
        """Asks it to end, lets open requests finish; its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout=30):
        status = self.process.wait(timeout)
        self.reader.join(5)
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(5)
        self.process.stderr.close()
        self.dir.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, kind, *why):
        try:
            if kind is None and self.process.poll() is None:
                status = self.stop()
                assert status == 0, f"ended with status {status}: " + "\n".join(self.log)
        finally:
            self.close()


class HandDriven:
    """A gateway whose engine and client are both driven from here, in turns: nothing depends on timing."""

    def __init__(self, config=None):
        self.engine = upstream.Engine()
        self.gateway = Gateway([self.engine], dict({"workers": 1}, **(config or {})))
        self.client = self.gateway.client()
        self.gateway.warm_up()

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.client.close()
        self.gateway.__exit__(*why)
        self.engine.stop()

    def send(self, body, headers=(), path="/v1/chat/completions"):
        """The client's request, and the connection and request that come to the engine."""
        self.client.send(http1.request("POST", path, body, [*http1.JSON, *headers]))
        return self.engine.take()

    def ask(self, capture, body, headers=()):
        return self.send(body, headers, capture.path)

    def play(self, connection, pieces, awaited):
        """
        Sends the pieces of an answer; before the next one goes out, the client must have got the bytes of the
        body that @awaited says it can have by then. The answer.
        """
        answer = None
        for piece, n in zip(pieces, awaited):
            connection.send(piece)
            if n or answer:
                answer = answer or self.client.answer()
                answer.read(n)
        answer = answer or self.client.answer()
        answer.read()
        return answer


class Metrics:
    """A page of metrics: samples by name, each a list of (labels, value)."""

    LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
    LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.text = text
        self.samples = {}
        for line in text.splitlines():
            found = self.LINE.match(line)
            if found:
                labels = dict(self.LABEL.findall(found.group(2) or ""))
                self.samples.setdefault(found.group(1), []).append((labels, float(found.group(3))))

    def sum(self, name, **labels):
        """Of all samples of @name that carry @labels; fails if there is none, unless it may be absent."""
        values = [value for own, value in self.samples.get(name, [])
                  if all(own.get(key) == want for key, want in labels.items())]
        assert values, f"no sample of {name} with {labels}"
        return sum(values)

    def domains(self):
        return sorted(own["domain"] for own, _ in self.samples.get("jouletap_domain_joules_total", []))

    def check_account(self):
        """Requests + idle + unattributed = the meter, to the microjoule, in every domain."""
        assert self.domains(), "nothing is metered"
        for domain in self.domains():
            meter = self.sum("jouletap_domain_joules_total", domain=domain)
            parts = [self.sum(f"jouletap_{part}_joules_total", domain=domain)
                     for part in ("attributed", "idle", "unattributed")]
            assert abs(meter - sum(parts)) < 2e-6, (domain, meter, parts)
            assert self.sum("jouletap_conservation_error_joules", domain=domain) == 0, domain


def wait_for(what, timeout, describe):
    """What @what() returns, as soon as it is true."""
    until = time.monotonic() + timeout
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < until, "waited in vain for " + describe()
        time.sleep(0.01)
