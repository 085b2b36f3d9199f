"""The data at a git revision: DVC's cache, data.dvc, commits and differences."""
