"""Writes tests/bench/WAN.md and its plots out of the kept figures. Nothing is measured here."""

from controller import CONTROLLERS, LINES
from faults import COST_MAX_S, LINE_FAULTS
from inputs import INPUTS
from lines import STARTS
from link import PROFILES
from memory import AGENT_MIB_MAX, RELAY_MIB_MAX
from plot import plot
from coder import TARGET_MBITS
from stat_study import TARGET as STAT_TARGET

# Of CT: whole-stack preview of a head scan, complete against the limit, times faster than storescu, and most of the strongest
# peer's time. MR is to be smaller by a factor and faster than the strongest peer.
TARGETS = {
    "A": (4.0, 1.08, 2.8, 1.15), "B": (1.2, 1.10, 9, 1.15), "C": (0.6, 1.3, 14, 1.0), "D": (1.2, 1.2, 35, 1.0),
    "E": (3.0, 1.5, 25, 1.0),
}
MR_SMALLER = 6.5
SHARE_MIN, SHARE_MIN_E = 0.95, 0.85
OWN_LOSS_MAX, CALL_LOSS_MAX, CALL_JITTER_MAX_MS = 0.02, 0.01, 20
FAIR = (0.3, 0.7)
NAMES = {"tancho": "ours", "cubic": "quinn CUBIC", "bbr": "quinn BBR"}
PEERS = {"storescu": "storescu, TLS", "orthanc": "Orthanc peer, gzip", "cubic": "STOW-RS x 4, JPEG-LS, cubic",
         "bbr": "STOW-RS x 4, JPEG-LS, bbr"}

HEAD = """# Over emulated lines

`make bench-wan` measures this and writes this page; [wan/main.py](wan/main.py) says what can be set.
Ours and the peers run over the same emulated lines with the same series of random losses, the peers with TCP and \
TLS as Linux has them.

| line | up / down | round trip | loss each way | queue |
|---|---|---|---|---|
"""
NOTES = """
- A target stands behind its figure; a figure that misses it is **bold**.
- *Limit*: the bytes we sent, with IP, UDP and QUIC headers (4.5 %), over the line's rate and what it does not lose, plus \
one round trip and one way. Nothing that sends these bytes is faster.
- The clock runs from the start of the sending command to the last receipt; agent and relay are connected by then, as \
they are at a hospital. *Cold*: the agent has never sent anything over this line. *Remembered*: it has sent another \
study before, and the line was idle for some seconds.
- Peers: DCMTK's storescu to storescp with TLS is what people run, one Orthanc sending to another \
with gzip what Orthanc offers. The strongest combination that anyone could put \
together by hand is STOW-RS to Orthanc over four connections, of JPEG-LS files that were made beforehand and whose \
coding is not counted, with BBR at both ends.
- A study of 100 slices is made of real ones in turn, since their noise is what a coder has to carry: that of the generated head is white, and JPEG-LS makes it 15 % smaller than HTJ2K does.
"""


