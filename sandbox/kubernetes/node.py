"""A node: a network namespace with its own containerd, kubelet and kube-proxy."""

import json
from pathlib import Path

import yaml

from sandbox.host.network import NAMESPACES
from sandbox.host.readiness import http_answers, socket_accepts
from sandbox.services.program import Program
from sandbox.settings import Settings

PAUSE_IMAGE = "pause:1"
_KUBELET_HEALTH = 10248
_PROXY_HEALTH = 10256


def node_programs(settings: Settings, number: int) -> list[Program]:
    """Return the three programs of a node."""
    return [_containerd(settings, number), _kubelet(settings, number), _kube_proxy(settings, number)]


def write_node_configuration(settings: Settings, number: int) -> None:
    """Write what the three programs of a node read."""
    home = settings.node_state(number)
    (home / "cni").mkdir(parents=True, exist_ok=True)
    (home / "cni" / "10-pods.conflist").write_text(_pod_network(settings, number))
    (home / "containerd.toml").write_text(_containerd_configuration(settings, home))
    (home / "kubelet.yaml").write_text(_kubelet_configuration(settings, home))
    for port in (settings.ports.registry, settings.ports.anonymous_registry):
        registry = f"{settings.host}:{port}"
        hosts = home / "certs.d" / registry / "hosts.toml"
        hosts.parent.mkdir(parents=True, exist_ok=True)
        hosts.write_text(
            f'server = "http://{registry}"\n[host."http://{registry}"]\ncapabilities = ["pull", "resolve"]\n'
        )


def _containerd(settings: Settings, number: int) -> Program:
    home = settings.node_state(number)
    return Program(
        name=f"containerd-{number}",
        wave=1,
        command=("containerd", "--config", f"{home}/containerd.toml"),
        namespace=NAMESPACES / settings.node_link(number),
        ready=socket_accepts(home / "containerd.sock"),
    )


def _kubelet(settings: Settings, number: int) -> Program:
    home = settings.node_state(number)
    name = settings.node_name(number)
    return Program(
        name=f"kubelet-{number}",
        wave=3,
        command=(
            f"{settings.bin}/kubelet",
            f"--config={home}/kubelet.yaml",
            f"--kubeconfig={settings.pki}/{name}.kubeconfig",
            f"--hostname-override={name}",
            f"--node-ip={settings.node_ip(number)}",
            f"--root-dir={home}/kubelet",
            f"--cert-dir={home}/pki",
        ),
        namespace=NAMESPACES / settings.node_link(number),
        ready=http_answers(f"http://{settings.node_ip(number)}:{_KUBELET_HEALTH}/healthz"),
    )


def _kube_proxy(settings: Settings, number: int) -> Program:
    return Program(
        name=f"kube-proxy-{number}",
        wave=3,
        command=(
            f"{settings.bin}/kube-proxy",
            f"--kubeconfig={settings.pki}/kube-proxy.kubeconfig",
            "--proxy-mode=iptables",
            f"--cluster-cidr={settings.pods}",
            f"--hostname-override={settings.node_name(number)}",
            f"--healthz-bind-address={settings.node_ip(number)}:{_PROXY_HEALTH}",
            "--metrics-bind-address=127.0.0.1:10249",
            # These sysctls exist once per machine, not per namespace: leave them alone.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ),
        namespace=NAMESPACES / settings.node_link(number),
        ready=http_answers(f"http://{settings.node_ip(number)}:{_PROXY_HEALTH}/healthz"),
    )


def _pod_network(settings: Settings, number: int) -> str:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": str(settings.node_pods(number))}]],
            "dataDir": f"{settings.node_state(number)}/cni-addresses",
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}, indent=1)


def _containerd_configuration(settings: Settings, home: Path) -> str:
    # restrict_oom_score_adj: a machine without CAP_SYS_RESOURCE cannot lower the score and loses every sandbox.
    # netns_mounts_under_state_dir: pods' namespaces would otherwise lie, nameless, among those of the machine.
    return f"""version = 2
root = "{home}/containerd/root"
state = "{home}/containerd/state"
[grpc]
address = "{home}/containerd.sock"
[ttrpc]
address = "{home}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "{home}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{settings.host}:{settings.ports.anonymous_registry}/{PAUSE_IMAGE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{home}/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{home}/certs.d"
"""


def _kubelet_configuration(settings: Settings, home: Path) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{home}/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": "/",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{settings.pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "clusterDNS": [settings.host],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "healthzBindAddress": "0.0.0.0",  # noqa: S104 - all addresses of the node's own namespace
            "podLogsDir": f"{home}/pod-logs",
            "volumePluginDir": f"{home}/volume-plugins",
            # One disk holds all nodes and whatever else the machine does: never evict for it.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {"nodefs.available": "1Mi", "imagefs.available": "1Mi", "memory.available": "50Mi"},
            "maxPods": 110,
            "nodeStatusUpdateFrequency": "5s",
            "serializeImagePulls": False,
            "registryPullQPS": 0,
            "registerWithTaints": [{"key": "dedicated", "value": "computation", "effect": "NoSchedule"}],
        }
    )
