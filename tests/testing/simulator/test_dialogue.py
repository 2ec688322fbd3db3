from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from audiosocket_gw.audio import PCM_8000, AudioFormat, Converter, linear_to_ulaw, ulaw_to_linear
from audiosocket_gw.testing.simulator import Speech, Turn, load_scenario, prompts
from audiosocket_gw.testing.simulator.dialogue import burst_cuts
from audiosocket_gw.testing.simulator.scenario import Alignment, BargeIn, Mode, Noise
from tests.testing.simulator.client import MANUAL, QUIET, SILENCE, SPEECH, Client, beep, conversing, tone

GREETING = replace(QUIET, greeting=Turn(say=Speech("greeting")))


async def test_the_greeting_comes_in_two_odd_bursts_much_faster_than_real_time() -> None:
    async with conversing(GREETING) as (simulator, client):
        response = await client.until("agent_response")
        conversation = simulator.conversations[0]
    assert response["agent_response_event"] == {"agent_response": prompts.WORDS["greeting"], "event_id": 1}
    assert client.audio == conversation.log.sent_audio == prompts.audio_of("greeting", PCM_8000)
    sizes = [size for _, size in conversation.log.sent_audio_sizes]
    assert len(sizes) == 2
    assert all(size % 320 for size in sizes)
    assert all(event["event_id"] == 1 and "alignment" not in event for event in client.audio_events)


@pytest.mark.parametrize("name", ["ulaw_8000", "pcm_16000", "pcm_44100"])
async def test_the_greeting_comes_in_the_agents_format(name: str) -> None:
    async with conversing(replace(GREETING, output_format=name)) as (_, client):
        await client.until("agent_response")
    assert client.audio == prompts.audio_of("greeting", AudioFormat.parse(name))


async def test_the_caller_is_answered_turn_by_turn_and_the_last_turn_repeats(tmp_path: Path) -> None:
    turns = (
        Turn(heard="One.", say=beep(tmp_path, name="first")),
        Turn(heard="Two.", say=beep(tmp_path, name="second")),
    )
    async with conversing(replace(QUIET, turns=turns)) as (_, client):
        await client.until("ping")
        for heard, said, event_id in (("One.", "first", 2), ("Two.", "second", 3), ("Two.", "second", 4)):
            await client.say_something()
            transcript = (await client.until("user_transcript"))["user_transcription_event"]
            assert transcript == {"user_transcript": heard, "event_id": event_id}
            response = (await client.until("agent_response"))["agent_response_event"]
            assert response == {"agent_response": said, "event_id": event_id}
            assert client.audio_events[-1]["event_id"] == event_id
            await asyncio.sleep(0.05)


async def test_mu_law_is_heard_too() -> None:
    async with conversing(replace(QUIET, input_format="ulaw_8000")) as (_, client):
        await client.until("ping")
        await client.send_audio(linear_to_ulaw(SPEECH + SILENCE))
        await client.until("user_transcript")


async def test_without_turns_the_agent_only_listens() -> None:
    async with conversing(QUIET) as (_, client):
        await client.until("ping")
        await client.say_something()
        await client.say_something()
        await client.until("user_transcript")
        await client.until("user_transcript")
    assert not client.audio


async def test_a_text_of_the_caller_is_answered_without_a_transcript(tmp_path: Path) -> None:
    async with conversing(replace(QUIET, turns=(Turn(say=beep(tmp_path)),))) as (_, client):
        await client.until("ping")
        await client.send({"type": "user_message", "text": "Hello?"})
        await client.until("agent_response")
    assert "user_transcript" not in client.types()


@pytest.mark.parametrize("text_first", [True, False])
async def test_the_text_comes_before_or_after_the_audio(text_first: bool) -> None:
    async with conversing(replace(GREETING, text_first=text_first)) as (_, client):
        await client.until("agent_response")
        assert bool(client.audio) is not text_first


async def test_a_reply_can_say_that_it_is_over() -> None:
    async with conversing(replace(GREETING, is_final=True, response_complete=True)) as (_, client):
        complete = await client.until("agent_response_complete")
    assert complete["agent_response_complete_event"] == {"event_id": 1}
    assert [event.get("is_final") for event in client.audio_events] == [None, None, True]
    assert client.audio_events[-1]["audio_base_64"] == ""


async def test_the_alignment_spreads_the_text_over_the_audio() -> None:
    async with conversing(replace(GREETING, alignment=Alignment.FULL)) as (_, client):
        await client.until("agent_response")
    alignments = [event["alignment"] for event in client.audio_events]
    assert (
        "".join(char for alignment in alignments for char in alignment["chars"]) == prompts.WORDS["greeting"]
    )
    total_ms = sum(duration for alignment in alignments for duration in alignment["char_durations_ms"])
    assert abs(total_ms - 1000 * PCM_8000.seconds_of(bytes(client.audio))) <= 2
    assert all(alignment["char_start_times_ms"][0] == 0 for alignment in alignments)


