from __future__ import annotations

from typing import Any

import pytest

from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.testing.simulator.client_messages import (
    ClientMessage,
    Initiation,
    McpApproval,
    Other,
    Pong,
    ToolResult,
    UserAudio,
    UserText,
    decode,
    parse,
)


def result(**changes: object) -> dict[str, Any]:
    message = {
        "type": "client_tool_result",
        "tool_call_id": "1",
        "result": "done",
        "is_error": False,
    } | changes
    return {key: value for key, value in message.items() if value is not ...}


def initiation(**fields: object) -> dict[str, Any]:
    return {"type": "conversation_initiation_client_data", **fields}


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ({"user_audio_chunk": "AAE="}, UserAudio(b"\x00\x01")),
        ({"user_audio_chunk": ""}, UserAudio(b"")),
        ({"type": "pong", "event_id": 0}, Pong(0)),
        (result(), ToolResult("1", "done", False)),
        (result(is_error=True), ToolResult("1", "done", True)),
        ({"type": "user_message", "text": "Hi"}, UserText("Hi")),
        ({"type": "multimodal_message", "text": {"type": "user_message", "text": "Hi"}}, UserText("Hi")),
        ({"type": "multimodal_message", "files": [{"type": "file_input", "file_id": "f"}]}, UserText("")),
        ({"type": "contextual_update", "text": "He is in a hurry."}, Other("contextual_update")),
        ({"type": "user_activity"}, Other("user_activity")),
        ({"type": "enclave_setup_config", "agent_config_dict": {}}, Other("enclave_setup_config")),
        ({"type": "feedback", "event_id": 3, "score": "like"}, Other("feedback")),
        ({"type": "feedback", "event_id": 3, "score": None}, Other("feedback")),
        (
            {"type": "mcp_tool_approval_result", "tool_call_id": "1", "is_approved": True},
            McpApproval("1", is_approved=True),
        ),
        (initiation(), Initiation((), {})),
        (initiation(custom_llm_extra_body={}, user_id="x", branch_id=None), Initiation((), {})),
        (initiation(dynamic_variables={"a": 1}), Initiation((), {"a": 1})),
        (
            initiation(
                conversation_config_override={"agent": {"prompt": {"llm": "x"}, "language": "en"}, "tts": {}},
                procedure_ids=["p"],
            ),
            Initiation(("agent.prompt.llm", "agent.language", "procedure_ids"), {}),
        ),
    ],
)
def test_what_is_allowed(message: dict[str, Any], meaning: ClientMessage) -> None:
    assert parse(message) == meaning


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ({}, "'type' is missing"),
        ({"type": 3}, "'type' is int, not str"),
        ({"type": "interrupt"}, "unknown type 'interrupt'"),
        ({"type": "audio", "audio": "AAE="}, "unknown type 'audio'"),
        ({"user_audio_chunk": "AAE"}, "not base64"),
        ({"user_audio_chunk": "A*E="}, "not base64"),
        ({"user_audio_chunk": "äöü="}, "not base64"),
        ({"user_audio_chunk": None}, "'user_audio_chunk' is NoneType, not str"),
        ({"type": "pong"}, "'event_id' is missing"),
        ({"type": "pong", "event_id": "1"}, "'event_id' is str, not int"),
        ({"type": "pong", "event_id": True}, "'event_id' is bool, not int"),
        (result(result={"ok": True}), "'result' is dict, not str"),
        (result(result=None), "'result' is NoneType, not str"),
        (result(result=...), "'result' is missing"),
        (result(is_error=...), "'is_error' is missing"),
        (result(is_error="false"), "'is_error' is str, not bool"),
        (result(tool_call_id=...), "'tool_call_id' is missing"),
        ({"type": "multimodal_message", "files": ["f"]}, "'files' has str, not dict"),
        ({"type": "user_message"}, "'text' is missing"),
        ({"type": "contextual_update"}, "'text' is missing"),
        ({"type": "multimodal_message", "text": "Hi"}, "'text' is str, not dict"),
        ({"type": "multimodal_message", "file": {"type": "file_input"}}, "'file_id' is missing"),
        ({"type": "feedback", "event_id": 1, "score": "meh"}, "'score' is 'meh'"),
        ({"type": "mcp_tool_approval_result", "tool_call_id": "1"}, "'is_approved' is missing"),
        (initiation(dynamic_variables=["a"]), "'dynamic_variables' is list, not dict"),
        (initiation(dynamic_variables={"system__time": "now"}), "reserved prefix"),
        (initiation(conversation_config_override="x"), "'conversation_config_override' is str, not dict"),
    ],
)
def test_what_is_not(message: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RemoteProtocolError, match=complaint):
        parse(message)


@pytest.mark.parametrize("text", ["", " ", "{", "[1]", '"x"', "null", "7"])
def test_only_json_objects_are_messages(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(text)


def test_a_json_object_is_decoded() -> None:
    assert decode('{"a": [1]}') == {"a": [1]}
