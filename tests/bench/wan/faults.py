"""Part `faults`: line B breaks in the middle of a study; what that costs beyond its own length, and what is at the relay
afterwards. The same faults for the peers, one run each."""

import os
import time

import peers
from bench import SEED, median
from link import PROFILES, Link
from tancho import Tancho, at
from wait import wait_until

B = PROFILES["B"]
# Bytes up at which a fault comes: in the middle of any head scan.
MID_TRANSFER_BYTES = 1_000_000
# What is done to the line, and how long it is down for.
LINE_FAULTS = {
    "outage of 10 s": (("outage", "10s"), 10), "outage of 120 s": (("outage", "120s"), 120),
    "NAT rebind": (("rebind",), 0), "new address": (("migrate",), 0),
}
# Most seconds that a fault may cost beyond its own length.
COST_MAX_S = 2
# The study is complete after an agent was killed, or it never is.
AFTER_KILL_S = 120


def run(bench):
    study = bench.studies[0]
    if os.environ.get("OURS", "1") != "0":
        whole = [undisturbed(bench, study, SEED + n) for n in range(bench.runs)]
        seconds, wire = (median(one[idx] for one in whole) for idx in (0, 1))
        bench.keep("faults/none", seconds=seconds, wire=wire)
        bench.say(f"{study.key} undisturbed on B: {seconds:.2f} s, {wire / 1e6:.2f} MB on the line")
        for name in [*LINE_FAULTS, "agent killed", "relay killed"]:
            fault(bench, study, name, seconds, wire)
    if os.environ.get("PEERS", "B") != "0":
        small = peers.jpeg_ls(study.files, bench.folder / f"jpeg-ls-{study.key}")
        for peer, files, congestion in ((peers.StorescuTls, study.files, "cubic"), (peers.StowFour, small, "bbr")):
            peer_faults(bench, peer, files, congestion)


def half_way(link):
    wait_until(lambda: link.stats()["up"]["out_bytes"] > MID_TRANSFER_BYTES, "the transfer is half way")


def has_happened(stats, command):
    """Whether the line did what it was told: a fault that nobody saw proves nothing."""
    seen = {"outage": stats["up"]["drop_outage"], "rebind": stats["rebinds"], "migrate": stats["migrations"]}
    return not command or seen[command[0]] > 0


def undisturbed(bench, study, seed):
    with Link(bench.wanlink, B, seed) as link:
        tancho = Tancho(link, bench.programs, bench.place("whole"))
        link.reset()
        events = tancho.send(study.folder)
        return at(events, "study_durable"), link.stats()["up"]["wire_bytes"]


def fault(bench, study, name, whole_s, whole_wire):
    """One of our transfers with a fault in it."""
    files = study.files
    command, down_s = LINE_FAULTS.get(name, (None, 0))
    seconds, proof, wire = [], None, 0
    # The long outage once: its cost is the time of the next attempt to connect.
    for run_idx in range(1 if down_s > 30 else bench.runs):
        with Link(bench.wanlink, B, SEED + run_idx) as link:
            tancho = Tancho(link, bench.programs, bench.place("fault"))
            link.reset()

            def breaks():
                half_way(link)
                if command:
                    link.set(*command)
                elif name == "relay killed":
                    link.kill(tancho.relay_process)
                    tancho.start_relay()
                else:
                    link.kill(tancho.agent_process)
                    tancho.start_agent()
            begun = time.monotonic()
            if name == "agent killed":
                # `send` ends with the agent that it waits for. Nobody sends again: the new agent goes on by itself.
                tancho.sending([study.folder], ["--priority", "stat", "--wait", "--json"], breaks)
                wait_until(lambda: tancho.has_sent(len(files)), "the new agent has sent all", AFTER_KILL_S)
                seconds.append(time.monotonic() - begun)
            else:
                seconds.append(at(tancho.send(study.folder, beside=breaks), "study_durable"))
            stats = link.stats()
            if not has_happened(stats, command):
                raise RuntimeError(f"{name}: the study was through before it")
            wire = max(wire, stats["up"]["wire_bytes"])
            proof = tancho.proof(files)
            if not is_once(proof, len(files)):
                break
    took = median(seconds)
    bench.keep(f"faults/{name}", seconds=took, down=down_s, cost=took - whole_s, again=wire - whole_wire,
               images=len(files), once=is_once(proof, len(files)), proof=proof)
    bench.say(f"{name}: {took:.2f} s, cost beyond {down_s} s {took - whole_s - down_s:+.2f} s, "
              f"{(wire - whole_wire) / 1e3:+.0f} kB on the line, {proof}")


def is_once(proof, n_images):
    """All there, each once, each verified and the same bytes as were sent."""
    each = ("instances", "distinct", "verified", "blobs", "same_bytes")
    return all(proof[key] == n_images for key in each) and proof["stray_blobs"] == 0


def peer_faults(bench, peer, files, congestion):
    """The same for a peer. Nobody runs its sender a second time: a fault that ends it leaves the study incomplete."""
    with Link(bench.wanlink, B, SEED, congestion) as link:
        whole = peer(link, bench.place("peer")).send(files)
    for name in [*LINE_FAULTS, "receiver killed"]:
        command, down_s = LINE_FAULTS.get(name, (None, 0))
        with Link(bench.wanlink, B, SEED, congestion) as link:
            running = peer(link, bench.place("peer"))
            link.reset()

            def breaks():
                half_way(link)
                if command:
                    link.set(*command)
                else:
                    link.kill(running.receiver)
                    running.start_receiver()
            sent = running.send(files, beside=breaks)
            if not has_happened(link.stats(), command):
                raise RuntimeError(f"{peer.name}, {name}: the study was through before it")
        figures = sent.figures(len(files))
        cost = sent.seconds - whole.seconds if figures["seconds"] else None
        figures.pop("curve")
        bench.keep(f"peer-faults/{peer.name}/{name}", cost=cost, down=down_s, **figures)
        bench.say(f"{peer.name}, {name}: {len(sent.stored)} of {len(files)}, exit {sent.exit_code} after {sent.seconds:.1f} s")
