"""A SIP phone for what no well-behaved one sends: any packet time, lost packets, keys by INFO."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from tests.asterisk.lab import SIP_PASSWORD, Lab

USER = "1001"
PCMU = 0
COMFORT_NOISE = 13
ANSWER_LIMIT_S = 20


class RawPhone(asyncio.DatagramProtocol):
    """The phone 1001 of the shipped pjsip.conf, in a call. Its RTP is mu-law."""

    def __init__(self, lab: Lab, extension: str) -> None:
        self._host = f"127.0.0.1:{lab.ports.phone}"
        self._rtp_port = lab.ports.phone_rtp
        self._server = ("127.0.0.1", lab.ports.sip)
        self._uri = f"sip:{extension}@127.0.0.1:{lab.ports.sip}"
        self._call_id = f"{random.randrange(1 << 48):x}"
        self._tag = f"{random.randrange(1 << 32):x}"
        self._to = f"<{self._uri}>"
        self._contact = self._uri
        self._cseq = 0
        self._replies: asyncio.Queue[str] = asyncio.Queue()
        self._sequence = self._timestamp = 0

    async def dial(self) -> None:
        """Call, and wait until Asterisk has answered."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self, (self._host.split(":")[0], int(self._host.split(":")[1]))
        )
        self._transport = transport
        rtp, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", self._rtp_port))
        self._rtp = rtp
        sdp = (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self._rtp_port} RTP/AVP {PCMU} {COMFORT_NOISE}\r\na=rtpmap:0 PCMU/8000\r\n"
            "a=rtpmap:13 CN/8000\r\n"
        )
        reply = await self._request("INVITE", "application/sdp", sdp)
        if " 401 " in reply.splitlines()[0]:
            self._acknowledge(reply)
            reply = await self._request("INVITE", "application/sdp", sdp, self._answer_to(reply))
        self._acknowledge(reply)
        assert " 200 " in reply.splitlines()[0], reply
        (port,) = re.findall(r"^m=audio (\d+)", reply, re.MULTILINE)
        self._peer_rtp = ("127.0.0.1", int(port))

    async def press_by_info(self, key: str) -> None:
        """Send a key in a SIP INFO."""
        body = f"Signal={key}\r\nDuration=160\r\n"
        reply = await self._request("INFO", "application/dtmf-relay", body)
        if " 401 " in reply.splitlines()[0]:
            reply = await self._request(
                "INFO", "application/dtmf-relay", body, self._answer_to(reply, "INFO")
            )
        assert " 200 " in reply.splitlines()[0], reply

    async def speak(
        self, ulaw: bytes, packet_ms: float, lost: Callable[[int], bool] = lambda _: False
    ) -> None:
        """Send ``ulaw`` in packets of ``packet_ms``, in real time, but for those that get lost."""
        size = round(8 * packet_ms)
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, at in enumerate(range(0, len(ulaw), size)):
            due = start + number * packet_ms / 1000
            # A wake-up for each packet of 2.5 ms would be late more often than not.
            if number % max(1, round(10 / packet_ms)) == 0:
                await asyncio.sleep(due - loop.time())
            if not lost(number):
                self._send_rtp(PCMU, ulaw[at : at + size])
            self._sequence += 1
            self._timestamp += size

    def send_comfort_noise(self, payload: bytes) -> None:
        """Send one packet of comfort noise (RFC 3389): its level, and its spectrum if any."""
        self._send_rtp(COMFORT_NOISE, payload)
        self._sequence += 1

    def _send_rtp(self, payload_type: int, payload: bytes) -> None:
        header = struct.pack("!BBHII", 0x80, payload_type, self._sequence & 0xFFFF, self._timestamp, 1)
        self._rtp.sendto(header + payload, self._peer_rtp)

    async def hang_up(self) -> None:
        self._send("BYE", "", "")
        await asyncio.sleep(0.1)
        self._transport.close()
        self._rtp.close()

    def datagram_received(self, data: bytes, address: object) -> None:
        text = data.decode(errors="replace")
        if text.startswith("SIP/2.0"):
            if not text.startswith("SIP/2.0 1"):
                self._replies.put_nowait(text)
        elif not text.startswith("ACK"):  # BYE, mostly
            lines = _headers(text, ("Via", "From", "To", "Call-ID", "CSeq"))
            self._transport.sendto(
                "\r\n".join(("SIP/2.0 200 OK", *lines, "Content-Length: 0", "", "")).encode(), self._server
            )

    async def _request(self, method: str, content_type: str, body: str, authorization: str = "") -> str:
        self._send(method, content_type, body, authorization)
        async with asyncio.timeout(ANSWER_LIMIT_S):
            while True:
                reply = await self._replies.get()
                if f"CSeq: {self._cseq} {method}" in reply:
                    break
        (self._to,) = re.findall(r"^To: (.*?)\r?$", reply, re.MULTILINE)
        contact = re.search(r"^Contact: <([^>]+)>", reply, re.MULTILINE)
        if contact:
            self._contact = contact[1]
        return reply

    def _send(self, method: str, content_type: str, body: str, authorization: str = "") -> None:
        if method != "ACK":
            self._cseq += 1
        if method == "INVITE":
            self._to = f"<{self._uri}>"
        target = self._uri if method == "INVITE" else self._contact
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._host};rport;branch=z9hG4bK{random.randrange(1 << 48):x}",
            "Max-Forwards: 70",
            f"From: <sip:{USER}@127.0.0.1>;tag={self._tag}",
            f"To: {self._to}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {self._cseq} {method}",
            f"Contact: <sip:{USER}@{self._host}>",
            *([authorization] if authorization else []),
            *([f"Content-Type: {content_type}"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._transport.sendto("\r\n".join((*lines, "", body)).encode(), self._server)

    def _acknowledge(self, reply: str) -> None:
        if " 200 " not in reply.splitlines()[0]:
            self._contact = self._uri
        self._send("ACK", "", "")

    def _answer_to(self, challenge: str, method: str = "INVITE") -> str:
        """Return the Authorization header (RFC 8760 leaves MD5 as the one that everybody has)."""
        fields = dict(
            re.findall(r'(\w+)="([^"]*)"', challenge.split("WWW-Authenticate:", 1)[1].split("\r\n", 1)[0])
        )
        uri = self._uri if method == "INVITE" else self._contact
        secret = _md5(f"{USER}:{fields['realm']}:{SIP_PASSWORD}")
        nonce = fields["nonce"]
        response = _md5(f"{secret}:{nonce}:00000001:c:auth:{_md5(f'{method}:{uri}')}")
        opaque = f', opaque="{fields["opaque"]}"' if "opaque" in fields else ""
        return (
            f'Authorization: Digest username="{USER}", realm="{fields["realm"]}", nonce="{nonce}", '
            f'uri="{uri}", response="{response}", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"{opaque}'
        )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _headers(text: str, names: Iterable[str]) -> Iterable[str]:
    return (line for line in text.splitlines() if line.split(":", 1)[0] in names)


@asynccontextmanager
async def calling(lab: Lab, extension: str) -> AsyncIterator[RawPhone]:
    """Dial ``extension``; the block's end ends the call."""
    phone = RawPhone(lab, extension)
    await phone.dial()
    try:
        yield phone
    finally:
        await phone.hang_up()
