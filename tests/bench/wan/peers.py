"""What a hospital could install today, over the same line: DCMTK's storescu with TLS, Orthanc sending to Orthanc, and the
strongest combination anyone could put together by hand (STOW-RS over four connections of JPEG-LS made beforehand, with
TCP BBR)."""

import http.client
import json
import os
import queue
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from link import RELAY
from wait import let_run, wait_until

ORTHANC_PORT = 8042
LOCAL_ORTHANC = f"http://127.0.0.1:{ORTHANC_PORT}"
BOUNDARY = "tancho-bench"
STOW_CONNECTIONS = 4


@dataclass(frozen=True)
class Sent:
    """What became of a transfer: seconds at which each image was stored, how it ended and when."""

    stored: list
    exit_code: int
    seconds: float

    def figures(self, n_images):
        """As kept; the time counts only when every image is there."""
        return {
            "seconds": self.stored[-1] if len(self.stored) == n_images and self.exit_code == 0 else None,
            "stored": len(self.stored), "images": n_images, "exit_code": self.exit_code, "ended": self.seconds,
            "curve": [(seconds, n + 1) for n, seconds in enumerate(self.stored)],
        }


def certificate(folder):
    """A key and a certificate for the two ends of DCMTK's TLS."""
    key, pem = folder / "key.pem", folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bench",
                    "-keyout", key, "-out", pem], check=True, capture_output=True)
    return key, pem


class StorescuTls:
    """`storescu` to `storescp` with TLS."""

    name = "storescu, TLS"

    def __init__(self, link, folder):
        self.link, self.folder, self.received = link, folder, folder / "received"
        self.received.mkdir(parents=True)
        self.tls = ["+tls", *certificate(folder), "-ic"]
        self.start_receiver()
        for stray in self.received.iterdir():
            stray.unlink()

    def start_receiver(self):
        self.receiver = self.link.start("relay", "storescp", *self.tls, "+xa", "-od", self.received, 11112,
                                        log=self.folder / "storescp.log")
        echo = self.link.command("client", "echoscu", *self.tls, RELAY, 11112)
        wait_until(lambda: subprocess.run(echo, capture_output=True).returncode == 0, "storescp listens")

    def send(self, files, beside=None):
        command = self.link.command("client", "storescu", *self.tls, "-R", RELAY, 11112, *files)
        begun = time.time()
        done = run_beside(command, beside)
        seconds = time.time() - begun
        # A file that was cut off has the wrong length.
        sizes = {file.stat().st_size for file in files}
        whole = [path for path in self.received.iterdir() if path.stat().st_size >= min(sizes) * 0.98]
        return Sent(sorted(path.stat().st_mtime - begun for path in whole), done.returncode, seconds)


def start_orthanc(link, side, folder, **settings):
    """An Orthanc with its default store at one end, once it answers DICOMweb."""
    folder.mkdir(exist_ok=True)
    file = folder / "orthanc.json"
    file.write_text(json.dumps({
        "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "HttpPort": ORTHANC_PORT,
        "RemoteAccessAllowed": True, "AuthenticationEnabled": False, "DicomServerEnabled": False,
        # With Orthanc's own 1 s and 30 s it loses images on the satellite.
        "KeepAliveTimeout": 60, "HttpRequestTimeout": 300,
        "Plugins": ["/usr/share/orthanc/plugins"], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, **settings,
    }))
    process = link.start(side, "Orthanc", file, log=folder / "orthanc.log")
    probe = link.command(side, "curl", "-sf", "-m", "5", f"{LOCAL_ORTHANC}/dicom-web/studies")
    wait_until(lambda: subprocess.run(probe, capture_output=True).returncode == 0, "Orthanc answers DICOMweb", 120)
    return process


class StowFour:
    """STOW-RS to Orthanc over four connections, one image a request."""

    name = "STOW-RS x 4, JPEG-LS"

    def __init__(self, link, folder):
        self.link, self.folder = link, folder
        self.start_receiver()

    def start_receiver(self):
        self.receiver = start_orthanc(self.link, "relay", self.folder)

    def send(self, files, beside=None):
        begun = time.monotonic()
        done = run_beside(self.link.command("client", os.sys.executable, __file__, "stow", *files), beside)
        seconds = time.monotonic() - begun
        return Sent(sorted(json.loads(done.stdout)), done.returncode, seconds)


