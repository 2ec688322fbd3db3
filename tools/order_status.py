"""Look up an order in a REST service: a tool that asks another system.

The service answers ``GET {ORDERS_URL}/orders/{number}`` with 404, or with an object such as
``{"state": "shipped", "arrives": "2026-03-04"}``. ``ORDERS_TOKEN``, if set, is sent as a bearer token.
"""

import os
from typing import Annotated

import httpx
from pydantic import Field

from audiosocket_gw.tools import ToolContext, ToolError, tool

# Read when the gateway starts, so that a missing variable fails the start instead of the first call.
ORDERS_URL = os.environ["ORDERS_URL"].rstrip("/")
ORDERS_TOKEN = os.environ.get("ORDERS_TOKEN")

# The number comes from a stranger on the telephone; only the pattern makes it safe to put it into a URL.
OrderNumber = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4,10}$",
        description="The number of the order, 4 to 10 digits, without spaces. Ask the caller for it.",
    ),
]


@tool(timeout_s=5)
async def order_status(context: ToolContext, order_number: OrderNumber) -> str:
    """Look up how far an order is and when it will arrive."""
    headers = {"Authorization": f"Bearer {ORDERS_TOKEN}"} if ORDERS_TOKEN else {}
    try:
        answer = await context.http.get(f"{ORDERS_URL}/orders/{order_number}", headers=headers)
    except httpx.HTTPError as error:
        raise ToolError("The order system can't be reached. Offer the caller to be called back.") from error
    if answer.status_code == httpx.codes.NOT_FOUND:
        # Not an error, so it is a result.
        return f"There is no order {order_number}. Read the number back to the caller and ask if it is right."
    answer.raise_for_status()
    order = answer.json()
    return f"Order {order_number} is {order['state']}. It arrives on {order['arrives']}."
