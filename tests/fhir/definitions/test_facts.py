"""The facts files say what the published specification says, read independently of the generator."""

from __future__ import annotations

import re

import pytest

from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.definitions.load import RELEASES, definitions

EVERY_RELEASE = pytest.mark.parametrize("release", RELEASES)


def _all_elements(facts: Definitions) -> list[tuple[str, Element]]:
    return [(name, element) for name, type in facts.types.items() for element in type.elements.values()]


@EVERY_RELEASE
def test_every_name_resolves(release: str) -> None:
    """Element types, bases, reference targets and the parameters of compartments all exist in the release."""
    facts = definitions(release)
    for name, element in _all_elements(facts):
        assert element.type in facts.types or element.type in facts.primitives, (name, element)
        assert set(element.targets) <= facts.resources, (name, element)
    for members in facts.compartments.values():
        for type, codes in members.items():
            assert codes and set(codes) <= facts.search_parameters[type].keys()


@pytest.mark.parametrize(("release", "version", "types"), [("4.0", "4.0.1", 146), ("4.3", "4.3.0", 141)])
def test_a_release_has_as_many_types_as_its_list(release: str, version: str, types: int) -> None:
    """https://hl7.org/fhir/R4/resourcelist.html counts 146, R4B's 141; abstract ones are none that can be stored."""
    facts = definitions(release)
    assert (facts.release, facts.version, len(facts.resources)) == (release, version, types)
    assert {"Patient", "Bundle", "Binary", "Parameters", "OperationOutcome", "List"} <= facts.resources
    assert not {"Resource", "DomainResource", "Element", "patient", ""} & facts.resources
    assert facts.types["DomainResource"].abstract


def test_an_unknown_release_is_refused_by_name() -> None:
    """The error lists the releases there are."""
    with pytest.raises(ValueError, match=r"4\.0, 4\.3, 5\.0"):
        definitions("3.0")


def test_cardinality_is_that_of_the_table() -> None:
    """https://hl7.org/fhir/R4/patient.html: contact 0..*, contact.name 0..1, link.other 1..1, link.type 1..1."""
    types = definitions().types
    contact = types["Patient"].elements["contact"]
    assert (contact.min, contact.max, contact.repeats, contact.type) == (0, None, True, "Patient.contact")
    name = types["Patient.contact"].elements["name"]
    assert (name.min, name.max, name.repeats, name.type) == (0, 1, False, "HumanName")
    for required in ("other", "type"):
        assert (types["Patient.link"].elements[required].min, types["Patient.link"].elements[required].max) == (1, 1)
    assert types["Patient.link"].kind == "backbone"
    assert types["Patient.link"].base == "BackboneElement"
    assert types["Timing.repeat"].base == "Element"


def test_elements_come_in_the_order_of_the_specification() -> None:
    """Inherited elements first, as in XML: https://hl7.org/fhir/R4/patient.html."""
    inherited = ["id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension"]
    own = ["identifier", "active", "name", "telecom", "gender", "birthDate", "deceasedBoolean", "deceasedDateTime"]
    assert list(definitions().types["Patient"].elements)[:16] == inherited + own
    assert list(definitions().types["Patient.contact"].elements)[:4] == [
        "id",
        "extension",
        "modifierExtension",
        "relationship",
    ]


def test_a_choice_has_a_member_for_each_type() -> None:
    """Observation.value[x] has 11 types, Extension.value[x] 50 in R4, and `choice` binds them together."""
    elements = definitions().types["Observation"].elements.values()
    assert {element.name for element in elements if element.choice == "value"} == {
        *("valueQuantity", "valueCodeableConcept", "valueString", "valueBoolean", "valueInteger", "valueRange"),
        *("valueRatio", "valueSampledData", "valueTime", "valueDateTime", "valuePeriod"),
    }
    values = [each for each in definitions().types["Extension"].elements.values() if each.choice == "value"]
    assert len(values) == 50
    assert {"valueBase64Binary", "valueAge", "valueCount", "valueDistance", "valueDuration", "valueMoney"} <= {
        each.name for each in values
    }


def test_a_content_reference_is_the_type_it_points_to() -> None:
    """Bundle.entry.link is a Bundle.link, an item's items are items."""
    types = definitions().types
    assert types["Bundle.entry"].elements["link"].type == "Bundle.link"
    assert types["Questionnaire.item"].elements["item"].type == "Questionnaire.item"
    assert definitions("5.0").types["Bundle.entry"].elements["link"].type == "Bundle.link"


