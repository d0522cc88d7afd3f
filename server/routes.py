"""The route table: every FHIR interaction of this server. Routing and both documents are computed from it."""

from __future__ import annotations

from server.documents import contract
from server.http.route import Route
from server.interactions.bundle import bundle
from server.interactions.capabilities import capabilities
from server.interactions.conditional_delete import conditional_delete
from server.interactions.conditional_patch import conditional_patch
from server.interactions.conditional_update import conditional_update
from server.interactions.create import create
from server.interactions.delete import delete
from server.interactions.history import history_instance, history_system, history_type
from server.interactions.patch import patch
from server.interactions.read import read
from server.interactions.search import (
    search_compartment,
    search_compartment_by_form,
    search_system,
    search_system_by_form,
    search_type,
    search_type_by_form,
)
from server.interactions.smart import smart_configuration, token
from server.interactions.update import update
from server.interactions.vread import vread
from server.operations.everything import everything_of_encounter, everything_of_patient, everything_of_patients
from server.operations.export.files import export_file
from server.operations.export.kickoff import export_group, export_patients, export_system
from server.operations.export.status import delete_export, export_status
from server.operations.export.urls import FILE_PATH, STATUS_PATH
from server.operations.jobs import job, job_file, jobs
from server.operations.lastn import last_observations
from server.operations.purge import purge
from server.operations.submit.requests import bulk_submit, bulk_submit_status
from server.operations.submit.status import delete_submission_status, submission_file, submission_status
from server.operations.submit.urls import FILE_PATH as SUBMISSION_FILE
from server.operations.submit.urls import STATUS_PATH as SUBMISSION_STATUS
from server.operations.uploads.content import post_content, put_content, put_part
from server.operations.uploads.requests import complete_upload, presign_upload
from server.operations.uploads.status import delete_upload, upload_status
from server.operations.uploads.urls import CONTENT_PATH, UPLOAD_PATH
from server.operations.validate import validate, validate_instance
from server.settings import Settings

_HISTORY = contract.HISTORY
_READ = {"conditionalRead": "full-support"}
_VREAD = {"readHistory": True}
_UPDATE = {"versioning": "versioned-update", "updateCreate": True}
_CREATE = {"conditionalCreate": True}
_CUPDATE = {"conditionalUpdate": True}
_CPATCH = {"conditionalPatch": True}
_CDELETE = {"conditionalDelete": "single"}
_COMPARTMENT = "/{compartment}/{id}/{type}"
_WHOLE = "/{compartment}/{id}/*"
_VALIDATE = ("validate", "http://hl7.org/fhir/OperationDefinition/Resource-validate")
_DEFINITION = "http://hl7.org/fhir/OperationDefinition"
_OF_PATIENT = ("everything", f"{_DEFINITION}/Patient-everything")
_OF_ENCOUNTER = ("everything", f"{_DEFINITION}/Encounter-everything")
_LASTN = ("lastn", f"{_DEFINITION}/Observation-lastn")
_LAST_DOC = "The newest Observations of each code"
_BULK = "http://hl7.org/fhir/uv/bulkdata"
_OWN = "urn:fhirstore:OperationDefinition"
_PURGE = "http://hl7.org/fhir/OperationDefinition/Patient-purge"

_EXPORT = ("export", f"{_BULK}/OperationDefinition/export")
_EXPORT_PATIENTS = ("export", f"{_BULK}/OperationDefinition/patient-export")
_EXPORT_GROUP = ("export", f"{_BULK}/OperationDefinition/group-export")


def _by_get(settings: Settings) -> bool:
    """Whether a GET kicks off an export."""
    return settings.bulk_version < 4


def _authenticates(settings: Settings) -> bool:
    """Whether requests need a token."""
    return settings.authenticates


def _issues_tokens(settings: Settings) -> bool:
    """Whether this server issues the tokens itself."""
    return settings.auth == "smart"


def _in_answers(_: Settings) -> bool:
    """Clients find these URLs in answers, and cannot make them."""
    return False


def _as_smart_says(_: Settings) -> bool:
    """SMART describes these paths; both documents are about FHIR."""
    return False


def _submits(settings: Settings) -> bool:
    """Whether anybody may submit in bulk."""
    return settings.submitters is not None


