"""What was published of few-shot text classification: accuracy by domain and labels a class.

Intents: as their authors report, collected by Zhang et al. at https://github.com/jianguoz/Few-Shot-Intent-Detection.
RoBERTa-base, fine-tuned: J. Zhang et al. EMNLP 2020 (DNNC). CPFT, the best of that collection, which is trained on
the texts of six sets of intents before it is fine-tuned: J. Zhang et al. EMNLP 2021, https://arxiv.org/abs/2109.06349.

Episodes: Y. Bao, M. Wu, S. Chang and R. Barzilay. Few-shot Text Classification with Distributional Signatures. ICLR
2020, https://arxiv.org/abs/1908.06039.
"""

ROBERTA, CPFT, SIGNATURES = "RoBERTa-base", "CPFT", "distributional signatures"

#: The figure that ours is set beside comes first.
PUBLISHED: dict[tuple[str, int], dict[str, float]] = {
    ("banking77", 5): {ROBERTA: 0.7404, CPFT: 0.8086},
    ("banking77", 10): {ROBERTA: 0.8427, CPFT: 0.8720},
    ("clinc150", 5): {ROBERTA: 0.8799, CPFT: 0.9234},
    ("clinc150", 10): {ROBERTA: 0.9155, CPFT: 0.9418},
    ("hwu64", 5): {ROBERTA: 0.7556, CPFT: 0.8203},
    ("hwu64", 10): {ROBERTA: 0.8290, CPFT: 0.8713},
    ("huffpost-test", 1): {SIGNATURES: 0.430},
    ("huffpost-test", 5): {SIGNATURES: 0.635},
    ("20newsgroups-test", 1): {SIGNATURES: 0.521},
    ("20newsgroups-test", 5): {SIGNATURES: 0.683},
    ("reuters31-test", 1): {SIGNATURES: 0.818},
    ("reuters31-test", 5): {SIGNATURES: 0.960},
}
