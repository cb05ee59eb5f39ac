"""`python -m bench.look_once KUBECONFIG KEY=VALUE`: verdicts on all nodes as a running worker makes them, for `nodes`.

What is said is JSON: seconds of the second look, and by how many MiB the first one raised the process's peak.
"""

import gc
import json
import sys
import time
from pathlib import Path

from activities.cluster import capacity
from clients.kubernetes.cluster import connect
from domain.messages.nodes import NodesRequest
from domain.spec import ClusterSpec, Endpoint, ImageTarget, KeyValue

_KIB = 1024


def main(kubeconfig: str, key_value: str) -> None:
    """Measure in a process of its own, since used memory is not given back."""
    key, _, value = key_value.partition("=")
    pair = KeyValue(key=key, value=value)
    spec = ClusterSpec(
        coordinator=Endpoint(ip="127.0.0.1"),
        image=ImageTarget(repository="toy"),
        node_label=pair,
        node_taint=pair,
        client_cpu="4",
        client_memory="8Gi",
    )
    request = NodesRequest(spec=spec, replicas=spec.replicas)
    cluster = connect("default", {}, kubeconfig)
    cluster.get("Namespace", "default")  # the connection is there, as in a worker
    gc.collect()
    before = _memory("VmRSS")
    capacity.look(cluster, request, lambda _: None)
    grown = _memory("VmHWM") - before
    start = time.perf_counter()
    report = capacity.look(cluster, request, lambda _: None)
    seconds = time.perf_counter() - start
    report_kib = len(report.model_dump_json()) // _KIB
    print(json.dumps({"seconds": seconds, "mib": grown / _KIB, "usable": report.usable, "report KiB": report_kib}))


def _memory(field: str) -> int:
    """KiB of this process: VmRSS is now, VmHWM the most ever."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main(*sys.argv[1:])
