"""Draws cases for the real cluster: near the edge, where one node or one pod more or less decides."""

import random

from tests.support.capacity.scheduler_model import Ask, Case, Node

KINDS = ("first", "replaced", "shrunk", "scaled")


def draw(chance: random.Random) -> Case:
    """One case; `old` is only as many clients as run, for the scheduler says where."""
    kind = chance.choice(KINDS)
    nodes = tuple(_node(chance) for _ in range(chance.randint(1, 5)))
    ask = Ask(chance.choice([0, 1, 2, 4]), chance.choice([0, 0, 4]), chance.choice([0, 0, 0, 1]))
    fitting = sum(node.admits and node.holds(ask) for node in nodes)
    running = 0 if kind == "first" else chance.randint(1, len(nodes))
    replicas = max(1, min(5, fitting + chance.choice([-1, 0, 0, 1])))
    old_ask = {"scaled": ask, "shrunk": Ask(ask.cpu + 2, ask.memory, 0)}.get(kind, Ask(ask.cpu, ask.memory, 0))
    if kind == "scaled":
        old_ask = ask = Ask(ask.cpu, ask.memory, 0)  # plain nodes, on which they run first, have no GPU
        replicas = max(1, min(5, replicas + chance.choice([0, 1])))
    ranged = kind != "scaled" and chance.random() < 0.2
    return Case(
        nodes=nodes,
        replicas=replicas,
        ask=ask,
        unavailable=chance.choice([1, 1, 2]),
        old=tuple(range(running)),
        old_ask=old_ask,
        scaled=kind == "scaled",
        quota=_quota(chance, replicas, ask, old_ask, running) if chance.random() < 0.4 else {},
        default_cpu=chance.choice([0, 2]) if ranged else 0,
        max_memory=chance.choice([0, 2, 8]) if ranged else 0,
    )


def _node(chance: random.Random) -> Node:
    def rarely(share: float = 0.12) -> bool:
        return chance.random() < share

    return Node(
        size=Ask(chance.choice([2, 4, 8]), 16, chance.choice([0, 1, 1])),
        pods=chance.choice([1, 3, 10, 10]),
        labelled=not rarely(),
        tainted=not rarely(),
        repels=rarely(),
        cordoned=rarely(),
        ready=not rarely(),
        others=tuple(Ask(chance.choice([0, 1, 3]), 0) for _ in range(chance.choice([0, 0, 1, 2]))),
        prover=rarely(),
    )


def _quota(chance: random.Random, replicas: int, ask: Ask, old: Ask, running: int) -> dict[str, int]:
    """About as much as is needed in the end, or on the way there."""
    name = chance.choice(["pods", "count/pods", "requests.cpu", "requests.memory", "limits.memory"])
    each, before = {
        "requests.cpu": (ask.cpu, old.cpu),
        "requests.memory": (ask.memory, old.memory),
        "limits.memory": (ask.memory, old.memory),
    }.get(name, (1, 1))
    enough = chance.choice([replicas * each, replicas * each, (running - 1) * before + each])
    return {name: max(0, enough + chance.choice([-1, 0, 0, 1]))}
