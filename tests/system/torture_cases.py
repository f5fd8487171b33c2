# SPDX-License-Identifier: Apache-2.0
"""What a server can do wrong, and what may become of the job that meets it.

The steps of a case are taken one after the other: bytes are sent, a number is a pause in
seconds, and the rest is in torture.py.  After the last step the connection is kept for the next
request.  What may become of the job is a pattern, for the whole of "done STATUS BYTES" or of
"dead REASON".
"""
import collections

from torture import CLOSE, HANG, RESET, Forever
from torture_tls import Flight

Case = collections.namedtuple("Case", "name steps expected method timeout port scheme")
CASES = []
SHORT = 1.5  # the timeout, in seconds, of what would never end; a busy machine needs that to begin


def case(name, steps, expected, method="GET", timeout=None, port=False, scheme="http"):
    """`port`: it has its own, and the steps begin with the connection, not with a request."""
    steps = steps if isinstance(steps, list) else [steps]
    CASES.append(Case(name, steps, expected, method, timeout, port, scheme))


def stalls(name, steps, phase, **more):
    case(name, steps, "dead timeout: " + phase, timeout=SHORT, **more)


# --- answers ----------------------------------------------------------------------------


def answer(*lines, status="200 OK", body=b""):
    """An answer with exactly these header lines."""
    lines = [line if isinstance(line, bytes) else line.encode() for line in lines]
    return b"\r\n".join([b"HTTP/1.1 " + status.encode(), *lines]) + b"\r\n\r\n" + body


def counted(body, *lines, **more):
    return answer(f"Content-Length: {len(body)}", *lines, body=body, **more)


def chunked(*pieces, te="Transfer-Encoding: chunked"):
    return answer(te, body=b"".join(pieces))


def redirect(location, status="302 Found"):
    location = location if isinstance(location, bytes) else location.encode()
    return counted(b"", b"Location: " + location, status=status)


def drip(data, pause=0.05):
    """One byte after the other."""
    return [step for i in range(len(data)) for step in (data[i:i + 1], pause)]


HELLO = counted(b"hello")
WHOLE = "done 200 5"
CHUNK = b"5\r\nhello\r\n"
LAST = b"0\r\n\r\n"

# An answer that nobody has asked for.  It must not be taken for that to the next request.
POISON = counted(b"poison", "Content-Type: text/poison", status="299 Poison")

BAD = "dead bad response(: .*)?"
NOT_HTTP = "dead bad response: not http"
LOST = "dead connection lost"
NOTHING = "dead connection closed without an answer"
CUT_HEAD = "dead connection closed within the headers"
CUT = "dead connection closed within the body"
REFUSED = "dead redirect refused: .*"

# --- the status line --------------------------------------------------------------------

