# Two images: `validator`, the last and so the default one, and `pipeline`, the reference pipeline.
#   docker build --tag obs-validator .
#   docker build --tag obs-validator-pipeline --target pipeline .
FROM python:3.11-slim AS base
ENV LANG=C.UTF-8 \
    PATH=/opt/obs-validator/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The official image has no compiled standard library and the root file system is read-only when
# it runs: without this every start would compile what it imports.
RUN python -m compileall -q --invalidation-mode unchecked-hash \
      -x '/(test|idlelib|lib2to3|tkinter|turtledemo|ensurepip|(site|dist)-packages)/' \
      "$(python -c 'import os; print(os.path.dirname(os.__file__))')" \
 && groupadd --gid 65532 obs-validator \
 && useradd --uid 65532 --gid 65532 --no-log-init --no-create-home --home-dir /nonexistent \
      --shell /usr/sbin/nologin obs-validator

# pip of a virtual environment of its own installs into another, which so has none.
FROM base AS tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_QUIET=1
WORKDIR /src
COPY requirements-build.lock ./
RUN python -m venv /build \
 && /build/bin/pip install --require-hashes -r requirements-build.lock \
 && python -m venv --without-pip /opt/obs-validator

FROM tools AS wheel
COPY . ./
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM tools AS pipeline-installed
COPY requirements-pipeline.lock ./
RUN /build/bin/pip --python /opt/obs-validator/bin/python install \
      --require-hashes -r requirements-pipeline.lock
COPY --from=wheel /wheels /wheels
RUN /build/bin/pip --python /opt/obs-validator/bin/python install --no-deps /wheels/*.whl \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/obs-validator/lib

FROM tools AS validator-installed
COPY requirements-run.lock ./
RUN /build/bin/pip --python /opt/obs-validator/bin/python install \
      --require-hashes -r requirements-run.lock
COPY --from=wheel /wheels /wheels
RUN /build/bin/pip --python /opt/obs-validator/bin/python install --no-deps /wheels/*.whl \
 && rm -r /opt/obs-validator/lib/python*/site-packages/pipeline \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/obs-validator/lib


FROM base AS pipeline
LABEL org.opencontainers.image.title="obs-validator reference pipeline" \
      org.opencontainers.image.description="A small instrumented job pipeline for obs-validator to judge." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim"
COPY --from=pipeline-installed /opt/obs-validator /opt/obs-validator
# Its state is for one start only: with a read-only root file system mount a tmpfs here. It is open
# to all, as /tmp is, because podman gives the tmpfs this mode and root as its owner.
RUN install --directory --mode 1777 /var/lib/pipeline
WORKDIR /var/lib/pipeline
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s \
  CMD ["python", "-I", "-m", "pipeline", "status", "--state-dir", "/var/lib/pipeline/state"]
ENTRYPOINT ["python", "-I", "-m", "pipeline"]
CMD ["up", "--state-dir", "/var/lib/pipeline/state"]


FROM base AS validator
ARG REVISION=unknown
LABEL org.opencontainers.image.title="obs-validator" \
      org.opencontainers.image.description="Proves that the telemetry of a job pipeline can be trusted." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim"
COPY --from=validator-installed /opt/obs-validator /opt/obs-validator
# The suites of the reference pipeline, under a path that does not name Python's version.
RUN mkdir /etc/obs-validator /usr/share/obs-validator \
 && ln -s "$(python -c 'from validator.resources import folder; print(folder("suites"))')" \
      /usr/share/obs-validator/suites
# Where `check` looks for obs-validator.yaml, and where `suites/` of a configuration is looked for.
WORKDIR /etc/obs-validator
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
  CMD ["python", "-I", "-m", "validator.health"]
ENTRYPOINT ["obs-validator"]
CMD ["--help"]
