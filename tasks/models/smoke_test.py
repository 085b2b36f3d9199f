"""What a model has to show before and after it is put into service: it loads, and it predicts."""

from pathlib import Path

import torch

from domains.decisions import DECISIONS
from domains.domain import Domain
from domains.errors import UserError
from learners.classifier import Classifier
from learners.decisions.policies import Policies
from learners.examples import Examples
from learners.meta_model import MetaModel
from tasks.base.settings import Settings
from tasks.features.encoding import encode, view_for
from tasks.models.lookup import Input, input_of
from tasks.models.registry import META_PREFIX, Registered, SmokeTest
from tasks.versions.snapshots import kept_snapshot

EXAMPLES = 4  # that are predicted
TEXT = "a text"  # read in place of one that is not at hand


def smoke_test(sample: torch.Tensor | Examples) -> SmokeTest:
    """Return a check that a model folder predicts probabilities for samples: features [n, D] or both views of texts."""

    def check(folder: Path) -> None:
        model = Classifier.load(folder)
        x = view_for(model, sample, [TEXT] * len(sample)) if isinstance(sample, torch.Tensor) else sample
        p = model.predict_proba(x)
        if not torch.isfinite(p).all() or not torch.allclose(p.sum(1), torch.ones(len(p)), atol=1e-4):
            raise ValueError("its predictions are not probabilities")

    return check


def meta_smoke_test(folder: Path) -> None:
    """Raise ValueError (or what reading raises) if a folder holds no meta-model with learners."""
    if not MetaModel.load(folder).learners:
        raise ValueError("it has no learners")


def policies_smoke_test(folder: Path) -> None:
    """Raise ValueError (or what reading raises) if a folder holds no policies, or one that chooses nothing."""
    policies = Policies.load(folder).policies
    if not policies:
        raise ValueError("it has no policies")
    for name, policy in policies.items():
        with torch.no_grad():
            logits, _, _ = policy(torch.zeros(2, EXAMPLES, policy.inputs))
        if not torch.isfinite(logits).all():
            raise ValueError(f"the policy of {name} is not finite")


def smoke_test_for(settings: Settings, model: Registered) -> SmokeTest:
    """Return the smoke test of a registered model, whichever kind it is.

    Raises:
        UserError: it reads features of another encoder than today's, so that it would predict nonsense in service.
    """
    if model.name == META_PREFIX + DECISIONS:
        return policies_smoke_test
    if model.name.startswith(META_PREFIX):
        return meta_smoke_test
    return smoke_test(_sample(settings, model, input_of(model)))


def _sample(settings: Settings, model: Registered, reads: Input) -> torch.Tensor:
    """Return features [n, D] of test examples it was judged on; of made-up ones where those are not at hand.

    Nothing is fetched: a rollback has to work while the remote is away.
    """
    folder = kept_snapshot(settings.home_path, model.name, model.tags.get("content_hash", ""))
    if folder is not None:
        try:
            examples = Domain.read(folder).column("test")[:EXAMPLES]
            return encode(settings, reads.family, examples, encoders=reads.encoders)
        except (UserError, OSError, ValueError):
            pass  # a damaged copy of the data says nothing about the model
    width = sum(spec.dim for spec in reads.encoders)
    if not width:
        from domains.market.features import FEATURES

        width = len(FEATURES)
    return torch.nn.functional.normalize(torch.ones(EXAMPLES, width) + torch.eye(EXAMPLES, width))