case("status-missing", [b"Content-Length: 0\r\n\r\n", CLOSE], NOT_HTTP)
case("status-empty", [b"\r\n\r\n", CLOSE], NOT_HTTP)
case("status-http-0.9", [b"<html>hello</html>", CLOSE], NOT_HTTP)
case("status-no-version", [b"200 OK\r\n\r\n", CLOSE], NOT_HTTP)
case("status-http-9.9", HELLO.replace(b"1.1", b"9.9"), BAD)
case("status-http-1.x", HELLO.replace(b"1.1", b"1.x"), BAD)
case("status-http-1", HELLO.replace(b"1.1", b"1"), BAD)
case("status-http-2", HELLO.replace(b"1.1", b"2"), BAD)
case("status-http-3", HELLO.replace(b"1.1", b"3"), BAD)
case("status-icy", [HELLO.replace(b"HTTP/1.1", b"ICY"), CLOSE], NOT_HTTP)
case("status-lower-case", [HELLO.replace(b"HTTP", b"http"), CLOSE], WHOLE + "|" + NOT_HTTP)
case("status-no-space", HELLO.replace(b"1.1 ", b"1.1"), BAD)
case("status-tab", HELLO.replace(b"1.1 ", b"1.1\t"), BAD)
case("status-code-99", counted(b"hello", status="99 Low"), BAD)
case("status-code-000", counted(b"hello", status="000 Zero"), BAD)
case("status-code-600", counted(b"hello", status="600 High"), "dead http 600|" + BAD)
case("status-code-999", counted(b"hello", status="999 Top"), "dead http 999|" + BAD)
case("status-code-1000", counted(b"hello", status="1000 More"), BAD)
case("status-code-abc", counted(b"hello", status="abc Text"), BAD)
case("status-code-negative", counted(b"hello", status="-200 Minus"), BAD)
case("status-code-hex", counted(b"hello", status="0xc8 Hex"), BAD)
case("status-code-missing", counted(b"hello", status=""), BAD)
case("status-no-reason", counted(b"hello", status="200"), WHOLE)
case("status-reason-64k", counted(b"hello", status="200 " + "r" * 65536), WHOLE + "|" + BAD)
case("status-reason-1m", counted(b"hello", status="200 " + "r" * 1048576), BAD)
case("status-reason-nul", counted(b"hello", status="200 O\0K"), BAD)
case("status-reason-binary", HELLO.replace(b"OK", bytes(range(128, 256))), WHOLE + "|" + BAD)
case("status-lf-only", HELLO.replace(b"\r\n", b"\n"), WHOLE)
case("status-cr-only", [HELLO.replace(b"\r\n", b"\r"), CLOSE], BAD + "|" + NOTHING)
case("status-after-blank-lines", b"\r\n\r\n" + HELLO, NOT_HTTP + "|" + WHOLE)
case("status-after-spaces", b"   " + HELLO, NOT_HTTP)
case("status-after-garbage", b"\x00\xff\x17garbage\r\n" + HELLO, NOT_HTTP)
case("status-twice", b"HTTP/1.1 404 Not\r\n" + HELLO, "dead http 404|" + BAD)

# --- interim answers --------------------------------------------------------------------

INTERIM = answer(status="100 Continue")
UPGRADE = answer("Upgrade: foo", "Connection: Upgrade", status="101 Switching")
case("interim-one", INTERIM + HELLO, WHOLE)
case("interim-unknown", answer(status="199 What") + HELLO, WHOLE)
case("interim-early-hints", answer("Link: </a>", status="103 Early Hints") + HELLO, WHOLE)
case("interim-with-length", answer("Content-Length: 7", status="100 Continue") + HELLO,
     WHOLE + "|" + BAD)
case("interim-with-body", counted(b"hello", status="100 Continue") + HELLO, BAD)
case("interim-thousand", INTERIM * 1000 + HELLO, WHOLE + "|" + BAD)
case("interim-only", [INTERIM, CLOSE], NOTHING + "|" + BAD)
case("interim-101", [UPGRADE, b"foo\r\n\r\n", CLOSE], BAD)
case("interim-101-then-nothing", [UPGRADE, HANG], BAD)
case("interim-endless", Forever(INTERIM * 50), "dead timeout: reading the headers|" + BAD,
     timeout=SHORT)
stalls("interim-endless-slow", Forever(INTERIM, 0.05), "reading the headers")
case("interim-endless-with-headers", Forever(answer("X: " + "x" * 60000, status="103 Hints")),
     "dead timeout: reading the headers|" + BAD, timeout=SHORT)

# --- header lines -----------------------------------------------------------------------

case("header-no-colon", counted(b"hello", "no colon here"), WHOLE + "|" + BAD)
case("header-no-name", counted(b"hello", ": nothing"), WHOLE + "|" + BAD)
case("header-space-before-colon", [answer("Content-Length : 5", body=b"hello"), CLOSE],
     WHOLE + "|" + BAD)
