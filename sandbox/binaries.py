"""The world's binaries, built once a machine from pinned Go modules into the user's cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import WorldError
from sandbox.go import go_command
from sandbox.settings import Settings

_MODULES = Path(__file__).parent / "modules"
_PROGRESS_SECONDS = 15
NICENESS = 10
"""Of builds on request: a world may be at work beside them."""
_KUBERNETES = "v1.34.4"


@dataclass(frozen=True)
class Module:
    """A directory under `modules/` and what to build from it."""

    name: str
    version: str
    packages: tuple[str, ...]
    estimate: str
    linker_flags: str = "-s -w"
    program: str = ""  # name of the only binary, where the package's own name says too little
    niceness: int = 0  # of the build

    @property
    def directory(self) -> Path:
        """Where its go.mod is."""
        return _MODULES / self.name

    @property
    def programs(self) -> tuple[str, ...]:
        """Names of the binaries."""
        if self.program:
            return (self.program,)
        return tuple(self.name if package == "." else package.rpartition("/")[2] for package in self.packages)

    @property
    def key(self) -> str:
        """Changes with everything that the build depends on."""
        digest = hashlib.sha256(f"{self.packages} {self.linker_flags}{self.program}".encode())
        for path in sorted(self.directory.iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()[:16]


MODULES = (
    Module(
        name="kubernetes",
        version=_KUBERNETES,
        packages=tuple(
            f"k8s.io/kubernetes/cmd/{name}"
            for name in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubectl",
            )
        ),
        estimate="about 12 min on 2 cores",
        linker_flags=(
            f"-s -w -X k8s.io/component-base/version.gitVersion={_KUBERNETES}"
            f" -X k8s.io/client-go/pkg/version.gitVersion={_KUBERNETES}"
        ),
    ),
    Module("coredns", "v1.14.7", (".",), "up to 3 min on 2 cores"),  # our main: the plugins of the Corefile alone
    Module("pause", "1", (".",), "seconds"),
    Module("probe", "1", (".",), "seconds"),
)

# Not built by `up`: what needs one of them calls ensure_built or ensure_binaries.
KWOK = Module("kwok", "v0.8.0", ("sigs.k8s.io/kwok/cmd/kwok",), "about 4 min on 2 cores")  # for fake nodes
COMPOSE = Module(
    name="compose",
    version="v2.40.3",
    packages=("github.com/docker/compose/v2/cmd",),
    estimate="about 3 min on 2 cores",
    linker_flags="-s -w -X github.com/docker/compose/v2/internal.Version=v2.40.3",
    program="docker-compose",
)
REGISTRY = Module(  # the world's own is Debian's docker-registry 2.8
    name="registry",
    version="v3.1.2",
    packages=("github.com/distribution/distribution/v3/cmd/registry",),
    estimate="about 2 min on 2 cores",
    linker_flags="-s -w -X github.com/distribution/distribution/v3/version.version=v3.1.2",
    program="registry3",
    niceness=NICENESS,
)
CRANE = Module(
    name="crane",
    version="v0.22.1",
    packages=("github.com/google/go-containerregistry/cmd/crane",),
    estimate="seconds",
    linker_flags="-s -w -X github.com/google/go-containerregistry/cmd/crane/cmd.Version=v0.22.1",
    niceness=NICENESS,
)
CHECKSUM = Module("checksum", "1", (".",), "seconds", niceness=NICENESS)  # a client that reads all keys


def ensure_binaries(settings: Settings, modules: tuple[Module, ...] = MODULES) -> None:
    """Build what the cache lacks and link all binaries into the world's own `bin`."""
    settings.bin.mkdir(parents=True, exist_ok=True)
    for module in modules:
        built = ensure_built(settings, module)
        for program in module.programs:
            link = settings.bin / program
            if not link.is_symlink() or link.readlink() != built / program:
                link.unlink(missing_ok=True)
                link.symlink_to(built / program)


def ensure_built(settings: Settings, module: Module) -> Path:
    """Directory with the module's binaries, from the cache or built now."""
    target = settings.cache / "bin" / f"{module.name}-{module.key}"
    if target.exists():
        return target
    with _lock(settings.cache / "locks" / f"{module.name}.lock"):
        if target.exists():  # another world built it while we waited
            return target
        unfinished = target.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        print(f"building {module.name} {module.version}: {module.estimate}, once a machine", flush=True)
        _build(settings, module, unfinished)
        unfinished.rename(target)
    return target


def _build(settings: Settings, module: Module, target: Path) -> None:
    command = ["nice", f"-n{module.niceness}", go_command(settings), "build", "-v", "-trimpath", "-buildvcs=false"]
    command += ["-ldflags", module.linker_flags, "-o", f"{target}/{module.program}", *module.packages]
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    log = target.with_suffix(".log")
    start = time.monotonic()
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=module.directory, env=environment, stderr=output) as go,
    ):
        while (code := _wait_a_while(go)) is None:
            packages = len(log.read_text(errors="replace").splitlines())
            print(f"  {module.name}: {packages} packages compiled, {time.monotonic() - start:.0f} s", flush=True)
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise WorldError(
            f"building {module.name} {module.version} failed; its modules come through Go's module proxy"
            f" (see `go env GOPROXY`)\n--- {log}\n{tail}"
        )
    log.unlink()


def _wait_a_while(go: subprocess.Popen[bytes]) -> int | None:
    try:
        return go.wait(timeout=_PROGRESS_SECONDS)
    except subprocess.TimeoutExpired:
        return None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
