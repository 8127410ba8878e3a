"""A mail server that delivers to a file: one JSON object a line, {"from", "to", "subject", "text", "raw"}."""

import email
import email.policy
import json
import os
import signal
import sys
import threading

from aiosmtpd.controller import Controller


class IntoFile:
    def __init__(self, path):
        self.path = path

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = message.get_body(("plain", "html"))
        line = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": str(message["subject"]),
            "text": body.get_content() if body else "",
            "raw": envelope.content.decode("utf-8", "replace"),
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return "250 OK"


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    stopped = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.set())
    controller = Controller(IntoFile(path), hostname="127.0.0.1", port=port)
    controller.start()
    print("ready", flush=True)
    # Nobody reads the mail of a test that was killed.
    parent = os.getppid()
    while os.getppid() == parent and not stopped.wait(1):
        pass
    controller.stop()


if __name__ == "__main__":
    main()
