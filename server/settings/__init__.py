"""The settings of a server, from environment variables. `table` lists them; docs/settings.md is made from it."""

from server.settings.table import TABLE, BadSetting, Setting, Settings, from_environment

__all__ = ["TABLE", "BadSetting", "Setting", "Settings", "from_environment"]
