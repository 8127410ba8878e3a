"""What is sent: given folders, generated heads, copies of a study under other UIDs, and one object of 2 GiB."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pydicom

# The studies of the part `lines`.
INPUTS = "ct ct100 generated100 mr"
# A study of thin slices, as a scanner of today makes of a head.
THIN_SLICES = 100
THIN_SLICE_MM = 1.25
# Slices of the study that an agent has sent before, so that it knows its line.
EARLIER_SLICES = 12
# Of each study of the routine load.
SLICES_OF_ROUTINE = 40
MULTI_FRAME_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"
MATRIX_BYTES = 512 * 512 * 2


@dataclass(frozen=True)
class Study:
    """Images in a folder that are sent together."""

    key: str
    name: str
    folder: Path

    @property
    def files(self):
        return dicom_files(self.folder)

    @property
    def n_bytes(self):
        return sum(file.stat().st_size for file in self.files)


def dicom_files(folder):
    """The images of a folder, by name; files without the DICOM prefix are left out."""
    def is_dicom(path):
        with path.open("rb") as opened:
            opened.seek(128)
            return opened.read(4) == b"DICM"
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)]


def phantom(bench, seed, slices):
    """The generated head CT in a folder of its own."""
    target = bench.folder / f"phantom-{seed}"
    if not target.exists():
        subprocess.run([bench.programs / "tancho-phantom", target, "--seed", seed, "--slices", str(slices)], check=True,
                       capture_output=True)
    return target


def data_set(file):
    """The bytes after group 0002 of a Part 10 file (PS3.10 7.1), which is always explicit little endian."""
    whole = file.read_bytes()
    at = 132
    while whole[at:at + 2] == b"\x02\x00":
        if whole[at + 4:at + 6] in (b"OB", b"UN", b"SQ"):
            at += 12 + int.from_bytes(whole[at + 8:at + 12], "little")
        else:
            at += 8 + int.from_bytes(whole[at + 6:at + 8], "little")
    return whole[at:]


def uids(file):
    """Study, series and SOP Instance UID."""
    header = pydicom.dcmread(file, stop_before_pixels=True)
    return header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID


def copies(folder, target, n):
    """The n-th copy of a study as another one: every UID changed to one of the same length, nothing else."""
    target.mkdir(parents=True, exist_ok=True)
    for file in dicom_files(folder):
        whole = file.read_bytes()
        for uid in uids(file):
            whole = whole.replace(uid.encode(), changed(uid, n).encode())
        (target / file.name).write_bytes(whole)
    return target


def thin_slices(folder, target, n_slices):
    """A study of one series out of the slices in `folder` in turn: what each image is coded to stays, only UIDs, number
    and position differ."""
    target.mkdir(parents=True, exist_ok=True)
    files = dicom_files(folder)

    def other(uid, n=0):
        return pydicom.uid.generate_uid(entropy_srcs=[uid, str(n)])

    study, series, _ = uids(files[0])
    for n in range(n_slices):
        image = pydicom.dcmread(files[n % len(files)])
        image.StudyInstanceUID, image.SeriesInstanceUID = other(study), other(series)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = other(image.SOPInstanceUID, n)
        image.InstanceNumber = n + 1
        x, y, _ = image.ImagePositionPatient
        image.ImagePositionPatient, image.SliceLocation = [x, y, n * THIN_SLICE_MM], n * THIN_SLICE_MM
        image.save_as(target / f"{n + 1:03}.dcm", enforce_file_format=True)
    return target


def changed(uid, n):
    """The same for the same n, another for another: digits of the longest component are turned, the first one stays."""
    parts = uid.split(".")
    longest = max(range(2, len(parts)), key=lambda idx: len(parts[idx]))
    digits = list(parts[longest])
    for place in range(1, min(len(digits), 5)):
        digits[place] = str((int(digits[place]) + n // 10 ** (place - 1)) % 10)
    parts[longest] = "".join(digits)
    return ".".join(parts)


def multi_frame(folder, target, n_frames):
    """One object of `n_frames` frames out of the slices in `folder`, written frame by frame."""
    slices = [pydicom.dcmread(file) for file in dicom_files(folder)]
    whole = slices[0].copy()
    frames = [one.PixelData for one in slices]
    del whole.PixelData
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = MULTI_FRAME_SECONDARY_CAPTURE
    whole.SOPInstanceUID = whole.file_meta.MediaStorageSOPInstanceUID = changed(whole.SOPInstanceUID, 1)
    whole.StudyInstanceUID = changed(whole.StudyInstanceUID, 1)
    whole.NumberOfFrames = n_frames
    target.mkdir(parents=True)
    file = target / "frames.dcm"
    whole.save_as(file, enforce_file_format=True)
    with file.open("ab") as opened:
        opened.write(b"\xe0\x7f\x10\x00OW\x00\x00" + (n_frames * MATRIX_BYTES).to_bytes(4, "little"))
        for n in range(n_frames):
            opened.write(frames[n % len(frames)])
    return file


def removed(folder):
    """Gives the disk back before the next part."""
    shutil.rmtree(folder, ignore_errors=True)
