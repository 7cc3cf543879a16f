# The benchmark: see tests/bench/README.md.

BENCH := $(B)/synclog-bench
BENCH_OBJECTS := $(patsubst tests/%.c,$(B)/tests/%.o,$(sort $(wildcard tests/bench/*.c)))

$(B)/tests/bench/%.o: override CPPFLAGS += -Itests/bench

$(BENCH): $(BENCH_OBJECTS) $(ARCHIVES) $(B)/libgen.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(BENCH_OBJECTS) $(LINK_ARCHIVES) $(LIBS)

all: $(BENCH)