async def test_audio_without_text_has_no_alignment() -> None:
    async with conversing(replace(MANUAL, alignment=Alignment.FULL)) as (simulator, client):
        await client.until("ping")
        await simulator.conversations[0].send_audio(b"\x00\x00")
        await client.until("audio")
    assert client.audio_events[0]["alignment"] is None


async def test_all_the_noise_leaves_the_audio_as_it_is() -> None:
    scenario = replace(load_scenario("noisy"), silence_ms=40)
    async with conversing(scenario) as (_, client):
        await client.until("agent_response_complete")
    assert client.audio == prompts.audio_of("greeting", PCM_8000)
    assert {"vad_score", "guardrail_triggered", "event_of_a_later_version"} <= set(client.types())
    transcripts = [message for message in client.messages if message["type"] == "user_transcript"]
    assert transcripts[0]["user_transcription_event"]["user_transcript"] == "..."
    assert all("field_of_a_later_version" in message for message in client.messages)
    assert any(event["alignment"] is None for event in client.audio_events)
    assert any(event["audio_base_64"] == "" for event in client.audio_events)


async def test_noise_can_be_chosen_by_itself() -> None:
    scenario = replace(GREETING, noise=frozenset({Noise.EMPTY_AUDIO}), response_complete=True)
    async with conversing(scenario) as (_, client):
        await client.until("agent_response_complete")
    assert client.types() == ["conversation_initiation_metadata", "agent_response", "agent_response_complete"]


@pytest.mark.parametrize("odd_bytes", [False, True])
@pytest.mark.parametrize("bursts", [1, 2, 3, 7])
def test_bursts_are_no_multiples_of_a_frame(bursts: int, odd_bytes: bool) -> None:
    cuts = burst_cuts(60_000, bursts, 2, odd_bytes)
    assert (cuts[0], cuts[-1], len(cuts)) == (0, 60_000, bursts + 1)
    assert cuts == sorted(cuts)
    assert all(cut % 320 for cut in cuts[1:-1])
    assert any(cut % 2 for cut in cuts) is (odd_bytes and bursts > 1)


def test_what_is_too_short_is_not_cut() -> None:
    assert burst_cuts(40, 5, 2, False) == [0, 40]


async def test_bursts_can_have_gaps(tmp_path: Path) -> None:
    scenario = replace(QUIET, greeting=Turn(say=beep(tmp_path, 200)), burst_gap_s=0.05, bursts=3)
    async with conversing(scenario) as (simulator, client):
        await client.until("agent_response")
        times = [at for at, _ in simulator.conversations[0].log.sent_audio_sizes]
    assert len(times) == 3
    assert times[1] - times[0] >= 0.04


# Interruption.


async def interrupted(scenario_barge_in: BargeIn, *, late: int = 0) -> Client:
    """Interrupt the greeting and read up to the answer and its audio, and ``late`` audio messages before."""
    scenario = replace(GREETING, barge_in=scenario_barge_in, turns=(Turn(say=Speech("go-ahead")),))
    async with conversing(scenario) as (_, client):
        await client.until("agent_response")
        client.audio_events.clear()
        await client.say_something()
        await client.until("agent_response")
    return client


def one(client: Client, kind: str) -> dict[str, object]:
    (message,) = [message for message in client.messages if message["type"] == kind]
    return message


@pytest.mark.parametrize(
    ("barge_in", "event_id"),
    [(BargeIn.INTERRUPTED_ID, 1), (BargeIn.LATE_AUDIO, 1), (BargeIn.NEW_ID, 2), (BargeIn.TOOL_AUDIO, 1)],
)
async def test_the_caller_interrupts(barge_in: BargeIn, event_id: int) -> None:
    client = await interrupted(barge_in)
    assert one(client, "interruption")["interruption_event"] == {"event_id": event_id}
    late = [0, 1] if barge_in == BargeIn.LATE_AUDIO else []
    assert [event["event_id"] for event in client.audio_events] == [*late, 2, 2]
    types = client.types()
    assert types[2:] == ["interruption", "agent_response_correction", "user_transcript", "agent_response"]


async def test_the_correction_has_only_the_words_that_were_heard() -> None:
    async with conversing(GREETING) as (_, client):
        await client.until("agent_response")
        await asyncio.sleep(1)
        await client.send_audio(SPEECH)
        correction = (await client.until("agent_response_correction"))["agent_response_correction_event"]
    words = prompts.WORDS["greeting"]
    assert correction["original_agent_response"] == words
    assert correction["event_id"] == 1
    assert words.startswith(correction["corrected_agent_response"])
    assert 0 < len(correction["corrected_agent_response"]) < len(words)


