# A worker, a flow run, the Prefect server, MLflow, or any command: docker build --tag acclimate .
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/acclimate
ENV PATH=/opt/acclimate/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt ./
# first and alone, as it is the largest by far and rarely changes; wheels for the processor, a tenth of those for a GPU
RUN grep '^torch==' constraints.txt > torch.txt \
    && pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu --requirement torch.txt
COPY . ./
RUN pip install --no-cache-dir --constraint constraints.txt '.[postgres,s3,docker,kubernetes]'

FROM python:3.11-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 acclimate \
    && install --directory --owner acclimate --group acclimate /project /state
COPY --from=build /opt/acclimate /opt/acclimate
ENV PATH=/opt/acclimate/bin:$PATH PYTHONUNBUFFERED=1 MLFLOW_DISABLE_TELEMETRY=true PREFECT_SERVER_ANALYTICS_ENABLED=false
USER 10001
WORKDIR /project
CMD ["acclimate", "--help"]
