"""Makes the rows of batches for the process that applies them: `python -m fhirstore.indexing.extracting_child`."""

from __future__ import annotations

from fhirstore.index.local.sheets import SheetMaker
from fhirstore.indexing.child import DONE, FAILED, Messages
from fhirstore.indexing.extracting import decode_task, encode_sheet


def main() -> None:
    """The child."""
    messages = Messages()
    file = messages.file()
    maker: SheetMaker | None = None
    while file is not None and (body := messages.next()) is not None:
        try:
            file.check()
            maker = file.sheet_maker(maker)
            anew, versions = decode_task(body)
            sheet = encode_sheet(maker.sheet(versions, anew=anew))
        except Exception:  # noqa: BLE001 - whatever it is: the parent meets it when it makes the rows itself
            maker = None  # it may have numbered texts that no sheet tells of
            messages.answer(FAILED)
        else:
            messages.answer(DONE, sheet)


if __name__ == "__main__":
    main()
