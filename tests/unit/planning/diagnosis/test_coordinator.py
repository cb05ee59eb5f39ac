"""What real clients log about their coordinator and their tasks, and what is said of it."""

from typing import Any

import pytest

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest, Snapshot
from planning.diagnosis import container_exit, coordinator, findings, rollout_status
from tests.support.kubernetes import objects

HUMAN, TRANSIENT, FATAL, PROGRESS = Severity.NEEDS_HUMAN, Severity.TRANSIENT, Severity.FATAL, Severity.PROGRESS
SLICE = {"endpoints": [{"addresses": ["10.0.0.9"]}], "ports": [{"name": "http", "port": 50055}]}
CLIENT, WATCH = "prover_cluster::client::grpc_client", "prover_cluster::client::watch"
REFUSED = f"""ERROR {WATCH}: poll task error transport error

Caused by:
    0: error trying to connect: tcp connect error: Connection refused (os error 111)
    1: tcp connect error: Connection refused (os error 111)
    2: Connection refused (os error 111)"""
UNRESOLVED = f"""ERROR {WATCH}: poll task error transport error

Caused by:
    0: error trying to connect: dns error: failed to lookup address information: Name or service not known
    1: dns error: failed to lookup address information: Name or service not known
    2: failed to lookup address information: Name or service not known"""
POLL = f'INFO {CLIENT}: prover("p1-1763923081027") polling task'
IN_DIR = f'INFO {CLIENT}: process in tempdir path: "/tmp/.tmpx"'
PROVED = f'INFO {CLIENT}: task("task_1") submission result valid: true'
BROKEN = f"ERROR {WATCH}: poll task error poll task error: Server temporary unavaliable"
DATABASE = f"ERROR {WATCH}: poll task error poll task error: db query idle task"
STARTED = "INFO client: prover client started"


def stamped(*texts: str, every: float = 10, age: float = 0, form: str = "iso") -> str:
    """Lines as a logger writes them, the last one `age` seconds before NOW."""
    lines = []
    for number, text in enumerate(reversed(texts)):
        at = objects.ago(age + number * every)
        if form == "bracketed":  # env_logger
            level, _, rest = text.partition(" ")
            lines.append(f"[{at} {level:<5} {rest}]".removesuffix("]"))
        elif form == "short":  # tracing: no year
            lines.append(f"Jan {at[8:10]} {at[11:19]}.123 {text}")
        elif form == "coloured":
            lines.append(f"\x1b[2m{at}\x1b[0m \x1b[31m{text.partition(' ')[0]}\x1b[0m {text.partition(' ')[2]}")
        else:
            lines.append(f"{at} {text}")
    return "\n".join(reversed(lines))


def failed(number: int, why: str = "open witness.wtns") -> list[str]:
    """Return the log of one task that cannot be computed."""
    return [POLL, IN_DIR, f"ERROR {WATCH}: witness task(task_{number}) error {why}"]


def judged(*logs: str, upstream: str = "", trial: bool = False, age: float = 700, **more: Any) -> list[Diagnosis]:
    """All findings about clients that run and said this."""
    pods = [objects.pod(f"p{number}", age=age) for number in range(1, len(logs) + 1)]
    deployment = objects.deployment(len(pods))
    if upstream:
        containers = [{"name": "client", "env": [{"name": "CLIENT_UPSTREAM", "value": upstream}]}]
        deployment["spec"]["template"] = deployment["spec"]["template"] | {"spec": {"containers": containers}}
    snapshot = Snapshot(
        now=objects.NOW,
        deployment=deployment,
        replica_sets=[objects.replica_set()],
        pods=pods,
        logs={objects_name(pod): log for pod, log in zip(pods, logs, strict=True)},
        **more,
    )
    return findings.findings(snapshot, app="client", stage="", image="", trial=trial)


def objects_name(pod: Manifest) -> str:
    """Return the pod's name."""
    return str(pod["metadata"]["name"])


def one(*logs: str, **more: Any) -> Diagnosis:
    """Return the only finding."""
    (found,) = judged(*logs, **more)
    return found


