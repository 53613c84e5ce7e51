"""A certificate authority of the test's own, by the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its key, PEM."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates; `ca` is its own."""

    def __init__(self, directory: Path, name: str = "test authority") -> None:
        if not shutil.which("openssl"):
            pytest.skip("needs the openssl command to make certificates")
        self._directory = directory
        directory.mkdir()
        self._own = self._files("ca")
        self._openssl(
            *("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", self._own.key, "-out", self._own.cert),
        )

    @property
    def ca(self) -> Path:
        return self._own.cert

    def sign(self, name: str, alternative: str = "") -> Signed:
        """A certificate for this common name.

        Args:
            alternative: subject alternative name, such as "IP:127.0.0.1".
        """
        made, request = self._files(name), self._directory / f"{name}.csr"
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n" if alternative else "")
        self._openssl(
            *("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)
        )
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self._own.cert, "-CAkey", self._own.key),
            *("-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", made.cert),
        )
        return made

    def _files(self, name: str) -> Signed:
        return Signed(self._directory / f"{name}.crt", self._directory / f"{name}.key")

    def _openssl(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
