"""Full validation evaluates the specification's invariants, and says which it cannot."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import RELEASES, definitions
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.expressions import Expressions, Verdict, plain_resource
from fhirstore.fhir.validation.full import FullPass
from fhirstore.fhir.validation.invariants import Invariants
from fhirstore.fhir.validation.nodes import TypedNode, typed_nodes

_PERSON = (
    b'"resourceType":"Patient","text":{"status":"empty","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">a</div>"}'
)


def _broken(text: bytes, release: str = "4.0") -> list[tuple[str, str, str]]:
    """(key, expression, severity) of what the resource does not keep."""
    facts = definitions(release)
    found = Invariants(facts, Expressions(facts)).check(json.parse(text))
    return [(issue.diagnostics.partition(":")[0], issue.expression[0], issue.severity) for issue in found.issues]


@pytest.mark.parametrize(
    ("resource", "key", "expression"),
    [
        (b"{%s,%s}" % (_PERSON, b'"contact":[{"gender":"male"}]'), "pat-1", "Patient.contact[0]"),
        (
            b'{"resourceType":"Observation","status":"final","code":{"text":"a"},"valueInteger":1,'
            b'"dataAbsentReason":{"text":"b"},%s}' % _PERSON.partition(b",")[2],
            "obs-6",
            "Observation",
        ),
        (
            b'{%s,"extension":[{"url":"urn:a","valuePeriod":{"start":"2020-02-01","end":"2020-01-01"}}]}' % _PERSON,
            "per-1",
            "Patient.extension[0].value",
        ),
        (
            b'{%s,"extension":[{"url":"urn:a","valueQuantity":{"value":1,"code":"kg"}}]}' % _PERSON,
            "qty-3",
            "Patient.extension[0].value",
        ),
        (
            b'{%s,"extension":[{"url":"urn:a","valueRange":{"low":{"value":1.1},"high":{"value":1.09}}}]}' % _PERSON,
            "rng-2",
            "Patient.extension[0].value",
        ),
        (b'{%s,"managingOrganization":{"reference":"#o"}}' % _PERSON, "ref-1", "Patient.managingOrganization"),
        (b'{%s,"contained":[{"resourceType":"Basic","id":"b","code":{"text":"a"}}]}' % _PERSON, "dom-3", "Patient"),
        (b"{%s}" % _PERSON.replace(b">a<", b"> <p>\\n</p><"), "txt-2", "Patient.text"),
        (
            b'{"resourceType":"Bundle","type":"collection","total":1,"entry":[]}',
            "bdl-1",
            "Bundle",
        ),
    ],
)
def test_a_broken_invariant_is_named_with_its_place(resource: bytes, key: str, expression: str) -> None:
    """The key, the specification's words for it and the FHIRPath expression of the place are in the issue."""
    assert (key, expression, "error") in _broken(resource)


def test_a_good_practice_is_a_warning() -> None:
    """dom-6 asks for a narrative; a resource without one is accepted."""
    resource = json.parse(b'{"resourceType":"Patient","active":true}')
    validator = Validator(definitions(), "full")
    assert [(issue.severity, issue.code, issue.expression) for issue in validator.issues(resource)] == [
        ("warning", "invariant", ("Patient",))
    ]
    validator.check(resource)


@pytest.mark.slow
def test_more_warnings_than_are_listed_refuse_nothing() -> None:
    """A Bundle of 1,100 patients without a narrative; one error beyond those that are listed does refuse."""
    entry: json.JsonObject = {"fullUrl": "", "resource": {"resourceType": "Patient", "active": True}}
    entries = [{**entry, "fullUrl": f"http://a/Patient/{number}"} for number in range(1100)]
    bundle: json.JsonObject = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    validator = Validator(definitions(), "full")
    validator.check(bundle)
    assert [issue.severity for issue in validator.issues(bundle)] == ["warning"] * 1001
    entries[-1]["resource"] = {"resourceType": "Patient", "contact": [{"gender": "male"}]}
    with pytest.raises(InvalidResource):
        validator.check(bundle)


