"""What `manage.py serveflight` refuses before it serves. That it serves, and how it ends, is tested with gRPC."""

from __future__ import annotations

import socket
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from django.core.management import CommandError, call_command
from django.utils import timezone

from apikeys.workflows.grpc.certificate import own_certificate


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"port": 0, "tls_port": 0}, "nothing to listen on"),
        ({"port": 70_000}, "a port is from 0 to 65535, and not 70000"),
        ({"port": 0, "tls_port": 1, "certificate": "only.pem"}, "takes both a certificate and its private key"),
        ({"port": 0, "tls_port": 1, "certificate": "no.pem", "key": "no.key"}, "cannot be read: No such file"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("serveflight", **options)


def test_files_that_are_no_certificate_are_refused(tmp_path: Path) -> None:
    chain, key = own_certificate(tmp_path, at=timezone.now())
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "other").mkdir()
    (tmp_path / "other.key").write_bytes(own_certificate(tmp_path / "other", at=timezone.now())[1])

    with pytest.raises(CommandError, match="are not a certificate and its private key"):
        call_command(
            "serveflight", port=0, tls_port=1, certificate=str(tmp_path / "chain.pem"), key=str(tmp_path / "other.key")
        )


def test_a_taken_port_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(CommandError, match=f"127.0.0.1:{port} cannot be listened on"):
            call_command("serveflight", port=port, tls_port=0)


def test_the_local_certificate_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    at = timezone.now()

    first = own_certificate(tmp_path, at=at)
    second = own_certificate(tmp_path, at=at + timedelta(days=1))

    certificate = x509.load_pem_x509_certificate(first[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert first == second
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert certificate.not_valid_before_utc < at < certificate.not_valid_after_utc
    assert stat.S_IMODE((tmp_path / "localhost.pem").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["localhost.pem"]
