"""Compares metadata with Orthanc's: metadata.py URL TOKEN ORTHANC FOLDER...

Stores every DICOM file below the folders in both over the web, and compares the DICOM JSON model of each instance element
by element. Where the two differ, DIFFERENCES says what of it and why, and REFUSED which files Orthanc alone takes; anything
else is an error, and so is a reason that no longer holds for a file that is there. Prints how many instances were compared.

Folders of objects made to break readers are left out: Orthanc 1.10 itself ends at some of them.
"""

import fnmatch
import json
import pathlib
import sys
import uuid

import requests

# Files, tag, and why Orthanc's model is another one. In no case is ours the worse by the standard or by pydicom, which
# reads all of these as we do.
DIFFERENCES = [
    # (file, tag, reason)
    ("*/chrH32.dcm", "00100010", "code extensions after the first set, ISO 2022 IR 13, are not decoded"),
    ("*/j02_explicit_ir6.dcm", "*", "code extensions beside an explicit ISO 2022 IR 6 are not decoded"),
    ("*/j0[345]_ir13*.dcm", "*", "the separator of values is taken for the yen sign of JIS X 0201, and values are lost"),
    ("*/jp_head_j2k_pixelrep_mismatch.dcm", "*", "the separator of values is taken for the yen sign, and values are lost"),
    ("*/j20_sjis_no_charset.dcm", "*", "bytes that no declared set explains are guessed or dropped without a mark"),
    ("*/j21_sjis_as_ir13.dcm", "*", "the separator of values is taken for the yen sign, and values are lost"),
    ("*/j23_eucjp_as_ir87.dcm", "*", "bytes that no declared set explains are dropped without a mark"),
    ("*/j24_utf8_no_charset.dcm", "*", "bytes that no declared set explains are guessed without a mark"),
    ("*/j25_utf8_as_ir100.dcm", "*", "control bytes of ISO 8859-1 are not marked"),
    ("*/j26_no_return_escape.dcm", "00100010", "the separator of name components is lost where no escape returns to ASCII"),
    ("*/j27_ir87_without_first.dcm", "00100010", "the separator of name components is lost where no escape returns to ASCII"),
    ("*/j28_escape_undeclared.dcm", "*", "escape sequences that are not declared stay in the text"),
    ("*/j29_cp932_extension.dcm", "00100010", "the separator of name components is lost"),
    ("*/dx_j2k_1416x1420.dcm", "*", "bytes that no declared set explains are guessed without a mark"),
    ("*/cr_modality_lut_sequence.dcm", "20100010", "an ST has one value; a backslash in it is text (PS3.5 section 6.2)"),
    ("*/JPGLosslessP14SV1_1s_1f_8b.dcm", "00400260", "the second item is left out"),
    ("*/badVR.dcm", "00280008", "a number that is none is left out; ours shows what was sent"),
    ("*/NM-2/*", "*", "code extensions after ISO 2022 IR 13 are not decoded, and its backslash is taken for a yen sign"),
    ("*/NM-4/*", "*", "bytes that no declared set explains are guessed without a mark"),
    ("*/NM-5/*", "*", "control bytes of ISO 8859-1 are not marked"),
]

# Files that Orthanc takes and the relay does not: (file, reason).
REFUSED = [
    ("*/bad_sequence.dcm", "a sequence whose length leads beyond the object: what follows it cannot be known"),
]

# The same of every file: what an element is called that only one of the models has, and why.
PIXELS = ("7FE00001", "7FE00002", "7FE00008", "7FE00009", "7FE00010")


def is_explained_everywhere(tag, ours, theirs):
    # Encapsulated pixel data and its offset tables are left out of Orthanc's model.
    if tag in PIXELS and theirs is None:
        return True
    # In implicit encodings Orthanc knows the value representations of some makers' private elements; ours gives the bytes.
    if ours and theirs and ours["vr"] == "UN" and int(tag[:4], 16) % 2 == 1:
        return True
    # Where a long value can be had is each program's own.
    return bool(ours and theirs and ours["vr"] == theirs["vr"] and "BulkDataURI" in theirs and len(ours) == 2)