@pytest.mark.parametrize("form", ["iso", "bracketed", "short", "coloured"])
@pytest.mark.parametrize(
    ("text", "code", "evidence"),
    [
        (BROKEN, "COORDINATOR_BROKEN", "Server temporary unavaliable"),
        (
            f"ERROR {WATCH}: poll task error poll task error: Dispatch ret unreach",
            "COORDINATOR_BROKEN",
            "ret unreach",
        ),
        (DATABASE, "COORDINATOR_DOWN", "db query idle task"),
        (REFUSED, "COORDINATOR_DOWN", "error trying to connect: tcp connect error: Connection refused (os error 111)"),
        (UNRESOLVED, "NOT_REGISTERED", "dns error: failed to lookup address information"),
        (
            REFUSED.replace("Connection refused (os error 111)", "Connection timed out (os error 110)"),
            "COORDINATOR_DOWN",
            "Connection timed out",
        ),
        (f"ERROR {WATCH}: poll task error poll task error: connection reset", "COORDINATOR_DOWN", "connection reset"),
    ],
)
def test_the_real_clients_words_are_recognised(text: str, code: str, evidence: str, form: str) -> None:
    """Whatever stamps, colours and module paths are around them; the evidence is what was refused, not its tail."""
    found = one(stamped(*[POLL, text] * 8, form=form))
    assert (found.code, evidence in found.evidence) == (code, True), found
    assert found.evidence.count("Connection refused") < 2
    assert found.on == "pod fleet/p1 (1 of 1 asked)"


@pytest.mark.parametrize(
    ("text", "what", "do"),
    [
        (DATABASE, "the coordinator answers that its database does not", "start the coordinator's database"),
        (
            f"ERROR {WATCH}: poll task error failed to lookup address information: Name or service not known",
            "clients run and cannot resolve the coordinator's name",
            "look at the cluster's DNS pods",
        ),
    ],
)
def test_what_is_away_is_named_with_its_remedy(text: str, what: str, do: str) -> None:
    """The database and the name of the coordinator are told apart from the coordinator itself."""
    found = one(stamped(*[POLL, text] * 8))
    assert found.what == what
    assert found.do.startswith(do)


def test_a_chain_without_its_head_still_names_what_was_refused() -> None:
    """The head was before the tail that was read."""
    cut = "\n".join(REFUSED.splitlines()[4:])
    assert one(f"ERROR {WATCH}: poll task error\n{cut}").evidence.endswith(
        "tcp connect error: Connection refused (os error 111)"
    )


def test_a_coordinator_whose_scheduler_ended_is_not_down() -> None:
    """It answers; both causes are named, what to check, and that only a restart helps; after a minute of it."""
    found = one(stamped(*[POLL, BROKEN] * 4), circuit="block_2")
    assert (found.code, found.severity, found.grace) == ("COORDINATOR_BROKEN", HUMAN, 60)
    assert found.since == objects.ago(60)
    assert "does not fit its verifying key" in found.because
    assert "a circuit that it does not know" in found.because
    assert "knows the circuit block_2, then restart the coordinator" in found.do
    assert one(stamped(POLL, BROKEN)).severity is TRANSIENT
    assert one("\n".join([POLL, BROKEN] * 9)).severity is TRANSIENT  # nobody knows since when


@pytest.mark.parametrize(
    ("trouble", "then", "clear"),
    [
        (REFUSED, [POLL], True),  # the real client says so when it is connected
        (BROKEN, [POLL], False),  # the answer is not there yet
        (BROKEN, [POLL, POLL], True),
        (DATABASE, [POLL, IN_DIR], True),
    ],
)
def test_a_complaint_ends_with_an_answer(trouble: str, then: list[str], clear: bool) -> None:
    """A poll under way is none, unless not even a connection was made before."""
    assert (judged(stamped(POLL, trouble, *then)) == []) is clear