case("header-nul", counted(b"hello", "X: a\0b"), BAD)
case("header-nul-in-name", counted(b"hello", "X\0Y: a"), BAD)
case("header-bare-cr", counted(b"hello", "X: a\rContent-Length: 7"), WHOLE + "|" + BAD)
case("header-folded", counted(b"hello", "X: a", "  b", "\tc"), WHOLE + "|" + BAD)
case("header-folded-first", [HELLO.replace(b"\r\nC", b"\r\n C"), CLOSE], WHOLE + "|" + BAD)
case("header-folded-length", [answer("Content-Length:", " 5", body=b"hello"), CLOSE],
     WHOLE + "|" + BAD)
case("header-100k", counted(b"hello", "X: " + "x" * 102400), WHOLE + "|" + BAD)
case("header-1m", counted(b"hello", "X: " + "x" * 1048576), BAD)
case("header-400k-in-all", counted(b"hello", *["X: " + "x" * 4000] * 100), WHOLE + "|" + BAD)
case("header-10000-lines", counted(b"hello", *["X: x"] * 10000), WHOLE + "|" + BAD)
case("header-latin-1", counted(b"hello", b"Content-Type: text/caf\xe9; x=\x80\xff"), WHOLE)
case("header-control-characters", counted(b"hello", b"Content-Type: a\x01\x1b[2J\x7f"),
     WHOLE + "|" + BAD)
case("header-type-100k", counted(b"hello", "Content-Type: a/" + "b" * 99000), WHOLE + "|" + BAD)
case("header-endless", [b"HTTP/1.1 200 OK\r\n", Forever(b"X: xxxxxxx\r\n" * 100)],
     "dead timeout: reading the headers|" + BAD, timeout=SHORT)
case("header-endless-line", [b"HTTP/1.1 200 OK\r\nX: ", Forever(b"x" * 1000)],
     "dead timeout: reading the headers|" + BAD, timeout=SHORT)

# --- Content-Length ---------------------------------------------------------------------


def length(name, values, expected, body=b"hello", more=()):
    lines = [f"Content-Length: {value}" for value in values]
    case("length-" + name, [answer(*lines, *more, body=body), CLOSE], expected)


length("negative", ["-5"], BAD)
length("plus", ["+5"], WHOLE + "|" + BAD)
length("hex", ["0x5"], BAD)
length("text", ["five"], BAD)
length("empty", [""], WHOLE + "|" + BAD)
length("fraction", ["5.0"], BAD)
length("exponent", ["5e0"], BAD)
length("words", ["5 5"], BAD)
length("overflow", ["99999999999999999999999999"], CUT + "|" + BAD + "|" + WHOLE)
length("2-to-63", ["9223372036854775808"], CUT + "|" + BAD + "|" + WHOLE)
length("2-to-64-and-5", ["18446744073709551621"], CUT + "|" + BAD + "|" + WHOLE)
length("list-same", ["5, 5"], WHOLE + "|" + BAD)
length("list-differing", ["5, 6"], BAD)
length("twice-same", ["5", "5"], WHOLE + "|" + BAD)
length("twice-differing", ["5", "6"], BAD)
length("twice-differing-smaller-last", ["7", "5"], BAD)
length("with-chunked", ["3"], WHOLE + "|" + BAD, CHUNK + LAST, ["Transfer-Encoding: chunked"])
length("too-large", ["6"], CUT)
length("much-too-large", ["1000000"], CUT)
length("too-small", ["4"], "done 200 4")
case("length-too-small-kept", answer("Content-Length: 5", body=b"hello" + POISON), WHOLE)
case("length-larger-than-allowed", [answer("Content-Length: 1000000000000", body=b"hello"), HANG],
     "dead body larger than .*|dead timeout: reading the body", timeout=SHORT)

# --- chunks -----------------------------------------------------------------------------


def chunks(name, pieces, expected, end=(CLOSE,)):
    case("chunked-" + name, [chunked(*pieces), *end], expected)


