# The gateway. `docker build -t audiosocket-gw .`, or `docker compose up` for the whole stack.
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/audiosocket-gw \
    && /opt/audiosocket-gw/bin/pip install --no-cache-dir .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home gateway \
    && install -d -o 10001 -m 700 /records
COPY --from=build /opt/audiosocket-gw /opt/audiosocket-gw
USER 10001
# For RECORD_DIR and FLIGHT_DIR: /records/calls and /records/flights, say.
VOLUME /records
WORKDIR /tmp
ENV HOST=0.0.0.0 PORT=5001 PYTHONUNBUFFERED=1
EXPOSE 5001
# Exec form: SIGTERM reaches the gateway itself, which then lets the running calls finish.
ENTRYPOINT ["/opt/audiosocket-gw/bin/audiosocket-gw"]
CMD ["serve"]
