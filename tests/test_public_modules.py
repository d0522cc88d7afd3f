"""The library's public modules are the ones that its docstring names, and no others."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from pathlib import Path

import fhirstore
import fhirstore.fhir
import fhirstore.objects

ROOT = Path(fhirstore.__file__).parents[1]


def test_every_module_is_public_or_forbidden_to_the_server() -> None:
    """So a new module of the library is internal until somebody decides otherwise."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (forbidden,) = (set(one["forbidden_modules"]) for one in contracts if one.get("source_modules") == ["server"])
    assert not any("ignore_imports" in one for one in contracts)
    public = set(re.findall(r"`(fhirstore(?:\.\w+)+)`", fhirstore.__doc__ or ""))
    modules = {f"fhirstore.{one.name}" for one in pkgutil.iter_modules(fhirstore.__path__)} - {"fhirstore.fhir"}
    for package in (fhirstore.fhir, fhirstore.objects):
        modules |= {f"{package.__name__}.{one.name}" for one in pkgutil.iter_modules(package.__path__)}
    assert modules - public == forbidden


def test_every_public_name_exists() -> None:
    """Those that are imported when they are first asked for, too."""
    assert all(hasattr(fhirstore, name) for name in fhirstore.__all__)
    assert all(hasattr(fhirstore.objects, name) for name in fhirstore.objects.__all__)
