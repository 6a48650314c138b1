"""Wrong input: exit 2 with every problem, its place and its mend, before anything is started."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from program import ROOT, Gameday, Ran


def spoil(path: Path, old: str, new: str) -> int:
    """Replaces `old`, which must be there once, and returns the line it stands on."""
    content = path.read_text()
    assert content.count(old) >= 1, f"{path} has no {old!r}"
    path.write_text(content.replace(old, new, 1))
    return content[: content.index(old)].count("\n") + 1


def says(ran: Ran, *words: str) -> None:
    for word in words:
        assert word in ran.err, f"{word!r} is missing in\n{ran}"


def test_a_port_in_use_is_named_with_its_line_and_a_mend(gameday: Gameday) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", gameday.port))
        taken.listen()
        ran = gameday.run("up", code=2)
    says(ran, str(gameday.port), "docker-compose.yml:", "mend:", "GATEWAY_PORT=")
    gameday.nothing_left(0)


def test_a_missing_debian_package_is_named(gameday: Gameday, tmp_path: Path) -> None:
    """PATH holds everything but the Prometheus of Debian."""
    for folder in reversed(gameday.env["PATH"].split(os.pathsep)):
        for program in Path(folder).glob("*") if Path(folder).is_dir() else ():
            if not program.name.startswith("prom"):
                (tmp_path / program.name).unlink(missing_ok=True)
                (tmp_path / program.name).symlink_to(program)
    ran = gameday.run("up", code=2, env={"PATH": str(tmp_path)})
    says(ran, "apt-get install", "prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter")
    gameday.nothing_left(0)


def test_an_image_without_a_local_server_is_named_and_so_are_all_others(gameday: Gameday, tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(
        "services:\n  queue:\n    image: apache/kafka:4\n  web:\n    image: httpd:2\n"
        "  cache:\n    image: redis:7\n    expose: ['6379']\n"
    )
    ran = gameday.run("up", "-f", file, "--trust", code=2)
    says(ran, "apache/kafka:4", "compose.yml:2", "httpd:2", "compose.yml:4", "mend:")
    assert "redis" not in ran.err.split("mend:")[0]
    gameday.nothing_left(0)


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("healthcheck: *http-health", "healthchek: *http-health", "healthchek"),
        ("telemetry:\n", "telemetri:\n", "telemetri"),
        ("on-loss: {llm-emulator: fallback,", "on-lose: {llm-emulator: fallback,", "on-lose"),
        ("on-loss: {llm-emulator: fallback,", "on-loss: {llm-emulator: falback,", "falback"),
    ],
    ids=["compose", "x-gameday", "x-gameday-of-a-service", "x-gameday-value"],
)
def test_a_wrong_key_in_the_compose_file(gameday: Gameday, project: Path, old: str, new: str, wrong: str) -> None:
    file = project / "docker-compose.yml"
    line = spoil(file, old, new)
    for command in ("up", "edges"):
        says(gameday.run(command, "-f", file, code=2), f"docker-compose.yml:{line}", wrong, "mend:")
    gameday.nothing_left(0)


def test_a_wrong_key_in_an_experiment(gameday: Gameday, project: Path) -> None:
    file = project / "experiments/recommendation-down.yaml"
    line = spoil(file, "rollbacks:", "rolbacks:")
    for command in ("check", "run"):
        says(gameday.run("experiment", command, file, code=2, cwd=project), f"{file.name}:{line}", "rolbacks", "mend:")


def test_unknown_names_in_an_experiment_are_all_told_at_once(gameday: Gameday, project: Path) -> None:
    file = project / "experiments/recommendation-down.yaml"
    lines = {
        new: spoil(file, old, new)
        for old, new in (
            ("target: recommendation-svc", "target: recommendation-svk"),
            ("fault: kill", "fault: kil"),
            ("route: GET /api/homepage", "route: GET /api/homepag"),
            ("name: RecommendationUnavailable", "name: RecommendationUnavailble"),
            ("edge: api-gateway->recommendation-svc", "edge: api-gateway->recommendation"),
        )
    }
    ran = gameday.run("experiment", "check", file, code=2, cwd=project)
    for new, line in lines.items():
        says(ran, f"{file.name}:{line}", new.split(": ")[1])
    assert ran.err.count("mend:") == len(lines), ran


def test_a_file_that_is_not_there(gameday: Gameday) -> None:
    says(gameday.run("experiment", "run", "experiments/none.yaml", code=2), "experiments/none.yaml")
    says(gameday.run("edges", "-f", "none.yml", code=2), "none.yml")
    says(gameday.run("judge", "none", code=2), "none")


def test_commands_that_need_a_running_system_say_how_to_start_it(gameday: Gameday) -> None:
    for command in (("status",), ("env",), ("logs", "api-gateway"), ("restart", "api-gateway")):
        says(gameday.run(*command, code=2), "nothing is running", "gameday up")


def test_doctor_names_what_is_missing_and_what_to_install(gameday: Gameday, tmp_path: Path) -> None:
    ran = gameday.run("doctor", code=2, env={"PATH": str(tmp_path)})
    assert "apt-get install" in ran.text
    assert "prometheus" in ran.text


def test_doctor_finds_nothing_to_complain_of_here(gameday: Gameday) -> None:
    gameday.run("doctor")


def test_an_experiment_on_an_unwired_system_says_how_to_wire_it(gameday: Gameday) -> None:
    gameday.run("up", "store", "--wire", "none")
    ran = gameday.run("experiment", "run", ROOT / "experiments/recommendation-down.yaml", code=2)
    says(ran, "gameday up --wire all")
