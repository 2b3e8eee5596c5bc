"""Files of a reader study: the deck that was shown, its key, and what each reader answered.

deck.json says what was to be shown, key.json, which no reader sees, what each image is, and a file
of each reader what was answered. All are checked here as a whole, since a number that comes from
the wrong key, or from a file that was counted twice, looks like any other number.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Iterable
from typing import Any

from classifier import reader_deck, reader_page

ANSWERS_FORMAT = "reader answers 1"
ORIGINS = ("real", "synthetic")
CONFIDENCES = range(1, 6)
NO_GROUP = "readers"


@dataclasses.dataclass(frozen=True)
class Deck:
    """What was to be shown to whom.

    Attributes:
        id: Its identity, in hex digits.
        title: For people.
        mode: "timed", or "unrestricted" with all the time and tools that a reader wants.
        seconds: For an image; None for any time.
        confidence: Whether readers say how sure they are.
        reasons: That readers could tick.
        readers: {code: group}, in the order of the file; NO_GROUP for those without.
        items: {resolution in px: names of its images}, from the least resolution.
    """

    id: str
    title: str
    mode: str
    seconds: float | None
    confidence: bool
    reasons: tuple[str, ...]
    readers: dict[str, str]
    items: dict[int, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Answers:
    """One reader's answers.

    Attributes:
        path: The file.
        reader: Code of the reader.
        background: What the reader says of himself or herself, such as {"years": 4}, and how the
            images were shown: "scales" {resolution as text: screen pixels per pixel of the image},
            "pixel_ratio" and "reloads" of the page. Simulated readers have none of these.
        digest: Of the file's content.
        by_item: {image: {"answer", "confidence", "milliseconds", "reasons", "position"}}. An
            answer of None is that of an image whose time ran out, or that a reader without a limit
            left open. Images that were not shown are not here.
    """

    path: pathlib.Path
    reader: str
    background: dict[str, Any]
    digest: str
    by_item: dict[str, dict[str, Any]]

    @property
    def simulated(self) -> bool:
        """Whether the reader is none: the file says so of itself."""
        return bool(self.background.get("simulated"))


@dataclasses.dataclass(frozen=True)
class Study:
    """A deck, its key, and the answers to it.

    Attributes:
        deck: What was shown.
        key: {image: {"resolution", "origin", "image_id", "findings", "source"}}.
        answers: {code: answers} of the readers who gave any, in the order of the deck.
        unfinished: Sentences on readers who were not shown all images, mostly none.
        absent: Codes of readers without a file. Decks may have spare ones.
    """

    deck: Deck
    key: dict[str, dict[str, Any]]
    answers: dict[str, Answers]
    unfinished: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def simulated(self) -> bool:
        """Whether any of the readers is simulated."""
        return any(one.simulated for one in self.answers.values())

    @property
    def simulated_readers(self) -> str:
        """Who is simulated, for titles: "simulated readers", "some readers simulated" or ""."""
        if all(one.simulated for one in self.answers.values()):
            return "simulated readers"
        return "some readers simulated" if self.simulated else ""


def load_study(
    deck: pathlib.Path,
    key: pathlib.Path,
    answers: Iterable[pathlib.Path],
    allow_incomplete: bool = False,
) -> Study:
    """Reads and checks all files of a study.

    Args:
        deck: deck.json, or its folder.
        key: key.json, or its folder.
        answers: Files of answers, or folders of them.
        allow_incomplete: Whether images that a reader was not shown are left out and told instead
            of refused.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file is not what it should be, with a line for each of them.
    """
    shown = load_deck(deck)
    truth = load_key(key, shown)
    found, wrong = [], []
    for path in _answer_paths(answers):
        try:
            found.append(load_answers(path, shown))
        except ValueError as error:
            wrong.append(str(error))
    wrong += _twice(found)
    if wrong:
        raise ValueError("\n".join(wrong))
    images = sum(len(names) for names in shown.items.values())
    unfinished = [
        f"{one.path}: reader {one.reader} was shown {len(one.by_item):,} of {images:,} images."
        for one in found
        if len(one.by_item) < images
    ]
    if unfinished and not allow_incomplete:
        raise ValueError(
            "\n".join(unfinished)
            + "\nLet the readers finish, or give --allow_incomplete to score what is there."
        )
    by_reader = {one.reader: one for one in found}
    ordered = {code: by_reader[code] for code in shown.readers if code in by_reader}
    absent = tuple(code for code in shown.readers if code not in by_reader)
    return Study(shown, truth, ordered, tuple(unfinished), absent)


def load_deck(path: pathlib.Path) -> Deck:
    """Reads deck.json.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not whole, or of another format.
    """
    path = path / "deck.json" if path.is_dir() else path
    content = _read(path, reader_deck.DECK_FORMAT, "the deck of tools/build_reader_study.py")
    try:
        items = {int(side): tuple(names) for side, names in content["items"].items()}
        deck = Deck(
            id=content["deck"],
            title=content["title"],
            mode=content["mode"],
            seconds=content["seconds"],
            confidence=content["confidence"],
            reasons=tuple(content["reasons"]),
            readers={
                code: facts["group"] or NO_GROUP for code, facts in content["readers"].items()
            },
            items=dict(sorted(items.items())),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}); take the file as "
            "tools/build_reader_study.py wrote it"
        ) from error
    names = [name for own in deck.items.values() for name in own]
    if not names or not deck.readers or len(set(names)) != len(names):
        raise ValueError(
            f"{path} has {len(names)} images, {len(set(names))} of them different, and "
            f"{len(deck.readers)} readers; a deck has readers, and images that are all different"
        )
    return deck


def load_key(path: pathlib.Path, deck: Deck) -> dict[str, dict[str, Any]]:
    """Reads key.json: {image: what it is}.

    Args:
        path: The file, or its folder.
        deck: That it has to belong to.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is the key of another deck, or not whole.
    """
    path = path / "key.json" if path.is_dir() else path
    content = _read(path, reader_deck.KEY_FORMAT, "the key of tools/build_reader_study.py")
    if content.get("deck") != deck.id:
        raise ValueError(
            f"{path} is the key of deck {content.get('deck')}, the deck is {deck.id}; give --key "
            "the file that was written with this deck"
        )
    items = content.get("items")
    sides = {name: side for side, names in deck.items.items() for name in names}
    if not isinstance(items, dict) or set(items) != set(sides):
        raise ValueError(
            f"{path} and the deck do not name the same images; take the file as "
            "tools/build_reader_study.py wrote it"
        )
    for name, facts in items.items():
        known = isinstance(facts, dict) and facts.get("origin") in ORIGINS
        if not known or facts.get("resolution") != sides[name]:
            raise ValueError(
                f"{path} has no origin (real or synthetic) and resolution ({sides[name]} px) of "
                f"image {name}; take the file as tools/build_reader_study.py wrote it"
            )
    return items


def load_answers(path: pathlib.Path, deck: Deck) -> Answers:
    """Reads the answers of one reader.

    Args:
        path: The file.
        deck: That they have to belong to.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the file was edited, belongs to another deck, names a reader or an image
            that the deck has not, answers an image twice, or is otherwise not what the page saves.
    """
    content = _read(path, ANSWERS_FORMAT, "a reader's answers, as the page of the deck saves them")
    if content.get("digest") != reader_page.digest(content):
        raise ValueError(
            f"{path} was changed after the page had saved it (its digest does not fit); ask the "
            "reader for the file as it was saved"
        )
    if content.get("deck") != deck.id:
        raise ValueError(
            f"{path} answers deck {content.get('deck')}, this is {deck.id}; score it with its own "
            "deck and key"
        )
    reader = content.get("reader")
    if not isinstance(reader, str) or reader not in deck.readers:
        raise ValueError(
            f"{path} is of reader {reader!r}, whom the deck does not have (it has "
            f"{', '.join(deck.readers)}); leave the file out"
        )
    if content.get("mode") != deck.mode:
        raise ValueError(
            f"{path} was read as {content.get('mode')!r}, the deck is {deck.mode!r}; answers under "
            "other conditions are a study of their own, with a deck of that mode"
        )
    background, given = content.get("background"), content.get("answers")
    if not isinstance(background, dict) or not isinstance(given, list):
        raise ValueError(f"{path} has no background or no list of answers; {_SAVE_AGAIN}")
    wrong = _wrong_background(background)
    if wrong:
        raise ValueError(f"{path}: {wrong}; {_SAVE_AGAIN}")
    sides = {name: side for side, names in deck.items.items() for name in names}
    seen, by_item = set(), {}
    for one in given:
        name = one.get("item") if isinstance(one, dict) else None
        if not isinstance(name, str) or name not in sides:
            raise ValueError(f"{path} answers an image {name!r} that the deck does not have")
        if name in seen:
            raise ValueError(
                f"{path} answers image {name} twice; readers cannot go back, so that neither "
                f"counts. {_SAVE_AGAIN.capitalize()}"
            )
        wrong = _wrong(one, sides[name])
        if wrong:
            raise ValueError(f"{path}, image {name}: {wrong}; {_SAVE_AGAIN}")
        seen.add(name)
        if content.get("finished") is not None or _was_shown(one, deck):
            by_item[name] = one
    return Answers(path, reader, background, content["digest"], by_item)


_SAVE_AGAIN = "ask the reader for the file as the page saved it"


def _wrong(one, side):
    """What is wrong with an answer, "" if nothing is."""
    if one.get("resolution") != side:
        return f"resolution {one.get('resolution')!r}, the deck shows it at {side} px"
    if one.get("answer") not in (*ORIGINS, None):
        return f"answer {one.get('answer')!r} is neither real, synthetic nor null"
    confidence = one.get("confidence")
    if confidence is not None and not (_is_count(confidence) and confidence in CONFIDENCES):
        return f"confidence {confidence!r} is not 1 to 5 or null"
    for name in ("milliseconds", "position"):
        if not _is_count(one.get(name)):
            return f"{name} {one.get(name)!r} is not a whole number from 0"
    reasons = one.get("reasons")
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        return f"reasons {reasons!r} are no list of texts"
    return ""


def _wrong_background(background):
    """What is wrong with how images were shown, "" if nothing is or it is not told."""
    reloads, ratio = background.get("reloads"), background.get("pixel_ratio")
    if reloads is not None and not _is_count(reloads):
        return f"reloads {reloads!r} is not a whole number from 0"
    if ratio is not None and not _is_size(ratio):
        return f"pixel_ratio {ratio!r} is not a number above 0"
    scales = background.get("scales", {})
    if not isinstance(scales, dict) or not all(map(_is_size, scales.values())):
        return f"scales {scales!r} are not a number above 0 for each resolution"
    return ""


def _was_shown(one, deck):
    """Whether an image of an unfinished reading was: answered, or for all of its time."""
    timed_out = deck.seconds is not None and one["milliseconds"] >= 1000 * deck.seconds
    return one["answer"] is not None or timed_out


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_size(value):
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value < math.inf


def _read(path, wanted, what):
    """Content of a JSON file of a format."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; wanted is {what}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no text
        raise ValueError(f"{path} is no JSON ({error}); wanted is {what}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != wanted:
        raise ValueError(f"{path} has the format {found!r}, not {wanted!r}; wanted is {what}")
    return content


def _answer_paths(given):
    paths = []
    for path in given:
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not inside:
            raise FileNotFoundError(f"{path} holds no *.json; wanted are the files of the readers")
        paths += inside
    if not paths:
        raise ValueError("no answers were given; --answers takes files of readers, or folders")
    return paths


def _twice(found):
    """Sentences on readers of whom there are several files."""
    sentences = []
    for number, one in enumerate(found):
        for other in found[:number]:
            if one.path.resolve() == other.path.resolve():
                sentences.append(f"{one.path} was given twice; give it once")
            elif one.digest == other.digest:
                sentences.append(f"{other.path} and {one.path} are copies; give one of them")
            elif one.reader == other.reader:
                sentences.append(
                    f"{other.path} and {one.path} are both of reader {one.reader}; a second "
                    "reading knows the images, so give the first"
                )
    return sentences
