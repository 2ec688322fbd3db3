"""What each end of a call means, and what to do about it and about other faults. Pure.

That of the ends is the table of `docs/end-reasons.md` as plain text; a test keeps the two the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.events import TransferOutcome


@dataclass(frozen=True, slots=True)
class Advice:
    """``happened`` and ``to_do``: sentences, with names of settings and the like in backticks."""

    happened: str
    to_do: str


ADVICE: Mapping[EndReason, Advice] = {
    EndReason.CALLER_HANGUP: Advice(
        "Asterisk closed the connection: the caller hung up, or a program other than the gateway "
        "redirected the channel.",
        "Nothing; this is normal.",
    ),
    EndReason.AGENT_HANGUP: Advice(
        "The agent ended the conversation (close code 1000), or hung up with `avr_hangup`; or the caller "
        "pressed a key that hangs up. The caller heard everything that was queued.",
        "Nothing; this is normal.",
    ),
    EndReason.OPERATOR_HANGUP: Advice(
        "An operator hung up: `POST /calls/{uuid}/hangup`, the dashboard, or `audiosocket-gw calls UUID "
        "hangup`.",
        "Nothing; this is normal.",
    ),
    EndReason.TRANSFERRED: Advice(
        "`avr_transfer`, a key or an operator transferred the caller to the destination in the log line.",
        "Nothing; this is normal.",
    ),
    EndReason.AGENT_URL_FAILED: Advice(
        "`ELEVENLABS_AGENT_URL` named no agent: no answer in time, not 200, not JSON, or no `system`.",
        "The log line quotes the answer. Check that service.",
    ),
    EndReason.AGENT_UNREACHABLE: Advice(
        "No connection to ElevenLabs: refused, no such host, TLS failure, or an HTTP 5xx.",
        "Check the network and `ELEVENLABS_BASE_URL`. With a company's proxy or a private authority, see "
        "network.md.",
    ),
    EndReason.AGENT_UNAUTHORIZED: Advice(
        "ElevenLabs rejected the credentials (401, 403).",
        "Check `ELEVENLABS_API_KEY` and its permissions. A private agent needs it.",
    ),
    EndReason.AGENT_NOT_FOUND: Advice(
        "ElevenLabs has no such agent (404).",
        "Check the agent id, and that key and agent belong to the same region (`ELEVENLABS_BASE_URL`).",
    ),
    EndReason.AGENT_TIMEOUT: Advice(
        "A step to the agent took longer than `AGENT_CONNECT_TIMEOUT`.",
        "The log line names the step.",
    ),
    EndReason.AGENT_QUOTA: Advice(
        "The account's quota is used up.",
        "Raise the plan or its limit.",
    ),
    EndReason.AGENT_BUSY: Advice(
        "More simultaneous conversations than the plan or the agent allows (429, 3008, 4300, or the queue "
        "timed out or took longer than `AGENT_QUEUE_TIMEOUT`).",
        "Lower `MAX_CALLS` to the plan's concurrency, or raise the plan. If the gateway has fewer calls than "
        "the plan allows, something else uses the account: another gateway, a widget, a test.",
    ),
    EndReason.AGENT_REJECTED: Advice(
        "The agent rejected what it was sent (1008; also 1003, 1007, 1009: a kind, an encoding or a size "
        "that it doesn't accept).",
        "The log line quotes ElevenLabs: an override that isn't allowed, or a dynamic variable that the "
        "agent's prompt uses and that wasn't sent.",
    ),
    EndReason.AGENT_FAILED: Advice(
        "The agent failed (1002, 1011, and every code that isn't listed here, such as those from 4000 on): "
        "model, speech, safety, or 60 s without input.",
        "The log line quotes ElevenLabs' code and text, and says whether a guardrail was triggered just "
        "before.",
    ),
    EndReason.AGENT_FORMAT: Advice(
        "The agent's audio format is not a known format of ElevenLabs.",
        "Change it in the agent's settings; the log line names the direction.",
    ),
    EndReason.AGENT_PROTOCOL: Advice(
        "The answer is not ElevenLabs' protocol; or the agent sent more than a conversation has (a message "
        "over 2 MiB, floods of messages); or the signed URL names a host that it may not (network.md).",
        "Check `ELEVENLABS_BASE_URL`; a proxy's error page is a common cause. A redirect (301, 302, 307, "
        "308) isn't followed; the log line has its target.",
    ),
    EndReason.AGENT_LOST: Advice(
        "The connection to the agent broke (1006) or was silent for 20 s; or the service went away (1001), "
        "restarts (1012), is overloaded (1013), was lost by a proxy (1014), or closed without a code "
        "(1005).",
        "The log line says which. With a code there is nothing to do here, unless the proxy is yours: it "
        "passes. Otherwise check the network.",
    ),
    EndReason.SILENT_AGENT: Advice(
        "The agent connected and said nothing for `SILENT_AGENT_SECONDS`; only with "
        "`SILENT_AGENT_ACTION=end`.",
        "Look the conversation up at ElevenLabs by its id: no first message, a voice that can't be used, "
        "or a model that fails. An agent that waits for the caller's first words needs "
        "`SILENT_AGENT_SECONDS=0`.",
    ),
    EndReason.CALLER_STALLED: Advice(
        "Asterisk accepted no audio for 5 s, or acknowledged none for 20 s.",
        "Asterisk is overloaded, or the network to it is down.",
    ),
    EndReason.CALLER_SILENT: Advice(
        "No audio came from the caller for `NO_INPUT_TIMEOUT`, not even silence.",
        "Nothing, if the caller was on hold or on mute that long, or is no telephone at all. If it was a "
        "real call, audio from the telephone doesn't reach Asterisk: check NAT and firewall, and dial 600 "
        "(echo).",
    ),
    EndReason.CALLER_UNKNOWN: Advice(
        "Asterisk answered that none of its channels is in the call, which `REQUIRE_AMI_MATCH` demands. No "
        "agent was connected.",
        "Something other than Asterisk called the gateway, or the PBX is not the one in `AMI_HOST`: add it "
        "to `AMI_HOSTS`.",
    ),
    EndReason.PBX_UNREACHABLE: Advice(
        "Asterisk couldn't be asked whether it has the call, which `REQUIRE_AMI_MATCH` demands. No agent "
        "was connected.",
        "The log line says why: no connection to AMI, no answer, no permission, or no entry in `AMI_HOSTS`.",
    ),
    EndReason.CALLER_PROTOCOL: Advice(
        "The peer does not speak AudioSocket: it began without a UUID, left a frame unfinished for 5 s, or "
        "was 30 s ahead of real time with its audio, keys and changes of the rate.",
        "The log line says what it sent.",
    ),
    EndReason.GATEWAY_FULL: Advice(
        "`MAX_CALLS` calls are in progress, so this one was rejected before it began: the log says `call "
        "rejected`, and there is no line `ended`. Only the dialplan gets this reason.",
        "Raise `MAX_CALLS`, if the agent's plan and the machine allow it.",
    ),
    EndReason.OVERLOADED: Advice(
        "The gateway was overloaded, so this call was rejected before its agent was called, to protect "
        "calls in progress. The log says `overloaded`, why, and with which figures. A call that came when "
        "there was no room has waited up to a second and has a line `ended`; one that came later was "
        "rejected at once, and only the dialplan gets the reason.",
        "What the log line advises: lower `MAX_CALLS`, add a second gateway, or keep other work off its "
        "core. `REFUSE_OVERLOAD=false` accepts calls regardless.",
    ),
    EndReason.UUID_INVALID: Advice(
        "`UUID_SECRET` is set, and the UUID wasn't signed with it, is older than `UUID_MAX_AGE`, or was "
        "used before, so this call was rejected before it began: the log says `call rejected` and which of "
        "these, and there is no line `ended`. Only the dialplan gets this reason.",
        "See signed UUIDs: compare secrets and clocks.",
    ),
    EndReason.PEER_LIMIT: Advice(
        "The address isn't a known PBX and had its share of calls, or of new calls, so this call was "
        "rejected before it began: the log says `call rejected`, and there is no line `ended`. Only the "
        "dialplan gets this reason.",
        "If it is a PBX of yours, list its address by itself in `ALLOWED_PEERS`.",
    ),
    EndReason.MAX_DURATION: Advice(
        "The call lasted `MAX_CALL_SECONDS`. The caller heard the end of what the agent was saying.",
        "Nothing, if such calls are too long; otherwise raise the limit. If there are many, the agent "
        "doesn't hang up by itself (ElevenLabs' `silence_end_call_timeout` is off by default).",
    ),
    EndReason.DRAINED: Advice(
        "The gateway was stopped, and the call lasted longer than `DRAIN_TIMEOUT`.",
        "Raise `DRAIN_TIMEOUT`.",
    ),
    EndReason.INTERNAL_ERROR: Advice(
        "A defect of the gateway.",
        "The log has the traceback: please report it.",
    ),
    EndReason.GATEWAY_LOST: Advice(
        "The gateway's process or machine died during the call: killed, out of memory, crashed. Only the "
        "dialplan gets this reason: it is set on the caller's channel in advance, and overwritten by every "
        "other end.",
        "Check the log of what runs the process: systemd, Docker, the kernel's out-of-memory killer.",
    ),
}

SILENT_AGENT = "Check the agent's first message, voice and model in ElevenLabs."

LATE_ANSWERS = "Such a wait is the agent's own: look at its model, tools and turn settings in ElevenLabs."

UNDECODABLE = (
    "Name the codec in the dialplan, `Dial(AudioSocket/HOST:PORT/UUID/c(slin))`: a WARNING of this call in "
    "the log has the line to change, and docs/asterisk.md examples."
)

SLOW_TOOL = "The caller waits for it: make what it asks faster, or shorten its time limit."

FAILED_TOOL = "The log has the error."

MANAGER = "The log says why. Check Asterisk, and host, user and password of its manager interface."

TRANSFERS = {
    TransferOutcome.REFUSED: "If it should be allowed, add it to TRANSFER_DESTINATIONS; otherwise correct "
    "the agent's prompt.",
    TransferOutcome.FAILED: "The log has Asterisk's answer.",
}


def plain(reason: EndReason) -> str:
    """Return what to do after such an end, without marks around names."""
    return ADVICE[reason].to_do.replace("`", "")
