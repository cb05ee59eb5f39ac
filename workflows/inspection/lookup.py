"""Two questions of the CLI to a backend's host, each answered by one activity: the profile, and a piece of a log."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages.backend import LoadedProfile, LogChunk, LogRequest, ProfileQuestion, ProfileRequest
    from domain.messages.source import CheckoutRequest
    from domain.spec import BackendMode, ClusterSpec, Endpoint, ImageTarget
    from domain.status import Retry
    from planning.backend.variables import built_in
    from workflows.execution import activities, rejection
    from workflows.execution.activities import Answer, Asked, Work
    from workflows.execution.activity_runner import ActivityRunner, Stopped


class _Lookup:
    """Workflow of one question to a backend host, retried like a command."""

    def __init__(self, spec: ClusterSpec) -> None:
        """`spec` says whom to ask, and how long to go on asking."""
        self._spec = spec
        self._runner = ActivityRunner(spec.retry_for, self._changed)

    async def _ask(self, work: Work[Asked, Answer], request: Asked) -> Answer:
        try:
            return await self._runner.run(work, request, self._spec)
        except Stopped as stop:
            raise rejection.rejection(stop.diagnosis) from None

    def _changed(self) -> None:
        retry = self._runner.retry
        workflow.set_current_details(str(retry.diagnosis) if retry else "")


@workflow.defn
class ProfileWorkflow(_Lookup):
    """Read the profile that a spec names, as its set-up would (id `prover-inspect/profile-<uuid>`)."""

    @workflow.init
    def __init__(self, spec: ProfileQuestion) -> None:
        """Take the host from `spec.backend.host`."""
        super().__init__(spec)

    @workflow.run
    async def run(self, spec: ProfileQuestion) -> LoadedProfile:
        """Return the profile as it would be run; ApplicationError with the diagnosis in its details.

        With `programs` the programs of its steps are looked for, too. Only for a backend that is to be brought up its
        source is checked out anew; else it is read as it is.
        """
        if spec.backend.apart and spec.backend_mode is not BackendMode.NONE:
            asked = CheckoutRequest(repo=spec.backend.repo, ref=spec.backend.ref)
            await self._ask(activities.CHECKOUT_SOURCE, asked)
        return await self._ask(
            activities.LOAD_PROFILE,
            ProfileRequest(
                backend=spec.backend, variables=built_in(spec, spec.backend.circuit_dir), programs=spec.programs
            ),
        )

    @workflow.query
    def retry(self) -> Retry | None:
        """Why there is no answer yet."""
        return self._runner.retry


@workflow.defn
class LogWorkflow(_Lookup):
    """Read a piece of a step's log (id `prover-inspect/log-<uuid>`)."""

    @workflow.init
    def __init__(self, request: LogRequest) -> None:
        """Take the host from `request.backend.host`; nothing else of the spec is used."""
        super().__init__(
            ClusterSpec(coordinator=Endpoint(ip=""), image=ImageTarget(repository=""), backend=request.backend)
        )

    @workflow.run
    async def run(self, request: LogRequest) -> LogChunk:
        """Return the piece of the log within `request.wait` seconds; ApplicationError with the diagnosis."""
        return await self._ask(activities.READ_LOG, request)

    @workflow.query
    def retry(self) -> Retry | None:
        """Why there is no answer yet."""
        return self._runner.retry
