"""The model in service behind HTTP: MLflow's model server, which follows the champion."""
