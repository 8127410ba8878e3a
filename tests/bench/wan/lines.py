"""Part `lines`: each study over each line, by us and by the peers."""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import peers
from bench import SEED, median
from inputs import EARLIER_SLICES, INPUTS, phantom
from link import PROFILES, Link
from tancho import Tancho, at, last, steps
from wait import let_run

# From an earlier study to the next one: the line is idle by then, the agent still connected.
BETWEEN_STUDIES_S = 3
STARTS = ("cold", "remembered")


def run(bench):
    lines = os.environ.get("PROFILES", "ABCDE")
    with_peers = os.environ.get("PEERS", "ABCDE")
    wanted = os.environ.get("INPUTS", INPUTS).split()
    for study in (one for one in bench.studies if one.key in wanted):
        files = study.files
        bench.keep(f"study/{study.key}", name=study.name, images=len(files), bytes=study.n_bytes)
        bench.say(f"{study.key}: {study.name}, {len(files)} images, {study.n_bytes / 1e6:.1f} MB")
        if os.environ.get("OURS", "1") != "0":
            for name, start in itertools.product(lines, STARTS):
                ours(bench, study, PROFILES[name], start)
        if with_peers.strip("0"):
            peers.jpeg_ls(files, bench.folder / f"jpeg-ls-{study.key}")
        if "C" in lines and "C" in with_peers:
            peers_on(bench, study, PROFILES["C"])
        # The other lines are slower than any machine: their peers can run at the same time.
        slow = [PROFILES[name] for name in lines if name in with_peers and name != "C"]
        with ThreadPoolExecutor(max(1, len(slow))) as pool:
            list(pool.map(lambda profile: peers_on(bench, study, profile), slow))


def ours(bench, study, profile, start):
    """Medians of our runs over one line. `remembered`: the agent has sent another study over it before."""
    done = []
    for run_idx in range(bench.runs):
        with Link(bench.wanlink, profile, SEED + run_idx) as link:
            tancho = Tancho(link, bench.programs, bench.place(f"ours-{study.key}-{profile.name}"))
            if start == "remembered":
                tancho.send(phantom(bench, f"earlier-{run_idx}", EARLIER_SLICES))
                let_run(BETWEEN_STUDIES_S, "the line is idle between two studies")
            link.reset()
            events = tancho.send(study.folder)
            stats = link.stats()["up"]
            done.append({
                "first_preview": at(events, "first_preview"), "stack": at(events, "stack_preview"),
                "first": at(events, "first_instance_durable"), "complete": at(events, "study_durable"),
                "sent": last(events)["bytes_sent"], "wire": stats["wire_bytes"], "memory": tancho.peak_mib(),
                "curves": {"preview": steps(events, "n_preview"), "original": steps(events, "n_durable")},
            })
    middle = {key: median(one[key] for one in done)
              for key in ("first_preview", "stack", "first", "complete", "sent", "wire")}
    # The curves are those of the run in the middle.
    typical = sorted(done, key=lambda one: one["complete"])[len(done) // 2]
    bench.keep(f"lines/{study.key}/{profile.name}/{start}", **middle, runs=[one["complete"] for one in done],
               limit=profile.limit_s(middle["sent"]), curves=typical["curves"],
               memory=[max(one["memory"][end] for one in done) for end in (0, 1)])
    limit = profile.limit_s(middle["sent"])
    bench.say(f"{study.key} {profile.name} {start}: first preview {middle['first_preview']:.2f} s, whole stack "
              f"{middle['stack']:.2f} s, complete {middle['complete']:.2f} s, {middle['sent'] / 1e6:.2f} MB, "
              f"{middle['complete'] / limit:.2f} x limit")


def peers_on(bench, study, profile):
    """One run of each peer over one line."""
    files = study.files
    small = peers.jpeg_ls(files, bench.folder / f"jpeg-ls-{study.key}")
    known = {
        "storescu": (peers.StorescuTls, files, "cubic"), "orthanc": (peers.OrthancPeer, files, "cubic"),
        "cubic": (peers.StowFour, small, "cubic"), "bbr": (peers.StowFour, small, "bbr"),
    }
    for name in os.environ.get("PEER", " ".join(known)).split():
        peer, given, congestion = known[name]
        with Link(bench.wanlink, profile, SEED, congestion) as link:
            running = peer(link, bench.place(name))
            link.reset()
            sent = running.send(given)
            wire = link.stats()["up"]["wire_bytes"]
        kept(bench, study, profile, name, sent, len(files), wire)


def kept(bench, study, profile, peer, sent, n_images, wire):
    bench.keep(f"lines/{study.key}/{profile.name}/{peer}", wire=wire, **sent.figures(n_images))
    bench.say(f"{study.key} {profile.name} {peer}: {len(sent.stored)} of {n_images} after {sent.seconds:.1f} s")