chunks("bad-hex", [b"xyz\r\nhello\r\n", LAST], BAD)
chunks("empty-size", [b"\r\nhello\r\n", LAST], BAD)
chunks("negative", [b"-5\r\nhello\r\n", LAST], BAD)
chunks("prefixed", [b"0x5\r\nhello\r\n", LAST], BAD + "|done 200 0")
chunks("huge", [b"7fffffffffffffff\r\nhello"], CUT)
chunks("overflow", [b"ffffffffffffffff\r\nhello"], BAD + "|" + CUT)
chunks("17-digits", [b"10000000000000005\r\nhello\r\n", LAST], BAD)
chunks("many-zeros", [b"0" * 1000 + b"5\r\nhello\r\n", LAST], BAD)
chunks("missing-crlf", [b"5\r\nhello", LAST], BAD)
chunks("longer-than-said", [b"3\r\nhello\r\n", LAST], BAD)
chunks("shorter-than-said", [b"9\r\nhello\r\n", LAST], BAD + "|" + CUT)
chunks("lf-only", [b"5\nhello\n0\n\n"], WHOLE + "|" + BAD + "|" + CUT)
chunks("no-last", [CHUNK], CUT)
chunks("no-final-crlf", [CHUNK, b"0\r\n"], WHOLE + "|" + CUT)
chunks("space-after-size", [b"5 \r\nhello\r\n", LAST], WHOLE + "|" + BAD)
chunks("space-before-size", [b" 5\r\nhello\r\n", LAST], BAD)
chunks("extension", [b"5;a=b;c=\"d\"\r\nhello\r\n", LAST], WHOLE)
chunks("extension-1m", [b"5;" + b"e" * 1048576 + b"\r\nhello\r\n", LAST], WHOLE + "|" + BAD)
chunks("trailers", [CHUNK, b"0\r\nX: a\r\nContent-Length: 7\r\n\r\n"], WHOLE)
chunks("trailer-1m", [CHUNK, b"0\r\nX: ", b"x" * 1048576, b"\r\n\r\n"], WHOLE + "|" + BAD)
chunks("trailers-10000", [CHUNK, b"0\r\n", b"X: x\r\n" * 10000, b"\r\n"], WHOLE + "|" + BAD)
chunks("trailer-without-colon", [CHUNK, b"0\r\nnothing\r\n\r\n"], WHOLE + "|" + BAD)
chunks("single-bytes", [b"1\r\nh\r\n" * 20000, LAST], "done 200 20000")
case("chunked-then-more", chunked(CHUNK, LAST) + POISON, WHOLE)


def coding(name, line, expected, body=CHUNK + LAST):
    case("coding-" + name, [answer(line, body=body), CLOSE], expected)


coding("chunked-chunked", "Transfer-Encoding: chunked, chunked", BAD + "|" + WHOLE)
coding("gzip-chunked", "Transfer-Encoding: gzip, chunked", BAD)
coding("chunked-gzip", "Transfer-Encoding: chunked, gzip", BAD)
coding("identity", "Transfer-Encoding: identity", "done 200 15|" + BAD)
coding("unknown", "Transfer-Encoding: foo", BAD)
coding("empty", "Transfer-Encoding: ", "done 200 15|" + BAD)
coding("quoted", "Transfer-Encoding: \"chunked\"", BAD)
coding("upper-case", "Transfer-Encoding: CHUNKED", WHOLE)
coding("content-unknown", "Content-Encoding: foo", "done 200 15|" + BAD)
coding("content-not-gzip", "Content-Encoding: gzip", "done 200 15|" + BAD)
coding("content-many", "Content-Encoding: " + ", ".join(["gzip"] * 100), "done 200 15|" + BAD)

# --- the body, and the end of the connection ---------------------------------------------


def cut_everywhere(name, whole, body_at, trifle=0):
    """Ends the answer after each of its bytes, in order and not.  The last ones may be a trifle."""
    for at in range(len(whole) + 1):
        expected = WHOLE if at >= len(whole) - trifle else CUT if at >= body_at else None
        case(f"{name}-close-{at}", [whole[:at], CLOSE],
             expected or (NOTHING if at == 0 else f"{NOT_HTTP}|{NOTHING}|{CUT_HEAD}"))
        case(f"{name}-reset-{at}", [whole[:at], RESET], expected if at == len(whole) else LOST)


