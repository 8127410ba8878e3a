"""Compares pairs of DICOM files element by element: same_elements.py LEFT RIGHT [LEFT RIGHT ...]

Senders may re-encode lengths of sequences and items; every element must still be there with the same value, and none
added. Group lengths, file meta and trailing padding (FFFC,FFFC) are not compared. Prints what differs; exit code 1.
"""

import sys

import pydicom


def elements(data_set):
    found = {}
    for element in data_set:
        if element.tag.element == 0 or element.tag == 0xFFFCFFFC:
            continue
        if element.VR == "SQ":
            found[element.tag] = [elements(item) for item in element.value]
        else:
            found[element.tag] = (element.VR, element.value)
    return found


def main():
    paths = sys.argv[1:]
    different = 0
    for left, right in zip(paths[::2], paths[1::2]):
        one = elements(pydicom.dcmread(left))
        other = elements(pydicom.dcmread(right))
        for tag in sorted(one.keys() | other.keys()):
            if one.get(tag) != other.get(tag):
                different += 1
                print(f"{left} {tag}: differs")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
