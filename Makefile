# synclogd
#
#   make              the daemon and its tools, in build/plain/
#   make check        everything that must pass before a commit lands
#   make check-long   the same with every test in every flavour
#   make unit         unit tests only            make system   tests with real daemons
#   make sim          clusters under simulated faults, SEEDS= of them; make soak MINUTES= for longer
#   make campaign     real daemons under random crashes and faults, MINUTES= of it
#   make lint         format, layers, imports, static analysis
#   make bench        the goals of speed beside what this machine gives; make bench-peers for redis too, and a plot
#   make fuzz         fuzzers, for FUZZ_SECONDS together
#   make demo         three nodes on this machine, with this machine's metrics
#   make install      DESTDIR= PREFIX=/usr/local; make deb for Debian packages
#
#   V=1                        show the commands
#   SAN=address,undefined      build with these sanitizers, in a build folder of its own; needs clang 14
#   SAN=thread
#   NEXT=1                     as a next version, with fields that this one does not know, in a build folder of its own
#   FAILPOINTS=1               with the failpoints of the crash tests, in a build folder of its own

CC ?= gcc
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
VERSION := $(shell cat VERSION)

comma := ,
FLAVOUR := $(if $(SAN),$(subst $(comma),-,$(SAN)),plain)
# The flavour that this one differs from in some objects only: the others are compiled there.
BASE := build/$(FLAVOUR)
ifneq ($(FAILPOINTS),)
FLAVOUR := $(if $(SAN),failpoints-$(FLAVOUR),failpoints)
OWN_SOURCES := $(shell grep -rl --include=*.c -i failpoint daemon)
endif
B := build/$(FLAVOUR)
G := build/gen
IDL := $(wildcard thrift/*.thrift)
IDL_FOLDER := thrift

# What nodes of this version meet during an upgrade: a higher version, and fields that they do not know.
ifneq ($(NEXT),)
FLAVOUR := next
BASE := build/plain
OWN_SOURCES := $(wildcard daemon/rpc/*.c) $(shell grep -rl --include=*.c SYNCLOG_VERSION daemon)
BASE_VERSION := $(VERSION)
VERSION := $(VERSION)+next
B := build/next
G := build/gen-next
IDL_FOLDER := build/thrift-next
endif
BASE_VERSION ?= $(VERSION)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-6s %s\n' $(1) $(2)
endif

PACKAGES := glib-2.0 gobject-2.0 thrift_c_glib libevent libevent_pthreads rocksdb libxxhash jansson zlib \
            libsystemd
# Clang, of which the fuzzers are made: with its address sanitizer tests and fuzzers share their objects.
ifneq ($(findstring address,$(SAN)),)
override CC := $(if $(findstring ccache,$(CC)),ccache )clang-14
COVERAGE := -fsanitize=fuzzer-no-link
# As gcc says it.
override CPPFLAGS += -D__SANITIZE_ADDRESS__=1
WARNINGS := -Wall -Wextra -Wmissing-prototypes -Wno-unused-variable
CFLAGS ?= -gline-tables-only
else
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wno-format-nonliteral
CFLAGS ?= $(if $(SAN),-g1,-O2 -g)
endif
# What makes the difference to the base, and the same for the objects that stay there.
OWN_CPPFLAGS := -I$(G) -DSYNCLOG_VERSION='"$(VERSION)"' $(if $(FAILPOINTS),-DSYNCLOG_FAILPOINTS)
BASE_CPPFLAGS := -Ibuild/gen -DSYNCLOG_VERSION='"$(BASE_VERSION)"'
override CPPFLAGS += -Idaemon -D_GNU_SOURCE -DG_LOG_USE_STRUCTURED
PKG_CFLAGS := -pthread $(shell pkg-config --cflags $(filter-out rocksdb,$(PACKAGES)))
PKG_LIBS := $(shell pkg-config --libs $(PACKAGES))
ALL_CFLAGS = -std=gnu11 $(CFLAGS) $(WARNINGS) $(WERROR) $(PKG_CFLAGS) $(CPPFLAGS) $(OWN_CPPFLAGS) -MMD -MP
LIBS := $(PKG_LIBS) -lm -pthread
# The daemon's threads free what others allocated; glibc is slow at that. Sanitizers bring their own.
MALLOC_LIBS := $(if $(SAN),,-Wl,--push-state,--no-as-needed -lmimalloc -Wl,--pop-state)
# The screen of synclogctl top.
CTL_LIBS := $(shell pkg-config --libs ncursesw)
# Lazily: only the tests need it.
CHECK_CFLAGS = $(shell pkg-config --cflags check)
CHECK_LIBS = $(shell pkg-config --libs check)

# The tests' own code is compiled quickly (-O0, below) and its programs are linked quickly.
# But in these it is the test that works: clusters, disks and models.
BUSY_TESTS := $(addprefix unit/,engine/test_group_chaos engine/test_group_members engine/test_group_protocol \
              wal/test_power_loss store/test_random store/test_conflicts) \
              $(addprefix fuzz/target_,engine query wal wal_walk)
TEST_LDFLAGS := -fuse-ld=gold

# How well an object is compiled, where that is not what CFLAGS say: set for single objects below.
LEVEL := $(if $(SAN),-O1)
override CFLAGS += $(LEVEL)
ifneq ($(SAN),)
override CFLAGS += $(COVERAGE) -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
override LDFLAGS += -fsanitize=$(SAN)
ifeq ($(SAN),thread)
# GLib's locks are futexes in a library that is not instrumented: tell the sanitizer about them.
override CPPFLAGS += -include tests/tsan_glib.h
endif
# Clang reads what most files include compiled, once for each level. The plain build sees what a file forgot to include.
ifneq ($(findstring address,$(SAN)),)
PRECOMPILED := $(BASE)/common-O0.h.pch $(BASE)/common-O1.h.pch
override CFLAGS += -include $(BASE)/common$(LEVEL).h
endif
endif

# --- generated code -----------------------------------------------------------------------------

GEN_SOURCES := $(addprefix $(G)/sl_,types_types.c client_types.c peer_types.c admin_types.c \
               t_client_service.c t_peer_service.c t_admin_service.c)
# Only another version has other generated code.
GEN_OBJECTS := $(GEN_SOURCES:$(G)/%.c=$(if $(NEXT),$(B),$(BASE))/gen/%.o)

# --- libraries, one a folder; later ones may use earlier ones -------------------------------------

MODULES := base core engine wal store rpc http node
sources = $(sort $(wildcard daemon/$(1)/*.c))
objects = $(if $(filter $(B),$(BASE)),$(patsubst daemon/%.c,$(B)/%.o,$(call sources,$(1))), \
            $(patsubst daemon/%.c,$(B)/%.o,$(filter $(OWN_SOURCES),$(call sources,$(1)))) \
            $(patsubst daemon/%.c,$(BASE)/%.o,$(filter-out $(OWN_SOURCES),$(call sources,$(1)))))
ARCHIVES := $(foreach m,$(MODULES),$(if $(call sources,$(m)),$(B)/lib$(m).a))
LINK_ARCHIVES := -Wl,--start-group $(ARCHIVES) $(B)/libgen.a -Wl,--end-group

PROGRAMS := $(if $(wildcard daemon/main.c),$(B)/synclogd) \
            $(if $(wildcard daemon/ctl/*.c),$(B)/synclogctl)
UNIT_TESTS := $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/*/test_*.c)))