cut_everywhere("cut", HELLO, len(HELLO) - 5)
cut_everywhere("cut-chunked", chunked(CHUNK, LAST), len(chunked()), trifle=1)
case("body-until-close", [answer(body=b"hello"), CLOSE], WHOLE)
case("body-until-reset", [answer(body=b"hello"), RESET], LOST)
case("body-to-head", counted(b"hello"), "done 200 0", method="HEAD")
case("body-of-204", counted(b"hello", status="204 No Content"), "done 204 0")
case("body-of-204-chunked", chunked(CHUNK, LAST).replace(b"200 OK", b"204 No"), "done 204 0")
case("body-of-304", counted(b"hello", status="304 Not Modified"), "done 304 0")
case("body-of-204-is-poison", answer(status="204 No Content", body=POISON), "done 204 0")
case("poison-to-head", answer(body=POISON), "done 200 0", method="HEAD")
case("poison-after-body", HELLO + POISON, WHOLE)
case("poison-in-the-body's-record", [answer("Content-Length: 5"), 0.05, b"hello" + POISON], WHOLE)
case("poison-after-nothing", counted(b"") + POISON, "done 200 0")
case("poison-after-close", [counted(b"hello", "Connection: close"), POISON], WHOLE)
case("poison-20k", HELLO + counted(b"p" * 20000, status="299 Poison"), WHOLE)
case("poison-20k-after-nothing", counted(b"") + counted(b"p" * 20000, status="299 Poison"),
     "done 200 0")
case("poison-after-redirect", redirect("/sane/0") + POISON, "done 200 0")
case("poison-after-404", counted(b"gone", status="404 Gone") + POISON, "dead http 404")
case("keep-alive-lies", [counted(b"hello", "Connection: keep-alive"), CLOSE], WHOLE)
case("keep-alive-lies-with-reset", [counted(b"hello", "Connection: keep-alive"), RESET], WHOLE)
case("close-lies", counted(b"hello", "Connection: close"), WHOLE)
case("connection-odd", counted(b"hello", "Connection: close, keep-alive, \t,,"), WHOLE)
case("keep-alive-numbers", counted(b"hello", "Keep-Alive: timeout=-1, max=99999999999999"), WHOLE)
case("answer-before-upload", [counted(b"early", status="413 Too Large"), RESET], "dead http 413",
     method="POST")

# --- redirects --------------------------------------------------------------------------

REDIRECTED = "done 200 7"  # /sane/7
case("redirect-relative", redirect("../sane/7"), REDIRECTED)
case("redirect-dots", redirect("/a/./b/../../../../sane/7"), REDIRECTED)
case("redirect-absolute-path", redirect("/sane/7"), REDIRECTED)
case("redirect-scheme-relative", redirect("//@/sane/7"), REDIRECTED)
case("redirect-fragment", redirect("/sane/7#fragment"), REDIRECTED)
case("redirect-userinfo", redirect("http://user:secret@127.0.0.1:1/"), "dead .*")
case("redirect-to-itself", redirect("?"), "dead more than 5 redirects")
case("redirect-to-itself-empty-fragment", redirect("#"), "dead more than 5 redirects|dead http 404")
case("redirect-growing", redirect("redirect-growing/" + "g" * 90000), "dead .*")
case("redirect-empty", redirect(""), "done 302 0|dead more than 5 redirects")
case("redirect-missing", counted(b"hello", status="302 Found"), "done 302 5")
case("redirect-several", counted(b"", "Location: /sane/7", "Location: http://127.0.0.1:1/",
                                 status="302 Found"), f"{REDIRECTED}|dead connect failed|{REFUSED}")
