"""A DICOMweb client: web.py URL TOKEN FILE...

Stores the files by STOW-RS, finds them by QIDO-RS and retrieves them by WADO-RS in every form, and compares what comes
back with the files, read by pydicom. The files are one series of one study, in Explicit VR Little Endian. Ends with exit
code 1 at the first difference.
"""

import io
import sys

import numpy
import PIL.Image
import pydicom
from dicomweb_client.api import DICOMwebClient
from requests import HTTPError

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def same(one, other, what):
    if one != other:
        raise AssertionError(f"{what}: {str(one)[:200]} is not {str(other)[:200]}")


def elements(data_set):
    """The DICOM JSON model without what every program writes in its own way."""
    model = data_set.to_json_dict(bulk_data_threshold=10**9, bulk_data_element_handler=None)
    own = ("00080005", "7FE00010", "FFFCFFFC")
    return {tag: value for tag, value in model.items() if tag not in own and not tag.endswith("0000")}


def window(data_set, center, width):
    """Greys by PS3.3 section C.11.2.1.2.1, LINEAR."""
    values = data_set.pixel_array * float(data_set.RescaleSlope) + float(data_set.RescaleIntercept)
    greys = ((values - (center - 0.5)) / (width - 1) + 0.5).clip(0, 1) * 255
    return (greys + 0.5).astype("uint8")


def main():
    url, token, *paths = sys.argv[1:]
    client = DICOMwebClient(url=f"{url}/dicom-web", headers={"Authorization": f"Bearer {token}"})
    sent = {data_set.SOPInstanceUID: data_set for data_set in map(pydicom.dcmread, paths)}
    one = next(iter(sent.values()))
    study, series = one.StudyInstanceUID, one.SeriesInstanceUID

    for _ in range(2):
        answer = client.store_instances(list(sent.values()), study_instance_uid=study)
        same("FailedSOPSequence" in answer, False, "an instance was not stored")
        stored = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
        same(stored, set(sent), "stored instances")
    try:
        client.store_instances([one], study_instance_uid="2.25.1")
        raise AssertionError("an instance of another study was stored")
    except HTTPError as error:
        same(error.response.status_code, 409, "status of a refused instance")

    name = str(one.PatientName)
    for filters in (
        {"PatientID": one.PatientID},
        {"PatientName": name.split("=")[0].lower()},
        {"StudyDate": f"{one.StudyDate}-{one.StudyDate}", "ModalitiesInStudy": "CT"},
        {"StudyInstanceUID": study},
        {"SeriesInstanceUID": series},
    ):
        found = client.search_for_studies(search_filters=filters, fields=["Manufacturer"])
        same([item["0020000D"]["Value"][0] for item in found], [study], f"studies by {filters}")
        same(found[0]["00201208"]["Value"], [len(sent)], "instances of the study")
    found = client.search_for_studies(fuzzymatching=True, search_filters={"PatientName": name.split("^")[0]})
    same([item["0020000D"]["Value"][0] for item in found], [study], "studies by a part of the name")
    same(client.search_for_studies(search_filters={"PatientID": "nobody"}), [], "studies of nobody")
    found = client.search_for_series(study, search_filters={"Modality": "CT"})
    same([item["0020000E"]["Value"][0] for item in found], [series], "series")
    found = client.search_for_instances(study, series, limit=1, get_remaining=True)
    same({item["00080018"]["Value"][0] for item in found}, set(sent), "instances, page by page")

    models = client.retrieve_series_metadata(study, series)
    same(len(models), len(sent), "models of the series")
    for model in models:
        original = sent[model["00080018"]["Value"][0]]
        read = pydicom.Dataset.from_json(
            {tag: value for tag, value in model.items() if "BulkDataURI" not in value}
        )
        same(elements(read), elements(original), "metadata")
        pixels = client.retrieve_bulkdata(f"{url}{model['7FE00010']['BulkDataURI']}")
        same(pixels, [original.PixelData], "bulk data")

    for uid, original in sent.items():
        for media in (None, (("application/dicom", EXPLICIT_LITTLE_ENDIAN),)):
            read = client.retrieve_instance(study, series, uid, media_types=media)
            same(read.file_meta.TransferSyntaxUID, EXPLICIT_LITTLE_ENDIAN, "transfer syntax")
            same(elements(read), elements(original), "an instance")
            same(read.PixelData, original.PixelData, "pixel data of an instance")
        media = (("application/octet-stream", EXPLICIT_LITTLE_ENDIAN),)
        frames = client.retrieve_instance_frames(study, series, uid, [1], media_types=media)
        same(frames, [original.PixelData], "a frame")
        picture = client.retrieve_instance_rendered(
            study, series, uid, media_types=("image/png",), params={"window": "40,80,linear"}
        )
        shown = numpy.array(PIL.Image.open(io.BytesIO(picture))).astype(int)
        expected = window(original, 40, 80).astype(int)
        same(shown.shape, expected.shape, "size of a picture")
        same(bool((abs(shown - expected) <= 1).all()), True, "greys of a picture")
    same(len(list(client.iter_series(study, series))), len(sent), "files of the series")
    print(f"{len(sent)} instances stored, found and retrieved")


if __name__ == "__main__":
    main()
