"""Brings a backend up on a host as its workflow does, in a few lines: each step as soon as what it needs is done."""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from domain.ports import BackendHost
from domain.profile import Profile, Step, StepState, StepStatus
from domain.spec import Backend
from domain.steps import LoadedProfile, PurgeRequest, StepRequest

_VARIABLES = {"COORDINATOR_EP": "127.0.0.1", "COORDINATOR_PORT": "50055", "CIRCUIT": "block"}


class Driver:
    """One backend on one host, and the profile as it was judged last."""

    def __init__(self, host: BackendHost, backend: Backend) -> None:
        """Nothing is loaded yet."""
        self.host = host
        self.loaded = LoadedProfile(profile=Profile(name="none"), repo="")
        self._backend = backend

    def load(self) -> LoadedProfile:
        """The profile as the host judges it now."""
        self.loaded = self.host.load(self._backend, _VARIABLES)
        return self.loaded

    def up(self, *, simulated: bool = False) -> dict[str, StepStatus]:
        """What came of each step, in the order of their ends; raises the first failure."""
        loaded = self.load()
        found = {
            step.name: StepStatus(
                name=step.name, kind=step.kind, state=StepState.SKIPPED, detail=loaded.left_out[step.name]
            )
            for step in loaded.profile.steps
            if step.name in loaded.left_out
        }
        waiting = [
            step for step in loaded.profile.steps if step.name not in found and (simulated or not step.simulated)
        ]
        running: set[Future[StepStatus]] = set()
        with ThreadPoolExecutor() as pool:
            while waiting or running:
                for step in [step for step in waiting if found.keys() >= set(step.needs)]:
                    waiting.remove(step)
                    running.add(pool.submit(self.host.run, self._request(loaded, step), lambda _: None))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                found |= {status.name: status for status in (future.result() for future in done)}
        return found

    def run(self, name: str) -> StepStatus:
        """One step, whatever it needs."""
        loaded = self.load()
        step = next(step for step in loaded.profile.steps if step.name == name)
        return self.host.run(self._request(loaded, step), lambda _: None)

    def stop(self) -> list[str]:
        """Everything."""
        return self.host.stop("fluidex", None, lambda _: None)

    def purge(self) -> list[str]:
        """The data of the stopped backend."""
        loaded = self.load()
        request = PurgeRequest(backend=self._backend, profile=loaded.profile, repo=loaded.repo, variables=_VARIABLES)
        return self.host.purge(request, lambda _: None)

    def states(self) -> dict[str, StepState]:
        """The steps that stay, as they stand."""
        return {status.name: status.state for status in self.host.observe("fluidex")}

    def _request(self, loaded: LoadedProfile, step: Step) -> StepRequest:
        return StepRequest(
            backend=self._backend,
            profile=loaded.profile.name,
            repo=loaded.repo,
            step=step,
            variables=_VARIABLES,
            declared=loaded.profile.variables,
            functions=loaded.profile.functions,
            secrets=loaded.profile.secrets,
        )
