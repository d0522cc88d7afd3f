"""Reads a Dockerfile: its stages, and their instructions in order."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, such as `RUN`, with what follows it on one line."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of the JSON form or of the shell form; options such as `--from=` included."""
        if self.text.lstrip().startswith("["):
            return [str(word) for word in json.loads(self.text)]
        return shlex.split(self.text)


@dataclass(slots=True)
class Stage:
    """A stage: the image that it begins with, its name ("" for the last), and its instructions."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """Returns the instructions of one kind."""
        return [one for one in self.instructions if one.name == name]

    def one(self, name: str) -> Instruction:
        """Returns the instruction of that kind, of which there is one."""
        (only,) = self.all(name)
        return only

    def environment(self) -> dict[str, str]:
        """Returns the variables that ENV sets."""
        pairs = (word.partition("=") for each in self.all("ENV") for word in each.words)
        return {name: value for name, _, value in pairs}


def stages(path: Path) -> list[Stage]:
    """Returns the stages of a Dockerfile. Comments are left out, and continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, _, text = line.strip().partition(" ")
        words = text.split()
        if name == "FROM":
            found.append(Stage(words[0], words[2] if len(words) == 3 else ""))
        elif found:
            found[-1].instructions.append(Instruction(name, text.strip()))
    return found
