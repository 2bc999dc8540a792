"""`meritree lab`: the laboratory of tiny language models: its tasks and their warm starts."""

from __future__ import annotations

from typing import Annotated

import typer

from meritree.cli.session import write_json
from meritree.errors import BadInput

app = typer.Typer(
    name="lab",
    help="Tiny language models on tasks with a known right answer (extra `align`).",
    no_args_is_help=True,
)


@app.command()
def tasks(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List the tasks, each with a prompt and an answer."""
    from random import Random

    from meritree.align.lab.tasks import NAMES, task_named

    context.obj.json = json
    found = []
    for name in NAMES:
        task = task_named(name)
        prompt, answer = task.draw(Random(0))
        found.append(
            {
                "name": name,
                "words": len(task.words),
                "prompt": " ".join(prompt),
                "answer": " ".join(answer),
                "reward": task.reward(prompt, answer),
            }
        )
    if json:
        write_json({"tasks": found})
        return
    for one in found:
        print(f"{one['name']} ({one['words']} words)")
        print(f"    {one['prompt']}  ->  {one['answer']}   reward {one['reward']:g}")


@app.command()
def base(
    context: typer.Context,
    task: Annotated[str, typer.Argument(metavar="TASK", help="As `meritree lab tasks` lists.")],
    seed: Annotated[int, typer.Option(metavar="N", help="Of weights and answers.")] = 0,
    size: Annotated[
        str, typer.Option(metavar="tiny|small|medium", help="0.1, 0.3 or 0.8 million parameters.")
    ] = "tiny",
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Steps of training.", show_default="the studies' own"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Train a task's warm start, or find it in the cache; about a minute of one core."""
    from rich.console import Console

    context.obj.json = json
    if seed < 0:
        raise BadInput(f"--seed {seed}: it must be at least 0")
    from meritree.align.lab.base import Recipe
    from meritree.align.lab.base import base as make

    recipe = Recipe(task, seed=seed, size=size)
    if steps is not None:
        recipe = Recipe(task, seed=seed, size=size, steps=steps)
    console = Console(stderr=True, highlight=False)
    made = make(recipe, say=lambda text: console.print(text))
    parameters = sum(p.numel() for p in made.model.parameters())
    if json:
        write_json({"folder": str(made.folder), "parameters": parameters, "loss": made.loss})
        return
    print(f"{task}: {parameters} parameters, {made.loss:.3g} nats an answer")
    print(f"read it with AutoModelForCausalLM.from_pretrained({str(made.folder)!r})")
