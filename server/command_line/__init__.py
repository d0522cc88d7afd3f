"""What each command is called with: its options, its help, and the call of its file in `server.commands`.

A file is a group of commands that `server.cli` puts together.
"""
