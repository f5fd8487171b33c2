# SPDX-License-Identifier: Apache-2.0
"""A name server on UDP and TCP that lies, in as many ways as there are first labels below."""
import contextlib
import os
import socket
import struct
import threading

import harness

A, CNAME, AAAA = 1, 5, 28
TRUNCATED = 0x0200
SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 2, 3, 4, 5
HERE, ELSEWHERE = b"\x7f\0\0\1", b"\x7f\0\0\2"  # where the test has a server, and where not


def encode(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class Question:
    def __init__(self, packet):
        at, self.labels = 12, []
        while packet[at]:
            self.labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
            at += 1 + packet[at]
        self.id, self.name = packet[:2], ".".join(self.labels)
        self.question = packet[12:at + 5]
        self.kind = struct.unpack("!H", packet[at + 1:at + 3])[0]

    def answer(self, *records, flags=0, identity=None, question=None, count=None):
        question = self.question if question is None else question
        count = len(records) if count is None else count
        return ((identity or self.id) + struct.pack("!HHHHH", 0x8180 | flags, 1, count, 0, 0)
                + question + b"".join(records))

    def address(self, address=HERE, owner=b"\xc0\x0c", kind=A, length=None, ttl=60):
        """A record; for a question of another type than A there is none."""
        length = len(address) if length is None else length
        return owner + struct.pack("!HHIH", kind, 1, ttl, length) + address

    def alias(self, target, owner=b"\xc0\x0c"):
        target = encode(target)
        return owner + struct.pack("!HHIH", CNAME, 1, 60, len(target)) + target


# Each gives the packets for a question, which is for an A record unless it says otherwise.
LIES = {}


def lie(function):
    LIES[function.__name__.replace("_", "-")] = function
    return function


@lie
def sound(q):
    return [q.answer(q.address())]


@lie
def other_name(q):
    return [q.answer(q.address(), question=encode("other.test") + q.question[-4:])]


@lie
def other_type(q):
    return [q.answer(q.address(), question=q.question[:-4] + struct.pack("!HH", 16, 1))]


@lie
def other_owner(q):
    return [q.answer(q.address(owner=encode("other.test")))]


@lie
def nx_with_answers(q):
    return [q.answer(q.address(), flags=NXDOMAIN)]


@lie
def no_address(q):
    return [q.answer()]


@lie
def alias_to_itself(q):
    return [q.answer(q.alias(q.name))]


@lie
def alias_loop(q):
    return [q.answer(q.alias("b.test"), q.alias(q.name, encode("b.test")))]


@lie
def alias_chain(q):
    links = [q.alias(f"{i + 1}.test", encode(f"{i}.test")) for i in range(50)]
    return [q.answer(q.alias("0.test"), *links, q.address(owner=encode("50.test")))]


@lie
def alias_nowhere(q):
    return [q.answer(q.alias("nowhere.test"))]


@lie
def thousand_addresses(q):
    return [q.answer(*[q.address()] * 1000)]


@lie
def wrong_id(q):
    return [q.answer(q.address(), identity=bytes([q.id[0] ^ 1, q.id[1]]))]


@lie
def wrong_id_first(q):
    return [q.answer(q.address(ELSEWHERE), identity=bytes([q.id[0] ^ 1, q.id[1]])), *sound(q)]


@lie
def spoofed(q):
    return [(q.answer(q.address(ELSEWHERE)),)]  # from another port


@lie
def spoofed_first(q):
    return [*spoofed(q), *sound(q)]


@lie
def truncated_stall(q):
    return [q.answer(flags=TRUNCATED)]


@lie
def truncated_close(q):
    return [q.answer(flags=TRUNCATED)]


@lie
def truncated_garbage(q):
    return [q.answer(flags=TRUNCATED)]


@lie
def garbage(q):
    return [q.id + os.urandom(200)]


@lie
def short(q):
    return [q.id + b"\x81", q.id]


@lie
def question_back(q):
    return [q.id + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + q.question]


@lie
def servfail(q):
    return [q.answer(flags=SERVFAIL)]


@lie
def refused(q):
    return [q.answer(flags=REFUSED)]


@lie
def notimp(q):
    return [q.answer(flags=NOTIMP)]


@lie
def rcode_15(q):
    return [q.answer(flags=15)]


@lie
def long_address(q):
    return [q.answer(q.address(HERE * 4))]


@lie
def short_address(q):
    return [q.answer(q.address(HERE[:2]))]


@lie
def length_beyond_the_end(q):
    return [q.answer(q.address(length=60000))]


@lie
def count_beyond_the_end(q):
    return [q.answer(q.address(), count=65535)]


@lie
def name_that_points_to_itself(q):
    at = 12 + len(q.question)
    return [q.answer(q.address(owner=struct.pack("!H", 0xC000 | at)))]


@lie
def name_that_points_beyond_the_end(q):
    return [q.answer(q.address(owner=b"\xff\xff"))]


@lie
def negative_ttl(q):
    return [q.answer(q.address(ttl=0xffffffff))]


@lie
def v6_only_answered(q):
    return [] if q.kind == A else [q.answer(q.address(bytes(15) + b"\1", kind=AAAA))]


def takes_tcp(name):
    return name.startswith("truncated") or name == "thousand-addresses"


class Liar(harness.NameServer):
    """What is no lie is as in harness.NameServer."""

    def _open(self):
        self.other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:
            super()._open()
            try:
                self.tcp = socket.create_server(self.socket.getsockname())
                return
            except OSError:  # somebody has the port, on TCP
                self.socket.close()

    def _serve(self):
        threading.Thread(target=self._serve_tcp, daemon=True).start()
        while True:
            packet, client = self.socket.recvfrom(4096)
            if not packet:
                return
            for answer in self._answers(packet):
                by, answer = (self.other, *answer) if isinstance(answer, tuple) else \
                    (self.socket, answer)
                by.sendto(answer, client)

    def _answers(self, packet):
        question = Question(packet)
        told = LIES.get(question.labels[0])
        if not told:
            answer = self._answer(packet)
            return [answer] if answer else []
        self.questions[question.name] += 1
        if question.kind != A and told is not v6_only_answered:
            return [question.answer()]
        answers = told(question)
        if any(len(answer) > 512 for answer in answers):
            return [question.answer(flags=TRUNCATED)]
        return answers

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.tcp.accept()
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection):
        with connection, contextlib.suppress(OSError, struct.error):
            while True:
                length, = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                question = Question(connection.recv(length, socket.MSG_WAITALL))
                kind = question.labels[0]
                if kind == "truncated-close":
                    return
                if kind == "truncated-stall":
                    answer = b"\x10"
                elif kind == "truncated-garbage":
                    answer = b"\x00\xff" + os.urandom(255)
                else:
                    whole = LIES[kind](question)[0]
                    answer = struct.pack("!H", len(whole)) + whole
                connection.sendall(answer)

    def stop(self):
        super().stop()
        self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        self.other.close()
