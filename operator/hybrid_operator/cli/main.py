"""The `hinf` command. A subcommand is imported only when it is asked for: answers come at once."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS = {
    "plan": "What would run: vLLM's arguments, replicas, and what is not acted on.",
    "render": "The Kubernetes manifests, or the RouteTable, that a resource becomes.",
    "route": "Who would answer a prompt, and why.",
    "datapolicy": "What the detectors of the data policy find in a text.",
    "classifier": "Score prompts, fit confidences to outcomes, train the embedded classifier.",
    "status": "What runs now, and what is wrong with it.",
    "tco": "What an external API costs, and what GPUs of your own do.",
    "vram": "Whether a model fits on a GPU, and what training it takes.",
    "simulate": "What scaling policies cost on a trace of requests.",
    "models": "Models that the catalogue knows by name, and which is good at what.",
    "gpus": "GPUs that the catalogue knows by name.",
    "inspect": "What memory planning reads from a model's config.json.",
}
"""Each in a module of its own name, as a function of its own name."""

EXIT_NO = 1
"""A good question with the answer no."""
EXIT_BAD_INPUT = 2


class BadInputError(click.ClickException):
    """What the user gave cannot be used; the message says where and what to do."""

    exit_code = EXIT_BAD_INPUT


class _LazyGroup(click.Group):
    """A group that knows its commands by name and loads one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help text."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command called `cmd_name`."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"hybrid_operator.cli.{cmd_name}")
        gc.freeze()
        gc.enable()
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing one of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and name the nearest one when there is none of that name."""
        import difflib  # noqa: PLC0415  only for a mistyped name

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(COMMANDS)}"
            raise BadInputError(f"hinf has no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


_BEGIN = """\b
Begin with:
  hinf plan -f hybridinference.yaml
  hinf route -f hybridinference.yaml "Translate 'good morning' to French"
"""
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=_LazyGroup, context_settings=_CONTEXT, epilog=_BEGIN)
@click.version_option(package_name="hybrid-inference", prog_name="hinf")
def cli() -> None:
    """Plan, check and watch HybridInference resources.

    Most commands need no cluster. Exit status: 0 good, 1 the answer is no, 2 the input is bad.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run `hinf` and exit."""
    # Nothing that is imported is garbage; looking for it takes a tenth of the time to an answer.
    gc.disable()
    try:
        cli.main(args=list(args) if args is not None else None, prog_name="hinf")
    except BrokenPipeError:  # `hinf ... | head`
        os._exit(0)
    except SystemExit as done:
        _leave(done)


def _leave(done: SystemExit) -> NoReturn:
    """End without freeing what was imported, which takes a twentieth of the time to an answer."""
    if not isinstance(done.code, int):
        raise done
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(done.code)


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `-o table|json|yaml`."""
    choice = click.Choice(["table", "json", "yaml"])
    return click.option(
        "-o",
        "--output",
        type=choice,
        default="table",
        show_default=True,
        help="Form of the answer.",
    )(command)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--namespace` and `--context`: where in which cluster of KUBECONFIG."""
    namespace = click.option("-n", "--namespace", help="Defaults to the context's.")
    context = click.option(
        "--context", help="Context of the kubeconfig; defaults to the current one."
    )
    return namespace(context(command))


class FileCommand(click.Command):
    """A command that reads `-f FILE`, and says so to who leaves the `-f` out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            file = next((each for each in given if each.endswith(_RESOURCES)), None)
            if file is None or any(each.startswith(("-f", "--file")) for each in given):
                raise
            hint = f"a resource is read with -f: {ctx.command_path} -f {file}"
            what = error.format_message().rstrip(".")
            raise click.UsageError(f"{what}; {hint}", ctx) from None


_RESOURCES = (".yaml", ".yml", ".json")


def name_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--name NAME`."""
    return click.option("--name", help="Which HybridInference, where FILE holds several.")(command)


def file_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `-f FILE`."""
    return click.option(
        "-f",
        "--file",
        "path",
        required=True,
        metavar="FILE",
        help="HybridInference in YAML or JSON; - reads standard input.",
    )(command)
