"""The last answer of a private site, kept for a coordinator that did not get it.

Asked for the same again, with the same weights, settings and round, a site gives the same bytes:
that tells nothing more, and costs no budget. A round that was given up, as by a deadline, a lost
tunnel or another site's refusal, is so not paid for twice.
"""

import hashlib
import os
import pathlib


class KeptAnswer:
    """One answer in a file; only the site may read it."""

    def __init__(self, folder: pathlib.Path):
        """Names the file.

        Args:
            folder: Folder of the budget.
        """
        self._path = folder / "last_answer.bin"

    def find(self, request: bytes) -> bytes | None:
        """The answer to a request, if it was the last; None otherwise."""
        if not self._path.exists():
            return None
        with open(self._path, "rb") as file:
            key, check = (file.read(hashlib.sha256().digest_size) for _ in range(2))
            if key != _digest(request):
                return None
            answer = file.read()
        return answer if check == _digest(answer) else None

    def keep(self, request: bytes, answer: bytes) -> None:
        """Takes the place of the answer before."""
        beside = self._path.with_name(self._path.name + ".tmp")
        beside.write_bytes(_digest(request) + _digest(answer) + answer)
        os.replace(beside, self._path)


def _digest(content):
    return hashlib.sha256(content).digest()
