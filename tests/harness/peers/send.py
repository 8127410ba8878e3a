"""A modality: sends DICOM files by C-STORE exactly as they are on disk.

One JSON object a line says what became of each file, as soon as it is known:
  {"path": ..., "sop_instance_uid": ..., "status": 0}        status is null when no answer came
The exit code is 0 only when every file was answered with success.

With --raw the data set is whatever follows the file meta group, however broken, and the request names the UIDs of the
meta group or, if there are none, made-up ones: the way a faulty modality would send it.
"""

import argparse
import io
import json
import pathlib
import queue
import struct
import sys
import threading

from pydicom.uid import UID, generate_uid
from pynetdicom import AE, _config
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

_config.STORE_SEND_CHUNKED_DATASET = True
_config.UNRESTRICTED_STORAGE_SERVICE = True

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


class Instance:
    """What a request has to name, read from group 0002 alone; the data set itself is not parsed."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            start = file.read(64 * 1024)
        self.sop_class_uid = None
        self.sop_instance_uid = None
        self.transfer_syntax = None
        self.offset = 0
        if start[128:132] == b"DICM":
            self.offset = 132
        while self.offset + 8 <= len(start):
            group, element = struct.unpack_from("<HH", start, self.offset)
            if group != 2:
                break
            vr = start[self.offset + 4 : self.offset + 6]
            if vr in (b"OB", b"OW", b"UN", b"SQ", b"UT"):
                (length,) = struct.unpack_from("<I", start, self.offset + 8)
                value = self.offset + 12
            else:
                (length,) = struct.unpack_from("<H", start, self.offset + 6)
                value = self.offset + 8
            if value + length > len(start):
                break
            text = start[value : value + length].rstrip(b"\0 ").decode("ascii", "replace")
            if element == 0x0002:
                self.sop_class_uid = text
            elif element == 0x0003:
                self.sop_instance_uid = text
            elif element == 0x0010:
                self.transfer_syntax = text
            self.offset = value + length

    def data_set(self):
        return pathlib.Path(self.path).read_bytes()[self.offset :]


OUTPUT = threading.Lock()


def report(instance, status):
    line = {"path": str(instance.path), "sop_instance_uid": instance.sop_instance_uid, "status": status}
    with OUTPUT:
        print(json.dumps(line), flush=True)
    return status == 0


def usable(text, default):
    return text if text and UID(text).is_valid else default


def send_raw(association, instance, message_id):
    request = C_STORE()
    request.MessageID = message_id
    request.Priority = 2
    request.AffectedSOPClassUID = usable(instance.sop_class_uid, CT_IMAGE_STORAGE)
    request.AffectedSOPInstanceUID = usable(instance.sop_instance_uid, generate_uid())
    request.DataSet = io.BytesIO(instance.data_set())
    wanted = usable(instance.transfer_syntax, EXPLICIT_LITTLE_ENDIAN)
    contexts = [c for c in association.accepted_contexts if c.abstract_syntax == request.AffectedSOPClassUID]
    contexts.sort(key=lambda c: c.transfer_syntax[0] != wanted)
    if not contexts:
        return None
    association.dimse.send_msg(request, contexts[0].context_id)
    if not request.DataSet.getbuffer():
        # The library announces a data set and then sends no fragment of it; we send an empty last one.
        nothing = P_DATA()
        nothing.presentation_data_value_list.append([contexts[0].context_id, b"\x02"])
        association.dul.send_pdu(nothing)
    _, response = association.dimse.get_msg(block=True)
    return None if response is None else response.Status


def open_association(options, instances):
    ae = AE(ae_title=options.calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = options.timeout
    wanted = {}
    for instance in instances:
        sop_class = usable(instance.sop_class_uid, CT_IMAGE_STORAGE)
        wanted.setdefault(sop_class, set()).add(usable(instance.transfer_syntax, EXPLICIT_LITTLE_ENDIAN))
    for sop_class, syntaxes in wanted.items():
        for syntax in sorted(syntaxes):
            ae.add_requested_context(sop_class, syntax)
    association = ae.associate(options.host, options.port, ae_title=options.called, max_pdu=options.max_pdu)
    keep_answers(association)
    return association


ESTABLISHED = "Sta6"  # PS3.8 table 9-10


def keep_answers(association):
    """Gives answers to the request that waits for them, and ends the wait when the connection is lost.

    The library's reactor thread says that it is paused a moment before it is, so on a busy machine it sometimes takes
    the answer off the queue, and the request waits in vain. We send and never serve: it has nothing to take.
    """
    messages = association.dimse.msg_queue

    def get_msg(block=False):
        if not block:
            return None, None
        for _ in range(int(association.dimse_timeout / 0.1)):
            try:
                return messages.get(timeout=0.1)
            except queue.Empty:
                if association.dul.state_machine.current_state != ESTABLISHED:
                    break
        return None, None

    association.dimse.get_msg = get_msg


def send(options, instances, failures):
    association = None
    for number, instance in enumerate(instances, 1):
        if association is None or not association.is_established:
            association = open_association(options, instances)
            if not association.is_established:
                failures.append(instance)
                report(instance, None)
                continue
        try:
            if options.raw:
                status = send_raw(association, instance, number)
            else:
                answer = association.send_c_store(instance.path)
                status = answer.Status if "Status" in answer else None
        except (ValueError, RuntimeError, AttributeError) as error:
            print(f"{instance.path}: {error}", file=sys.stderr)
            status = None
        if not report(instance, status):
            failures.append(instance)
    if association is not None and association.is_established:
        association.release()


def echo(options):
    ae = AE(ae_title=options.calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = options.timeout
    ae.add_requested_context("1.2.840.10008.1.1")
    association = ae.associate(options.host, options.port, ae_title=options.called)
    if not association.is_established:
        rejected = association.is_rejected
        print(json.dumps({"path": "", "sop_instance_uid": "rejected" if rejected else "aborted", "status": None}))
        return 1
    status = association.send_c_echo().get("Status")
    association.release()
    print(json.dumps({"path": "", "sop_instance_uid": None, "status": status}))
    return 0 if status == 0 else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--calling", default="CT01")
    parser.add_argument("--called", default="TANCHO")
    parser.add_argument("--associations", type=int, default=1)
    parser.add_argument("--max-pdu", type=int, default=131072)
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("paths", nargs="*")
    options = parser.parse_args()
    if options.echo:
        return echo(options)

    files = []
    for path in map(pathlib.Path, options.paths):
        files += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    instances = [Instance(path) for path in files]
    failures = []
    shares = [instances[n :: options.associations] for n in range(options.associations)]
    threads = [threading.Thread(target=send, args=(options, share, failures)) for share in shares if share]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
