"""etcd, the three Kubernetes servers and DNS: processes of the host, bound to loopback and to the bridge."""

from pathlib import Path

from sandbox.host.readiness import http_answers
from sandbox.services.program import Program
from sandbox.settings import Settings

_REQUESTS_PER_SECOND = ("--kube-api-qps=500", "--kube-api-burst=1000")  # 20 and 50 make 450 pods take 200 s


def control_plane(settings: Settings) -> list[Program]:
    """Programs of the control plane."""
    return [_etcd(settings), _apiserver(settings), _controller_manager(settings), _scheduler(settings), _dns(settings)]


def _etcd(settings: Settings) -> Program:
    port = settings.ports.etcd
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
    return Program(
        name="etcd",
        wave=1,
        command=(
            "etcd",
            f"--data-dir={settings.state}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync=true",
            "--logger=zap",
        ),
        ready=http_answers(f"{client}/health"),
        listens=(("127.0.0.1", port), ("127.0.0.1", port + 1)),
    )


def _apiserver(settings: Settings) -> Program:
    pki = settings.pki
    port = settings.ports.apiserver
    return Program(
        name="kube-apiserver",
        wave=2,
        command=(
            f"{settings.bin}/kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{settings.ports.etcd}",
            f"--service-cluster-ip-range={settings.services}",
            f"--bind-address={settings.host}",
            f"--advertise-address={settings.host}",
            f"--secure-port={port}",
            f"--tls-cert-file={pki}/serving.crt",
            f"--tls-private-key-file={pki}/serving.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-client-certificate={pki}/admin.crt",
            f"--kubelet-client-key={pki}/admin.key",
            "--kubelet-preferred-address-types=InternalIP",  # the names of nodes are nobody's but ours
            "--allow-privileged",
            # It needs progress reports of a newer etcd: without them watches from version 0, as kwok's, end at once.
            "--feature-gates=WatchList=false",
        ),
        ready=http_answers(f"https://{settings.host}:{port}/readyz", authority=pki / "ca.crt"),
        listens=((settings.host, port),),
        # It drains for up to a minute; nobody here waits for that.
        stop_seconds=3,
        patience=90,
    )


def _controller_manager(settings: Settings) -> Program:
    pki = settings.pki
    own = (
        f"--service-account-private-key-file={pki}/sa.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials",
        "--allocate-node-cidrs=false",
    )
    return _controller(settings, "kube-controller-manager", settings.ports.controller_manager, own)


def _scheduler(settings: Settings) -> Program:
    return _controller(settings, "kube-scheduler", settings.ports.scheduler, ())


def _controller(settings: Settings, name: str, port: int, own: tuple[str, ...]) -> Program:
    pki = settings.pki
    return Program(
        name=name,
        wave=3,
        command=(
            f"{settings.bin}/{name}",
            f"--kubeconfig={pki}/{name}.kubeconfig",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={pki}/serving.crt",
            f"--tls-private-key-file={pki}/serving.key",
            *_REQUESTS_PER_SECOND,
            *own,
        ),
        ready=http_answers(f"https://127.0.0.1:{port}/healthz", authority=pki / "ca.crt"),
        listens=(("127.0.0.1", port),),
    )


def _dns(settings: Settings) -> Program:
    port = settings.ports.dns_health
    return Program(
        name="coredns",
        wave=3,
        command=(f"{settings.bin}/coredns", "-conf", f"{settings.state}/Corefile"),
        ready=http_answers(f"http://127.0.0.1:{port}/health"),
        listens=((settings.host, 53), ("127.0.0.1", port)),
    )


def write_dns_configuration(settings: Settings, resolver: Path = Path("/etc/resolv.conf")) -> None:
    """Write the Corefile; names outside the cluster go where the machine itself asks, if anywhere."""
    asks = any(line.startswith("nameserver") for line in resolver.read_text().splitlines())
    forward = f"    forward . {resolver}\n" if asks else ""
    (settings.state / "Corefile").write_text(
        f""".:53 {{
    bind {settings.host}
    errors
    health 127.0.0.1:{settings.ports.dns_health}
    kubernetes cluster.local {{
        kubeconfig {settings.pki}/coredns.kubeconfig {settings.name}
        ttl 2
    }}
{forward}}}
"""
    )
