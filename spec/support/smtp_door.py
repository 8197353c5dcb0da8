#!/usr/bin/python3
"""A mail server that wants TLS and a password, for specs. One line of JSON to stdout for each sign-in and each mail.

usage: smtp_door.py PORT USER PASSWORD [CERTIFICATE KEY]     without a certificate it offers no TLS
"""
import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Door:
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"mail": envelope.rcpt_tos, "secure": session.ssl is not None, "user": session.auth_data}), flush=True)
        return "250 2.0.0 kept"


def sign_in(user, password):
    def check(server, session, envelope, mechanism, data):
        right = (data.login.decode(), data.password.decode()) == (user, password)
        print(json.dumps({"sign_in": mechanism, "secure": session.ssl is not None, "right": right}), flush=True)
        return AuthResult(success=right, handled=right, auth_data=user)
    return check


async def serve(port, user, password, certificate=None, key=None):
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Door(), tls_context=tls, require_starttls=tls is not None, auth_required=True, hostname="door",
                     auth_require_tls=tls is not None, authenticator=sign_in(user, password)), "127.0.0.1", int(port))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) not in (4, 6):
        sys.exit(__doc__)
    asyncio.run(serve(*sys.argv[1:]))
