"""Environment that a backend's programs inherit from the worker: enough to build and run, no secrets."""

from collections.abc import Mapping

_NAMES = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "TERM",
        "DOCKER_HOST",
        "DOCKER_TLS_VERIFY",
        "DOCKER_CERT_PATH",
        "DOCKER_CONTEXT",
        "DOCKER_BUILDKIT",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "all_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "GOBIN",
        "GOCACHE",
        "GOENV",
        "GOFLAGS",
        "GOINSECURE",
        "GOMODCACHE",
        "GOMAXPROCS",
        "GONOPROXY",
        "GONOSUMDB",
        "GONOSUMCHECK",
        "GOPATH",
        "GOPRIVATE",
        "GOPROXY",
        "GOROOT",
        "GOSUMDB",
        "GOTMPDIR",
        "GOTOOLCHAIN",
        "GOVCS",
        "GOWORK",
        "CGO_ENABLED",
        "CC",
        "CXX",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "NVM_DIR",
        "JAVA_HOME",
        "VIRTUAL_ENV",
    }
)
_PREFIXES = ("LC_", "XDG_")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the allowed part of the worker's environment, always with a PATH."""
    kept = {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}
    return {"PATH": _PATH} | kept
