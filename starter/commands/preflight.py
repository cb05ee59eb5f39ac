"""`preflight`: everything that could stop a deploy with these settings, each with a verdict; changes nothing."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from starter.cli import exits, options

if TYPE_CHECKING:
    from temporalio.client import Client

    from domain.messages.inspection import Check, PreflightReport
    from domain.spec import ClusterSpec
    from starter.cli.invocation import Invocation

PLACE = "-n provers --image-repo registry.example.com:5000/prover --coordinator-ep 10.0.0.7"
PROBE_IMAGE = "PROBE_IMAGE"
WORDS = {"ok": "✓ ok", "warning": "! warning", "unknown": "? unknown", "failed": "✗ FAILED"}


@options.command("preflight", f"proverctl preflight {PLACE}", "proverctl preflight --env-file provers.env --probe")
@click.option(
    "--probe",
    is_flag=True,
    help="Also check the coordinator from a computation node, by a short-lived pod of PROBE_IMAGE.",
)
@options.settings()
@options.setting(options.by_name(PROBE_IMAGE))
@options.direct
@options.everywhere
def preflight_command(probe: bool, direct: bool, **params: Any) -> None:
    """Check everything that could stop a deploy, each with a verdict and a remedy.

    Temporal and its workers, credentials, commit, circuit, Docker, registry, rights, namespace, nodes, quota, Pod
    Security and admission, coordinator. Changes nothing; exit 3 when a check failed. What may not be read is
    unknown.
    """
    from planning.settings.spec import cluster_spec, warnings
    from starter.cli import terminal
    from starter.cli.invocation import invocation

    asked = invocation(params)
    spec = asked.validated(
        lambda: cluster_spec(asked.values, seen_on=socket.gethostname()),
        *([lambda: _require_image(asked.values)] if probe else []),
    )
    terminal.warn(warnings(spec))
    image = asked.values.get(PROBE_IMAGE, "") if probe else ""
    if direct:
        from starter.direct.inspection import Direct

        present(asked, Direct(asked, spec).preflight(image))
        return
    from starter.temporal import session

    present(asked, session.run(asked, _report(asked, spec, image), what="the inspection"))


def present(asked: "Invocation", report: "PreflightReport") -> None:
    """Write the checks as a table with remedies below it; raise Exit REFUSED when one failed."""
    from planning.text.sizes import counted
    from starter.cli import terminal

    rows = [["CHECK", "VERDICT", "FOUND"]]
    rows += [[check.name, WORDS[check.verdict], check.detail or "-"] for check in report.checks]
    remedies = [f"{WORDS[check.verdict].split()[0]} {check.name}: {check.do}" for check in _remediable(report)]
    text = "\n".join([terminal.table(rows), *(["", "What to do:", *remedies] if remedies else [])])
    terminal.data(report.model_dump(mode="json", include={"checks"}), asked.output, text)
    failed = [check for check in report.checks if check.verdict == "failed"]
    if failed:
        lines = [f"  {check.name}: {terminal.clean(check.do or check.detail)}" for check in failed]
        raise exits.Exit(exits.REFUSED, f"{counted(len(failed), 'check')} failed; nothing was changed:", lines)


def _remediable(report: "PreflightReport") -> "list[Check]":
    """Return the checks that are not ok and have a remedy; those that failed are shown at the end."""
    return [check for check in report.checks if check.do and check.verdict in ("warning", "unknown")]


def _require_image(values: Mapping[str, str]) -> None:
    from domain.errors import SettingsInvalid

    if not values.get(PROBE_IMAGE):
        raise SettingsInvalid(
            [f"{PROBE_IMAGE} is not set: --probe needs an image that, given HOST:PORT, says ok or why not."]
        )


async def _report(asked: "Invocation", spec: "ClusterSpec", probe_image: str) -> "PreflightReport":
    from domain.messages.inspection import InspectInput, PreflightReport
    from starter.temporal import session
    from starter.temporal.inspection import answer

    request = InspectInput(
        spec=spec, replicas=spec.replicas, what="preflight", probe=bool(probe_image), probe_image=probe_image
    )
    needed = session.queues(spec.cluster, spec.backend.host)
    async with session.session(asked, needed) as client:
        temporal = await _temporal(client, [queue.name for queue in needed])
        found = (await answer(client, request)).preflight or PreflightReport()
    return PreflightReport(checks=[temporal, *found.checks])


async def _temporal(client: "Client", queues: list[str]) -> "Check":
    """Return the check of Temporal, which passed: the session has found pollers."""
    from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

    from planning.preflight import checks
    from starter.temporal.session import RPC_TIMEOUT

    info = await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=RPC_TIMEOUT)
    where = client.service_client.config.target_host
    said = f"server {info.server_version} at {where}, namespace {client.namespace}; workers poll {', '.join(queues)}"
    return checks.ok("Temporal", said)
