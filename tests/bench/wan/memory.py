"""Part `memory`: one object of 2 GiB from the file to the relay, and the most memory that both ends ever had."""

import os

from bench import SEED
from inputs import MATRIX_BYTES, SLICES_OF_ROUTINE, multi_frame, phantom, removed
from link import UNLIMITED, Link
from tancho import Tancho, at, last

AGENT_MIB_MAX, RELAY_MIB_MAX = 96, 256
OBJECT_BYTES = 2 << 30


def run(bench):
    size = OBJECT_BYTES // 16 if bench.is_quick else int(os.environ.get("OBJECT_BYTES", OBJECT_BYTES))
    target = bench.folder / "one-object"
    file = multi_frame(phantom(bench, "routine", SLICES_OF_ROUTINE), target, size // MATRIX_BYTES)
    bench.say(f"one object of {file.stat().st_size / 2**30:.2f} GiB, {size // MATRIX_BYTES} frames")
    place = bench.place("memory")
    with Link(bench.wanlink, UNLIMITED, SEED) as link:
        tancho = Tancho(link, bench.programs, place)
        events = tancho.send(target, "routine")
        agent, relay = tancho.peak_mib()
        proof = tancho.proof([file]) if bench.is_quick else None
        after = tancho.peak_mib()
    removed(target)
    removed(place)
    bench.keep("memory", bytes=size, frames=size // MATRIX_BYTES, seconds=at(events, "study_durable"),
               sent=last(events)["bytes_sent"], agent=agent, relay=relay, relay_after_export=after[1], proof=proof)
    bench.say(f"agent {agent:.0f} MiB of {AGENT_MIB_MAX}, relay {relay:.0f} MiB of {RELAY_MIB_MAX}, "
              f"{at(events, 'study_durable'):.0f} s")
