"""Part `controller`: what a bulk transfer takes of a line and leaves to a telephone call, for our congestion controller
and quinn's, and what each side gets beside a TCP flow."""

import json
import os
import subprocess
from dataclasses import replace

from bench import SEED
from link import KIB, PROFILES, RELAY, Link
from wait import let_run, wait_until

B = PROFILES["B"]
LINES = [PROFILES["A"], B, replace(B, name="B bloated", what=f"{B.what}, queue of 1 MiB", queue=1024 * KIB),
         PROFILES["C"], PROFILES["D"], PROFILES["E"]]
LOSSLESS_B = replace(B, name="B lossless", loss=0.0)
CONTROLLERS = ("tancho", "cubic", "bbr")
FAR, ECHO = f"{RELAY}:5000", f"{RELAY}:5001"
# The echo and the caller run before everything else on the machine, the bulk before other work: what is measured is
# the line and the controller, not the scheduler. The emulator itself runs at nice -15.
CALL_FIRST, BULK_FIRST = ["chrt", "-f", "50"], ["nice", "-n", "-10"]
# A telephone: 20 ms of G.711 each. A ping that takes 5 kbit/s.
CALL = {"interval_ms": 20, "bytes": 200}
PING = {"interval_ms": 100, "bytes": 68}
PING_BITS = 8 * PING["bytes"] * 1000 / PING["interval_ms"]
# About what the coded head CT has: how long a fresh path takes for it, and a remembered one.
START_BYTES = 3_300_000
# Seconds: before the transfer, until it is at its rate, while it is measured alone, and beside a call.
IDLE_S, SETTLE_S, ALONE_S, CALL_S = 8, 6, 25, 40
# Beside TCP: from one start to the other's, until both are settled, and measured.
BEFORE_RIVAL_S, SHARE_SETTLE_S, SHARE_S = 5, 10, 40


class Ends:
    """The receiver and the echo at the far end of a link, and what has arrived."""

    def __init__(self, bench, link, folder):
        self.bench, self.link, self.folder = bench, link, folder
        self.probe = bench.programs / "tancho-line-probe"
        self.certificate, self.counts = folder / "certificate.der", folder / "arrived.jsonl"
        link.start("relay", *BULK_FIRST, self.probe, "far", "--listen", FAR, "--certificate", self.certificate,
                   log=self.counts)
        link.start("relay", *CALL_FIRST, self.probe, "echo", "--listen", ECHO, log=folder / "echo.log")
        wait_until(lambda: len(self.arrived()) > 1, "the receiver counts")

    def arrived(self):
        """(seconds, bytes by QUIC, bytes by TCP) many times a second; the last line may be half written."""
        lines = self.counts.read_text().splitlines()[:-1] if self.counts.exists() else []
        found = [json.loads(line) for line in lines]
        return [(one["at_ms"] / 1e3, one["quic"], one["tcp"]) for one in found]

    def bytes_by(self, seconds):
        """Bytes by QUIC and by TCP until then."""
        return next((row[1:] for row in reversed(self.arrived()) if row[0] <= seconds), (0, 0))

    def rate(self, begin, end):
        """Content in bit/s between two times, by QUIC and by TCP."""
        (quic, tcp), (quic_end, tcp_end) = self.bytes_by(begin), self.bytes_by(end)
        return tuple(8 * n / (end - begin) for n in (quic_end - quic, tcp_end - tcp))

    def now(self):
        return self.arrived()[-1][0]

    def send(self, controller, seconds, remembered=None):
        """Starts a bulk transfer by QUIC."""
        path = ["--remembered", *remembered] if remembered else []
        return self.start("send", "--to", FAR, "--certificate", self.certificate, "--controller", controller,
                          "--seconds", seconds, *path)

    def send_tcp(self, seconds):
        return self.start("send-tcp", "--to", FAR, "--seconds", seconds)

    def start(self, *arguments):
        command = self.link.command("client", *BULK_FIRST, self.probe, *arguments)
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def talk(self, seconds, pace):
        """A call or a ping; gives what became of its packets."""
        command = self.link.command("client", *CALL_FIRST, self.probe, "talk", "--to", ECHO, "--interval-ms",
                                    pace["interval_ms"], "--bytes", pace["bytes"], "--seconds", seconds)
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run(bench):
    scale = 0.3 if bench.is_quick else 1.0
    wanted = os.environ.get("PROFILES", "ABCDE")
    for profile in (one for one in LINES if one.name[0] in wanted):
        for controller in CONTROLLERS:
            measure(bench, profile, controller, scale)
    for rival in ("cubic", "bbr") if "B" in wanted else ():
        for first in ("tancho", "tcp"):
            share(bench, rival, first, scale)