def test_an_error_refuses_a_write_in_full_validation_only() -> None:
    """The contact without anything passes `structure`."""
    resource = json.parse(b'{"resourceType":"Patient","contact":[{"gender":"male"}]}')
    Validator(definitions(), "structure").check(resource)
    with pytest.raises(InvalidResource) as refusal:
        Validator(definitions(), "full").check(resource)
    assert ("invariant", ("Patient.contact[0]",)) in [(each.code, each.expression) for each in refusal.value.issues]


_DIV = b'"text":{"status":"additional","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">%s</div>"}'
_CONTAINS_IMAGE = b'"contained":[{"resourceType":"Binary","id":"x.1-a","contentType":"image/png","data":"AAAA"}]'
_ABOUT_ITSELF = (
    b'{"resourceType":"Provenance","id":"v","target":[{"reference":"#"}],"recorded":"2020-01-01T00:00:00Z","agent":'
    b'[{"who":{"display":"a"}}]}'
)
_ORGANIZATION = b'{"resourceType":"Organization","id":"o","name":"a"%s}'
_EXTENSION = b'"extension":[{"url":"urn:a","value%s":"%s"}]'


@pytest.mark.parametrize(
    "members",
    [
        b'"managingOrganization":{"reference":"#o"},"contained":[%s]' % (_ORGANIZATION % b""),
        b'"contained":[%s]' % _ABOUT_ITSELF,
        _DIV % b'<img src=\\"#x.1-a\\" alt=\\"a\\"/>' + b"," + _CONTAINS_IMAGE,
        _DIV % b"<p>a <a href='#x.1-a'>a</a></p>" + b"," + _CONTAINS_IMAGE,
        _DIV % b'a <a href =\\n\\"#x.1-a\\">a</a>' + b"," + _CONTAINS_IMAGE,
        b"%s,%s" % (_EXTENSION % (b"Markdown", b"![a](#x.1-a)"), _CONTAINS_IMAGE),
        b"%s,%s" % (_EXTENSION % (b"Canonical", b"#x.1-a|1.0"), _CONTAINS_IMAGE),
        b"%s,%s" % (_EXTENSION % (b"Canonical", b"#x.1-a"), _CONTAINS_IMAGE),
        b"%s,%s" % (_EXTENSION % (b"Uri", b"#x.1-a"), _CONTAINS_IMAGE),
        b"%s,%s" % (_EXTENSION % (b"Url", b"#x.1-a"), _CONTAINS_IMAGE),
        b'"contained":[%s,%s]'
        % (
            _ORGANIZATION % b',"partOf":{"reference":"#p"},"endpoint":[{"reference":"#"}]',
            _ORGANIZATION.replace(b'"o"', b'"p"') % b"",
        ),
    ],
)
def test_what_is_contained_may_be_referred_to_or_refer(members: bytes) -> None:
    """dom-3 and ref-1: by references, links of a narrative or of markdown, uris and canonicals, from contained ones."""
    found = _broken(b'{"resourceType":"Patient",%s}' % members)
    assert [each for each in found if each[2] == "error"] == []


def test_a_narrative_of_a_section_refers_too() -> None:
    """An image that only Composition.section.text shows."""
    composition = (
        b'{"resourceType":"Composition","status":"final","type":{"text":"a"},"date":"2020","author":[{"display":"a"}],'
        b'"title":"a","section":[{"section":[{%s}]}],%s}'
    )
    image = _DIV % b'<p>a <img src=\\"#x.1-a\\"/></p>'
    assert [key for key, _, severity in _broken(composition % (image, _CONTAINS_IMAGE)) if severity == "error"] == []
    assert ("dom-3", "Composition", "error") in _broken(composition % (_DIV % b"a", _CONTAINS_IMAGE))


@pytest.mark.parametrize(
    "members",
    [
        _DIV % b'<img src=\\"#x.1-b\\"/>',
        _DIV % b"<p>#x.1-a</p>",
        _DIV % b'<a href=\\"http://example.org/#x.1-a\\">a</a>',
        _EXTENSION % (b"String", b"# x.1-a"),
    ],
)
def test_other_links_do_not_refer_to_what_is_contained(members: bytes) -> None:
    """Another id, plain text, the fragment of another page."""
    resource = b'{"resourceType":"Patient",%s,%s}' % (members, _CONTAINS_IMAGE)
    assert ("dom-3", "Patient", "error") in _broken(resource)


