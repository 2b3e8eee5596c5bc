"""The book of a deposit: what was submitted, decided and by what, a JSON line each, never changed.

Every line holds the checksum of the line before it, so that a line that was altered, taken out or
put in is noticed. Somebody who may write to the storage can write the whole book anew; who has to
rule that out keeps copies of it, or of its last checksum, elsewhere.
"""

import datetime
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from pgan import results

_FIRST = "0" * 64
# A submission that was refused before it became one has no id.
REFUSED, SUBMITTED, ADMITTED, REJECTED = "refused", "submitted", "admitted", "rejected"


class Ledger:
    """The lines of a deposit.

    Attributes:
        path: The file.
    """

    def __init__(self, path: pathlib.Path):
        """Names the file; it is made by the first line."""
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """All lines, oldest first.

        Raises:
            ValueError: If a line does not follow from the one before it.
        """
        rows, before = [], _FIRST
        for number, row in enumerate(results.read(self.path), 1):
            if not isinstance(row, dict) or row.get("previous") != before:
                raise ValueError(
                    f"{self.path} has been changed: entry {number} does not follow from the one "
                    "before it. Compare it with a copy, and find out who changed it, before "
                    "anything of this deposit is used"
                )
            rows.append(row)
            before = _digest(row)
        return rows

    def append(self, event: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Adds a line; the caller holds the deposit's lock.

        Args:
            event: REFUSED, SUBMITTED, ADMITTED or REJECTED.
            row: JSON types.
        """
        there = self.read()
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        previous = _digest(there[-1]) if there else _FIRST
        return results.append(
            self.path, {"event": event, "date": date, **row, "previous": previous}
        )


def _digest(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
