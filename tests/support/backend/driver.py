"""Brings a backend up on a host as its workflow does, in a few lines: each step as soon as what it needs is done."""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from domain.messages.backend import LoadedProfile, ProgramSearch, PurgeRequest, StepRequest
from domain.ports import BackendHost
from domain.profile import Profile, Step, StepState, StepStatus
from domain.spec import DEFAULT_COORDINATOR_PORT, Backend


class Driver:
    """One backend on one host, and the profile as it was judged last."""

    def __init__(
        self, host: BackendHost, backend: Backend, *, ip: str = "127.0.0.1", port: int = DEFAULT_COORDINATOR_PORT
    ) -> None:
        """Nothing is loaded yet; `ip` and `port` are the coordinator's."""
        self.host = host
        self.loaded = LoadedProfile(profile=Profile(name="none"), repo="")
        self._backend = backend
        self._variables = {"COORDINATOR_EP": ip, "COORDINATOR_PORT": str(port), "CIRCUIT": "block"}

    def load(self, programs: ProgramSearch | None = None) -> LoadedProfile:
        """The profile as the host judges it now."""
        self.loaded = self.host.load(self._backend, self._variables, programs)
        return self.loaded

    def up(self, *, simulated: bool = False) -> dict[str, StepStatus]:
        """What came of each step, in the order of their ends; raises the first failure."""
        loaded = self.load(ProgramSearch(simulated=simulated))
        found: dict[str, StepStatus] = {}
        waiting = list(loaded.profile.steps)
        running: set[Future[StepStatus]] = set()
        with ThreadPoolExecutor() as pool:
            while waiting or running:
                for step in [step for step in waiting if found.keys() >= set(step.needs)]:
                    waiting.remove(step)
                    running.add(pool.submit(self._do, loaded, step, simulated))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                found |= {status.name: status for status in (future.result() for future in done)}
        return found

    def _do(self, loaded: LoadedProfile, step: Step, simulated: bool) -> StepStatus:
        if why := loaded.left_out.get(step.name, ""):
            return StepStatus(name=step.name, kind=step.kind, state=StepState.SKIPPED, detail=why)
        if step.simulated and not simulated:
            self.halt(step.name)
            return StepStatus(name=step.name, kind=step.kind, state=StepState.STOPPED)
        return self.host.run(self._request(loaded, step), lambda _: None)

    def halt(self, name: str) -> list[str]:
        """One step."""
        return self.host.stop(self.loaded.profile.name, [name], lambda _: None)

    def run(self, name: str, timeout: float | None = None) -> StepStatus:
        """Run one step, whatever it needs, within `timeout` seconds in place of the profile's."""
        loaded = self.load()
        step = next(step for step in loaded.profile.steps if step.name == name)
        if timeout is not None:
            step = step.model_copy(update={"timeout": timeout})
        return self.host.run(self._request(loaded, step), lambda _: None)

    def stop(self) -> list[str]:
        """Everything."""
        return self.host.stop(self.loaded.profile.name, None, lambda _: None)

    def purge(self) -> list[str]:
        """The data of the stopped backend."""
        loaded = self.load()
        request = PurgeRequest(
            backend=self._backend, profile=loaded.profile, repo=loaded.repo, variables=self._variables
        )
        return self.host.purge(request, lambda _: None)

    def states(self) -> dict[str, StepState]:
        """The steps that stay, as they stand."""
        return {status.name: status.state for status in self.host.observe(self.loaded.profile.name)}

    def _request(self, loaded: LoadedProfile, step: Step) -> StepRequest:
        return StepRequest(
            backend=self._backend,
            profile=loaded.profile.name,
            repo=loaded.repo,
            step=step,
            variables=self._variables,
            declared=loaded.profile.variables,
            functions=loaded.profile.functions,
            secrets=loaded.profile.secrets,
        )
