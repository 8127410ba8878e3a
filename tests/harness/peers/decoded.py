"""Decoded objects over the web: decoded.py URL TOKEN FILE...

Stores each file by STOW-RS and has it decoded by the relay: as an object in Explicit VR Little Endian, frame by frame, and
as a picture. Samples, and what the header says of them, are compared with what pydicom makes of the file with the decoder
that is named below for its transfer syntax. Prints how many it compared, and ends with exit code 1 when one differs.
"""

import io
import sys

import numpy
import PIL.Image
import pydicom
import requests
from pydicom.pixels import get_decoder

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4."
# The decoder, and by how much a sample may differ: the transform of JPEG is not defined to the last bit.
ORACLES = {
    "1.2.840.10008.1.2.5": ("pydicom", 0),
    JPEG + "50": ("gdcm", 0),
    JPEG + "51": ("pylibjpeg", 2),
    JPEG + "57": ("gdcm", 0),
    JPEG + "70": ("gdcm", 0),
    JPEG + "80": ("pyjpegls", 0),
    JPEG + "81": ("pyjpegls", 0),
    JPEG + "90": ("pylibjpeg", 0),
    JPEG + "91": ("pylibjpeg", 0),
    JPEG + "201": ("pylibjpeg", 0),
    JPEG + "202": ("pylibjpeg", 0),
    JPEG + "203": ("pylibjpeg", 0),
}
LOSSY = {JPEG + "50", JPEG + "51"}


def same(one, other, what):
    if one != other:
        raise AssertionError(f"{what}: {str(one)[:200]} is not {str(other)[:200]}")


def close(one, other, tolerance, what):
    same(one.shape, other.shape, f"shape of {what}")
    off = int(numpy.abs(one.astype("int64") - other.astype("int64")).max())
    if off > tolerance:
        raise AssertionError(f"{what}: samples are off by {off}")


def ask(session, url, accept):
    answer = session.get(url, headers={"Accept": accept}, timeout=120)
    if answer.status_code != 200:
        raise AssertionError(f"{answer.status_code} {answer.text[:300]}")
    return answer.content


def compare(session, base, path):
    sent = pydicom.dcmread(path)
    syntax = str(sent.file_meta.TransferSyntaxUID)
    plugin, tolerance = ORACLES[syntax]
    with open(path, "rb") as file:
        part = b"--edge\r\nContent-Type: application/dicom\r\n\r\n" + file.read() + b"\r\n--edge--\r\n"
    stored = session.post(
        f"{base}/studies",
        data=part,
        headers={
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=edge',
            "Accept": "application/dicom+json",
        },
        timeout=120,
    )
    same(stored.status_code, 200, f"storing {stored.text[:300]}")

    instance = (
        f"{base}/studies/{sent.StudyInstanceUID}/series/{sent.SeriesInstanceUID}"
        f"/instances/{sent.SOPInstanceUID}"
    )
    expected, meta = get_decoder(syntax).as_array(sent, raw=True, decoding_plugin=plugin)
    file = ask(session, instance, f"application/dicom; transfer-syntax={EXPLICIT_LITTLE_ENDIAN}")
    given = pydicom.dcmread(io.BytesIO(file))
    same(str(given.file_meta.TransferSyntaxUID), EXPLICIT_LITTLE_ENDIAN, "transfer syntax")
    decoded, _ = get_decoder(EXPLICIT_LITTLE_ENDIAN).as_array(given, raw=True)
    close(decoded, expected, tolerance, "the object")
    # Others leave the name of halved colours as it was when they have doubled them.
    stated = meta["photometric_interpretation"].replace("_422", "")
    same(given.PhotometricInterpretation, stated, "photometric interpretation")
    if sent.SamplesPerPixel > 1:
        same(given.PlanarConfiguration, 0, "planar configuration")
    for key in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        same(given[key].value, sent[key].value, key)
    if syntax in LOSSY or sent.get("LossyImageCompression") == "01":
        same(given.get("LossyImageCompression"), "01", "lossy image compression")

    n_frames = int(sent.get("NumberOfFrames") or 1)
    frames = expected if n_frames > 1 else expected[numpy.newaxis]
    for number in {1, n_frames}:
        content = ask(session, f"{instance}/frames/{number}", "application/octet-stream")
        frame = numpy.frombuffer(content, dtype=expected.dtype.newbyteorder("<")).reshape(frames[0].shape)
        close(frame, frames[number - 1], tolerance, f"frame {number}")
    if sent.PhotometricInterpretation != "PALETTE COLOR":
        picture = PIL.Image.open(io.BytesIO(ask(session, f"{instance}/frames/{n_frames}/rendered", "image/png")))
        same(picture.size, (sent.Columns, sent.Rows), "size of the picture")
        same(picture.mode, "RGB" if sent.SamplesPerPixel == 3 else "L", "colours of the picture")
        PIL.Image.open(io.BytesIO(ask(session, f"{instance}/thumbnail", "image/jpeg"))).load()


def main():
    url, token, *paths = sys.argv[1:]
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    failed = 0
    for path in paths:
        try:
            compare(session, f"{url}/dicom-web", path)
        except Exception as error:
            failed += 1
            print(f"{path}: {error}", file=sys.stderr)
    print(f"{len(paths) - failed} of {len(paths)} are as pydicom decodes them")
    sys.exit(1 if failed else 0)


main()
