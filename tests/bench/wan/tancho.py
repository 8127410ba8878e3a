"""Our own programs over a line: one relay, one enrolled agent, `tancho-agent send --json`."""

import hashlib
import json
import os
import sqlite3
import subprocess
import threading
from pathlib import Path

from inputs import data_set, uids
from link import RELAY
from wait import wait_until


class Tancho:
    """A relay and an agent on fresh folders at the two ends of a link."""

    def __init__(self, link, programs, folder, pinned=()):
        """`pinned` are words before the agent's command that bind it to processors."""
        self.link, self.programs, self.folder, self.pinned = link, Path(programs), Path(folder), pinned
        self.relay_dir, self.agent_dir = self.folder / "relay", self.folder / "agent"
        for made in (self.relay_dir, self.agent_dir):
            made.mkdir(parents=True)
        self.start_relay()
        self.relay("site", "add", "--code", "WAN", "--name", "WAN", "--kind", "both", "--phone", "0154-00-0000")
        code = json.loads(self.relay("node", "invite", "--site", "WAN", "--json"))["code"]
        enrol = link.command("client", self.agent, "enroll", "--relay", f"{RELAY}:4433", "--code", code,
                             "--data-dir", self.agent_dir)
        subprocess.run(enrol, check=True, capture_output=True)
        self.start_agent()

    @property
    def agent(self):
        return self.programs / "tancho-agent"

    def start_relay(self):
        environment = os.environ | {
            "TANCHO_HTTP__LISTEN": "127.0.0.1:8080", "TANCHO_QUIC__LISTEN": f"{RELAY}:4433",
        }
        self.relay_process = self.link.start(
            "relay", self.programs / "tancho-relay", "serve", "--data-dir", self.relay_dir,
            log=self.folder / "relay.log", env=environment)
        ready = self.link.command("relay", "curl", "-sf", "-m", "2", "http://127.0.0.1:8080/readyz")
        wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, "the relay is ready")

    def start_agent(self, state="connected"):
        self.agent_process = self.link.start(
            "client", *self.pinned, self.agent, "serve", "--data-dir", self.agent_dir, log=self.folder / "agent.log")
        wait_until(lambda: (self.status() or {"link": {"state": None}})["link"]["state"] == state,
                   f"the agent is {state}")

    def relay(self, *arguments):
        command = [self.programs / "tancho-relay", *arguments, "--data-dir", self.relay_dir]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def status(self):
        """What `tancho-agent status` says; none while no agent answers."""
        status = subprocess.run([self.agent, "status", "--json", "--data-dir", self.agent_dir],
                                capture_output=True, text=True)
        return json.loads(status.stdout) if status.returncode == 0 else None

    def has_sent(self, n_objects):
        """Whether the agent has the relay's receipt for so many objects and none waits."""
        status = self.status()
        return (status is not None and status["n_durable"] >= n_objects
                and status["n_waiting_coder"] + status["n_waiting_line"] == 0)

    def peak_mib(self):
        """Peak resident memory of agent and relay, MiB."""
        return tuple(peak_mib(process.pid) for process in (self.agent_process, self.relay_process))

    def send(self, study, priority="stat", beside=None):
        """Sends and waits until all is durable; gives the events as printed. `beside` runs meanwhile."""
        done, printed, said = self.sending([study], ["--priority", priority, "--wait", "--json"], beside)
        if done:
            raise RuntimeError(f"send failed: {said.strip()}")
        return [json.loads(line) for line in printed.splitlines()]

    def spool(self, folders, priority="routine"):
        """Hands folders to the agent without waiting for the line."""
        done, _, said = self.sending(folders, ["--priority", priority], None)
        if done:
            raise RuntimeError(f"send failed: {said.strip()}")

    def sending(self, paths, options, beside):
        """Exit code and both outputs of `tancho-agent send`."""
        command = [self.agent, "send", *paths, *options, "--data-dir", self.agent_dir]
        with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as process:
            other = threading.Thread(target=beside) if beside else None
            if other:
                other.start()
            printed, said = process.communicate()
            if other:
                other.join()
        return process.returncode, printed, said

    def proof(self, files):
        """What the relay holds after a fault: each object once, whole, and byte for byte what was sent."""
        store = sqlite3.connect(f"file:{self.relay_dir / 'tancho.sqlite'}?mode=ro", uri=True)
        rows = store.execute("select sop_instance_uid, state, relation from instances").fetchall()
        store.close()
        verified = json.loads(self.relay("blobs", "verify", "--json"))
        n_same = 0
        for file in files:
            out = self.folder / "exported"
            self.relay("export", "--sop-instance-uid", uids(file)[2], "--out", out)
            n_same += hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(data_set(file)).digest()
        return {
            "instances": len(rows), "distinct": len({row[0] for row in rows}),
            "verified": sum(row[1:] == ("verified", "first") for row in rows),
            "blobs": verified["n_intact"], "stray_blobs": verified["n_unreferenced"], "same_bytes": n_same,
        }


def at(events, name):
    """Seconds at which an event came."""
    return next((event["elapsed_ms"] / 1e3 for event in events if event["event"] == name), None)


def last(events):
    """The event that says that all is durable."""
    return next(event for event in events if event["event"] == "study_durable")


def steps(events, count):
    """(seconds, images) each time a count in the progress events grew."""
    points = []
    for event in events:
        n = event.get(count)
        if n and (not points or n > points[-1][1]):
            points.append((event["elapsed_ms"] / 1e3, n))
    return points


def peak_mib(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
