"""Meta-training by several sites over NVIDIA FLARE: startup kits, its processes, what they ask and answer."""