@EVERY_RELEASE
def test_administrative_gender_has_exactly_four_codes(release: str) -> None:
    """https://hl7.org/fhir/R4/valueset-administrative-gender.html, in every release."""
    gender = definitions(release).types["Patient"].elements["gender"]
    assert gender.codes == frozenset({"male", "female", "other", "unknown"})


def test_codes_come_from_lists_hierarchies_and_whole_systems() -> None:
    """A value set with listed codes, one with nested concepts, one that is a filtered hierarchy."""
    r4 = definitions().types
    assert r4["Timing.repeat"].elements["periodUnit"].codes == frozenset({"s", "min", "h", "d", "wk", "mo", "a"})
    assert {"invalid", "structure", "lock-error", "too-long"} <= (
        r4["OperationOutcome.issue"].elements["code"].codes or set()
    )
    assert len(r4["OperationOutcome.issue"].elements["code"].codes or ()) == 31
    assert r4["Bundle"].elements["type"].codes == frozenset(
        {*("document", "message", "transaction", "transaction-response", "batch", "batch-response"), "history"}
        | {"searchset", "collection"}
    )
    assert "Patient" in (r4["CompartmentDefinition.resource"].elements["code"].codes or ())


def test_what_the_package_does_not_enumerate_allows_every_code() -> None:
    """Media types and currencies have no list in the package."""
    types = definitions().types
    assert types["Attachment"].elements["contentType"].codes is None
    assert types["Money"].elements["currency"].codes is None
    assert types["Attachment"].elements["contentType"].binding == "http://hl7.org/fhir/ValueSet/mimetypes"


def test_required_bindings_of_concepts_are_named_with_their_codes() -> None:
    """Condition.clinicalStatus is a CodeableConcept bound to a value set with 6 codes."""
    facts = definitions()
    status = facts.types["Condition"].elements["clinicalStatus"]
    assert status.codes is None
    assert facts.value_sets[status.binding] == {
        "http://terminology.hl7.org/CodeSystem/condition-clinical": {
            "active",
            "recurrence",
            "relapse",
            "inactive",
            "remission",
            "resolved",
        }
    }


def test_reference_targets_are_types() -> None:
    """Observation.subject may be one of four; a Reference(Any) and a canonical(Any) say nothing."""
    types = definitions().types
    assert set(types["Observation"].elements["subject"].targets) == {"Patient", "Group", "Device", "Location"}
    assert types["Linkage.item"].elements["resource"].targets == ()
    assert types["Meta"].elements["profile"].targets == ("StructureDefinition",)


@EVERY_RELEASE
def test_ids_and_urls_have_the_types_of_the_text(release: str) -> None:
    """A resource's id is an id, an element's a plain string, an extension's url a uri; the last two are attributes."""
    types = definitions(release).types
    assert (types["Patient"].elements["id"].type, types["Patient"].elements["id"].attribute) == ("id", False)
    for name in ("Patient.contact", "HumanName", "Extension"):
        assert (types[name].elements["id"].type, types[name].elements["id"].attribute) == ("string", True)
    assert (types["Extension"].elements["url"].type, types["Extension"].elements["url"].attribute) == ("uri", True)
    assert types["Narrative"].elements["div"].type == "xhtml"


def test_summary_and_modifier_flags() -> None:
    """https://hl7.org/fhir/R4/patient.html marks identifier Σ, active ?!Σ, contact neither."""
    elements = definitions().types["Patient"].elements
    assert (elements["identifier"].summary, elements["identifier"].modifier) == (True, False)
    assert (elements["active"].summary, elements["active"].modifier) == (True, True)
    assert (elements["contact"].summary, elements["contact"].modifier) == (False, False)


