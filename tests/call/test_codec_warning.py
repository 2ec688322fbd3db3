"""The line of the dialplan to change, as an operator sees it."""

from __future__ import annotations

from uuid import UUID

import pytest

from audiosocket_gw.ami.call_control import CallerData
from audiosocket_gw.ami.dialplan import DialplanLine
from audiosocket_gw.ami.registry import Channel
from audiosocket_gw.audio import ULAW_8000
from audiosocket_gw.call.codec_warning import passthrough_warning
from audiosocket_gw.log.text import SENTENCE_LIMIT, Sentence, fit

CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
CHANNEL = Channel("PJSIP/1001-00000007", "1.1", "1.1", "01711234567", "Alice", "5012", "phones", "5012")
TARGET = f"AudioSocket/198.51.100.200:5001/{CALL}"


def warning(options: str) -> str:
    line = DialplanLine("phones", "5012", "2", "Dial", TARGET + options)
    caller = CallerData(CHANNEL, {}, line, "ulaw")
    return fit(str(Sentence(passthrough_warning(CALL, caller, ULAW_8000))), SENTENCE_LIMIT)


@pytest.mark.parametrize("options", ["", ",", ",30", ",,g", ",30,gtT"])
def test_the_line_and_its_successor_are_shown_whole(options: str) -> None:
    assert warning(options).endswith(
        f"Change the line at 5012@phones:2 from Dial({TARGET}{options}) to Dial({TARGET}/c(slin){options})"
    )


@pytest.mark.parametrize(
    "options",
    [
        ',30,gf("Alice" <01711234567>)',
        ",30,b(set-name^s^1(Alice^01711234567))g",
        ",,U(log^Alice)",
        ",30,g,http://crm.example/Alice",
    ],
)
def test_what_options_say_of_the_caller_is_not_shown(options: str) -> None:
    shown = warning(options)
    assert "Alice" not in shown
    assert "0171" not in shown
    assert shown.endswith(f"from Dial({TARGET},...) to Dial({TARGET}/c(slin),...)")
