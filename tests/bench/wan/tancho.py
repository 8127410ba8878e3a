"""Our own programs over a line: one relay, one enrolled agent, `tancho-agent send --wait --json`."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from link import RELAY
from wait import wait_until


class Tancho:
    """A relay and an agent on fresh folders at the two ends of a link."""

    def __init__(self, link, programs, folder):
        self.link, self.programs, self.folder = link, Path(programs), Path(folder)
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

    def start_agent(self):
        self.agent_process = self.link.start(
            "client", self.agent, "serve", "--data-dir", self.agent_dir, log=self.folder / "agent.log")
        wait_until(lambda: self.state() == "connected", "the agent is connected")

    def relay(self, *arguments):
        command = [self.programs / "tancho-relay", *arguments, "--data-dir", self.relay_dir]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def state(self):
        status = subprocess.run([self.agent, "status", "--json", "--data-dir", self.agent_dir],
                                capture_output=True, text=True)
        return json.loads(status.stdout)["link"]["state"] if status.returncode == 0 else None

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.link.running.remove(process)

    def peak_mib(self):
        """Peak resident memory of agent and relay, MiB."""
        return tuple(peak_mib(process.pid) for process in (self.agent_process, self.relay_process))

    def send(self, study, priority="stat", beside=None):
        """Sends and waits until all is durable; gives (event, seconds, fields) as printed, and how long it took."""
        command = [self.agent, "send", study, "--priority", priority, "--wait", "--json",
                   "--data-dir", self.agent_dir]
        begun = time.monotonic()
        sending = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if beside:
            beside()
        printed, said = sending.communicate()
        seconds = time.monotonic() - begun
        if sending.returncode:
            raise RuntimeError(f"send failed: {said.strip()}")
        return [json.loads(line) for line in printed.splitlines()], seconds


def peak_mib(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