async def test_what_has_been_heard_is_not_interrupted(tmp_path: Path) -> None:
    async with conversing(replace(QUIET, greeting=Turn(say=beep(tmp_path)))) as (_, client):
        await client.until("agent_response")
        await asyncio.sleep(0.1)
        await client.say_something()
        await client.until("user_transcript")
    assert "interruption" not in client.types()


async def test_an_interruption_can_come_with_nothing_playing() -> None:
    async with conversing(replace(QUIET, barge_in=BargeIn.IDLE)) as (_, client):
        await client.until("ping")
        await client.say_something()
        transcript = await client.until("user_transcript")
    assert client.types()[1:] == ["interruption", "user_transcript"]
    assert transcript["user_transcription_event"]["event_id"] == 2


async def test_a_text_interrupts_as_well() -> None:
    async with conversing(GREETING) as (_, client):
        await client.until("agent_response")
        await client.send({"type": "user_message", "text": "Stop."})
        await client.until("interruption")


async def test_bursts_still_to_come_are_not_sent_after_an_interruption() -> None:
    async with conversing(replace(GREETING, burst_gap_s=3_600)) as (_, client):
        await client.until("audio")
        await client.say_something()
        await client.until("user_transcript")
    assert len(client.audio_events) == 1


# The caller's silence.


async def test_the_agent_repeats_itself_after_silence(tmp_path: Path) -> None:
    scenario = replace(QUIET, greeting=Turn(say=beep(tmp_path)), turn_timeout_s=0.05)
    async with conversing(scenario) as (_, client):
        await client.until("agent_response")
        transcript = (await client.until("user_transcript"))["user_transcription_event"]
        repeated = (await client.until("agent_response"))["agent_response_event"]
    assert transcript == {"user_transcript": "...", "event_id": 2}
    assert repeated == {"agent_response": "beep", "event_id": 2}


async def test_silence_can_end_the_call(tmp_path: Path) -> None:
    scenario = replace(QUIET, greeting=Turn(say=beep(tmp_path)), silence_end_call_s=0.1, turn_timeout_s=0.04)
    async with conversing(scenario) as (_, client):
        assert await client.until_closed() == (1000, "The caller has been silent for too long")


async def test_a_caller_who_is_speaking_is_not_silent() -> None:
    async with conversing(replace(QUIET, silence_end_call_s=0.5)) as (_, client):
        await client.until("ping")
        await client.send_audio(SPEECH)
        await asyncio.sleep(0.7)
        await client.send_audio(SILENCE)
        await client.until("user_transcript")


# The other modes.


async def test_the_echo_is_the_audio_of_the_caller() -> None:
    async with conversing(load_scenario("echo")) as (simulator, client):
        await client.until("ping")
        for size in (320, 322, 2):
            await client.send_audio(tone(1_000)[:size])
            await client.until("audio")
        assert client.audio == simulator.conversations[0].log.received_audio


async def test_the_echo_is_converted_when_the_formats_differ() -> None:
    scenario = replace(MANUAL, mode=Mode.ECHO, input_format="ulaw_8000", output_format="pcm_8000")
    async with conversing(scenario) as (_, client):
        await client.until("ping")
        await client.send_audio(linear_to_ulaw(SPEECH))
        await client.until("audio")
    assert client.audio == ulaw_to_linear(linear_to_ulaw(SPEECH))


async def test_the_echo_at_another_rate_has_no_seams() -> None:
    scenario = replace(MANUAL, mode=Mode.ECHO, output_format="pcm_16000")
    audio = tone(400)
    async with conversing(scenario) as (_, client):
        await client.until("ping")
        for start in range(0, len(audio), 322):
            await client.send_audio(audio[start : start + 322])
            await client.until("audio")
    at_once = Converter(PCM_8000, AudioFormat.parse("pcm_16000")).convert(audio)
    assert client.audio == at_once


async def test_the_silent_agent_says_nothing() -> None:
    async with conversing(replace(load_scenario("silent"), ping_interval_s=0.02)) as (_, client):
        await client.until("ping")
        await client.say_something()
        for _ in range(3):
            await client.until("ping")
    assert client.types() == ["conversation_initiation_metadata"]
    assert not client.audio


async def test_a_conversation_can_be_driven_by_hand() -> None:
    async with conversing(load_scenario("manual")) as (simulator, client):
        conversation = await simulator.wait_for_conversation()
        await conversation.announced.wait()
        await conversation.send_audio(b"\x01\x00\x02")
        await conversation.interrupt()
        await conversation.send_audio(b"\x03\x00")
        await conversation.send_audio(b"\x04\x00", event_id=7)
        await conversation.send({"type": "anything"})
        await conversation.connection.close(1000, "Done")
        assert await client.until_closed() == (1000, "Done")
    assert client.audio == b"\x01\x00\x02\x03\x00\x04\x00"
    assert [event["event_id"] for event in client.audio_events] == [1, 2, 7]
    assert client.types() == ["conversation_initiation_metadata", "interruption", "anything"]