class Table:
    """Rows of text with a line that says when they were measured."""

    def __init__(self, title, *columns, note=""):
        self.title, self.columns, self.note = title, columns, note
        self.rows, self.used = [], []

    def row(self, *cells):
        self.rows.append(cells)

    def text(self):
        if not self.rows:
            return ""
        lines = [f"### {self.title}\n", "| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(cells) + " |" for cells in self.rows]
        return "\n".join(lines) + f"\n\n{measured(self.used)}{self.note}\n"


def measured(entries):
    """When, and on how many cores."""
    days = sorted({one["date"] for one in entries})
    cores = "/".join(sorted({str(one["cores"]) for one in entries}))
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    quick = " Some are from a quick run: one try, short." if any(one.get("quick") for one in entries) else ""
    return f"Measured on {when}, {cores} cores.{quick} "


def write(bench):
    results = bench.results
    text = HEAD + "".join(line_row(profile) for profile in PROFILES.values()) + NOTES
    for key in INPUTS.split():
        text += "\n" + study_part(results, key)
    text += "\n" + plots(bench)
    for part in (stat_part, faults_part, controller_part, machine_part):
        text += "\n" + part(results)
    page = bench.out / "WAN.md"
    page.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


def line_row(profile):
    jitter = f", ± {1e3 * profile.jitter:g} ms each way" if profile.jitter else ""
    return (f"| {profile.name}, {profile.what.split(',')[0]} | {profile.up / 1e6:g} / {profile.down / 1e6:g} Mbit/s "
            f"| {2e3 * profile.delay:g} ms{jitter} | {profile.loss * 100:g} % | {profile.queue // 1024} KiB |\n")


def fits(text, value, is_met, target=""):
    """A figure with its target, bold when it misses it, a dash when there is none."""
    if value is None:
        return "-"
    figure = text.format(value)
    return (figure if is_met else f"**{figure}**") + (f" ({target})" if target else "")


def study_part(results, key):
    study = results.get(f"study/{key}")
    if not study:
        return ""
    ours = Table("Ours", "line", "start", "first preview s", "whole stack readable s", "first original s", "complete s",
                 "of the limit", "limit s", "MB sent", "on the line MB")
    faster = "we are faster, cold / remembered"
    peers = Table("Beside the peers", "line", f"{PEERS['storescu']} s", faster, f"{PEERS['orthanc']} s", faster,
                  f"{PEERS['cubic']} s", f"{PEERS['bbr']} s", "our time of the strongest's, cold / remembered")
    for name in PROFILES:
        ours_row(results, key, name, study, ours)
        peers_row(results, key, name, peers)
    smaller = ""
    if ours.used:
        factor = study["bytes"] / ours.used[0]["sent"]
        smaller = f", sent {fits('{:.2f}', factor, key != 'mr' or factor >= MR_SMALLER)} times smaller"
        smaller += f" (target {MR_SMALLER})" if key == "mr" else ""
        memory = [max(one["memory"][end] for one in ours.used) for end in (0, 1)]
        ours.note = f"Medians. Most memory at any time: agent {memory[0]:.0f} MiB, relay {memory[1]:.0f} MiB."
    peers.note = "One run of each peer; ours are the medians above. Incomplete: images were left behind."
    return (f"## {study['name']}: {study['images']} images, {study['bytes'] / 1e6:.1f} MB{smaller}\n\n"
            + ours.text() + "\n" + peers.text())


def ours_row(results, key, name, study, table):
    stack_max, ratio_max, _, _ = TARGETS[name]
    if key == "mr":
        ratio_max = None
    is_head = key == "ct" and study["images"] == 28
    for start in STARTS:
        one = results.get(f"lines/{key}/{name}/{start}")
        if not one:
            continue
        table.used.append(one)
        ratio = one["complete"] / one["limit"]
        stack_target = f"{stack_max:g}" if is_head else ""
        table.row(name, start, fits("{:.2f}", one["first_preview"], True),
                  fits("{:.2f}", one["stack"], not is_head or one["stack"] <= stack_max, stack_target),
                  fits("{:.2f}", one["first"], True), fits("{:.2f}", one["complete"], True),
                  fits("{:.2f}", ratio, not ratio_max or ratio <= ratio_max, f"{ratio_max:g}" if ratio_max else ""),
                  f"{one['limit']:.2f}",
                  f"{one['sent'] / 1e6:.2f}", f"{one['wire'] / 1e6:.2f}")


def peers_row(results, key, name, table):
    found = {peer: results.get(f"lines/{key}/{name}/{peer}") for peer in PEERS}
    ours = [results.get(f"lines/{key}/{name}/{start}") for start in STARTS]
    if not any(found.values()):
        return
    table.used += [one for one in found.values() if one]
    _, _, faster_min, strongest_max = TARGETS[name]
    if key == "mr":
        faster_min, strongest_max = 0, 1.0
    seconds = {peer: one and one["seconds"] for peer, one in found.items()}
    complete = [seconds[peer] for peer in ("cubic", "bbr") if seconds[peer]]
    strongest = min(complete) if complete else None

    def cell(peer):
        one = found[peer]
        if not one:
            return "-"
        return f"{one['seconds']:.1f}" if one["seconds"] else f"incomplete, {one['stored']} of {one['images']}"

    def ratios(text, of, is_met, target):
        both = [fits(text, of(one["complete"]), is_met(of(one["complete"]))) if one else "-" for one in ours]
        return " / ".join(both) + target

    def faster(peer, at_least):
        if not seconds[peer]:
            return "-"
        target = f" (at least {at_least:g})" if at_least else ""
        return ratios("{:.1f} x", lambda mine: seconds[peer] / mine, lambda ratio: ratio >= at_least, target)

    # Without an allowance ours has to be faster.
    target = " (faster)" if strongest_max == 1.0 else f" (at most {strongest_max:g})"
    of_it = "-" if not strongest else ratios(
        "{:.2f}", lambda mine: mine / strongest, lambda ratio: ratio <= strongest_max, target)
    table.row(name, cell("storescu"), faster("storescu", faster_min), cell("orthanc"), faster("orthanc", 0),
              cell("cubic"), cell("bbr"), of_it)


def plots(bench):
    results, names = bench.results, []
    study = results.get("study/ct")
    for name, profile in PROFILES.items():
        ours = results.get(f"lines/ct/{name}/cold", {"curves": {"preview": [], "original": []}})["curves"]
        curves = {"Tancho, preview": ours["preview"], "Tancho, original": ours["original"]}
        curves |= {title: results.get(f"lines/ct/{name}/{peer}", {"curve": []})["curve"] for peer, title in PEERS.items()}
        if any(curves.values()):
            svg = bench.out / f"wan-{name.lower()}.svg"
            svg.write_text(plot(f"{name}: {profile.what}", curves, study["images"]))
            names.append(svg.name)
    if not names:
        return ""
    return (f"## Images readable over time\n\n{study['name']}, cold starts; a dot marks a complete study.\n\n"
            + "\n".join(f"![Images readable over time, {name}]({name})" for name in names) + "\n")


def stat_part(results):
    one = results.get("stat")
    if not one:
        return ""
    table = Table("A stat study on line B while routine work fills it", "", "idle line s", "beside routine s", "ratio")
    table.used.append(one)
    for key, title in (("stack", "whole stack readable"), ("complete", "complete")):
        idle, busy = one[f"{key}_idle"], one[f"{key}_busy"]
        table.row(title, f"{idle:.2f}", f"{busy:.2f}",
                  fits("{:.2f}", busy / idle, busy / idle <= STAT_TARGET, f"at most {STAT_TARGET:g}"))
    agent, relay = one["memory"]
    table.note = (f"{one['routine_mb'] / 1e3:.1f} GB of routine studies wait at the agent; while the stat studies ran the line "
                  f"was {one['filled'] * 100:.0f} % full. Routine keeps 5 % of the line meanwhile. Most memory: agent "
                  f"{agent:.0f} MiB, relay {relay:.0f} MiB.")
    return "## Overtaking\n\n" + table.text()


def faults_part(results):
    ours = Table("Ours, in the middle of a study on line B", "fault", "complete s", "cost beyond its own length s",
                 "more on the line kB", "at the relay")
    peers = Table("Peers, the same faults", "fault", *(peer for peer in peers_of(results)))
    for name in [*LINE_FAULTS, "agent killed", "relay killed"]:
        one = results.get(f"faults/{name}")
        if one:
            ours.used.append(one)
            cost = one["cost"] - one["down"]
            proof = one["proof"]
            said = f"{proof['same_bytes']} of {one['images']} byte for byte, each once"
            ours.row(name, f"{one['seconds']:.1f}", fits("{:.1f}", cost, cost <= COST_MAX_S, f"at most {COST_MAX_S}"),
                     f"{one['again'] / 1e3:.0f}", said if one["once"] else f"**{proof}**")
    for name in [*LINE_FAULTS, "receiver killed"]:
        cells = [peer_fault(results.get(f"peer-faults/{peer}/{name}"), peers) for peer in peers_of(results)]
        if any(cell != "-" for cell in cells):
            peers.row(name, *cells)
    whole = results.get("faults/none")
    if whole:
        ours.note = (f"Undisturbed: {whole['seconds']:.2f} s, {whole['wire'] / 1e6:.2f} MB on the line. Afterwards the relay's "
                     "store has each instance once, verified, every container gives its original back, none is left over, "
                     "and `tancho-relay export` gives the bytes that were sent. Nobody sends again: after the agent was "
                     "killed the next one goes on by itself.")
    peers.note = "No peer goes on by itself: once its sender has given up, somebody must notice and send the whole study again."
    return "## Faults\n\n" + ours.text() + "\n" + peers.text() if ours.rows or peers.rows else ""


def peers_of(results):
    return sorted({key.split("/")[1] for key in results if key.startswith("peer-faults/")}, reverse=True)


def peer_fault(one, table):
    if not one:
        return "-"
    table.used.append(one)
    if one["seconds"]:
        return f"complete, {one['cost'] - one['down']:+.1f} s beyond its length"
    return f"**{one['stored']} of {one['images']} stored**, exit {one['exit_code']} after {one['ended']:.0f} s"


def controller_part(results):
    table = Table(
        "A bulk transfer, alone and beside a telephone call", "line", "controller", "share of what the line carries",
        "lost by the sender itself", "offered Mbit/s", "idle round trip ms", "median rise ms", "call: extra loss",
        "call: extra jitter ms", "3.3 MB, fresh / remembered path s",
        note="*Share*: content that arrives, of rate x (1 - loss) / 1.045. *Lost by itself*: packets that found the queue "
             "full, the start included. The round trip is that of a ping of its own beside the transfer. The call sends 50 packets of 200 "
             "bytes a second; its extra loss is that beyond the line's own, as far as the queue dropped packets at all, its "
             "jitter the mean difference of neighbouring delays on the way up (RFC 3550) beyond that of the idle line.")
    for profile in LINES:
        for controller in CONTROLLERS:
            one = results.get(f"controller/{profile.name}/{controller}")
            if one:
                table.used.append(one)
                controller_row(profile, controller, one, table)
    beside = Table("Beside one TCP flow on a lossless B", "TCP", "there first", "ours Mbit/s", "TCP Mbit/s", "our share",
                   "line filled")
    for rival in ("cubic", "bbr"):
        for first, who in (("tancho", "we"), ("tcp", "TCP")):
            one = results.get(f"share/{rival}/{first}")
            if one:
                beside.used.append(one)
                beside.row(rival.upper(), who, f"{one['ours'] / 1e6:.2f}", f"{one['theirs'] / 1e6:.2f}",
                           fits("{:.0%}", one["share"], FAIR[0] <= one["share"] <= FAIR[1], "30 to 70 %"),
                           f"{one['filled']:.0%}")
    if not table.rows and not beside.rows:
        return ""
    return "## The congestion controller\n\n" + table.text() + "\n" + beside.text()


def controller_row(profile, controller, one, table):
    share_min = SHARE_MIN_E if profile.name == "E" else SHARE_MIN
    start = fits("{:.1f}", one["start_s"], True)
    if "start_remembered_s" in one:
        start += " / " + fits("{:.1f}", one["start_remembered_s"], True)
    table.row(profile.name, NAMES[controller], fits("{:.2f}", one["share"], one["share"] >= share_min, f"{share_min:g}"),
              fits("{:.1%}", one["own_loss"], one["own_loss"] <= OWN_LOSS_MAX, "2 %"), f"{one['sent_rate'] / 1e6:.1f}",
              f"{one['idle_ms']:.0f}",
              fits("{:.1f}", one["rise_ms"], one["rise_ms"] <= one["rise_max_ms"], f"{one['rise_max_ms']:.0f}"),
              fits("{:.1%}", one["call_loss"], one["call_loss"] < CALL_LOSS_MAX, "1 %"),
              fits("{:.1f}", max(0, one["call_jitter_ms"]), one["call_jitter_ms"] < CALL_JITTER_MAX_MS, "20"),
              f"{start} (limit {one['start_limit_s']:.1f})")


def machine_part(results):
    coding = Table("What the coder reaches", "processors", "pixel data MB/s", "line it fills Mbit/s",
                   note="From the files to durable containers, each frame coded, decoded and compared, while the relay is "
                        "away. The processors are those of this machine, an agent bound to them.")
    for n in (1, 2):
        one = results.get(f"coder/{n}")
        if one:
            coding.used.append(one)
            target = f"at least {TARGET_MBITS}" if n == 2 else ""
            coding.row(str(n), f"{one['bytes'] / one['seconds'] / 1e6:.0f}",
                       fits("{:.0f}", one["mbits"], n == 1 or one["mbits"] >= TARGET_MBITS, target))
    memory = Table("Most memory, one object", "object", "seconds", "MB sent", "agent MiB", "relay MiB")
    one = results.get("memory")
    if one:
        memory.used.append(one)
        memory.row(f"{one['bytes'] / 2**30:.3g} GiB, {one['frames']} frames", f"{one['seconds']:.0f}",
                   f"{one['sent'] / 1e6:.0f}",
                   fits("{:.0f}", one["agent"], one["agent"] <= AGENT_MIB_MAX, f"at most {AGENT_MIB_MAX}"),
                   fits("{:.0f}", one["relay"], one["relay"] <= RELAY_MIB_MAX, f"at most {RELAY_MIB_MAX}"))
        memory.note = "Resident, the kernel's VmHWM, over a line without a limit."
    if not coding.rows and not memory.rows:
        return ""
    return "## The machine\n\n" + coding.text() + "\n" + memory.text()
