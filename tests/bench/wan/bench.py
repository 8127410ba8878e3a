"""What every part of the bench shares: the programs, the emulator, and the figures that are kept beside the page."""

import itertools
import json
import os
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

# Loss and jitter of run n are drawn from seed 100 + n, for us and for the peers alike.
SEED = 100


@dataclass
class Bench:
    """One call of `make bench-wan`."""

    wanlink: str
    programs: Path
    folder: Path
    runs: int
    is_quick: bool
    out: Path
    studies: list = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self):
        self.file = self.out / "wan/results.json"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.results = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.places, self.lock = itertools.count(), threading.Lock()

    def place(self, name):
        """A fresh folder for the data of one run."""
        made = self.folder / f"{name}-{next(self.places)}"
        made.mkdir(parents=True)
        return made

    def keep(self, key, **figures):
        """Keeps the figures of one cell, with their day. Written at once: a later part may fail."""
        with self.lock:
            self.results[key] = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count()} | rounded(figures)
            if self.is_quick:
                self.results[key]["quick"] = True
            lines = (f"{json.dumps(name)}: {json.dumps(self.results[name])}" for name in sorted(self.results))
            self.file.write_text("{\n" + ",\n".join(lines) + "\n}\n")

    def say(self, text):
        """A line of progress, with the minutes since the start."""
        print(f"[{(time.monotonic() - self.begun) / 60:5.1f} min] {text}", flush=True)


def rounded(value):
    """Figures as they are kept: nobody needs the nanosecond."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    return value


def median(values):
    """The middle one; none when a run did not come so far."""
    values = list(values)
    return None if any(value is None for value in values) else statistics.median(values)
