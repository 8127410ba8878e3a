"""Part `stat`: a stat study on line B while the line is full of routine work, against the same on an idle line."""

import os

from bench import SEED, median
from inputs import SLICES_OF_ROUTINE, copies, phantom, removed
from link import PROFILES, Link
from tancho import Tancho, at
from wait import let_run

B = PROFILES["B"]
ROUTINE_MB = 2000
TARGET = 1.2
# Until the routine load has been at the line's rate for a while.
UNTIL_BUSY_S = 5
EVENTS = {"stack": "stack_preview", "complete": "study_durable"}


def run(bench):
    routine_mb = int(os.environ.get("ROUTINE_MB", 200 if bench.is_quick else ROUTINE_MB))
    study = bench.studies[0]
    stats = [copies(study.folder, bench.folder / "stat" / str(n), n) for n in range(1, 2 * bench.runs + 1)]
    routine = bench.folder / "routine"
    one = phantom(bench, "routine", SLICES_OF_ROUTINE)
    one_mb = sum(file.stat().st_size for file in one.iterdir()) / 1e6
    folders = [copies(one, routine / str(n), n) for n in range(1, round(routine_mb / one_mb) + 1)]
    bench.say(f"{len(folders)} routine studies, {len(folders) * one_mb:.0f} MB")
    with Link(bench.wanlink, B, SEED) as link:
        place = bench.place("stat-study")
        tancho = Tancho(link, bench.programs, place)
        # The first study only teaches the agent its line.
        tancho.send(copies(study.folder, bench.folder / "stat" / "first", 0))
        idle = [times(tancho, folder) for folder in stats[:bench.runs]]
        tancho.spool(folders)
        let_run(UNTIL_BUSY_S, "the line is full of routine work")
        busy, shares = [], []
        for folder in stats[bench.runs:]:
            before = tancho.status()
            link.reset()
            busy.append(times(tancho, folder))
            shares.append(link.stats()["up"]["wire_bytes"] * 8 / busy[-1]["complete"] / B.up)
            bench.say(f"stat beside routine: whole stack {busy[-1]['stack']:.2f} s, complete {busy[-1]['complete']:.2f} s; "
                      f"{before['n_waiting_coder']} routine images to code, {before['n_waiting_line']} on the line")
        left = tancho.status()
        memory = tancho.peak_mib()
    if left["n_waiting_coder"] + left["n_waiting_line"] == 0:
        raise RuntimeError("the routine load was through before the stat studies: give ROUTINE_MB more")
    removed(routine)
    removed(place)
    bench.keep("stat", routine_mb=len(folders) * one_mb, filled=median(shares), memory=memory,
               **{f"{key}_{name}": median(one[key] for one in runs)
                  for key in EVENTS for name, runs in (("idle", idle), ("busy", busy))})


def times(tancho, folder):
    events = tancho.send(folder)
    return {key: at(events, name) for key, name in EVENTS.items()}
