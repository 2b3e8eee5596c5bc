"""Keyed hashes in place of the names of patients and images.

A name is replaced by the first 64 bits of HMAC-SHA256(key, kind, collection, name). Without the
key nobody can try names until a hash fits, as they could with a plain hash of an eight-digit
number; with it, the same patient gets the same pseudonym in every record set made at this site.
The key stays in a local file outside the record set, which holds only the key's fingerprint.
"""

import hashlib
import hmac
import os
import pathlib
import secrets

DEFAULT_KEY_FILE = "~/.pgan/pseudonym.key"
_KEY_BYTES = 32


class Pseudonymizer:
    """Replaces names of one collection under one key."""

    def __init__(self, key: bytes, collection: str):
        """Initializes with a key.

        Args:
          key: 32 secret bytes.
          collection: for instance "nih"; it keeps patient 17 of one collection apart from
            patient 17 of another.
        """
        if len(key) != _KEY_BYTES:
            raise ValueError(f"A pseudonym key has {_KEY_BYTES} bytes, got {len(key)}.")
        self._key = key
        self._collection = collection

    @property
    def key_fingerprint(self) -> str:
        """16 hex digits that tell keys apart and do not reveal the key."""
        return hmac.new(self._key, b"fingerprint", hashlib.sha256).hexdigest()[:16]

    def of(self, collection: str) -> "Pseudonymizer":
        """The pseudonyms of another collection under the same key."""
        return Pseudonymizer(self._key, collection)

    def patient(self, name: str) -> str:
        """16 hex digits for a patient's name."""
        return self._hash("patient", name)

    def image(self, name: str) -> str:
        """16 hex digits for an image's name."""
        return self._hash("image", name)

    def _hash(self, kind: str, name: str) -> str:
        message = "\0".join((kind, self._collection, name)).encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:16]


def load_key(path: str | os.PathLike = DEFAULT_KEY_FILE) -> bytes:
    """The key in the file, which is made with a fresh key, readable by its owner only, if absent.

    Raises:
      ValueError: the file holds no key.
    """
    path = pathlib.Path(path).expanduser()
    if not path.exists():
        _create_key(path)
    text = path.read_text(errors="replace").strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError(
            f"{path} holds no pseudonym key ({2 * _KEY_BYTES} hex digits). Restore it from a copy: "
            f"with another key, patients cannot be matched with earlier record sets."
        )
    return key


def _create_key(path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(_KEY_BYTES) + "\n")
    try:
        # A link fails where a rename would replace a key that another process has just made.
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
