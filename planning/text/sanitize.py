"""Clean text from elsewhere before it is shown: no terminal escapes, nothing that looks like a credential."""

import re

MASK = "***"

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # operating system commands: titles, links, clipboard
    r"|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?"  # device control and other strings
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # control sequences: colours, cursor
    r"|\x1b[ -/]*[0-~]?"  # the other two- and three-byte sequences
)
# Control characters but tab and newline, and those that turn the direction of the text or hide in it.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")

_SENSITIVE_WORD = (
    r"(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|credential|identitytoken)s?"
)
_CREDENTIALS = [
    # scheme://user:password@host, and a token without a user
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#'\"<>]+@", re.IGNORECASE), rf"\1{MASK}@"),
    # the same with a password that was not escaped; host:port/repository@digest is none
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@:]+:(?!\d+/)[^\s'\"<>]*@", re.IGNORECASE), rf"\1{MASK}@"),
    # Authorization, X-Registry-Auth and their kind, as headers, in a dict's repr or in JSON
    (
        re.compile(
            r"((?:proxy-)?authorization|x-registry-(?:auth|config))(['\"]?\s*[:=]\s*['\"]?)"
            r"(?:(?:basic|bearer|digest|negotiate)\s+[^\s'\",;]+|(?=\S*\d)[^\s'\",;]{6,}|[^\s'\",;]{16,})",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"\b(basic|bearer)\s+[A-Za-z0-9+/_.~-]{8,}=*", re.IGNORECASE), rf"\1 {MASK}"),
    # "password": "…" in JSON, 'auth': '…' in a dict's repr, also with escaped quotes
    (
        re.compile(
            rf"""(\\?["'](?:auth|\.dockerconfigjson|[\w.-]*?{_SENSITIVE_WORD})\\?["']\s*:\s*\\?["'])[^"'\\\n]*""",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    # PASSWORD=…, --token=…, password: …
    (
        re.compile(
            rf"(\b[\w-]*{_SENSITIVE_WORD}\s*=\s*|\b[\w-]*{_SENSITIVE_WORD}:\s+)(?![*]{{3}})[^\s,;&'\"]+", re.IGNORECASE
        ),
        rf"\1{MASK}",
    ),
    # base64 of '{"auths"', '{"auth"' and '{ "auths"': a whole docker configuration
    (re.compile(r"\b(?:eyJhdXRo|eyAiYXV0aH|ewogICJhdXRo|ewoJImF1dGhz)[A-Za-z0-9+/_-]*=*"), MASK),
    # JSON web tokens: service accounts, identity providers
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
]


def printable(text: str) -> str:
    """Remove escape sequences and control characters; newlines and tabs stay."""
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", unified))


def scrub(text: str) -> str:
    """Return printable text with everything masked that looks like a credential; idempotent."""
    cleaned = printable(text)
    for pattern, replacement in _CREDENTIALS:
        cleaned = pattern.sub(replacement, cleaned)
    return cleaned


def one_line(text: str, limit: int = 800) -> str:
    """Return scrubbed text on one line of at most `limit` characters; longer text loses its middle.

    Errors wrapped in errors, as kubelet's are, begin with the object and end with the cause.
    """
    joined = " ".join(scrub(text).split())
    if len(joined) <= limit:
        return joined
    head = limit // 3
    return joined[:head] + "…" + joined[len(joined) - (limit - head - 1) :]
