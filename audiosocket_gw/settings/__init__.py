"""Reads the environment and .env, checks them, and fills the settings of each folder."""

from audiosocket_gw.settings.reader import load_settings, read_settings
from audiosocket_gw.settings.rooms import GatewaySettings
from audiosocket_gw.settings.variables import AgentKind, LogLevel, Settings

__all__ = ["AgentKind", "GatewaySettings", "LogLevel", "Settings", "load_settings", "read_settings"]
