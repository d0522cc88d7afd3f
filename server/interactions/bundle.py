"""batch and transaction: https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from starlette.responses import Response

from fhirstore import BundleOptions
from server.auditing.touched import touch_bundle
from server.bundles.operations import EntryOperations
from server.bundles.response import bundle_response
from server.content.body import resource_body
from server.http.call import Call
from server.http.parameters import refuse_others
from server.http.preconditions import idempotency_key
from server.http.prefer import is_lenient


async def bundle(call: Call) -> Response:
    """POST [base]: 200 with a Bundle of one response per entry; a transaction that fails is one OperationOutcome.

    A Bundle whose own members are wrong is 422. With `Idempotency-Key` a Bundle that is sent again is not processed
    again, but for the entries of a batch that failed.
    """
    refuse_others(call)
    call.representation.check_resource()
    operations = EntryOperations(call)
    options = BundleOptions(
        base_url=call.base_url,
        operation=operations.perform,
        admit=operations.admit,
        lenient=is_lenient(call),
        idempotency_key=idempotency_key(call),
        max_entries=call.settings.max_bundle_entries,
        max_requests=call.settings.max_bundle_requests,
        skip_unchanged=call.settings.skip_unchanged,
        delete_several=call.settings.conditional_delete == "multiple",
    )
    body = await resource_body(call)
    result = await call.tenant.process(body, options=options)
    touch_bundle(call.scope, result)
    return await bundle_response(call, result)
