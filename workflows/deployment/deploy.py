"""The story of a deploy: check everything that may refuse, bring up the backend, make the image, roll it out."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain import names
    from domain.commands import Command, Verdict
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
    from workflows.deployment import capacity, rollout
    from workflows.deployment.context import Site
    from workflows.deployment.inbox import Result
    from workflows.execution import activities
    from workflows.execution.attempts import Stopped


async def deploy(site: Site, command: Command) -> Result:
    """Converge to the spec; what is there already is not done again."""
    if command.upgrade is None:
        return Result(Verdict.REFUSED, "a deploy without a spec")
    spec = command.upgrade.spec
    spec, source, profile_name, circuit_dir = await _prepare(site, spec)
    notes: list[str] = []
    if spec.backend_mode is not BackendMode.NONE:
        was_real = bool(site.deployment.backend) and not site.deployment.simulated
        report = await _bring_up_backend(site, spec, profile_name, command.id)
        notes = _news(report, began=was_real and site.deployment.simulated)
        # Again: the set-up may have pulled new commits.
        source = await _read_source(site, spec, after_setup=True)
        spec = _with_schema(spec, source)
    deployment = site.deployment
    deployment.warn(circuit_name.warnings(spec, source))
    release = await _make_release(site, spec, source, circuit_dir)
    deployment.enter(Phase.WAITING)
    spec = await capacity.await_nodes(site, spec)
    release = release.model_copy(update={"replicas": spec.replicas})
    known = _same_as_serving(site, spec, release)
    applied = await rollout.converge(site, spec, known or release)
    return site.done(changed=known is None or applied.changed or bool(notes), notes=notes)


async def _prepare(site: Site, spec: ClusterSpec) -> tuple[ClusterSpec, Source, str, str]:
    """Everything that can say no, before anything is changed anywhere; the spec may come back with fewer clients."""
    deployment = site.deployment
    if not deployment.applied:
        deployment.spec = spec
    deployment.enter(Phase.PREPARING)
    _require_mutable(site, spec)
    spec = await _check_out(site, spec)
    await site.check_target(spec)
    site.shortfall = ""
    spec = await capacity.require_nodes(site, spec)
    profile_name, circuit_dir = "", spec.backend.circuit_dir
    if spec.backend_mode is not BackendMode.NONE or not circuit_dir:
        request = ProfileRequest(backend=spec.backend, variables=built_in(spec, circuit_dir))
        loaded = await site.attempts.run(activities.LOAD_PROFILE, request, spec)
        profile_name, circuit_dir = loaded.profile.name, circuit_dir or loaded.profile.circuit_dir
    source = await _read_source(site, spec)
    return _with_schema(spec, source), source, profile_name, circuit_dir


def _require_mutable(site: Site, spec: ClusterSpec) -> None:
    serving = site.deployment.serving_spec
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


async def _check_out(site: Site, spec: ClusterSpec) -> ClusterSpec:
    """With a work tree on the backend host in place of a repository and ref; everything later is of that commit."""
    asked = spec.backend
    if not asked.apart:
        return spec
    made = await site.attempts.run(
        activities.CHECKOUT_SOURCE,
        CheckoutRequest(repo=asked.repo, ref=asked.ref),
        spec,
        summary=f"check out {asked.asked}",
    )
    site.checked_out = asked.asked
    site.notes.append(f"{asked.asked} is commit {made.commit[:12]}")
    return spec.model_copy(update={"backend": asked.checked_out(made.directory)})


def _with_schema(spec: ClusterSpec, source: Source) -> ClusterSpec:
    """With the schema that this commit's client takes, never AUTO, and the circuit of its backend."""
    try:
        return circuit_name.settle(spec, source)
    except SettingsInvalid as error:
        raise Stopped(error.diagnosis) from None


async def _read_source(site: Site, spec: ClusterSpec, *, after_setup: bool = False) -> Source:
    request = source_request(spec, after_setup=after_setup)
    source = await site.attempts.run(activities.RESOLVE_SOURCE, request, spec)
    if source.dirty:
        site.deployment.warn([f"stage {source.stage} was made from a tree with uncommitted changes"])
    return source


async def _bring_up_backend(site: Site, spec: ClusterSpec, profile_name: str, request_id: str) -> BackendReport:
    site.touched = True
    site.deployment.enter(Phase.BACKEND)
    request = BackendInput(
        backend=spec.backend,
        spec=spec,
        mode=spec.backend_mode,
        profile_name=profile_name,
        request_id=request_id,
    )
    report = await site.attempts.run(
        activities.CONVERGE_BACKEND, request, spec, summary=f"bring up the backend {profile_name}"
    )
    if not report.ok:
        raise Stopped(report.diagnosis or Diagnosis(code="BACKEND_STEP", what="the backend did not come up"))
    site.deployment.warn(report.warnings)
    site.deployment.note_backend(report.workflow_id, spec.backend_mode)
    return report


def _news(report: BackendReport, *, began: bool) -> list[str]:
    """What changed beside the clients; a stopped step with a detail did not run anyway."""
    stopped = [step.name for step in report.steps if step.state is StepState.STOPPED and not step.detail]
    return [
        *(f"stopped {name}, for nothing is simulated now" for name in stopped),
        *(["simulated data is produced now"] if began else []),
    ]


async def _ensure_image(site: Site, spec: ClusterSpec, source: Source, circuit_dir: str) -> Image:
    before, site.touched = site.touched, True
    try:
        return await site.attempts.run(
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
            site.touched = before
        raise


async def _make_release(site: Site, spec: ClusterSpec, source: Source, circuit_dir: str) -> Release:
    deployment = site.deployment
    deployment.enter(Phase.IMAGE)
    image = await _ensure_image(site, spec, source, circuit_dir)
    deployment.warn(image.warnings)
    if image.replaced:
        site.notes.append(f"tag {names.image_tag(source.stage)} moved; it named {image.replaced} before")
    return Release(
        revision=deployment.next_revision(),
        stage=source.stage,
        commit=source.commit,
        submodules=source.submodules,
        checked_out=site.checked_out,
        dirty=source.dirty,
        image=image.reference,
        image_user=image.user,
        lagrange=image.lagrange,
        endpoint=str(spec.coordinator),
        replicas=spec.replicas,
        outcome="deploying",
        at=deployment.now,
    )


def _same_as_serving(site: Site, spec: ClusterSpec, release: Release) -> Release | None:
    """The serving release, when clients could not tell this one from it: then there is no new revision."""
    serving, serving_spec = site.deployment.serving, site.deployment.serving_spec
    if serving is None or serving_spec is None or site.deployment.unconfirmed:
        return None
    if not upgrade.same(serving_spec, spec, serving, release):
        return None
    return serving.model_copy(update={"endpoint": release.endpoint})  # unused under COORDINATOR_SERV, but shown
