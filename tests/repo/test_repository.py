"""The repository tests itself: what no single module can promise."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gameday import __version__, alerts, dashboards
from gameday.catalogue.compose import load
from gameday.checks import CHECKS
from gameday.faults.registry import FAULTS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CATALOGUE = load([ROOT / "docker-compose.yml"], environment={})
BUILT = sorted(service.name for service in CATALOGUE.services.values() if service.build)


def committed(*patterns: str) -> list[Path]:
    out = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in out.stdout.split("\0") if name and (ROOT / name).is_file()]


def text(path: Path) -> str:
    return path.read_text(errors="replace")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_lock_pins_every_package_by_hash_and_names_no_address() -> None:
    for lock in ("cpu", "gpu"):
        content = text(ROOT / "requirements" / f"{lock}.txt")
        assert "://" not in content
        pins = re.split(r"\n(?=\S)", content.strip())
        assert len(pins) > 50
        assert [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_lock_satisfies_the_project() -> None:
    """A dependency that was added without `script/lock` is found here, before a fresh machine finds it."""
    pinned = re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text(ROOT / "requirements/cpu.txt"), re.MULTILINE)
    pins = {canonicalize_name(package): version for package, version in pinned}
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["process"], *extras["reference"], *extras["cpu"]]
    for line in (*wanted, *PROJECT["dependency-groups"]["dev"]):
        requirement = Requirement(line)
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin, f"{requirement.name} is not in the lock: run script/lock"
        assert requirement.specifier.contains(pin, prereleases=True), line


def test_no_committed_text_names_a_registry_or_a_place_of_one_machine() -> None:
    hosts = ("pypi" + ".org", "python" + "hosted", "deb." + "debian", "registry." + "npmjs")
    places = ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/")
    for path in committed():
        content = text(path)
        assert [word for word in (*hosts, *places) if word in content] == [], name(path)


def test_version_is_said_once() -> None:
    assert PROJECT["project"]["version"] == __version__
    assert f"## {__version__}" in text(ROOT / "CHANGELOG.md")


def test_import_rules_cover_every_package_of_the_system() -> None:
    """A service added without a line in the import rules would be free to import its neighbours."""
    found = {path.parent for path in (ROOT / "system").glob("*/__init__.py")}
    packages = {f"system.{package.name}" for package in found} - {"system.kit"}
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    independent = next(contract for contract in contracts if contract["type"] == "independence")
    assert set(independent["modules"]) == packages


def test_import_rules_hold() -> None:
    ran = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_experiments_are_data() -> None:
    assert {path.suffix for path in committed("experiments")} == {".yaml"}


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a module that is not a docstring."""
    tree = ast.parse(text(path))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def test_gameday_names_no_service_of_the_system() -> None:
    """docker-compose.yml is the only list of services. Examples that a person may type are no use of a name."""
    found = [
        f"{name(path)}:{line}: {value!r}"
        for path in committed("gameday/*.py")
        for line, value in strings(path)
        if any(service in value for service in BUILT) and "$ gameday " not in value
    ]
    assert found == []


@pytest.mark.parametrize("service", BUILT)
def test_every_service_that_is_built_has_its_dockerfile(service: str) -> None:
    import yaml

    raw = yaml.safe_load(text(ROOT / "docker-compose.yml"))["services"][service]
    dockerfile = ROOT / raw["build"]["dockerfile"]
    content = text(dockerfile)
    module = raw["command"][-1]
    assert module in content, f"{name(dockerfile)} does not run {module}"
    for line in re.findall(r"^COPY (.+)$", content, re.MULTILINE):
        *sources, _ = [word for word in shlex.split(line) if not word.startswith("--")]
        assert "--from=" in line or [source for source in sources if not list(ROOT.glob(source))] == []


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed: nobody asked Docker")
def test_stock_docker_compose_accepts_the_file() -> None:
    ran = subprocess.run(["docker-compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def can_do_without(block: ast.AST) -> TypeGuard[ast.Try | ast.If]:
    if isinstance(block, ast.Try):
        return any("ImportError" in ast.dump(handler) for handler in block.handlers)
    return isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)


def third_party(path: Path) -> set[str]:
    """What a module imports from other people when it runs, less what it can do without (`except ImportError`)."""
    tree = ast.parse(text(path))
    optional = {id(node) for block in ast.walk(tree) if can_do_without(block) for node in block.body}
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in optional:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"gameday"}


def test_gameday_imports_only_what_it_declares() -> None:
    """`pip install gameday` has to bring everything; what an extra brings is imported where the extra is used."""
    extras = PROJECT["project"]["optional-dependencies"]
    declared = [*PROJECT["project"]["dependencies"], *extras["process"]]
    plugin = ROOT / "gameday/pytest_plugin.py"  # which pytest alone imports
    owners = importlib.metadata.packages_distributions()
    for path in committed("gameday/*.py"):
        lines = [*declared, *(extras["pytest"] if path == plugin else ())]
        names = {canonicalize_name(Requirement(line).name) for line in lines}
        for module in third_party(path):
            packages = {canonicalize_name(owner) for owner in owners.get(module, [module])}
            assert packages & names, (
                f"{name(path)} imports {module} of {packages}, which pyproject.toml does not declare"
            )


def pages(kind: str) -> set[str]:
    return {path.stem for path in committed(f"docs/{kind}/*.md")} - {"index", "README"}


def test_every_fault_has_its_page_and_every_page_its_fault() -> None:
    assert pages("faults") == set(FAULTS)


def test_every_check_has_its_page_and_every_page_its_check() -> None:
    modules = {path.stem for path in committed("gameday/checks/*.py") if "\ndef check(" in text(path)}
    assert modules >= set(CHECKS)
    assert pages("checks") == modules


@pytest.mark.parametrize("page", committed("*.md"), ids=name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text(page)):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{name(page)} links to {target}"


def test_no_two_test_modules_have_one_name() -> None:
    names = [path.name for folder in ("tests", "contracts") for path in (ROOT / folder).rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


def test_no_two_decisions_have_one_number() -> None:
    numbers = [path.name[:4] for path in committed("docs/decisions/*.md")]
    assert sorted(set(numbers)) == sorted(numbers)


def contents(directory: Path) -> dict[str, str]:
    return {path.name: text(path) for path in directory.iterdir()}


def test_generated_files_are_what_their_sources_make(tmp_path: Path) -> None:
    assert CATALOGUE.telemetry.slos
    alerts.build(CATALOGUE.telemetry.slos, CATALOGUE, 1.0, tmp_path / "alerts")
    dashboards.build(ROOT / "dashboards", tmp_path / "dashboards")
    for kind in ("alerts", "dashboards"):
        assert contents(tmp_path / kind) == contents(ROOT / kind / "_gen")


def test_no_other_generated_files_are_committed() -> None:
    """A new kind of generated file belongs into the test above, or has one of its own as messages do."""
    messages = {f"{name(proto.parent)}/_gen" for proto in committed("*.proto")}
    assert {name(path.parent) for path in committed("*/_gen/*")} == {"alerts/_gen", "dashboards/_gen"} | messages
