"""A worker that follows a script: what it does wrong is in the name of what it is asked.

Run as a worker is, with the standard library alone. The service's name says
how it starts, the operation's name how it answers.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import threading
import time

HEADER = struct.Struct("<II")
OPERATION = {
    "arguments": {},
    "result": {},
    "idempotent": False,
    "cache_for_s": None,
    "media_type": None,
    "kind": "call",
}


class Peer:
    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        self.lock = threading.Lock()
        self.buffer = b""
        self.later = []
        self.cancelled = []
        self.silent = False
        self.odd = {}

    def say(self, *message):
        body = json.dumps(message).encode()
        self.send(HEADER.pack(len(body), len(body)) + body)

    def send(self, data):
        with self.lock:
            self.socket.sendall(data)

    def hear(self):
        if self.later:
            return self.later.pop(0)
        return self.receive()

    def hear_about(self, number):
        """The next message about a call; what else comes is heard later."""
        for index, message in enumerate(self.later):
            if message[0] in {"cancel", "credit"} and message[1] == number:
                return self.later.pop(index)
        while True:
            message = self.receive()
            if message[0] in {"cancel", "credit"} and message[1] == number:
                return message
            self.later.append(message)

    def receive(self):
        size, _ = HEADER.unpack(self.take(HEADER.size))
        return json.loads(self.take(size))

    def take(self, size):
        while len(self.buffer) < size:
            data = self.socket.recv(65536)
            if not data:
                sys.exit(0)
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def run(self):
        _, order = self.hear()
        self.order = order
        start = getattr(self, f"start_{order['service'].replace('-', '_')}", None)
        if start is not None:
            start()
        self.say("ready", self.ready())
        threading.Thread(target=self.beat, args=[order["heartbeat_s"]], daemon=True).start()
        while True:
            kind, *message = self.hear()
            if kind == "call":
                number, operation, arguments, _ = message
                getattr(self, f"call_{operation}")(number, **arguments)
            elif kind == "cancel":
                self.cancelled.append(message[0])
                if not self.silent:
                    self.say("fault", message[0], "rldlib.Cancelled", "", "")
            elif kind == "stop":
                os._exit(0)

    def ready(self, **changes):
        names = [name.removeprefix("call_") for name in dir(self) if name.startswith("call_")]
        facts = {
            "protocol": 1,
            "service": self.order["service"],
            "version": self.order["version"],
            "pid": os.getpid(),
            "python": "3",
            "operations": {
                name: OPERATION | {"kind": "stream" if name.startswith("stream") else "call"}
                for name in names
            },
        }
        return facts | self.odd | changes

    def beat(self, every_s):
        while True:
            time.sleep(every_s)
            self.say("beat")

    # --- how it starts -----------------------------------------------------------

    def start_never_ready(self):
        time.sleep(1000)

    def start_dies_early(self):
        os._exit(3)

    def start_other_protocol(self):
        self.say("ready", self.ready(protocol=99))

    def start_other_service(self):
        self.say("ready", self.ready(service="another"))

    def start_true_protocol(self):
        self.say("ready", self.ready(protocol=True))

    def start_array_service(self):
        """An array has no one answer to whether it is another."""
        body = json.dumps(["ready", self.ready(service={"$": ["array", "<i8", [2], "C", 16]})]).encode()
        self.send(HEADER.pack(len(body) + 16, len(body)) + body + bytes(16))

    def start_odd_python(self):
        self.odd = {"python": ["3"]}

    def start_reserved(self):
        self.say("ready", self.ready(operations={"submit": OPERATION}))

    def start_does_not_load(self):
        trace = "Traceback (most recent call last):\nModuleNotFoundError: No module named 'nothing'"
        self.say(
            "failed", {"stage": "load", "type": "ModuleNotFoundError", "message": "m", "traceback": trace}
        )

    def start_raises(self):
        facts = {"stage": "start", "type": "ValueError", "message": "no rates", "traceback": "Traceback"}
        self.say("failed", facts)

    def start_fails_oddly(self):
        self.say("failed", {"stage": ["load"], "type": 3, "message": {"a": 1}, "traceback": ["x"]})

    def start_garbage(self):
        self.send(b"GET / HTTP/1.1\r\n\r\n")

    def start_ignores_stop(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.say("ready", self.ready())
        while True:
            time.sleep(1000)

    # --- how it answers ----------------------------------------------------------

    def call_echo(self, number, value):
        self.say("reply", number, value)

    def call_fault(self, number):
        self.say("fault", number, "ValueError", "that is wrong", "Traceback: here")

    def call_refuse(self, number):
        self.say("refused", number, ["text: is missing"])

    def call_exit(self, number, status):
        os._exit(status)

    def call_reply_and_exit(self, number, status):
        self.say("reply", number, "the last word")
        os._exit(status)

    def call_killed(self, number):
        os.kill(os.getpid(), signal.SIGKILL)

    def call_hang(self, number):
        """Answers when it is cancelled."""

    def call_stick(self, number):
        """Never ends, cancelled or not; the others of this worker still are answered."""
        self.silent = True

    def call_reply_when_cancelled(self, number):
        self.hear_about(number)
        self.say("reply", number, "too late")

    def call_cancelled(self, number):
        self.say("reply", number, self.cancelled)

    def call_deaf(self, number):
        self.say("reply", number, None)
        time.sleep(1000)

    def call_stopped(self, number):
        os.kill(os.getpid(), signal.SIGSTOP)

    def call_busy(self, number, seconds):
        """Works, and keeps the heartbeat from being sent, as holding the interpreter's lock does."""
        with self.lock:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                pass
        self.say("reply", number, "done")

    def call_progress(self, number):
        self.say("progress", number, 1, 2, "half of it")
        self.say("log", 30, "the.service", "a warning")
        self.say("reply", number, None)

    def call_halves(self, number):
        self.say("progress", number, 1, 2, "\ud800")
        self.say("log", 30, "the.\ud800", "a \udfff")
        self.say("reply", number, None)

    def call_logs(self, number, count):
        for _ in range(count):
            self.say("log", 20, "x", "y")
        self.say("reply", number, None)

    def call_passes_descriptors(self, number):
        body = json.dumps(["reply", number, "with a descriptor"]).encode()
        socket.send_fds(self.socket, [HEADER.pack(len(body), len(body)) + body], [0, 1, 2])

    def call_forks(self, number):
        """A child in its own session that ignores every signal holds the socket; the worker ends well."""
        if os.fork() == 0:
            os.setsid()
            for each in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(each, signal.SIG_IGN)
            self.say("reply", number, os.getpid())
            while True:
                time.sleep(1000)

    # --- what no worker says -------------------------------------------------------

    def call_huge_header(self, number):
        self.send(HEADER.pack(2**31, 10))

    def call_huge_head(self, number):
        """Read, it would take more than a gibibyte."""
        self.send(HEADER.pack(2**25, 2**25) + b"[" + b'{"":0},' * 1000)

    def call_half_a_frame(self, number):
        self.send(HEADER.pack(100, 100) + b"[")

    def call_no_json(self, number):
        self.send(HEADER.pack(4, 4) + b"\xff{]!")

    def call_unknown_kind(self, number):
        self.say("surprise", number)

    def call_unknown_id(self, number):
        self.say("reply", number + 1000, None)

    def call_item_of_no_stream(self, number):
        self.say("item", number, 1)

    def call_twice(self, number):
        self.say("reply", number, "once")
        self.say("reply", number, "twice")

    def call_ready_again(self, number):
        self.say("ready", self.ready())

    def call_unknown_segment(self, number):
        self.say("reply", number, {"$": ["bytes", [7, 100000]]})

    def call_frees_nothing(self, number):
        self.say("free", 7)

    def call_reply_flood(self, number):
        while True:
            self.say("reply", number + 5000, "x" * 1000)

    # --- streams -----------------------------------------------------------------

    def call_stream_that_is_short(self, number, count):
        credit = 0
        for item in range(count):
            if credit == 0:
                kind, _, *more = self.hear_about(number)
                if kind == "cancel":
                    self.say("fault", number, "rldlib.Cancelled", "", "")
                    return
                credit = more[0]
            credit -= 1
            self.say("item", number, item)
        self.say("end", number)

    def call_stream_then_fault(self, number):
        self.say("item", number, "one")
        self.say("fault", number, "ValueError", "no more", "")

    def call_stream_beyond_credit(self, number):
        """All at once: who takes them one by one might give credit as fast as they come."""
        bodies = [json.dumps(["item", number, item]).encode() for item in range(1000)]
        self.send(b"".join(HEADER.pack(len(body), len(body)) + body for body in bodies))

    def call_stream_that_replies(self, number):
        self.say("reply", number, None)

    def call_stream_stalls(self, number):
        self.say("item", number, "one")


if __name__ == "__main__":
    Peer(int(sys.argv[1])).run()
