"""The transcript of a call, from its events: who said what when, and what the caller never heard. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from audiosocket_gw import events
from audiosocket_gw.call_page.direction import Span
from audiosocket_gw.call_page.model import Speaker, Words
from audiosocket_gw.redaction import mask_text

MAX_TEXT = 600
"""Characters of an utterance that are shown."""

OVERLAP = 100
"""Characters beyond them that are also masked: a number may be cut."""

MAX_WORDS = 2_000
"""Utterances that are shown; the first and the last half of them."""


def transcript(happened: Sequence[events.CallEvent], caller: Sequence[Span]) -> tuple[Words, ...]:
    """Return the transcript; ``caller`` are the caller's utterances, as its audio has them.

    The caller's text comes when it has stopped to speak, so it goes where its last utterance began.
    """
    replies = [event.at for event in happened if isinstance(event, events.ReplyStarted)]
    spoken = [span.start for span in caller]
    found: list[Words] = []
    for event in happened:
        match event:
            case events.CallerSaid(text=text):
                found.append(Words(_last(spoken, event.at), Speaker.CALLER, text))
            case events.AgentSaid(text=text, corrected=False):
                found.append(Words(_nearest(replies, event.at), Speaker.AGENT, text))
            case events.AgentSaid(text=text):
                _cut(found, text)
            case events.ReplyHeard(text=text, heard=heard, interrupted=True):
                _cut(found, heard, of=text)
    found.sort(key=lambda words: words.at)
    half = MAX_WORDS // 2
    kept = found if len(found) <= MAX_WORDS else [*found[:half], *found[-half:]]
    return tuple(map(_masked, kept))


def _masked(words: Words) -> Words:
    """Return words masked, however they were recorded, and cut.

    A number may be partly heard: so both parts are masked as one text, whose length mostly stays.
    """
    heard, unheard = words.text[: MAX_TEXT + OVERLAP], words.unheard[: MAX_TEXT + OVERLAP]
    whole = mask_text(f"{heard} {unheard}")
    if len(whole) == len(heard) + 1 + len(unheard):
        heard, unheard = whole[: len(heard)], whole[len(heard) + 1 :]
    else:
        heard, unheard = mask_text(heard), mask_text(unheard)
    return replace(words, text=_fitted(heard), unheard=_fitted(unheard))


def _fitted(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + " …"


def _last(times: Sequence[float], at: float) -> float:
    place = bisect_right(times, at)
    return times[place - 1] if place else at


def _nearest(times: Sequence[float], at: float) -> float:
    """A reply's text comes shortly before or after its first audio."""
    place = bisect_right(times, at)
    return min(times[max(0, place - 1) : place + 1], key=lambda time: abs(time - at), default=at)


def _cut(found: list[Words], heard: str, of: str | None = None) -> None:
    """Split the agent's last reply, or the last one that reads ``of``, into what was heard and what wasn't.

    A reply that is split stays as it is: the gateway says what was heard, and ElevenLabs' correction follows.
    """
    for place in range(len(found) - 1, max(-1, len(found) - 20), -1):
        reply = found[place]
        if reply.speaker is Speaker.AGENT and (of is None or reply.text == of):
            spoken = heard.rstrip(".… ")
            if reply.unheard:
                return
            if not reply.text.startswith(spoken):
                found[place] = replace(reply, text=heard)
            elif unheard := reply.text[len(spoken) :].strip():
                found[place] = replace(reply, text=spoken, unheard=unheard)
            return
