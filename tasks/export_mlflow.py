"""An adapted model as a folder that ``mlflow models serve`` serves: its encoder is in it, no registry is needed."""

import os
import shutil
import tempfile
from pathlib import Path

from domains.errors import UserError
from tasks import registry
from tasks.encoding import ENCODERS, weights
from tasks.export import check_free
from tasks.flavour import Reads, stage
from tasks.prediction import family_read, in_service
from tasks.pyfunc import ENCODER
from tasks.settings import Settings


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
    found = registry.get(settings, domain, version) if version else in_service(settings, domain)
    family = family_read(found)
    check_free(folder)
    encoder = weights(settings, ENCODERS[family]) if family in ENCODERS else None
    try:
        with tempfile.TemporaryDirectory(dir=folder.resolve().parent, prefix=f".{folder.name}.") as made:
            own = Path(made) / "own"
            shutil.copytree(found.folder, own)
            if encoder is not None:
                shutil.copytree(encoder, own / ENCODER)
            os.replace(stage(own, Reads(family, found.tags["encoder"]), Path(made)), folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from error
    return found
