# Build: docker build -t hopgate --build-arg VERSION=$(git describe --tags --always) .
FROM golang:1.26 AS build
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X hopgate/cli.version=${VERSION}" -o /hopgate .

# Nothing but the binary and the certificate authorities that it trusts.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /hopgate /hopgate
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["/hopgate"]
CMD ["serve", "-c", "/etc/hopgate/hopgate.yaml"]
