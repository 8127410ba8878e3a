"""`make bench-wan`: our programs and today's over emulated lines. Prints tables and keeps them in tests/bench/WAN.md,
with a plot of images readable over time for each line in tests/bench/wan-*.svg.

Needs root, and `WANLINK=path` for the emulator. STUDY=folder for real images (default: the generated head CT),
PROFILES=AB for some lines only, RUNS=3, PEERS=B for the lines on which the peers are measured too (PEERS=0 for none),
FAULTS=0 to leave the faults out.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers
from link import PROFILES, Link
from plot import plot
from tancho import Tancho
from wait import wait_until

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "tests/bench/WAN.md"
SEED = 100
# Bytes up at which a fault comes: in the middle of any head scan.
MID_TRANSFER_BYTES = 1_000_000
# Outages that are tried on line B: what is done how long after the start of a transfer, and how long the line is down.
FAULTS = [
    ("outage of 10 s", 10), ("outage of 120 s", 120), ("NAT rebind", 0), ("agent killed", 0), ("relay killed", 0),
]


def main():
    wanlink = os.environ.get("WANLINK")
    if not wanlink:
        print("skipped: every figure over a line. WANLINK=path names the emulator (see the README of wanlink).")
        return
    programs = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    runs = int(os.environ.get("RUNS", "3"))
    with tempfile.TemporaryDirectory(prefix="tancho-wan-") as made:
        folder = Path(made)
        study = Path(os.environ["STUDY"]) if "STUDY" in os.environ else phantom(programs, folder)
        files = dicom_files(study)
        size = sum(file.stat().st_size for file in files)
        print(f"{study.name}: {len(files)} images, {size / 1e6:.1f} MB; {runs} runs each, medians\n", flush=True)
        rows, plots = [], []
        for name in os.environ.get("PROFILES", "ABCDE"):
            profile = PROFILES[name]
            row, curves = measure(wanlink, profile, programs, study, files, folder / name, runs)
            rows.append(row)
            svg = PAGE.with_name(f"wan-{name.lower()}.svg")
            svg.write_text(plot(f"{name}: {profile.what}", curves, len(files)))
            plots.append(svg.name)
        faults = []
        if os.environ.get("FAULTS", "1") != "0":
            faults = [fault(wanlink, programs, study, folder / f"fault-{n}", *given) for n, given in enumerate(FAULTS)]
        write(study, files, size, runs, rows, faults, plots)


def phantom(programs, folder):
    """The generated head CT, when no study was named."""
    target = folder / "phantom"
    subprocess.run([programs / "tancho-phantom", target], check=True, capture_output=True)
    return target


def dicom_files(study):
    """The images of a folder, by name; files without the DICOM prefix are left out."""
    def is_dicom(path):
        with path.open("rb") as opened:
            opened.seek(128)
            return opened.read(4) == b"DICM"
    found = [study] if study.is_file() else sorted(path for path in study.rglob("*") if path.is_file())
    return [path for path in found if is_dicom(path)]


def at(events, name):
    return next((event["elapsed_ms"] / 1e3 for event in events if event["event"] == name), None)


def measure(wanlink, profile, programs, study, files, folder, runs):
    """One line of the table: medians of our runs, and each peer's."""
    ours, curves = [], {}
    for run in range(runs):
        with Link(wanlink, profile, SEED + run) as link:
            tancho = Tancho(link, programs, folder / f"ours-{run}")
            link.reset()
            events, _ = tancho.send(study)
            stats = link.stats()
            last = next(event for event in events if event["event"] == "study_durable")
            ours.append({
                "first_preview": at(events, "first_preview"), "stack": at(events, "stack_preview"),
                "first": at(events, "first_instance_durable"), "complete": last["elapsed_ms"] / 1e3,
                "sent": last["bytes_sent"], "stats": stats, "memory": tancho.peak_mib(),
            })
            if run == 0:
                curves["Tancho, preview"] = steps(events, "n_preview")
                curves["Tancho, original"] = steps(events, "n_durable")
    middle = {key: statistics.median([one[key] for one in ours]) if all(one[key] is not None for one in ours) else None
              for key in ("first_preview", "stack", "first", "complete", "sent")}
    row = {"profile": profile, "ours": middle, "limit": profile.limit_s(middle["sent"]),
           "memory": [max(one["memory"][end] for one in ours) for end in (0, 1)]}
    print(f"{profile.name}: {describe(row)}", flush=True)
    if profile.name in os.environ.get("PEERS", "ABCDE"):
        with Link(wanlink, profile, SEED) as link:
            stored = peers.storescu_tls(link, files, folder / "storescu")
        row["storescu"] = stored[-1] if len(stored) == len(files) else None
        curves["storescu, TLS"] = [(seconds, n + 1) for n, seconds in enumerate(stored)]
        small = peers.jpeg_ls(files, folder.parent / "jpeg-ls")
        for congestion in ("cubic", "bbr"):
            with Link(wanlink, profile, SEED, congestion) as link:
                stored = peers.stow_four(link, small, folder / f"stow-{congestion}")
            row[congestion] = stored[-1]
            curves[f"STOW-RS x 4, JPEG-LS, {congestion}"] = [(seconds, n + 1) for n, seconds in enumerate(stored)]
        print(f"   storescu TLS {row['storescu'] or float('nan'):.1f} s, STOW-RS x 4 of JPEG-LS: cubic {row['cubic']:.1f} s, "
              f"bbr {row['bbr']:.1f} s", flush=True)
    return row, curves


