"""A relay and its agent, one of them under test; how one point of a sweep is gone through; what must hold after it."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from disk import Disk, start_machine
from programs import Agent, Relay
from study import N_INSTANCES, Study, send
from wait import wait_until

# What `tancho-agent status` must say of a site where everything went well.
NOTHING_WRONG = ("n_refused", "n_held", "n_damaged", "n_quarantined")

LOG_LINES_SHOWN = 15


class Broken(Exception):
    """An invariant of faults that did not hold."""


class Network:
    """`subject` is `agent` or `relay`: the one that is ended. `disk` is the file system whose power is cut, or none."""

    def __init__(self, tools, subject, disk, seed):
        self.subject_name, self.disk_kind, self.seed = subject, disk, seed
        self.folder = Path(tempfile.mkdtemp(prefix="tancho-sweep-"))
        self.calls, self.disks, self.n_studies = self.folder / "calls", [], 0
        relay_dir, agent_dir = self.folder / "relay", self.folder / "agent"
        environment = {}
        if disk:
            start_machine()
            files, database = (Disk(self.folder, f"{name}-disk", disk) for name in ("files", "database"))
            self.disks = [files, database]
            # SQLite keeps its log beside the file that the link leads to.
            if subject == "relay":
                relay_dir = files.folder / "relay"
                environment = {"TANCHO_DATABASE__URL": f"sqlite:{database.folder}/tancho.sqlite"}
            else:
                agent_dir = files.folder / "agent"
        for made in (relay_dir, agent_dir):
            made.mkdir()
        if disk and subject == "agent":
            (agent_dir / "spool").mkdir()
            (agent_dir / "spool/index.sqlite3").symlink_to(self.disks[1].folder / "index.sqlite3")
        self.relay = Relay(tools.programs, tools.tracer, relay_dir, self.folder / "relay.log",
                           environment if subject == "relay" else {})
        self.relay.set_up()
        self.relay.start()
        self.agent = Agent(tools.programs, tools.tracer, agent_dir, self.folder / "agent.log")
        self.agent.enrol(self.relay)
        self.agent.start()
        self.subject = self.agent if subject == "agent" else self.relay

    def close(self):
        for program in (self.agent, self.relay):
            program.end()
        for disk in self.disks:
            disk.remove()
        shutil.rmtree(self.folder)

    def last_words(self):
        """The ends of both logs."""
        return "\n".join(f"  {program.path.name}: {line}" for program in (self.agent, self.relay)
                         for line in Path(program.log.name).read_text().splitlines()[-LOG_LINES_SHOWN:])

    def new_study(self):
        self.n_studies += 1
        return Study(self.folder, self.seed, f"study-{self.n_studies}")

    def count_calls(self):
        """How many calls of each kind the subject makes from its start until a study is whole at the relay."""
        self.run_until_ended(self.new_study(), None)
        self.restart()
        return Counter(line.split("\t")[0] for line in self.calls.read_text().splitlines())

    def go_through(self, at):
        """Ends the subject at a point and checks every invariant; gives the call that was hit, none if none was.

        Raises `Broken` or `TimeoutError` when one does not hold.
        """
        study = self.new_study()
        acknowledged, was_reached = self.run_until_ended(study, at)
        hit = self.calls.read_text().splitlines()[-1:] if was_reached else []
        self.restart()
        if self.subject is self.agent:
            # Before anything is sent again, which would hide a loss.
            self.check_acknowledged(study, acknowledged)
            acknowledged = send(self.agent.dimse, study)
        if len(acknowledged) != N_INSTANCES:
            raise Broken(f"a modality that sends again was told success {len(acknowledged)} times")
        self.check_whole(study)
        return hit[0].replace(str(self.folder), "") if hit else at if was_reached else None

    def run_until_ended(self, study, at):
        self.subject.end()
        mounts = [disk.folder for disk in self.disks]
        self.subject.start_traced(self.calls, at, mounts if at else [], mounts)
        acknowledged = [] if self.agent.is_gone() else send(self.agent.dimse, study)
        wait_until(lambda: self.subject.is_gone() or self.is_whole(study), "the point, or the study at the relay", 60)
        return acknowledged, self.subject.end()

    def restart(self):
        """What an operator would see: the machine starts again, and the program with it."""
        if self.disks:
            start_machine()
        for disk in self.disks:
            disk.after_cut()
        self.subject.start()

    def is_whole(self, study):
        arrival = self.relay.arrival(study)
        counts = [arrival[count] for count in ("announced", "received", "verified")] if arrival else []
        return bool(arrival and arrival["closed"]) and counts == [N_INSTANCES] * 3

    def check_acknowledged(self, study, acknowledged):
        for instance_uid in acknowledged:
            wait_until(lambda: instance_uid in self.relay.instances(study), "INV-1: an acknowledged instance")
            self.check_bytes(study, instance_uid)

    def check_whole(self, study):
        wait_until(lambda: self.is_whole(study), "INV-5: the study is complete")
        listed = self.relay.instances(study)
        if sorted(listed) != sorted(study.instance_uids):
            raise Broken(f"INV-6: {len(listed)} instances are listed, {N_INSTANCES} were sent")
        for instance_uid in listed:
            self.check_bytes(study, instance_uid)
        status = self.agent.status()
        wrong = {key: status[key] for key in NOTHING_WRONG if status[key]}
        if wrong:
            raise Broken(f"the agent reports {wrong}")

    def check_bytes(self, study, instance_uid):
        if self.relay.exported_sha256(instance_uid, self.folder) != study.digests[instance_uid]:
            raise Broken("INV-2: an instance came back with other bytes")

    def check_at_rest(self):
        """After all points: every stored container is what was stored, and the audit trail is unbroken."""
        self.relay.command("blobs", "verify")
        self.relay.command("audit", "verify")
