# What the system tests need beside the programs.

all: $(B)/tests/system/damage_store

$(B)/tests/system/damage_store: $(B)/tests/system/damage_store.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIBS)
