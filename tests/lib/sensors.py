# SPDX-License-Identifier: Apache-2.0
"""
Captures of boards that nobody has brought here: a load whose power is known, seen through a sensor as SC24
describes them (doi:10.1109/SC41406.2024.00028), polled as nvidia-smi is.

A Load is power as a staircase, with its exact energy. A Sensor updates each `update` s; what it then shows is the
mean of the power over `window` s, or, with `filter`, the voltage of a capacitor behind a resistor; `average` is
a second field, the mean of so many seconds of the first.
"""
import bisect
import math
import random


class Load:
    """Power from one instant to the next; `stairs` are (seconds, watts)."""

    def __init__(self, stairs):
        self.t, self.w, self.e = [0.0], [], [0.0]
        for seconds, watts in stairs:
            self.w.append(watts)
            self.t.append(self.t[-1] + seconds)
            self.e.append(self.e[-1] + seconds * watts)

    @property
    def seconds(self):
        return self.t[-1]

    def at(self, t):
        """Energy used up to t; before the beginning it was as at the beginning, and likewise at the end."""
        i = min(max(bisect.bisect_right(self.t, t) - 1, 0), len(self.w) - 1)
        return self.e[i] + (t - self.t[i]) * self.w[i]

    def energy(self, begin, end):
        return self.at(end) - self.at(begin)

    def filtered(self, t, last_t, last_w, tau):
        """What a capacitor shows at t that showed last_w at last_t."""
        while last_t < t:
            i = min(max(bisect.bisect_right(self.t, last_t) - 1, 0), len(self.w) - 1)
            until = min(self.t[i + 1], t) if i + 1 < len(self.w) else t
            last_w = self.w[i] + (last_w - self.w[i]) * math.exp(-(until - last_t) / tau)
            last_t = until
        return last_w


def steps(rng, idle, high):
    return Load([(1.5, idle), (5.9, high), (6.0, idle), (3.1, (idle + high) / 2), (2.0, idle)])


def square(rng, idle, high, period):
    stairs = [(1.5, idle)]
    while sum(s for s, _ in stairs[:1]) + period * (len(stairs) - 1) / 2 < 11.5:
        stairs += [(period / 2, high), (period / 2, idle)]
    return Load(stairs + [(3.0, idle)])


def serving(rng, idle, high):
    """As an engine of language models: bursts of prefill near the cap, decode in steps, idle."""
    stairs = [(1.0, idle)]
    while sum(s for s, _ in stairs) < 16:
        stairs.append((rng.uniform(0.05, 0.3), high * rng.uniform(0.9, 1)))
        left = rng.uniform(0.5, 4)
        while left > 0:
            s = rng.uniform(0.03, 0.2)
            stairs.append((s, idle + (high - idle) * rng.uniform(0.45, 0.6)))
            left -= s
        stairs.append((rng.uniform(0.2, 2), idle))
    return Load(stairs + [(1.0, idle)])


def bursts(rng, idle, high):
    stairs = [(1.0, idle)]
    while sum(s for s, _ in stairs) < 15:
        stairs += [(rng.uniform(0.01, 0.4), rng.uniform(idle, high)), (rng.uniform(0.01, 0.8), idle)]
    return Load(stairs + [(1.0, idle)])


LOADS = {"steps": steps, "serving": serving, "bursts": bursts}
for _ms in (20, 33, 50, 80, 100, 150, 200, 300, 500, 1000):
    LOADS[f"square {_ms} ms"] = lambda rng, idle, high, s=_ms / 1000: square(rng, idle, high, s)


class Sensor:
    def __init__(self, update, window=0.0, filter=0.0, average=0.0, gain=0.0, offset=0.0, noise=0.3, digits=2):
        self.update, self.window, self.filter, self.average = update, window, filter, average
        self.gain, self.offset, self.noise, self.digits = gain, offset, noise, digits

    def updates(self, rng, load):
        """(t, field, averaged field) of each update, from 2 s before the load begins."""
        t, shown = -2 - rng.random() * self.update, []
        last_t, last_w = t - 10 * self.filter, load.w[0]
        n = max(1, round(self.average / self.update))
        while t < load.seconds:
            if self.filter:
                last_w = load.filtered(t, last_t, last_w, self.filter)
                last_t, watts = t, last_w
            else:
                watts = load.energy(t - self.window, t) / self.window
            watts = max(0.0, watts * (1 + self.gain) + self.offset + rng.gauss(0, self.noise))
            mean = sum(w for _, w, _ in shown[len(shown) - n + 1 :]) + watts if n > 1 else watts
            shown.append((t, watts, mean / min(n, len(shown) + 1)))
            t += self.update * rng.gauss(1, 0.002)
        return shown


def log(rng, load, sensor, poll=(0.007, 0.014), fields=("draw", "instant")):
    """The lines of an nvidia-smi log; 'draw' is the averaged field where there is one."""
    shown = sensor.updates(rng, load)
    lines, k, t = ["t_s,power_draw_w,power_draw_instant_w"], 0, 0.0
    while t < load.seconds:
        while k + 1 < len(shown) and shown[k + 1][0] <= t:
            k += 1
        _, instant, mean = shown[k]
        draw = mean if sensor.average else instant
        cells = [f"{t:.3f}"]
        cells.append(f"{draw:.{sensor.digits}f}" if "draw" in fields else "")
        cells.append(f"{instant:.{sensor.digits}f}" if "instant" in fields else "")
        lines.append(",".join(cells))
        t += rng.uniform(*poll)
    return "\n".join(lines) + "\n"


def windows(rng, load, n, lengths=(5, 1, 0.5, 0.15)):
    """n windows, of each length as many, at random moments that the log covers."""
    result = []
    for i in range(n):
        length = lengths[i % len(lengths)]
        begin = round(rng.uniform(0.05, load.seconds - length - 0.25), 3)
        result.append((begin, round(begin + length, 3)))
    return result


def seeded(*what):
    return random.Random("/".join(map(str, what)))
