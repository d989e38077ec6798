#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""jouletap serve before anybody connects: what --check finds, mistakes on the command line, and -v."""
import json
import os
import pwd
import re
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway
import http1
import tap
import upstream

ARCHITECTURE = os.path.join(tap.ROOT, "data", "models", "llama-3.1-8b.json")
folder = tempfile.TemporaryDirectory(prefix="jouletap-serve-")
os.chmod(folder.name, 0o755)


def path(name):
    return os.path.join(folder.name, name)


def write(name, text):
    with open(path(name), "w") as f:
        f.write(text)
    return path(name)


def config(**sections):
    return write("gateway.yaml", gateway.yaml(sections))


def engine(**keys):
    return [dict({"url": "http://127.0.0.1:8000"}, **keys)]


def finds(message, **sections):
    """--check and serve itself both end with 1 and say so, naming file and key."""
    file = config(**sections)
    for args in (["--check"], []):
        code, out, err = tap.jouletap("serve", "-c", file, *args)
        assert code == 1 and not out and f"gateway.yaml: {message}" in err, (args, code, out, err)


@tap.test
def check_is_content_with_what_can_be_served():
    file = config(upstreams=engine(architecture=ARCHITECTURE, gpu="H100-SXM5-80GB"),
                  telemetry={"access_log": path("access.jsonl")}, metering={"recording": path("run.jsonl")})
    code, out, err = tap.jouletap("serve", "-c", file, "--check")
    assert (code, out, err) == (0, file + ": ok\n", ""), (code, out, err)
    assert not os.path.exists(path("access.jsonl")), "a check writes nothing"


@tap.test
def check_says_that_serving_needs_an_upstream():
    file = config(metering={"poll_interval_ms": 50})
    code, out, err = tap.jouletap("serve", "-c", file, "--check")
    assert code == 0 and out == file + ": ok\n", (code, out)
    assert err == "jouletap: warning: no upstream: serve needs one, here or by --upstream\n", err
    code, out, err = tap.jouletap("serve", "-c", file, "--check", "-u", "http://127.0.0.1:8000")
    assert (code, err) == (0, ""), (code, err)


@tap.test
def an_architecture_that_is_not_there():
    finds("'upstreams[0].architecture': cannot open '/nowhere.json': No such file",
          upstreams=engine(architecture="/nowhere.json"))


@tap.test
def an_architecture_that_is_none():
    finds(f"'upstreams[0].architecture': '{path('arch.json')}': ",
          upstreams=engine(architecture=write("arch.json", '{"hidden_size": "wide"}')))


@tap.test
def a_gpu_that_nobody_knows():
    finds("'upstreams[0].gpu': unknown GPU 'H1OO'; the nearest are 'H100-SXM5-80GB'", upstreams=engine(gpu="H1OO"))


@tap.test
def the_beginning_of_a_gpus_name_is_enough():
    file = config(upstreams=engine(architecture=ARCHITECTURE, gpu="H100", tensor_parallel=2, max_num_seqs=64,
                                   dtype="fp8"))
    code, out, err = tap.jouletap("serve", "-c", file, "--check")
    assert (code, out, err) == (0, file + ": ok\n", ""), (code, out, err)


@tap.test
def what_nothing_can_be_predicted_from():
    missing = path("no-model.json")
    finds("'prediction.fitted': ", upstreams=engine(), prediction={"fitted": missing})
    finds("'prediction': ", upstreams=engine(), prediction={"factors": missing})
    finds("'prediction.fitted': ", upstreams=engine(), prediction={"fitted": write("cut.json", '{"format":')})
    finds("'upstreams[0].tensor_parallel': 4 GPUs cannot be shared by copies of the model on 3 each",
          upstreams=engine(architecture=ARCHITECTURE, gpu="H100", tensor_parallel=3,
                           domains=["gpu:0", "gpu:1", "gpu:2", "gpu:3"]))


@tap.test
def weights_that_are_kept_like_nothing_known():
    file = config(upstreams=engine(dtype="fp7"))
    code, _, err = tap.jouletap("serve", "-c", file, "--check")
    assert code == 1 and re.search(r"gateway\.yaml:\d+: 'upstreams\[0\]\.dtype' must be bf16\|", err), err


@tap.test
def files_in_directories_that_are_not_there():
    missing = path("missing/file.jsonl")
    finds(f"'telemetry.access_log': directory '{path('missing')}': No such file",
          upstreams=engine(), telemetry={"access_log": missing})
    finds(f"'metering.recording': directory '{path('missing')}': No such file",
          upstreams=engine(), metering={"recording": missing})


@tap.test
def a_directory_or_a_file_in_the_wrong_place():
    finds(f"'telemetry.access_log': '{folder.name}' is a directory", upstreams=engine(),
          telemetry={"access_log": folder.name})
    finds("'metering.recording': directory '", upstreams=engine(),
          metering={"recording": write("plain", "") + "/run.jsonl/x"})


@tap.test
def what_may_not_be_written():
    # root may write everything: it asks as somebody else
    user = {"user": pwd.getpwnam("nobody").pw_uid} if os.geteuid() == 0 else {}
    os.makedirs(path("closed"), exist_ok=True)
    os.chmod(path("closed"), 0o555)
    file = config(upstreams=engine(), telemetry={"access_log": path("closed/access.jsonl")})
    try:
        done = subprocess.run([tap.JOULETAP, "serve", "-c", file, "--check"], capture_output=True, text=True, **user)
    except PermissionError:
        raise tap.Skip("the program lies where only root may run it")
    assert done.returncode == 1 and not done.stdout, done
    assert f"'telemetry.access_log': cannot write to directory '{path('closed')}'" in done.stderr, done


