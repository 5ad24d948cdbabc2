# Two images with nothing in them but static binaries. With the plain builder and with BuildKit:
#   docker build -t taketurns:0.1.0 .                             the servers, and everything else
#   docker build -t taketurns-client:0.1.0 --target client .      the clients
# Programs are chosen with --entrypoint: /turn_server, /echo_server, /rank_server, /counter_server and so on.

# The sources without their contents, so that the layer of the dependencies changes only when a manifest does, or when a
# source is added or renamed.
FROM rust:1-slim-bookworm AS skeleton
WORKDIR /src
COPY . .
RUN find . -type f ! -name '*.rs' ! -name Cargo.toml ! -name Cargo.lock -delete \
    && find . -name '*.rs' -exec sh -c 'for source; do echo "#![allow(dead_code, missing_docs)] fn main() { }" > "$source"; done' -- {} +

FROM rust:1-slim-bookworm AS build
WORKDIR /src
ARG FEATURES=etcd,journal,status,tls,web-socket
# Static, for whatever machine builds. Cargo applies the flags to build scripts as well, unless a target is named.
ENV RUSTFLAGS="-C target-feature=+crt-static"
COPY --from=skeleton /src .
RUN cargo build --profile dist --locked -p taketurns --examples --features "$FEATURES" \
        --target "$(rustc --print host-tuple)"
COPY . .
# Cargo goes by the time of a file, and the skeleton is younger. What lies in target is the dependencies'.
RUN find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
    && cargo build --profile dist --locked -p taketurns --examples --features "$FEATURES" \
        --target "$(rustc --print host-tuple)" \
    && mkdir /programs /data \
    && find target/*/dist/examples -maxdepth 1 -type f -executable ! -name '*-*' ! -name cluster -exec cp -t /programs {} +

FROM scratch AS client
LABEL org.opencontainers.image.title="taketurns-client" \
      org.opencontainers.image.description="Clients of taketurns servers" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY LICENSE-APACHE LICENSE-MIT /
COPY --from=build /programs/turn_client /programs/echo_client /programs/rank_client /programs/counter_client /
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/turn_client"]

FROM scratch AS server
LABEL org.opencontainers.image.title="taketurns" \
      org.opencontainers.image.description="TCP clients take turns: servers, clients and demonstrations" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY LICENSE-APACHE LICENSE-MIT /
COPY --from=build /programs /
# For what counter_server writes, and for --journal; a volume that is mounted here belongs to the same user.
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /data
# In the environment, not in a CMD: options would replace that, and the address with it.
ENV TAKETURNS_LISTEN=0.0.0.0:5001
# Port 8081 is for the status listener: TAKETURNS_STATUS=0.0.0.0:8081. It is off by default, because whoever reaches it
# reads the clients' names.
# No HEALTHCHECK, because nothing in here could ask: whoever runs the container asks /healthz of the status listener.
EXPOSE 5001 8081
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/turn_server"]