def test_that_no_task_is_ready_is_no_complaint() -> None:
    """Some clients log it as an error."""
    idle = f'ERROR {WATCH}: poll task error: status: ResourceExhausted, message: "no task ready to prove"'
    assert judged(stamped(POLL, idle, POLL, idle)) == []


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ("loopback", "it listens on loopback only"),
        ("ok", "a firewall refuses it"),
        ("refused", "it is not started, or listens on another port"),
        ("", "it is not started, or listens on another port"),
    ],
)
def test_the_workers_view_tells_why_clients_are_refused(seen: str, says: str) -> None:
    """Where it was taken, on the coordinator's own host above all."""
    found = one(stamped(REFUSED), coordinator=seen)
    assert says in found.because
    assert ("[::]" in found.do) is (seen == "loopback")


@pytest.mark.parametrize("seen", ["refused", "loopback"])
def test_before_clients_say_anything_the_worker_speaks(seen: str) -> None:
    """Large keys load for long; what clients say counts more."""
    found = judged(stamped(STARTED, age=5), age=5, coordinator=seen)
    assert [(one.code, one.severity) for one in found] == [("COORDINATOR_DOWN", TRANSIENT)]
    assert judged(stamped(POLL, POLL), coordinator=seen) == []
    assert judged(stamped(STARTED, age=5), age=5, coordinator="timeout") == []


def test_an_override_is_judged_and_not_the_service() -> None:
    """Clients that prove through COORDINATOR_SERV are well, whatever there is of the Service."""
    assert judged(stamped(POLL, PROVED), upstream="http://coordinator.example:7000", slices=[]) == []
    assert one(stamped(POLL, PROVED), upstream="http://cluster-coordinator.fleet.svc", slices=[]).code == (
        "NOT_REGISTERED"
    )
    named = one(stamped(UNRESOLVED), upstream="http://nowhere.invalid", slices=[])
    assert named.what == "clients run and cannot resolve COORDINATOR_SERV=http://nowhere.invalid"
    assert "correct COORDINATOR_SERV" in named.do
    down = one(stamped(REFUSED), upstream="http://coordinator.example:7000", slices=[])
    assert "COORDINATOR_SERV=http://coordinator.example:7000" in down.because
    assert "COORDINATOR_EP" not in down.because


def test_tasks_that_all_fail_are_told_with_the_first_error() -> None:
    """Of what the client called, too; three of them, over all clients that were asked, are enough."""
    first = stamped(*failed(1)).splitlines()
    first.insert(-1, "Error: cannot open /opt/circuit/circuit_cpp/circuit.dat")
    found = one("\n".join(first), stamped(*failed(2), *failed(3), *failed(3)))
    assert (found.code, found.severity) == ("TASKS_FAIL", HUMAN)
    assert found.what.endswith("3 failed since the last proof")
    assert found.on == "pod fleet/p1 (2 of 2 asked)"
    assert found.evidence.startswith("Error: cannot open /opt/circuit/circuit_cpp/circuit.dat")
    assert "witness task(task_1) error open witness.wtns" in found.evidence
    assert "restart the coordinator" in found.do
    assert one(stamped(*failed(1), *failed(2))).severity is TRANSIENT


def test_a_proof_after_a_failure_clears_it() -> None:
    """One task may be broken; a failed submission is none."""
    assert judged(stamped(*failed(1), *failed(2), *failed(3), POLL, PROVED)) == []
    submit = f'ERROR {CLIENT}: prover("p1") submit result for task("task_9") error status: Internal'
    assert [found.code for found in judged(stamped(POLL, submit, POLL, POLL))] == []


def test_a_new_release_that_fails_every_task_is_not_complete() -> None:
    """It would empty the queue; one that serves already is only told about."""
    log = stamped(*failed(1), *failed(2), *failed(3))
    (found,) = judged(log, trial=True)
    assert found.severity is FATAL
    snapshot = Snapshot(
        now=objects.NOW,
        deployment=objects.deployment(1),
        replica_sets=[objects.replica_set()],
        pods=[objects.pod("p1")],
        logs={"p1": log},
    )
    for trial in (True, False):
        seen = rollout_status.observe(snapshot, app="client", stage="abc", image=objects.IMAGE, trial=trial)
        assert (seen.complete, seen.diagnosis and seen.diagnosis.code) == (not trial, "TASKS_FAIL")


