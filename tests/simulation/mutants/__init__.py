"""The rules of the commit protocol, each switched off in turn."""
