"""A form is read in a stream: its file is the same however the bytes are cut, and a malformed form is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.errors import ContentTooLarge, InvalidResource
from server.http.refusal import Refused
from server.operations.uploads.form import FormBody, boundary_of

BOUNDARY = b"xX-boundary"


def form(content: bytes, *fields: tuple[str, str]) -> bytes:
    """Returns a form as a browser sends it."""
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (BOUNDARY, name.encode(), value.encode())
        for name, value in fields
    ]
    head = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: text/plain\r\n\r\n'
    return b"".join([*parts, head % BOUNDARY, content, b"\r\n--%s--\r\n" % BOUNDARY])


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, size: int) -> tuple[dict[str, str], bytes]:
    reading = FormBody(cut(body, size), BOUNDARY)
    fields = await reading.fields()
    return fields, b"".join([piece async for piece in reading.content()])


_NEARLY = st.lists(st.sampled_from([b"\r\n", b"--", BOUNDARY, b"\r\n--" + BOUNDARY[:-1], b"\r", b"x", b"\0"]))


@given(_NEARLY.map(b"".join).filter(lambda text: b"\r\n--" + BOUNDARY not in text), st.integers(1, 80))
async def test_the_file_is_whole(content: bytes, size: int) -> None:
    """Whatever it contains but the delimiter itself, and wherever it is cut."""
    body = form(content, ("most", "10"), ("type", "text/plain; charset=utf-8"))
    assert await read(body, size) == ({"most": "10", "type": "text/plain; charset=utf-8"}, content)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", InvalidResource),
        (b"--%s--\r\n" % BOUNDARY, InvalidResource),
        (form(b"")[:-12], InvalidResource),
        (b"--%s\r\nContent-Type: text/plain\r\n\r\nx\r\n--%s--" % (BOUNDARY, BOUNDARY), InvalidResource),
        (form(b"", ("a", "x" * 40_000)), ContentTooLarge),
        (form(b"", *((str(n), "") for n in range(50))), ContentTooLarge),
    ],
)
async def test_malformed_forms_are_refused(body: bytes, error: type[Exception]) -> None:
    """Without a file, without an end, without names, or with too many or too long fields."""
    with pytest.raises(error):
        await read(body, 1000)


def test_only_forms_are_forms() -> None:
    """The media type must be that of a form, with a boundary."""
    assert boundary_of('multipart/form-data; boundary="a b"') == b"a b"
    with pytest.raises(Refused):
        boundary_of("application/json")
    for text in ("multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 71}"):
        with pytest.raises(InvalidResource):
            boundary_of(text)
