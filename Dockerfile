# The sidecar as an image: Node, the compiled sources, what they depend on, and nothing else: no shell, no package
# manager. For a base of your own (a mirror, another patch of Node) set NODE_IMAGE: any image of Debian with npm and
# Node 24 or later.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t outrigger .

ARG NODE_IMAGE=node:24.21.0-bookworm-slim

# dist/ from src/, with everything that development has.
FROM ${NODE_IMAGE} AS compiled
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
COPY .ci/build .ci/build
COPY src src
RUN [".ci/build"]

# The root of the image, put together where there is a shell.
FROM ${NODE_IMAGE} AS assembled
WORKDIR /outrigger
COPY package.json package-lock.json .npmrc ./
RUN ["npm", "ci", "--omit=dev", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
COPY --from=compiled /build/dist dist
COPY LICENSE ./
COPY config/outrigger.yaml /etc/outrigger/outrigger.yaml
COPY .ci/image-root /tmp/image-root
RUN ["/tmp/image-root", "/root-of-image"]

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="outrigger" \
      org.opencontainers.image.description="A local HTTP egress sidecar: pool limits, timeouts, retries, circuit breaking and request IDs for every outbound call" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=assembled /root-of-image/ /
ENV PATH=/usr/local/bin \
    NODE_ENV=production \
    NODE_COMPILE_CACHE=/outrigger/cache \
    OUTRIGGER_CONFIG=/etc/outrigger/outrigger.yaml
WORKDIR /outrigger
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# Of the proxy and of admin, both on loopback unless the configuration says otherwise: in a pod that is the
# loopback of the application, too.
EXPOSE 3128 3129
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
  CMD ["/usr/local/bin/node", "--disable-sigusr1", "--disallow-code-generation-from-strings", "/outrigger/dist/main.js", "wait", "--timeout", "2s"]
ENTRYPOINT ["/usr/local/bin/node", "--disable-sigusr1", "--disallow-code-generation-from-strings", "/outrigger/dist/main.js"]
CMD ["run"]
