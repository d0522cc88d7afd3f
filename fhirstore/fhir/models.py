"""Models of fhir.resources: the library stores them, and returns stored resources as models.

fhir.resources is imported only when a model is requested, so never while the server writes.

| FHIR release | models | |
|---|---|---|
| 4.0 | `fhir.resources.R4B` | the nearest available: 18 types of R4 are missing, and some legal R4 is refused |
| 4.3 | `fhir.resources.R4B` | |
| 5.0 | `fhir.resources` | |

`model_dump` of a model turns decimals into floats and loses trailing zeros; here a decimal is written digit for digit.
Details that a model does not keep are lost: it reads `2020-01-01T10:00:00.1+00:00` as a datetime, which is written
`2020-01-01T10:00:00.100Z`, the same time.

fhir.resources is on PyPI; https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias, TypeVar, Union, cast, overload
from uuid import UUID

from fhirstore.errors import Unsupported
from fhirstore.fhir.json import JsonObject, NumberLiteral
from fhirstore.fhir.json.values import is_element_name

if TYPE_CHECKING:
    from fhir_core.fhirabstractmodel import FHIRAbstractModel
    from typing_extensions import TypeIs

AnyModel: TypeAlias = "FHIRAbstractModel"
Model = TypeVar("Model", bound="FHIRAbstractModel")
Resource: TypeAlias = Union[bytes, str, Mapping[str, object], "FHIRAbstractModel"]
"""What the library takes for a resource: its JSON, a mapping, or a model of fhir.resources."""

_PACKAGES = {"4.0": "fhir.resources.R4B", "4.3": "fhir.resources.R4B", "5.0": "fhir.resources"}


def is_model(value: object) -> TypeIs[AnyModel]:
    """Returns whether this is a model of fhir.resources; False if that package was never imported."""
    core = sys.modules.get("fhir_core.fhirabstractmodel")
    return core is not None and isinstance(value, core.FHIRAbstractModel)


# --- from a model -------------------------------------------------------------------------------------------


def members(model: AnyModel) -> dict[str, object]:
    """Returns the JSON members of a model, in the model's order; decimals as Decimal, for
    `fhirstore.fhir.json.dump`.
    """
    kind = type(model)
    found: dict[str, object] = {"resourceType": kind.get_resource_type()} if kind.has_resource_base() else {}
    fields = kind.get_alias_mapping()
    for name in kind.elements_sequence():
        for member, field in ((name, fields[name]), (f"_{name}", f"{fields[name]}__ext")):
            value = _value(getattr(model, field, None))
            if value is not None and value != []:
                found[member] = value
    return found


def _value(value: object) -> object:
    """Returns a value of a model in its JSON form."""
    if value is None or isinstance(value, str | bool | int | Decimal):
        return value
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    if is_model(value):
        return members(value)
    if isinstance(value, datetime | time):
        return _iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, UUID):
        return value.urn
    if isinstance(value, Mapping):
        return {name: _value(item) for name, item in value.items()}
    return str(value)  # a URL type of pydantic


def _iso(value: datetime | time) -> str:
    """Returns the time with 0, 3 or 6 digits of a second, as many as are needed, and Z for UTC."""
    digits = "microseconds" if value.microsecond % 1000 else "milliseconds" if value.microsecond else "seconds"
    text = value.isoformat(timespec=digits)
    return text.removesuffix("+00:00") + "Z" if value.utcoffset() == timedelta(0) else text


# --- to a model ---------------------------------------------------------------------------------------------


@overload
def model_of(resource: JsonObject, wanted: type[Model], *, release: str = "4.0") -> Model: ...
@overload
def model_of(resource: JsonObject, wanted: bool = True, *, release: str = "4.0") -> AnyModel: ...
def model_of(resource: JsonObject, wanted: type[Model] | bool = True, *, release: str = "4.0") -> AnyModel:
    """Returns the resource as a model: of the class `wanted`, or of fhir.resources' class for its type and release.

    Raises Unsupported if there is no such class, or if it refuses the resource.
    """
    kind = _model_class(str(resource.get("resourceType")), release) if isinstance(wanted, bool) else wanted
    from pydantic import ValidationError  # noqa: PLC0415 - imported with fhir.resources, not before

    try:
        return kind.model_validate({name: _python(value) for name, value in resource.items()})
    except ValidationError as error:
        # Only the paths of the errors: their messages may repeat values.
        where = sorted({_where(each["loc"]) for each in error.errors(include_input=False)})
        raise Unsupported(
            f"{kind.__module__}.{kind.__name__} refuses this resource at {', '.join(where[:5])}; "
            "read it without as_model"
        ) from None


def _model_class(name: str, release: str) -> type[AnyModel]:
    package = _PACKAGES[release]
    try:
        kind = getattr(import_module(f"{package}.{name.lower()}"), name)
    except (ImportError, AttributeError):
        raise Unsupported(f"{package} has no model for {name}; read it without as_model") from None
    return cast("type[AnyModel]", kind)


def _where(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) if isinstance(part, int) or is_element_name(part) else "?" for part in loc)


def _python(value: object) -> object:
    """Returns a parsed JSON value in the form that pydantic reads: number literals as Decimal."""
    if isinstance(value, NumberLiteral):
        return Decimal(bytes(value).decode("ascii"))
    if isinstance(value, dict):
        return {name: _python(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_python(item) for item in value]
    return value
