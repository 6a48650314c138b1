"""Compose files read as Docker does, and everything wrong with them told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gameday.catalogue import Catalogue, compose
from gameday.catalogue.model import Published, Volume
from gameday.errors import InputError, Problem

OURS = Path(__file__).parents[2] / "docker-compose.yml"


def write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)


def load(directory: Path, text: str, environment: dict[str, str] | None = None, **options: Any) -> Catalogue:
    write(directory, {"compose.yaml": text})
    return compose.load([directory / "compose.yaml"], environment=environment or {}, **options)


def problems(directory: Path, text: str, **options: Any) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        load(directory, text, **options)
    return list(caught.value.problems)


def service(text: str) -> str:
    return "services:\n  web:\n    image: w\n" + "".join(f"    {line}\n" for line in text.splitlines())


def test_our_own_file() -> None:
    catalogue = compose.load([OURS], environment={})
    edges = {edge.name: edge for edge in catalogue.edges}
    assert edges["api-gateway->recommendation-svc"].port == 3001
    assert edges["user-svc->postgres"].kind.value == "store"
    assert catalogue.entry == "api-gateway"
    assert set(catalogue.services["api-gateway"].depends_on.values()) == {"service_healthy"}


# Which files.


def test_the_file_that_docker_takes_and_its_override(tmp_path: Path) -> None:
    write(tmp_path, {"docker-compose.yml": "", "compose.yml": "", "compose.override.yaml": "", "deep/er/x": ""})
    found = [tmp_path / "compose.yml", tmp_path / "compose.override.yaml"]
    assert compose.find(tmp_path) == found
    assert compose.find(tmp_path / "deep" / "er") == found


def test_the_files_that_compose_file_names(tmp_path: Path) -> None:
    write(tmp_path, {"compose.yaml": "", ".env": "COMPOSE_FILE=a.yml:b.yml\n"})
    assert compose.find(tmp_path) == [tmp_path / "a.yml", tmp_path / "b.yml"]
    assert compose.find(tmp_path, {"COMPOSE_FILE": "c.yml"}) == [tmp_path / "c.yml"]


def test_no_file(tmp_path: Path) -> None:
    assert compose.find(tmp_path) == []
    with pytest.raises(InputError, match="no compose file"):
        compose.load([], environment={})


# Variables.


def test_who_sets_a_variable(tmp_path: Path) -> None:
    write(tmp_path, {".env": "A=dotenv\nB=dotenv\nC=dotenv\nT=dotenv\n"})
    text = "x-gameday: {timers: {T: {value: 30, floor: 1}, U: {value: 30, floor: 2}}}\n" + service(
        "environment: {A: $A, B: $B, C: $C, D: '${D:-default}', T: $T, U: $U}"
    )
    catalogue = load(tmp_path, text, {"A": "shell", "B": "shell"}, overrides={"A": "override"}, time_scale=60)
    expected = {"A": "override", "B": "shell", "C": "dotenv", "D": "default", "T": "dotenv", "U": "2"}
    assert catalogue.services["web"].environment == expected


@pytest.mark.parametrize(("scale", "text"), [(1, "1800"), (30, "60"), (7, "257.142857"), (100000, "2")])
def test_a_timer_is_scaled_and_has_a_floor(tmp_path: Path, scale: float, text: str) -> None:
    source = "x-gameday: {timers: {T: {value: 1800, floor: 2}}}\n" + service("environment: {T: '${T:-x}'}")
    assert load(tmp_path, source, time_scale=scale).services["web"].environment == {"T": text}


def test_environment_over_env_file_and_pass_through(tmp_path: Path) -> None:
    write(tmp_path, {"a.env": "A=1\nB=1\nC=1\n", "b.env": "B=2\nD=${A}${OUT}\n"})
    text = service(
        "env_file: [a.env, {path: b.env}, {path: no.env, required: false}]\nenvironment: [C=3, OUT, GONE, N=]"
    )
    found = load(tmp_path, text, {"OUT": "out"}).services["web"].environment
    assert found == {"A": "1", "B": "2", "C": "3", "D": "1out", "OUT": "out", "N": ""}


def test_a_key_without_a_value_takes_away_what_env_file_says(tmp_path: Path) -> None:
    write(tmp_path, {"a.env": "A=1\nB=1\n"})
    assert load(tmp_path, service("env_file: a.env\nenvironment: [A]")).services["web"].environment == {"B": "1"}


def test_a_raw_env_file(tmp_path: Path) -> None:
    write(tmp_path, {"a.env": "A='$B'\n"})
    text = service("env_file: [{path: a.env, format: raw}]")
    assert load(tmp_path, text).services["web"].environment == {"A": "'$B'"}


def test_environment_values_are_text(tmp_path: Path) -> None:
    text = service("environment: {A: true, B: 5, C: 1.0, D: 0777, E: yes, F: null}")
    expected = {"A": "true", "B": "5", "C": "1", "D": "511", "E": "yes"}
    assert load(tmp_path, text).services["web"].environment == expected


# One service.


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"80"', [(80, None, "tcp", "")]),
        ("80", [(80, None, "tcp", "")]),
        ('"8080:80"', [(80, 8080, "tcp", "")]),
        ('"127.0.0.1:8080:80/udp"', [(80, 8080, "udp", "127.0.0.1")]),
        ('"127.0.0.1::80"', [(80, None, "tcp", "127.0.0.1")]),
        ('"[::1]:8080:80"', [(80, 8080, "tcp", "::1")]),
        ('"8080-8081:80-81"', [(80, 8080, "tcp", ""), (81, 8081, "tcp", "")]),
        ('"8000-9000:80"', [(80, None, "tcp", "")]),
        ("{target: 80, published: '8080', host_ip: 127.0.0.1}", [(80, 8080, "tcp", "127.0.0.1")]),
        ("{target: 80}", [(80, None, "tcp", "")]),
    ],
)
def test_ports(tmp_path: Path, written: str, expected: list[tuple[int, int | None, str, str]]) -> None:
    found = load(tmp_path, service(f"ports: [{written}]")).services["web"].published
    assert [(each.target, each.host, each.protocol, each.ip) for each in found] == expected
    assert isinstance(found[0], Published)
    assert found[0].location is not None
    assert found[0].location.line == 4


def test_volumes(tmp_path: Path) -> None:
    text = "volumes: {data: }\n" + service(
        'volumes: ["./a:/a:ro", "data:/d", "/anon", "~/h:/h", {type: bind, source: b, target: /b, read_only: true}]'
    )
    assert load(tmp_path, text).services["web"].volumes == (
        Volume("bind", str(tmp_path / "a"), "/a", True),
        Volume("volume", "data", "/d"),
        Volume("volume", None, "/anon"),
        Volume("bind", str(Path.home() / "h"), "/h"),
        Volume("bind", str(tmp_path / "b"), "/b", True),
    )


def test_health_checks(tmp_path: Path) -> None:
    text = service('healthcheck: {test: "curl x", interval: 1m30s, timeout: 500ms, retries: 5, start_period: 0s}')
    health = load(tmp_path, text).services["web"].health
    assert health is not None
    assert health.test == ("CMD-SHELL", "curl x")
    assert (health.interval, health.timeout, health.retries, health.start_period) == (90, 0.5, 5, 0)
    for off in ("{disable: true}", "{test: [NONE]}", "{interval: 5s}"):
        assert load(tmp_path, service(f"healthcheck: {off}")).services["web"].health is None


def test_commands(tmp_path: Path) -> None:
    web = load(tmp_path, service("command: sh -c 'echo $$A'\nentrypoint: [a, b]")).services["web"]
    assert web.command == ("sh", "-c", "echo $A")
    assert web.entrypoint == ("a", "b")
    assert load(tmp_path, service("command: null")).services["web"].command is None


def test_the_rest_of_a_service(tmp_path: Path) -> None:
    text = service(
        "build: {context: ./src}\nstop_grace_period: 1m\ndeploy: {replicas: 3}\nexpose: ['1', 2-3, 4/udp]\n"
        "x-gameday: {metrics: /m, command: [run]}"
    )
    web = load(tmp_path, text).services["web"]
    assert (web.build, web.stop_grace, web.replicas) == (tmp_path / "src", 60.0, 3)
    assert (web.expose, web.metrics_path, web.process_command) == ((1, 2, 3, 4), "/m", ("run",))


def test_replicas_have_names_only_where_there_are_several(tmp_path: Path) -> None:
    text = "services: {one: {image: x}, two: {image: x, deploy: {replicas: 2}}, none: {image: x, scale: 0}}"
    catalogue = load(tmp_path, text)
    assert [each.replica for each in catalogue.replicas("one")] == ["one"]
    assert [each.replica for each in catalogue.replicas("two")] == ["two-1", "two-2"]
    assert [each.replica for each in catalogue.replicas("two-2")] == ["two-2"]
    assert {each.name for each in catalogue.replicas("two")} == {"two"}
    assert catalogue.replicas("none") == ()
    for unknown in ("three", "one-1", "two-0", "two-3", "two-", "none-1"):
        with pytest.raises(KeyError):
            catalogue.replicas(unknown)


def test_scale_is_stronger_than_the_file(tmp_path: Path) -> None:
    text = "services: {a: {image: x, deploy: {replicas: 3}}, b: {image: x}}"
    services = load(tmp_path, text, scale={"a": 1, "b": 2}).services
    assert (services["a"].replicas, services["b"].replicas) == (1, 2)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ({"web": 2}, "publishes port 80 and has 2 replicas"),
        ({"named": 2}, "2 replicas and one container name"),
        ({"nobody": 2}, "--scale nobody=2: 'nobody' is no service that runs"),
        ({"plain": 2}, "a replica of 'plain' is called 'plain-2', as a service is"),
    ],
)
def test_what_cannot_be_replicated(tmp_path: Path, scale: dict[str, int], message: str) -> None:
    text = "services:\n  web: {image: x, ports: ['80:80', '81']}\n  named: {image: x, container_name: it}\n"
    text += "  plain: {image: x}\n  plain-2: {image: x}\n"
    [problem] = problems(tmp_path, text, scale=scale)
    assert message in problem.message
    assert problem.mend
    assert problem.line


# Profiles, several files.


def test_profiles(tmp_path: Path) -> None:
    text = "services: {a: {image: a}, b: {image: b, profiles: [x]}, c: {image: c, profiles: [x, y]}}"
    assert list(load(tmp_path, text).services) == ["a"]
    assert list(load(tmp_path, text, profiles=["y"]).services) == ["a", "c"]
    assert list(load(tmp_path, text, {"COMPOSE_PROFILES": "x,z"}).services) == ["a", "b", "c"]
    assert list(load(tmp_path, text, profiles=["*"]).services) == ["a", "b", "c"]


def test_a_later_file_is_laid_over_an_earlier_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.yml": "volumes: {v: }\nservices:\n  web:\n    image: one\n    command: [a, b]\n"
            "    environment: [A=1, B=1]\n    ports: ['1:1']\n    volumes: ['v:/x']\n    depends_on: [db]\n"
            "    healthcheck: {test: [CMD, x], retries: 9}\n"
            "  db: {image: d}\n",
            "sub/b.yml": "services:\n  web:\n    image: two\n    command: [c]\n    environment: {B: 2, C: }\n"
            "    ports: ['2:2']\n    volumes: ['./w:/x']\n    depends_on: {db: {condition: service_healthy}}\n"
            "    healthcheck: {test: [CMD, y]}\n",
        },
    )
    web = compose.load([tmp_path / "a.yml", tmp_path / "sub/b.yml"], environment={"C": "3"}).services["web"]
    assert (web.image, web.command) == ("two", ("c",))
    assert web.environment == {"A": "1", "B": "2", "C": "3"}
    assert [port.host for port in web.published] == [1, 2]
    assert web.volumes == (Volume("bind", str(tmp_path / "w"), "/x"),)
    assert web.depends_on == {"db": "service_healthy"}
    assert web.health is not None
    assert (web.health.test, web.health.retries) == (("CMD", "y"), 9)


def test_an_included_file_has_an_env_file_and_a_directory_of_its_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            ".env": "A=outside\n",
            "sub/.env": "A=inside\nB=inside\n",
            "sub/other.yaml": "services: {db: {image: x, environment: {A: $A, B: $B}, volumes: ['./d:/d']}}",
        },
    )
    db = load(tmp_path, "include: [sub/other.yaml]\n" + service("environment: {B: $B}")).services["db"]
    assert db.environment == {"A": "outside", "B": "inside"}
    assert db.volumes[0].source == str(tmp_path / "sub" / "d")


def test_the_name_of_the_project(tmp_path: Path) -> None:
    directory = tmp_path / "My.Shop 2"
    write(directory, {"compose.yaml": "name: given\n" + service("")})
    assert compose.load([directory / "compose.yaml"], environment={}).name == "given"
    assert compose.load([directory / "compose.yaml"], environment={"COMPOSE_PROJECT_NAME": "env"}).name == "env"
    assert load(directory, service("")).name == "myshop2"


# Problems.


def test_every_problem_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        "x-gameday:\n"
        "  entri: web\n"
        "  timers: {T: {value: -1, floor: 0}}\n"
        "  telemetry: {prometheus: promm}\n"
        "services:\n"
        "  web:\n"
        "    imag: w\n"
        '    ports: ["80:80", "x:y"]\n'
        '    environment: {A: "${A", B: "${B:?set it}"}\n'
        "    depends_on: [wep2]\n"
        "  web2:\n"
        "    image: w\n"
        '    ports: ["80:81"]\n'
        "    healthcheck: {interval: 5}\n"
        "    env_file: absent.env\n"
        "    volumes: [data:/x]\n"
        "    x-gameday: {on-loss: {web: nothing}}\n"
        "  prom: {}\n"
    )
    found = problems(tmp_path, text)
    assert [(each.line, each.key) for each in found] == [
        (2, "x-gameday.entri"),
        (3, "x-gameday.timers.T.value"),
        (4, "x-gameday.telemetry.prometheus"),
        (7, "services.web.imag"),
        (8, "services.web.ports.1"),
        (9, "services.web.environment.A"),
        (9, "services.web.environment.B"),
        (10, "services.web.depends_on.wep2"),
        (13, "services.web2.ports"),
        (14, "services.web2.healthcheck.interval"),
        (15, "services.web2.env_file.0"),
        (16, "services.web2.volumes"),
        (17, "services.web2.x-gameday.on-loss.web"),
        (18, "services.prom"),
    ]
    assert all(each.file == tmp_path / "compose.yaml" and each.mend for each in found)
    mends = {each.key: each.mend for each in found}
    assert mends["services.web.imag"] == "did you mean 'image'?"
    assert mends["x-gameday.telemetry.prometheus"] == "did you mean 'prom'?"
    assert mends["services.web2.healthcheck.interval"] == "write a duration such as 5s"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}", "wait for each other"),
        ("services: {a: {image: x, depends_on: [a]}}", "a -> a"),
        ("services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [p]}}", "whose profile 'p' is off"),
        ("services: {a: {image: x, links: ['b:c']}}", "needs 'b'"),
        ("services: {a: {image: x, networks: [n]}}", "'n' of networks"),
        ("services: {a: {image: x, secrets: [{source: s}]}}", "'s' of secrets"),
        ("services: {a: {image: x, ports: ['1:1', '1:2']}}", "port 1 twice"),
        ("services: {a: {extends: a}}", "extends itself"),
        ("services: {a: {extends: {service: b, file: no.yaml}}}", "no file"),
        ("services: {a: {image: x, extends: b}}", "does not have"),
        ("include: [no.yaml]\nservices: {a: {image: x}}", "no file"),
        ("include: [compose.yaml]\nservices: {a: {image: x}}", "includes itself"),
        ('services: {a: {image: x, command: "a \'b"}}', "quotation"),
        ("services: {a: {image: x, healthcheck: {test: [curl, x]}}}", "begins with how it is run"),
        ("services: {a: {image: x, deploy: {replicas: many}}}", "invalid literal"),
        ("services: {a: {image: x, deploy: {replicas: -1}}}", "has -1 replicas"),
        ("services: {a: {image: x, stop_grace_period: soon}}", "not a duration"),
        ("services: {a: }", "must be a mapping, is empty"),
        ("services: {}", "no services"),
        ("", "no services"),
        ("services: [a]", "must be a mapping, is a list"),
        ("servces: {a: {image: x}}", "unknown key 'servces'"),
        ("services: {a: {image: x, ports: [{targt: 80}]}}", "unknown key 'targt'"),
        ("services: {a: {image: 5}}", "must be text, is a number"),
        ("services: {a: {image: x, x-gameday: {kind: {b: http}}}}", "'b' is no service"),
        ("services: {a: {image: x, x-gameday: 5}}", "valid dictionary"),
        ("x-gameday: {routes: [homepage]}\nservices: {a: {image: x}}", "should match"),
        ("x-gameday: {telemetry: {prom: a}}\nservices: {a: {image: x}}", "unknown key 'prom'"),
    ],
)
def test_one_problem(tmp_path: Path, text: str, message: str) -> None:
    [problem] = problems(tmp_path, text)
    assert message in problem.message
    assert problem.mend


def test_every_circle_is_told(tmp_path: Path) -> None:
    pairs = {"a": "b", "b": "a", "c": "d", "d": "c"}
    services = ", ".join(f"{name}: {{image: x, depends_on: [{other}]}}" for name, other in pairs.items())
    found = problems(tmp_path, f"services: {{{services}}}")
    assert len(found) == 2
    assert all("wait for each other" in each.message for each in found)


def test_ports_on_different_addresses_or_protocols_do_not_clash(tmp_path: Path) -> None:
    load(tmp_path, service("ports: ['127.0.0.1:1:1', '127.0.0.2:1:1', '127.0.0.1:1:1/udp']"))


def test_what_is_not_required_may_be_missing(tmp_path: Path) -> None:
    text = "services: {a: {image: x, depends_on: {b: {condition: service_started, required: false}}}}"
    assert load(tmp_path, text).edges == ()


def test_included_files_may_not_contradict(tmp_path: Path) -> None:
    write(tmp_path, {"other.yaml": "services: {a: {image: y}}"})
    [problem] = problems(tmp_path, "include: [other.yaml]\nservices: {a: {image: x}}")
    assert "stands here and in other.yaml:1" in problem.message


def test_a_problem_in_a_second_file_names_that_file(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": service(""), "b.yaml": "services:\n  web:\n    prts: []\n"})
    with pytest.raises(InputError) as caught:
        compose.load([tmp_path / "a.yaml", tmp_path / "b.yaml"], environment={})
    [problem] = caught.value.problems
    assert (problem.file, problem.line) == (tmp_path / "b.yaml", 3)
