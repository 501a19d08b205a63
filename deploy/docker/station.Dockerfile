# A station. The build needs no network: `deploy/docker/stations context` has put the libraries' wheels into wheels/, and ours
# into own/, so that a change of ours does not install the libraries again.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
COPY requirements/ /build/requirements/
COPY wheels/ /build/wheels/
ENV PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INDEX=1 PIP_FIND_LINKS=/build/wheels PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /opt/evswap \
 && python3 -m pip --python /opt/evswap/bin/python install --require-hashes --requirement /build/requirements/station.txt
COPY own/ /build/own/
RUN python3 -m pip --python /opt/evswap/bin/python install --no-deps /build/own/*.whl
COPY station.py /opt/evswap/station.py

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="evswap station" \
      org.opencontainers.image.description="A battery-swap station: samples its bays, keeps every sample until the cloud has it" \
      org.opencontainers.image.licenses="Apache-2.0"
# Folders that volumes are mounted on: a new volume takes over their owner.
RUN groupadd --gid 10001 evswap \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin evswap \
 && install -d -o evswap -g evswap -m 0700 /data /run/claim /run/evswap
COPY --from=build /opt/evswap /opt/evswap
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
VOLUME /data
STOPSIGNAL SIGTERM
# Healthy: a sample was written not long ago. A station that is offline goes on sampling and is healthy.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 \
    CMD ["/opt/evswap/bin/evswap-edge", "health", "--config", "/run/evswap/station.yaml"]
ENTRYPOINT ["/opt/evswap/bin/python", "-I", "/opt/evswap/station.py"]
