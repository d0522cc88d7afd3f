"""Tests of the object stores. Contract modules are no test modules, so pytest is told to explain their asserts."""

import pytest

pytest.register_assert_rewrite(
    "tests.objects.store_under_test",
    "tests.objects.contract_writes",
    "tests.objects.contract_lists",
    "tests.objects.contract_streams",
    "tests.objects.contract_facts",
    "tests.objects.contract_helpers",
    "tests.objects.contract_copies",
    "tests.objects.contract_uploads",
)
