"""A deposit of generators in a folder, which may be any storage that is mounted there.

    deposit.json                          that it is one
    ledger.jsonl                          everything that happened, see `ledger`
    sites/<site>/<name>/<version>/        a submission, never changed
        generator/                        the export as the site wrote it
        claims.jsonl                      what the site measured of it, if it said so
        audit.json                        its privacy audit, if it sent one
    measured/<site>/<name>/<version>/     what the deposit measured itself

A submission is copied under a hidden name, checked there and renamed. Who may submit is decided by
who may write to the storage; a site's name is what the site says it is. Who may write can also put
decisions into the ledger, and so admit what was never measured, or links into the folder: where
sites are not trusted with that, they hand exports to the deposit's own account, which alone writes.
Whatever the ledger says, a generator is loaded only after its graph was checked.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import tqdm

from pgan.data import manifest, record_folder
from pgan.deposit import ledger as ledger_lib
from pgan.deposit import submission_check, testimony
from pgan.deposit.graph_check import RefusedError

_HEAD = "deposit.json"
_FORMAT = {"format": "pgan deposit of generators", "format_version": 1}
_SITE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
# Site, name and version; part of paths, so not to be believed of a ledger that others write to.
_ID = re.compile(rf"{_SITE.pattern}/{submission_check.NAME.pattern}/[1-9][0-9]{{0,8}}")
_BLOCK = 2**22  # bytes
GENERATOR, CLAIMS, AUDIT = "generator", "claims.jsonl", "audit.json"
_FACTS = (
    "name",
    "version",
    "fingerprint",
    "resolution",
    "findings",
    "precision",
    "parameters",
    "images_shown",
    "training_records",
    "license",
    "created",
)


@dataclasses.dataclass(frozen=True)
class Submission:
    """A generator in the deposit.

    Attributes:
        id: "<site>/<name>/<version>".
        site: Who submitted it.
        facts: Of its model card: `name`, `findings`, `resolution`, `training_records` ...
        files: {path in its folder: SHA-256}.
        sha256: Over these.
        claims: Numbers that the site measured of it, of `testimony.read_claims`.
        audit: What its privacy audit says, of `testimony.brief`, or None.
        submitted: When, ISO 8601.
        decision: The newest line of the ledger that admits or rejects it, or None.
    """

    id: str
    site: str
    facts: dict[str, Any]
    files: dict[str, str]
    sha256: str
    claims: list[dict[str, Any]]
    audit: dict[str, Any] | None
    submitted: str
    decision: dict[str, Any] | None = None

    @property
    def status(self) -> str:
        """`submitted`, `admitted` or `rejected`."""
        return ledger_lib.SUBMITTED if self.decision is None else self.decision["event"]


class Deposit:
    """A deposit.

    Attributes:
        path: Its folder.
        ledger: Its book.
    """

    def __init__(self, path: str | os.PathLike):
        """Names the folder; `submit` makes it."""
        self.path = pathlib.Path(path)
        self.ledger = ledger_lib.Ledger(self.path / "ledger.jsonl")

    def submissions(self) -> list[Submission]:
        """All submissions, oldest first, with what was decided last.

        Raises:
            ValueError: If there is no deposit or its ledger has been changed.
        """
        self._require()
        found = {}
        for number, row in enumerate(self.ledger.read(), 1):
            try:
                if row["event"] == ledger_lib.SUBMITTED:
                    found[row["id"]] = _submission(row)
                elif row["event"] != ledger_lib.REFUSED:
                    found[row["id"]] = dataclasses.replace(found[row["id"]], decision=row)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{self.ledger.path} has been changed: entry {number} is none that this "
                    f"program writes ({error!r})"
                ) from None
        return list(found.values())

    def find(self, wanted: str) -> list[Submission]:
        """Submissions of a site, a model or a version.

        Args:
            wanted: "site", "site/name" or "site/name/version".

        Raises:
            ValueError: If there is none; lists the sites or submissions there are.
        """
        there = self.submissions()
        found = [one for one in there if f"{one.id}/".startswith(f"{wanted}/")]
        if found:
            return found
        site = wanted.partition("/")[0]
        known = sorted(one.id for one in there if one.site == site)
        if known:
            raise ValueError(f"{site} has no submission {wanted}; it has {', '.join(known)}")
        sites = ", ".join(sorted({one.site for one in there})) or "none yet"
        raise ValueError(f"{self.path} knows no site {site!r}; its sites are: {sites}")

    def submit(
        self,
        site: str,
        export_dir: str | os.PathLike,
        evaluation: str | os.PathLike | None = None,
        audit: str | os.PathLike | None = None,
        show_progress: bool = True,
    ) -> tuple[Submission, bool]:
        """Takes a copy of an export in.

        Args:
            site: Who submits it; lower case letters, digits, "_" and "-".
            export_dir: Version folder that tools/export_generator.py wrote.
            evaluation: Folder or `results.jsonl` of tools/evaluate_gan.py, or None.
            audit: Folder or `report.json` of tools/audit_privacy.py, or None.
            show_progress: Whether to draw a bar.

        Returns:
            The submission, and whether it is new; the same one again changes nothing.

        Raises:
            RefusedError: If something in it is not as it has to be; nothing of it was run. The
                ledger of a deposit that exists notes it.
            FileExistsError: If that version was submitted with other content.
            FileNotFoundError: If a file is not there.
            ValueError: If the site's name cannot be used, or the folder holds something else.
        """
        if not _SITE.fullmatch(site):
            raise ValueError(
                "--site is 1 to 32 lower case letters, digits, '_' and '-', such as "
                f"uk_aachen; got {site!r}"
            )
        try:
            return self._receive(site, pathlib.Path(export_dir), evaluation, audit, show_progress)
        except RefusedError as error:
            if (self.path / _HEAD).exists():
                with record_folder.claimed(self.path, "changing"):
                    row = {"site": site, "reasons": [str(error)]}
                    self.ledger.append(ledger_lib.REFUSED, row)
            raise

    def _receive(self, site, source, evaluation, audit, show_progress):
        sizes = submission_check.list_files(source)
        self._begin()
        with record_folder.claimed(self.path, "changing"):
            folder = self.path / "sites" / site
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(".unfinished-*"):  # Of a submission that was killed.
                shutil.rmtree(left)
            beside = pathlib.Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
            try:
                paths = [f"{GENERATOR}/{name}" for name in sizes]
                _copy(source, beside / GENERATOR, list(sizes), sum(sizes.values()), show_progress)
                card = submission_check.check(beside / GENERATOR)
                said = {"claims": [], "audit": None}
                if evaluation is not None:
                    said["claims"] = testimony.read_claims(evaluation, card)
                    text = "".join(json.dumps(row) + "\n" for row in said["claims"])
                    (beside / CLAIMS).write_text(text, encoding="utf-8")
                    paths.append(CLAIMS)
                if audit is not None:
                    report = testimony.read_audit(audit, card)
                    said["audit"] = testimony.brief(report)
                    manifest.write_json(beside / AUDIT, report)
                    paths.append(AUDIT)
                return self._take_in(site, card, said, beside, paths)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
                with contextlib.suppress(OSError):  # Unless it holds submissions.
                    folder.rmdir()

    @contextlib.contextmanager
    def opened(self, submission: Submission) -> Iterator[pathlib.Path]:
        """A private copy of a submission, checked again, for as long as the block lasts.

        What is checked and what is loaded are thereby the same bytes, whatever happens to the
        storage meanwhile.

        Raises:
            RefusedError: If a file is missing or not as it was when it was submitted.
        """
        folder = self.path / "sites" / submission.id
        with tempfile.TemporaryDirectory() as scratch:
            private = pathlib.Path(scratch)
            there = submission_check.list_files(folder / GENERATOR)
            wanted = {n.removeprefix(f"{GENERATOR}/") for n in submission.files if "/" in n}
            if set(there) != wanted:
                different = sorted(set(there) ^ wanted)
                raise RefusedError(f"{folder} has been changed: {', '.join(different)}")
            _copy(folder, private, list(submission.files), sum(there.values()), False)
            for name, digest in submission.files.items():
                if manifest.sha256_of_file(private / name) != digest:
                    raise RefusedError(
                        f"{folder / name} has been changed since it was submitted; it is not used"
                    )
            submission_check.check(private / GENERATOR)
            yield private

    def record(self, submission: Submission, event: str, row: dict[str, Any]) -> None:
        """Writes a decision into the ledger."""
        with record_folder.claimed(self.path, "changing"):
            facts = {"id": submission.id, "site": submission.site, "sha256": submission.sha256}
            self.ledger.append(event, {**facts, **row})

    def _take_in(self, site, card, said, beside, paths):
        files = {name: manifest.sha256_of_file(beside / name) for name in sorted(paths)}
        facts = {
            "id": f"{site}/{card['name']}/{card['version']}",
            "site": site,
            "facts": {name: card[name] for name in _FACTS if name in card},
            "files": files,
            "sha256": manifest.sha256_of_lines(f"{n} {d}" for n, d in files.items()),
            **said,
        }
        there = {one.id: one for one in self.submissions()}
        final = self.path / "sites" / facts["id"]
        if facts["id"] in there:
            old = there[facts["id"]]
            if old.sha256 == facts["sha256"]:
                return old, False
            raise FileExistsError(
                f"{facts['id']} was submitted on {old.submitted} with other content, and a version "
                "is never changed. Export the generator as a new version "
                f"(tools/export_generator.py --version={card['version'] + 1}) and submit that"
            )
        shutil.rmtree(final, ignore_errors=True)  # Of a kill between renaming and the ledger.
        final.parent.mkdir(parents=True, exist_ok=True)
        for name in files:
            os.chmod(beside / name, 0o444)
        os.chmod(beside, 0o755)
        os.rename(beside, final)
        row = self.ledger.append(ledger_lib.SUBMITTED, facts)
        return _submission(row), True

    def _begin(self) -> None:
        """Makes the folder, or checks that it is a deposit."""
        if self.path.exists() and not (self.path / _HEAD).exists():
            strangers = [entry.name for entry in self.path.iterdir()]
            if strangers:
                raise ValueError(
                    f"{self.path} is not empty and holds no deposit (it has {strangers[0]}); give "
                    "another --deposit"
                )
        if not (self.path / _HEAD).exists():
            manifest.write_json(self.path / _HEAD, _FORMAT)
        self._require()

    def _require(self) -> None:
        path = self.path / _HEAD
        if not path.exists():
            raise ValueError(
                f"{self.path} is no deposit, it has no {_HEAD}; --action=submit makes one"
            )
        if json.loads(path.read_text(encoding="utf-8")) != _FORMAT:
            raise ValueError(f"{path} was written by another version of this program")


def _submission(row) -> Submission:
    """Of a line of the ledger."""
    if not _ID.fullmatch(row["id"]) or row["id"].partition("/")[0] != row["site"]:
        raise ValueError(f"id {row['id']!r} of site {row['site']!r}")
    names = {field.name for field in dataclasses.fields(Submission)} & set(row)
    return Submission(**{name: row[name] for name in names}, submitted=row["date"])


def _copy(source, target, names, total, show_progress) -> None:
    """Copies files, following no link."""
    bar = tqdm.tqdm(
        total=total, unit="B", unit_scale=True, desc="Copying", disable=not show_progress
    )
    with bar:
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(source / name, os.O_RDONLY | os.O_NOFOLLOW)
            with open(descriptor, "rb") as file, open(target / name, "xb") as copy:
                while block := file.read(_BLOCK):
                    copy.write(block)
                    bar.update(len(block))
