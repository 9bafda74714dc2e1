"""The demo's story, step by step. It exits with 0 only if everything was as claimed."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from demo import kube, prompts
from demo.console import Console, DemoError

EXAMPLE = Path("examples") / "demo-cpu.yaml"
NAMESPACE = "hinf-demo"
NAME = "demo"
EXTERNAL_MANIFEST = Path("demo") / "external.yaml"
EXTERNAL = "hinf-demo-external"
EXTERNAL_URL = f"http://external-llm.{EXTERNAL}.svc"
SYSTEM = "hybridinference-system"
RELEASE = "hybridinference"
BASE = "localhost/hinf-base:bookworm"
"""The image that the example's engine runs in; in a registry of the user's it has another name."""
MODEL = "smollm2"
"""The claim with the weights, on both sides."""
API_MODEL = "gpt-4o-mini"
"""What answers in place of the second vLLM where OPENAI_API_KEY is set."""
READY_S = 900
"""Two vLLMs on two idle cores start within two minutes; on cores that others use, in ten."""

AGAIN = "`make demo` goes on where it stopped; `make cluster-down` clears everything away."


class Demo:
    """One run: what the steps hand to each other."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._key = os.environ.get("OPENAI_API_KEY", "")
        self._images: dict[str, str] = {}
        self._claims: list[tuple[str, bool]] = []

    def tell(self) -> bool:
        """Tell the whole story; return whether everything was as claimed."""
        self._prepare()
        self._install()
        endpoint = self._become_ready()
        client = kube.Client(NAMESPACE, self._images["router"])
        with self._console.step("A client pod in the cluster, as an application would be"):
            client.start()
        self._two_prompts(client, endpoint)
        self._engine_dies(client, endpoint)
        return self._conclude(endpoint)

    def _prepare(self) -> None:
        run = self._console.run
        with self._console.step("The cluster (the first time, Kubernetes is built: 10 minutes)"):
            run("cluster", ["tests/cluster/up"], timeout=3000, advice=AGAIN)
        with self._console.step("vLLM for CPUs and SmolLM2-135M, on volumes of the cluster"):
            kube.apply(kube.namespace(NAMESPACE), kube.namespace(EXTERNAL))
            for namespace in (NAMESPACE, EXTERNAL):
                command = ["tests/cluster/volumes", namespace, MODEL]
                run(f"volumes-{namespace}", command, timeout=1800, advice=AGAIN)
        with self._console.step("The images of operator and router"):
            said = run("images", ["tools/images", "--load"], timeout=1800, advice=AGAIN)
            self._images = dict(line.split() for line in said.splitlines())
        with self._console.step("The external side: " + self._external_side()):
            if self._key:
                kube.apply(self._secret())
            else:
                text = EXTERNAL_MANIFEST.read_text().replace(BASE, self._images["base"])
                kube.kubectl("apply", "--filename", "-", stdin=text)

    def _external_side(self) -> str:
        if self._key:
            return f"OpenAI's {API_MODEL}, for OPENAI_API_KEY is set"
        return "a second real vLLM (set OPENAI_API_KEY for the real API)"

    def _secret(self) -> kube.Object:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "openai", "namespace": NAMESPACE},
            "stringData": {"api-key": self._key},
        }

    def _install(self) -> None:
        chart = ["helm", "upgrade", "--install", RELEASE, "charts/hybridinference"]
        # --take-ownership: a CRD that was applied by hand, or by a test, becomes the release's.
        place = ["--namespace", SYSTEM, "--create-namespace", "--take-ownership"]
        place += ["--wait", "--timeout", "3m"]
        images = []
        for name in ("operator", "router"):
            image = self._images[name]
            repository, tag = image.rsplit(":", 1)
            images += ["--set", f"{name}.image.repository={repository}"]
            images += ["--set-string", f"{name}.image.tag={tag}"]
        with self._console.step("helm install"):
            self._console.note(f"$ helm install {RELEASE} charts/hybridinference")
            command = [kube.RUN, *chart, *place, *images]
            advice = f"Ask: {kube.RUN} kubectl -n {SYSTEM} describe pods. {AGAIN}"
            self._console.run("helm", command, timeout=240, advice=advice)
        with self._console.step("kubectl apply"):
            self._console.note(f"$ kubectl apply -f {EXAMPLE}")
            kube.kubectl("apply", "--filename", "-", stdin=self._resource())

    def _resource(self) -> str:
        """Return the example as it stands; with a key, its provider becomes OpenAI's API."""
        text = EXAMPLE.read_text().replace(BASE, self._images["base"])
        if not self._key:
            return text
        resource: dict[str, Any] = yaml.safe_load(text)
        reference = {"name": "openai", "key": "api-key"}
        provider = {
            "name": "openai",
            "apiKey": {"secretKeyRef": reference},
            "models": [{"name": API_MODEL}],
        }
        resource["spec"]["providers"] = [provider]
        return json.dumps(resource)

    def _become_ready(self) -> str:
        """Show conditions as they change until engine and router are ready; return the endpoint."""
        with self._console.step("Waiting until it is Ready"):
            seen: dict[str, str] = {}
            end = time.monotonic() + READY_S
            while not self._is_ready(resource := kube.get(NAMESPACE, "hinf", NAME), seen):
                if time.monotonic() > end:
                    raise DemoError(
                        f"{NAME} is not Ready after {READY_S} s; its conditions stand above. "
                        f"Ask: {kube.RUN} kubectl -n {NAMESPACE} describe hinf,pods. {AGAIN}"
                    )
                time.sleep(1)
            if not self._key:
                rollout = ("rollout", "status", "deployment/external-llm", f"--timeout={READY_S}s")
                kube.kubectl("--namespace", EXTERNAL, *rollout, timeout=READY_S + 20)
        shown = kube.kubectl("--namespace", NAMESPACE, "get", "hinf", NAME)
        self._console.say()
        for line in [f"$ kubectl get hinf {NAME}", *shown.splitlines()]:
            self._console.say("  " + line)
        endpoint: str = resource["status"]["endpoint"]
        return endpoint

    def _is_ready(self, resource: kube.Object, seen: dict[str, str]) -> bool:
        """Print what is new, and tell whether engine and router are ready for this generation."""
        now = kube.conditions(resource)
        for name, condition in now.items():
            said = f"{name}={condition['status']} {condition['reason']}"
            text = ": ".join(filter(None, (said, condition.get("message"))))
            if seen.get(name) != text:
                seen[name] = text
                self._console.note(f"[{self._console.elapsed()}] {text[:200]}")
        generation = resource["metadata"]["generation"]
        return resource.get("status", {}).get("observedGeneration") == generation and all(
            now.get(name, {}).get("status") == "True"
            for name in ("Ready", "EnginesReady", "RouterReady")
        )

    def _two_prompts(self, client: kube.Client, endpoint: str) -> None:
        with self._console.step("Two prompts for the model `auto`: only their content differs"):
            local = [f"http://{pod['status']['podIP']}:8000/metrics" for pod in self._engine_pods()]
            external = [] if self._key else [f"{EXTERNAL_URL}/metrics"]
            before = [client.counters(urls) for urls in (local, external)]
            turns = prompts.ask(client, endpoint, prompts.SIMPLE, prompts.COMPLEX)
            after = [client.counters(urls) for urls in (local, external)]
        prompts.show(self._console, turns)
        simple, complex_ = turns
        self._claim("the simple prompt was answered by the local vLLM", simple, "local")
        self._claim("the complex prompt was answered by the external side", complex_, "api")
        sides = ("local vLLM", "external vLLM")
        moved = [
            tuple(b - a for a, b in zip(*pair, strict=True))
            for pair in zip(before, after, strict=True)
        ]
        self._console.say("  What the engines counted for themselves (their /metrics):")
        head = ("engine", "requests", "tokens generated")
        rows = [
            (side, f"+{requests}", f"+{tokens}")
            for side, (requests, tokens) in zip(sides, moved, strict=True)
            if side == sides[0] or not self._key
        ]
        self._console.table(head, rows)
        expected = 1 if self._key else 2
        counted = all(requests == 1 and tokens > 0 for requests, tokens in moved[:expected])
        self._claims.append(("each engine counted exactly its one request", counted))

    def _engine_dies(self, client: kube.Client, endpoint: str) -> None:
        with self._console.step("The local engine is killed, then a simple prompt comes"):
            for pod in self._engine_pods():
                name = pod["metadata"]["name"]
                self._console.note(f"$ kubectl delete pod {name} --grace-period=0 --force")
                kill = ("delete", "pod", name, "--grace-period=0", "--force")
                kube.kubectl("--namespace", NAMESPACE, *kill)
            turns = prompts.ask(client, endpoint, prompts.AFTERWARDS)
        prompts.show(self._console, turns)
        self._claim("with the engine dead, the prompt still got its answer", turns[0], "api")

    def _engine_pods(self) -> list[kube.Object]:
        labels = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=engine"
        pods: list[kube.Object] = kube.get(NAMESPACE, "pods", "--selector", labels)["items"]
        return [
            pod for pod in pods if kube.conditions(pod).get("Ready", {}).get("status") == "True"
        ]

    def _claim(self, text: str, turn: prompts.Turn, source: str) -> None:
        self._claims.append((text, turn.answered and turn.source == source))

    def _conclude(self, endpoint: str) -> bool:
        say = self._console.say
        for text, holds in self._claims:
            say(f"  {'yes' if holds else 'NO '}  {text}")
        if not all(holds for _, holds in self._claims):
            raise DemoError(
                f"not everything was as claimed. Ask: {kube.RUN} kubectl -n {NAMESPACE} logs "
                f"-l app.kubernetes.io/component=router. {AGAIN}"
            )
        if not self._key:
            say("\nBoth models have 135M parameters and are often wrong: who answers is the point.")
        say(f"\nGo on ({self._console.elapsed()} so far; the engine comes back by itself):\n")
        for line in (
            f"{kube.RUN} kubectl -n {NAMESPACE} get hinf,pods",
            f"{kube.RUN} kubectl -n {NAMESPACE} describe hinf {NAME}",
            f"{kube.RUN} kubectl explain hinf.spec.models",
            f"{kube.RUN} kubectl -n {NAMESPACE} edit hinf {NAME}      # threshold, classifier ...",
            f"{kube.RUN} kubectl -n {NAMESPACE} port-forward svc/{NAME}-router 8080:80",
            "make demo                       # again, in a minute or two",
            "make cluster-down               # nothing stays behind",
        ):
            say("  " + line)
        say(f"\nInside the cluster, any OpenAI client works with base URL {endpoint}")
        return True


def main() -> int:
    """Run the demo; return the exit code."""
    console = Console()
    try:
        return 0 if Demo(console).tell() else 1
    except DemoError as error:
        console.say(f"\nThe demo stopped: {error}")
        return 1
    except KeyboardInterrupt:
        console.say(f"\nInterrupted. {AGAIN}")
        return 130


if __name__ == "__main__":
    sys.exit(main())
