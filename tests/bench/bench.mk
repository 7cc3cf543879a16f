# The benchmark: see tests/bench/README.md.
#
#   make bench            the goals beside what this machine gives, in some minutes
#   make bench-layout     the store alone: bytes on disk, reading
#   make bench-memory     resident memory, idle and over ten minutes of load
#   make bench-peers      beside the floor and redis over connections, with a plot; takes longer

BENCH := $(B)/synclog-bench
BENCH_OBJECTS := $(patsubst tests/%.c,$(B)/tests/%.o,$(sort $(wildcard tests/bench/*.c)))

.PHONY: bench bench-peers bench-memory bench-layout install-bench

# Flavours that differ in some objects only are for tests, which do without.
ifeq ($(B),$(BASE))
all: $(BENCH)
endif

$(BENCH_OBJECTS): override CPPFLAGS += -Itests/bench

$(BENCH): $(BENCH_OBJECTS) $(ARCHIVES) $(B)/libgen.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(BENCH_OBJECTS) $(LINK_ARCHIVES) $(LIBS)

bench: all
	$(Q)tests/bench/compare --build $(B)

bench-peers: all
	$(Q)tests/bench/peers --build $(B)

bench-memory: all
	$(Q)tests/bench/memory --build $(B)

bench-layout: all
	$(Q)$(BENCH) layout --data ../shared/data

$(B)/man/.stamp: $(BENCH)

install: install-bench

install-bench: all
	install -D -m 755 $(BENCH) $(DESTDIR)$(PREFIX)/bin/synclog-bench
