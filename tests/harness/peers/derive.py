"""Research software: derive.py URL TOKEN STUDY

Retrieves a study by WADO-RS and makes of it, with highdicom, a segmentation of what is brighter than blood and a report
that measures it, stores both by STOW-RS and reads them back. Prints what it made as one JSON array of objects with
sop_instance_uid and sha256, the digest of the data set as it was sent.
"""

import hashlib
import io
import json
import sys

import highdicom
import numpy
import pydicom
from dicomweb_client.api import DICOMwebClient
from highdicom.sr.coding import CodedConcept
from pydicom.sr.codedict import codes

# Hounsfield units: above blood, as bone is.
BRIGHT = 300


def data_set_of(instance):
    """The bytes behind group 0002, as every Part 10 file of this instance has them."""
    file = io.BytesIO()
    pydicom.dcmwrite(file, instance, enforce_file_format=True)
    file = file.getvalue()
    return file[144 + int.from_bytes(file[140:144], "little") :]


def segmentation(images):
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="threshold", version="1", family=codes.DCM.ArtificialIntelligence
    )
    bone = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="明るい組織",
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Bone,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
    values = [
        image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept) for image in images
    ]
    return highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=numpy.stack(values) > BRIGHT,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[bone],
        series_instance_uid=highdicom.UID(),
        series_number=90,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Tancho tests",
        manufacturer_model_name="derive.py",
        software_versions="1",
        device_serial_number="1",
        series_description="しきい値",
    )


def report(images, made):
    observer = highdicom.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=highdicom.sr.DeviceObserverIdentifyingAttributes(
            uid=highdicom.UID(), name="derive.py"
        ),
    )
    voxel = float(images[0].SliceThickness) * float(numpy.prod(images[0].PixelSpacing))
    volume = float(numpy.count_nonzero(made.pixel_array)) * voxel
    measured = highdicom.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=highdicom.sr.TrackingIdentifier(uid=highdicom.UID(), identifier="bright"),
        referenced_segment=highdicom.sr.ReferencedSegment(
            sop_class_uid=made.SOPClassUID,
            sop_instance_uid=made.SOPInstanceUID,
            segment_number=1,
            source_images=[highdicom.sr.SourceImageForSegmentation.from_source_image(image) for image in images],
        ),
        finding_type=codes.SCT.Bone,
        measurements=[
            highdicom.sr.Measurement(name=codes.SCT.Volume, value=round(volume, 2), unit=codes.UCUM.CubicMillimeter)
        ],
    )
    content = highdicom.sr.MeasurementReport(
        observation_context=highdicom.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=CodedConcept("CTHD", "99TANCHO", "CT of head"),
        imaging_measurements=[measured],
    )
    return highdicom.sr.ComprehensiveSR(
        evidence=[*images, made],
        content=content[0],
        series_instance_uid=highdicom.UID(),
        series_number=91,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Tancho tests",
    )


def main():
    url, token, study = sys.argv[1:]
    client = DICOMwebClient(url=f"{url}/dicom-web", headers={"Authorization": f"Bearer {token}"})
    images = sorted(client.iter_study(study), key=lambda image: float(image.ImagePositionPatient[2]))
    for image in images:
        # Required of an image, if only empty; scanners leave it out, and highdicom insists.
        image.setdefault("ReferringPhysicianName", "")
    seg = segmentation(images)
    made = [seg, report(images, seg)]
    answer = client.store_instances(made, study_instance_uid=study)
    stored = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
    if stored != {instance.SOPInstanceUID for instance in made} or "FailedSOPSequence" in answer:
        raise AssertionError(f"not everything was stored: {answer}")
    told = []
    for instance in made:
        uid, series = instance.SOPInstanceUID, instance.SeriesInstanceUID
        sent = data_set_of(instance)
        back = client.retrieve_instance(study, series, uid)
        if data_set_of(back) != sent:
            raise AssertionError(f"{instance.Modality} came back changed")
        model = client.retrieve_instance_metadata(study, series, uid)
        read = pydicom.Dataset.from_json(model, lambda tag, vr, uri: None)
        if read.PatientName != instance.PatientName or read.SeriesNumber != instance.SeriesNumber:
            raise AssertionError(f"metadata of {instance.Modality}")
        told.append({"sop_instance_uid": uid, "sha256": hashlib.sha256(sent).hexdigest()})
    again = highdicom.seg.segread(io.BytesIO(file_of(client.retrieve_instance(study, seg.SeriesInstanceUID, seg.SOPInstanceUID))))
    if not (again.pixel_array == seg.pixel_array).all():
        raise AssertionError("the segments came back changed")
    print(json.dumps(told))


def file_of(instance):
    file = io.BytesIO()
    pydicom.dcmwrite(file, instance, enforce_file_format=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
