"""The image: a clean Dockerfile, and lock files that are whole, pinned and what pyproject.toml asks for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.files import DEPLOY, ROOT, tool

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest brings

DOCKERFILE = DEPLOY / "Dockerfile"
LOCKS = sorted(path for path in (DEPLOY / "locks").glob("*.txt"))
IMAGE_LOCKS = [path for path in LOCKS if path.stem != "build"]


def locked(path: Path) -> dict[str, tuple[Version, list[str]]]:
    """Each package of a lock file, with its version and its digests."""
    text = re.sub(r"(?m)^\s*#.*$", "", path.read_text()).replace("\\\n", " ")
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        requirement, *options = line.split(" --hash=")
        parsed = Requirement(requirement.strip())
        (pin,) = parsed.specifier
        assert pin.operator == "==", line
        found[canonicalize_name(parsed.name)] = (Version(pin.version), [option.strip() for option in options])
    return found


def requirements_in(path: Path) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def test_hadolint_has_nothing_to_say() -> None:
    ran = subprocess.run([tool("hadolint"), DOCKERFILE], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_package_of_a_lock_file_is_pinned_and_has_digests(path: Path) -> None:
    packages = locked(path)
    assert packages
    for name, (_, digests) in packages.items():
        assert digests, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in digests)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_file_names_no_index_host_or_path(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in lines if re.search(r"https?://|file:|@ |--index|--extra|--find", line)]
    assert "make locks" in path.read_text(), "says how it was made"


@pytest.mark.parametrize("path", IMAGE_LOCKS, ids=lambda path: path.stem)
def test_a_lock_file_holds_what_the_package_and_the_image_ask_for(path: Path) -> None:
    packages = locked(path)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *map(Requirement, project["dependencies"]),
        *map(Requirement, project["optional-dependencies"]["cluster"]),
        *map(Requirement, project["optional-dependencies"]["kubernetes"]),
        *requirements_in(ROOT / "constraints.txt"),
    ]
    for requirement in wanted:
        version, _ = packages[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but {version}; run make locks"


def test_the_cuda_lock_file_brings_cuda() -> None:
    packages = locked(DEPLOY / "locks" / "cuda.txt")
    assert {"torch", "triton", "nvidia-cudnn-cu13"} <= packages.keys()


def test_the_wheel_is_built_by_what_pyproject_names() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    packages = locked(DEPLOY / "locks" / "build.txt")
    for requirement in map(Requirement, build):
        assert requirement.specifier.contains(packages[canonicalize_name(requirement.name)][0])


def test_the_image_runs_as_user_1000_with_a_home_bash_and_token_authentication() -> None:
    text = DOCKERFILE.read_text()
    final = text[text.rindex("FROM ") :]
    assert re.search(r"(?m)^USER 1000:1000$", final)
    assert "--create-home --shell /bin/bash" in final
    assert "RAY_AUTH_MODE=token" in final
    assert not re.search(r"(?i)sudo|apt-get|curl|wget|conda", text)


def test_everything_that_pip_installs_is_checked_by_digest() -> None:
    for command in re.findall(r"pip install([^\n;]*)", DOCKERFILE.read_text()):
        assert "--require-hashes" in command or "--no-index" in command, command


def test_what_the_dockerfile_copies_is_let_in_and_nothing_else_is() -> None:
    ignored, *let_in = [
        line
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert ignored == "*"
    allowed = {line.removeprefix("!").split("/*")[0] for line in let_in if line.startswith("!")}
    copied = {
        source.rstrip("/")
        for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", DOCKERFILE.read_text())
        for source in line.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.slow
def test_the_lock_file_installs_by_digest_and_the_command_runs_from_it(tmp_path: Path) -> None:
    """The Dockerfile's steps in a folder: gigabytes, minutes, and a cache of pip that has most of them."""
    environment, build = tmp_path / "augment", tmp_path / "build"
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    hashed = [*pip, "--only-binary=:all:", "--require-hashes", "-r"]
    for place, lock in ((environment, "cuda"), (build, "build")):
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([place / "bin/python", *hashed, DEPLOY / "locks" / f"{lock}.txt"], check=True)
    wheel = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([build / "bin/python", *wheel, "--wheel-dir", tmp_path, ROOT], check=True)
    (built,) = tmp_path.glob("ray_augment-*.whl")
    subprocess.run([environment / "bin/python", *pip, "--no-index", built], check=True)
    subprocess.run([environment / "bin/python", "-m", "pip", "check"], check=True)
    clean = {"PATH": f"{environment}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    for command in (
        ["augment", "--help"],
        ["ray", "--version"],
        ["python", "-c", "import torch, ray, kubernetes"],
    ):
        subprocess.run(command, check=True, cwd=tmp_path, env=clean, stdout=subprocess.DEVNULL)
    assert not os.access(environment / "bin" / "uv", os.F_OK), "tools stay out of the image"
