"""File systems in image files whose power can be cut: shut down without flushing their log, mounted again as after it.

The program under test keeps its files on one and its database on another. On one file system alone each fsync of the
database would make the names of all other files durable too, and hide that the program forgot to.
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path

# Sparse: both programs keep 2 GiB free on any disk.
IMAGE_BYTES = 6 << 30
MAKERS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
OWN_MOUNTS = "TANCHO_SWEEP_OWN_MOUNTS"
STARTING = threading.Lock()
MACHINE_START = "/proc/sys/kernel/random/boot_id"


def reason_to_skip(kind):
    """Why this machine cannot cut the power of such a file system; none when it can."""
    if os.environ.get(OWN_MOUNTS) != "yes":
        return "mounting needs root, and a machine that lets root mount"
    if not shutil.which(MAKERS[kind][0]):
        return f"{MAKERS[kind][0]} is not installed"
    with tempfile.TemporaryDirectory(prefix="tancho-sweep-") as folder:
        try:
            Disk(Path(folder), "probe", kind).remove()
        except RuntimeError as error:
            return str(error)
    return None


def enter_own_mounts():
    """Starts the script again in a mount namespace of its own, so that no mount is left behind, however it ends."""
    if OWN_MOUNTS in os.environ:
        return
    unshare = ["unshare", "--mount", "--propagation", "private"]
    may = os.geteuid() == 0 and subprocess.run([*unshare, "true"], capture_output=True).returncode == 0
    os.environ[OWN_MOUNTS] = "yes" if may else "no"
    if may:
        os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


class Disk:
    """A mounted image. The mount namespace is the caller's own, so nothing stays behind when it ends."""

    def __init__(self, folder, name, kind):
        self.image, self.folder, self.kind = folder / f"{name}.img", folder / name, kind
        self.folder.mkdir(parents=True)
        with self.image.open("wb") as made:
            made.truncate(IMAGE_BYTES)
        run(*MAKERS[kind], self.image)
        self.mount()

    def mount(self):
        run("mount", "-o", "loop", self.image, self.folder)

    def unmount(self):
        run("umount", self.folder)

    def after_cut(self):
        """What the machine finds when its power is back."""
        self.unmount()
        self.mount()

    def remove(self):
        self.unmount()
        self.image.unlink()


@functools.cache
def machine_start():
    """The file behind the number by which programs know that the machine started anew; one for the mount namespace."""
    handle, name = tempfile.mkstemp(prefix="tancho-machine-start-")
    os.close(handle)
    atexit.register(os.unlink, name)
    run("mount", "--bind", name, MACHINE_START)
    return Path(name)


def start_machine():
    """What every program on this machine sees from now on is another start of it."""
    with STARTING:
        number = machine_start()
    number.write_text(f"{uuid.uuid4()}\n")
