"""What a server can be told by environment variables. `table` lists every setting; docs/settings.md is made from it."""

from server.settings.table import TABLE, BadSetting, Setting, Settings, from_environment

__all__ = ["TABLE", "BadSetting", "Setting", "Settings", "from_environment"]
