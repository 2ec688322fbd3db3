# The gateway: `docker build -t audiosocket-gw .`; with Asterisk: `docker compose up`.
FROM python:3.13-slim AS build
WORKDIR /src
# Dependencies first: a change of the source doesn't download them again.
COPY requirements requirements
RUN python -m venv /opt/audiosocket-gw \
    && /opt/audiosocket-gw/bin/pip install --no-cache-dir --require-hashes --no-deps \
        -r requirements/build.txt -r requirements/runtime.txt
COPY . .
# Remove what only the build needs. (The base image keeps its own pip.)
RUN /opt/audiosocket-gw/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/audiosocket-gw/bin/pip uninstall --yes setuptools pip

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin gateway \
    && install -d -o 10001 -m 700 /records
COPY --from=build /opt/audiosocket-gw /opt/audiosocket-gw
USER 10001
# For RECORD_DIR and FLIGHT_DIR, and for files that a command writes to its working directory.
VOLUME /records
WORKDIR /records
ENV PATH=/opt/audiosocket-gw/bin:$PATH HOST=0.0.0.0 PORT=5001 PYTHONUNBUFFERED=1
EXPOSE 5001
# ALLOWED_PEERS has no default here: without it `serve` doesn't start, since others could reach the port.
# Asks the kernel, not the port: ALLOWED_PEERS would have to admit a connection, and it would count as a call.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s \
    CMD ["/opt/audiosocket-gw/bin/python", "-I", "-m", "audiosocket_gw.commands.health"]
# Exec form: SIGTERM reaches the gateway itself, which then lets running calls finish. Allow it the time with
# `docker run --stop-timeout 40`, longer than DRAIN_TIMEOUT. Docker's default of 10 s would cut them off.
ENTRYPOINT ["/opt/audiosocket-gw/bin/audiosocket-gw"]
CMD ["serve"]
