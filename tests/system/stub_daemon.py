# SPDX-License-Identifier: Apache-2.0
"""A daemon's socket that breaks on demand: answers POST /v1/jobs, GET /v1/jobs/ID and POST
/v1/control/requeue as penstockd does, except where a test has planned something else; and other
requests as a test has planned them."""
import http.server
import json
import os
import socket
import socketserver
import threading
import urllib.parse


class Store:
    """What outlives a server: the jobs, by id."""

    def __init__(self):
        self.lock = threading.Lock()
        self.jobs = {}       # id: content
        self.accepted = []   # ids, in their order
        self.states = {}     # id: list of states, the last of which stays; else it is done
        self.asked = []      # ids of GET /v1/jobs/ID
        self.requeued = {}   # id: what to answer, (status, object)
        self.planned = {}    # target: list of such answers to other requests, the last of which stays
        self.requests = []   # of these, (method, target, object or None)
        self.bodies = []     # of POST /v1/jobs
        self.connections = 0

    def take(self, line):
        """The receipt of one line, without its number."""
        try:
            job = json.loads(line)
            if "url" not in job:
                raise ValueError("there is no \"url\"")
            if not job["url"].startswith("http"):
                raise ValueError("neither http nor https: " + job["url"])
        except ValueError as error:
            return {"id": None, "status": "refused", "code": 400, "error": str(error)}
        name = job.get("id") or f"p-{len(self.jobs) + 1}"
        if name not in self.jobs:
            self.jobs[name] = line
            self.accepted.append(name)
            return {"id": name, "status": "accepted"}
        if self.jobs[name] == line:
            return {"id": name, "status": "known"}
        return {"id": name, "status": "refused", "code": 409, "error": "the id is taken"}


class Fault:
    """What becomes of one POST /v1/jobs.

    take      so many lines are taken; None: all
    code      what the others are refused with; None: they are never heard of again
    receipts  so many bytes of the receipts are sent, then the connection breaks; None: all
    status    the whole request is answered with this problem, and nothing is taken
    headers   of the answer
    hold      an event that is waited for before anything is done
    """

    def __init__(self, take=None, code=None, receipts=None, status=None, headers=(), hold=None):
        self.take, self.code, self.receipts, self.status = take, code, receipts, status
        self.headers, self.hold = headers, hold


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def setup(self):
        super().setup()
        with self.server.store.lock:
            self.server.store.connections += 1
            self.server.open.add(self.connection)

    def finish(self):
        self.server.open.discard(self.connection)
        try:
            super().finish()
        except OSError:
            pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass

    def answer(self, status, body, kind="application/json", headers=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def problem(self, status, detail, headers=()):
        body = json.dumps({"type": "urn:penstock:problem:stub", "status": status, "detail": detail}).encode()
        self.answer(status, body, "application/problem+json", headers)

    def break_off(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/control/requeue":
            self.requeue(json.loads(body))
        elif self.path.startswith("/v1/jobs?wait="):
            self.submit(body)
        else:
            self.answer_as_planned("POST", json.loads(body))

    def answer_as_planned(self, method, question=None):
        store = self.server.store
        with store.lock:
            store.requests.append((method, self.path, question))
            answers = store.planned.get(self.path, [(404, "there is no " + self.path)])
            status, what = answers.pop(0) if len(answers) > 1 else answers[0]
        if status == 200:
            self.answer(200, json.dumps(what).encode())
        else:
            self.problem(status, what)

    def submit(self, body):
        server, store = self.server, self.server.store
        with store.lock:
            fault = server.faults.pop(0) if server.faults else Fault()
            store.bodies.append(body)
        if fault.hold:
            server.held.set()
            fault.hold.wait()
        if fault.status:
            return self.problem(fault.status, f"planned {fault.status}", fault.headers)
        receipts = []
        with store.lock:
            for number, line in enumerate(body.decode().split("\n")[:-1], 1):
                receipt = {"line": number}
                if fault.take is None or number <= fault.take:
                    receipt.update(store.take(line))
                elif fault.code:
                    receipt.update(id=None, status="refused", code=fault.code,
                                   error=f"planned {fault.code}")
                else:
                    break
                receipts.append(receipt)
        if fault.take is not None and not fault.code and fault.receipts is None:
            return self.break_off()
        good = [r for r in receipts if r["status"] != "refused"]
        text = "".join(json.dumps(r) + "\n" for r in receipts).encode()
        self.send_response(202 if good else receipts[0]["code"])
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Content-Length", str(len(text)))
        for name, value in fault.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text if fault.receipts is None else text[:fault.receipts])
        self.wfile.flush()
        return self.break_off() if fault.receipts is not None else None

    def requeue(self, question):
        status, what = self.server.store.requeued.get(
            question.get("id", "--all"), (404, "there is no such job"))
        if status == 200:
            self.answer(200, json.dumps(what).encode())
        else:
            self.problem(status, what)

    def do_GET(self):
        store = self.server.store
        if self.path in store.planned or not self.path.startswith("/v1/jobs/"):
            return self.answer_as_planned("GET")
        name = urllib.parse.unquote(self.path[len("/v1/jobs/"):])
        with store.lock:
            store.asked.append(name)
            states = store.states.get(name, ["done"])
            state = states.pop(0) if len(states) > 1 else states[0]
        if isinstance(state, int):
            return self.problem(state, f"planned {state}")
        if state == "break":
            return self.break_off()
        return self.answer(200, json.dumps({"id": name, "state": state}).encode())


class StubDaemon(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves until stop().  `faults` are used up one POST /v1/jobs each."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path, store=None, faults=()):
        self.path = path
        self.store = store or Store()
        self.faults = list(faults)
        self.held = threading.Event()  # a request with Fault(hold=…) has come
        self.open = set()
        super().__init__(path, Handler)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self.thread.start()

    def handle_error(self, request, client_address):
        pass

    def stop(self):
        self.shutdown()
        self.thread.join()
        self.server_close()
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