def test_clients_without_a_task_for_ten_minutes_are_told() -> None:
    """With the circuit's name as a possible cause; nobody has to act."""
    found = one(stamped(*[POLL] * 62), stamped(*[POLL] * 62), circuit="block")
    assert (found.code, found.severity) == ("NO_TASKS", PROGRESS)
    assert found.because == "no task is waiting, or CIRCUIT=block is not the coordinator's name of the circuit"
    assert judged(stamped(*[POLL] * 62), stamped(POLL, PROVED, *[POLL] * 40)) == []
    assert judged(stamped(*[POLL] * 30)) == []
    assert judged("\n".join([POLL] * 62)) == []  # without times nobody knows


@pytest.mark.parametrize(
    ("logs", "age", "told"),
    [
        ([stamped(STARTED, age=60)], 61, "it still loads its keys, or its first call hangs"),
        ([stamped(STARTED, age=60), stamped(POLL, POLL)], 61, "its first call hangs"),
        (["", stamped(POLL, POLL)], 61, "its first call hangs"),
        ([stamped(STARTED, age=30)], 31, ""),
        ([""], 700, ""),  # unreadable, for all we know, or RUST_LOG is unset
        ([stamped(POLL, POLL, age=130)], 700, "its call hangs"),
        ([stamped(POLL, IN_DIR, age=400)], 700, ""),
    ],
)
def test_a_client_whose_call_hangs_is_told_with_its_restart(logs: list[str], age: float, told: str) -> None:
    """Its first one above all, for which it has no deadline; proofs may take long."""
    found = judged(*logs, age=age)
    assert [(one.code, one.severity) for one in found] == ([("CLIENT_HANGS", TRANSIENT)] if told else [])
    assert all(one.because.startswith(told) for one in found)
    assert all("kubectl delete pod p1 -n fleet" in one.do for one in found)


def test_kubelets_words_about_a_log_are_no_evidence() -> None:
    """The client said nothing then."""
    kubelet = [
        'failed to try resolving symlinks in path "/var/log/pods/x/client/2.log": lstat: no such file or directory',
        "unable to retrieve container logs for containerd://ba230822",
    ]
    for text in kubelet:
        assert judged(text) == []
        assert "lstat" not in one(f"{stamped(REFUSED)}\n{text}").evidence


def test_every_code_of_running_clients_leaves_the_rollout_complete() -> None:
    """The set by which findings are kept beside a complete rollout."""
    assert set(coordinator.CODES) == {
        *("NOT_REGISTERED", "COORDINATOR_DOWN", "COORDINATOR_BROKEN", "TASKS_FAIL", "NO_TASKS", "CLIENT_HANGS"),
    }


TWO_PANICS = """INFO prover client started
thread 'tokio-runtime-worker' panicked at 'range end index 16384 out of range for slice of length 8192', srs.rs:7:9
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
thread 'main' panicked at 'watch receiver dropped: SendError { kind: Disconnected }', src/bin/client.rs:41:18"""
NEWER_PANICS = """thread 'tokio-runtime-worker' (7) panicked at src/srs.rs:7:9:
range end index 16384 out of range for slice of length 8192
thread 'main' panicked at src/bin/client.rs:41:18:
watch receiver dropped"""


@pytest.mark.parametrize("log", [TWO_PANICS, NEWER_PANICS])
def test_the_first_panic_is_why_a_client_ends(log: str) -> None:
    """The others follow from it."""
    words = container_exit.last_words(log)
    assert "range end index 16384 out of range" in words
    assert "watch receiver dropped" not in words
    assert container_exit.meaning(101, log) == ("it panicked, over its configuration or keys", False)


def test_kubelets_words_are_no_last_words() -> None:
    """Of an empty log nothing is quoted."""
    assert container_exit.last_words("unable to retrieve container logs for containerd://ba23") == ""
    found = container_exit.exit_finding(
        objects.crashed("p1", restarts=3, log="failed to try resolving symlinks in path /var/log: no such file")[
            "status"
        ]["containerStatuses"][0],
        objects.NOW,
    )
    assert found is not None
    assert "symlinks" not in str(found)
