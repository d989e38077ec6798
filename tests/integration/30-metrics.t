#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
A scrape, judged by Prometheus' own tool: it reads the whole of it and complains of names, units and help. And
the page about metrics, judged by the scrape. `30-metrics.t --table` prints the table that belongs there.
"""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap

PRINTER = os.path.join(os.path.dirname(tap.JOULETAP), "tests", "unit", "test_metrics.t")


def scrape(form):
    done = subprocess.run([PRINTER, "--print", form], capture_output=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout


def judge(text):
    if not shutil.which("promtool"):
        raise tap.Skip("promtool is missing (apt-get install prometheus)")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode()


@tap.test
def promtool_finds_nothing_to_say_about_a_scrape():
    code, words = judge(scrape("text"))
    assert (code, words) == (0, ""), words


@tap.test
def promtool_does_find_a_broken_scrape():
    code, words = judge(scrape("text") + b'jouletap_joules_total{model="a"b"} 1\n')
    assert code != 0, words


@tap.test
def openmetrics_says_the_same_and_ends():
    text, form = scrape("text").decode(), scrape("openmetrics").decode()
    assert form.endswith("# EOF\n")
    series = [
        {line.rsplit(" ", 1)[0].replace('.0"}', '"}') for line in t.splitlines() if not line.startswith("#")}
        for t in (text, form)
    ]
    assert series[0] == series[1], series[0] ^ series[1]


PAGE = os.path.join(tap.ROOT, "docs", "metrics.md")


def families():
    """By name, what the code says: (type, labels, help)."""
    rows = [re.fullmatch(r"\| `(\w+)` \| (\w+) \| ([a-z_ ]*?) ?\| (.*) \|", row) for row in
            scrape("families").decode().splitlines()]
    assert rows and all(rows), rows
    return {row[1]: (row[2], row[3].split(), row[4]) for row in rows}


@tap.test
def the_page_has_the_table_of_the_code():
    with open(PAGE) as f:
        page = [row for row in f.read().splitlines() if row.startswith("| `")]
    assert page == scrape("families").decode().splitlines(), "docs/metrics.md is out of date: see --table"


@tap.test
def a_scrape_has_what_the_table_says():
    told, text = families(), scrape("text").decode()
    for name, help_text in re.findall(r"^# HELP (\w+) (.*)$", text, re.MULTILINE):
        assert told[name][2] == help_text, name
    for name, kind in re.findall(r"^# TYPE (\w+) (.*)$", text, re.MULTILINE):
        assert told[name][0] == kind, name
    for name, labels in re.findall(r"^(jouletap_\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        own = [label for label in re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', labels) if label != "le"]
        assert told[name][1] == own, (name, own)


@tap.test
def the_queries_of_the_page_are_promql_over_metrics_that_exist():
    with open(PAGE) as f:
        queries = re.findall(r"^```promql\n(.*?)^```", f.read(), re.MULTILINE | re.DOTALL)
    assert len(queries) >= 3
    for query in queries:
        for name in re.findall(r"jouletap_\w+", query):
            whole = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in families() or families().get(whole, [None])[0] == "histogram", name
        if shutil.which("promtool"):
            rule = "groups: [{name: page, rules: [{record: 'page:query', expr: %r}]}]" % " ".join(query.split())
            done = subprocess.run(["promtool", "check", "rules", "/dev/stdin"], input=rule.encode(),
                                  capture_output=True, timeout=60)
            assert done.returncode == 0, (query, done)


if sys.argv[1:] == ["--table"]:
    sys.stdout.buffer.write(scrape("families"))
    sys.exit(0)
tap.run()
