"""A modality that asks for storage commitment: commitment.py HOST PORT CALLED REPORT_PORT INSTANCE [INSTANCE ...]

Asks for it of CT images with these SOP Instance UIDs, waits for the report on its own port, and prints it as one JSON
object: {"status": ..., "event_type": ..., "committed": [...], "failed": {...}}.
"""

import json
import sys
import threading

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
PATIENCE = 60


def main():
    host, port, called, report_port, *instances = sys.argv[1:]
    transaction = generate_uid()
    reported = threading.Event()
    report = {}

    def take(event):
        information = event.event_information
        if information.TransactionUID != transaction:
            return 0x0110, None
        committed = getattr(information, "ReferencedSOPSequence", [])
        failed = getattr(information, "FailedSOPSequence", [])
        report["event_type"] = event.event_type
        report["committed"] = sorted(item.ReferencedSOPInstanceUID for item in committed)
        report["failed"] = {item.ReferencedSOPInstanceUID: item.FailureReason for item in failed}
        reported.set()
        return 0x0000, None

    ae = AE(ae_title="CT01")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", int(report_port)), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)])
    asking = AE(ae_title="CT01")
    asking.add_requested_context(StorageCommitmentPushModel)
    association = asking.associate(host, int(port), ae_title=called)
    if not association.is_established or not association.accepted_contexts:
        print(json.dumps({"status": None}))
        return
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = []
    for instance in instances:
        item = Dataset()
        item.ReferencedSOPClassUID = CT_IMAGE_STORAGE
        item.ReferencedSOPInstanceUID = instance
        request.ReferencedSOPSequence.append(item)
    status, _ = association.send_n_action(
        request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    association.release()
    report["status"] = status.Status if "Status" in status else None
    if report["status"] == 0:
        reported.wait(PATIENCE)
    print(json.dumps(report))
    server.shutdown()


main()
