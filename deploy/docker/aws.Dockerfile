# AWS on this machine, for stations in containers. The build needs no network: see station.Dockerfile.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
COPY requirements/ /build/requirements/
COPY wheels/ /build/wheels/
ENV PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INDEX=1 PIP_FIND_LINKS=/build/wheels PIP_ROOT_USER_ACTION=ignore
# /opt/evswap keeps its pip: `evswap up` makes the functions' zip with it.
RUN python3 -m venv /opt/evswap \
 && /opt/evswap/bin/python -m pip install --require-hashes --requirement /build/requirements/local.txt \
 && /opt/evswap/bin/python -m pip download --require-hashes --no-deps --dest /opt/evswap/wheels \
    --requirement /build/requirements/lambda.txt
RUN python3 -m venv --without-pip /opt/ministack \
 && python3 -m pip --python /opt/ministack/bin/python install --require-hashes \
    --requirement /build/requirements/ministack.txt
COPY own/ /build/own/
RUN /opt/evswap/bin/python -m pip install --no-deps /build/own/*.whl
# What `evswap up` reads of a checkout.
COPY cloud/stack/ /opt/evswap/checkout/cloud/stack/
COPY requirements/lambda.txt /opt/evswap/checkout/requirements/lambda.txt
COPY aws.py /opt/evswap/aws.py

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="evswap AWS" \
      org.opencontainers.image.description="AWS on one machine, with the evswap stack: for trying and testing, never for production" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 evswap \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin evswap \
 && install -d -o evswap -g evswap -m 0700 /var/lib/evswap /var/lib/evswap/claim
COPY --from=build /opt/evswap /opt/evswap
COPY --from=build /opt/ministack /opt/ministack
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    EVSWAP_MINISTACK_PYTHON=/opt/ministack/bin/python EVSWAP_STATE_DIR=/var/lib/evswap \
    PIP_NO_INDEX=1 PIP_FIND_LINKS=/opt/evswap/wheels PIP_CACHE_DIR=/tmp/pip
USER 10001:10001
VOLUME /var/lib/evswap
EXPOSE 4566 8883
STOPSIGNAL SIGTERM
# Healthy: the stack stands, the claim is there, and the REST API answers.
HEALTHCHECK --interval=5s --timeout=10s --start-period=120s --retries=5 \
    CMD ["/opt/evswap/bin/python", "-I", "/opt/evswap/aws.py", "health"]
ENTRYPOINT ["/opt/evswap/bin/python", "-I", "/opt/evswap/aws.py"]
CMD ["run"]