@tap.test
def wrong_options_are_wrong_usage():
    for args, message in [
        (["--upstream", "ftp://x"], "jouletap: serve: '--upstream' 'ftp://x' "),
        (["--listen", "8080"], "jouletap: serve: '--listen' takes HOST:PORT, not '8080'"),
        (["--admin", "localhost"], "jouletap: serve: '--admin' takes HOST:PORT, not 'localhost'"),
    ]:
        code, out, err = tap.jouletap("serve", *args)
        assert code == 2 and not out and err.startswith(message), (args, code, err)
        assert err.endswith("try: jouletap help serve\n"), err


@tap.test
def a_port_in_use_is_named_with_its_setting():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        ports = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0"}
        for setting in ports:
            args = [a for name, value in {**ports, setting: address}.items() for a in ("--" + name, value)]
            code, _, err = tap.jouletap("serve", "-u", "http://127.0.0.1:1", *args)
            assert code == 1 and f"jouletap: {setting}: '{address}' is in use" in err, err
            assert f"; try --{setting}\n" in err, err


@tap.test
def verbose_tells_what_is_in_force_and_each_request_without_its_text():
    usage = {"prompt_tokens": 12, "completion_tokens": 34}
    reply = {"choices": [{"index": 0, "message": {"content": "another secret"}}], "usage": usage}
    e = upstream.Engine(lambda connection, _: connection.send(upstream.json_answer(reply)))
    with gateway.Gateway([e], {"metering": {"root": "/nonexistent"}}, script="gpus 1\n", args=["-v"]) as g:
        g.chat({"model": "m", "messages": [{"role": "user", "content": "a secret"}]},
               [("x-request-id", "loud-1")])
        g.wait_records(1)
        assert g.stop() == 0
        log = "\n".join(g.log)
    e.stop()
    for words in ("info: gpu:0: sensor gh100, updated every 100 ms, with an energy counter", "info: no rapl: ",
                  f"info: upstream 'engine': {e.url}, models: 0 (any)",
                  "info: listen 127.0.0.1:0, admin 127.0.0.1:0, 2 workers",
                  "info: sampling every 20 ms, policy roofline, access log " + g.access_log,
                  "debug: request 'loud-1' is over: ok, status 200, tokens 12 in, 34 out"):
        assert words in log, (words, log)
    assert "secret" not in log, log


def warnings_at_the_start(config, **options):
    e = upstream.Engine(lambda connection, _: None)
    with gateway.Gateway([e], config, **options) as g:
        assert g.stop() == 0
        log = g.log
    e.stop()
    return [line for line in log if "warning" in line or "warn:" in line]


@tap.test
def without_a_meter_one_line_warns_and_where_there_is_one_none():
    trees = os.path.join(tap.ROOT, "tests", "data", "sysfs")
    for root, joules in [("/nonexistent", "null"), (os.path.join(trees, "virtual-machine"), "those of a model")]:
        assert warnings_at_the_start({"metering": {"root": root}}) == [
            f"jouletap: warning: there is no meter here: joules will be {joules}; `jouletap devices` says why"]
    assert warnings_at_the_start({"metering": {"root": os.path.join(trees, "server")}}) == []
    assert warnings_at_the_start({"metering": {"root": "/nonexistent"}}, script="gpus 1\n") == []


def own_joules(metrics):
    return [line for line in metrics.text.splitlines() if line.startswith("jouletap_own_")]


@tap.test
def what_it_costs_itself_is_told():
    e = upstream.Engine(lambda connection, _: None)
    with gateway.Gateway([e]) as g:  # the CPU of this machine, measured or modelled
        gateway.wait_for(lambda: own_joules(g.metrics()), 15, lambda: "own joules")
        lines = own_joules(g.metrics())
        own = json.loads(http1.fetch(g.admin, "GET", "/health").body)["own"]
        threads = re.findall(r'^jouletap_thread_cpu_seconds_total\{threads="(\w+)"\} (\S+)$', g.metrics().text,
                             re.MULTILINE)
    e.stop()
    assert re.match(r'jouletap_own_joules_total\{provenance="(derived|modelled)"\} \S+$', lines[0]), lines
    assert re.match(r"jouletap_own_bound_joules \S+$", lines[1]), lines
    assert own["provenance"] in ("derived", "modelled") and own["energy_j"] >= 0 and own["bound_j"] >= 0, own
    assert 0 < own["sampling_cpu_s"] < own["cpu_s"], own
    assert [name for name, _ in threads] == ["sampler", "bookkeeper", "workers"], threads
    assert all(float(value) > 0 for _, value in threads), threads


@tap.test
def without_a_meter_for_the_cpu_it_does_not_say_0():
    e = upstream.Engine(lambda connection, _: None)
    with gateway.Gateway([e], {"metering": {"root": "/nonexistent"}}, script="gpus 1\n") as g:
        g.warm_up()
        own = json.loads(http1.fetch(g.admin, "GET", "/health").body)["own"]
        assert not own_joules(g.metrics()), g.metrics().text
    e.stop()
    assert own["energy_j"] is own["bound_j"] is own["provenance"] is None and own["cpu_s"] > 0, own


tap.run()