def normal(value):
    """What is empty in one way, fractions and whole numbers alike."""
    if isinstance(value, dict):
        kept = {key: normal(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (None, {})}
    if isinstance(value, list):
        values = [normal(inner) for inner in value]
        return values if any(inner is not None for inner in values) else None
    return None if value == "" else value


def compare(ours, theirs, place, found):
    for tag in sorted(ours.keys() | theirs.keys()):
        # JSON is UTF-8 whatever the object was in; group lengths and padding are not in the model.
        if tag.endswith("0000") or tag in ("FFFCFFFC", "00080005"):
            continue
        one, other = ours.get(tag), theirs.get(tag)
        if one and other and one["vr"] == other["vr"] == "SQ":
            items = [model.get("Value", []) for model in (one, other)]
            if len(items[0]) != len(items[1]):
                found.append((place, tag, f"{len(items[0])} / {len(items[1])} items"))
            for pair in zip(*items):
                compare(*pair, place, found)
        elif normal(one) != normal(other) and not is_explained_everywhere(tag, one, other):
            found.append((place, tag, f"{json.dumps(one)[:150]} / {json.dumps(other)[:150]}"))


def uid_of(answer):
    """SOP Instance UID of the one instance in an answer to storing."""
    return answer.json()["00081199"]["Value"][0]["00081155"]["Value"][0]


def main():
    url, token, orthanc, *folders = sys.argv[1:]
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    found, places, refused, seen = [], [], [], set()
    paths = [path for folder in folders for path in sorted(pathlib.Path(folder).rglob("*"))]
    for path in paths:
        if not path.is_file() or path.suffix in (".json", ".md"):
            continue
        edge, bytes_of_file = uuid.uuid4().hex, path.read_bytes()
        head = f"--{edge}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        answer = session.post(
            f"{url}/dicom-web/studies",
            data=head + bytes_of_file + f"\r\n--{edge}--\r\n".encode(),
            headers={"Content-Type": f'multipart/related; type="application/dicom"; boundary={edge}'},
        )
        stored = requests.post(f"{orthanc}/instances", data=bytes_of_file)
        # An instance that is here with other bytes is kept and not shown (202); Orthanc keeps the first one only.
        was_here = answer.status_code == 202 and uid_of(answer) in seen
        if stored.ok and answer.status_code != 200 and not was_here:
            refused.append((path.as_posix(), answer.status_code, answer.text[:150]))
        if answer.status_code != 200 or not stored.ok:
            continue
        reference = answer.json()["00081199"]["Value"][0]
        uid, address = uid_of(answer), reference["00081190"]["Value"][0]
        if uid in seen:
            continue
        seen.add(uid)
        (ours,) = session.get(f"{address if '://' in address else url + address}/metadata").json()
        study, series = ours["0020000D"]["Value"][0], ours["0020000E"]["Value"][0]
        theirs = requests.get(
            f"{orthanc}/dicom-web/studies/{study}/series/{series}/instances/{uid}/metadata"
        )
        theirs.raise_for_status()
        places.append(path.as_posix())
        compare(ours, theirs.json()[0], path.as_posix(), found)

    def explains(rule, difference):
        return fnmatch.fnmatch(difference[0], rule[0]) and fnmatch.fnmatch(difference[1], rule[1])

    wrong = [difference for difference in found if not any(explains(rule, difference) for rule in DIFFERENCES)]
    # What Orthanc takes and the relay does not is a difference as well.
    wrong += [one for one in refused if not any(fnmatch.fnmatch(one[0], rule[0]) for rule in REFUSED)]
    for rule in REFUSED:
        is_there = fnmatch.filter([path.as_posix() for path in paths], rule[0])
        if is_there and not any(fnmatch.fnmatch(one[0], rule[0]) for one in refused):
            wrong.append(rule)
            print("no longer so:", *rule)
    for difference in wrong[:100]:
        print(*difference)
    for rule in DIFFERENCES:
        if fnmatch.filter(places, rule[0]) and not any(explains(rule, difference) for difference in found):
            wrong.append(rule)
            print("no longer so:", *rule)
    print(json.dumps({"compared": len(places), "explained": len(found)}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
