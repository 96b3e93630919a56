# SPDX-License-Identifier: GPL-3.0-or-later
"""SMTP up to STARTTLS, then whatever speaks TLS on another port of this host: python3 starttls_front.py PORT PORT_OF_TLS"""
import asyncio
import sys


REPLIES = {b"EHLO": b"250-mx.foreign.test\r\n250 STARTTLS\r\n", b"STARTTLS": b"220 Go ahead\r\n", b"QUIT": b"221 Bye\r\n"}


async def copy(source, sink):
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()


async def serve(reader, writer):
    writer.write(b"220 mx.foreign.test ESMTP\r\n")
    while line := await reader.readline():
        verb = line.split()[0].upper() if line.split() else b""
        writer.write(REPLIES.get(verb, b"530 Must issue a STARTTLS command first\r\n"))
        if verb == b"STARTTLS":
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
            await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer), return_exceptions=True)
        if verb in (b"QUIT", b"STARTTLS"):
            break
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
