"""The real programs on this machine: a relay with an enrolled agent, started plainly or under the tracer."""

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from wait import wait_until

# Set for the life of a traced program alone.
CRASH_POINT = "TANCHO_CRASH_POINT"
REACHED = 99


def free_port():
    """A port for both TCP and UDP below the range that the system hands out by itself."""
    while True:
        port = random.randrange(12_000, 30_000)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Program:
    """One of our programs with its data folder; at most one process of it runs."""

    def __init__(self, path, tracer, data_dir, log, environment, ready):
        self.path, self.tracer, self.data_dir, self.ready_url = Path(path), tracer, Path(data_dir), ready
        self.environment = os.environ | environment
        self.log = open(log, "a")
        self.process, self.traced = None, False

    def start(self):
        """Starts it plainly and waits until it is ready."""
        self.begin([])
        wait_until(self.is_ready, f"{self.path.name} is ready (its log: {self.log.name})")

    def start_traced(self, calls, at=None, mounts=(), folders=()):
        """Starts it under the tracer, which writes `calls`; waits until it is ready or gone.

        `at` is `kind:k`, or `point:name:n` for a point that the program knows by name.
        """
        environment, tracing = {}, ["-l", calls]
        if at and at.startswith("point:"):
            environment[CRASH_POINT] = at.removeprefix("point:")
        elif at:
            tracing += ["-a", at]
        for folder in (self.data_dir, *folders):
            tracing += ["-b", f"{folder}/"]
        for mount in mounts:
            tracing += ["-c", mount]
        self.begin([self.tracer, *tracing, "--"], environment)
        wait_until(lambda: self.is_gone() or self.is_ready(), f"{self.path.name} is ready or gone")

    def begin(self, before, environment=None):
        command = [*before, self.path, "serve", "--data-dir", self.data_dir]
        self.traced = bool(before)
        self.process = subprocess.Popen(
            list(map(str, command)), env=self.environment | (environment or {}), stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log)

    def is_gone(self):
        return self.process is None or self.process.poll() is not None

    def is_ready(self):
        if self.is_gone():
            if self.traced:
                return False
            raise RuntimeError(f"{self.path.name} ended with {self.process.returncode} (its log: {self.log.name})")
        try:
            with urllib.request.urlopen(self.ready_url, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def end(self):
        """Ends it without warning; gives whether the tracer, or a named point, had ended it before."""
        if self.process is None:
            return False
        if self.process.poll() is None:
            # The tracer takes its program along; an untraced one gets the signal of a power cut.
            self.process.send_signal(signal.SIGTERM if self.traced else signal.SIGKILL)
        code = self.process.wait()
        self.process = None
        return code in (REACHED, 128 + signal.SIGABRT)

    def command(self, *arguments):
        command = [self.path, *arguments, "--data-dir", self.data_dir]
        done = subprocess.run(list(map(str, command)), env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{self.path.name} {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout


class Relay(Program):
    def __init__(self, programs, tracer, data_dir, log, environment=None):
        self.http, self.quic = free_port(), free_port()
        self.token = None
        listen = {"TANCHO_HTTP__LISTEN": f"127.0.0.1:{self.http}", "TANCHO_QUIC__LISTEN": f"127.0.0.1:{self.quic}"}
        super().__init__(Path(programs) / "tancho-relay", tracer, data_dir, log, listen | (environment or {}),
                         f"http://127.0.0.1:{self.http}/readyz")

    def set_up(self):
        """A site that sends and reads, and a token of somebody who may see everything there."""
        self.command("site", "add", "--code", "SWEEP", "--name", "SWEEP", "--kind", "both", "--phone", "0154-00-0000")
        user = ["user", "add", "--login", "sweep", "--name", "Sweep", "--role", "reader", "--site", "SWEEP",
                "--password-stdin", "--data-dir", self.data_dir]
        subprocess.run([str(self.path), *map(str, user)], env=self.environment, check=True, capture_output=True,
                       input="correct horse battery staple sweeps\n", text=True)
        self.token = json.loads(self.command("token", "create", "--login", "sweep", "--json"))["token"]

    def get(self, path, question=None):
        """What the API or DICOMweb answers, a question going in the body; none while the relay is away, or when it has
        nothing."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json, application/dicom+json"}
        if question is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", headers=headers,
                                         data=None if question is None else json.dumps(question).encode())
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as refusal:
            if refusal.code == 404:
                return None
            raise RuntimeError(f"{path}: {refusal.code} {refusal.read().decode()}") from None
        except OSError:
            return None

    def instances(self, study):
        """SOP Instance UIDs that the relay shows as whole."""
        found = self.get(f"/dicom-web/studies/{study.uid}/instances") or []
        return [instance["00080018"]["Value"][0] for instance in found]

    def arrival(self, study):
        """What the worklist says of a study, from its automatic reading request; none before there is one."""
        question = {"state": "all", "q": study.patient_id}
        found = (self.get("/api/v1/reading-requests/search", question) or {}).get("items", [])
        return next((item["arrival"] for item in found if item["study"]["study_instance_uid"] == study.uid), None)

    def exported_sha256(self, instance_uid, scratch):
        """SHA-256 of the original data set that the relay gives back."""
        out = Path(scratch) / "exported"
        self.command("export", "--sop-instance-uid", instance_uid, "--out", out)
        return hashlib.sha256(out.read_bytes()).hexdigest()


class Agent(Program):
    def __init__(self, programs, tracer, data_dir, log, environment=None):
        dimse, page = free_port(), free_port()
        self.dimse = ("127.0.0.1", dimse)
        quick = {"TANCHO_SPOOL__QUIET_STAT_MS": "300", "TANCHO_SPOOL__QUIET_MS": "300"}
        listen = {"TANCHO_DIMSE__LISTEN": f"127.0.0.1:{dimse}", "TANCHO_PAGE__LISTEN": f"127.0.0.1:{page}"}
        super().__init__(Path(programs) / "tancho-agent", tracer, data_dir, log, listen | quick | (environment or {}),
                         f"http://127.0.0.1:{page}/readyz")

    def enrol(self, relay):
        code = json.loads(relay.command("node", "invite", "--site", "SWEEP", "--json"))["code"]
        self.command("enroll", "--relay", f"127.0.0.1:{relay.quic}", "--code", code)

    def status(self):
        return json.loads(self.command("status", "--json"))