case("redirect-to-100k", redirect("/" + "x" * 100000), "dead .*")
case("redirect-elsewhere-to-9k", redirect("http://127.0.0.2:1/" + "x" * 9000), REFUSED)
for scheme in "file:///etc/passwd", "ftp://@/x", "gopher://@/x", "dict://@/x", "ldap://@/x", \
        "javascript:alert(1)", "data:text/plain,hello", "mailto:a@b", "tftp://@/x", "smb://@/x", \
        "unix:/run/x", "about:blank", "FILE:/etc/passwd", "view-source:http://@/sane/7":
    case("redirect-to-" + scheme.split(":")[0], redirect(scheme), REFUSED)
case("redirect-with-cr", redirect("/sane/7\rX: y"), f"{REDIRECTED}|{REFUSED}|{BAD}")
case("redirect-with-encoded-crlf", redirect("/sane/7?%0d%0aX:%20y"), REDIRECTED)
case("redirect-with-nul", redirect(b"/sane/\x007"), BAD)
case("redirect-with-space", redirect("/sane/7?a b"), REDIRECTED + "|" + REFUSED)
case("redirect-with-tab", redirect("/sane/7\t?a"), REFUSED + "|" + REDIRECTED)
case("redirect-not-utf-8", redirect(b"/sane/7?\xff\xfe\xe9"), REDIRECTED + "|" + REFUSED)
case("redirect-utf-8", redirect("/sane/7?é"), REDIRECTED)
case("redirect-host-not-utf-8", redirect(b"http://\xff\xfe.test/"), REFUSED + "|dead name: .*")
case("redirect-host-empty", redirect("http:///sane/7"), REFUSED + "|dead name: .*")
case("redirect-host-missing", redirect("http://"), REFUSED)
case("redirect-host-spaces", redirect("http://a b/"), REFUSED)
case("redirect-port-0", redirect("http://127.0.0.1:0/"), REFUSED)
case("redirect-port-65536", redirect("http://127.0.0.1:65536/"), REFUSED)
case("redirect-port-text", redirect("http://127.0.0.1:http/"), REFUSED)
case("redirect-bad-ipv6", redirect("http://[::1/"), REFUSED)
case("redirect-backslashes", redirect("\\\\127.0.0.1:1\\x"), "dead http 404|" + REFUSED)
case("redirect-percent", redirect("/sane/7?%zz%"), REDIRECTED)
case("redirect-300", redirect("/sane/7", status="300 Choices"), "done 300 0")
case("redirect-304", redirect("/sane/7", status="304 Not Modified"), "done 304 0")
case("redirect-399", redirect("/sane/7", status="399 What"), "done 399 0")
case("redirect-then-reset", [answer("Location: /sane/7", status="302 Found"), RESET], LOST)
case("redirect-cut", [answer("Location: /sane/7", "Content-Length: 5", status="302 F"), CLOSE], CUT)
stalls("redirect-slow", [0.4, redirect("?")], "waiting for the response")

# --- what never ends --------------------------------------------------------------------

stalls("stall-at-once", HANG, "waiting for the response")
stalls("stall-in-status", [b"HTTP/1.1 20", HANG], "(waiting for the response|reading the headers)")
stalls("stall-in-header", [b"HTTP/1.1 200 OK\r\nX: ", HANG], "reading the headers")
stalls("stall-before-body", [HELLO[:-5], HANG], "reading the body")
stalls("stall-in-body", [HELLO[:-2], HANG], "reading the body")
stalls("stall-in-chunk-size", [chunked(CHUNK, b"5"), HANG], "reading the body")
stalls("stall-in-chunk", [chunked(CHUNK, b"5\r\nhe"), HANG], "reading the body")
stalls("stall-in-trailers", [chunked(CHUNK, b"0\r\nX: "), HANG], "reading the body")
stalls("drip-status", drip(b"HTTP/1.1 200 " + b"r" * 100), "reading the headers")
stalls("drip-headers", [b"HTTP/1.1 200 OK\r\n", *drip(b"X: " + b"x" * 100)], "reading the headers")
stalls("drip-body", [counted(b"x" * 100)[:-100], *drip(b"x" * 100)], "reading the body")
stalls("drip-chunks", [chunked(), *drip(b"1\r\nx\r\n" * 20)], "reading the body")
stalls("body-endless-slow", [answer(), Forever(b"x", 0.05)], "reading the body")
stalls("chunks-endless-slow", [chunked(), Forever(b"1\r\nx\r\n", 0.05)], "reading the body")
stalls("chunk-size-endless", [chunked(b"5;"), Forever(b"e" * 10, 0.02)], "reading the body")
stalls("trailers-endless", [chunked(CHUNK, b"0\r\n"), Forever(b"X: x\r\n", 0.02)],
       "reading the body")
