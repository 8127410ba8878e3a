"""A small study made here, and the modality that sends it and remembers what it was told."""

import hashlib
import random
import sys
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, _config

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness/peers"))
from send import Instance, keep_answers  # noqa: E402

_config.STORE_SEND_CHUNKED_DATASET = True

N_INSTANCES = 3
# Several ranges on the line for each instance: noise does not get much smaller.
MATRIX = 192


class Study:
    """Files with fresh UIDs that follow from `seed` and `name` alone, below `folder`."""

    def __init__(self, folder, seed, name):
        self.folder = Path(folder) / name
        self.folder.mkdir(parents=True)
        chance = random.Random(f"{seed}/{name}")
        self.uid = uid(chance)
        series, self.patient_id = uid(chance), f"SWEEP{chance.randrange(10**9):09}"
        self.files, self.digests = [], {}
        for number in range(1, N_INSTANCES + 1):
            path = self.folder / f"{number}.dcm"
            write_instance(path, chance, self.uid, series, self.patient_id, number)
            instance = Instance(path)
            self.files.append(path)
            self.digests[instance.sop_instance_uid] = hashlib.sha256(instance.data_set()).hexdigest()
        self.instance_uids = list(self.digests)


def uid(chance):
    return f"2.25.{chance.randrange(10**30, 10**31)}"


def write_instance(path, chance, study, series, patient, number):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = uid(chance)
    image = Dataset()
    image.file_meta = meta
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = study, series
    image.StudyDate, image.StudyTime, image.Modality = "20240506", "070809", "CT"
    image.PatientName, image.PatientID = "SWEEP^TEST", patient
    image.PatientBirthDate, image.PatientSex = "19500102", "F"
    image.SeriesNumber, image.InstanceNumber = 1, number
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [1, 1], 1
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows = image.Columns = MATRIX
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.RescaleIntercept, image.RescaleSlope = -1024, 1
    image.PixelData = b"".join(
        (chance.getrandbits(10) + (at // MATRIX)).to_bytes(2, "little") for at in range(MATRIX * MATRIX))
    pydicom.dcmwrite(path, image, enforce_file_format=True)


def send(address, study):
    """Sends every file over one association and gives the UIDs that were answered with success.

    The agent may be gone at any moment; what was not answered is not acknowledged.
    """
    ae = AE(ae_title="CT01")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(*address, ae_title="TANCHO_STAT")
    acknowledged = []
    if not association.is_established:
        return acknowledged
    keep_answers(association)
    for path, instance_uid in zip(study.files, study.instance_uids):
        try:
            answer = association.send_c_store(path)
        except (RuntimeError, ValueError, OSError):
            break
        if answer.get("Status") != 0:
            break
        acknowledged.append(instance_uid)
    if association.is_established:
        association.release()
    return acknowledged