def measure(bench, profile, controller, scale):
    """One line and one controller: idle, alone, beside a call; then, for ours, a start on the remembered path."""
    idle_s, alone_s, call_s = IDLE_S * scale, ALONE_S * scale, CALL_S * scale
    settle_s = max(SETTLE_S, 20 * profile.delay)
    with Link(bench.wanlink, profile, SEED) as link:
        ends = Ends(bench, link, bench.place(f"controller-{profile.name}-{controller}".replace(" ", "-")))
        idle = ends.talk(idle_s, CALL)
        idle_ping = ends.talk(idle_s, PING)
        link.reset()
        # Goes on until all is measured: each talk waits a little for its last packets.
        sender = ends.send(controller, settle_s + alone_s + call_s + 8)
        begun = ends.now()
        let_run(settle_s, "the transfer comes to its rate")
        alone_from = ends.now()
        ping = ends.talk(alone_s, PING)
        goodput, _ = ends.rate(alone_from, alone_from + alone_s)
        # The start counts too: an overshoot drowns a call just as well.
        up, seconds = link.stats()["up"], ends.now() - begun
        link.reset()
        call = ends.talk(call_s, CALL)
        up_call = link.stats()["up"]
        ended = json.loads(sender.communicate()[0])
        figures = {
            "rate": goodput, "share": goodput / profile.goodput(PING_BITS),
            "own_loss": up["drop_queue"] / max(1, up["in_pkts"]),
            "sent_rate": 8 * up["in_bytes"] / seconds,
            "idle_ms": idle_ping["round_trip_ms"], "rise_ms": ping["round_trip_ms"] - idle_ping["round_trip_ms"],
            "rise_max_ms": allowed_rise_ms(profile, idle_ping["round_trip_ms"]),
            "call_loss": extra_loss(call, up_call, profile), "call_jitter_ms": call["jitter_ms"] - idle["jitter_ms"],
            "start_s": time_to(ends, begun, START_BYTES), "path": ended["path"], "error": ended["error"],
        }
    if controller == "tancho" and figures["path"]:
        figures["start_remembered_s"] = remembered_start(bench, profile, figures["path"])
    figures["start_limit_s"] = profile.limit_s(START_BYTES)
    bench.keep(f"controller/{profile.name}/{controller}", **figures)
    bench.say(f"{profile.name}, {controller}: share {figures['share']:.2f}, own loss {figures['own_loss']:.2%}, round trip "
              f"+{figures['rise_ms']:.1f} ms (allowed {figures['rise_max_ms']:.0f}), call: {figures['call_loss']:.2%} "
              f"more loss, {figures['call_jitter_ms']:+.1f} ms jitter")


def extra_loss(call, up, profile):
    """What a call lost because of the transfer: beyond the line's own loss, and no more than the queue dropped at all."""
    return max(0.0, min(call["loss_up"] - profile.loss, up["drop_queue"] / call["sent"]))


def allowed_rise_ms(profile, idle_ms):
    """The larger of a third of the idle round trip, nearly, and three packets' time on the line."""
    return max(0.3 * idle_ms, 3 * 1500 * 8 / profile.up * 1e3)


def remembered_start(bench, profile, path):
    """Seconds for the first bytes when the controller has been told what the path was like."""
    with Link(bench.wanlink, profile, SEED) as link:
        ends = Ends(bench, link, bench.place("remembered"))
        begun = ends.now()
        sender = ends.send("tancho", 3 * profile.limit_s(START_BYTES) + 5, path)
        sender.communicate()
        return time_to(ends, begun, START_BYTES)


def time_to(ends, begun, n_bytes):
    """Seconds from `begun` until so many bytes had come; none when they did not."""
    return next((at - begun for at, quic, _ in ends.arrived() if quic >= n_bytes), None)


def share(bench, rival, first, scale):
    """Our share of a lossless line beside one TCP flow, either of them being there first."""
    settle_s, share_s = SHARE_SETTLE_S, SHARE_S * scale
    seconds = BEFORE_RIVAL_S + settle_s + share_s + 2
    with Link(bench.wanlink, LOSSLESS_B, SEED, rival) as link:
        ends = Ends(bench, link, bench.place(f"share-{rival}-{first}"))
        begins = [lambda: ends.send("tancho", seconds), lambda: ends.send_tcp(seconds)]
        if first == "tcp":
            begins.reverse()
        senders = [begins[0]()]
        let_run(BEFORE_RIVAL_S, "the first flow has the line alone")
        senders.append(begins[1]())
        let_run(settle_s, "the two flows settle")
        begin = ends.now()
        let_run(share_s, "the two flows share the line")
        ours, theirs = ends.rate(begin, begin + share_s)
        for sender in senders:
            sender.kill()
            sender.communicate()
    bench.keep(f"share/{rival}/{first}", ours=ours, theirs=theirs, share=ours / max(1, ours + theirs),
               filled=(ours + theirs) / LOSSLESS_B.goodput())
    bench.say(f"lossless B beside TCP {rival}, {first} first: {ours / 1e6:.2f} Mbit/s of ours, {theirs / 1e6:.2f} of TCP")
