"""Six sites made of the mirror's domains, one kind of text a site, of uneven sizes."""

from collections.abc import Mapping, Sequence

from domains.domain import Family
from domains.episode import Pile
from domains.errors import UserError
from learners.federated.site import Identity, Site
from tasks.features.encoders import last_layer
from tasks.meta_train.recipes import Recipe, prior_shapes
from tasks.meta_train.training import Piles, divide_piles

FAMILY: Family = "text"

SITES: dict[str, tuple[str, ...]] = {
    "news": ("20newsgroups", "agnews", "huffpost", "reuters31"),
    "assistants": ("clinc150", "hwu64", "snips"),
    "questions": ("trec50", "stc2_stackoverflow", "stc2_searchsnippets"),
    "opinions": ("sst5", "tweeteval_emotion"),
    "bank": ("banking77",),
    "science": ("mag",),
}


def divide(piles: Mapping[str, Sequence[Pile]], recipe: Recipe) -> dict[str, Piles]:
    """Return the three parts of every site; one with too little to hold out trains on all that it has."""
    found = {}
    for site, of in piles.items():
        try:
            parts = divide_piles(list(of), recipe.seed, recipe.shape)
        except UserError:
            parts = list(of), [], []
        found[site] = Piles(*parts, hashes={pile.name: "" for pile in of}, last=last_layer("text"))
    return found


def unite(sites: Mapping[str, Piles]) -> Piles:
    """Return what one would train on who had the piles of all sites, held out as they hold out."""
    every = [[pile for site in sites.values() for pile in site.parts[i]] for i in range(3)]
    hashes = {pile.name: "" for part in every for pile in part}
    return Piles(*every, hashes=hashes, last=next(iter(sites.values())).last)


def to_site(identity: Identity, piles: Piles, recipe: Recipe, learners: bool) -> Site:
    """Return a site of a federation, with the recipe's learners or, for its prior alone, with none."""
    training = recipe.training if learners else {}
    shapes = prior_shapes(recipe.shape)
    return Site(identity, *piles.parts, training, shapes, recipe.seed, piles.last)
