# The image holds pkigen and nothing that it does not need at run time.
#
#   docker build -t pkigen .
#   docker run --rm --read-only --user "$(id -u):$(id -g)" -v "$PWD:/work" pkigen init cluster.yaml

ARG PYTHON_VERSION=3.13
ARG DEBIAN_VERSION=bookworm

FROM docker.io/library/python:${PYTHON_VERSION}-slim-${DEBIAN_VERSION} AS builder
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY pkigen ./pkigen
COPY templates ./templates
COPY examples ./examples
# One environment, made at the path that it will have in the final image. Byte code is compiled here, because the
# final root file system may be read-only.
RUN python -m venv --without-pip /opt/pkigen && \
    python -m pip --python /opt/pkigen/bin/python install --no-cache-dir --compile . && \
    /opt/pkigen/bin/pkigen --version

FROM docker.io/library/python:${PYTHON_VERSION}-slim-${DEBIAN_VERSION}
LABEL org.opencontainers.image.title="pkigen" \
      org.opencontainers.image.description="Kubernetes cluster PKI from one declarative spec" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=builder /opt/pkigen /opt/pkigen
ENV PATH=/opt/pkigen/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A user without a name of its own: --user may give any other, since nothing outside of /work is written.
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["pkigen"]
CMD ["--help"]