@EVERY_RELEASE
def test_primitives_have_json_kinds_and_patterns_that_match(release: str) -> None:
    """Each pattern compiles and takes what the specification gives as examples."""
    primitives = definitions(release).primitives
    kinds = {name: primitive.json for name, primitive in primitives.items() if primitive.json != "string"}
    assert kinds == {
        "boolean": "boolean",
        "decimal": "decimal",
        "integer": "integer",
        "positiveInt": "integer",
        "unsignedInt": "integer",
    }
    good = {
        "date": ["2018", "1973-06", "1905-08-23"],
        "dateTime": ["2018", "2015-02-07T13:28:17-05:00", "2017-01-01T00:00:00.000Z"],
        "decimal": ["0", "-1.00", "1e2", "1.5E+10"],
        "id": ["a", "A-1.b"],
        "code": ["a", "a b"],
        "uri": ["urn:oid:1.2", ""],
        "string": ["a\nb"],
        "unsignedInt": ["0", "12"],
        "oid": ["urn:oid:1.2.3.4.5"],
    }
    for name, texts in good.items():
        for text in texts:
            assert re.fullmatch(primitives[name].pattern, text), (name, text)
    assert not re.fullmatch(primitives["code"].pattern, " a")
    assert not re.fullmatch(primitives["positiveInt"].pattern, "0")


def test_an_invariant_stands_on_the_type_that_says_it() -> None:
    """ele-1 on Element, dom-* on DomainResource, pat-1 on Patient.contact, and nowhere else."""
    types = definitions().types
    holders: dict[str, set[str]] = {}
    for name, type in types.items():
        for invariant in type.invariants:
            holders.setdefault(invariant.key, set()).add(name)
    assert holders["ele-1"] == {"Element"}
    assert holders["ext-1"] == {"Extension"}
    assert holders["dom-2"] == {"DomainResource"}
    assert holders["pat-1"] == {"Patient.contact"}
    assert holders["qty-3"] == {"Quantity"}
    dom_6 = next(each for each in types["DomainResource"].invariants if each.key == "dom-6")
    assert dom_6.severity == "warning"


def test_an_invariant_on_a_datatype_s_element_is_said_of_its_holder() -> None:
    """eld-3 stands on ElementDefinition.max in the specification; here it is a rule of ElementDefinition."""
    eld_3 = next(each for each in definitions().types["ElementDefinition"].invariants if each.key == "eld-3")
    assert eld_3.expression.startswith("max.all(")


@pytest.mark.parametrize(("release", "official"), [("4.0", 1376), ("4.3", 1414), ("5.0", 1239)])
def test_every_official_search_parameter_is_there(release: str, official: int) -> None:
    """R4 has 1,372 with an expression and 4 without; examples and parameters about extensions are left out."""
    facts = definitions(release)
    parameters = {each.url: each for found in facts.search_parameters.values() for each in found.values()}
    assert len(parameters) == official
    if release == "4.0":
        assert sum(1 for each in parameters.values() if each.expression) == 1372


def test_a_type_has_its_own_and_inherited_parameters() -> None:
    """Patient has `_id` of Resource, `_text` of DomainResource and `identifier` of its own; Bundle has no `_text`."""
    parameters = definitions().search_parameters
    assert {"_id", "_lastUpdated", "_text", "identifier", "family"} <= parameters["Patient"].keys()
    assert "_text" not in parameters["Bundle"]
    subject = parameters["Observation"]["patient"]
    assert (subject.type, set(subject.targets)) == ("reference", {"Group", "Patient"})
    assert subject.url == "http://hl7.org/fhir/SearchParameter/clinical-patient"
    assert parameters["Condition"]["subject"].url == "http://hl7.org/fhir/SearchParameter/Condition-subject"


@EVERY_RELEASE
def test_there_are_five_compartments(release: str) -> None:
    """https://hl7.org/fhir/R4/compartmentdefinition.html; the package's example is none."""
    compartments = definitions(release).compartments
    assert compartments.keys() == {"Patient", "Encounter", "RelatedPerson", "Practitioner", "Device"}
    assert set(compartments["Patient"]["Observation"]) == {"subject", "performer"}
    assert "Organization" not in compartments["Patient"]
    assert compartments["Patient"]["Patient"] == ("link",)


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_defines_where_its_operations_can_be_invoked(release: str) -> None:
    """On the system, a type or an instance, and by which methods; examples and named queries are none."""
    operations = definitions(release).operations
    everything = {one.type: (one.system, one.on_type, one.on_instance) for one in operations["everything"]}
    assert everything["Patient"] == (False, True, True)
    assert everything["Encounter"] == (False, False, True)
    (meta,) = operations["meta"]
    assert (meta.type, meta.system, meta.on_type, meta.on_instance) == ("Resource", True, True, True)
    assert "populate" not in operations
    assert release == "4.0" or operations["meta-add"][0].affects_state
