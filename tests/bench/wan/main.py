"""`make bench-wan`: our programs and today's over emulated lines. Prints its progress, keeps the figures in
tests/bench/wan/results.json and writes tests/bench/WAN.md with its plots (tests/bench/wan-*.svg) out of them.

Needs root, and `WANLINK=path` for the emulator. A full run takes about an hour and a half. What else can be set:

    STUDY=folder      a CT to send instead of the generated head
    MR=folder         an MR study to send as well
    PARTS="a b"       only these parts; the page keeps the other parts' figures, each with its own day:
      lines             each study over each line, by us and by the peers
      controller        the congestion controllers, a telephone call beside them, and a share beside TCP
      faults            line B breaks in mid-study: outages, changed addresses, killed programs
      stat              a stat study beside 2 GB of routine work
      memory            one object of 2 GiB
      coder             how fast the agent codes
      page              nothing is measured, the page is written again
    INPUTS="ct ct100" only these studies in `lines`: ct, ct100 (as many slices as a thin-slice head, those of STUDY in
                      turn), generated100 (the same of the generated head), mr
    PROFILES=AB       only these lines in `lines` and `controller`
    PEERS=B           only on these lines the peers as well, 0 for none; PEER="storescu bbr" for some of
                      storescu, orthanc, cubic, bbr
    OURS=0            in `lines` and `faults` only the peers
    RUNS=3            of ours, of which the median counts
    ROUTINE_MB=2000   the load in `stat`
    QUICK=1           shorter measurements and one run, to see whether it works; the page says so
    OUT=folder        where page, plots and figures go instead of tests/bench
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

import coder
import controller
import faults
import lines
import memory
import page
import stat_study
from bench import Bench
from inputs import INPUTS, THIN_SLICES, Study, phantom, thin_slices

ROOT = Path(__file__).resolve().parents[3]
# Slices of the generated head when no study is given: as many as the real one of the targets.
HEAD_SLICES = 28
PARTS = {
    "lines": lines.run, "controller": controller.run, "faults": faults.run, "stat": stat_study.run, "memory": memory.run,
    "coder": coder.run,
}


def main():
    # Ended from outside, it still takes its lines down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parts = os.environ.get("PARTS", " ".join(PARTS)).split()
    unknown = [part for part in parts if part not in (*PARTS, "page")]
    if unknown:
        return f"PARTS: {' '.join(unknown)} is not one of {' '.join(PARTS)} page"
    wanlink = os.environ.get("WANLINK")
    if not wanlink and parts != ["page"]:
        print("skipped: every figure over a line. WANLINK=path names the emulator (see the README of wanlink).")
        return 0
    is_quick = os.environ.get("QUICK", "0") != "0"
    with tempfile.TemporaryDirectory(prefix="tancho-wan-") as folder:
        bench = Bench(
            wanlink, Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release", Path(folder),
            runs=int(os.environ.get("RUNS", "1" if is_quick else "3")), is_quick=is_quick,
            out=Path(os.environ.get("OUT", ROOT / "tests/bench")))
        if parts != ["page"]:
            bench.studies = studies(bench)
        for part in parts:
            if part in PARTS:
                bench.say(f"part {part}")
                PARTS[part](bench)
                page.write(bench)
        page.write(bench)
    return 0


def studies(bench):
    """What is sent: the first one in every part, the others in `lines`."""
    if "STUDY" in os.environ:
        ct = Study("ct", Path(os.environ["STUDY"]).name, Path(os.environ["STUDY"]))
    else:
        ct = Study("ct", "generated head CT", phantom(bench, "head", HEAD_SLICES))
    found = [ct]
    wanted = os.environ.get("INPUTS", INPUTS).split()
    if "ct100" in wanted and "STUDY" in os.environ:
        folder = thin_slices(ct.folder, bench.place("thin-slices"), THIN_SLICES)
        found.append(Study("ct100", f"slices of {ct.name} in turn", folder))
    if "generated100" in wanted:
        found.append(Study("generated100", "generated head CT, thin slices", phantom(bench, "thin", THIN_SLICES)))
    if "mr" in wanted and "MR" in os.environ:
        found.append(Study("mr", Path(os.environ["MR"]).name, Path(os.environ["MR"])))
    return found


if __name__ == "__main__":
    sys.exit(main())
