"""What meta-training leaves for people: learning curves, gains of strategies, and the map of a family's domains."""

from collections.abc import Mapping

from learners.choice.fallback import fallback
from learners.meta_model import MetaModel
from tasks.base.artifacts import image_artifact, table_artifact
from tasks.meta_train.domain_map import Map
from tasks.meta_train.gate import Comparison, Decision
from tasks.meta_train.plots import plot_learning, plot_map


def show_meta_training(model: MetaModel, verdict: Mapping[str, str]) -> None:
    """Show learning curves, the decision on the version, and what every strategy gained on held-out source episodes.

    Args:
        verdict: as ``tasks.models.verdicts.decision_on`` returns it.
    """
    for name, history in model.about["history"].items():
        title = f"Meta-training of {name}, family {model.family}"
        trained = [
            (step, loss) for step, loss in zip(history["step"], history["loss"], strict=True) if loss is not None
        ]
        steps, loss = zip(*trained, strict=True) if trained else ((), ())
        curve = plot_learning(title, steps, loss, history["step"], history["validation_accuracy"])
        image_artifact(f"meta-train-{model.family}-{name}", curve, title)
    rows = []
    for name, gains in model.prior.means.items():
        cells = {f"K={k}": f"{100 * g.mean:+.1f} ({100 * g.deviation:.1f})" for k, g in gains.items()}
        rows.append({"strategy": name, **cells})
    what = "log-likelihood, hundredths of a nat" if model.in_time else "accuracy, points"
    about = (
        f"Gain over '{fallback(model.strategies)}' on held-out source episodes ({what}): mean (deviation), by the mean "
    )
    about += "number K of labels a class, rounded"
    about += "".join(f"; {name} is left out of {why}" for name, why in model.prior.left_out.items())
    decided = f", {verdict['decision']}: {verdict['reason']}" if verdict["decision"] else ""
    table_artifact(
        f"meta-train-{model.family}-gains", rows, f"Meta-model version {verdict['version']}{decided}. {about}"
    )


def show_comparison(family: str, version: str, decision: Decision, comparison: Comparison | None) -> None:
    """Show what a new meta-model and the one in service reach on the same episodes, domain by domain."""
    if comparison is None:
        return
    unit, scale = ("nats", 1) if comparison.in_time else ("%", 100)
    rows = [
        {
            "domain": name,
            f"version {version}, {unit}": round(scale * score, 3),
            f"version {comparison.against} in service, {unit}": round(scale * comparison.incumbent[name], 3),
        }
        for name, score in comparison.challenger.items()
    ]
    about = f"Meta-model version {version} {decision.word}: {decision.reason}"
    table_artifact(f"meta-train-{family}-gate", rows, about)


def show_map(found: Map) -> None:
    """Show the map of a family's domains, and the nearest sources of each."""
    image_artifact(f"map-{found.family}", draw_map(found), f"Domains of family {found.family}: near is alike")
    about = "Nearest sources and their distances (0: same classes, 1: nothing in common), targets first"
    table_artifact(f"map-{found.family}-nearest", found.rows(), about)


def draw_map(found: Map) -> bytes:
    """Return the map of a family's domains as a PNG."""
    places, shown = found.layout
    targets = [role == "target" for role in found.roles]
    return plot_map(f"Domains of family {found.family}", found.names, targets, places, shown)