TABLE: tuple[Route, ...] = (
    Route("GET", "/{type}/{id}", read, ("read",), "The current version of a resource", contract.READ, _READ),
    Route("GET", "/{type}/{id}/_history/{vid}", vread, ("vread",), "One version of a resource", contract.VREAD, _VREAD),
    Route("PUT", "/{type}/{id}", update, ("update",), "Store the next version, or create", contract.UPDATE, _UPDATE),
    Route("PATCH", "/{type}/{id}", patch, ("patch",), "Change parts of a resource", contract.PATCH),
    Route("DELETE", "/{type}/{id}", delete, ("delete",), "Delete; older versions stay readable", contract.DELETE),
    Route("POST", "/{type}", create, ("create",), "Store a new resource under a new id", contract.CREATE, _CREATE),
    Route("GET", "/{type}", search_type, ("search-type",), "Search a type", contract.SEARCH),
    Route("POST", "/{type}/_search", search_type_by_form, (), "Search a type", contract.SEARCH_FORM),
    Route("GET", "", search_system, ("search-system",), "Search all types", contract.SEARCH_ALL),
    Route("POST", "/_search", search_system_by_form, (), "Search all types", contract.SEARCH_ALL_FORM),
    Route("GET", _COMPARTMENT, search_compartment, (), "Search a type in a compartment", contract.SEARCH_COMPARTMENT),
    Route("GET", _WHOLE, search_compartment, (), "Search a compartment", contract.SEARCH_COMPARTMENT),
    Route(
        "POST",
        f"{_COMPARTMENT}/_search",
        search_compartment_by_form,
        (),
        "Search a type in a compartment",
        contract.SEARCH_FORM,
    ),
    Route("POST", f"{_WHOLE}/_search", search_compartment_by_form, (), "Search a compartment", contract.SEARCH_FORM),
    Route("PUT", "/{type}", conditional_update, (), "Update what matches", contract.CONDITIONAL_UPDATE, _CUPDATE),
    Route("PATCH", "/{type}", conditional_patch, (), "Patch what matches", contract.CONDITIONAL_PATCH, _CPATCH),
    Route("DELETE", "/{type}", conditional_delete, (), "Delete what matches", contract.CONDITIONAL_DELETE, _CDELETE),
    Route("GET", "/_history", history_system, ("history-system",), "Everything that happened", _HISTORY),
    Route("GET", "/{type}/_history", history_type, ("history-type",), "What happened to a type", _HISTORY),
    Route("GET", "/{type}/{id}/_history", history_instance, ("history-instance",), "What happened to it", _HISTORY),
    Route("POST", "", bundle, ("batch", "transaction"), "Process a Bundle", contract.BUNDLE),
    Route("POST", "/{type}/$validate", validate, (), "Validate a resource", contract.VALIDATE, operation=_VALIDATE),
    Route(
        "POST",
        "/{type}/{id}/$validate",
        validate_instance,
        (),
        "Validate what is stored, or a next version of it",
        contract.VALIDATE,
    ),
    Route("GET", "/{type}/{id}/$validate", validate_instance, (), "Validate what is stored", contract.VALIDATE_STORED),
    Route("GET", "/Observation/$lastn", last_observations, (), _LAST_DOC, contract.LASTN, operation=_LASTN),
    Route("POST", "/Observation/$lastn", last_observations, (), _LAST_DOC, contract.EVERYTHING_POST, operation=_LASTN),
    *(
        Route(method, path, handler, (), doc, described, operation=operation)
        for path, handler, doc, operation in (
            ("/Patient/{id}/$everything", everything_of_patient, "All there is of a patient", _OF_PATIENT),
            ("/Patient/$everything", everything_of_patients, "All there is of patients", _OF_PATIENT),
            (
                "/Encounter/{id}/$everything",
                everything_of_encounter,
                "All there is of an encounter",
                _OF_ENCOUNTER,
            ),
        )
        for method, described in (("GET", contract.EVERYTHING), ("POST", contract.EVERYTHING_POST))
    ),
    Route(
        "POST",
        "/Binary/$presign-upload",
        presign_upload,
        (),
        "Begin the upload of a Binary's content, to the store itself or in parts",
        contract.PRESIGN_UPLOAD,
        operation=("presign-upload", f"{_OWN}:presign-upload"),
    ),
    Route(
        "POST",
        "/Binary/$complete-upload",
        complete_upload,
        (),
        "Verify what was uploaded, and make the Binary",
        contract.COMPLETE_UPLOAD,
        operation=("complete-upload", f"{_OWN}:complete-upload"),
    ),
    Route("GET", UPLOAD_PATH, upload_status, (), "What was received of an upload", contract.UPLOAD_STATUS),
    Route("PUT", UPLOAD_PATH, put_part, (), "Send a part of an upload", contract.UPLOAD_PART),
    Route("DELETE", UPLOAD_PATH, delete_upload, (), "Give an upload up", contract.UPLOAD_DELETE),
    Route(
        "PUT",
        CONTENT_PATH,
        put_content,
        (),
        "Send the content of an upload",
        contract.UPLOAD_CONTENT,
        advertised=_in_answers,
        access="ticket",
    ),
    Route(
        "POST",
        CONTENT_PATH,
        post_content,
        (),
        "Send the content of an upload in a form",
        contract.UPLOAD_CONTENT,
        advertised=_in_answers,
        access="ticket",
    ),
    Route("GET", "/metadata", capabilities, (), "The CapabilityStatement", contract.CAPABILITIES, access="public"),
    Route(
        "GET",
        "/.well-known/smart-configuration",
        smart_configuration,
        (),
        "How to get a token",
        contract.UNDESCRIBED,
        served=_authenticates,
        advertised=_as_smart_says,
        access="public",
    ),
    Route(
        "POST",
        "/auth/token",
        token,
        (),
        "A token for a client's signed assertion",
        contract.UNDESCRIBED,
        served=_issues_tokens,
        advertised=_as_smart_says,
        access="public",
    ),
    Route("GET", "/$jobs", jobs, (), "The jobs of this tenant", contract.JOBS, operation=("jobs", f"{_OWN}:jobs")),
    Route("GET", "/$job", job, (), "One job and its files", contract.JOB, operation=("job", f"{_OWN}:job")),
    Route(
        "GET",
        "/$job-file",
        job_file,
        (),
        "A file of a job",
        contract.JOB_FILE,
        operation=("job-file", f"{_OWN}:job-file"),
    ),
    Route(
        "POST",
        "/{type}/{id}/$purge",
        purge,
        (),
        "Remove a resource and its history physically",
        contract.ADMIN,
        operation=("purge", _PURGE),
        advertised=lambda settings: settings.enable_purge,
    ),
    Route(
        "GET",
        "/$export",
        export_system,
        (),
        "Begin an export of everything",
        contract.EXPORT,
        operation=_EXPORT,
        safe=False,
        served=_by_get,
    ),
    Route(
        "POST", "/$export", export_system, (), "Begin an export of everything", contract.EXPORT_POST, operation=_EXPORT
    ),
    Route(
        "GET",
        "/Patient/$export",
        export_patients,
        (),
        "Begin an export of all Patients and what belongs to them",
        contract.EXPORT,
        operation=_EXPORT_PATIENTS,
        former_names=("patient-export",),
        safe=False,
        served=_by_get,
    ),
    Route(
        "POST",
        "/Patient/$export",
        export_patients,
        (),
        "Begin an export of all Patients and what belongs to them",
        contract.EXPORT_POST,
        operation=_EXPORT_PATIENTS,
        former_names=("patient-export",),
    ),
    Route(
        "GET",
        "/Group/{id}/$export",
        export_group,
        (),
        "Begin an export of a Group's members and what belongs to them",
        contract.EXPORT_GROUP,
        operation=_EXPORT_GROUP,
        former_names=("group-export",),
        safe=False,
        served=_by_get,
    ),
    Route(
        "POST",
        "/Group/{id}/$export",
        export_group,
        (),
        "Begin an export of a Group's members and what belongs to them",
        contract.EXPORT_GROUP_POST,
        operation=_EXPORT_GROUP,
        former_names=("group-export",),
    ),
    Route("GET", STATUS_PATH, export_status, (), "How far an export is, or its manifest", contract.EXPORT_STATUS),
    Route("DELETE", STATUS_PATH, delete_export, (), "Cancel or remove an export", contract.EXPORT_DELETE),
    Route("GET", FILE_PATH, export_file, (), "A file of an export", contract.EXPORT_FILE),
    Route(
        "POST",
        "/$bulk-submit",
        bulk_submit,
        (),
        "Submit a manifest, or say that a submission is completed or stopped",
        contract.SUBMIT,
        operation=("bulk-submit", f"{_BULK}/OperationDefinition/bulk-submit"),
        advertised=_submits,
    ),
    Route(
        "POST",
        "/$bulk-submit-status",
        bulk_submit_status,
        (),
        "Ask for the status of a submission",
        contract.SUBMIT_STATUS,
        operation=("bulk-submit-status", f"{_BULK}/OperationDefinition/bulk-submit-status"),
        advertised=_submits,
    ),
    Route(
        "GET",
        SUBMISSION_STATUS,
        submission_status,
        (),
        "How far a submission is, or its status manifest",
        contract.EXPORT_STATUS,
        advertised=_submits,
    ),
    Route(
        "DELETE",
        SUBMISSION_STATUS,
        delete_submission_status,
        (),
        "Remove a polling location",
        contract.EXPORT_DELETE,
        advertised=_submits,
    ),
    Route(
        "GET",
        SUBMISSION_FILE,
        submission_file,
        (),
        "A file of OperationOutcomes of a submission",
        contract.EXPORT_FILE,
        advertised=_submits,
    ),
)
