"""A real ``audiosocket-gw serve`` at the Asterisk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.asterisk.lab import AMI_PASSWORD, Lab
from tests.harness.gateway_process import GatewayProcess, gateway_process


@asynccontextmanager
async def gateway_at(
    lab: Lab, *, ami: bool = True, prefix: tuple[str, ...] = (), **settings: str
) -> AsyncIterator[GatewayProcess]:
    """Run a gateway with the embedded agent; it is logged in when the block begins, where ``ami`` says so."""
    environment = {"PORT": str(lab.ports.gateway), "REFUSE_OVERLOAD": "false"}
    if ami:
        port = str(lab.ports.ami)
        environment |= {"AMI_HOST": "127.0.0.1", "AMI_PORT": port, "AMI_PASSWORD": AMI_PASSWORD}
    async with gateway_process("--agent", "simulator", prefix=prefix, **(environment | settings)) as gateway:
        if ami:
            await gateway.logs("connected to Asterisk's manager interface")
        yield gateway
