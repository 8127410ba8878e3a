"""`make sweep`: the real programs ended at every call that makes something durable, and started again.

    main.py kill [--points N]      SIGKILL at the k-th call of each kind, and at the points the programs name
    main.py power [--points N]     the same with a power cut, on ext4 and XFS (root and loop devices)
    main.py broken                 builds with one safeguard left out, each of which must fail
    main.py at agent fsync:3 [--disk xfs] [--seed N]    one point again, as a failure prints it

Without --points every point is gone through; with it, that many for each program, drawn by a seed that is printed.
After each point nothing acknowledged is lost, every byte comes back, the study becomes whole, and nothing is there
twice (FLT-001, FLT-002, FLT-042, FLT-043, FLT-050, FLT-051); at the end every stored container and the audit trail are
sound.
A failure prints the last lines of both programs' logs, and the command that tries its point again.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import disk
from network import Broken, Network

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
SUBJECTS = ("agent", "relay")
# Points that the programs know by name (`crash_point` in their sources), in the order of an object's life.
NAMED = {
    "agent": ["stored.received", "stored.fsynced", "stored.renamed", "stored.folder_synced", "stored.committed",
              "coding.begun", "coded.renamed", "coded.committed"],
    "relay": ["part.written", "part.synced", "instance.verified", "blob.synced", "blob.linked", "blob.stored",
              "instance.committed", "instance.answered"],
}
PASSES = (1, 2)
# Safeguards that a build leaves out, each a feature of both programs.
BROKEN = ("broken-file-fsync", "broken-folder-fsync", "broken-receipt-order")
# A broken build that survives so many points of these kinds is not found out.
BROKEN_POINTS = 48
BROKEN_KINDS = {"fsync", "fdatasync", "link", "rename", "send", "unlink"}
FAILURES_MAX = 3
# What a point that is not good raises; anything else is a fault of the sweep itself.
FAULTS = (Broken, TimeoutError, RuntimeError)
PRINTING = threading.Lock()


class Tools:
    """The programs, and the tracer that is compiled here."""

    def __init__(self, programs):
        self.programs = programs
        self.tracer = TARGET / "test-tools/tracer"
        self.tracer.parent.mkdir(parents=True, exist_ok=True)
        source = Path(__file__).with_name("tracer.c")
        subprocess.run(["cc", "-O1", "-Wall", "-o", self.tracer, source], check=True)

    def may_trace(self):
        nothing = [self.tracer, "-l", "/dev/null", "--", "/bin/true"]
        return subprocess.run(nothing, capture_output=True).returncode == 0


class Sweep:
    """All points of one program with one way of ending it."""

    def __init__(self, tools, subject, disk_kind, seed, kinds=None):
        self.tools, self.subject, self.disk_kind, self.seed, self.kinds = tools, subject, disk_kind, seed, kinds
        self.name = f"{subject}, {f'power cut on {disk_kind}' if disk_kind else 'SIGKILL'}"
        self.n_passed, self.n_reached, self.failures = 0, 0, []

    def run(self, n_points, failures_max=FAILURES_MAX):
        network, begun = None, time.monotonic()
        try:
            network = self.start()
            for at in self.points(network.count_calls(), n_points):
                network = network or self.start(at)
                try:
                    hit = network.go_through(at)
                    self.n_passed += 1
                    self.n_reached += hit is not None
                    say(f"  {self.name}: {at} good ({hit or 'not reached'})")
                except FAULTS as error:
                    self.fail(f"{at}: {error}\n  again with: {self.again(at)}\n{network.last_words()}")
                    network.close()
                    network = None
                    if len(self.failures) >= failures_max:
                        break
            if network:
                network.check_at_rest()
        except FAULTS as error:
            self.fail(str(error))
        except Exception:
            self.fail(traceback.format_exc())
        finally:
            if network:
                network.close()
        say(f"{self.name}: {self.n_passed} points good, {self.n_reached} of them reached, {len(self.failures)} failed; "
            f"{time.monotonic() - begun:.0f} s")

    def start(self, at=""):
        return Network(self.tools, self.subject, self.disk_kind, f"{self.seed}{at}")

    def fail(self, what):
        self.failures.append(f"{self.name}: {what}")
        say(f"  FAILED {self.failures[-1]}")

    def points(self, calls, n_points):
        """Every kind in turn, at calls drawn by the seed; all of them, in order, without a number."""
        by_kind = {kind: [f"{kind}:{k}" for k in range(1, n + 1)] for kind, n in sorted(calls.items())}
        if not self.disk_kind:
            by_kind["point"] = [f"point:{name}:{n}" for name in NAMED[self.subject] for n in PASSES]
        if self.kinds:
            by_kind = {kind: points for kind, points in by_kind.items() if kind in self.kinds}
        say(f"{self.name}: {', '.join(f'{len(points)} {kind}' for kind, points in by_kind.items())}; seed {self.seed}")
        if n_points is None:
            return [at for points in by_kind.values() for at in points]
        chance = random.Random(f"{self.seed}/{self.name}")
        by_kind = dict(chance.sample(list(by_kind.items()), len(by_kind)))
        for points in by_kind.values():
            chance.shuffle(points)
        drawn = []
        while len(drawn) < n_points and any(by_kind.values()):
            drawn += [points.pop() for points in by_kind.values() if points]
        return drawn[:n_points]

    def again(self, at):
        of_disk = f" --disk {self.disk_kind}" if self.disk_kind else ""
        return f"{sys.executable} {Path(__file__).relative_to(ROOT)} at {self.subject} {at}{of_disk} --seed {self.seed}"


def say(text):
    with PRINTING:
        print(text, flush=True)


def sweep_all(sweeps, n_points, failures_max=FAILURES_MAX):
    """Both programs at once: they wait more than they work."""
    threads = [threading.Thread(target=sweep.run, args=(n_points, failures_max)) for sweep in sweeps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sweeps


def disks():
    """File systems whose power can be cut here; what cannot is said."""
    found = []
    for kind in disk.MAKERS:
        if reason := disk.reason_to_skip(kind):
            say(f"skipped: power cuts on {kind}: {reason}")
        else:
            found.append(kind)
    return found


def kill(tools, options):
    return sweep_all([Sweep(tools, subject, None, options.seed) for subject in SUBJECTS], options.points)


def power(tools, options):
    done = []
    kinds = disks()
    if options.points and len(kinds) > 1:
        # The short run: one file system for each program, the other way round next time.
        turn = options.seed % 2
        pairs = [list(zip(SUBJECTS, kinds[turn:] + kinds[:turn]))]
    else:
        pairs = [[(subject, kind) for subject in SUBJECTS] for kind in kinds]
    for pair in pairs:
        done += sweep_all([Sweep(tools, subject, kind, options.seed) for subject, kind in pair], options.points)
    return done


def broken(tools, options):
    """Each broken build must fail for both programs; gives sweeps that count a build that was not found out."""
    done = []
    kinds = disks()
    for at, feature in enumerate(BROKEN):
        if not kinds:
            say(f"skipped: {feature}: no power can be cut here")
            continue
        built = Tools(build(feature))
        sweeps = [Sweep(built, subject, kinds[at % len(kinds)], options.seed, BROKEN_KINDS) for subject in SUBJECTS]
        for sweep in sweep_all(sweeps, BROKEN_POINTS, failures_max=1):
            found_out = bool(sweep.failures)
            say(f"{feature}: {sweep.subject} {'was found out' if found_out else 'WAS NOT FOUND OUT'}")
            sweep.n_passed = int(found_out)
            sweep.failures = [] if found_out else [f"{feature}: the {sweep.subject} passed {BROKEN_POINTS} points"]
            done.append(sweep)
    return done


def build(feature):
    """Builds both programs with a feature beside the ordinary ones, and keeps them in a folder of their own."""
    say(f"building with {feature}")
    packages = ["tancho-agent", "tancho-relay"]
    command = ["cargo", "build", "--locked", "--quiet"]
    selection = [word for name in packages for word in ("-p", name)]
    features = ["--features", ",".join(f"{name}/{feature}" for name in packages)]
    subprocess.run([*command, *selection, *features], cwd=ROOT, check=True)
    kept = TARGET / "test-tools" / feature
    kept.mkdir(parents=True, exist_ok=True)
    for name in packages:
        shutil.copy2(TARGET / "debug" / name, kept / name)
    subprocess.run([*command, *selection], cwd=ROOT, check=True)
    return kept


def at(tools, options):
    sweep = Sweep(tools, options.subject, options.disk, options.seed)
    sweep.points = lambda *_: [options.point]
    sweep.run(1)
    return [sweep]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, default=TARGET / "debug")
    commands = parser.add_subparsers(required=True)
    for run in (kill, power, broken, at):
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        command.add_argument("--points", type=int)
        command.add_argument("--seed", type=int, default=random.randrange(10**6))
        if run is at:
            command.add_argument("subject", choices=SUBJECTS)
            command.add_argument("point")
            command.add_argument("--disk", choices=disk.MAKERS)
    options = parser.parse_args()
    disk.enter_own_mounts()
    tools = Tools(options.programs)
    if not tools.may_trace():
        say("skipped: every sweep: this machine does not let a program trace another")
        return 0
    sweeps = options.run(tools, options)
    n_passed = sum(sweep.n_passed for sweep in sweeps)
    n_failed = sum(len(sweep.failures) for sweep in sweeps)
    print(f"test result: {'FAILED' if n_failed else 'ok'}. {n_passed} passed; {n_failed} failed", flush=True)
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
