"""Declares every setting (`variables`), reads them, and fills the settings.py of each folder by name."""

from audiosocket_gw.settings.gateway_settings import GatewaySettings
from audiosocket_gw.settings.reader import load_settings, read_settings
from audiosocket_gw.settings.types import AgentKind, LogLevel
from audiosocket_gw.settings.variables import Settings

__all__ = ["AgentKind", "GatewaySettings", "LogLevel", "Settings", "load_settings", "read_settings"]
