r"""A search for contact data where none may be: in files of any kind, and in what they hold (`unpacked`).

A contact is found wherever it stands, between whatever letters:

- in any case, in UTF-8 or, if it is ASCII, in UTF-16;
- with any of its letters escaped as in JSON (`\u0040`), addresses (`%40`) or HTML (`&#64;`), also twice;
- a telephone number also without its +, with separators, and, where the country code is 1, without that;
- in base64, if it was written there as it is given here, or in lower case.

Not found: what is encrypted or hashed, what is cut in two (also by the line breaks of MIME), and what base64
hides further, such as compressed data.
"""

import base64
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from perennial.demo.environment import State
from tests.acceptance.unpacked import files, parts

_WINDOW = 8
_PIECE, _OVERLAP = 16 * 1024**2, 2048
_SEPARATORS = bytes(sorted(set(b" \t.-()/" + "\u00a0\u202f\u2010\u2011\u2013".encode())))
_MOST_SEPARATORS = 12
_ESCAPED = re.compile(
    rb"\\+u00([0-9a-f]{2})|%([0-9a-f]{2})|&#x0*([0-9a-f]{2});|&#0*([0-9]{2,3});|&(commat|plus|period|amp);"
)
_BESIDE = 1024
_NAMED = {b"commat": b"@", b"plus": b"+", b"period": b".", b"amp": b"&"}


@dataclass(frozen=True)
class Leak:
    """A contact, and where it stands."""

    place: str
    file: Path
    where: str
    contact: str

    def __str__(self) -> str:
        return f"{self.place}: {self.contact} in {self.file}, {self.where}"


def leaks(contacts: Iterable[str], places: Mapping[str, Path]) -> list[Leak]:
    """Every contact in every file of the places (name → file or folder), once for each part of a file.

    Raises:
        RuntimeError: a place is not there or a file could not be looked into, so nothing is known of it.
    """
    wanted = Needles.of(contacts)
    return [
        Leak(place, file, where, contact)
        for place, root in places.items()
        for file in files(root)
        for where, contact in sorted(wanted.parts_within([("its name", str(file).encode()), *parts(file)]))
    ]


def places_of(state: State) -> dict[str, Path]:
    """All that a shop on one machine keeps, but for the vault and the files that its systems dropped."""
    return {path.name: path for path in sorted(state.root.iterdir()) if path.name not in {"vault", "landing"}}


@dataclass(frozen=True)
class Needles:
    """What is looked for: as text, and, of telephone numbers, as digits."""

    text: "Patterns"
    digits: "Patterns"

    @classmethod
    def of(cls, contacts: Iterable[str]) -> "Needles":
        """Every form of the contacts; blank ones are nobody's."""
        text, digits = Patterns(), Patterns()
        for contact in {contact.strip() for contact in contacts} - {""}:
            for form in {contact, contact.lower(), contact.upper()}:
                text.add(form.encode(), contact)
                for encoded in _in_base64(form.encode()):
                    text.add(encoded, contact)
            for number in _numbers(contact):
                digits.add(number, contact)
        return cls(text, digits)

    def parts_within(self, texts: Iterable[tuple[str, bytes]]) -> set[tuple[str, str]]:
        """Part and contact, for every contact in a part. Small parts are looked at together first."""
        found: set[tuple[str, str]] = set()
        group: list[tuple[str, bytes]] = []
        for part in [*texts, None]:
            if part is not None:
                group.append(part)
            if part is None or sum(len(text) for _, text in group) > _PIECE:
                if self.within(b"\n".join(text for _, text in group)):
                    found |= {(where, contact) for where, text in group for contact in self.within(text)}
                group = []
        return found

    def within(self, text: bytes) -> set[str]:
        """The contacts in a text."""
        found: set[str] = set()
        for start in range(0, max(len(text), 1), _PIECE):
            for form in _forms(text[start : start + _PIECE + _OVERLAP].lower()):
                found |= {contact for _, _, contact in self.text.within(form)}
                found |= self._numbers_within(form)
        return found

    def _numbers_within(self, form: bytes) -> set[str]:
        hits = list(self.digits.within(form.translate(None, _SEPARATORS)))
        if not hits:
            return set()
        letters = np.frombuffer(form, np.uint8)
        kept = np.flatnonzero(~np.isin(letters, np.frombuffer(_SEPARATORS, np.uint8)))
        found = set()
        for start, number, contact in hits:
            first, last = kept[start], kept[start + len(number) - 1]
            alone = not (form[first - 1 : first].isdigit() or form[last + 1 : last + 2].isdigit())
            if alone and last - first - len(number) < _MOST_SEPARATORS:
                found.add(contact)
        return found


