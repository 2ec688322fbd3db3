"""Several PBXs: each call is controlled on the PBX that it came from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Self

from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.ami.call_control import CallControl
from audiosocket_gw.ami.client import AmiClient, AmiTiming
from audiosocket_gw.ami.outcome import OnAction

logger = logging.getLogger("audiosocket_gw.ami")


class PbxPool:
    """The `CallControl` of each PBX, by the origin of its calls; connected while its context is open.

    ``listed`` (``AMI_HOSTS``) serve the calls that come from them: by the host in the list, or its resolved
    address. ``common`` (``AMI_HOST``) serves all other calls.
    """

    def __init__(
        self,
        common: AmiAddress | None,
        listed: Sequence[AmiAddress] = (),
        timing: AmiTiming | None = None,
        on_action: OnAction | None = None,
    ) -> None:
        self._common = AmiClient(common, timing, on_action) if common else None
        self._listed = [AmiClient(address, timing, on_action) for address in listed]
        self._clients = [*self._listed, *([self._common] if self._common else [])]
        self._controls = {client: CallControl(client) for client in self._clients}

    async def __aenter__(self) -> Self:
        for client in self._clients:
            await client.__aenter__()
        return self

    async def __aexit__(self, *exit_: object) -> None:
        for client in self._clients:
            await client.__aexit__(*exit_)

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def connections(self) -> list[tuple[str, bool]]:
        """The address of each PBX, ``host:port``, and whether its manager interface is connected."""
        return [(str(client.address), client.connected) for client in self._clients]

    @property
    def lost_at(self) -> Mapping[str, float]:
        """The address of each PBX whose manager interface isn't connected, and since when."""
        return {str(client.address): client.lost_at for client in self._clients if not client.connected}

    @property
    def connected_by_host(self) -> Mapping[str, bool]:
        """Whether each PBX's manager interface is connected, by its host as it is set."""
        return {client.address.host: client.connected for client in self._clients}

    def has(self, host: str) -> bool:
        """Return whether one of the PBXs has the address ``host``, as far as its address is known."""
        host = host.removeprefix("::ffff:")
        return any(host in {client.address.host, client.peer_host} for client in self._clients)

    def find(self, host: str) -> CallControl | None:
        """Return the control of the PBX whose AudioSocket connection came from the address ``host``.

        None: no manager interface is known for that PBX.
        """
        host = host.removeprefix("::ffff:")
        for client in self._listed:
            if host in {client.address.host, client.peer_host}:
                return self._controls[client]
        if self._common is None:
            logger.debug("no manager interface is set for the PBX at %s: add it to AMI_HOSTS", host)
            return None
        return self._controls[self._common]
