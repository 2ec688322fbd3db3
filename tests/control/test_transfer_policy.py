"""Where callers may be sent: whatever is asked for, nothing comes out that the operator has not allowed."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audiosocket_gw.control.transfer_policy import Destination, TransferPolicy
from audiosocket_gw.errors import ToolError

DEFAULT = TransferPolicy.of({}, None, ("queues", "desk"))
NAMED = TransferPolicy({"sales": Destination("600", "queues", name="Sales")}, None, ("queues",))
WIDE_OPEN = TransferPolicy({}, re.compile(r"(?s).*"), ("queues",))
DIGITS = TransferPolicy({}, re.compile(r"\d{3}"), ("queues",))

HOSTILE = [
    "600\r\nAction: Originate",
    "600\nVariable: X=1",
    "600\0",
    "${SHELL(reboot)}",
    "${EXTEN}",
    "600,1",
    "600&601",
    "600@from-internal",
    "_X.",
    "6 00",
    "٦٠٠",
    "６００",
    "004930123456",
    "6" * 41,
    "",
    "-1",
    "../600",
]


def resolved(policy: TransferPolicy, *request: str | None) -> Destination | None:
    try:
        return policy.resolve(*request)  # type: ignore[arg-type]
    except ToolError as refusal:
        assert str(refusal).isprintable()
        return None


@pytest.mark.parametrize("extension", HOSTILE)
@pytest.mark.parametrize(
    "policy", [DEFAULT, NAMED, WIDE_OPEN, DIGITS], ids=["default", "named", "all", "digits"]
)
def test_what_is_no_extension_never_resolves(policy: TransferPolicy, extension: str) -> None:
    if policy is WIDE_OPEN and extension in {"004930123456"}:
        return  # the operator wanted it so
    assert resolved(policy, extension) is None


@pytest.mark.parametrize(
    "context", ["from-internal", "queues,600,1)", "queues\r\nX: y", "QUEUES", "${X}", "q"]
)
@pytest.mark.parametrize("policy", [DEFAULT, NAMED, WIDE_OPEN], ids=["default", "named", "all"])
def test_another_context_never_resolves(policy: TransferPolicy, context: str) -> None:
    assert resolved(policy, "600", context) is None


@pytest.mark.parametrize(
    "priority",
    ["0", "-1", "1000", "2", "n", "n+1", "1,2", "1\r\nX: y", "١", "1.0", "+1", "1_0", "0x1", "start"],
)
def test_what_is_no_priority_never_resolves(priority: str) -> None:
    assert resolved(DEFAULT, "600", None, priority) is None


request = st.text() | st.text(alphabet="0123456789\r\n\0 ${}(),@&_X.", max_size=8) | st.sampled_from(HOSTILE)


@given(request, st.none() | request | st.sampled_from(["queues", "desk"]), st.none() | request)
@example("600\n", "desk ", " 2\n")
def test_only_what_is_wholly_allowed_resolves(
    extension: str, context: str | None, priority: str | None
) -> None:
    for policy in (DEFAULT, NAMED, WIDE_OPEN, DIGITS):
        destination = resolved(policy, extension, context, priority)
        if destination is None:
            continue
        assert re.fullmatch(r"[A-Za-z0-9*#+][A-Za-z0-9*#+._-]{0,39}", destination.extension)
        assert destination.context in policy.contexts
        assert destination.priority == 1
        if policy is DEFAULT:
            assert destination.extension.isascii()
            assert destination.extension.isdigit()
            assert len(destination.extension) <= 5
        if policy is NAMED:
            assert str(destination) == "600@queues"


@pytest.mark.parametrize("asked", ["sales", "SALES", " Sales\n", "600"])
def test_named_destination_by_name_and_by_extension(asked: str) -> None:
    assert NAMED.resolve(asked) == Destination("600", "queues", name="Sales")
    assert NAMED.resolve(asked, "queues", "") == Destination("600", "queues", name="Sales")


@pytest.mark.parametrize(
    "extension",
    ["112", "911", "999", "000", "111", "15", "0112", "00112", "9911", "9112", "9999", "0000", "90112"],
)
def test_without_settings_no_emergency_number_resolves(extension: str) -> None:
    assert not DEFAULT.allows(extension)


@pytest.mark.parametrize(
    "extension", ["1", "10", "100", "144", "600", "1112", "9000", "915", "11200", "60911"]
)
def test_without_settings_other_short_numbers_resolve(extension: str) -> None:
    assert DEFAULT.allows(extension)


def test_named_destination_with_capitals_in_its_extension() -> None:
    policy = TransferPolicy({"desk": Destination("Desk-A", "queues")}, None, ("queues",))
    assert policy.allows("Desk-A")
    assert not policy.allows("desk-a")


def test_refusal_offers_the_names() -> None:
    with pytest.raises(ToolError, match="Possible destinations: sales"):
        NAMED.resolve("601")


def test_first_context_is_the_default() -> None:
    assert str(DEFAULT.resolve("600")) == "600@queues"
    assert str(DEFAULT.resolve("600", "desk")) == "600@desk"
    assert DEFAULT.resolve("600", None, "1").priority == 1


@given(st.text() | st.from_regex(r"[^@]*@[^@]*"))
def test_destination_is_read_or_refused(text: str) -> None:
    try:
        assert str(Destination.parse(text)) == text
    except ValueError:
        return
    assert not re.search(r"[\s\0,(){}$&;|]", text)