TOO_LARGE = "dead body larger than .*"
case("body-endless", [answer(), Forever(b"x" * 65536)], TOO_LARGE)
case("redirect-body-endless", [answer("Location: /sane/7", status="302 F"), Forever(b"x" * 65536)],
     TOO_LARGE + "|" + REDIRECTED)
case("chunks-endless", [chunked(), Forever(b"8000\r\n" + b"x" * 32768 + b"\r\n")], TOO_LARGE)

# --- below HTTP -------------------------------------------------------------------------

TLS_FAILED = "dead tls: handshake failed(: .*)?"
UNTRUSTED = "dead tls: certificate not trusted(: self-signed certificate)?"
ALERT = b"\x15\x03\x01\x00\x02\x02\x28"  # fatal, handshake_failure (RFC 8446, section 6)


def tls(name, steps, expected, **more):
    """On a port that a client speaks TLS to."""
    case("tls-" + name, steps, expected, port=True, scheme="https", **more)


case("no-answer-close", [CLOSE], NOTHING, port=True)
case("no-answer-reset", [0.05, RESET], LOST + "|dead connect failed", port=True)
case("alert-to-http", [0.05, ALERT, CLOSE], NOT_HTTP, port=True)
case("http-before-the-request", [HELLO, CLOSE], WHOLE + "|" + BAD + "|" + LOST, port=True)
case("ssh", [b"SSH-2.0-OpenSSH_9.2\r\n", 0.1, CLOSE], NOT_HTTP, port=True)
tls("is-http", [0.05, answer(status="400 Bad"), CLOSE], TLS_FAILED)
tls("close", [CLOSE], TLS_FAILED)
tls("reset", [0.05, RESET], TLS_FAILED)
tls("alert", [0.05, ALERT, CLOSE], TLS_FAILED)
tls("garbage", [0.05, bytes(range(256)) * 4, CLOSE], TLS_FAILED)
tls("zeros", [0.05, bytes(1000), CLOSE], TLS_FAILED)
tls("huge-record", [0.05, b"\x16\x03\x03\xff\xff" + bytes(65535), CLOSE], TLS_FAILED)
tls("garbage-in-record", [0.05, b"\x16\x03\x03\x00\x40" + bytes(64), CLOSE], TLS_FAILED)
tls("alert-warnings", [0.05, b"\x15\x03\x03\x00\x02\x01\x5a" * 100, CLOSE], TLS_FAILED)
tls("stall", [HANG], "dead timeout: tls handshake", timeout=SHORT)
tls("stall-in-record", [0.05, b"\x16\x03\x03\x00\x40\x02", HANG], "dead timeout: tls handshake",
    timeout=SHORT)
tls("drip", drip(b"\x16\x03\x03\x00\x40" + b"\x02" * 60), "dead timeout: tls handshake",
    timeout=SHORT)
for i in range(10):
    seen = "" if i < 5 else "|" + UNTRUSTED
    tls(f"cut-{i}", [Flight(i / 10), CLOSE], TLS_FAILED + seen)
    tls(f"cut-{i}-reset", [Flight(i / 10), 0.02, RESET], TLS_FAILED + seen)
    tls(f"cut-{i}-stall", [Flight(i / 10), HANG], "dead timeout: tls handshake" + seen,
        timeout=SHORT)
tls("untrusted", [Flight(1), HANG], UNTRUSTED)
