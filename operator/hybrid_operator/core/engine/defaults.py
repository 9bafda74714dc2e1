"""What the operator chooses for engines where the resource says nothing.

A change of these values restarts no engine that runs: its Deployment carries the pod template that
was rendered for it (`objects.record`), and newer values are offered by the condition
UpdateAvailable. Raise `revision` with every change.
"""

from __future__ import annotations

import msgspec

from hybrid_operator.core.engine.version import Version


class EngineDefaults(msgspec.Struct, frozen=True):
    """One set of choices. Times in seconds."""

    revision: int
    version: Version
    """The vLLM release that this operator was tested with."""
    image: str = "vllm/vllm-openai:v{version}"
    cpu_image: str = "vllm/vllm-openai-cpu:v{version}"
    amd_image: str = "vllm/vllm-openai-rocm:v{version}"
    max_length: int = 8192
    """Tokens; less where the model was trained for less."""
    startup: int = 1800
    """From the container's start to the first answer: download, load, compile and capture."""
    progress_deadline: int = 3600
    """Above `startup`, because finding a node and pulling the image (10 GB) come before it."""
    pre_stop: int = 15
    """Time in which routers learn that the pod leaves; vLLM's /health does not say so."""
    shutdown: int = 45
    """Time that vLLM gives requests under way."""
    grace: int = 75
    """Above `pre_stop` + `shutdown`, else the kubelet cuts them short."""
    cpu_kv_cache_gib: int = 1
    gpu_memory_request_gib: int = 6
    """Host memory of the engine's processes, offloads not counted."""
    cpu_memory_request_gib: int = 4
    gpu_cpu_request: str = "2"
    cpu_cpu_request: str = "1"
    shared_memory: str = "8Gi"
    """Upper bound of /dev/shm; the container runtime's 64 MiB stop vLLM. Only what is used
    counts."""


CURRENT = EngineDefaults(revision=1, version=Version(0, 32))
