"""Pretrained transformers as bodies, whole or by small adapters (Hu et al. 2022, "LoRA"; Perez et al. 2018, "FiLM")."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.bodies.body import Body
from learners.parts import register_part

Adapters = Literal["lora", "film"]
Pooling = Literal["mean", "cls"]

#: What the query and value maps of attention are called, alone or joined with the key's.
QUERY_VALUE = {"query", "value", "q_proj", "v_proj", "query_proj", "value_proj", "q_lin", "v_lin", "q", "v", "qkv"}
QUERY_VALUE |= {"Wqkv", "in_proj"}
#: Options that would have transformers fetch, run or convert something.
REFUSED = {"auto_map", "trust_remote_code", "quantization_config", "attn_implementation", "_attn_implementation"}
REFUSED |= {"backbone", "use_pretrained_backbone", "use_timm_backbone", "_attn_implementation_internal"}
#: Entries of a published config that say nothing of the network.
ASIDE = REFUSED | {"model_type", "architectures", "transformers_version", "_name_or_path", "dtype", "torch_dtype"}


class LayerNorm(nn.LayerNorm):
    """Layer normalisation with scale and shift applied apart from ``F.layer_norm``.

    Given to it, PyTorch 2.13 differentiates it wrongly a second time under ``vmap``, as it does ``F.batch_norm``: the
    gradient of a MAML step is off by 0.8 % in float64, where scale and shift move.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x, self.normalized_shape, None, None, self.eps)
        x = x if self.weight is None else x * self.weight
        return x if self.bias is None else x + self.bias


