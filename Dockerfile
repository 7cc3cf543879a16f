ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
WORKDIR /src
COPY scripts/install-deps scripts/
RUN scripts/install-deps build && rm -rf /var/lib/apt/lists/*
COPY Makefile VERSION ./
COPY scripts/fixgen scripts/make-man scripts/
COPY thrift thrift
COPY conf conf
COPY daemon daemon
RUN make -j"$(nproc)" all && make install DESTDIR=/out PREFIX=/usr

FROM ${BASE}
COPY scripts/install-deps /tmp/
RUN /tmp/install-deps runtime && rm -rf /var/lib/apt/lists/* /tmp/install-deps \
 && groupadd --gid 10001 synclogd \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/synclogd \
      --shell /usr/sbin/nologin synclogd \
 && install -d -m 750 -o 10001 -g 10001 /var/lib/synclogd
COPY --from=build /out/ /
USER 10001:10001
VOLUME /var/lib/synclogd
EXPOSE 7670 7671
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --retries=3 --start-period=30s \
  CMD ["/usr/bin/synclogd", "--healthcheck"]
ENTRYPOINT ["/usr/bin/synclogd"]
