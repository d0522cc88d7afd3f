"""The official examples that are refused, and why each is wrong by its own release.

release -> file -> (code, expression of the first error, reason). All others are accepted.
"""

from __future__ import annotations

_BASE = ("required", "SearchParameter.base", "SearchParameter.base is 1..*, and is not there")
_LONG_ID = ("value", "SearchParameter.id", "an id has 64 characters at most, this one has 67")
_BASELESS = {
    f"SearchParameter-{of}.json": _BASE
    for of in (
        "codesystem-extensions-CodeSystem-author",
        "codesystem-extensions-CodeSystem-effective",
        "codesystem-extensions-CodeSystem-end",
        "codesystem-extensions-CodeSystem-keyword",
        "codesystem-extensions-CodeSystem-workflow",
        "valueset-extensions-ValueSet-author",
        "valueset-extensions-ValueSet-effective",
        "valueset-extensions-ValueSet-end",
        "valueset-extensions-ValueSet-keyword",
        "valueset-extensions-ValueSet-workflow",
    )
}
_LONG = {"SearchParameter-questionnaireresponse-extensions-QuestionnaireResponse-item-subject.json": _LONG_ID}
_GUIDE = (
    "required",
    "ImplementationGuide.name",
    "name and status are 1..1, and are not there",
)

REFUSED: dict[str, dict[str, tuple[str, str, str]]] = {
    "4.0": {
        **_BASELESS,
        **_LONG,
        "ImplementationGuide-fhir.json": _GUIDE,
        "ig-r4.json": _GUIDE,
        "Questionnaire-qs1.json": (
            "required",
            "Questionnaire.item[0].item[0].linkId",
            "Questionnaire.item.linkId is 1..1, and 32 items have none",
        ),
        "CodeSystem-v2-0550.json": (
            "value",
            "CodeSystem.concept[74].code",
            "a code has no white space at its ends; four end with, or are, a no-break space",
        ),
        "Bundle-v2-valuesets.json": (
            "value",
            "Bundle.entry[814].resource.concept[74].code",
            "it holds the CodeSystem v2-0550",
        ),
    },
    "4.3": {
        **_BASELESS,
        **_LONG,
        "CodeSystem-catalogType.json": ("required", "CodeSystem.status", "CodeSystem.status is 1..1, and is not there"),
        "ValueSet-catalogType.json": ("required", "ValueSet.status", "ValueSet.status is 1..1, and is not there"),
        "Bundle-valuesets.json": (
            "required",
            "Bundle.entry[135].resource.status",
            "it holds the CodeSystem and the ValueSet without status",
        ),
    },
    "5.0": {},
}
