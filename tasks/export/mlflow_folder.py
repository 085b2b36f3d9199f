"""An adapted model as a folder that ``mlflow models serve`` serves: its encoder is in it, no registry is needed."""

import os
import shutil
from pathlib import Path

from tasks.base.settings import Settings
from tasks.export.sentence_transformers import new_folder
from tasks.features.encoders import weights
from tasks.features.plug_ins import note_of
from tasks.features.tuned import BASE, base_of
from tasks.models import registry
from tasks.models.lookup import input_of, version_or_champion
from tasks.models.mlflow_flavour import ENCODER, InputSpec, write_mlflow_model


def export_mlflow(settings: Settings, domain: str, folder: Path, version: str = "") -> registry.Registered:
    """Write an adapted model of any family into a new folder, whole or not at all, and return which it was.

    Args:
        settings: where models and encoders are.
        domain: whose model.
        folder: new or empty.
        version: of the model; empty: the champion.

    Raises:
        UserError: no such model, or the folder is in use or cannot be written.
    """
    found = version_or_champion(settings, domain, version)
    reads = input_of(found)
    with new_folder(folder) as made:
        own = made / "own"
        shutil.copytree(found.folder, own, ignore=shutil.ignore_patterns("tuned-*"))
        for spec in reads.encoders:
            shutil.copytree(weights(settings, spec), own / ENCODER / spec.identity)
            if spec.opinions:
                shutil.copytree(base_of(settings, weights(settings, spec))[1], own / ENCODER / spec.identity / BASE)
            if (note := note_of(settings, spec)) is not None:
                shutil.copy(note, own / ENCODER)
        os.replace(write_mlflow_model(own, InputSpec(reads.family, found.tags["encoder"]), made), folder)
    return found
