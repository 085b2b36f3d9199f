"""Prefect assets: what was made from what, from the data to the champion, as events of which the lineage is drawn.

They say what ``@materialize`` would, without a task run for each, which takes longer than many a step; and only where a
step did make something.
"""

import re
from typing import Any

from tasks.base.progress import in_run


def data_asset(domain: str) -> str:
    """Return the key of a domain's data; of the source domains of a family: ``sources/<family>``."""
    return _key("data", domain)


def features_asset(domain: str) -> str:
    """Return the key of what encoders made of a domain's data."""
    return _key("features", domain)


def meta_model_asset(family: str) -> str:
    """Return the key of the meta-model of a family that is in service."""
    return _key("meta-models", family)


def champion_asset(domain: str) -> str:
    """Return the key of the model that is in service for a domain."""
    return _key("champions", domain)


def made(key: str, name: str, *sources: str, **metadata: Any) -> None:
    """Tell Prefect that an asset was made anew from others; nothing outside of a run.

    Args:
        name: for people.
        sources: keys of what it was made from.
        metadata: what to show of it: revision, version.
    """
    if not in_run():
        return
    from prefect.assets import Asset, AssetProperties
    from prefect.context import AssetContext
    from prefect.states import Completed

    asset = Asset(key=key, properties=AssetProperties(name=name))
    context = AssetContext(
        downstream_assets={asset},
        direct_asset_dependencies={Asset(key=source) for source in sources},
        materialization_metadata={key: metadata},
    )
    context.emit_events(Completed())


def _key(*parts: str) -> str:
    """Return the key of an asset: an address of the characters that Prefect takes."""
    return "acclimate://" + re.sub(r"[^A-Za-z0-9/_.@-]", "-", "/".join(parts))
