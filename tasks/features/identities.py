"""Encoders by the identity that models keep of them: built in, tuned to a domain, or brought by a user."""

from tasks.base.settings import settings
from tasks.features.encoders import built_in_of, identity_of
from tasks.features.plug_ins import plug_in_of
from tasks.features.spec import EncoderSpec
from tasks.features.tuned import tuned_of


def encoders_of_identity(identity: str) -> tuple[EncoderSpec, ...] | None:
    """Return the encoders that such a name is of; None where one of them is not known here.

    Raises:
        UserError: one that a user brought is no longer there, or has changed.
    """
    if identity == identity_of(()):
        return ()
    find = built_in_of, lambda part: tuned_of(settings(), part), lambda part: plug_in_of(settings(), part)
    found = [next(filter(None, (way(part) for way in find)), None) for part in identity.split("+")]
    return None if None in found else tuple(spec for spec in found if spec is not None)
