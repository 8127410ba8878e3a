"""The emulated line: one `wanlink` between two network namespaces, and programs run at its ends."""

import itertools
import json
import os
import subprocess
from dataclasses import dataclass

CLIENT, RELAY = "10.77.0.1", "10.77.0.2"
# Bytes of IP, UDP and QUIC headers per byte of content.
HEADERS = 1.045


@dataclass(frozen=True)
class Profile:
    """A line of a site: rates in bit/s (up, down), one-way delay and jitter in s, loss each way, queue in bytes.

    A rate or a queue of 0 has no limit.
    """

    name: str
    what: str
    up: float
    down: float
    delay: float
    loss: float
    queue: int
    jitter: float = 0.0

    def options(self):
        given = ["--delay", f"{self.delay * 1e3:g}ms", "--loss", f"{self.loss * 100:g}%", "--queue", str(self.queue)]
        for option, rate in (("--rate-up", self.up), ("--rate-down", self.down)):
            given += [option, f"{rate / 1e6:g}mbit"] if rate else []
        return given + (["--jitter", f"{self.jitter * 1e3:g}ms"] if self.jitter else [])

    def limit_s(self, n_bytes):
        """Seconds that nothing can beat which sends `n_bytes`: the line's rate, one round trip, one way."""
        return n_bytes * 8 * HEADERS / (1 - self.loss) / self.up + 3 * self.delay

    def goodput(self, beside=0.0):
        """Content in bit/s that the line carries when other packets take `beside` bit/s of it."""
        return (self.up - beside) * (1 - self.loss) / HEADERS


KIB = 1024
PROFILES = {
    "A": Profile("A", "village ADSL, 1.5 Mbit/s", 1.5e6, 8e6, 0.015, 0.005, 64 * KIB),
    "B": Profile("B", "rural VPN, 10 Mbit/s", 10e6, 10e6, 0.020, 0.01, 128 * KIB),
    "C": Profile("C", "fibre, 100 Mbit/s", 100e6, 100e6, 0.010, 0.001, 512 * KIB),
    "D": Profile("D", "LTE, 20 Mbit/s", 20e6, 20e6, 0.035, 0.02, 256 * KIB, jitter=0.010),
    "E": Profile("E", "satellite, 10 Mbit/s", 10e6, 10e6, 0.300, 0.01, 512 * KIB),
}
# Not a site's line: as fast as the machine, for what memory and processors do.
UNLIMITED = Profile("unlimited", "no limit, 2 ms", 0, 0, 0.001, 0.0, 0)


class Link:
    """A line that is up while the `with` block runs. Nothing started inside outlives it. Any number may be up."""

    numbers = itertools.count()

    def __init__(self, wanlink, profile, seed, congestion="cubic"):
        self.wanlink, self.profile, self.seed, self.congestion = wanlink, profile, seed, congestion
        self.name = f"tancho-bench-{os.getpid()}-{next(Link.numbers)}"
        self.running = []

    def __enter__(self):
        self._run("up", "--replace", *self.profile.options(), "--seed", str(self.seed), "--cc", self.congestion)
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        self._run("down", "--kill")

    def _run(self, verb, *arguments):
        command = [self.wanlink, verb, "--name", self.name, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def command(self, side, *command):
        """A command line that runs `command` at one end: `client` or `relay`."""
        return [self.wanlink, "exec", "--name", self.name, side, "--", *map(str, command)]

    def start(self, side, *command, log, **options):
        """Starts a program that ends with the link; what it says goes into the file `log`."""
        with open(log, "ab") as out:
            process = subprocess.Popen(self.command(side, *command), stdout=out, stderr=out, **options)
        self.running.append(process)
        return process

    def kill(self, process):
        """Ends a started program without warning."""
        process.kill()
        process.wait()
        self.running.remove(process)

    def set(self, verb, *arguments):
        """Changes the line while it is up: `outage 10s`, `rebind`, `migrate`."""
        self._run(verb, *arguments)

    def reset(self):
        self._run("stats", "--reset")

    def stats(self):
        return json.loads(self._run("stats"))
