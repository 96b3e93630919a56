# SPDX-License-Identifier: GPL-3.0-or-later
"""aiosmtpd as its documentation has it, with a TLS context: python3 aiosmtpd_server.py WANTED.json"""
import asyncio
import json
import ssl
import sys

from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

VERSIONS = {"TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1, "TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def context_of(wanted):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if wanted["oldest"]:
        context.minimum_version, context.maximum_version = VERSIONS[wanted["oldest"]], VERSIONS[wanted["newest"]]
    if wanted["any_level"]:
        context.set_ciphers("ALL:!aNULL:@SECLEVEL=0")
    for chain in wanted["chains"]:
        context.load_cert_chain(chain["chain"], chain["key"])
    if wanted["client"]:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(wanted["ca"])
    return context


async def main(wanted):
    context = context_of(wanted)
    serve = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Sink(), hostname=wanted["name"], tls_context=context, require_starttls=wanted["requires_tls"]), "0.0.0.0", wanted["port"],
    )
    await serve.serve_forever()


with open(sys.argv[1], encoding="utf-8") as stream:
    asyncio.run(main(json.load(stream)))
