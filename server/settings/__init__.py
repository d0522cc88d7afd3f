"""The settings of a server, from environment variables. `table` puts the groups together.

A setting is one `setting(…)` line in the module of its group. docs/settings.md is made of all of them.
"""

from server.settings.environment import BadSetting, from_environment
from server.settings.setting import Setting
from server.settings.table import TABLE, Settings

__all__ = ["TABLE", "BadSetting", "Setting", "Settings", "from_environment"]
