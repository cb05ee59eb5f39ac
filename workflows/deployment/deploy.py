"""The story of a deploy: check everything that may refuse, bring up the backend, make the image, roll it out."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain import names
    from domain.commands import Command, Upgrade, Verdict
    from domain.diagnosis import Diagnosis, Severity
    from domain.errors import SettingsInvalid
    from domain.messages.backend import BackendInput, BackendReport, ProfileRequest
    from domain.messages.image import Image, ImageRequest
    from domain.messages.source import CheckoutRequest, Source
    from domain.profile import StepState
    from domain.spec import BackendMode, ClusterSpec
    from domain.status import Phase, Release
    from planning.backend.variables import built_in, source_request
    from planning.manifests import circuit_name, upgrade
    from planning.plan import intent, proofs
    from workflows.deployment import capacity, rollout
    from workflows.deployment.context import CommandContext
    from workflows.deployment.inbox import Result
    from workflows.execution import activities
    from workflows.execution.activity_runner import Stopped


async def deploy(context: CommandContext, command: Command) -> Result:
    """Converge to the spec; what is there already is not done again."""
    if command.upgrade is None:
        return Result(Verdict.REFUSED, "a deploy without a spec")
    context.deployment.told = []
    spec, marks = _intended(context, command.upgrade)
    spec, source, profile_name, circuit_dir = await _prepare(context, spec)
    notes: list[str] = []
    if spec.backend_mode is not BackendMode.NONE:
        was_real = bool(context.deployment.backend) and not context.deployment.simulated
        report = await _bring_up_backend(context, spec, profile_name, command.id)
        notes = _news(report, began=was_real and context.deployment.simulated)
        # Again: the set-up may have pulled new commits.
        source = await _read_source(context, spec, after_setup=True)
        spec = _with_schema(spec, source)
    deployment = context.deployment
    deployment.warn(circuit_name.warnings(spec, source))
    release = await _make_release(context, spec, source, circuit_dir)
    deployment.enter(Phase.WAITING)
    spec = await capacity.await_nodes(context, spec)
    release = release.model_copy(update=marks | {"replicas": spec.replicas})
    known = _same_as_serving(context, spec, release)
    if known is None:
        deployment.keep_sound()
    if known is None and _ends_clients(context, spec, release):
        notes.append(proofs.ENDED)
    applied = await rollout.converge(context, spec, known or release)
    if known is None:
        deployment.outdate_warnings()
    return context.done(changed=known is None or applied.changed or bool(notes), notes=notes)


def _intended(context: CommandContext, asked: Upgrade) -> tuple[ClusterSpec, dict[str, object]]:
    """Return the spec with the number and endpoint that earlier commands set, and the marks of who set them."""
    deployment = context.deployment
    if not asked.given:
        return asked.spec, {}
    running = deployment.release if deployment.applied else None
    kept = intent.settled(asked.spec, asked.given, running, context.by())
    context.notes += kept.notes
    return kept.spec, kept.marks


async def _prepare(context: CommandContext, spec: ClusterSpec) -> tuple[ClusterSpec, Source, str, str]:
    """Everything that can say no, before anything is changed anywhere; the spec may come back with fewer clients."""
    deployment = context.deployment
    if not deployment.applied:
        deployment.spec = spec
    deployment.enter(Phase.PREPARING)
    _require_mutable(context, spec)
    spec = await _check_out(context, spec)
    await context.check_target(spec)
    context.shortfall = ""
    spec = await capacity.require_nodes(context, spec)
    profile_name, circuit_dir = "", spec.backend.circuit_dir
    if spec.backend_mode is not BackendMode.NONE or not circuit_dir:
        request = ProfileRequest(backend=spec.backend, variables=built_in(spec, circuit_dir))
        loaded = await context.runner.run(activities.LOAD_PROFILE, request, spec)
        profile_name, circuit_dir = loaded.profile.name, circuit_dir or loaded.profile.circuit_dir
    source = await _read_source(context, spec)
    return _with_schema(spec, source), source, profile_name, circuit_dir


def _require_mutable(context: CommandContext, spec: ClusterSpec) -> None:
    serving = context.deployment.serving_spec
    if serving is None:
        return
    sentences = upgrade.immutable_changes(serving, spec)
    if sentences:
        raise Stopped(
            Diagnosis(
                code="IMMUTABLE",
                what=" ".join(sentences),
                on=f"namespace {spec.namespace}",
                do="keep the value, or tear down first",
                severity=Severity.REFUSED,
            )
        )


async def _check_out(context: CommandContext, spec: ClusterSpec) -> ClusterSpec:
    """With a work tree on the backend host in place of a repository and ref; everything later is of that commit."""
    asked = spec.backend
    if not asked.apart:
        return spec
    made = await context.runner.run(
        activities.CHECKOUT_SOURCE,
        CheckoutRequest(repo=asked.repo, ref=asked.ref),
        spec,
        summary=f"check out {asked.asked}",
    )
    context.checked_out = asked.asked
    context.notes.append(f"{asked.asked} is commit {made.commit[:12]}")
    return spec.model_copy(update={"backend": asked.checked_out(made.directory)})


def _with_schema(spec: ClusterSpec, source: Source) -> ClusterSpec:
    """With the schema that this commit's client takes, never AUTO, and the circuit of its backend."""
    try:
        return circuit_name.settle(spec, source)
    except SettingsInvalid as error:
        raise Stopped(error.diagnosis) from None


