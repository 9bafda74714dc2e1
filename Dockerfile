# The images of the operator and of the router: `--target operator` or `--target router`.
#
# The base image needs Python 3.11 as python3 and nothing else. Packages come from build/wheels where
# that is filled (`tools/images` does so: the build then needs no network, with Docker and with
# buildah), else from where the base image's pip looks. The hashes decide in both cases.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

# Packages first, our code second: a change of code reuses the layers of the packages.
FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY tools/image-install /bin/
COPY requirements/ requirements/
# LICENSE is always there, the wheels may be missing.
COPY LICENSE build/wheel[s] wheels/

# Bytecode is compiled here, for the root filesystem is read-only later; unchecked-hash, because
# times of files mean nothing in an image.
FROM build AS build-operator
RUN image-install operator hinf hybrid_operator.cli.main
COPY operator/hybrid_operator /app/operator/hybrid_operator
COPY router/hybrid_router /app/operator/hybrid_router
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app/operator

FROM ${BASE_IMAGE} AS operator
COPY LICENSE /licenses/
COPY --from=build-operator /app/operator /app
ENV PATH=/app/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/app PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python3", "-m", "hybrid_operator"]

FROM build AS build-router
RUN image-install router hinf-router hybrid_router.__main__
COPY router/hybrid_router /app/router/hybrid_router
# The hot path, compiled (docs/decisions/0014): where build/compiled is filled, as tools/images does.
# Without it, or where it is of another system, the sources run as they are, and a request costs more.
COPY LICENSE build/compile[d] compiled/
RUN if [ -d compiled/hybrid_router ]; then \
      cp -r compiled/*.so compiled/hybrid_router /app/router/ && \
      if ! PYTHONPATH=/app/router python3 -c "import hybrid_router.pipeline as p; assert p.__file__.endswith('.so')"; then \
        echo "the compiled modules do not fit this image: it runs the sources" >&2 && \
        find /app/router -name '*.so' -delete; \
      fi \
    fi
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app/router

FROM ${BASE_IMAGE} AS router
COPY LICENSE /licenses/
COPY --from=build-router /app/router /app
ENV PATH=/app/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/app PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["hinf-router"]
