"""Looks up identifiers in bytes: one pass over the bytes, however many identifiers there are.

The bytes are cut into runs of letters and digits, and these are looked up among those of the
identifiers; around one that fits, the whole identifier is compared. Case does not matter.

Nothing may adjoin an identifier of less than _LONG letters and digits: "471147" is not found in
"4711470". At longer ones no further letter may adjoin a letter and no digit a digit, so that
"00000017_000" is found in "img00000017_000", but not "doering" in "doerings" nor 12345678 in the
fraction 0.12345678.

In binary data lengths, tags and checksums come without a space between. There one character more
than in text may adjoin, and names of less than SHORTEST letters are not looked up, since random
bytes hold them by chance.
"""

import collections
import math
import re
from collections.abc import Iterator

import numpy as np

from pgan.data import identifiers

PLAIN_HASH = "plain hash of an id"

_LONG = 8
_IS_ALNUM = bytes(byte < 128 and chr(byte).isalnum() for byte in range(256))
_DIGITS = b"0123456789"
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
# Other letters, in UTF-8 or Latin-1.
_OTHER_LETTERS = bytes(range(128, 256))


class Index:
    """Identifiers, ready to be looked up.

    Attributes:
      longest: number of bytes of the longest identifier.
    """

    def __init__(self, found: identifiers.Identifiers):
        self._kinds = dict(found.kinds)
        self._digests = frozenset(found.digests)
        self.longest = max(map(len, self._kinds), default=0)
        runs_of = {name: _runs(name) for name in self._kinds}
        frequency = collections.Counter(run for runs in runs_of.values() for run in runs)
        self._anchors = collections.defaultdict(list)
        for name, runs in runs_of.items():
            # The rarest run, so that few identifiers share one: UIDs have a beginning in common.
            anchor = min(
                runs, key=lambda run: (len(run) < identifiers.SHORTEST, frequency[run], -len(run))
            )
            self._anchors[anchor].append((name, runs[anchor]))
        lengths = {
            len(anchor)
            for anchor, names in self._anchors.items()
            if any(not is_short(name) for name, _ in names)
        }
        self._binary_lengths = sorted(lengths) or [identifiers.SHORTEST]
        self._shortest = min(map(len, self._anchors), default=identifiers.SHORTEST)

    def search(self, data: bytes, binary: bool = False) -> list[tuple[int, int, str]]:
        """Finds identifiers.

        Args:
          data: bytes.
          binary: whether they are something else than text.

        Returns:
          (begin, end, kind) of each, without those that lie inside another.
        """
        data = data.lower()
        places = _long_runs(data, self._binary_lengths[0] if binary else self._shortest)
        runs = [data[begin:end] for begin, end in places]
        different = set(runs)
        parts = self._parts_of_binary if binary else _parts_of_text
        anchors = {
            run: found
            for run in different
            if (found := [pair for pair in parts(run) if pair[0] in self._anchors])
        }
        digits = identifiers.DIGEST_DIGITS
        hashes = {run for run in different if len(run) >= digits and run[:digits] in self._digests}
        if not anchors and not hashes:
            return []
        hits = []
        for run, (begin, end) in zip(runs, places, strict=True):
            if run in hashes:
                hits.append((begin, end, PLAIN_HASH))
            for anchor, shift in anchors.get(run, ()):
                hits += self._compare(data, begin + shift, anchor, binary)
        return _outermost(hits)

    def _parts_of_binary(self, run: bytes) -> Iterator[tuple[bytes, int]]:
        for length in self._binary_lengths:
            for begin in range(len(run) - length + 1):
                yield run[begin : begin + length], begin

    def _compare(
        self, data: bytes, position: int, anchor: bytes, binary: bool
    ) -> Iterator[tuple[int, int, str]]:
        for name, offset in self._anchors[anchor]:
            begin = position - offset
            end = begin + len(name)
            if begin < 0 or data[begin:end] != name or (binary and is_short(name)):
                continue
            if _stands_alone(data, begin, end, binary):
                yield begin, end, self._kinds[name]

    def masked(self, text: str) -> str:
        """A text with the identifiers in it masked."""
        data = text.encode(errors="replace")
        for begin, end, _ in reversed(self.search(data)):
            data = data[:begin] + mask(data[begin:end]).encode() + data[end:]
        return data.decode(errors="replace")

    def chance(self, size: int) -> float:
        """How many identifiers so many random bytes hold on average."""
        # A letter is right in either case: two bytes of 256.
        logs = (
            sum(math.log((1 + (byte in _LETTERS)) / 256) for byte in name)
            for name in self._kinds
            if not is_short(name)
        )
        return size * sum(map(math.exp, logs))


def mask(identifier: bytes) -> str:
    """Its first two characters, and a star for each other."""
    text = identifier.decode(errors="replace")
    return text[:2] + "*" * (len(text) - 2)


def is_short(name: bytes) -> bool:
    """Whether an identifier has too few letters and digits to be found in binary data."""
    count = sum(byte in _LETTERS or byte in _DIGITS or byte >= 128 for byte in name)
    return count < identifiers.SHORTEST


def _runs(data: bytes) -> dict[bytes, int]:
    """{run of letters and digits: where it begins}."""
    return {match[0]: match.start() for match in re.finditer(rb"[a-z0-9]+", data)}


def _long_runs(data: bytes, shortest: int) -> list[tuple[int, int]]:
    """(begin, end) of runs of that many letters and digits or more."""
    inside = np.frombuffer(data.translate(_IS_ALNUM), bool)
    # True where that many in a row begin; the number doubles, so few passes are needed.
    length = 1
    while length < shortest:
        step = min(length, shortest - length)
        inside = inside[:-step] & inside[step:]
        length += step
    places = np.flatnonzero(inside)
    begins = places[np.diff(places, prepend=-2) != 1]
    ends = places[np.diff(places, append=-2) != 1] + shortest
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def _parts_of_text(run: bytes) -> set[tuple[bytes, int]]:
    """A run, and what is left without adjoining letters or digits; each with its beginning."""
    parts = {(run, 0)}
    for others in (_LETTERS, _DIGITS):
        head, both = run.rstrip(others), run.lstrip(others)
        begin = len(run) - len(both)
        parts |= {(head, 0), (both, begin), (both.rstrip(others), begin)}
    return parts


def _stands_alone(data: bytes, begin: int, end: int, binary: bool) -> bool:
    before, after = data[max(0, begin - 2) : begin][::-1], data[end : end + 2]
    if data[begin:end].isdigit():
        for beside in (before, after):
            if beside[:1] == b"." and beside[1:].isdigit():
                return False
    others = b"" if binary else _OTHER_LETTERS
    for edge, beside in ((data[begin], before), (data[end - 1], after)):
        adjoining = _LETTERS + _DIGITS + others
        if end - begin >= _LONG:
            adjoining = _DIGITS if edge in _DIGITS else _LETTERS + others
        if all(byte in adjoining for byte in beside[: 1 + binary].ljust(1 + binary)):
            return False
    return True


def _outermost(hits: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    kept, reached = [], -1
    for begin, end, what in sorted(set(hits), key=lambda hit: (hit[0], -hit[1])):
        if end > reached:
            kept.append((begin, end, what))
            reached = end
    return kept