def steps(events, count):
    """(seconds, images) each time a count in the progress events grew."""
    points = []
    for event in events:
        n = event.get(count)
        if n and (not points or n > points[-1][1]):
            points.append((event["elapsed_ms"] / 1e3, n))
    return points


def fault(wanlink, programs, study, folder, name, down_s):
    """One fault in mid-transfer on line B: what it costs beyond its own length, and that all arrives once."""
    profile = PROFILES["B"]
    seconds = {}
    for is_broken in (False, True):
        with Link(wanlink, profile, SEED) as link:
            tancho = Tancho(link, programs, folder / ("broken" if is_broken else "whole"))

            def breaks():
                wait_until(lambda: link.stats()["up"]["out_bytes"] > MID_TRANSFER_BYTES, "the transfer is half way")
                if name.startswith("outage"):
                    link.set("outage", f"{down_s}s")
                elif name == "NAT rebind":
                    link.set("rebind")
                elif name == "relay killed":
                    tancho.kill(tancho.relay_process)
                    tancho.start_relay()
                else:
                    tancho.kill(tancho.agent_process)
                    tancho.start_agent()
            if is_broken and name == "agent killed":
                # `send` ends with the agent it spoke to; sent again, what is there already costs nothing.
                begun = time.monotonic()
                try:
                    tancho.send(study, beside=breaks)
                except RuntimeError:
                    tancho.send(study)
                seconds[is_broken] = time.monotonic() - begun
            else:
                _, seconds[is_broken] = tancho.send(study, beside=breaks if is_broken else None)
    cost = seconds[True] - seconds[False]
    print(f"{name}: {seconds[True]:.1f} s, undisturbed {seconds[False]:.1f} s, cost {cost:.1f} s", flush=True)
    return {"name": name, "down": down_s, "seconds": seconds[True], "cost": cost}


def describe(row):
    ours = row["ours"]
    shown = {name: "-" if ours[key] is None else f"{ours[key]:.2f} s" for name, key in
             (("first preview", "first_preview"), ("whole stack preview", "stack"), ("first original", "first"),
              ("complete", "complete"))}
    return (", ".join(f"{name} {value}" for name, value in shown.items())
            + f", {ours['sent'] / 1e6:.2f} MB sent, limit {row['limit']:.2f} s, ratio {ours['complete'] / row['limit']:.2f}")


def write(study, files, size, runs, rows, faults, plots):
    def seconds(value, digits=1):
        return "-" if value is None else f"{value:.{digits}f}"

    def times(peer, complete):
        return "-" if peer is None else f"{peer / complete:.1f} x"

    lines = ["# Over emulated lines", "",
             "`make bench-wan` measures these and writes this page; the peers run on the same lines in the same run.", "",
             f"Measured on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores; {study.name}: {len(files)} images, "
             f"{size / 1e6:.1f} MB; {runs} runs of ours, medians, one of each peer.", "",
             "| line | first preview s | whole stack preview s | first original s | complete s | sent MB | limit s | ratio "
             "| storescu TLS s | | STOW-RS x 4 JPEG-LS cubic s | | bbr s | |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        ours = row["ours"]
        done = ours["complete"]
        cells = [f"{row['profile'].name}, {row['profile'].what}", seconds(ours["first_preview"], 2),
                 seconds(ours["stack"], 2), seconds(ours["first"], 2), seconds(done, 2), f"{ours['sent'] / 1e6:.2f}",
                 seconds(row["limit"], 2), f"{done / row['limit']:.2f}"]
        for peer in ("storescu", "cubic", "bbr"):
            cells += [seconds(row.get(peer)), times(row.get(peer), done)]
        lines.append("| " + " | ".join(cells) + " |")
    if rows:
        agent, relay = (max(row["memory"][end] for row in rows) for end in (0, 1))
        lines += ["", f"Peak memory: agent {agent:.0f} MiB, relay {relay:.0f} MiB."]
    lines += ["", "*Limit*: the bytes we sent, with IP, UDP and QUIC headers (4.5 %), over the line's rate and what it "
              "does not lose, plus one round trip and one way. The clock runs from the start of `tancho-agent send`; the "
              "agent is connected by then, as it is at a hospital."]
    if faults:
        lines += ["", "## Faults on line B, after the first megabyte", "",
                  "| fault | complete s | cost beyond an undisturbed run s | line down s |", "|---|---|---|---|"]
        lines += [f"| {one['name']} | {one['seconds']:.1f} | {one['cost']:.1f} | {one['down']} |" for one in faults]
    lines += ["", "## Images readable over time", ""] + [f"![{name}]({name})" for name in plots]
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
