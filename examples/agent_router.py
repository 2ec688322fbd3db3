"""Choose an agent for each call: a worked example of the service behind ELEVENLABS_AGENT_URL.

Copy it and change the tables. It runs beside the gateway:

    DAY_AGENT=agent_... NIGHT_AGENT=agent_... python examples/agent_router.py

and the gateway's .env has:

    ELEVENLABS_AGENT_URL=http://127.0.0.1:8090/agent
    CALL_VARIABLES=LINE_LANGUAGE=en

The dialplan sets `Set(LINE_LANGUAGE=de)` for the lines that German callers dial.
"""

import os
from collections.abc import Mapping
from datetime import datetime, time
from typing import Any
from urllib.parse import unquote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

DAY_AGENT = os.environ["DAY_AGENT"]
NIGHT_AGENT = os.environ.get("NIGHT_AGENT", DAY_AGENT)
OPEN_FROM, OPEN_UNTIL = time(8), time(18)  # Monday to Friday, by this machine's clock

# A number can be forged: never grant access because of it.
CUSTOMERS = {"1001": "Ada", "+493012345678": "Grace"}
OWN_AGENTS = {"+493012345678": "agent_for_grace"}

# The agents speak English. Another language is an override: allow it in the agent's security settings,
# or ElevenLabs ends the conversation.
GREETINGS = {"de": "Guten Tag, was kann ich für Sie tun?", "it": "Buongiorno, come posso aiutarla?"}


def choose(caller: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Return the answer for a caller; ``caller`` has the gateway's headers."""
    number = caller.get("x-avr-caller-number", "unknown")
    language = caller.get("x-avr-line-language", "en")
    is_open = now.weekday() < 5 and OPEN_FROM <= now.time() < OPEN_UNTIL
    answer: dict[str, Any] = {
        "system": OWN_AGENTS.get(number) or (DAY_AGENT if is_open else NIGHT_AGENT),
        "dynamic_variables": {
            # Always send all of them: a missing variable that the prompt uses ends the conversation.
            "customer_name": CUSTOMERS.get(number, "unknown"),
            "office": "open" if is_open else "closed",
        },
    }
    if language in GREETINGS:
        answer["conversation_config_override"] = {
            "agent": {"language": language, "first_message": GREETINGS[language]}
        }
    return answer


async def agent(request: Request) -> JSONResponse:
    """Answer the gateway, which waits for this while the caller hears silence."""
    caller = {name: unquote(value) for name, value in request.headers.items()}
    return JSONResponse(choose(caller, datetime.now()))


app = Starlette(routes=[Route("/agent", agent)])

if __name__ == "__main__":
    # Only for this machine: the answers contain your agents' ids and your customers' names.
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8090")))