@dataclass
class Patterns:
    """Thousands of byte strings to be found in one pass.

    Each has a window of eight bytes that tells it from most others; the windows of a text are looked up in a
    bitmap first, and only where one of ours may begin is the whole pattern compared.
    """

    windows: dict[int, list[tuple[int, bytes, str]]] = field(default_factory=lambda: defaultdict(list))
    short: dict[bytes, str] = field(default_factory=dict)
    _bitmap: np.ndarray | None = None

    def add(self, pattern: bytes, contact: str) -> None:
        """Look for this, too, and call it by the contact's name."""
        pattern = pattern.lower()
        if len(pattern) < _WINDOW:
            self.short[pattern] = contact
            return
        at = pattern.find(b"@")
        middle = at - _WINDOW // 2 if at >= 0 else (len(pattern) - _WINDOW + 1) // 2
        offset = min(max(middle, 0), len(pattern) - _WINDOW)
        window = int.from_bytes(pattern[offset : offset + _WINDOW], "little")
        if (entry := (offset, pattern, contact)) not in self.windows[window]:
            self.windows[window].append(entry)
        self._bitmap = None

    def within(self, text: bytes) -> Iterator[tuple[int, bytes, str]]:
        """Start, pattern and contact of everything found in a text in lower case."""
        for pattern, contact in self.short.items():
            start = text.find(pattern)
            while start >= 0:
                yield start, pattern, contact
                start = text.find(pattern, start + 1)
        for at, window in self._likely(text):
            for offset, pattern, contact in self.windows.get(window, ()):
                start = at - offset
                if start >= 0 and text.startswith(pattern, start):
                    yield start, pattern, contact

    def _likely(self, text: bytes) -> Iterator[tuple[int, int]]:
        if self._bitmap is None:
            self._bitmap = np.zeros(2**22, np.bool_)
            self._bitmap[_hashed(np.array(list(self.windows), "<u8"))] = True
        for shift in range(min(_WINDOW, len(text) - _WINDOW + 1)):
            count = (len(text) - shift) // _WINDOW
            windows = np.frombuffer(text, "<u8", count, shift)
            for at in np.flatnonzero(self._bitmap[_hashed(windows)]):
                yield shift + int(at) * _WINDOW, int(windows[at])


def _hashed(windows: np.ndarray) -> np.ndarray:
    return (windows * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(42)


def _forms(text: bytes) -> Iterator[bytes]:
    """A text as it is; every second letter, if it may be UTF-16; what stands around its escapes, resolved."""
    for form in (text, text[::2], text[1::2]) if b"\0" in text else (text,):
        yield form
        while near := _around(form, _ESCAPED):
            form = _ESCAPED.sub(_letter, near).lower()
            yield form


def _around(text: bytes, pattern: re.Pattern[bytes]) -> bytes:
    """The stretches of a text in which a pattern matches, each with room for a contact beside it."""
    stretches: list[tuple[int, int]] = []
    for found in pattern.finditer(text):
        start, end = max(found.start() - _BESIDE, 0), found.end() + _BESIDE
        if stretches and start <= stretches[-1][1]:
            start = stretches.pop()[0]
        stretches.append((start, end))
    return b"\n".join(text[start:end] for start, end in stretches)


def _letter(found: re.Match[bytes]) -> bytes:
    *hexadecimal, decimal, name = found.groups()
    if name:
        return _NAMED[name]
    return bytes([(int(decimal) if decimal else int(next(filter(None, hexadecimal)), 16)) % 256])


def _numbers(contact: str) -> Iterator[bytes]:
    """The digits of a telephone number: all, and without the country code 1."""
    number = re.sub(r"[\s.\-()/]", "", contact)
    if re.fullmatch(r"\+?\d{7,15}", number):
        digits = number.removeprefix("+")
        yield digits.encode()
        if number.startswith("+1"):
            yield digits[1:].encode()


def _in_base64(value: bytes) -> Iterator[bytes]:
    """What stays the same in base64 whatever stands before and behind, for each of the three alignments."""
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(shift) + value)
            yield whole[-(-shift * 8 // 6) : (shift + len(value)) * 8 // 6]
