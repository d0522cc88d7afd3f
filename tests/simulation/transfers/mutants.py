"""The rules of direct uploads, each switched off in turn. `within`: a schedule below this seed breaks a promise."""

from __future__ import annotations

from functools import partial

from fhirstore.transfers import changing, completing, record, transfers
from tests.simulation.mutants.mutation import Mutant
from tests.simulation.transfers.schedule import Story

_mutant = partial(Mutant, within=600)
_NEXT = "TABLE.get((upload.status, event))"

TRANSFER_MUTANTS: tuple[Mutant, ...] = (
    _mutant(
        "the Binary has a fresh id",
        completing.Completing.finish,
        'f"urn:fhirstore:upload:{upload.id}"',
        "self.context.ids.new()",
    ),
    _mutant("a presigned PUT may be repeated", Story._send, "condition=self.put_condition", "condition=None"),
    _mutant(
        "a form is verified where clients can write it",
        completing.Completing._verify,
        "found = await self._hashed(key, progress)",
        "found = await self._hashed(self.keys.incoming(upload.id) if upload.method == POST else key, progress)",
    ),
    _mutant(
        "a verified upload may be given up",
        record.after,
        _NEXT,
        f"ABORTED if (upload.status, event) == (VERIFIED, ABORT) else {_NEXT}",
    ),
    _mutant("records change without compare-and-set", changing.change, "IfMatch(reply.etag)", "None"),
    _mutant(
        "what is used is removed, too",
        completing.Completing.clear,
        "if payload_object(name) != upload.payload",
        "if True",
    ),
    _mutant(
        "an old record goes without its objects",
        transfers.Uploads._tidy,
        "        await self._completing.clear(upload)\n        await self._run(removed",
        "        await self._run(removed",
    ),
    _mutant("the hash is not compared", record.mismatch, "sha256 != upload.sha256", "False"),
)
