"""Whatever names a patient in a source, gathered from the source itself for `identifier_scan`.

No reader of a collection is used, so that a reader's mistake cannot hide what it does to ids. From
label tables come all values of the columns whose heading speaks of an id, a name or a birth date;
from image files their names and those of their folders; from DICOM files the names, ids, UIDs,
birth dates and institutions in their headers.

What is searched for and what is not:
- Ids need SHORTEST characters. Shorter ones, like NIH's patient "17", would be found in anything.
  They are searched for in their longer native forms, here "00000017" and "00000017_000".
- Of a person's name the whole and every part of four letters or more is searched for.
- Generic names are kept out: "images_001", "study1", "view1_frontal", names that are found in more
  than _MANY_PLACES folders, and parts of persons' names that are words of this software ("Mass",
  "Adam"), since they are in everything it writes.
- MD5, SHA-1 and SHA-256 of image and patient ids are searched for too: whoever has a list of the
  ids can undo such a hash.
"""

import ast
import collections
import functools
import hashlib
import json
import pathlib
import re
from collections.abc import Iterable

SHORTEST = 6
SHORTEST_NAME = 4
# A longest run of letters and digits below this makes a search a walk through all bytes.
SHORTEST_ANCHOR = 3
DIGEST_DIGITS = 16

IMAGE = "image id"
PATIENT = "patient id"
STUDY = "study id"
FOLDER = "folder name"
NAME = "person's name"
INSTITUTION = "institution"
BIRTH_DATE = "birth date"

_HASHES = ("md5", "sha1", "sha256")
_MANY_PLACES = 8
_GENERIC_DIGITS = 4
_GENERIC = set(
    "ap batch chest chestx chestxray chexpert cxr data dataset dcm dicom file files fold front "
    "frontal im image images img imgs jpeg jpg label labels lat lateral ll metadata nih original "
    "pa part png px raw ray release resized rsna scan series small split stage studies study "
    "test train training v val valid validation version view x xray".split()
)
_PLACEHOLDERS = set("anon anonymous anonymized deidentified none patient subject unknown".split())
_EXTENSION = re.compile(r"(?i)(\.(png|jpe?g|dcm|dicom|tiff?|bmp|npy|nii|gz|csv|json|txt))+$")


