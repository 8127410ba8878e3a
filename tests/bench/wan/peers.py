"""What a hospital could install today, over the same line: DCMTK's storescu with TLS, and the strongest combination
anyone could put together by hand (STOW-RS over four connections of JPEG-LS made beforehand, with TCP BBR)."""

import http.client
import json
import os
import queue
import subprocess
import threading
import time
from pathlib import Path

from link import RELAY
from wait import wait_until

BOUNDARY = "tancho-bench"


def certificate(folder):
    """A key and a certificate for the two ends of DCMTK's TLS."""
    key, pem = folder / "key.pem", folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bench",
                    "-keyout", key, "-out", pem], check=True, capture_output=True)
    return key, pem


def arrivals(folder, begun):
    """Seconds after `begun` (epoch) at which each file in `folder` was last written."""
    return sorted(path.stat().st_mtime - begun for path in folder.iterdir())


def storescu_tls(link, files, folder):
    """`storescu` to `storescp` with TLS; seconds at which each image was stored."""
    folder.mkdir(parents=True)
    received = folder / "received"
    received.mkdir()
    key, pem = certificate(folder)
    tls = ["+tls", key, pem, "-ic"]
    link.start("relay", "storescp", *tls, "+xa", "-od", received, 11112, log=folder / "storescp.log")
    echo = link.command("client", "echoscu", *tls, RELAY, 11112)
    wait_until(lambda: subprocess.run(echo, capture_output=True).returncode == 0, "storescp listens")
    for stray in received.iterdir():
        stray.unlink()
    begun = time.time()
    subprocess.run(link.command("client", "storescu", *tls, "-R", RELAY, 11112, *files), check=True,
                   capture_output=True)
    return arrivals(received, begun)


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


def stow_four(link, files, folder):
    """STOW-RS to Orthanc over four connections; seconds at which each image was stored (its answer came)."""
    folder.mkdir(parents=True)
    settings = folder / "orthanc.json"
    settings.write_text(json.dumps({
        "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "HttpPort": 8042,
        "RemoteAccessAllowed": True, "AuthenticationEnabled": False, "DicomServerEnabled": False,
        "KeepAliveTimeout": 60, "HttpRequestTimeout": 300,
        "Plugins": ["/usr/share/orthanc/plugins"], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }))
    link.start("relay", "Orthanc", settings, log=folder / "orthanc.log")
    probe = link.command("client", "curl", "-sf", "-m", "5", f"http://{RELAY}:8042/system")
    wait_until(lambda: subprocess.run(probe, capture_output=True).returncode == 0, "Orthanc answers", 120)
    script = link.command("client", os.sys.executable, __file__, *files)
    done = subprocess.run(script, check=True, capture_output=True, text=True)
    return sorted(json.loads(done.stdout))


def stow_sender(files):
    """Runs at the client's end: four connections, one image a request."""
    waiting, stored, begun = queue.SimpleQueue(), [], time.monotonic()
    for file in files:
        waiting.put(file)
    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
               "Accept": "application/dicom+json"}

    def work():
        connection = http.client.HTTPConnection(RELAY, 8042, timeout=300)
        while True:
            try:
                file = waiting.get_nowait()
            except queue.Empty:
                return
            body = (f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
                    + Path(file).read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode())
            connection.request("POST", "/dicom-web/studies", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{file}: {answer.status}")
            stored.append(time.monotonic() - begun)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if len(stored) != len(files):
        raise RuntimeError(f"{len(stored)} of {len(files)} stored")
    print(json.dumps(stored))


if __name__ == "__main__":
    stow_sender(os.sys.argv[1:])
