from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path

import pytest

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.testing.simulator import (
    Close,
    Scenario,
    Speech,
    Tool,
    Turn,
    load_scenario,
    scenario_names,
)
from audiosocket_gw.testing.simulator.scenario import Mode, Noise
from audiosocket_gw.testing.simulator.turn import CloseAt, Disconnect, ToolsAt


@pytest.mark.parametrize("name", scenario_names())
def test_every_shipped_scenario_loads_and_says_what_it_is(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.description.endswith(".")


def test_the_receptionist_says_goodbye_on_the_fourth_turn() -> None:
    scenario = load_scenario("receptionist")
    assert scenario.mode == Mode.CONVERSATION
    assert [turn.close is not None for turn in scenario.turns] == [False, False, False, True]


def test_a_file_can_say_everything(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        description = "Mine."
        output_format = "ulaw_8000"
        noise = ["extra-fields"]
        greeting = { say = "greeting" }
        [[turns]]
        heard = "Hello?"
        say = { prompt = "goodbye", text = "Bye." }
        tools = [{ name = "look_up", parameters = { number = 7 }, timeout_s = 3 }]
        tools_at = "after-speech"
        say_after_failed_tools = "apology"
        close = { code = 1011, at = "mid-reply", how = "drop" }
        """,
        encoding="utf-8",
    )
    assert load_scenario(str(path)) == Scenario(
        name="mine",
        description="Mine.",
        output_format="ulaw_8000",
        noise=frozenset({Noise.EXTRA_FIELDS}),
        greeting=Turn(say=Speech("greeting")),
        turns=(
            Turn(
                heard="Hello?",
                say=Speech("goodbye", "Bye."),
                tools=(Tool("look_up", {"number": 7}, timeout_s=3),),
                tools_at=ToolsAt.AFTER_SPEECH,
                say_after_failed_tools=Speech("apology"),
                close=Close(1011, at=CloseAt.MID_REPLY, how=Disconnect.DROP),
            ),
        ),
    )


def test_a_file_finds_its_sounds_beside_it(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "hello there.wav"), "wb") as writer:
        writer.setparams((1, 2, 16_000, 0, "NONE", ""))
        writer.writeframes(bytes(320))
    (tmp_path / "mine.toml").write_text('[greeting]\nsay = "hello there.wav"', encoding="utf-8")
    speech = load_scenario(str(tmp_path / "mine.toml")).greeting.say
    assert speech is not None
    assert speech.prompt == str(tmp_path / "hello there.wav")
    assert speech.words == "hello there"


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ('mode = "ech"', "mode = 'ech': Input should be 'conversation', 'echo', 'silent' or 'manual'"),
        ("volume = 3", "volume: there is no such key; see docs/simulator.md"),
        ('output_format = "mp3"', "output_format = 'mp3': take one of pcm_8000, "),
        ('queue = ["maybe"]', "queue = 'maybe': take one of waiting, admitted, timed_out"),
        ("bursts = 0", "bursts = 0: Input should be greater than or equal to 1"),
        (
            '[[turns]]\nsay = "nothing"',
            "turns.0.say = {'prompt': 'nothing'}: there is no prompt 'nothing'; take a .wav",
        ),
        ("[[turns]]\nsay = 5", "turns.0.say = 5: "),
        ("[[turns]]\nsay = { prompt = 5 }", "turns.0.say.prompt = 5: Input should be a valid string"),
        ("[[turns]]\n[[turns]]\ntools = [{}]", "turns.1.tools.0.name: is missing"),
        (
            "[greeting.close]\ncode = 99",
            "greeting.close.code = 99: Input should be greater than or equal to 1000",
        ),
        ("mode = ", "can't be read as TOML"),
        (f"mode = {'9' * 5_000}", "can't be read as TOML"),
        (f"mode = {'[' * 5_000}", "can't be read as TOML"),
    ],
)
def test_a_bad_file_is_explained(tmp_path: Path, toml: str, complaint: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(toml, encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        load_scenario(str(path))
    assert str(path) in str(raised.value)
    assert complaint in str(raised.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('mode = "x"\nping_interval_s = 0\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"(?s)mode = 'x'.*ping_interval_s = 0"):
        load_scenario(str(path))


@pytest.mark.parametrize("name", ["no-such-scenario", "/no/such/file.toml"])
def test_a_missing_scenario_is_named_with_the_ones_there_are(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no scenario '{name}'.*echo.*receptionist"):
        load_scenario(name)


def test_a_folder_is_no_scenario(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_scenario(str(tmp_path / "x.toml"))


def test_variants_are_checked_too() -> None:
    with pytest.raises(ValueError, match="input_format = 'pcm_7'"):
        replace(Scenario(), input_format="pcm_7")
    with pytest.raises(ValueError, match="no prompt 'x'"):
        Speech("x")
