"""`python -m bench.follow_once KUBECONFIG NAMESPACE STAGE`: the product's tracker as a program, for `rollout-lag`."""

import sys

from clients.kubernetes.cluster import connect
from planning.diagnosis import rollout_status


def main(kubeconfig: str, namespace: str, stage: str) -> None:
    """Says `waiting` once, and `complete` as soon as the rollout of the stage is."""
    cluster = connect("default", {}, kubeconfig)
    waiting = False
    for snapshot in cluster.follow(namespace, "client", lambda: False):
        if snapshot and not waiting:
            waiting = True
            print("waiting", flush=True)
        if snapshot and rollout_status.observe(snapshot, app="client", stage=stage, image="").complete:
            print("complete", flush=True)
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