class OrthancPeer:
    """Orthanc to Orthanc with gzip, what Orthanc itself offers between two sites. Loading the sender is not counted."""

    name = "Orthanc peer, gzip"

    def __init__(self, link, folder):
        self.link, self.folder = link, folder
        self.receiver = start_orthanc(link, "relay", folder / "receiver")
        far = {"Url": f"http://{RELAY}:{ORTHANC_PORT}/"}
        start_orthanc(link, "client", folder / "sender", OrthancPeers={"far": far}, HttpTimeout=300)

    def send(self, files):
        own = os.sys.executable, __file__
        loaded = subprocess.run(self.link.command("client", *own, "load", *files), check=True, capture_output=True,
                                text=True)
        counts = self.folder / "counts.jsonl"
        self.link.start("relay", *own, "count", log=counts)
        wait_until(lambda: counts.exists() and counts.read_text(), "the receiver's images are counted")
        body = json.dumps({"Resources": json.loads(loaded.stdout), "Compress": True, "Synchronous": True})
        begun = time.time()
        done = subprocess.run(self.link.command("client", "curl", "-sf", "-X", "POST", "-d", body,
                                                f"{LOCAL_ORTHANC}/peers/far/store"), capture_output=True)
        seconds = time.time() - begun
        let_run(1, "the last count is written")
        stored = []
        for line in counts.read_text().splitlines()[:-1]:
            at, n = json.loads(line)
            stored += [at - begun] * (n - len(stored))
        return Sent(stored, done.returncode, seconds)


def run_beside(command, beside):
    """Runs a sender to its end, and `beside` meanwhile."""
    other = threading.Thread(target=beside) if beside else None
    if other:
        other.start()
    done = subprocess.run(command, capture_output=True, text=True)
    if other:
        other.join()
    return done


def jpeg_ls(files, folder):
    """The same images as JPEG-LS lossless, made beforehand by DCMTK."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for file in files:
        target = folder / Path(file).name
        if not target.exists():
            subprocess.run(["dcmcjpls", file, target], check=True, capture_output=True)
        made.append(target)
    return made


def stow_sender(files):
    """Runs at the client's end. Prints when each image was stored (its answer came); fails when one was not."""
    waiting, stored, begun = queue.SimpleQueue(), [], time.monotonic()
    for file in files:
        waiting.put(file)
    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
               "Accept": "application/dicom+json"}

    def work():
        connection = http.client.HTTPConnection(RELAY, ORTHANC_PORT, timeout=300)
        while True:
            try:
                file = waiting.get_nowait()
            except queue.Empty:
                return
            body = (f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
                    + Path(file).read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode())
            try:
                connection.request("POST", "/dicom-web/studies", body, headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                # As such scripts do: on with the next image over a new connection.
                connection.close()
                continue
            if answer.status == 200:
                stored.append(time.monotonic() - begun)

    workers = [threading.Thread(target=work) for _ in range(STOW_CONNECTIONS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps(stored))
    return 0 if len(stored) == len(files) else 1


def load_sender(files):
    """Runs at the client's end: gives the files to its own Orthanc and prints what that calls them."""
    names = []
    for file in files:
        request = urllib.request.Request(f"{LOCAL_ORTHANC}/instances", Path(file).read_bytes(), method="POST")
        with urllib.request.urlopen(request) as answer:
            names.append(json.load(answer)["ID"])
    print(json.dumps(names))


def count_stored():
    """Runs at the relay's end until it is ended: [time, images stored] many times a second."""
    while True:
        with urllib.request.urlopen(f"{LOCAL_ORTHANC}/statistics") as answer:
            n = json.load(answer)["CountInstances"]
        print(json.dumps([time.time(), n]), flush=True)
        let_run(0.03, "more images arrive")


if __name__ == "__main__":
    what, *given = os.sys.argv[1:]
    os.sys.exit({"stow": stow_sender, "load": load_sender, "count": count_stored}[what](*([given] if given else [])))
