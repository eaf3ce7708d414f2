# berth on an empty image: the static binary, certificates of the public authorities, nothing else.
# `docker build -t berth .` needs a golang image; `make image` builds the same from the local
# toolchain, for machines that can pull nothing.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=0.1.0
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/berth ./cmd/berth \
 && CGO_ENABLED=0 go run -trimpath ./internal/setcap /out/berth \
 && mkdir -p /out/data

FROM scratch
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="berth" \
      org.opencontainers.image.description="Service discovery for Docker hosts: registrator, catalog and DNS in one daemon" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/berth /berth
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
EXPOSE 53/udp 53/tcp 8300 8301/udp 8301/tcp 8302/udp 8302/tcp 8500 8600/udp 8600/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s --retries=3 CMD ["/berth", "health"]
ENTRYPOINT ["/berth"]
CMD ["agent", "-data-dir", "/data", "-client", "0.0.0.0"]
