# Fuzzers (libFuzzer); tests/fuzz/README.md.
#
#   make fuzzers      builds them, in build/address-undefined/fuzz/
#   make fuzz-short   replays the corpora and runs each for a moment; part of `make check`
#   make fuzz         runs all for FUZZ_SECONDS (600) together; FUZZ_ONLY="wal csv" chooses

FUZZ_SECONDS ?= 600
FUZZ_TARGETS := $(patsubst tests/fuzz/target_%.c,%,$(sort $(wildcard tests/fuzz/target_*.c)))

.PHONY: fuzzers fuzz fuzz-short fuzz-programs

fuzzers:
	$(Q)+$(MAKE) --no-print-directory SAN=address$(comma)undefined fuzz-programs

fuzz-programs: $(FUZZ_TARGETS:%=$(B)/fuzz/fuzz_%)

$(B)/fuzz/fuzz_%: $(B)/tests/fuzz/target_%.o $(B)/tests/fuzz/common.o $(ARCHIVES) $(B)/libgen.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(TEST_LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(LINK_ARCHIVES) $(LIBS)

fuzz-short: fuzzers
	$(Q)tests/fuzz/fuzz short $(FUZZ_ONLY)

fuzz: fuzzers
	$(Q)tests/fuzz/fuzz long --seconds $(FUZZ_SECONDS) $(FUZZ_ONLY)
