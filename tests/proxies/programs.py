"""The proxies, each started on its file in deploy/ with nothing but addresses, paths and the space replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import installed
from tests.clients.environment import Client
from tests.ports import free_port
from tests.proxies.surroundings import LOOPBACK, ROOT, ended, wait_for_port

FILES = ROOT / "deploy" / "proxies"
HOST = "service.example.com"
# How the files name what an operator changes.
SPACE, PERMISSION = "SPACE_ID", "DATASET_READ"


@dataclass(frozen=True)
class Around:
    """Where things are for one proxy."""

    folder: Path
    authority: int
    service: int
    port: int
    space: str
    uploads: int = 0  # where arizekeys has a second server, for uploads alone

    @property
    def certificate(self) -> Path:
        """The certificate, and its key in a file of its own."""
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        """The certificate's key."""
        return self.folder / "key.pem"


@dataclass(frozen=True)
class Program:
    """A proxy: where it is found, and what stands in the files in place of what."""

    name: str
    found: Callable[[], Path]
    files: tuple[str, ...]
    replaced: Callable[[Around], dict[str, str]]
    command: Callable[[Path, Path], list[str]]  # from the program and the folder with the files
    asks: bool = True  # whether it asks about keys, for a place that its file names

    def __str__(self) -> str:
        return self.name

    @contextmanager
    def running(self, around: Around, change: Callable[[str], str] = str) -> Iterator[Path]:
        """Run it; give the file with all it says. ``change`` may break the configuration, to see what then happens."""
        program = self.found()
        replaced = self.replaced(around) | ({SPACE: around.space} if self.asks else {})
        texts = {name: (FILES / name).read_text(encoding="utf-8") for name in self.files}
        for old in replaced:
            assert any(old in text for text in texts.values()), f"{self.name} has no {old}"
        for name, text in texts.items():
            for old, new in replaced.items():
                text = text.replace(old, new)
            (around.folder / name).write_text(change(text), encoding="utf-8")
        log = around.folder / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                self.command(program, around.folder),
                env={"PATH": os.defpath, "HOME": str(around.folder)},
                cwd=around.folder,
                stdout=output,
                stderr=output,
            )
        with ended(process):
            wait_for_port(around.port, process, log)
            yield log


def packaged(name: str) -> Callable[[], Path]:
    """Find a program that Debian has."""

    def find() -> Path:
        found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
        if found is None:
            reason = f"There is no {name}."
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        return Path(found)

    return find


def _nginx(around: Around) -> dict[str, str]:
    return _files(around) | {
        "127.0.0.1:8000": f"{LOOPBACK}:{around.authority}",
        "127.0.0.1:9000": f"{LOOPBACK}:{around.service}",
        "listen 443": f"listen {LOOPBACK}:{around.port}",
        "/var/log/nginx/service.log": "/dev/stdout",
    }


# What Debian's own nginx.conf has around conf.d, as far as it matters, with files where the test may write them.
_AROUND_NGINX = """
daemon off; pid {folder}/pid; error_log /dev/stderr warn; worker_processes 1; user root;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/{file};
}}
"""


def _run_nginx(program: Path, folder: Path, file: str = "nginx.conf") -> list[str]:
    (folder / "around.conf").write_text(_AROUND_NGINX.format(folder=folder, file=file), encoding="utf-8")
    return [str(program), "-p", str(folder), "-e", "/dev/stderr", "-c", str(folder / "around.conf")]


def _files(around: Around) -> dict[str, str]:
    return {
        "/etc/ssl/certs/service.example.com.pem": str(around.certificate),
        "/etc/ssl/private/service.example.com.key": str(around.key),
    }


