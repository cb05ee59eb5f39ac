"""A small certificate authority and the kubeconfigs that hang from it, made once per world."""

import base64
import datetime as dt
import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.settings import Settings

_LIFETIME = dt.timedelta(days=3650)
_SKEW = dt.timedelta(hours=1)  # clocks of fresh machines step back while they synchronise


@dataclass(frozen=True)
class Identity:
    """Whom a certificate speaks for: Kubernetes reads the user from CN and the group from O."""

    file: str
    user: str
    group: str | None = None


def identities(settings: Settings) -> list[Identity]:
    """Every client of the API server, one certificate each."""
    nodes = [
        Identity(settings.node_name(n), f"system:node:{settings.node_name(n)}", "system:nodes")
        for n in settings.node_numbers
    ]
    return [
        Identity("admin", "admin", "system:masters"),
        Identity("kube-controller-manager", "system:kube-controller-manager"),
        Identity("kube-scheduler", "system:kube-scheduler"),
        Identity("kube-proxy", "system:kube-proxy"),
        Identity("coredns", "system:coredns"),
        Identity("kwok", "kwok", "system:masters"),  # 5,000 nodes must not wait in the queues of fairness
        *nodes,
    ]


def ensure_certificates(settings: Settings) -> None:
    """Write what is missing under `pki/`; never renew what is there, running processes hold it."""
    settings.pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _Authority(settings.pki)
    _ensure_service_account_key(settings.pki)
    authority.issue("serving", Identity("serving", "prover-world"), _serving_names(settings))
    for identity in identities(settings):
        authority.issue(identity.file, identity, None)
        _write(settings.pki / f"{identity.file}.kubeconfig", _kubeconfig(settings, identity).encode())


class _Authority:
    def __init__(self, pki: Path) -> None:
        self._pki = pki
        if not (pki / "ca.crt").exists():
            self._create()
        self._key = serialization.load_pem_private_key((pki / "ca.key").read_bytes(), None)
        self._certificate = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes())

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "prover-world-ca")])
        builder = _builder(name, name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        _write(self._pki / "ca.key", _pem(key))
        _write(self._pki / "ca.crt", builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, file: str, identity: Identity, names: list[x509.GeneralName] | None) -> None:
        if (self._pki / f"{file}.crt").exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.user)]
        if identity.group:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.group))
        builder = _builder(x509.Name(attributes), self._certificate.subject, key.public_key())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())  # type: ignore[arg-type]
        _write(self._pki / f"{file}.key", _pem(key))
        # The certificate last: its presence means the pair is whole.
        _write(self._pki / f"{file}.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _serving_names(settings: Settings) -> list[x509.GeneralName]:
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    addresses = [settings.host, "127.0.0.1", str(settings.services[1])]
    return [*map(x509.DNSName, names), *(x509.IPAddress(ipaddress.ip_address(a)) for a in addresses)]


def _ensure_service_account_key(pki: Path) -> None:
    if (pki / "sa.pub").exists():
        return
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _write(pki / "sa.key", _pem(key))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(pki / "sa.pub", public)


def _kubeconfig(settings: Settings, identity: Identity) -> str:
    pki = settings.pki
    cluster = {
        "server": f"https://{settings.host}:{settings.ports.apiserver}",
        "certificate-authority-data": _inline(pki / "ca.crt"),
    }
    user = {
        "client-certificate-data": _inline(pki / f"{identity.file}.crt"),
        "client-key-data": _inline(pki / f"{identity.file}.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": settings.name, "cluster": cluster}],
        "users": [{"name": identity.file, "user": user}],
        "contexts": [
            {"name": settings.name, "context": {"cluster": settings.name, "user": identity.file}},
        ],
        "current-context": settings.name,
    }
    return json.dumps(config, indent=1) + "\n"  # JSON is YAML


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(path.suffix + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    temporary.replace(path)
