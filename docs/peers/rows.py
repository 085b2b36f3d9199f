"""Other few-shot methods on the draws of `acclimate bench adapt`, as rows of the same form.

    acclimate bench adapt --draws 3 --export draws
    python docs/peers/rows.py draws .acclimate/encoders/minilm-… --method tfidf-svm --draws 3 --json svm.json

`tfidf-svm` (words and pairs of words, a linear SVM; its probabilities are the softmax of its margins) and `names` (the
label whose name is nearest to the text, by cosine; no label is used) run in the environment of `acclimate`. The others
run in environments of their own:

    python3.11 -m venv setfit-env && setfit-env/bin/pip install "setfit>=1.2,<2" pandas pyarrow scipy
    python3.11 -m venv fastfit-env && fastfit-env/bin/pip install "fast-fit==1.2.1" "transformers[torch]<5" pandas scipy
    python3.11 -m venv autogluon-env && autogluon-env/bin/pip install autogluon.multimodal==1.6.3 torch==2.13.0 scipy

`setfit` (Tunstall et al. 2022): pairs are drawn as in the paper (R = 20 positive and 20 negative ones an example;
--iterations): all pairs of a large support would take days on a CPU. `fastfit` (Yehudai & Bandel 2024): the settings of
its README (40 epochs, 4 repeats, Adafactor), but the classifier's part of the loss reads the mean of the tokens.
`autogluon`: its problem type few_shot_classification, which is an SVM on the encoder's features. It is the one that
reads images too (`bench adapt --family vision --export`), by `timm` with the weights of `acclimate`'s EfficientNet.
Everything else is each library's default. The encoder is the folder that the benchmark's own features come from, cut at
the same 128 word pieces and pooled by the mean at unit length, so that the rows compare methods, not encoders.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax, stdtrit

NAME = re.compile(r"(?P<domain>.+)-k(?P<k>\d+)")
SMALLEST, BINS = 1e-7, 15  # as in learners/metrics.py
SCALE = 20  # of cosines: what the MiniLM of sentence-transformers was trained with


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("draws_folder", type=Path, help="what --export wrote: <domain>-k<K>.parquet")
    parser.add_argument("encoder", type=Path, help="a folder of .acclimate/encoders/")
    parser.add_argument("--method", choices=METHODS, required=True)
    parser.add_argument("--domains", default="", help="some of those exported, with commas between them")
    parser.add_argument("--draws", type=int, default=3, help="of those exported, the first so many")
    parser.add_argument("--iterations", type=int, default=20, help="setfit: R of the paper; fewer are faster")
    parser.add_argument("--pairs", type=int, default=None, help="setfit: of a support at most so many")
    parser.add_argument("--epochs", type=int, default=40, help="fastfit: fewer are faster")
    parser.add_argument("--repeats", type=int, default=4, help="fastfit: of each batch; fewer are faster")
    parser.add_argument("--tokens", type=int, default=128, help="texts are cut after so many word pieces")
    parser.add_argument("--json", type=Path, required=True, help="write the rows to this file, anew after every domain")
    asked = parser.parse_args()
    files = sorted(asked.draws_folder.glob("*-k*.parquet"))
    if not files:
        sys.exit(
            f"error: no <domain>-k<K>.parquet in {asked.draws_folder}; `acclimate bench adapt --export` writes them"
        )
    rows: list[dict] = []
    for path in files:
        found = NAME.fullmatch(path.stem)
        if found is None:
            sys.exit(f"error: {path} is not called <domain>-k<K>.parquet")
        if not asked.domains or found["domain"] in asked.domains.split(","):
            rows += measure(pd.read_parquet(path), found["domain"], int(found["k"]), asked)
            asked.json.write_text(json.dumps(rows, indent=1), "utf-8")


def measure(table: pd.DataFrame, domain: str, k: int, asked: argparse.Namespace) -> list[dict]:
    """Return the rows of one domain at one K: means over draws with 95 % Student-t intervals."""
    probabilities, packages = METHODS[asked.method]
    test = table[table["part"] == "test"]
    column = "image" if "image" in test else "text"
    examples, labels = test[column].tolist(), sorted(test["label"].unique())
    y = test["label"].map(labels.index).to_numpy()
    scores: list[tuple[float, ...]] = []
    for draw in range(1 if asked.method == "names" else asked.draws):
        support = table[(table["part"] == "support") & (table["draw"] == draw)]
        if support.empty:
            sys.exit(f"error: {domain} K={k} has no draw {draw}; export more, or ask for fewer with --draws")
        started = time.process_time()
        p = probabilities(support, examples, labels, asked, draw)
        if p is None:
            print(f"{domain}: the names of its labels say nothing", file=sys.stderr)
            return []
        seconds = time.process_time() - started
        scores.append((accuracy(p, y), log_loss(p, y), ece(p, y), seconds))
        print(f"{domain} K={k} draw {draw}: {100 * scores[-1][0]:.1f} %, {seconds:.0f} s", file=sys.stderr, flush=True)
    setting = {
        "setfit": {"iterations": iterations_of(asked, len(support))},
        "fastfit": {"epochs": asked.epochs, "repeats": asked.repeats},
    }
    rows = []
    for i, metric in enumerate(("accuracy", "log_loss", "ece")):
        values = np.array([score[i] for score in scores])
        n = len(values)
        half = None if n < 2 else round(float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / n**0.5), 5)
        row = {"suite": "adapt", "domain": domain, "setting": f"K={k} pool=none", "method": asked.method}
        row |= {"metric": metric, "value": round(float(values.mean()), 5), "ci95": half, "n": n}
        row |= {"seconds": round(float(np.mean([score[3] for score in scores])), 1)}
        row |= {"versions": {name: version(name) for name in packages}}
        rows.append(row | setting.get(asked.method, {}))
    return rows


def setfit(support: pd.DataFrame, texts: list[str], labels: list[str], asked: argparse.Namespace, seed: int):
    """Return probabilities [n, C] by SetFit, trained on a support at the library's defaults."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    model = SetFitModel(model_body=body(asked), model_head=LogisticRegression(), normalize_embeddings=True)
    data = {"text": support["text"].tolist(), "label": support["label"].map(labels.index).tolist()}
    arguments = TrainingArguments(
        num_iterations=iterations_of(asked, len(support)),
        seed=seed,
        report_to="none",
        show_progress_bar=False,
        save_strategy="no",
    )
    Trainer(model=model, args=arguments, train_dataset=Dataset.from_dict(data)).train()
    return np.asarray(model.predict_proba(texts, as_numpy=True))


