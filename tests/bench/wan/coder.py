"""Part `coder`: how fast the agent makes containers on one processor and on two, and what line that fills."""

import time

from bench import SEED, median
from inputs import copies
from link import HEADERS, UNLIMITED, Link
from tancho import Tancho
from wait import wait_until

# Copies of the study, so that a run takes seconds.
N_COPIES = 8
TARGET_MBITS = 100


def run(bench):
    study = bench.studies[0]
    folders = [copies(study.folder, bench.folder / "coder" / str(n), n) for n in range(1, N_COPIES + 1)]
    n_images, n_bytes = N_COPIES * len(study.files), N_COPIES * study.n_bytes
    for processors in ("0", "0,1"):
        runs = [coded(bench, folders, n_images, processors) for _ in range(bench.runs)]
        seconds, container_bytes = (median(one[idx] for one in runs) for idx in (0, 1))
        mbits = container_bytes * 8 * HEADERS / seconds / 1e6
        n_processors = processors.count(",") + 1
        bench.keep(f"coder/{n_processors}", seconds=seconds, bytes=n_bytes, coded=container_bytes, mbits=mbits)
        bench.say(f"{n_processors} processors: {n_bytes / seconds / 1e6:.0f} MB/s, fills {mbits:.0f} Mbit/s")


def coded(bench, folders, n_images, processors):
    """Seconds from the files to durable containers while the relay is away, and the bytes of those."""
    with Link(bench.wanlink, UNLIMITED, SEED) as link:
        tancho = Tancho(link, bench.programs, bench.place("coder"), ["taskset", "-c", processors])
        link.kill(tancho.relay_process)
        begun = time.monotonic()
        tancho.spool(folders, "stat")
        wait_until(lambda: tancho.status()["n_waiting_line"] == n_images, "all containers are made", 300)
        return time.monotonic() - begun, tancho.status()["bytes_waiting_line"]
