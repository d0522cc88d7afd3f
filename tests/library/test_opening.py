"""Opening a store, and what a caller is told who does it wrongly."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, cast

import pytest

import fhirstore
from fhirstore import FhirStore, StoreMisconfigured, UnknownTenant, errors

HOW = r"async with FhirStore\.open"


async def test_open_without_async_with_says_so() -> None:
    """Whatever else is done with it."""
    loose = cast("Any", FhirStore)
    with pytest.raises(AttributeError, match=HOW):
        loose.open("memory:").tenant("default")
    with pytest.raises(TypeError, match=HOW):
        await loose.open("memory:")
    with pytest.raises(TypeError, match=HOW), loose.open("memory:"):
        pass


async def test_an_exit_stack_opens_it_too() -> None:
    """It is an ordinary asynchronous context manager."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(FhirStore.open("memory:"))
        await store.tenant("default").create({"resourceType": "Patient"})
    with pytest.raises(StoreMisconfigured):
        async with FhirStore.open("nowhere:"):
            pass


async def test_an_unknown_tenant_is_named() -> None:
    """One that is not configured, and one that cannot be."""
    async with FhirStore.open("memory:", tenants=["clinic-a"]) as store:
        with pytest.raises(UnknownTenant, match="'clinic-x' is not configured"):
            store.tenant("clinic-x")
        with pytest.raises(UnknownTenant, match="'Clinic A' is no tenant id; use 1 to 63 characters"):
            store.tenant("Clinic A")
        with pytest.raises(UnknownTenant, match="no tenant id"):
            store.tenant("a\nb")
    async with FhirStore.open("memory:", buckets={"clinic-a": "a"}) as store:
        with pytest.raises(UnknownTenant, match="'clinic-x' is not configured"):
            store.tenant("clinic-x")


def test_errors_come_from_the_package() -> None:
    """Every error of an interaction can be imported from `fhirstore`, and is that of `fhirstore.errors`."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.FhirError)]
    assert len(kinds) > 15
    for kind in kinds:
        assert getattr(fhirstore, kind.__name__) is kind
        assert kind.__name__ in fhirstore.__all__
    assert fhirstore.FhirStoreError is errors.FhirStoreError
    assert all(hasattr(fhirstore, name) for name in fhirstore.__all__)
