"""Settings: from the environment and ``.env``; all that is wrong in one message, a line for each."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, is_dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.settings import (
    AgentKind,
    GatewaySettings,
    LogLevel,
    Settings,
    load_settings,
    read_settings,
)

SECRET = "sk_very\x07secret"


@pytest.fixture(autouse=True)
def some_agent(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_AGENT_ID", "agent_1")


def accepts(settings: Settings, address: str) -> bool:
    return GatewaySettings.of(settings).server.accepts(address)


def refusal(**overrides: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**overrides)
    return str(caught.value)


def test_defaults() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.max_calls) == ("127.0.0.1", 5001, 500)
    assert settings.allowed_peers == ()
    assert settings.agent is AgentKind.ELEVENLABS
    assert settings.elevenlabs_base_url == "https://api.elevenlabs.io"
    assert settings.log_level is LogLevel.INFO
    assert not settings.drop_interrupted_audio


@pytest.mark.parametrize("variable", [name.upper() for name in Settings.model_fields])
@pytest.mark.parametrize("quotes", ['""', "''", "\u201c\u201d"])
def test_a_value_in_quotes_is_refused(variable: str, quotes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # `docker run --env-file` keeps quotes: the agent would be asked for by an id that doesn't exist.
    monkeypatch.setenv(variable, f"{quotes[0]}5001{quotes[1]}")
    line = next(line for line in refusal().splitlines() if line.startswith(f"{variable}="))
    assert "the value includes quotes" in line
    assert "--env-file" in line
    assert ("5001" in line) is not variable.endswith(("_KEY", "_PASSWORD", "_SECRET", "_TOKEN"))


@pytest.mark.parametrize("value", ['"', 'a"', '"a', "it's", "\"a\" and 'b'"])
def test_other_quotes_belong_to_a_password(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMI_PASSWORD", value)
    password = load_settings().ami_password
    assert password is not None and password.get_secret_value() == value


def test_quotes_in_env_are_taken_off_and_a_byte_order_mark_hides_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELEVENLABS_AGENT_ID")
    (tmp_path / ".env").write_text(
        "\ufeffELEVENLABS_AGENT_ID=\"agent_2\"\nHOST='127.0.0.2'\n", encoding="utf-8"
    )
    settings = load_settings()
    assert (settings.elevenlabs_agent_id, settings.host) == ("agent_2", "127.0.0.2")


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("PORT", "x", "valid integer"),
        ("PORT", "65536", "65535"),
        ("PORT", "-1", "greater than or equal to 0"),
        ("MAX_CALLS", "0", "greater than or equal to 1"),
        ("MAX_CALLS", "1.5", "valid integer"),
        ("HANDSHAKE_TIMEOUT", "0", "greater than 0"),
        ("HANDSHAKE_TIMEOUT", "nan", "finite number"),
        ("DRAIN_TIMEOUT", "-1", "greater than or equal to 0"),
        ("AGENT_URL_TIMEOUT", "soon", "valid number"),
        ("AGENT_CONNECT_TIMEOUT", "-inf", "finite number"),
        ("AGENT", "siri", "'elevenlabs' or 'simulator'"),
        ("LOG_LEVEL", "loud", "'debug', 'info'"),
        ("DROP_INTERRUPTED_AUDIO", "maybe", "boolean"),
        ("ALLOWED_PEERS", "10.0.0.0/8, nonsense", "'nonsense' does not appear"),
        ("ALLOWED_PEERS", "10.0.0.1/8", "host bits set"),
        ("ALLOWED_PEERS", "10.0.0.0/33", "10.0.0.0/33"),
        ("ELEVENLABS_AGENT_URL", "agents.example", "^https?://"),
        ("ELEVENLABS_AGENT_URL", "http://", "host"),
        ("ELEVENLABS_AGENT_URL", "http://[::1", "IPv6"),
        ("ELEVENLABS_BASE_URL", "api.elevenlabs.io", "^https?://"),
        ("ELEVENLABS_BASE_URL", "http://:80", "host"),
        ("ELEVENLABS_BASE_URL", "http://h:65536", "65535"),
        ("ELEVENLABS_BASE_URL", "http://h:0", "port 0"),
        ("ELEVENLABS_API_KEY", SECRET, "printable ASCII"),
        ("ELEVENLABS_API_KEY", "sk_very_sécret", "printable ASCII"),
        ("ELEVENLABS_API_KEY", "sk_very secret", "printable ASCII"),
    ],
)
def test_a_bad_value_is_one_line_with_name_value_and_fix(
    variable: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    (line,) = refusal().splitlines()
    shown = "(secret)" if variable.endswith("KEY") else repr(value)
    assert line.startswith(f"{variable}={shown}: ")
    assert complaint in line
    assert line.endswith(str(Settings.model_fields[variable.lower()].description))
    assert "cret" not in line.replace("(secret)", "")


def test_several_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("ALLOWED_PEERS", "x")
    monkeypatch.setenv("ELEVENLABS_API_KEY", SECRET)
    assert [line.partition("=")[0] for line in refusal().splitlines()] == [
        "PORT",
        "ALLOWED_PEERS",
        "ELEVENLABS_API_KEY",
    ]


def test_the_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", "sk_very_secret")
    settings = load_settings()
    assert (
        "sk_very_secret"
        not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    )
    assert settings.elevenlabs_api_key is not None
    assert settings.elevenlabs_api_key.get_secret_value() == "sk_very_secret"


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_no_agent(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_AGENT_ID", blank)
    (line,) = refusal().splitlines()
    assert all(fix in line for fix in ("ELEVENLABS_AGENT_ID", "ELEVENLABS_AGENT_URL", "AGENT=simulator"))


def test_one_of_three_agents_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELEVENLABS_AGENT_ID")
    assert load_settings(elevenlabs_agent_url="http://h/").elevenlabs_agent_id is None
    monkeypatch.setenv("AGENT", "Simulator")
    assert load_settings().agent is AgentKind.SIMULATOR


def test_empty_is_unset_and_blanks_around_are_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    monkeypatch.setenv("ELEVENLABS_API_KEY", "")
    monkeypatch.setenv("ALLOWED_PEERS", "")
    monkeypatch.setenv("HOST", " 10.0.0.1\n")
    monkeypatch.setenv("ELEVENLABS_BASE_URL", "http://h:80/ ")
    settings = load_settings()
    assert (settings.port, settings.elevenlabs_api_key, settings.allowed_peers) == (5001, None, ())
    assert (settings.host, settings.elevenlabs_base_url) == ("10.0.0.1", "http://h:80")


def test_the_env_file_gives_way_to_the_environment_and_that_to_overrides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("# ours\nPORT=1\nHOST=::1\nMAX_CALLS=7\nELEVENLABS_API_KEY=\nOTHER_PROGRAMS=x\n")
    monkeypatch.setenv("PORT", "2")
    monkeypatch.setenv("HOST", "::2")
    settings = load_settings(host="::3")
    assert (settings.port, settings.host, settings.max_calls) == (2, "::3", 7)
    assert settings.elevenlabs_api_key is None


def test_an_env_file_that_is_no_text() -> None:
    Path(".env").write_bytes(b"PORT=\xff\n")
    assert refusal().startswith(".env can't be read")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1  # type: ignore[misc]


# ALLOWED_PEERS


@pytest.mark.parametrize(
    ("networks", "admitted", "refused"),
    [
        ("", ["10.0.0.1", "::1", "unknown"], []),
        ("10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "::ffff:11.0.0.1", "::1", "::a01:203"]),
        ("192.0.2.7", ["192.0.2.7"], ["192.0.2.8"]),
        ("10.0.0.0/8, 2001:db8::/32 ,", ["10.0.0.1", "2001:db8::1"], ["2001:db9::1"]),
        ("fe80::/10", ["fe80::1%eth0", "fe80::1"], ["10.0.0.1"]),
        ("0.0.0.0/0", ["10.0.0.1", "::ffff:10.0.0.1"], ["::1"]),
        ("::/0", ["::1"], ["10.0.0.1", "unknown", "", "10.0.0"]),
        ("any", ["::1", "10.0.0.1", "::ffff:10.0.0.1"], ["unknown"]),
        ("Any,192.0.2.7", ["192.0.2.7", "10.0.0.1"], []),
    ],
)
def test_who_may_connect(networks: str, admitted: list[str], refused: list[str]) -> None:
    settings = load_settings(allowed_peers=networks)
    assert [address for address in admitted + refused if accepts(settings, address)] == admitted


@given(st.ip_addresses().filter(lambda a: getattr(a, "ipv4_mapped", None) is None), st.integers(0, 32))
def test_an_address_is_in_the_network_around_it(address: IPv4Address | IPv6Address, bits: int) -> None:
    network = ip_network(f"{address}/{bits}", strict=False)
    assert accepts(load_settings(allowed_peers=str(network)), str(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "::ffff:127.0.0.1", "localhost"])
def test_this_machine_may_connect_without_a_list(host: str) -> None:
    assert not list(GatewaySettings.of(load_settings(host=host)).server.exposure())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "gateway.example.com", "*"])
def test_others_need_a_list_of_who_may_connect(host: str) -> None:
    (line,) = GatewaySettings.of(load_settings(host=host)).server.exposure()
    assert line.startswith(f"HOST={host!r} ALLOWED_PEERS='': ")
    assert "ALLOWED_PEERS=any" in line
    for peers in ("192.0.2.7", "any"):
        assert not list(GatewaySettings.of(load_settings(host=host, allowed_peers=peers)).server.exposure())


@pytest.mark.parametrize(
    ("secret", "is_valid"),
    [("x" * 32, True), ("~!" * 32, True), ("x" * 31, False), ("x" * 65, False), ("ä" * 40, False)],
)
def test_a_secret_is_the_key_of_an_hmac(secret: str, is_valid: bool) -> None:
    if is_valid:
        assert secret not in repr(load_settings(uuid_secret=secret))
    else:
        said = refusal(uuid_secret=secret)
        assert said.startswith("UUID_SECRET=(secret): ")
        assert secret not in said


def test_a_match_needs_a_manager_interface() -> None:
    assert refusal(require_ami_match=True).startswith("REQUIRE_AMI_MATCH=true: ")
    assert load_settings(require_ami_match=True, ami_host="pbx", ami_password="x").require_ami_match


# Call control


def test_no_hands_by_default() -> None:
    settings = load_settings()
    assert (settings.ami_host, settings.ami_hosts, settings.tools_dir) == (None, (), None)
    assert (settings.call_variables, settings.dtmf_actions) == ({}, {})
    policy = settings.transfer_policy
    assert [policy.allows(e) for e in ("12345", "123456", "+49", "h", "s")] == [True, *[False] * 4]


def test_destinations_by_name_allow_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_DESTINATIONS", "Sales=600@queues, desk = 601@desk ,")
    policy = load_settings().transfer_policy
    assert [str(policy.resolve(name)) for name in ("sales", "600", "Desk")] == [
        "600@queues",
        "600@queues",
        "601@desk",
    ]
    assert not policy.allows("602")
    monkeypatch.setenv("TRANSFER_EXTENSIONS", "6[0-9]{2}")
    policy = load_settings().transfer_policy
    assert policy.allows("602")
    assert not policy.allows("6022")


def test_lists_of_call_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALL_VARIABLES", "TIER=gold=1, LANG,X=")
    monkeypatch.setenv("DTMF_ACTIONS", "0=transfer:600,*=hangup")
    monkeypatch.setenv("TRANSFER_CONTEXTS", "queues, desk")
    monkeypatch.setenv("AMI_HOSTS", "pbx-1, 10.0.0.1:5039")
    monkeypatch.setenv("AMI_PASSWORD", "secret")
    settings = load_settings()
    assert settings.call_variables == {"TIER": "gold=1", "LANG": "unknown", "X": ""}
    assert {key: action.kind for key, action in settings.dtmf_actions.items()} == {
        "0": "transfer",
        "*": "hangup",
    }
    assert settings.transfer_contexts == ("queues", "desk")
    assert settings.ami_hosts == ("pbx-1", "10.0.0.1:5039")


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("AMI_HOST", "pbx:port", "host:port"),
        ("AMI_HOST", "pbx:0", "host:port"),
        ("AMI_HOST", "::1", "host:port"),
        ("AMI_HOST", "p" * 64, "host:port"),
        ("AMI_HOSTS", "pbx, pbx:65536", "'pbx:65536'"),
        ("AMI_HOSTS", "http://pbx", "host:port"),
        ("AMI_PORT", "0", "greater than or equal to 1"),
        ("AMI_TLS_CA_FILE", "/nowhere.pem", "file"),
        ("CALL_VARIABLES", "CHANNEL(language)", "'CHANNEL(language)'"),
        ("CALL_VARIABLES", "system__time", "'system__time'"),
        ("CALL_VARIABLES", "X" * 81, "channel variable"),
        ("CALL_VARIABLES", "=x", "channel variable"),
        ("CALLER_DATA_TIMEOUT", "0", "greater than 0"),
        ("TRANSFER_DESTINATIONS", "600@queues", "name=extension@context"),
        ("TRANSFER_DESTINATIONS", "sales=600", "extension@context"),
        ("TRANSFER_DESTINATIONS", "sales=_6XX@queues", "extension@context"),
        ("TRANSFER_DESTINATIONS", "sales=${X}@queues", "extension@context"),
        ("TRANSFER_DESTINATIONS", "sales=600@q,Sales=601@q", "'Sales' stands for two"),
        ("TRANSFER_EXTENSIONS", "[", "regular expression"),
        ("TRANSFER_CONTEXTS", ",", "at least 1"),
        ("TRANSFER_CONTEXTS", "queues desk", "extension@context"),
        ("TOOL_TIMEOUT", "116", "115"),
        ("TOOL_TIMEOUT", "0", "greater than 0"),
        ("DTMF_TIMEOUT", "0", "greater than 0"),
        ("DTMF_ACTIONS", "10=hangup", "key"),
        ("DTMF_ACTIONS", "0=dance", "'dance'"),
        ("DTMF_ACTIONS", "0=hangup,0=hangup", "two actions"),
    ],
)
def test_a_bad_setting_of_call_control_is_one_line(
    variable: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMI_PASSWORD", "secret")
    monkeypatch.setenv(variable, value)
    (line,) = refusal().splitlines()
    assert line.startswith(f"{variable}=")
    assert complaint in line


@pytest.mark.parametrize("variable", ["AMI_HOST", "AMI_HOSTS"])
def test_manager_interface_needs_a_password(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "pbx")
    assert "AMI_PASSWORD" in refusal()
    monkeypatch.setenv("AMI_PASSWORD", "hush-hush")
    assert "hush-hush" not in repr(load_settings())


@pytest.mark.parametrize("target", ["601234", "nobody", "${SHELL(x)}", "600@elsewhere"])
def test_key_may_transfer_to_no_more_than_the_agent(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DTMF_ACTIONS", f"0=transfer:{target}")
    assert refusal().startswith(f"DTMF_ACTIONS: key 0 transfers to '{target}'")


# By room


def test_each_room_receives_its_settings() -> None:
    settings = load_settings(port=7, barge_in="off", dtmf_timeout=3, ami_host="pbx:1", ami_password="x")
    rooms = GatewaySettings.of(settings)
    assert (rooms.server.port, rooms.call.barge_in, rooms.control.dtmf_timeout) == (7, "off", 3)
    assert rooms.agent.elevenlabs_agent_id == "agent_1"
    assert rooms.ami.common is not None and str(rooms.ami.common) == "pbx:1"


def test_every_setting_reaches_a_room() -> None:
    rooms = GatewaySettings.of(Settings())
    received = {name for room in fields(rooms) for name in room_fields(getattr(rooms, room.name), room.name)}
    by_transfer_policy = {"transfer_destinations", "transfer_extensions", "transfer_contexts"}
    not_of_the_gateway = {"agent", "log_format", "log_level", "originate_channels"}
    assert received - {"embedded_agent", "transfer_policy"} == (
        set(Settings.model_fields) - by_transfer_policy - not_of_the_gateway
    )


def room_fields(room: object, name: str) -> set[str]:
    return {field.name for field in fields(room)} if is_dataclass(room) else {name}


@pytest.mark.parametrize(
    ("chunk", "longest", "bounds"), [("auto", "60", (1, 3)), ("auto", "20", (1, 1)), ("80", "20", (4, 4))]
)
def test_bounds_of_a_batch(chunk: str, longest: str, bounds: tuple[int, int]) -> None:
    load = GatewaySettings.of(load_settings(audio_chunk_ms=chunk, audio_chunk_max_ms=longest)).load
    assert (load.least_frames, load.most_frames) == bounds


@pytest.mark.parametrize(
    ("mode", "is_foreign", "is_refused"),
    [
        (0o777, True, True),
        (0o1777, True, True),
        (0o755, True, False),
        (0o775, True, False),
        (0o777, False, False),
    ],
)
def test_an_env_file_that_another_user_may_have_planted_is_refused(
    tmp_path: Path, mode: int, is_foreign: bool, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(mode)
    file = tmp_path / ".env"
    file.write_text("PORT=1\n")
    if os.getuid() == 0:
        os.chown(file, 4711, 4711)
    monkeypatch.setattr(os, "geteuid", lambda: 4712 if is_foreign else file.stat().st_uid)
    if is_refused:
        assert refusal().startswith(
            f"{file} belongs to another user (uid {file.stat().st_uid}), in a directory"
        )
    else:
        assert load_settings().port == 1


def test_only_load_settings_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    Path(".env").write_text("HOST=::1\n")
    assert (Settings().port, Settings().host) == (5001, "127.0.0.1")
    assert (load_settings().port, load_settings().host) == (1, "::1")


def test_a_name_that_no_setting_has_is_an_error_in_code() -> None:
    with pytest.raises(ValueError, match="prot"):
        Settings(prot=1)  # type: ignore[call-arg]


def test_all_that_is_wrong_is_told_with_the_defaults_in_place_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("HOST", "::1")
    settings, (fault,) = read_settings(max_calls=3)
    assert (settings.port, settings.host, settings.max_calls) == (5001, "::1", 3)
    assert fault.startswith("PORT='x': ")


USERS_CODE = """
from audiosocket_gw.settings import GatewaySettings, Settings, load_settings

port: int = load_settings(host="127.0.0.1").port
rooms = GatewaySettings.of(Settings(port=0, elevenlabs_agent_id="agent_1"))
address: tuple[str, int] = (rooms.server.host, rooms.server.port)
"""


@pytest.mark.slow
def test_a_users_strict_type_checker_accepts_settings() -> None:
    # Without this project's configuration of mypy, whose pydantic plugin knows more than a user's checker.
    Path("users.py").write_text(USERS_CODE)
    project = Path(__file__).parents[1]
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            *("--cache-dir", project / ".mypy_cache" / "users", "users.py"),
        ],
        env={**os.environ, "MYPYPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, "Success: no issues found in 1 source file\n")