def fastfit(support: pd.DataFrame, texts: list[str], labels: list[str], asked: argparse.Namespace, seed: int):
    """Return probabilities [n, C] by FastFit: the softmax of its scores, as its pipeline has them."""
    import datasets
    import torch

    datasets.load_metric = lambda *_, **__: None  # gone since datasets 3; FastFit imports it to score, which we do not
    from fastfit import FastFitTrainer

    data = datasets.Dataset.from_dict({"text": support["text"].tolist(), "label": support["label"].tolist()})
    with tempfile.TemporaryDirectory() as folder:
        trainer = FastFitTrainer(
            model_name_or_path=str(asked.encoder),
            train_dataset=data,
            test_dataset=data,  # it wants one; nothing reads it
            text_column_name="text",
            label_column_name="label",
            max_text_length=asked.tokens,
            num_train_epochs=asked.epochs,
            num_repeats=asked.repeats,
            per_device_train_batch_size=32,
            optim="adafactor",
            clf_loss_factor=0.1,
            clf_level="mean_pool",
            seed=seed,
            report_to="none",
            save_strategy="no",
            output_dir=folder,
        )
        model = trainer.train().eval()
    read = {"padding": True, "truncation": True, "max_length": asked.tokens, "return_attention_mask": True}
    scores = np.zeros((len(texts), len(labels)))
    columns = [labels.index(label) for label in trainer.labels]
    order = np.argsort([len(text) for text in texts])
    for rows in np.array_split(order, -(-len(texts) // 64)):
        words = trainer.tokenizer([texts[i] for i in rows], return_tensors="pt", **read)
        with torch.no_grad():
            found = model.inference_forward(words["input_ids"], words["attention_mask"])
        scores[np.ix_(rows, columns)] = found.numpy()
    return softmax(scores, axis=1)


def autogluon(support: pd.DataFrame, examples: list, labels: list[str], asked: argparse.Namespace, seed: int):
    """Return probabilities [n, C] by AutoGluon-MultiModal, which has classes in the order of the alphabet."""
    from autogluon.multimodal import MultiModalPredictor

    column = "image" if "image" in support else "text"
    if column == "image":
        from autogluon.multimodal.models import timm_image

        network = efficientnet(asked.encoder / "model.safetensors")
        timm_image.create_model = lambda *_, **__: network  # it would ask a hub for the weights
        settings = {
            "model.names": ["timm_image"],
            "model.timm_image.checkpoint_name": network.default_cfg["architecture"],
        }
        settings |= {"model.timm_image.image_norm": "inception"}  # what these weights were trained with
    else:
        settings = {"model.names": ["hf_text"], "model.hf_text.max_text_len": asked.tokens}
        settings |= {"model.hf_text.checkpoint_name": str(asked.encoder.resolve())}
    settings |= {"env.num_gpus": 0, "env.num_workers": 0, "env.num_workers_inference": 0}
    with tempfile.TemporaryDirectory() as folder:
        model = MultiModalPredictor(
            label="label",
            problem_type="few_shot_classification",
            hyperparameters=settings,
            path=f"{folder}/model",
            verbosity=0,
        )
        model.fit(support[[column, "label"]], seed=seed)
        found = model.predict_proba(pd.DataFrame({column: examples}), as_pandas=False)
    p = np.zeros((len(examples), len(labels)))
    p[:, [labels.index(label) for label in sorted(support["label"].unique())]] = found
    return p


def efficientnet(weights: Path):
    """Return our EfficientNet-lite0 as a model of `timm`: the same layers in the same order."""
    import timm
    from safetensors.torch import load_file

    ours, model = load_file(weights), timm.create_model("tf_efficientnet_lite0", num_classes=0)
    block = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
    layers = [f"_blocks.{i}.{part}" for i in range(16) for part in block]
    layers = ["_conv_stem", "_bn0", *(each for each in layers if f"{each}.weight" in ours), "_conv_head", "_bn1"]
    parts = [key.rpartition(".") for key in model.state_dict()]
    other = dict(zip(dict.fromkeys(layer for layer, _, _ in parts), layers, strict=True))
    model.load_state_dict({f"{layer}.{kind}": ours[f"{other[layer]}.{kind}"] for layer, _, kind in parts})
    return model


def tfidf_svm(support: pd.DataFrame, texts: list[str], labels: list[str], asked: argparse.Namespace, seed: int):
    """Return probabilities [n, C] by a linear SVM on TF-IDF: the softmax of its margins."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LinearSVC(random_state=seed))
    model.fit(support["text"], support["label"].map(labels.index))
    margins = model.decision_function(texts)
    return softmax(margins if margins.ndim == 2 else np.stack([-margins, margins], 1), axis=1)


def names(support: pd.DataFrame, texts: list[str], labels: list[str], asked: argparse.Namespace, seed: int):
    """Return probabilities [n, C] by the cosine of texts to label names, or None where those say nothing."""
    from domains.names import label_phrases

    phrases = label_phrases(labels)
    if phrases is None:
        return None
    model = body(asked)
    x, name_x = (model.encode(each, normalize_embeddings=True) for each in (texts, phrases))
    return softmax(SCALE * x @ name_x.T, axis=1)


def body(asked: argparse.Namespace):
    """Return the encoder with mean pooling."""
    from sentence_transformers import SentenceTransformer, models

    words = models.Transformer(str(asked.encoder), max_seq_length=asked.tokens)
    return SentenceTransformer(modules=[words, models.Pooling(words.get_word_embedding_dimension(), "mean")])


def iterations_of(asked: argparse.Namespace, examples: int) -> int:
    """Return R, of which each makes two pairs an example, so that there are not too many pairs."""
    return asked.iterations if asked.pairs is None else max(1, min(asked.iterations, asked.pairs // (2 * examples)))


def accuracy(p: np.ndarray, y: np.ndarray) -> float:
    return float((p.argmax(1) == y).mean())


def log_loss(p: np.ndarray, y: np.ndarray) -> float:
    return float(-np.log(np.clip(p[np.arange(len(y)), y], SMALLEST, 1)).mean())


def ece(p: np.ndarray, y: np.ndarray) -> float:
    """Return the expected calibration error over 15 bins of equal width (Guo et al. 2017)."""
    confidence = p.max(1)
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return float(np.abs(np.bincount(bins, weights=(p.argmax(1) == y) - confidence)).sum() / len(p))


METHODS = {
    "setfit": (setfit, ("setfit", "sentence-transformers", "transformers", "torch")),
    "fastfit": (fastfit, ("fast-fit", "transformers", "datasets", "torch")),
    "autogluon": (autogluon, ("autogluon.multimodal", "transformers", "torch")),
    "tfidf-svm": (tfidf_svm, ("scikit-learn",)),
    "names": (names, ("sentence-transformers", "transformers", "torch")),
}

if __name__ == "__main__":
    main()