class FiLM(nn.Module):
    """A forward hook y -> scale y + shift on the last axis of a block's output [n, tokens, D]; nothing at first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, block: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        first = (output[0] if isinstance(output, tuple) else output) * self.scale + self.shift
        return (first, *output[1:]) if isinstance(output, tuple) else first


@register_part
class TransformerBody(Body):
    """An encoder of the ``transformers`` library, text or vision, that a learner meta-trains.

    With ``adapters`` the encoder is frozen and only they are trained: ``lora`` adds B A to every query and value map
    W, with A [rank, D] and B = 0 at first; ``film`` scales and shifts the output of every block. None: all is trained.
    The encoder stays in evaluation mode: dropout would make the meta-loss depend on more than the episode.

    A text is [2, tokens] integers: row 0 token ids, row 1 the attention mask (1 for a token, 0 for padding). Floats
    that hold integers are taken too. An image is [3, pixels, pixels], floats.

    Args:
        model: the model type, as in ``config.json``.
        options: the arguments of its config; weights start at random (``from_folder`` reads published ones).
        size: tokens of a text or pixels a side; None: 128 tokens, or what the config says.
        rank: of ``lora``.
        pooling: the mean over tokens, or the first one; None: ``mean`` for text, ``cls`` for vision.
        normalise: vectors to unit length, as the encoders in ``learners/encoders`` do.
        mean, std: of a channel; images are standardised with them first. Empty: they are taken as they are.

    Raises:
        ValueError: the model is no encoder, or does not allow what an argument asks for.
    """

    name = "transformer"

    def __init__(
        self,
        model: str,
        options: dict[str, Any],
        size: int | None = None,
        adapters: Adapters | None = None,
        rank: int = 8,
        pooling: Pooling | None = None,
        normalise: bool = True,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.encoder = make_encoder(model, options)
        self.vision = self.encoder.main_input_name == "pixel_values"
        known = self.encoder.config
        limit = getattr(known, "image_size" if self.vision else "max_position_embeddings", None) or 0
        limit = limit if isinstance(limit, int) else limit[0]
        size = size or limit if self.vision else size or min(128, limit or 128)
        if size < 1 or (limit and not self.vision and size > limit):
            raise ValueError(f"size {size}: {model} takes 1 to {limit} tokens" if limit else f"{model} needs a size")
        self.pooling, self.normalise = pooling or ("cls" if self.vision else "mean"), normalise
        if self.pooling not in ("mean", "cls"):
            raise ValueError(f"pooling {pooling!r}: it is mean or cls")
        self.shape = (getattr(known, "num_channels", 3), size, size) if self.vision else (2, size)
        self.config = {"model": model, "options": dict(options), "size": size, "adapters": None, "rank": rank}
        self.config |= {"pooling": self.pooling, "normalise": normalise, "mean": list(mean), "std": list(std)}
        self.register_buffer("centre", torch.tensor(list(mean) or [0.0]).view(-1, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(list(std) or [1.0]).view(-1, 1, 1), persistent=False)
        self.centre: Tensor
        self.spread: Tensor
        self.wide = False
        with torch.no_grad():
            try:
                found = self(self._examples())
            except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
                raise ValueError(f"{model} cannot read examples {list(self.shape)}: {error}") from error
            self.dim = found.shape[1]
            if not self.vision:  # some models read a mask of four axes otherwise
                self.wide = True
                self.wide = torch.allclose(self(self._examples()), found, atol=1e-5)
        self._freeze_unused()
        self.attach(adapters, rank)

    @classmethod
    def from_folder(
        cls, folder: Path, adapters: Adapters | None = None, rank: int = 8, **others: Any
    ) -> "TransformerBody":
        """Return a body with the weights of a local folder in the ``transformers`` layout (safetensors only).

        Images are standardised as ``preprocessor_config.json`` says, where there is one, and should be 0 to 1.

        Raises:
            ValueError: the folder lacks weights that the vectors depend on.
        """
        from transformers.models.auto.configuration_auto import AutoConfig
        from transformers.models.auto.modeling_auto import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        known = AutoConfig.from_pretrained(folder, **local)
        options = {name: value for name, value in known.to_diff_dict().items() if name not in ASIDE}
        about = folder / "preprocessor_config.json"
        said = json.loads(about.read_text()) if about.exists() else {}
        if said.get("do_normalize", True) and "image_mean" in said:
            others = {"mean": said["image_mean"], "std": said["image_std"]} | others
        body = cls(known.model_type, json.loads(json.dumps(options)), **others)
        read, report = AutoModel.from_pretrained(
            folder, config=known, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **local
        )
        used = {name for name, parameter in body.encoder.named_parameters() if parameter.requires_grad}
        if missing := sorted(used & set(report["missing_keys"])):
            raise ValueError(f"{folder} lacks {len(missing)} weights of its model: {', '.join(missing[:3])}, ...")
        body.encoder.load_state_dict(read.state_dict())
        body.attach(adapters, rank)
        return body

    def attach(self, adapters: Adapters | None, rank: int = 8) -> None:
        """Freeze the encoder and add adapters that change nothing yet; None: leave all as it is."""
        if adapters not in ("lora", "film", None):
            raise ValueError(f"adapters {adapters!r}: they are lora, film or None")
        if adapters is None:
            return
        self.encoder.requires_grad_(False)
        (add_lora(self.encoder, rank) if adapters == "lora" else self._add_film())
        self.config |= {"adapters": adapters, "rank": rank}
        self._freeze_unused()
        self.train(self.training)

    def train(self, mode: bool = True) -> "TransformerBody":
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        if self.vision:
            hidden = self.encoder(pixel_values=(x - self.centre) / self.spread).last_hidden_state
            hidden = hidden.flatten(2).mT if hidden.ndim == 4 else hidden  # maps of a convolutional network
            weight = torch.ones_like(hidden[..., :1])
        else:
            ids, mask = x.long().unbind(1)
            hidden = self.encoder(input_ids=ids, attention_mask=self._mask(mask)).last_hidden_state
            weight = mask[..., None].to(hidden.dtype)
        vector = hidden[:, 0] if self.pooling == "cls" else (hidden * weight).sum(1) / weight.sum(1).clamp_min(1)
        return F.normalize(vector, dim=-1) if self.normalise else vector

    def _mask(self, mask: Tensor) -> Tensor:
        """Return what is added to the attention logits [n, 1, 1, tokens]: only so does no code look at its values.

        That is what ``vmap`` asks for; the few models that read such a mask otherwise get the plain one, and run in
        a loop only (DeBERTa, ModernBERT beyond its window).
        """
        if not self.wide:
            return mask
        dtype = next(self.encoder.parameters()).dtype
        return (mask[:, None, None] == 0).to(dtype) * torch.finfo(dtype).min

    def _examples(self) -> Tensor:
        """Return two examples [2, *shape]; the second half of one text is padding."""
        like = next(self.encoder.parameters())
        if self.vision:
            steps = torch.linspace(0, 1, self.shape[1] * self.shape[2], dtype=like.dtype, device=like.device)
            return steps.view(self.shape[1:]).expand(2, *self.shape)
        place = torch.arange(self.shape[1], device=like.device)
        full, half = torch.ones_like(place), (place <= self.shape[1] // 2).long()
        ids = place % self.encoder.config.vocab_size
        return torch.stack([torch.stack([ids, full]), torch.stack([ids, half])])

    def _add_film(self) -> None:
        """Hook a FiLM to every block: the members of the encoder's outermost lists of modules."""
        lists = {name: module for name, module in self.encoder.named_modules() if isinstance(module, nn.ModuleList)}
        outer = [module for name, module in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]
        sizes: dict[nn.Module, torch.Size] = {}

        def remember(block: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            sizes[block] = (output[0] if isinstance(output, tuple) else output).shape

        hooks = [block.register_forward_hook(remember) for blocks in outer for block in blocks]
        with torch.no_grad():
            self(self._examples())
        for hook in hooks:
            hook.remove()
        if not sizes or any(len(size) != 3 for size in sizes.values()):
            raise ValueError(f"film: {self.config['model']} has no blocks with outputs [n, tokens, D]")
        for block, size in sizes.items():
            block.film = FiLM(size[-1])
            block.register_forward_hook(block.film)

    def _freeze_unused(self) -> None:
        """Freeze what no vector depends on, as a pooler: an inner loop could not differentiate by it."""
        moving = [parameter for parameter in self.parameters() if parameter.requires_grad]
        with torch.enable_grad():
            found = torch.autograd.grad(self(self._examples()).sum(), moving, allow_unused=True)
        for parameter, gradient in zip(moving, found, strict=True):
            parameter.requires_grad_(gradient is not None)


def make_encoder(model: str, options: dict[str, Any]) -> Any:
    """Return a transformers model at random weights; only classes of the library itself, nothing fetched.

    Raises:
        ValueError: the library has no such encoder, or an option would fetch or run something.
    """
    from transformers.models.auto import modeling_auto as auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, AutoConfig
    from transformers.models.auto.modeling_auto import AutoModel

    if model not in CONFIG_MAPPING or model not in auto.MODEL_MAPPING_NAMES:
        raise ValueError(f"transformers has no model type {model!r}")
    if refused := sorted(REFUSED & set(nested_keys(options))):
        raise ValueError(f"options must not have {', '.join(refused)}")
    known = AutoConfig.for_model(model, **options)
    causal = model in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and model not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if causal or known.is_encoder_decoder:
        raise ValueError(f"{model} is not an encoder")
    # the other ways to compute attention cannot be differentiated twice or vmapped
    encoder = AutoModel.from_config(known, trust_remote_code=False, attn_implementation="eager").float().eval()
    for module in encoder.modules():
        if type(module) is nn.LayerNorm:
            module.__class__ = LayerNorm  # the same parameters under the same names
    return encoder


def nested_keys(options: Any) -> list[str]:
    """Return every key of nested options."""
    if not isinstance(options, dict):
        return []
    return [*options, *(key for value in options.values() for key in nested_keys(value))]


def add_lora(encoder: nn.Module, rank: int) -> None:
    """Add B A of a rank, B = 0, to the query and value maps of an encoder in place, as its only trained weights."""
    from peft import LoraConfig, inject_adapter_in_model

    names = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    names = [name for name in names if name.rsplit(".", 1)[-1] in QUERY_VALUE]
    if not names or rank < 1:
        raise ValueError(f"lora: rank {rank} (at least 1), {len(names)} query and value maps (at least 1)")
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=names), encoder)