def test_decimals_are_compared_exactly() -> None:
    """0.10000000000000000001 is more than 0.1, which a float would not know."""
    extension = b'{"url":"urn:a","valueDecimal":0.10000000000000000001}'
    resource = plain_resource(json.parse(b'{"resourceType":"Basic","extension":[%s]}' % extension))
    node = next(each for each in typed_nodes(definitions(), resource) if each.type == "Extension")
    assert Expressions(definitions()).verdict("value > 0.1", node) is Verdict.HOLDS
    assert Expressions(definitions()).verdict("value <= 0.1", node) is Verdict.BROKEN


def test_what_cannot_be_evaluated_is_said_and_refuses_nothing() -> None:
    """ctm-1 would have to resolve references; text that is no expression and unknown functions decide nothing."""
    text = b'{"resourceType":"CareTeam","participant":[{"onBehalfOf":{"reference":"Organization/1"}}]}'
    findings = FullPass(definitions()).findings(json.parse(text))
    assert "invariant ctm-1" in findings.unchecked
    assert [issue.severity for issue in findings.issues] == ["warning"]
    node = TypedNode("Patient", {"resourceType": "Patient"}, "Patient", {}, {})
    for expression in ("active and", "active here", "noSuch()", ""):
        assert Expressions(definitions()).verdict(expression, node) is Verdict.UNDECIDED


def test_regular_expressions_of_others_are_not_run() -> None:
    """A stored profile's pattern could take forever."""
    node = TypedNode("Patient", {"resourceType": "Patient", "id": "a" * 40}, "Patient", {}, {})
    expression = "id.matches('(a+)+$')"
    assert Expressions(definitions()).verdict(expression, node, trusted=False) is Verdict.UNDECIDED
    assert Expressions(definitions()).verdict("id.exists()", node, trusted=False) is Verdict.HOLDS


def test_tracing_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """trace() would write what it sees, which is patients' data, to the console."""
    node = TypedNode("Patient", {"resourceType": "Patient", "id": "secret"}, "Patient", {}, {})
    assert Expressions(definitions()).verdict("id.trace('x').exists()", node) is Verdict.HOLDS
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("release", RELEASES)
def test_nearly_every_invariant_of_a_release_compiles(release: str) -> None:
    """What does not needs other resources or a terminology; and eld-11 of R5 is not FHIRPath: it has `":"` in it."""
    facts = definitions(release)
    expressions = Expressions(facts)
    every = {each.key: each.expression for type_ in facts.types.values() for each in type_.invariants}
    not_compiled = {key for key, text in every.items() if not expressions.compiles(text)} - {"eld-11"}
    assert all("resolve(" in every[key] or "memberOf(" in every[key] for key in not_compiled)
    assert len(not_compiled) < len(every) / 20


def test_places_are_named_as_fhirpath_names_them() -> None:
    """Inside arrays, choices, contained resources, Bundles and beside primitives."""
    text = (
        b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Observation","valueQuantity":'
        b'{"value":1},"contained":[{"resourceType":"Patient","id":"p","_birthDate":{"extension":[{"url":"urn:a"}]}}]}}]}'
    )
    found = {node.path: node for node in typed_nodes(definitions(), json.parse(text))}
    assert list(found) == [
        "Bundle",
        "Bundle.entry[0]",
        "Bundle.entry[0].resource",
        "Bundle.entry[0].resource.value",
        "Bundle.entry[0].resource.contained[0]",
        "Bundle.entry[0].resource.contained[0].birthDate",
        "Bundle.entry[0].resource.contained[0].birthDate.extension[0]",
    ]
    assert found["Bundle.entry[0].resource.value"].type == "Quantity"
    contained = found["Bundle.entry[0].resource.contained[0].birthDate.extension[0]"]
    assert contained.resource["resourceType"] == "Patient"
    assert contained.root["resourceType"] == "Observation"


def test_required_bindings_that_nobody_can_enumerate_are_named_as_unchecked() -> None:
    """Media types are a required binding, too; a binding whose codes are known is not named."""
    resource = json.parse(b'{"resourceType":"Patient","gender":"male","photo":[{"contentType":"no/such"}]}')
    bindings = {what for what in FullPass(definitions()).findings(resource).unchecked if what.startswith("binding")}
    assert bindings == {"binding to http://hl7.org/fhir/ValueSet/mimetypes, whose codes are not known here"}
