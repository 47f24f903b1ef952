"""A certificate for this machine alone, signed by itself: clients check none where the host is localhost."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=3650)
_NAMES = ("localhost",)
_ADDRESSES = ("127.0.0.1", "::1")


def own_certificate(folder: Path, *, at: datetime.datetime) -> tuple[bytes, bytes]:
    """Return a certificate for localhost and its key, as PEM, made in the folder on first use with mode 0600."""
    path = folder / "localhost.pem"
    if not path.exists():
        _write_once(path, b"".join(_make(at)))
    text = path.read_bytes()
    key, begin, rest = text.partition(b"-----BEGIN CERTIFICATE-----")
    return begin + rest, key


def _make(at: datetime.datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    others = [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(at + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, _NAMES), *others]), critical=False)
        .add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )  # so that it can be trusted by itself
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(pem)


def _write_once(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    # Linking is atomic and never overwrites: of two first processes one wins, and both read the same.
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
