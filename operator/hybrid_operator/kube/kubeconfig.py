"""Kubeconfig files as kubectl reads them: KUBECONFIG may name several, which are merged.

lightkube reads one file. Messages name the file and the place, and never quote it: it holds keys.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml
from lightkube.config.kubeconfig import DEFAULT_KUBECONFIG, SERVICE_ACCOUNT, KubeConfig
from lightkube.core.exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightkube.config.kubeconfig import SingleConfig

_LISTS = ("clusters", "contexts", "users")
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Fields of a cluster or user that are paths, relative to the file that they stand in."""


class ConnectError(Exception):
    """There is no usable configuration; the message says what to do."""


def configuration(
    context: str | None = None, environ: Mapping[str, str] = os.environ
) -> SingleConfig:
    """Return the configuration of `context`, else the current one.

    A service account wins where one is mounted and no context is named, then KUBECONFIG, then
    ~/.kube/config.

    Raises:
        ConnectError: there is none, or it cannot be used; the message names the file.
    """
    if context is None and Path(SERVICE_ACCOUNT, "token").is_file():
        try:
            config = KubeConfig.from_service_account().get()
        except (ConfigError, KeyError, OSError) as error:
            raise ConnectError(f"the pod's service account cannot be used: {error}") from None
    else:
        config = _chosen(_files(environ), context)
    if config is None or config.user is None:
        raise ConnectError(f"context {context or 'in force'} names no user")
    user = config.user
    certificate = user.client_cert or user.client_cert_data
    key = user.client_key or user.client_key_data
    if bool(certificate) != bool(key):
        raise ConnectError(
            f"{config.fname}: context {config.context_name}: a client certificate and its key "
            "belong together, and one is missing"
        )
    return config


def _files(environ: Mapping[str, str]) -> list[Path]:
    """Return the files that are there, as kubectl does: those that are missing are passed over.

    Raises:
        ConnectError: none of them is there.
    """
    stated = [each for each in environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    paths = [Path(each).expanduser() for each in stated or [DEFAULT_KUBECONFIG]]
    found = [each for each in paths if each.exists()]
    if found:
        return found
    missing = ", ".join(map(str, paths))
    whose = "KUBECONFIG names" if stated else "KUBECONFIG is not set, and the default is"
    raise ConnectError(
        f"no way to reach a cluster: {whose} {missing}, which is not there; "
        "set KUBECONFIG to a kubeconfig file, or run in a pod"
    )


def _chosen(paths: list[Path], context: str | None) -> SingleConfig | None:
    merged: dict[str, Any] = {}
    for path in paths:
        _add(merged, _read(path))
    config = KubeConfig.from_dict(merged, fname=paths[0])
    where = ", ".join(map(str, paths))
    name = context or config.current_context
    if not name:
        raise ConnectError(f"{where}: no current context; kubectl config use-context sets one")
    if name not in config.contexts:
        known = ", ".join(sorted(config.contexts)) or "none"
        raise ConnectError(f"{where}: there is no context {name!r}; there are {known}")
    try:
        return config.get(name)
    except KeyError as error:
        raise ConnectError(f"{where}: context {name} names {error}, which is not there") from None


def _add(merged: dict[str, Any], document: dict[str, Any]) -> None:
    """Add what is not there yet: the first file that says something wins."""
    if document.get("current-context") and "current-context" not in merged:
        merged["current-context"] = document["current-context"]
    for key in _LISTS:
        entries = merged.setdefault(key, [])
        known = {each["name"] for each in entries}
        entries += [each for each in document.get(key) or () if each["name"] not in known]


def _read(path: Path) -> dict[str, Any]:
    """Read one file, with the paths in it made absolute.

    Raises:
        ConnectError: it cannot be read, or is no kubeconfig.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConnectError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConnectError(f"{path}: is no kubeconfig: not text in UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConnectError(f"{path}: is no kubeconfig: not YAML{place}") from None
    if document is None:
        return {}
    if not isinstance(document, dict) or not any(key in document for key in _LISTS):
        raise ConnectError(f"{path}: is no kubeconfig: it has no {', '.join(_LISTS)}")
    try:
        _check(document, path)
    except (AttributeError, KeyError, TypeError) as error:
        raise ConnectError(f"{path}: is no kubeconfig: an entry lacks {error}") from None
    except msgspec.MsgspecError as error:
        raise ConnectError(f"{path}: is no kubeconfig: {error}") from None
    return document


def _check(document: dict[str, Any], path: Path) -> None:
    for kind in ("cluster", "user"):
        for entry in document.get(f"{kind}s") or ():
            fields = entry[kind]
            for each in _FILES:
                if fields.get(each):
                    fields[each] = str(path.absolute().parent / fields[each])
    KubeConfig.from_dict({key: document.get(key) or [] for key in _LISTS}, fname=path)
