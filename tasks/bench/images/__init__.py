"""The few-shot benchmarks of raw images, and the speed of meta-training."""
