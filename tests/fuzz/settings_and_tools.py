"""Texts of the operator and requests of the agent: a value, or an error that says what is wrong."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from audiosocket_gw.ami.dialplan import check_destination
from audiosocket_gw.ami.settings import parse_place
from audiosocket_gw.call.caller_data import parse_call_variables
from audiosocket_gw.control.key_actions import parse_key_actions
from audiosocket_gw.control.transfer_policy import DESTINATION, Destination, TransferPolicy
from audiosocket_gw.errors import ToolError
from audiosocket_gw.protocol.audiosocket import DTMF_DIGITS
from audiosocket_gw.server.settings import parse_address, parse_networks
from audiosocket_gw.settings import GatewaySettings, Settings
from audiosocket_gw.tools import ToolContext
from audiosocket_gw.tools.signature import Signature, read_signature
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target

PARSERS: tuple[Callable[[str], Any], ...] = (
    parse_networks,
    parse_address,
    parse_key_actions,
    parse_call_variables,
    parse_place,
    Destination.parse_list,
    Destination.parse,
)

FIELDS = tuple(name for name in Settings.model_fields if not name.endswith(("_file", "_dir")))


def check_parsers(data: bytes) -> None:
    """Each parser of a setting returns something, or raises ValueError with a text."""
    choices = Choices(data)
    parse = choices.of(PARSERS)
    try:
        value = parse(choices.rest().decode(errors="surrogateescape"))
    except ValueError as error:
        assert str(error)
        return
    if parse is parse_key_actions:
        assert value.keys() <= DTMF_DIGITS
    if parse is Destination.parse_list:
        assert all(DESTINATION.fullmatch(str(destination)) for destination in value.values())


def check_settings(data: bytes) -> None:
    """Settings are valid or not; those that contradict each other are named in lines."""
    choices = Choices(data)
    given = {choices.of(FIELDS): choices.text(60) for _ in choices.repeat(4)}
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of a pattern
            settings = Settings(**given)
    except ValidationError as error:
        assert {str(fault["loc"][0]) for fault in error.errors()} <= given.keys()
        return
    for line in GatewaySettings.of(settings).conflicts():
        assert re.search(r"[A-Z_]+=", line) or line.isprintable()


@cache
def policies() -> tuple[TransferPolicy, ...]:
    named = Destination.parse_list("sales=600@queues,Desk 1=*9@desk,x=600@other")
    return (
        TransferPolicy.of({}, None, ("internal",)),
        TransferPolicy.of(named, None, ("internal",)),
        TransferPolicy.of(named, re.compile(r"6[0-9]{2}"), ("queues", "other")),
        TransferPolicy.of({}, re.compile(r".*"), ("internal",)),
    )


def check_transfer(data: bytes) -> None:
    """What is allowed is a place in the dialplan that the policy names, and safe to send to Asterisk."""
    choices = Choices(data)
    policy = choices.of(policies())
    extension, context = choices.text(60), choices.of((None, "", "queues", "internal", choices.text(60)))
    try:
        destination = policy.resolve(extension, context, choices.of((None, "", "1", "2", choices.text(4))))
    except ToolError as error:
        assert str(error).isprintable()
        return
    check_destination(destination.context, destination.extension, destination.priority)
    assert destination.priority == 1
    if destination not in policy.named.values():
        assert policy.extensions is not None
        assert policy.extensions.fullmatch(destination.extension)
        assert destination.context in policy.contexts


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Guest(BaseModel):
    name: str = Field(description="Who.")
    age: int = Field(description="How old.", ge=0)


async def book(
    context: ToolContext,
    day: Annotated[date, Field(description="The day.")],
    people: Annotated[int, Field(description="How many.", ge=1, le=20)],
    price: Annotated[float, Field(description="How much.")],
    colour: Annotated[Colour | None, Field(description="The colour.")] = None,
    seat: Annotated[Literal["window", "aisle"], Field(description="The seat.")] = "aisle",
    smokes: Annotated[bool, Field(description="Whether.")] = False,
    names: Annotated[list[str] | None, Field(description="The names.")] = None,
    guest: Annotated[Guest | None, Field(description="The guest.")] = None,
) -> str:
    """Book a table."""
    return ""


ARGUMENTS = ("day", "people", "price", "colour", "seat", "smokes", "names", "guest", "name", "age", "context")
VALUES = ("2026-11-25", "4", "red", "window", "1e5", "true", "Infinity", "none", "-0")
TYPES: dict[str, Any] = {
    "day": date,
    "people": int,
    "price": float,
    "colour": Colour | None,
    "seat": str,
    "smokes": bool,
    "names": list | None,
    "guest": Guest | None,
    "context": str,
}
MAX_COMPLAINT = 2_000


@cache
def signature() -> Signature:
    return read_signature(book, ToolContext)


def check_arguments(data: bytes) -> None:
    """A function gets arguments of its types, and the call's own context; or the agent gets a text."""
    choices = Choices(data)
    sent = choices.json_object(ARGUMENTS, VALUES)
    if choices.flag():
        sent = {"day": "2026-11-25", "people": 4, "price": 1, **sent}
    try:
        arguments = signature().bind(sent, "the context")
    except ToolError as error:
        assert 0 < len(str(error)) <= MAX_COMPLAINT
        return
    assert arguments["context"] == "the context"
    for name, value in arguments.items():
        assert isinstance(value, TYPES[name]), f"{name} is {value!r}"
    assert 1 <= arguments["people"] <= 20
    assert abs(arguments["price"]) < float("inf")


def settings_texts() -> Iterator[bytes]:
    for number, text in enumerate(
        (
            "10.0.0.0/8, any, 2001:db8::1",
            "::ffff:192.0.2.7",
            "0=transfer:sales,*=hangup",
            "ACCOUNT,LANGUAGE=de",
            "pbx.example:5039",
            "sales=600@queues, desk=*9@desk",
            "600@queues",
        )
    ):
        yield bytes([number]) + text.encode()


def field_texts() -> Iterator[bytes]:
    for number in range(len(FIELDS)):
        yield bytes([number, 2]) + b"20"


def transfer_texts() -> Iterator[bytes]:
    for number in range(4):
        for extension in (b"600", b"sales", b"110", b"*9", b"600@queues"):
            yield bytes([number, len(extension)]) + extension + bytes([0, 1, 0, 0])


def argument_texts() -> Iterator[bytes]:
    for number in range(len(ARGUMENTS)):
        yield b"\0" + bytes([number, 0, number % len(VALUES), 1])
        yield b"\1" + bytes([number, 6, 4, 0, 7, 9, 1, 8, 0, 0]) + b"\1" * 4


TARGETS = (
    Target(
        "settings-texts", check_parsers, settings_texts, (b"any", b"=transfer:", b"/32", b"@"), max_bytes=200
    ),
    Target("settings", check_settings, field_texts, (b"any", b"true", b"127.0.0.1"), max_bytes=200),
    Target("transfer-policy", check_transfer, transfer_texts, (b"sales", b"600", b"queues"), max_bytes=160),
    Target("tool-arguments", check_arguments, argument_texts, max_bytes=300),
)
