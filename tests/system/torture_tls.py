# SPDX-License-Identifier: Apache-2.0
"""The first words of a TLS server, so that they can be cut off anywhere."""
import ssl
import tempfile

# Made for this, and of no use for anything else: nobody trusts it.
CERTIFICATE = b"""\
-----BEGIN CERTIFICATE-----
MIIBhDCCASugAwIBAgIUW4E+eR7wFNQ9D/GEF33fNt8BFPowCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMdG9ydHVyZS50ZXN0MCAXDTI2MTEyODEwMjE0OVoYDzIxMjYx
MTA0MTAyMTQ5WjAXMRUwEwYDVQQDDAx0b3J0dXJlLnRlc3QwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAARgYzY6uDAnqJL20iCtDvbmSQAfWugZx38BaAFKhqsHrAq7
hdvdLx4UY0iy16gPfryb/cKbFlxawVOA0uZbTCQro1MwUTAdBgNVHQ4EFgQURplV
QyDmVSedo9SgwFqxFBUda38wHwYDVR0jBBgwFoAURplVQyDmVSedo9SgwFqxFBUd
a38wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAuEAWenidA6z17
kr9vnumtJ6fDlBVc+1fbAUGS0QpxpAIgd5CqWIcPL78FeTI3tdqZ/mh50Yka0dcH
1zH6LH7+Jkg=
-----END CERTIFICATE-----
"""
KEY = b"""\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgat3F7dtLL3uzGh5t
/fHUvDFVt484Yjdz0bi1vZCZUGyhRANCAARgYzY6uDAnqJL20iCtDvbmSQAfWugZ
x38BaAFKhqsHrAq7hdvdLx4UY0iy16gPfryb/cKbFlxawVOA0uZbTCQr
-----END PRIVATE KEY-----
"""


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(CERTIFICATE + KEY)
        file.flush()
        made.load_cert_chain(file.name)
    return made


class Flight:
    """A step: answers the client's hello with this part of what a server says to it, up to its
    Finished."""

    def __init__(self, part):
        self.part = part

    def answer_to(self, hello):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        incoming.write(hello)
        try:
            context().wrap_bio(incoming, outgoing, server_side=True).do_handshake()
        except ssl.SSLWantReadError:
            pass
        words = outgoing.read()
        return words[:max(1, round(len(words) * self.part))]
