"""Streaming parser for forms with a file (multipart/form-data); the file is not kept in memory."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tintype.errors import Invalid

_BOUNDARY_BYTES: Final = 70
"""As RFC 2046, section 5.1.1, has it."""
_PARTS: Final = 100
"""Most fields and files of a form: parsing each takes time."""
_FIELD_BYTES: Final = 64 << 10
_FORM_BYTES: Final = 256 << 10
"""Most bytes of a field, and of all fields together."""


class _Part(NamedTuple):
    name: str
    is_file: bool


class Form:
    """A form that is being received."""

    def __init__(self, content_type: str | None, chunks: AsyncGenerator[bytes, None], file: str) -> None:
        """Create the parser for the file of one field; raises Invalid if the content type is no form's."""
        self.fields: dict[str, str] = {}
        """Text fields received so far, by name."""
        self._wanted = file
        self._chunks = chunks
        self._reader = _Reader(content_type)
        self._events = self._read()

    async def has_file(self) -> bool:
        """Read up to the file's first byte; return False if the form ends without the file.

        Raises Invalid for a form that is malformed, cut off or too large; TooSlow and Disconnected as
        reading the body does.
        """
        async for event in self._events:
            if event == _Part(self._wanted, is_file=True):
                return True
        return False

    async def file(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes, then read the form to its end."""
        async for event in self._events:
            if not isinstance(event, bytes):
                break
            yield event
        async for _ in self._events:
            pass

    async def _read(self) -> AsyncGenerator[_Part | bytes | None, None]:
        """Yield the parts, the bytes of the wanted file, and None at its end; store the fields."""
        part: _Part | None = None
        text = bytearray()
        size = 0
        async for event in self._reader.events(self._chunks):
            if isinstance(event, _Part):
                part = event
                yield part
            elif part is None or (part.is_file and part.name != self._wanted):
                continue
            elif part.is_file:
                yield event
            elif event is not None:
                size += len(event)
                text += event
                if len(text) > _FIELD_BYTES or size > _FORM_BYTES:
                    raise Invalid(
                        f"Invalid request: a field of a form may have at most {_FIELD_BYTES} bytes, all of "
                        f"them {_FORM_BYTES}."
                    )
            else:
                self.fields[part.name] = _decoded(text)
                text.clear()


class _Reader:
    """Parses chunks of a body into parts, bytes of parts, and None at the end of each part."""

    def __init__(self, content_type: str | None) -> None:
        media_type, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if media_type != b"multipart/form-data" or not 0 < len(boundary) <= _BOUNDARY_BYTES:
            raise Invalid(
                f"A file comes in multipart/form-data with a boundary of 1 to {_BOUNDARY_BYTES} bytes."
            )
        if options.get(b"charset", b"utf-8").lower() != b"utf-8":
            raise Invalid("The text of a form is UTF-8.")
        self._found: list[_Part | bytes | None] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._parts = 0
        self._names: set[str] = set()
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_to_name,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._data,
                "on_part_end": lambda: self._found.append(None),
                "on_end": self._end,
            },
        )

    async def events(self, chunks: AsyncGenerator[bytes, None]) -> AsyncIterator[_Part | bytes | None]:
        """Parse a whole body; raises Invalid if it is malformed, or ends before its last boundary."""
        async for chunk in chunks:
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise Invalid(f"Invalid request: {error}") from None
            found, self._found = self._found, []
            for event in found:
                yield event
        if not self._complete:
            raise Invalid("Invalid request: the form is cut off.")

    def _begin(self) -> None:
        self._headers = {}
        self._parts += 1
        if self._parts > _PARTS:
            raise Invalid(f"Invalid request: a form may have at most {_PARTS} parts.")

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise Invalid("Invalid request: a part of the form has no name.")
        name = _decoded(options[b"name"])
        if name in self._names:
            raise Invalid(f"Invalid request: the form has '{name}' more than once.")
        self._names.add(name)
        self._found.append(_Part(name, b"filename" in options))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._found.append(data[start:end])

    def _end(self) -> None:
        self._complete = True


def _decoded(text: bytes | bytearray) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Invalid("The text of a form is UTF-8.") from None


def check_no_fields_after(fields: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Raise Invalid if fields follow a file that has already been stored according to the earlier fields."""
    if late := fields.keys() - before.keys():
        raise Invalid(
            f"The field '{min(late)}' of the form comes after the file. Send the fields before the file."
        )
