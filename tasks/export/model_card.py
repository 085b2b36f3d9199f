"""The README of an exported model: what it is, and ways to use it, each a program that runs as it stands."""

import json
from collections.abc import Sequence

from tasks.models.adapt_result import k_of
from tasks.models.registry import Registered

SENTENCE_TRANSFORMERS = """\
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(folder)
logits = model.encode(texts, convert_to_tensor=True)
probabilities = logits.softmax(-1)
labels = [model[0].auto_model.config.id2label[i] for i in logits.argmax(-1).tolist()]
"""

TRANSFORMERS = """\
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
with torch.inference_mode():
    hidden, mask = encoder(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
    x = (hidden * mask).sum(1) / mask.sum(1)  # 1_Pooling
    for module in json.loads(Path(folder, "modules.json").read_text("utf-8"))[2:]:
        if module["type"].endswith("Normalize"):
            x = torch.nn.functional.normalize(x, dim=-1)
            continue
        own = Path(folder, module["path"])
        dense = load_file(own / "model.safetensors")
        x = torch.nn.functional.linear(x, dense["linear.weight"], dense["linear.bias"])
        x = x.relu() if "ReLU" in (own / "config.json").read_text("utf-8") else x
probabilities = x.softmax(-1)
labels = [encoder.config.id2label[i] for i in x.argmax(-1).tolist()]
"""

ONNX = """\
import onnxruntime
import torch
from transformers import AutoConfig, AutoTokenizer

session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="np")
inputs = {name: batch[name].astype("int64") for name in ("input_ids", "attention_mask")}
logits = torch.from_numpy(session.run(["logits"], inputs)[0])
probabilities = logits.softmax(-1)
labels = [AutoConfig.from_pretrained(folder).id2label[i] for i in logits.argmax(-1).tolist()]
"""

CARD = """\
---
library_name: sentence-transformers
pipeline_tag: text-classification
---

# {domain}, version {version}

A classifier of texts, adapted by Acclimate: encoder `{encoder}`, strategy `{strategy}`, {used}{accuracy}.

Labels: {labels}.

`encode` of sentence-transformers gives calibrated logits, one a label in the order of `config.json`; their softmax are
probabilities. `folder` is this folder, `texts` a list of texts. The domain's data may have a licence of its own.

```python
{sentence_transformers}```

With `transformers` and `safetensors` alone:

```python
{transformers}```
"""

WITH_ONNX = """
With `onnxruntime`, and `transformers` for the tokenizer:

```python
{onnx}```
"""


IN_PART = """
## What is not in this folder

In service this model is a blend, and these formats cannot express some of it: character n-grams, or a strategy that is
no map of the encoder's vectors. This folder holds the other part alone: its probabilities differ from those of
`acclimate predict`, and it may be less accurate.
`acclimate models export {domain} FOLDER --mlflow` exports the whole.
"""


def model_card(
    model: Registered, labels: Sequence[str], encoder: str, onnx: bool = False, in_part: bool = False
) -> str:
    """Return the README of an adapted model, with ``model.onnx`` or without."""
    accuracy, k = model.metrics.get("accuracy"), k_of(model.params)
    page = (CARD + WITH_ONNX if onnx else CARD) + (IN_PART if in_part else "")
    return page.format(
        domain=model.name,
        version=model.version,
        encoder=encoder,
        strategy=model.params.get("strategy", "unknown"),
        used="all labels" if k is None else f"at most {k} labels a class",
        accuracy="" if accuracy is None else f", accuracy {100 * accuracy:.1f} % on its test examples",
        labels=", ".join(json.dumps(label, ensure_ascii=False) for label in labels),
        sentence_transformers=SENTENCE_TRANSFORMERS,
        transformers=TRANSFORMERS,
        onnx=ONNX,
    )
