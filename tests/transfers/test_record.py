"""The state machine of an upload: every event in every status goes as the table says, or not at all."""

from __future__ import annotations

import pytest

from fhirstore.errors import CorruptRecord
from fhirstore.transfers.record import (
    ABORT,
    CLAIM,
    COMPLETING,
    ENDED,
    EVENTS,
    EXPIRE,
    FINISH,
    OPEN,
    STATUSES,
    TABLE,
    VERIFIED,
    VERIFYING,
    Upload,
    UploadRequest,
    after,
    begun,
    claimed,
    decode_upload,
    expired,
    mismatch,
)

ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def upload(status: str = OPEN, **changes: object) -> Upload:
    asked = UploadRequest(content_type="text/plain", size=10, sha256="0" * 64, expires_in=60)
    made = begun(asked, ID, now=1_000, direct=True, multipart=None)
    changed = {"status": status, **changes}
    return Upload(**{name: getattr(made, name) for name in Upload.__struct_fields__} | changed)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_event_in_every_status(status: str, event: str) -> None:
    """A transition that is not in the table is refused; each carries its nonce."""
    found = after(upload(status), event, "nonce")
    if (status, event) not in TABLE:
        assert found is None
        return
    assert found is not None
    assert (found.status, found.nonce) == (TABLE[status, event], "nonce")


def test_what_has_ended_stays_so() -> None:
    """Nothing leads out of a status that ends an upload, and what is verified can only be finished or refused."""
    assert not [status for status, _ in TABLE if status in ENDED]
    assert {event for status, event in TABLE if status == VERIFIED} == {FINISH, "refuse"}
    assert (VERIFIED, ABORT) not in TABLE
    assert (VERIFIED, EXPIRE) not in TABLE


def test_one_verifies_at_a_time() -> None:
    """Another one may begin only once the lease has ended; each begin of a form has a copy of its own."""
    mine = claimed(upload(), "a", now=2_000, length=500, copy=True)
    assert mine is not None
    assert (mine.status, mine.owner, mine.until, mine.copies) == (VERIFYING, "a", 2_500, ("a",))
    assert claimed(mine, "b", now=2_500, length=500, copy=True) is None
    theirs = claimed(mine, "b", now=2_501, length=500, copy=True)
    assert theirs is not None
    assert theirs.copies == ("a", "b")
    assert claimed(upload(VERIFIED), "a", now=2_000, length=500, copy=False) is None
    assert (VERIFIED, CLAIM) not in TABLE


def test_when_an_upload_expires() -> None:
    """An hour after its content could be sent, unless it is being verified."""
    until = 61_000 + COMPLETING * 1000
    assert upload().complete_by == until
    assert expired(upload(), "n", now=until) is None
    assert expired(upload(), "n", now=until + 1) is not None
    assert expired(upload(VERIFYING, until=until + 9), "n", now=until + 9) is None
    assert expired(upload(VERIFYING, until=until + 9), "n", now=until + 10) is not None
    assert expired(upload(VERIFIED), "n", now=until + 10**9) is None


def test_what_is_not_as_promised() -> None:
    """Size and hash are those that were promised, and there is some content."""
    assert mismatch(upload(), 10, "0" * 64) is None
    assert "11 bytes" in (mismatch(upload(), 11, None) or "")
    assert "SHA-256" in (mismatch(upload(), 10, "1" * 64) or "")
    assert "more than" in (mismatch(upload(size=None), 11, None) or "")
    assert "empty" in (mismatch(upload(size=None), 0, None) or "")


def test_a_record_is_read_as_it_was_written() -> None:
    """And what is none is told by its key."""
    made = upload(VERIFYING, owner="a", until=5, copies=("a", "b"))
    assert decode_upload(made.encode(), "key") == made
    for body in (b"{}", b"", made.encode().replace(b"verifying", b"unheard-of")):
        with pytest.raises(CorruptRecord, match="key"):
            decode_upload(body, "key")


def test_parts_fit() -> None:
    """A content of the largest size has parts enough."""
    asked = UploadRequest(content_type="text/plain", size=5 << 40, method="parts")
    made = begun(asked, ID, now=0, direct=False, multipart="u")
    assert made.parts <= 10_000
    assert sum(made.part_bytes(number) for number in range(1, made.parts + 1)) == 5 << 40
