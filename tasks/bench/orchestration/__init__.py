"""The benchmarks of orchestration: speed, and kills at random moments."""
