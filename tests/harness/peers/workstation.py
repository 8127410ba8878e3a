"""An old workstation: queries and retrieves by the study root model.

  workstation.py find HOST PORT LEVEL KEYWORD=VALUE ...      prints each match as one JSON object a line, then {"status": ...}
  workstation.py get HOST PORT FOLDER LEVEL KEYWORD=VALUE ...
  workstation.py move HOST PORT DESTINATION LEVEL KEYWORD=VALUE ...
With --cancel it cancels after the first answer. Text keys are written in ISO 2022 IR 87.
"""

import json
import pathlib
import sys

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind as FIND,
    StudyRootQueryRetrieveInformationModelGet as GET,
    StudyRootQueryRetrieveInformationModelMove as MOVE,
)


def identifier(level, keys):
    data_set = Dataset()
    data_set.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    data_set.QueryRetrieveLevel = level
    for key in keys:
        keyword, _, value = key.partition("=")
        setattr(data_set, keyword, value)
    return data_set


def shown(data_set):
    found = {}
    for element in data_set:
        if element.keyword:
            value = element.value
            found[element.keyword] = [str(one) for one in value] if element.VM > 1 else str(value)
    return found


def counts(status):
    wanted = ["Completed", "Failed", "Warning", "Remaining"]
    found = {name.lower(): getattr(status, f"NumberOf{name}Suboperations", None) for name in wanted}
    return {"status": getattr(status, "Status", None), **found}


def main():
    cancels = "--cancel" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--cancel"]
    act, host, port, *rest = arguments
    target = rest.pop(0) if act != "find" else None
    level, *keys = rest
    ae = AE(ae_title="WS1")
    handlers, roles = [], []
    model = {"find": FIND, "get": GET, "move": MOVE}[act]
    ae.add_requested_context(model)
    if act == "get":
        ae.add_requested_context(CTImageStorage)
        roles.append(build_role(CTImageStorage, scp_role=True))

        def take(event):
            data_set = event.dataset
            data_set.file_meta = FileMetaDataset(event.file_meta)
            path = pathlib.Path(target) / data_set.SOPInstanceUID
            dcmwrite(path, data_set, enforce_file_format=True)
            return 0x0000

        handlers.append((evt.EVT_C_STORE, take))
    association = ae.associate(host, int(port), ae_title="TANCHO", ext_neg=roles, evt_handlers=handlers)
    if not association.is_established or not any(c.abstract_syntax == model for c in association.accepted_contexts):
        print(json.dumps({"status": None}))
        return
    query = identifier(level, keys)
    message_id = 7
    if act == "find":
        answers = association.send_c_find(query, model, msg_id=message_id)
    elif act == "get":
        answers = association.send_c_get(query, model, msg_id=message_id)
    else:
        answers = association.send_c_move(query, target, model, msg_id=message_id)
    for status, answer in answers:
        if act == "find" and answer is not None:
            print(json.dumps(shown(answer)))
        elif status and status.Status not in (0xFF00, 0xFF01):
            failed = getattr(answer, "FailedSOPInstanceUIDList", None) if answer is not None else None
            print(json.dumps({**counts(status), "failed_instances": str(failed) if failed else None}))
        if cancels:
            association.send_c_cancel(message_id, query_model=model)
            cancels = False
    association.release()


main()
