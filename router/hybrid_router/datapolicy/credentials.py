"""Detectors of secrets: keys and tokens of well-known forms, and what stands behind `password=`.

Sources of the forms: the issuers' documentation of their token prefixes.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from hybrid_router.datapolicy.detector import BEGIN, RIGHT, Detector, Strength, always

_sure = always(Strength.STRONG)


def _token(
    type_: str, trigger: bytes, expression: bytes, back: int = 48, ahead: int = 260
) -> Detector:
    """Return the detector of a token with a prefix of its own."""
    return Detector(
        type_,
        re.compile(rb"(?:(?<![0-9A-Za-z])|(?<=\\[nrt]))(?:" + expression + rb")(?![0-9A-Za-z])"),
        _sure,
        words=(trigger,),
        back=back,
        ahead=ahead,
    )


# What stands behind a word such as password.

_KEYWORDS = (
    rb"passwor[dt]|passwd|passwort|kennwort|passphrase|pwd|secret|api[_-]?key|apikey|access[_-]?key|"
    rb"auth[_-]?token|access[_-]?token|refresh[_-]?token|client[_-]?secret|private[_-]?key|"
    rb"secret[_-]?key|api[_-]?token|bot[_-]?token|credentials?|\bpass\b|\btoken\b|"
    rb"mot de passe|mdp|contrase\xc3\xb1a|clave|senha|wachtwoord|has\xc5\x82o|haslo|parola|"
    rb"m\xe1\xba\xadt kh\xe1\xba\xa9u|\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c|"
    rb"\xe5\xaf\x86\xe7\xa0\x81|\xe3\x83\x91\xe3\x82\xb9\xe3\x83\xaf\xe3\x83\xbc\xe3\x83\x89|"
    rb"\xeb\xb9\x84\xeb\xb0\x80\xeb\xb2\x88\xed\x98\xb8"
)
_BETWEEN = (
    rb"\\?[\"']?(?:\s{0,2}(?::=|=>|[:=]|\xef\xbc\x9a)\s{0,2}"
    rb"| (?:is|ist|lautet|est|es|\xc3\xa8|to|jest|l\xc3\xa0):? )\\?[\"'`]?"
)
_FIELD = rb"\x00(?=[^\s\x00]{8,128}[\x00\n])"
"""Between a field's name and its value, of one word, or between two short texts of a list."""
_VALUE = rb"(?P<v>[^\s\"'`,;<>\x00(){}\[\]\\]{6,128})"
_KEY_VALUE = re.compile(
    rb"(?:" + _KEYWORDS + rb")(?:" + _BETWEEN + rb"|" + _FIELD + rb")" + _VALUE, re.IGNORECASE
)
_ACCESSOR = re.compile(
    r"(?i)(?:\$|%|\{|<|\*{3}|x{4}|\.{3}|process\.env|os\.|env\.|self\.|settings\.|config\.|args\.|"
    r"request\.|getenv|null|none|true|false|undefined|changeme$|redacted|required|your[_-]|example$|"
    r"[a-z_]+\.[a-z_.]+$|https?://|/|\w+_id$)"
)
_ENTROPY = 2.5
"""Bits per character; words of a language and counters lie below."""


def _password(text: str, buffer: bytes, start: int, end: int) -> Strength:
    """Judge a value: no variable, no placeholder, no plain word."""
    if _ACCESSOR.match(text) or buffer[end : end + 1] in {b"(", b"["}:
        return Strength.NONE
    kinds = (
        any(c.isdigit() for c in text)
        + any(c.isalpha() for c in text)
        + any(not c.isalnum() for c in text.rstrip(".!?"))
        + (text != text.lower() and text != text.upper() and not text.istitle())
    )
    if kinds < 2 or _entropy(text) < _ENTROPY:  # noqa: PLR2004  of four
        return Strength.NONE
    if text.isascii() and text.replace("_", "").isalpha() and "_" in text:
        return Strength.NONE  # the name of a variable
    del start
    return Strength.STRONG


def _entropy(text: str) -> float:
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def _credentials(text: str, _buffer: bytes, _start: int, _end: int) -> Strength:
    return Strength.NONE if _ACCESSOR.match(text) else Strength.STRONG


