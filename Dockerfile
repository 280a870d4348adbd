# The image holds pkigen and nothing that it does not need at run time. It is built from the offline kit, without
# a package index:
#
#   python scripts/offline.py dist/offline --python 3.13
#   docker build -t pkigen .
#   docker run --rm --read-only --user "$(id -u):$(id -g)" -v "$PWD:/work" pkigen init cluster.yaml
#
# Another base, with a Python that the kit is for, by tag or by digest:
#
#   docker build --build-arg BASE=python@sha256:… -t pkigen .

ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS builder
COPY dist/offline /kit
# One environment, made at the path that it will have in the final image, by hash. Byte code is compiled here,
# because the final root file system may be read-only.
RUN PYTHON=python sh /kit/install.sh /opt/pkigen && \
    /opt/pkigen/bin/python -m pip uninstall --yes --quiet pip && \
    /opt/pkigen/bin/pkigen --version

FROM ${BASE}
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
