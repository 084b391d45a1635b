"""Laws of the project's own files: what is pinned, what `make` offers, what the rooms may hold."""

import ast
import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINNED_EXTRAS = ("dev",)
GPU_LIBRARIES = ("nvidia-", "cuda-", "triton")  # of torch's CUDA build; torch pins them itself


def requirements(*extras):
    lines = PROJECT["dependencies"] + [line for extra in extras for line in EXTRAS[extra]]
    return [Requirement(line) for line in lines]


def pins():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def needed(start):
    """The names of all installed packages that the requirements lead to, on this platform."""
    todo, seen = list(start), set()
    while todo:
        requirement = todo.pop()
        for extra in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), extra)
            if key in seen or key[0].startswith(GPU_LIBRARIES):
                continue
            seen.add(key)
            further = map(Requirement, metadata.requires(requirement.name) or [])
            todo += [r for r in further if r.marker is None or r.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


@pytest.mark.parametrize("requirement", requirements(*PINNED_EXTRAS), ids=str)
def test_a_pin_lies_within_the_declared_range(requirement):
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_pins_cover_everything_that_running_and_testing_install():
    assert needed(requirements("dev")) - set(pins()) == set()


def test_pins_fit_every_build_of_a_version():
    # torch 2.13.0+cpu satisfies ==2.13.0, but not the other way round
    assert [name for name, version in pins().items() if Version(version).local] == []


@pytest.mark.parametrize("requirement", requirements("dev"), ids=str)
def test_what_is_installed_lies_within_the_declared_range(requirement):
    assert requirement.specifier.contains(metadata.version(requirement.name))


@pytest.mark.parametrize(
    ("name", "unsafe"),
    [
        ("torch", "2.9.1"),  # CVE-2026-24747: reading weights corrupts memory
        ("torch", "2.10.0"),  # CVE-2026-4538
        ("pytorch-lightning", "2.6.5"),  # CVE-2026-58659: loading a checkpoint runs code
    ],
)
def test_versions_with_known_holes_are_excluded(name, unsafe):
    (requirement,) = (r for r in requirements() if r.name == name)
    assert not requirement.specifier.contains(unsafe)


def make(*arguments):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def make_targets():
    return re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_make_lists_every_target_with_a_sentence():
    listed = dict(re.findall(r"^ +make ([a-z-]+) +(\S.*)$", make().stdout, flags=re.MULTILINE))
    assert list(listed) == make_targets()


@pytest.mark.parametrize("file", [".ci/run", ".pre-commit-config.yaml", "CONTRIBUTING.md", "README.md"])
def test_make_commands_that_other_files_name_exist(file):
    if not (ROOT / file).exists():
        pytest.skip(f"no {file} in this copy")
    text = (ROOT / file).read_text()
    inline = re.findall(r"(?:`|: )make((?: [a-z-]+)+)", text)
    alone = re.findall(r"^ *make((?: [a-z-]+)+) *(?:[#A-Z].*)?$", text, flags=re.MULTILINE)
    named = {target for targets in inline + alone for target in targets.split()}
    assert named - set(make_targets()) == set()


def test_make_says_which_python_it_needs(tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    found = make("--always-make", ".venv/.made", f"PYTHON={old}")
    assert found.returncode != 0
    assert "Python 3.11 or newer is needed" in found.stderr
    assert str(old) in found.stderr


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [PROJECT["version"]])


def files_in_git():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [Path(ROOT, name) for name in listed.split("\0") if name and Path(ROOT, name).is_file()]


def test_no_file_names_a_path_of_a_developers_machine():
    personal = re.compile(rb"(?<![\w.~/-])/(?:home|Users|root|work)/[\w.-]+")
    found = {
        f"{file.relative_to(ROOT)}: {match.group().decode()}"
        for file in files_in_git()
        if file.suffix not in {".safetensors", ".npz", ".gz", ".png", ".parquet"}
        for match in personal.finditer(file.read_bytes())
    }
    assert found == set()


@pytest.mark.parametrize("folder", ["datasets", "tests", "conf"])
def test_data_folders_are_no_packages(folder):
    # datasets/__init__.py would hide the package of that name from whoever runs in the checkout
    assert list((ROOT / folder).rglob("__init__.py")) == []


SOURCES = sorted((ROOT / "esm2_amp").rglob("*.py"))


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_keeps_its_budget(file):
    assert file.stem not in {"utils", "helpers", "common", "misc"}
    functions = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef)]
    assert [f.name for f in functions if f.end_lineno - f.lineno >= 60] == []