.PHONY: all check check-long unit system lint demo install man deb clean generated format
.SECONDARY:
.DELETE_ON_ERROR:

all: $(PROGRAMS)

generated: $(G)/.stamp

$(G)/.stamp: $(IDL) scripts/fixgen
	$(call say,THRIFT,thrift/)
	$(Q)mkdir -p $(G)
	$(if $(NEXT),$(Q)scripts/next-idl $(IDL_FOLDER))
	$(Q)for idl in $(IDL_FOLDER)/*.thrift; do thrift --gen c_glib -out $(G) $$idl || exit 1; done
	$(Q)scripts/fixgen $(G)
	$(Q)touch $@

$(GEN_SOURCES): $(G)/.stamp ;

# Compiling costs more than running: generated code, and what is not busy, where it is only tested.
ifneq ($(SAN),)
QUICK := gen rpc http node ctl tests/bench tests/fuzz
$(foreach each,$(QUICK),$(B)/$(each)/%.o $(BASE)/$(each)/%.o): LEVEL := -O0
endif
ifneq ($(NEXT),)
$(B)/%.o: LEVEL := -O0
endif

$(BASE)/common-O0.h.pch: LEVEL := -O0
$(BASE)/common-O1.h.pch: LEVEL := -O1
$(BASE)/common-%.h.pch: tests/common.h
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)cp $< $(@:.pch=)
	$(Q)$(CC) -std=gnu11 $(filter-out -include $(BASE)/%.h,$(CFLAGS)) $(PKG_CFLAGS) $(CPPFLAGS) -x c-header $< -o $@

# Generated code is not held to our warnings.
$(GEN_OBJECTS): $(if $(NEXT),$(B),$(BASE))/gen/%.o: $(G)/%.c | $(PRECOMPILED)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(CFLAGS) -w $(PKG_CFLAGS) $(CPPFLAGS) $(OWN_CPPFLAGS) -MMD -MP -c $< -o $@

$(B)/libgen.a: $(GEN_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/node/page.o $(BASE)/node/page.o: daemon/node/page.html

# Any module's objects may wait for the generated headers; only rpc includes them.
$(B)/%.o: daemon/%.c | $(G)/.stamp $(PRECOMPILED)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

ifneq ($(B),$(BASE))
$(BASE)/%.o: OWN_CPPFLAGS := $(BASE_CPPFLAGS)

$(BASE)/%.o: daemon/%.c | $(G)/.stamp $(PRECOMPILED)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@
endif

define archive_rule
$(B)/lib$(1).a: $(call objects,$(1))
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach m,$(MODULES),$(eval $(call archive_rule,$(m))))

$(B)/synclogd: $(B)/main.o $(ARCHIVES) $(B)/libgen.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(B)/main.o $(LINK_ARCHIVES) $(MALLOC_LIBS) $(LIBS)

$(B)/synclogctl: $(call objects,ctl) $(ARCHIVES) $(B)/libgen.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(call objects,ctl) $(LINK_ARCHIVES) $(CTL_LIBS) $(LIBS)

# --- tests --------------------------------------------------------------------------------------

$(B)/tests/%.o: tests/%.c | $(G)/.stamp $(PRECOMPILED)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(CHECK_CFLAGS) -Itests -c $< -o $@

$(UNIT_TESTS:%=%.o): LEVEL := -O0
$(BUSY_TESTS:%=$(B)/tests/%.o): LEVEL := -O1

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(ARCHIVES) $(B)/libgen.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(TEST_LDFLAGS) -o $@ $< $(LINK_ARCHIVES) $(CHECK_LIBS) $(MALLOC_LIBS) $(LIBS)

# One binary by name: make build/plain/tests/unit/wal/test_wal && build/plain/tests/unit/wal/test_wal
unit: $(UNIT_TESTS)
	$(Q)scripts/run-unit-tests $(UNIT_TESTS)

# Absent where only the program is built, as in the image.
include $(wildcard tests/sim/sim.mk tests/crash/campaign.mk tests/bench/bench.mk tests/system/system.mk)

system: all
	$(Q)tests/system/run --build $(B)

lint: all
	$(Q)scripts/lint

check:
	$(Q)scripts/check-all

check-long:
	$(Q)scripts/check-all --long

demo: all
	$(Q)scripts/run-demo --build $(B)

format:
	$(Q)git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format-14 -i

include $(wildcard tests/fuzz/fuzz.mk)

# --- install ------------------------------------------------------------------------------------

man: $(B)/man/.stamp

$(B)/man/.stamp: $(PROGRAMS) scripts/make-man $(wildcard conf/man/*.txt)
	$(Q)scripts/make-man $(B) $(B)/man
	$(Q)touch $@

DATADIR := $(DESTDIR)$(PREFIX)/share

install: all man
	install -D -m 755 $(B)/synclogd $(DESTDIR)$(PREFIX)/bin/synclogd
	install -D -m 755 $(B)/synclogctl $(DESTDIR)$(PREFIX)/bin/synclogctl
	install -D -m 644 -t $(DATADIR)/synclogd/thrift $(IDL)
	install -D -m 644 -t $(DATADIR)/synclogd $(wildcard conf/synclogd-*)
	install -D -m 644 -t $(DATADIR)/man/man8 $(B)/man/synclogd.8
	install -D -m 644 -t $(DATADIR)/man/man1 $(B)/man/*.1
	install -D -m 644 -t $(DATADIR)/man/man5 $(B)/man/synclogd.ini.5
	install -D -m 644 conf/synclogctl.bash-completion $(DATADIR)/bash-completion/completions/synclogctl
	test -e $(DESTDIR)$(SYSCONFDIR)/synclogd/synclogd.ini || \
	  install -D -m 644 conf/synclogd.ini $(DESTDIR)$(SYSCONFDIR)/synclogd/synclogd.ini
	sed 's|@bindir@|$(PREFIX)/bin|; s|@sysconfdir@|$(SYSCONFDIR)|' conf/synclogd.service > $(B)/synclogd.service
	install -D -m 644 $(B)/synclogd.service $(DESTDIR)$(UNITDIR)/synclogd.service

# Debian packages, in build/deb/. Needs scripts/install-deps package.
deb:
	$(Q)scripts/make-deb

clean:
	rm -rf build

-include $(shell find $(sort $(B) $(BASE)) -name '*.d' 2>/dev/null)