DETECTORS: tuple[Detector, ...] = (
    Detector(
        "private-key",
        words=(rb"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY",),
        form=re.compile(
            rb"-----BEGIN ([A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?)-----"
            rb"(?:(?:[A-Za-z0-9+/=:,.()@\s]++|\\[nr]|-(?!----))*+-----END \1-----"
            rb"|(?:[A-Za-z0-9+/=\s]++|\\[nr])*+)"  # it ends nowhere, or another one begins
        ),
        judge=_sure,
        back=64,
        ahead=12_200,
    ),
    _token(
        "aws-access-key",
        rb"A(?:KIA|SIA|ROA|IDA|BIA|CCA)[A-Z2-7]{16}" + RIGHT,
        rb"A(?:KIA|SIA|ROA|IDA|BIA|CCA)[A-Z2-7]{16}",
    ),
    Detector(
        "aws-secret-key",
        words=(rb"(?:secret_?access_?key|aws_?secret(?:_?key)?)[\"' ]{0,2}[:=]",),
        form=re.compile(
            rb"(?i:secret_?access_?key|aws_?secret(?:_?key)?)[\"' ]{0,2}[:=][\"' =>]{0,4}"
            rb"(?P<v>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
        ),
        judge=_sure,
        ahead=64,
        ignore_case=True,
    ),
    _token("github-token", rb"gh[pousr]_[A-Za-z0-9]{20}", rb"gh[pousr]_[A-Za-z0-9]{30,255}"),
    _token("github-token", rb"github_pat_[A-Za-z0-9_]{20}", rb"github_pat_[A-Za-z0-9_]{22,255}"),
    _token(
        "gitlab-token",
        rb"gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt)-[A-Za-z0-9_\-]{10}",
        rb"gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt)-[A-Za-z0-9_\-]{18,128}",
    ),
    _token(
        "slack-token",
        rb"xox[abeoprs]-[A-Za-z0-9\-]{10}",
        rb"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9\-]{10,250}",
    ),
    _token("slack-token", rb"xapp-\d-[A-Z0-9]{6}", rb"xapp-\d-[A-Z0-9]++-\d++-[a-f0-9]++"),
    Detector(
        "slack-webhook",
        words=(rb"hooks\.slack\.com/(?:services|workflows)/[A-Z]",),
        ahead=128,
        form=re.compile(
            rb"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_\-]{20,120}"
        ),
        judge=_sure,
    ),
    _token("anthropic-key", rb"sk-ant-[A-Za-z0-9_\-]{10}", rb"sk-ant-[A-Za-z0-9_\-]{20,220}"),
    _token(
        "openai-key",
        rb"sk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_\-]{20}",
        rb"sk-(?!ant-)(?:proj-|svcacct-|admin-|None-|or-v1-)?[A-Za-z0-9][A-Za-z0-9_\-]{18,250}[A-Za-z0-9_\-]",
    ),
    _token("google-api-key", rb"AIza[0-9A-Za-z_\-]{35}", rb"AIza[0-9A-Za-z_\-]{35}"),
    _token("google-oauth-token", rb"GOCSPX-[0-9A-Za-z_\-]{20}", rb"GOCSPX-[0-9A-Za-z_\-]{20,40}"),
    _token("google-oauth-token", rb"ya29\.[0-9A-Za-z_\-]{20}", rb"ya29\.[0-9A-Za-z_\-]{20,250}"),
    _token(
        "stripe-key",
        rb"[srp]k_(?:live|test)_[0-9A-Za-z]{10}",
        rb"[srp]k_(?:live|test)_[0-9A-Za-z]{10,250}",
    ),
    _token("stripe-key", rb"whsec_[0-9A-Za-z]{20}", rb"whsec_[0-9A-Za-z+/=]{24,64}"),
    Detector(
        "azure-key",
        words=(rb"(?:AccountKey|SharedAccessKey|sig)=[A-Za-z0-9+/%]{30}",),
        form=re.compile(
            rb"(?:AccountKey|SharedAccessKey|(?<=[?&])sig)=(?P<v>[A-Za-z0-9+/%]{30,100}={0,2})"
        ),
        judge=_sure,
        back=64,
        ahead=128,
    ),
    _token(
        "azure-key",
        rb"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31}",
        rb"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,34}",
    ),
    _token("npm-token", rb"npm_[A-Za-z0-9]{30}", rb"npm_[A-Za-z0-9]{30,64}"),
    _token("pypi-token", rb"pypi-[A-Za-z0-9_\-]{30}", rb"pypi-[A-Za-z0-9_\-]{30,250}"),
    _token("huggingface-token", rb"hf_[A-Za-z]{30}", rb"hf_[A-Za-z0-9]{30,64}"),
    _token("huggingface-token", rb"hf_[A-Za-z0-9]{34}", rb"hf_[A-Za-z0-9]{34,64}"),
    _token(
        "sendgrid-key",
        rb"SG\.[A-Za-z0-9_\-]{20}",
        rb"SG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{16,64}",
    ),
    _token("twilio-key", rb"(?:SK|AC)[0-9a-f]{32}" + RIGHT, rb"(?:SK|AC)[0-9a-f]{32}"),
    _token("digitalocean-token", rb"do[opr]_v1_[a-f0-9]{20}", rb"do[opr]_v1_[a-f0-9]{64}"),
    _token("databricks-token", rb"dapi[a-f0-9]{32}", rb"dapi[a-f0-9]{32}(?:-\d)?"),
    _token(
        "shopify-token",
        rb"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
        rb"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    ),
    _token("telegram-token", rb"\d{8,10}:AA[A-Za-z0-9_\-]{33}", rb"\d{8,10}:AA[A-Za-z0-9_\-]{33}"),
    _token("vault-token", rb"hv[sbr]\.[A-Za-z0-9_\-]{20}", rb"hv[sbr]\.[A-Za-z0-9_\-]{24,250}"),
    _token(
        "docker-token",
        rb"dckr_(?:pat|oat)_[A-Za-z0-9_\-]{20}",
        rb"dckr_(?:pat|oat)_[A-Za-z0-9_\-]{20,64}",
    ),
    _token("groq-key", rb"(?:gsk_|xai-)[A-Za-z0-9]{30}", rb"(?:gsk_|xai-)[A-Za-z0-9]{30,100}"),
    _token("linear-key", rb"lin_api_[A-Za-z0-9]{30}", rb"lin_api_[A-Za-z0-9]{30,64}"),
    _token("age-key", rb"AGE-SECRET-KEY-1[A-Z0-9]{20}", rb"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    Detector(
        "jwt",
        words=(rb"\.eyJ[A-Za-z0-9_\-]{4}",),
        form=re.compile(
            BEGIN
            + rb"(?:(?P<v>eyJ[A-Za-z0-9_\-]{8,}+\.eyJ[A-Za-z0-9_\-]{4,6000}+(?![A-Za-z0-9_\-])"
            rb"(?:\.[A-Za-z0-9_\-]{4,2000}+(?![A-Za-z0-9_\-]))?)"
            rb"|eyJ[A-Za-z0-9_\-]++)"  # none, and nothing in it need be looked at
        ),
        judge=_sure,
        back=2010,
        ahead=8100,
    ),
    Detector(
        "password",
        words=(rb"://[^\s:/@\x00\"'<>]{0,40}:[^\s@/\x00\"'<>]{3,64}@",),
        form=re.compile(rb"://[^\s:/@\x00\"'<>]{0,40}:(?P<v>[^\s@/\x00\"'<>]{3,64})@"),
        judge=_credentials,
        back=112,
        ahead=2,
    ),
    Detector(
        "password",
        words=(rb"(?:" + _KEYWORDS + rb")(?:" + _BETWEEN + rb"|\x00)[^\s\"'`,;<>(){}\[\]]",),
        form=_KEY_VALUE,
        judge=_password,
        back=48,
        ahead=140,
        ignore_case=True,
    ),
    Detector(
        "bearer-token",
        words=(
            rb"bearer [A-Za-z0-9._~+/\-]{4}",
            rb"authorization[\"']?: ?[\"']?(?:basic|token) [A-Za-z0-9]",
        ),
        form=re.compile(
            rb"(?i:authorization[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?:bearer|basic|token)|bearer) "
            rb"(?P<v>[A-Za-z0-9._~+/\-]{20,2000}+={0,2})"
        ),
        judge=_credentials,
        back=64,
        ahead=2010,
        ignore_case=True,
    ),
)
