"""A certificate authority of one test, for servers on loopback and their clients."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)
_BITS = 2048


class Authority:
    """Writes `ca.crt` into its folder, and beside it a pair of files for each name that it issues for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        self._name = _named("test authority")
        self.file = folder / "ca.crt"
        builder = self._builder(self._name, self._key, dt.datetime.now(dt.UTC) + _DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._write(self.file, builder.sign(self._key, hashes.SHA256()))

    def issue(self, file: str, *, address: str = "127.0.0.1", expired: bool = False) -> tuple[Path, Path]:
        """Certificate and key for an IP address."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        until = dt.datetime.now(dt.UTC) + (-_DAY if expired else _DAY)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        builder = self._builder(_named(file), key, until).add_extension(names, critical=False)
        certificate, private = self._folder / f"{file}.cert", self._folder / f"{file}.key"
        self._write(certificate, builder.sign(self._key, hashes.SHA256()))
        private.write_bytes(pem(key))
        return certificate, private

    def server(self, *, ask_clients: bool = False, address: str = "127.0.0.1", expired: bool = False) -> ssl.SSLContext:
        """What a server on loopback listens with; with `ask_clients` it wants certificates of this authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.issue("server", address=address, expired=expired))
        if ask_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context

    def _builder(self, subject: x509.Name, key: rsa.RSAPrivateKey, until: dt.datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(until - 3 * _DAY)
            .not_valid_after(until)
        )

    @staticmethod
    def _write(path: Path, certificate: x509.Certificate) -> None:
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def pem(key: rsa.RSAPrivateKey) -> bytes:
    """The key in PEM, unencrypted."""
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
