# The deterministic simulator: see tests/sim/README.md.
#
#   make sim SEEDS=600 FIRST=1     these seeds, and those of tests/sim/seeds.txt before
#   make soak MINUTES=60           until the time is over
#   make golden                    writes the traces of tests/sim/golden anew

SEEDS ?= 600
FIRST ?= 1
MINUTES ?= 600

SIM := $(B)/tests/sim/sim
SIM_OBJECTS := $(patsubst tests/%.c,$(B)/tests/%.o,$(sort $(wildcard tests/sim/*.c)) tests/unit/wal/mem_io.c)

.PHONY: sim soak golden

$(SIM): $(SIM_OBJECTS) $(ARCHIVES) $(B)/libgen.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(SIM_OBJECTS) $(LINK_ARCHIVES) $(CHECK_LIBS) $(MALLOC_LIBS) $(LIBS)

sim: $(SIM)
	$(Q)$(SIM) --golden tests/sim/golden
	$(Q)$(SIM) --list tests/sim/seeds.txt --first $(FIRST) --seeds $(SEEDS)

soak: $(SIM)
	$(Q)$(SIM) --first $$(date +%s)000 --seeds 1000 --minutes $(MINUTES)

golden: $(SIM)
	$(Q)$(SIM) --golden tests/sim/golden --update
