"""The steps that the stories share: check, make, apply, wait; each leaves the deployment's record true if it fails."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.commands import Verdict
    from domain.diagnosis import Diagnosis, Severity
    from domain.spec import ClusterSpec
    from domain.status import Observation, Phase, Release
    from domain.steps import (
        Applied,
        ApplyRequest,
        NodesReport,
        NodesRequest,
        RolloutRequest,
        TargetRequest,
    )
    from workflows import timeouts
    from workflows.attempt import Attempts, Stopped
    from workflows.deployment import Deployment
    from workflows.inbox import Result
    from workflows.serving import Watch


def not_deployed(spec: ClusterSpec) -> Diagnosis:
    """The refusal of a command that needs clients."""
    return Diagnosis(
        code="NOT_DEPLOYED",
        what="there are no clients to act on",
        on=f"namespace {spec.namespace}",
        do="deploy first: `proverctl deploy`",
        severity=Severity.REFUSED,
    )


class Site:
    """One command's view of the deployment: its record, the watch over it, and the attempts at it."""

    def __init__(self, deployment: Deployment, watch: Watch, attempts: Attempts, workflow_id: str) -> None:
        """`touched` becomes true with the first change to the world outside the namespace."""
        self.deployment = deployment
        self.watch = watch
        self.attempts = attempts
        self.workflow_id = workflow_id
        self.touched = False
        self.wrote = False
        self.phase_before = deployment.phase
        self.diagnosis_before = deployment.diagnosis

    async def check_target(self, spec: ClusterSpec) -> None:
        """Ours to write to, and the cluster that we think it is."""
        request = TargetRequest(spec=spec, deployment_id=self.workflow_id, cluster_uid=self.deployment.cluster_uid)
        target = await self.attempts.run(timeouts.CHECK_TARGET, request, spec)
        self.deployment.cluster_uid = target.cluster_uid
        self.deployment.warn(target.warnings)

    async def require_nodes(self, spec: ClusterSpec) -> None:
        """Enough nodes now, else refused with the numbers."""
        report = await self._check_nodes(spec, wait=False)
        if report.diagnosis:
            raise Stopped(report.diagnosis)

    async def await_nodes(self, spec: ClusterSpec) -> None:
        """Enough nodes still, or again within the time to retry."""
        try:
            await self._check_nodes(spec, wait=True)
        except Stopped as stop:
            if stop.diagnosis.severity is not Severity.REFUSED:
                raise
            needed = stop.diagnosis.model_copy(update={"severity": Severity.NEEDS_HUMAN})
            raise Stopped(needed) from None

    async def _check_nodes(self, spec: ClusterSpec, *, wait: bool) -> NodesReport:
        report = await self.attempts.run(
            timeouts.CHECK_NODES,
            NodesRequest(spec=spec, replicas=spec.replicas),
            spec,
            summary=f"check the nodes for {spec.replicas} clients",
            lacking=(lambda answer: answer.diagnosis) if wait else None,
        )
        self.deployment.warn(report.warnings)
        return report

    async def converge(self, spec: ClusterSpec, release: Release) -> Applied:
        """Apply, await the rollout, and take the release as the one that serves."""
        applied, seen = await self._apply(spec, release, Phase.APPLYING, Phase.ROLLING_OUT)
        if not seen.complete:
            self.deployment.observe(seen)
            raise Stopped(seen.diagnosis or _incomplete(spec, seen))
        final = release.model_copy(update={"config_hash": applied.config_hash})
        self.deployment.confirm(spec, final, seen)
        return applied

    async def restore(self) -> Observation:
        """Apply the last good release again; Stopped when even that does not come up."""
        spec, release = self.deployment.serving_spec, self.deployment.serving
        if spec is None or release is None:
            raise Stopped(not_deployed(self.deployment.spec))
        _, seen = await self._apply(spec, release, Phase.ROLLING_BACK, Phase.ROLLING_BACK)
        if not seen.complete:
            self.deployment.observe(seen)
            raise Stopped(seen.diagnosis or _incomplete(spec, seen))
        self.deployment.confirm(spec, release, seen)
        return seen

    async def _apply(
        self, spec: ClusterSpec, release: Release, applying: Phase, waiting: Phase
    ) -> tuple[Applied, Observation]:
        deployment = self.deployment
        await self.watch.stop()
        self.wrote = deployment.applied = True  # before the fact: an apply that was cut off may have written
        deployment.spec = spec
        deployment.record(release)
        deployment.replace_clients()
        deployment.enter(applying)
        applied = await self.attempts.run(
            timeouts.APPLY,
            ApplyRequest(
                spec=spec,
                release=release,
                deployment_id=self.workflow_id,
                cluster_uid=deployment.cluster_uid,
                image_user=release.image_user,
            ),
            spec,
            summary=f"apply stage {release.stage} with {release.replicas} clients",
        )
        deployment.warn(applied.warnings)
        deployment.enter(waiting)
        self.watch.start()
        seen = await self.attempts.run(
            timeouts.AWAIT_ROLLOUT,
            RolloutRequest(spec=spec, release=release, generation=applied.generation, replicas=release.replicas),
            spec,
            summary=f"wait until {release.replicas} clients of stage {release.stage} are ready",
        )
        return applied, seen

    def ready(self) -> str:
        """The good end of a story."""
        seen, release = self.deployment.observed, self.deployment.release
        return f"{seen.ready} of {release.replicas} clients ready, stage {release.stage}" if release else ""

    def done(self, *, changed: bool, notes: list[str] | None = None) -> Result:
        """The verdict of a story that came to its end."""
        message = "; ".join([self.ready(), *(notes or [])])
        return Result(Verdict.DONE if changed else Verdict.UNCHANGED, message)


def _incomplete(spec: ClusterSpec, seen: Observation) -> Diagnosis:
    return Diagnosis(
        code="DEADLINE",
        what=f"{seen.ready} of {seen.wanted} clients became ready",
        on=f"namespace {spec.namespace}",
        because=f"the rollout did not end within {spec.progress_deadline} s",
        do="see the pods with `proverctl status`",
    )
