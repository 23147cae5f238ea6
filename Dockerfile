# The program alone, as one static binary: no shell, no package manager, nothing else to keep up to date.
#   docker build -t waypost .
#   docker run -d --name waypost -p 127.0.0.1:2785:2785 -v waypost:/data waypost
FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends musl-tools \
    && rm -rf /var/lib/apt/lists/*
# Set by BuildKit: amd64 or arm64.
ARG TARGETARCH=amd64
WORKDIR /src
COPY . .
RUN case "$TARGETARCH" in \
        amd64) target=x86_64-unknown-linux-musl ;; \
        arm64) target=aarch64-unknown-linux-musl ;; \
        *) echo "no binary for $TARGETARCH" >&2; exit 1 ;; \
    esac \
    && rustup target add "$target" \
    && cargo build --release --locked --target "$target" \
    && install -D -m 0755 "target/$target/release/waypost" /out/waypost \
    && install -d -m 0700 -o 10001 -g 10001 /out/data

FROM scratch
COPY --from=build /out/ /
ENV WAYPOST_DATA_DIR=/data WAYPOST_HOST=0.0.0.0
USER 10001:10001
VOLUME /data
EXPOSE 2785
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=12s --start-period=30s --retries=3 CMD ["/waypost", "health"]
ENTRYPOINT ["/waypost"]
CMD ["serve"]
