"""Foreign text in the log: masked, escaped, cut; and what an operator needs stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.log.text import VALUE_LIMIT, fit

NEEDED = [
    "127.0.0.1:40000",
    "192.168.100.200:5001",
    "[2001:db8::1234:5678]:40000",
    "10.0.0.0/8",
    "ALLOWED_PEERS=10.0.0.0/24,10.0.0.5",
    "Connect call failed ('::1', 40112, 0, 0)",
    "131,072 bytes or 4,096 lines; 2,097,152 bytes",
    "[2001:470:1234:5678::91]:5001",
    "2026-11-25T15:45:45.123Z",
    "2026-11-25 15:45:45",
    "40325ec2-5efd-4bd3-805f-53576e581d13",
    "40325123-5123-4123-8123-535761581123",
    "conv_01jz8k4r5ef9vbsm2v7xq9d0an",
    "agent_9801kaaaaaaaaaaaa1234567890",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "PJSIP/1001-00000007",
    "PJSIP/trunk-00000007",
    "from Local/5001@phones-0000000a;2 to IAX2/branch.example-0badcafe",
    "40325EC2-5EFD-4BD3-805F-53576E581D13",
    "1732549545.123",
    "0.12345678",
    "20261125T154545.123Z-40325ec2-5efd-4bd3-805f-53576e581d13.wav",
    "Asterisk 22.10.0",
    "an AudioSocket frame of 65535 bytes",
    "600@queues",
    "the line at 5002@phones:4, from Dial(AudioSocket/10.0.0.5:5001/40325ec2-5efd-4bd3-805f-53576e581d13,30)",
    "ElevenLabs closed with 1008: Missing required dynamic variables: {'caller_number'}",
    'Müller, O\'Brien and 李 \\ "quoted"',
]

PRIVATE = [
    ("01711234567", "###########"),
    ("+4917112345678", "+#############"),
    ("+49 171 1234567", "+## ### #######"),
    ("(030) 123-4567", "(###) ###-####"),
    ("030/1234567", "###/#######"),
    ("01.71.23.45.67", "##.##.##.##.##"),
    ("sip:01711234567@192.0.2.1:5060", "sip:###########@192.0.2.1:5060"),
    ("X-AVR-Caller-Number: %2B491711234567", "X-AVR-Caller-Number: %2B############"),
    ("PJSIP/01711234567-0000000a", "PJSIP/###########-0000000a"),
    ("PJSIP/030-01234567@trunk", "PJSIP/###-########@trunk"),
    ("Tel/030-01234567", "Tel/###-########"),
    ("030.1234567", "###.#######"),
    ("0301234567.1", "##########.#"),
    ("caller_01711234567", "caller_###########"),
    ("079.123.45.67", "###.###.##.##"),
    ("712.555.12.34:5060", "###.###.##.##:5060"),
    ("tel_0041791234567890", "tel_################"),
    ("0791-23-45", "####-##-##"),
    ("079\u00a0123\u00a045\u00a067", r"###\xa0###\xa0##\xa0##"),
    ("079\u2011123\u201345\u201367", "###\u2011###\u2013##\u2013##"),
    ("079\u200b123\t45\n67", r"###\u200b###\t##\n##"),
    (repr("079\u00a0123\u00a04567"), r"'###\xa####\xa#####'"),
    (r'{"text": "079\u00a0123\n4567"}', r'{"text": "###\u##a####\n####"}'),
    ("?tel=079+123+45+67", "?tel=###+###+##+##"),
    ("?tel=079%20123%2D4567", "?tel=###%#####%#D####"),
    ("079&nbsp;123&nbsp;4567", "###&nbsp;###&nbsp;####"),
    ("079_123_45_67", "###_###_##_##"),
    ("on 2026-11-25 by 01711234567 from 10.0.0.1", "on 2026-11-25 by ########### from 10.0.0.1"),
    ("xi-api-key: 0123abc", "xi-api-key: ***"),
    ("the key sk_0123456789abcdef0123 is wrong", "the key *** is wrong"),
    ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer ***"),
    ("https://user:pw@example.org/agent", "https://***@example.org/agent"),
    ("wss://example.org/?agent_id=a&token=abc", "wss://example.org/?agent_id=a&token=***"),
]


@pytest.mark.parametrize("text", NEEDED)
def test_what_an_operator_needs_stays(text: str) -> None:
    assert fit(text) == text


@pytest.mark.parametrize(("text", "shown"), PRIVATE)
def test_numbers_and_secrets_are_masked(text: str, shown: str) -> None:
    assert fit(text) == shown


def test_numbers_can_be_shown_and_secrets_not() -> None:
    assert fit("01711234567, pin=1234", numbers=True) == "01711234567, pin=***"


@pytest.mark.parametrize("hidden", ["01711234567", "sk_0123456789abcdef0123456789"])
@pytest.mark.parametrize("room", range(0, 14, 3))
def test_the_cut_gives_away_no_half_of_it(hidden: str, room: int) -> None:
    shown = fit("x" * (VALUE_LIMIT - room - 1) + " " + hidden + " and so on" * 100)
    assert hidden[:5] not in shown
    assert not any(digit in shown[:VALUE_LIMIT] for digit in "0123456789")


def test_a_long_text_is_cut_and_its_length_told() -> None:
    assert fit("x" * 200) == "x" * 200
    assert fit("x" * 201) == "x" * 200 + "... (201 characters)"
    assert fit("x" * 15_800_000) == "x" * 200 + "... (15,800,000 characters)"


@pytest.mark.parametrize(
    "mark",
    [
        "\n",
        "\r",
        "\x1b[2J",
        "\x00",
        "\x9b",
        "\u2028",
        "\u202e",
        "\u2066",
        "\u200b",
        "\ufeff",
        "\ud800",
        "\x7f",
    ],
)
def test_no_mark_of_it_reaches_a_terminal(mark: str) -> None:
    assert fit(f"a{mark}b") == f"a{ascii(mark)[1:-1]}b"


@given(st.text(alphabet=st.characters(), max_size=2_000))
def test_any_text_becomes_one_short_printable_line(text: str) -> None:
    shown = fit(text)
    assert shown.isprintable()
    assert len(shown) <= VALUE_LIMIT + len("... (2,000 characters)")
    shown.encode()
