"""The Prefect server of this machine, its deployments, its worker and the process that runs are forked off."""
