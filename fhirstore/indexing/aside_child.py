"""Applies batches for the process that has them (`aside`): `python -m fhirstore.indexing.aside_child`."""

from __future__ import annotations

from fhirstore.index.local.apply import Batch, Change
from fhirstore.indexing.aside import decode_task
from fhirstore.indexing.child import DONE, FAILED, Messages


def main() -> None:
    """The child."""
    messages = Messages()
    file = messages.file()
    while file is not None and (body := messages.next()) is not None:
        try:
            file.check()
            file.apply(_batch(body))
        except Exception:  # noqa: BLE001 - whatever it is: the parent meets it when it applies the batch itself
            messages.answer(FAILED)
        else:
            messages.answer(DONE)


def _batch(body: bytes) -> Batch:
    task = decode_task(body)
    changes = [Change(*one[:6], purged=one[6]) for one in task.changes]
    return Batch(changes, task.watermark, task.at, task.keep_old, task.complete)


if __name__ == "__main__":
    main()
