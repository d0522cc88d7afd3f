"""Expressions become trees by FHIRPath's precedence, and what is not FHIRPath is refused with its place."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidExpression
from fhirstore.fhir.fhirpath.parse import parse, unparse
from fhirstore.fhir.fhirpath.tree import Call, Item, Literal, Member, Operation, Variable


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a.b | c and d or e implies f", "((((a.b | c) and d) or e) implies f)"),
        ("a or b and c", "(a or (b and c))"),
        ("a = b | c", "(a = (b | c))"),
        ("a in b = c", "(a in (b = c))"),
        ("a < b = c", "((a < b) = c)"),
        ("a as B | c", "((a as B) | c)"),
        ("a + b as C", "((a + b) as C)"),
        ("1 - 2 - 3", "((1 - 2) - 3)"),
        ("1 + 2 * 3 & 'x'", "((1 + (2 * 3)) & 'x')"),
        ("-a.b * 2", "(({} - a.b) * 2)"),
        ("a.exists() and b != false", "(a.exists() and (b != false))"),
        ("a[0].b[c.count() - 1]", "a[0].b[(c.count() - 1)]"),
        ("a.where($this is B and %resource.c = {})", "a.where((($this is B) and (%resource.c = {})))"),
        ("as.is.contains(in)", "as.is.contains(in)"),
        ("a /* not b */ .c // nor d", "a.c"),
        ("a is FHIR.Patient", "(a is FHIR.Patient)"),
    ],
)
def test_precedence(text: str, meaning: str) -> None:
    """Operators bind as the table of the specification says; parentheses show how."""
    assert unparse(parse(text)) == meaning
    assert unparse(parse(meaning)) == meaning or "{} -" in meaning


def test_literals_lose_their_quotes_and_escapes() -> None:
    """Strings, delimited names and variables stand for their text; numbers and dates keep how they were written."""
    assert parse(r"'it\'s \u0041\n'") == Literal("string", "it's A\n")
    assert parse("`div`.`a b`") == Member(Member(None, "div"), "a b")
    assert parse("%`us-zip`") == parse("%'us-zip'") == Variable("%us-zip")
    assert parse("1.50") == Literal("number", "1.50")
    assert parse("@2020-01-01T10:00:00.5+02:00") == Literal("date", "2020-01-01T10:00:00.5+02:00")
    assert parse("@T10:00") == Literal("date", "T10:00")
    assert parse("4.0 'mg'") == Literal("quantity", "4.0 'mg'")
    assert parse("now() - 18 years") == Operation("-", Call(None, "now", ()), Literal("quantity", "18 years"))
    assert parse("a.as(B)[2]") == Item(Call(Member(None, "a"), "as", (Member(None, "B"),)), Literal("number", "2"))
    assert parse("{}") == Literal("empty", "")
    assert parse("x = true") == Operation("=", Member(None, "x"), Literal("boolean", "true"))


@pytest.mark.parametrize(
    "text", ["", " ", "a.", ".a", "a b", "a[", "a[]", "(a", "f(a,)", "a = ", "'open", "a # b", "1.a.", "{a}"]
)
def test_what_is_not_fhirpath_is_refused(text: str) -> None:
    """The error says at which character; it does not repeat the expression, which may hold somebody's data."""
    with pytest.raises(InvalidExpression, match=r"Not FHIRPath at character \d+"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "a" + ".a" * 9_000, "a" + "|a" * 9_000, "a" * 30_000, "-" * 9_000, "f(" * 5000]
)
def test_expressions_that_would_exhaust_the_stack_are_refused(text: str) -> None:
    """Depth and length are bounded before recursion is."""
    with pytest.raises(InvalidExpression):
        parse(text)
