"""Rules that the values of the variables must keep, beyond their types and bounds."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from audiosocket_gw.ami.settings import parse_place
from audiosocket_gw.control.transfer_policy import Destination
from audiosocket_gw.settings.types import QUOTES


class Rules(BaseModel):
    """The base of `Settings`: what is checked of its fields, by their names."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _without_quotes(cls, value: Any) -> Any:
        # An id or a password in quotes is accepted here, and rejected by every server that receives it.
        if isinstance(value, str) and len(value) > 1 and value[0] + value[-1] in QUOTES:
            raise ValueError(
                "the value includes quotes: a shell and .env remove quotes, "
                "`docker run --env-file` doesn't. Remove them"
            )
        return value

    @field_validator("transfer_contexts", check_fields=False)
    @classmethod
    def _contexts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for context in value:
            Destination.parse(f"600@{context}")
        return value

    @field_validator("ami_host", "ami_hosts", check_fields=False)
    @classmethod
    def _places(cls, value: Any) -> Any:
        for place in (value,) if isinstance(value, str) else value or ():
            parse_place(place)
        return value

    @field_validator("elevenlabs_api_key", check_fields=False)
    @classmethod
    def _header_value(cls, value: SecretStr | None) -> SecretStr | None:
        # Anything else would be rejected as a header by an error that shows it.
        if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
            raise ValueError("a key is printable ASCII without blanks")
        return value

    @field_validator("uuid_secret", check_fields=False)
    @classmethod
    def _hmac_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]{32,64}", value.get_secret_value()):
            raise ValueError("a secret is 32 to 64 printable ASCII characters without blanks")
        return value

    @field_validator("http_token", check_fields=False)
    @classmethod
    def _bearer_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]{16,200}", value.get_secret_value()):
            raise ValueError(
                "a token is 16 to 200 printable ASCII characters without blanks (openssl rand -hex 32)"
            )
        return value

    @field_validator("elevenlabs_agent_url", "elevenlabs_base_url", check_fields=False)
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None:
            url = urlsplit(value)
            if not url.hostname or url.port == 0:
                raise ValueError("the URL must name a host, and no port 0")
        return value

    @field_validator("elevenlabs_base_url", check_fields=False)
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")
