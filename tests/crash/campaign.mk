# Campaigns on real daemons: tests/crash/README.md, tests/fault/README.md.
#
#   make campaign-short            the short run of both, as in `make check`
#   make campaign MINUTES=30       the long one, half of the time for each; SEED= chooses the dice

CAMPAIGN_MINUTES = $(if $(filter command line environment,$(origin MINUTES)),$(MINUTES),30)
CAMPAIGN_SEED = $(if $(SEED),--seed $(SEED))

.PHONY: campaign campaign-short

ifneq ($(FAILPOINTS),)
all: $(B)/tests/crash/no_sync.so
endif

$(B)/tests/crash/no_sync.so: tests/crash/no_sync.c
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 -Wall -Wextra -shared -fPIC -o $@ $<

campaign-short:
	$(Q)tests/crash/run
	$(Q)tests/fault/run

campaign:
	$(Q)tests/crash/run --minutes $$(awk 'BEGIN{print $(CAMPAIGN_MINUTES)/2}') $(CAMPAIGN_SEED)
	$(Q)tests/fault/run --minutes $$(awk 'BEGIN{print $(CAMPAIGN_MINUTES)/2}') $(CAMPAIGN_SEED)
