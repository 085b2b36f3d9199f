"""Meta-learning algorithms, encoders and the choice between them: pure torch."""
