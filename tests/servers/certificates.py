"""A certificate authority of the tests' own, and server certificates: good, expired, for another name."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Concord test authority")])


class Fault(StrEnum):
    """What is wrong with a server certificate."""

    NONE = "none"
    EXPIRED = "expired"
    WRONG_NAME = "wrong-name"


class Certificates:
    """Files in one folder: `ca.pem`, `server.pem`, `server.key`."""

    def __init__(self, folder: Path, fault: Fault = Fault.NONE, *, also_for: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file, self.certificate, self.key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
        authority = ec.generate_private_key(ec.SECP256R1())
        server = ec.generate_private_key(ec.SECP256R1())
        self.ca_file.write_bytes(_pem(_authority(authority)))
        self.certificate.write_bytes(_pem(_server(authority, server, fault, also_for)))
        self.key.write_bytes(
            server.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def authority_pem() -> str:
    """The certificate of an authority, as people paste it."""
    return _pem(_authority(ec.generate_private_key(ec.SECP256R1()))).decode()


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _begun(AUTHORITY, key.public_key(), expired=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server(
    authority: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey, fault: Fault, also_for: Sequence[str]
) -> x509.Certificate:
    name = "mail.elsewhere.example" if fault is Fault.WRONG_NAME else "localhost"
    names: list[x509.GeneralName] = [x509.DNSName(one) for one in (name, *also_for)]
    if fault is not Fault.WRONG_NAME:
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        _begun(subject, key.public_key(), expired=fault is Fault.EXPIRED)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )


def _begun(subject: x509.Name, key: ec.EllipticCurvePublicKey, *, expired: bool) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(AUTHORITY)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now - dt.timedelta(days=30) if expired else now + dt.timedelta(days=30))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
