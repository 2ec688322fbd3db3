"""The command line: parses the arguments, and calls the module of the command."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from audiosocket_gw import __version__
from audiosocket_gw.commands.call import run_call
from audiosocket_gw.commands.calls import run_calls
from audiosocket_gw.commands.originate import OutboundCall, chosen_pbx, run_originate
from audiosocket_gw.commands.page import run_page
from audiosocket_gw.commands.replay import run_replay, run_replay_into, run_summary
from audiosocket_gw.commands.serve import run_serve
from audiosocket_gw.commands.signed_uuid import run_uuid
from audiosocket_gw.commands.simulator import run_simulator
from audiosocket_gw.commands.status import run_status
from audiosocket_gw.commands.tools import run_tools
from audiosocket_gw.errors import EXIT_CONFIGURATION, ConfigurationError
from audiosocket_gw.http_api.settings import HttpSettings
from audiosocket_gw.log.setup import log_to_stderr
from audiosocket_gw.settings import AgentKind, GatewaySettings, Settings, load_settings
from audiosocket_gw.testing.demo import run_demo

MAX_RING_S = 600


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0 success, 1 failure, 2 an invalid setting or argument."""
    options = create_parser().parse_args(arguments)
    try:
        with log_to_stderr():
            status: int = options.command(options)
        sys.stdout.flush()
    except ConfigurationError as error:
        for line in str(error).splitlines():
            print(f"audiosocket-gw: {line}", file=sys.stderr)
        return EXIT_CONFIGURATION
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe: discard the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; it sets ``command`` to the function of the given one."""
    parser = argparse.ArgumentParser(
        prog="audiosocket-gw",
        description="Put an ElevenLabs agent on an Asterisk PBX: AudioSocket in, WebSocket out.",
        epilog="Settings come from the environment and .env; docs/settings.md lists them.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_status(commands)
    _add_calls(commands)
    _add_demo(commands)
    _add_simulator(commands)
    _add_call(commands)
    _add_originate(commands)
    _add_replay(commands)
    _add_page(commands)
    _add_tools(commands)
    _add_uuid(commands)
    return parser


# For each command: its arguments, then the call of its module.


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "serve", help="answer Asterisk's calls", description="Answer Asterisk's calls."
    )
    parser.add_argument("--agent", choices=[kind.value for kind in AgentKind], help="who answers (AGENT)")
    parser.add_argument("--host", help="address to listen on (HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (PORT)")
    parser.set_defaults(command=_serve)


def _serve(options: argparse.Namespace) -> int:
    given = {name: getattr(options, name) for name in ("agent", "host", "port")}
    return run_serve(**{name: value for name, value in given.items() if value is not None})


def _add_status(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "status",
        help="show what the gateway and its calls do now",
        description="Show load, limits, calls and recent bad ends of the running gateway, refreshed every "
        "second; over HTTP (HTTP_SOCKET or HTTP_PORT). Exit status 1: it doesn't answer.",
    )
    parser.add_argument("--once", action="store_true", help="print it once")
    parser.add_argument("--json", action="store_true", help="print it once, as JSON")
    parser.set_defaults(command=lambda o: run_status(_http_settings(), once=o.once, as_json=o.json))


def _add_calls(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "calls",
        help="list the calls, show one, hang it up or transfer it",
        description="List the calls of the running gateway, show one, hang it up or transfer it; over HTTP "
        "(HTTP_SOCKET or HTTP_PORT).",
    )
    parser.add_argument("uuid", nargs="?", metavar="UUID", help="a call; the beginning is enough")
    parser.add_argument("action", nargs="?", choices=["hangup", "transfer"], help="what to do to it")
    parser.add_argument("destination", nargs="?", metavar="DESTINATION", help="a name, or extension@context")
    parser.add_argument("--yes", action="store_true", help="don't ask for confirmation")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(
        command=lambda o: run_calls(
            _http_settings(), o.uuid, o.action, o.destination, yes=o.yes, as_json=o.json
        )
    )


def _http_settings() -> HttpSettings:
    return GatewaySettings.of(_settings_without_agent()).http


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "demo",
        help="hear and see a call, without a PBX or an account",
        description="Hold a call between a simulated caller and agent; leave its audio and a page.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="folder for call.wav and call.html"
    )
    parser.set_defaults(command=lambda options: asyncio.run(run_demo(options.output)))


def _add_simulator(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "simulator",
        help="run a simulated ElevenLabs",
        description="Run a simulated ElevenLabs; point ELEVENLABS_BASE_URL at it.",
    )
    parser.add_argument("--scenario", default="receptionist", help="a named scenario, or a .toml file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--api-key", help="require this xi-api-key for signed URLs")
    parser.set_defaults(command=lambda o: asyncio.run(run_simulator(o.scenario, o.host, o.port, o.api_key)))


def _add_call(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "call",
        help="call a gateway as Asterisk would",
        description="Call a gateway as Asterisk would, and be as strict as Asterisk.",
    )
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument(
        "--play", type=Path, metavar="IN.wav", help="what the caller says: 8 kHz, mono, 16 bits"
    )
    parser.add_argument("--record", type=Path, metavar="OUT.wav", help="where to write what the caller hears")
    parser.add_argument("--uuid", type=UUID, help="the call's UUID, such as of `audiosocket-gw uuid`")
    parser.set_defaults(command=lambda o: asyncio.run(run_call(o.address, o.play, o.record, o.uuid)))


def _add_originate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "originate",
        help="call a telephone, and connect it with the agent",
        description="Call CHANNEL by Asterisk's manager interface (AMI_HOST), and connect it with the "
        "extension that reaches the agent. Exit status 0: answered.",
    )
    parser.add_argument("channel", metavar="CHANNEL", help="PJSIP/1001; ORIGINATE_CHANNELS must match it")
    parser.add_argument("--extension", default="5001", help="where the agent answers (default: %(default)s)")
    parser.add_argument("--context", default="phones", help="its dialplan context (default: %(default)s)")
    parser.add_argument("--caller-id", default="", help='what the telephone displays: "Name" <number>')
    parser.add_argument(
        "--variable",
        type=_assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a channel variable; the agent receives those in CALL_VARIABLES",
    )
    parser.add_argument(
        "--ring", type=_seconds, default=30.0, metavar="SECONDS", help="how long (default: %(default)g)"
    )
    parser.add_argument("--pbx", metavar="HOST", help="which of AMI_HOSTS, if there are several")
    parser.set_defaults(command=_originate)


def _originate(options: argparse.Namespace) -> int:
    settings = _settings_without_agent()
    call = OutboundCall(
        options.channel,
        options.extension,
        options.context,
        options.caller_id,
        dict(options.variable),
        options.ring,
    )
    pbx = chosen_pbx(GatewaySettings.of(settings).ami, options.pbx)
    return asyncio.run(run_originate(call, pbx, settings.originate_channels))


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= MAX_RING_S:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {MAX_RING_S} seconds")
    return seconds


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "replay",
        help="replay a recorded call",
        description="Replay a flight recording (FLIGHT_DIR) into a gateway in this process. "
        "Exit status 0: it ended the same way.",
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--summary", action="store_true", help="print a summary instead of replaying")
    how.add_argument("--html", type=Path, metavar="OUT", help="write the call's page instead: see `page`")
    how.add_argument("--gateway", metavar="HOST:PORT", help="play its caller into this gateway instead")
    parser.add_argument(
        "--tools", action="store_true", help="also run the tools of TOOLS_DIR, with real effects"
    )
    parser.set_defaults(command=_replay)


def _replay(options: argparse.Namespace) -> int:
    if options.summary:
        return run_summary(options.file)
    if options.html is not None:
        return run_page(options.file, options.html)
    if options.gateway is not None:
        return asyncio.run(run_replay_into(options.file, options.gateway))
    settings = _settings_without_agent()
    return asyncio.run(run_replay(options.file, GatewaySettings.of(settings), run_tools=options.tools))


def _add_page(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "page",
        help="show what happened in a call as a web page",
        description="Write one HTML file that shows what happened in a call: of a flight recording "
        "(FLIGHT_DIR), a recording (RECORD_DIR), or call records (CALL_LOG).",
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--output", type=Path, metavar="OUT.html", help="where to write it; - is standard output"
    )
    parser.add_argument("--call", type=UUID, metavar="UUID", help="which of the records in FILE (the last)")
    parser.add_argument("--audio", action="store_true", help="with both voices, to listen to")
    parser.set_defaults(
        command=lambda o: run_page(o.file, o.output, uuid=o.call, with_audio=o.audio),
    )


def _add_tools(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "tools",
        help="print the declarations of the tools for ElevenLabs",
        description="Print as JSON the request bodies that create the built-in tools and those of TOOLS_DIR "
        "in ElevenLabs: POST /v1/convai/tools, one per tool.",
    )
    parser.set_defaults(command=_tools)


def _tools(_: argparse.Namespace) -> int:
    settings = _settings_without_agent()
    return run_tools(settings.tool_timeout, settings.tools_dir)


def _add_uuid(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "uuid",
        help="print a signed UUID for one call",
        description="Print a UUID that is signed with UUID_SECRET, for one call within UUID_MAX_AGE.",
    )
    parser.set_defaults(command=lambda _: run_uuid(_settings_without_agent().uuid_secret))


def _settings_without_agent() -> Settings:
    """Return the settings for commands that need no agent."""
    return load_settings(agent=AgentKind.SIMULATOR)