async def _read_source(context: CommandContext, spec: ClusterSpec, *, after_setup: bool = False) -> Source:
    request = source_request(spec, after_setup=after_setup)
    return await context.runner.run(activities.RESOLVE_SOURCE, request, spec)


async def _bring_up_backend(
    context: CommandContext, spec: ClusterSpec, profile_name: str, request_id: str
) -> BackendReport:
    context.touched = True
    context.deployment.enter(Phase.BACKEND)
    request = BackendInput(
        backend=spec.backend,
        spec=spec,
        mode=spec.backend_mode,
        profile_name=profile_name,
        request_id=request_id,
    )
    report = await context.runner.run(
        activities.CONVERGE_BACKEND, request, spec, summary=f"bring up the backend {profile_name}"
    )
    if not report.ok:
        raise Stopped(report.diagnosis or Diagnosis(code="BACKEND_STEP", what="the backend did not come up"))
    context.deployment.warn(report.warnings)
    context.deployment.note_backend(report.workflow_id, spec.backend_mode)
    return report


def _news(report: BackendReport, *, began: bool) -> list[str]:
    """Return what changed beside the clients; a stopped step with a detail was not running before."""
    stopped = [step.name for step in report.steps if step.state is StepState.STOPPED and not step.detail]
    return [
        *(f"stopped {name}, for nothing is simulated now" for name in stopped),
        *(["simulated data is produced now"] if began else []),
    ]


async def _ensure_image(context: CommandContext, spec: ClusterSpec, source: Source, circuit_dir: str) -> Image:
    before, context.touched = context.touched, True
    try:
        return await context.runner.run(
            activities.ENSURE_IMAGE,
            ImageRequest(
                backend=spec.backend,
                circuit_dir=circuit_dir,
                source=source,
                target=spec.image,
                force_tag=spec.force_tag,
                config_schema=spec.config_schema,
            ),
            spec,
            summary=f"build and push the image of stage {source.stage}",
        )
    except Stopped as stop:
        if stop.diagnosis.severity is Severity.REFUSED:  # by the registry's tag, before a byte was sent
            context.touched = before
        raise


async def _make_release(context: CommandContext, spec: ClusterSpec, source: Source, circuit_dir: str) -> Release:
    deployment = context.deployment
    deployment.enter(Phase.IMAGE)
    image = await _ensure_image(context, spec, source, circuit_dir)
    deployment.warn(image.warnings)
    if image.replaced:
        context.notes.append(f"tag {names.image_tag(source.stage)} moved; it named {image.replaced} before")
    return Release(
        revision=deployment.next_revision(),
        stage=source.stage,
        commit=source.commit,
        submodules=source.submodules,
        checked_out=context.checked_out,
        dirty=source.dirty,
        image=image.reference,
        image_user=image.user,
        lagrange=image.lagrange,
        endpoint=str(spec.coordinator),
        replicas=spec.replicas,
        outcome="deploying",
        at=deployment.now,
    )


def _ends_clients(context: CommandContext, spec: ClusterSpec, release: Release) -> bool:
    """Whether clients that serve are replaced or removed."""
    serving, serving_spec = context.deployment.serving, context.deployment.serving_spec
    if serving is None or serving_spec is None or not serving.replicas:
        return False
    return release.replicas < serving.replicas or upgrade.replaces(serving_spec, spec, serving, release)


def _same_as_serving(context: CommandContext, spec: ClusterSpec, release: Release) -> Release | None:
    """Return the serving release when the new one makes no difference to clients: no new revision is made."""
    serving, serving_spec = context.deployment.serving, context.deployment.serving_spec
    if serving is None or serving_spec is None or context.deployment.unconfirmed:
        return None
    if not upgrade.same(serving_spec, spec, serving, release):
        return None
    # The endpoint is unused under COORDINATOR_SERV, but shown; who set what is in no object.
    return intent.carried(serving, release)