class Identifiers:
    """A set of names to search for.

    Attributes:
      kinds: {identifier: kind}. Identifiers are bytes whose ASCII letters are lower case; a name
        with other letters is there once for each way of writing and coding it.
      digests: first DIGEST_DIGITS hex digits of the plain hashes of ids.
      too_short: names that cannot be searched for alone.
      kept_out: generic names that are not searched for.
    """

    def __init__(self, kept_out: Iterable[str] = ()):
        """Initializes an empty set.

        Args:
          kept_out: names that identify nobody, although they look like it.
        """
        self.kinds = {}
        self.digests = set()
        self.too_short = set()
        self.kept_out = set()
        self._exceptions = {name.lower() for name in kept_out}

    def __len__(self) -> int:
        return len(self.kinds)

    def count_by_kind(self) -> dict[str, int]:
        """{kind: number of identifiers}."""
        return dict(collections.Counter(self.kinds.values()))

    def add_id(self, value: str, kind: str) -> None:
        """Adds an id as it is."""
        value = value.strip()
        if not value:
            return
        if kind in (IMAGE, PATIENT):
            self._put_hashes(value)
        if is_generic(value) or self._is_word(value):
            self.kept_out.add(value)
        elif _alphanumerics(value) < SHORTEST:
            self.too_short.add(value)
        else:
            self._put(value, kind)

    def add_ids(self, values: Iterable[str], kind: str) -> None:
        """Adds ids that may be paths or file names; folders and extensions are taken apart.

        Args:
          values: all of a column or folder, since names in many folders are generic.
          kind: of the last components.
        """
        places, kinds, lasts = collections.defaultdict(set), {}, set()
        for value in set(values):
            *folders, last = re.split(r"[/\\]+", value.strip())
            if kind == IMAGE:
                lasts.add(last)
                last = _EXTENSION.sub("", last)
            for depth, name in enumerate([*folders, last]):
                if len(places[name]) <= _MANY_PLACES:
                    places[name].add("/".join(folders[:depth]))
                kinds.setdefault(name, FOLDER)
            kinds[last] = kind
        for last in lasts:
            self._put_hashes(last)  # with the extension
        for name, parents in places.items():
            if len(parents) > _MANY_PLACES:
                self.kept_out.add(name)
                continue
            # Folders of letters alone are words; ids have digits.
            if kinds[name] == FOLDER and not re.search(r"\d", name):
                continue
            self.add_id(name, kinds[name])
            if kinds[name] in (IMAGE, FOLDER) and not is_generic(name):
                for part in re.findall(r"[A-Za-z0-9]+", name):
                    if part != name and len(part) >= SHORTEST and re.search(r"\d", part):
                        self.add_id(part, f"{kinds[name]} (part)")

    def add_name(self, value: str, kind: str = NAME) -> None:
        """Adds a person's name, written "Doe^Jane", "Doe, Jane" or "Jane Doe"."""
        for written in value.split("="):  # DICOM: alphabetic, ideographic, phonetic
            if re.search(r"\d", written):
                self.add_id(written, kind)
                continue
            parts = [part for part in re.split(r"[\^\s,.;_]+", written) if part]
            for part in parts:
                if self._is_word(part):
                    self.kept_out.add(part)
                elif len(part) < SHORTEST_NAME:
                    self.too_short.add(part)
                else:
                    self._put(part, f"{kind} (part)" if len(parts) > 1 else kind)
            if len(parts) > 1:
                for first, second in (parts[:2], parts[1::-1]):
                    for joint in ("^", " ", ", ", "_"):
                        self._put(first + joint + second, kind)

    def add_date(self, value: str, kind: str = BIRTH_DATE) -> None:
        """Adds a date, written YYYYMMDD or YYYY-MM-DD, in the usual ways of writing it."""
        match = re.fullmatch(r"(\d{4})[-./]?(\d\d)[-./]?(\d\d)", value.strip())
        if not match:
            self.add_id(value, kind)
            return
        year, month, day = match.groups()
        for parts in ((year, month, day), (day, month, year), (month, day, year)):
            for joint in ("-", ".", "/"):
                self._put(joint.join(parts), kind)
        self._put(year + month + day, kind)

    def _is_word(self, value: str) -> bool:
        value = value.lower()
        return value in self._exceptions or value in _PLACEHOLDERS or value in software_words()

    def _put(self, value: str, kind: str) -> None:
        for identifier in _codings(value):
            runs = re.findall(rb"[a-z0-9]+", identifier)
            if max(map(len, runs), default=0) < SHORTEST_ANCHOR:
                self.too_short.add(value)
            else:
                self.kinds.setdefault(identifier, kind)

    def _put_hashes(self, value: str) -> None:
        for name in _HASHES:
            digest = hashlib.new(name, value.encode(), usedforsecurity=False).hexdigest()
            self.digests.add(digest[:DIGEST_DIGITS].encode())


def _codings(value: str) -> set[bytes]:
    """A name in bytes, as they are after bytes.lower(), which knows ASCII letters only."""
    if value.isascii():
        return {value.lower().encode()}
    codings = set()
    for form in (value, value.lower(), value.upper()):
        codings |= {form.encode(), json.dumps(form)[1:-1].encode()}
        try:
            codings.add(form.encode("latin-1"))
        except UnicodeEncodeError:
            pass
    return {coding.lower() for coding in codings}


def _alphanumerics(value: str) -> int:
    return sum(character.isalnum() for character in value)


def is_generic(name: str) -> bool:
    """Whether a name consists of words for images and folders and at most a few digits."""
    words = re.findall(r"[a-z]+", name.lower())
    digits = len(re.findall(r"\d", name))
    return bool(words) and digits <= _GENERIC_DIGITS and all(word in _GENERIC for word in words)


@functools.cache
def software_words() -> frozenset[str]:
    """Words that this software can write of itself: names and texts in its code, in lower case."""
    words = set()
    for package in ("pgan", "classifier", "federated"):
        for path in (pathlib.Path(__file__).parents[2] / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            # A docstring is written nowhere, and may name the authors of a method.
            docstrings = {
                id(node.value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            }
            for node in ast.walk(tree):
                for _, field in ast.iter_fields(node):
                    if isinstance(field, str) and id(node) not in docstrings:
                        words.update(re.findall(r"[a-z]{4,}", field.lower()))
    return frozenset(words)