def _haproxy(around: Around) -> dict[str, str]:
    both = around.folder / "both.pem"
    both.write_text(around.certificate.read_text() + around.key.read_text())
    return {
        "/etc/haproxy/service.example.com.pem": str(both),
        "/etc/haproxy/arizekeys.lua": str(around.folder / "haproxy.lua"),
        "127.0.0.1:8000": f"{LOOPBACK}:{around.authority}",
        "127.0.0.1:8010": f"{LOOPBACK}:{free_port()}",
        "127.0.0.1:9000": f"{LOOPBACK}:{around.service}",
        "bind :443": f"bind {LOOPBACK}:{around.port}",
        # Whoever is not root stays who they are.
        **({} if os.geteuid() == 0 else {"    user haproxy\n    group haproxy\n": ""}),
    }


def _caddy(around: Around) -> dict[str, str]:
    return _files(around) | {
        "127.0.0.1:8000": f"{LOOPBACK}:{around.authority}",
        "127.0.0.1:9000": f"{LOOPBACK}:{around.service}",
        "localhost:2019": f"localhost:{free_port()}",
        f"https://{HOST} {{": f"https://{HOST}:{around.port} {{\n\tbind {LOOPBACK}",
    }


def _envoy(around: Around) -> dict[str, str]:
    return _files(around) | {
        "address: 0.0.0.0, port_value: 443": f"address: {LOOPBACK}, port_value: {around.port}",
        "port_value: 8000": f"port_value: {around.authority}",
        "port_value: 9000": f"port_value: {around.service}",
    }


def _traefik(around: Around) -> dict[str, str]:
    return _files(around) | {
        "/etc/traefik/traefik.yaml": str(around.folder / "traefik.yaml"),
        "127.0.0.1:8000": f"{LOOPBACK}:{around.authority}",
        "127.0.0.1:8010": f"{LOOPBACK}:{free_port()}",
        "127.0.0.1:9000": f"{LOOPBACK}:{around.service}",
        '":443"': f'"{LOOPBACK}:{around.port}"',
    }


def _nginx_workflows(around: Around) -> dict[str, str]:
    return {
        "/etc/ssl/certs/keys.example.com.pem": str(around.certificate),
        "/etc/ssl/private/keys.example.com.key": str(around.key),
        "127.0.0.1:8000": f"{LOOPBACK}:{around.authority}",
        "127.0.0.1:8002": f"{LOOPBACK}:{around.uploads}",
        "127.0.0.1:8815": f"{LOOPBACK}:{around.service}",
        "listen 443": f"listen {LOOPBACK}:{around.port}",
        "/var/log/nginx/arizekeys.log": "/dev/stdout",
    }


# In front of arizekeys itself: web server and gRPC server behind one port.
ONE_PORT = Program(
    "nginx-workflows",
    packaged("nginx"),
    ("nginx-workflows.conf",),
    _nginx_workflows,
    lambda program, folder: _run_nginx(program, folder, "nginx-workflows.conf"),
    asks=False,
)
NGINX = Program("nginx", packaged("nginx"), ("nginx.conf",), _nginx, _run_nginx)
HAPROXY = Program(
    "haproxy",
    packaged("haproxy"),
    ("haproxy.cfg", "haproxy.lua"),
    _haproxy,
    lambda program, folder: [str(program), "-db", "-f", str(folder / "haproxy.cfg")],
)
CADDY = Program(
    "caddy",
    packaged("caddy"),
    ("Caddyfile",),
    _caddy,
    lambda program, folder: [str(program), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")],
)
ENVOY = Program(
    "envoy",
    lambda: installed(Client.ENVOY) / "envoy",
    ("envoy.yaml",),
    _envoy,
    lambda program, folder: [
        *(str(program), "-c", str(folder / "envoy.yaml"), "--log-level", "warning"),
        *("--concurrency", "1", "--use-dynamic-base-id", "--file-flush-interval-msec", "100"),
    ],
)
TRAEFIK = Program(
    "traefik",
    lambda: installed(Client.TRAEFIK) / "traefik",
    ("traefik.yaml",),
    _traefik,
    lambda program, folder: [str(program), f"--configFile={folder / 'traefik.yaml'}"],
)
PROGRAMS = (NGINX, HAPROXY, CADDY, ENVOY, TRAEFIK)
