"""A private authority with a server's and a client's certificate, for tests of TLS on loopback."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_MAY_SIGN = x509.KeyUsage(
    **dict.fromkeys(("digital_signature", "key_cert_sign", "crl_sign"), True),
    **dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False),
    **dict.fromkeys(("encipher_only", "decipher_only"), False),
)


@dataclass(frozen=True)
class Certificates:
    """PEM files; `client` and `server` hold certificate and key."""

    authority: Path
    server: Path
    client: Path
    client_key: Path

    def server_context(self, *, asks_for_client: bool = False) -> ssl.SSLContext:
        """What a server listens with."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.authority))
        context.load_cert_chain(self.server)
        context.verify_mode = ssl.CERT_REQUIRED if asks_for_client else ssl.CERT_NONE
        return context


def make_certificates(folder: Path) -> Certificates:
    """Write new ones, valid for a day."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("authority", root_key, "authority", root_key, is_authority=True)
    made = Certificates(*(folder / name for name in ("ca.pem", "server.pem", "client.pem", "client.key")))
    made.authority.write_bytes(_pem(root))
    for file in (made.server, made.client):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _pem(_certificate(file.stem, key, "authority", root_key))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(certificate + secret)
        if file is made.client:
            made.client_key.write_bytes(secret)
    return made


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool = False,
) -> x509.Certificate:
    subject, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer))
    now, names = datetime.now(UTC), [x509.IPAddress(ipaddress.ip_address(one)) for one in ("127.0.0.1", "::1")]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if is_authority:  # Python 3.13 verifies strictly, and wants it said
        builder = builder.add_extension(_MAY_SIGN, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())
