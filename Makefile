# Stave's build. `make help` lists the targets; sources are found by folder, nothing is listed by hand.
#
# KIND chooses the build: release (default), asan (ASan + UBSan), tsan, clang, fuzz. Objects live in build/KIND.

KIND   ?= release
B      := build/$(KIND)
V      ?= 0
Q      := $(if $(filter 1,$(V)),,@)
J      ?= 2
CCACHE := $(shell command -v ccache 2>/dev/null)

PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := $(shell sed -n 's/^\#define SVI_VERSION "\(.*\)"/\1/p' server/main/main_cli.h)

CC_release := gcc
CC_asan    := gcc
CC_tsan    := gcc
CC_clang   := clang
CC_fuzz    := clang
CC         := $(CC_$(KIND))
ifeq ($(CC),)
$(error KIND=$(KIND) is unknown: use release, asan, tsan, clang or fuzz)
endif

WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wvla -Wpointer-arith -Wstrict-prototypes \
        -Wmissing-prototypes -Wold-style-definition -Wundef -Wcast-qual -Wwrite-strings -Wformat=2
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fno-strict-aliasing

# What is installed tells nothing of the folder that it was built in; the assembler has a map of its own.
comma := ,
SAN_release := -O2 -g $(HARDEN) -ffile-prefix-map=$(CURDIR)=. -Wa,--debug-prefix-map,$(CURDIR)=.
# The programs that serve and that measure are optimised across files when they are linked (a routed message costs a fifth less);
# everything else links the same objects as they are.
LTO_release := -flto=auto -ffat-lto-objects
SAN_clang   := -O2 -g $(HARDEN)
SAN_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -DSVI_DEBUG=1
SAN_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread -DSVI_DEBUG=1
SAN_fuzz    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
               -fsanitize=fuzzer-no-link -DSVI_DEBUG=1

# libunistring ships no pkg-config file, so it is named by hand. Evaluated when first used, so that
# `make help` and `tools/deps` work on a bare system.
PKGS := libuv openssl expat lua5.4 lmdb libidn2 jansson
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)) -lunistring)$(PKG_LIBS)

COMMON  = -std=c11 -D_GNU_SOURCE $(WARN) $(SAN_$(KIND)) -Iapi -fPIC -MMD -MP
CFLAGS  = $(COMMON) $(LTO_$(KIND)) -Iserver -Isdk $(PKG_CFLAGS) -pthread
LDLIBS  = $(PKG_LIBS) -ldl -lm -pthread
LDFLAGS = $(filter-out -fsanitize=fuzzer-no-link,$(filter -fsanitize=% -ffile-prefix-map=% -Wa$(comma)%,$(SAN_$(KIND)))) $(if $(LTO_$(KIND)),-fno-lto)

# ---- what there is, by folder -------------------------------------------------------------------

# The core: one static library that every main links. server/main/main_main.c is the main of `stave`.
CORE_SRC := $(filter-out %_test.c %_main.c,$(wildcard server/*/*.c))
CORE_OBJ := $(CORE_SRC:%.c=$(B)/%.o)
LIB      := $(B)/libstave.a
STAVE    := $(if $(wildcard server/main/main_main.c),$(B)/stave)

# A module is modules/NAME/*.c (without tests) and becomes build/KIND/modules/NAME.so.
MODULE_SRC   := $(filter-out %_test.c,$(wildcard modules/*/*.c))
MODULE_NAMES := $(sort $(notdir $(patsubst %/,%,$(dir $(MODULE_SRC)))))
MODULE_SO    := $(MODULE_NAMES:%=$(B)/modules/%.so)

# A module in Lua is a folder of files, lua/NAME/NAME.lua first, and becomes build/KIND/modules/NAME/.
LUA_SRC  := $(filter-out %_test.lua,$(wildcard lua/*/*.lua))
LUA_FILE := $(LUA_SRC:lua/%=$(B)/modules/%)

# Scripts that show how to write one, in folders of the same form; the flow runner looks for modules in build/KIND/examples, too.
EXAMPLE_FILE := $(patsubst examples/lua/%,$(B)/examples/%,$(filter-out %_test.lua,$(wildcard examples/lua/*/*.lua)))

# Modules in C that show how to write one: examples/c/NAME/*.c (without tests) becomes build/KIND/examples/NAME.so.
EXAMPLE_SRC   := $(filter-out %_test.c,$(wildcard examples/c/*/*.c))
EXAMPLE_NAMES := $(sort $(notdir $(patsubst %/,%,$(dir $(EXAMPLE_SRC)))))
EXAMPLE_SO    := $(EXAMPLE_NAMES:%=$(B)/examples/%.so)

# Modules that only tests load: one file each; and one for each function of BAD_CALLS, made of one file.
TESTMOD_SRC := $(filter-out tests/mods/bad_call.c,$(wildcard tests/mods/*.c))
BAD_CALLS   := pthread_mutex_lock atexit sigaction fork execve dlopen raise chdir mprotect socket poll nanosleep \
               fopen read printf time localtime getrandom getenv syscall malloc strdup _Znwm
BAD_CALL_SO := $(BAD_CALLS:%=$(B)/tests/mods/bad_call_%.so)
TESTMOD_SO  := $(TESTMOD_SRC:%.c=$(B)/%.so) $(BAD_CALL_SO)

# One source, built as three releases of a module whose records have the versions 1 to 3.
RELEASE_SO  := $(foreach n,1 2 3,$(B)/tests/mods/releases/$(n)/notes.so)

# Unit tests lie beside what they test. Those of the stage link its objects, those of a module
# the module's, those of examples both; tests/modules is about modules together.
UNIT_SRC := $(wildcard server/*/*_test.c modules/*/*_test.c sdk/*/*_test.c examples/c/*/*_test.c tests/bench/*_test.c tests/modules/*_test.c)
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)

# The stage: a server in the process of a test, and the runner of flow scripts on it. stave-sdk is what `stave` runs for
# authors of modules.
STAGE_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out %_test.c,$(wildcard sdk/stage/*.c)))
AUTHOR_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out %_test.c,$(wildcard sdk/author/*.c)))
STAVE_SDK  := $(B)/sdk/author/stave-sdk
STAGE_LIB  := $(B)/sdk/libstave-stage.so
FLOW_OBJ  := $(patsubst %.c,$(B)/%.o,$(wildcard tests/flow/*.c))
FLOW      := $(B)/tests/flow/flow

# Benchmarks: a program for each bench_*.c; the load generator's parts beside them are linked into all.
BENCH_BIN := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/bench_*.c))
LOAD_OBJ  := $(patsubst %.c,$(B)/%.o,$(filter-out %_test.c,$(wildcard tests/bench/load_*.c)))

# The simulation: all of tests/sim is one program.
SIM_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/*.c))
SIM     := $(B)/tests/sim/sim

# Programs of one file each.
TOOL_BIN  := $(patsubst %.c,$(B)/%,$(wildcard tests/abi/*.c))
FUZZ_BIN  := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))

# ---- targets ------------------------------------------------------------------------------------

.DEFAULT_GOAL := all
.SECONDEXPANSION:
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all lib sdk units modules examples testmods tests fuzzers benches run test quick long lint generate spec \
        bench sim mutants flow-peers deps install install-sdk uninstall clean help FORCE

all: lib modules $(STAVE)
lib: $(LIB)
sdk: $(STAVE_SDK) $(STAGE_LIB)
units: $(UNIT_BIN)
tests: all sdk units examples testmods $(FLOW) $(SIM) $(TOOL_BIN)
fuzzers: $(FUZZ_BIN)
benches: $(BENCH_BIN)

# The server loads what it finds by name, so what remains of a removed module goes.
stray_modules = for so in $(1)/*.so; do case " $(2) " in *" $$so "*) ;; *) rm -f "$$so" ;; esac; done
stray_scripts = for file in $(1); do case " $(2) " in *" $$file "*) ;; *) rm -f "$$file" ;; esac; done
modules: $(MODULE_SO) $(LUA_FILE)
	@$(call stray_modules,$(B)/modules,$(MODULE_SO))
	@$(call stray_scripts,$(B)/modules/*/*.lua,$(LUA_FILE))
examples: $(EXAMPLE_FILE) $(EXAMPLE_SO)
	@$(call stray_modules,$(B)/examples,$(EXAMPLE_SO))
	@$(call stray_scripts,$(B)/examples/*.lua $(B)/examples/*/*.lua,$(EXAMPLE_FILE))
testmods: $(TESTMOD_SO) $(RELEASE_SO)
	@$(call stray_modules,$(B)/tests/mods,$(TESTMOD_SO))

help:
	@sed -n 's/^#: //p' Makefile

#: make              build the server, its modules and the command `stave` (build/release)
#: make run          install what is missing, build, serve on loopback from ./run and say how to log in
run:
	@tools/deps build run
	@$(MAKE) --no-print-directory -s -j$(J) all
	@exec $(B)/stave run --dir ./run

#: make test         install what is missing, build with ASan and UBSan, run everything (under 10 minutes)
test:
	@tools/deps build test clients lint
	@tests/run test

#: make quick        unit and in-process flow tests, under a minute; SUITES="10-unit" to narrow
quick:
	@tools/deps build test
	@tests/run quick

#: make long         what takes longer: fuzzing 10 minutes a target, simulation, valgrind
long:
	@tools/deps build test clients lint long
	@tests/run long

#: make lint         sizes, include directions, banned functions, undocumented prototypes, ...
lint:
	@tools/deps lint
	@tools/lint

#: make generate     what is made of api/stave.lua and the headers: parts of headers, tables, doc/reference
generate:
	@tools/deps lint
	@tools/generate
	@tools/abi --append
	@$(MAKE) --no-print-directory -s -j$(J) KIND=asan all
	@tools/generate -B build/asan

#: make spec         what share of each specification's requirements tests cover; fails on one without a verdict
spec:
	@tests/spec/check

#: make bench        the figures we promise, each with its hold
bench:
	@tools/deps build bench
	@$(MAKE) --no-print-directory -s -j$(J) all benches $(FLOW)
	@tests/bench/run $(B)

#: make sim          the whole server for minutes, by seed: MINUTES=5, or SEEDS=20 from 1 on
sim:
	@tools/deps build
	@$(MAKE) --no-print-directory -s -j$(J) modules $(SIM)
	@tests/sim/run $(B)

#: make mutants      break the server one line at a time; the tests must notice each time
mutants:
	@tools/deps build test
	@tests/mutants/run

#: make flow-peers   the flow scripts against Prosody and ejabberd
flow-peers:
	@tools/deps build test peers
	@$(MAKE) --no-print-directory -s -j$(J) all $(B)/tests/flow/flow
	@tests/flow/peers $(B)

#: make deps         install what all of the above need
deps:
	@tools/deps build run test clients lint bench long peers

#: make install      into PREFIX (/usr/local), below DESTDIR; make uninstall takes it away again
BASH_COMPLETION := share/bash-completion/completions/stave
ZSH_COMPLETION  := share/zsh/site-functions/_stave
TO = $(DESTDIR)$(PREFIX)
ifneq ($(and $(filter install install-sdk uninstall,$(MAKECMDGOALS)),$(filter-out 1,$(words $(TO)))),)
$(error DESTDIR and PREFIX can have no blanks, since modules could not be built there: '$(TO)')
endif
install: all $(B)/stave.1
	install -d $(TO)/bin $(TO)/lib/stave/modules $(TO)/share/doc/stave/doc $(TO)/share/doc/stave/examples
	install -D -m 644 $(B)/stave.1 $(TO)/share/man/man1/stave.1
	install -D -m 644 tools/shell/stave.bash $(TO)/$(BASH_COMPLETION)
	install -D -m 644 tools/shell/_stave $(TO)/$(ZSH_COMPLETION)
	$(if $(STAVE),install -m 755 $(STAVE) $(TO)/bin/stave)
	$(if $(MODULE_SO),install -m 644 $(MODULE_SO) $(TO)/lib/stave/modules/)
	for file in $(LUA_SRC:lua/%=%); do install -D -m 644 "lua/$$file" "$(TO)/lib/stave/modules/$$file" || exit 1; done
	install -m 644 README.md $(TO)/share/doc/stave/
	for file in $(wildcard lua/*/README.md); do install -D -m 644 "$$file" "$(TO)/share/doc/stave/$$file" || exit 1; done
	cp -R doc/. $(TO)/share/doc/stave/doc/
	rm -rf $(TO)/share/doc/stave/doc/plan $(TO)/share/doc/stave/doc/progress.md
	cp -R examples/. $(TO)/share/doc/stave/examples/

#: make install-sdk  the same, with all that authors of modules need: headers, build rules, templates, the stage
TEMPLATES = $(patsubst sdk/templates/%,%,$(wildcard sdk/templates/*/*))
install-sdk: install sdk
	install -d $(TO)/include/stave $(TO)/lib/stave/sdk $(TO)/share/stave/sdk $(TO)/share/pkgconfig
	install -m 644 $(wildcard api/stave/*.h sdk/stage/include/stave/*.h) $(TO)/include/stave/
	install -m 644 $(STAGE_LIB) $(TO)/lib/stave/
	install -m 755 $(STAVE_SDK) $(TO)/lib/stave/sdk/
	$(if $(LTO_$(KIND)),strip -g $(TO)/lib/stave/libstave-stage.so $(TO)/lib/stave/sdk/stave-sdk) # lines name the folder of the build
	sed 's/@SANITIZE@/$(filter -fsanitize=% -fno-sanitize-recover=%,$(SAN_$(KIND)))/' sdk/stave.mk >$(TO)/share/stave/sdk/stave.mk
	for file in $(TEMPLATES); do install -D -m 644 "sdk/templates/$$file" "$(TO)/share/stave/sdk/templates/$$file" || exit 1; done
	sed 's/@VERSION@/$(VERSION)/' sdk/stave.pc.in >$(TO)/share/pkgconfig/stave.pc
uninstall:
	rm -f $(TO)/bin/stave $(TO)/share/man/man1/stave.1 $(TO)/$(BASH_COMPLETION) $(TO)/$(ZSH_COMPLETION) $(TO)/share/pkgconfig/stave.pc
	rm -rf $(TO)/lib/stave $(TO)/include/stave $(TO)/share/stave $(TO)/share/doc/stave

#: make clean        remove build/ (never ./run)
clean:
	rm -rf build

#:
#: KIND=asan|tsan|clang builds otherwise than release; V=1 shows commands; J=4 builds with four jobs.

# ---- rules --------------------------------------------------------------------------------------

# Objects depend on the flags they were compiled with, the library on the list of its objects: these files
# change only when their text does.
changed_text = mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' > $@
$(B)/flags: FORCE
	@$(call changed_text,$(CC) $(CFLAGS))
$(B)/objects: FORCE
	@$(call changed_text,$(CORE_OBJ))

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(CFLAGS) -c $< -o $@

$(LIB): $(CORE_OBJ) $(B)/objects
	@rm -f $@
	$(Q)ar crs $@ $(CORE_OBJ)

$(B)/stave: $(B)/server/main/main_main.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(LTO_$(KIND)) -Wl,-z,now,-z,relro $< -L$(B) -lstave $(LDLIBS) -o $@

# The manual page tells the modules' commands, too.
$(B)/stave.1: $(B)/stave $(MODULE_SO)
	$(Q)$(B)/stave manual >$@

# one test: make KIND=asan build/asan/server/base/base_str_test && build/asan/server/base/base_str_test
$(filter $(B)/server/% $(B)/tests/modules/%,$(UNIT_BIN)): $(B)/%: $(B)/%.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) $< $(LIB) $(LDLIBS) -lcmocka -o $@

# the loader's tests and those of modules load real modules
$(filter $(B)/server/mods/% $(B)/modules/% $(B)/tests/modules/% $(B)/sdk/%,$(UNIT_BIN)): | $(TESTMOD_SO) $(RELEASE_SO) $(MODULE_SO) $(EXAMPLE_SO) $(LUA_FILE)

# those of the SDK's program run it, and link its parts
$(filter $(B)/sdk/author/%,$(UNIT_BIN)): $(filter-out %_main.o,$(AUTHOR_OBJ)) | $(STAVE_SDK) $(STAVE)

$(filter $(B)/sdk/%,$(UNIT_BIN)): $(B)/%: $(B)/%.o $(STAGE_OBJ) $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(filter %.o,$^) $(LIB) $(LDLIBS) -lcmocka -o $@

$(filter $(B)/tests/bench/%,$(UNIT_BIN)): $(B)/%: $(B)/%.o $(LOAD_OBJ) $(LIB)
	$(Q)$(CC) $(LDFLAGS) $< $(LOAD_OBJ) $(LIB) $(LDLIBS) -lcmocka -o $@

module_objects = $(patsubst %.c,$(B)/%.o,$(filter modules/$(1)/%,$(MODULE_SRC)))

$(filter $(B)/modules/%,$(UNIT_BIN)): $(B)/%: $(B)/%.o $(LIB) $$(call module_objects,$$(notdir $$(patsubst %/,%,$$(@D))))
	$(Q)$(CC) $(LDFLAGS) $(filter %.o,$^) $(LIB) $(LDLIBS) -lcmocka -o $@

# as stave.mk builds an author's, but with the stage inside
$(B)/examples/c/%_test.o: examples/c/%_test.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(COMMON) -Isdk/stage/include -DSV_STAGE_MODULE='"$(notdir $(@D))"' -c $< -o $@

example_tested = $(patsubst %.c,$(B)/%.o,$(filter-out %_test.c,$(wildcard $(patsubst $(B)/%,%,$(1))/*.c)))

$(filter $(B)/examples/%,$(UNIT_BIN)): $(B)/%: $(B)/%.o $$(call example_tested,$$(@D)) $(STAGE_OBJ) $(LIB) | $(EXAMPLE_SO) $(MODULE_SO) $(LUA_FILE)
	$(Q)$(CC) $(LDFLAGS) $(filter %.o,$^) $(LIB) $(LDLIBS) $(call example_flags,--libs,$(notdir $(@D))) -o $@

# A module sees the public headers only; its unit test also the core's, to stand in for it.
MOD_CFLAGS  = $(COMMON) -fvisibility=hidden
MOD_LDFLAGS = -shared $(LDFLAGS) -Wl,-z,now,-z,relro $(if $(filter asan tsan fuzz,$(KIND)),,-Wl,-z,defs)

$(B)/modules/%_test.o: modules/%_test.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(CFLAGS) -c $< -o $@

$(B)/modules/%.o: modules/%.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(MOD_CFLAGS) -c $< -o $@

$(B)/tests/mods/%.o: tests/mods/%.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(MOD_CFLAGS) -c $< -o $@

$(RELEASE_SO:.so=.o): $(B)/tests/mods/releases/%/notes.o: tests/mods/releases/notes.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(MOD_CFLAGS) -DRELEASE=$* -c $< -o $@

$(LUA_FILE): $(B)/modules/%.lua: lua/%.lua
	@mkdir -p $(@D)
	@cp $< $@

$(EXAMPLE_FILE): $(B)/examples/%.lua: examples/lua/%.lua
	@mkdir -p $(@D)
	@cp $< $@

$(MODULE_SO): $(B)/modules/%.so: $$(call module_objects,$$*)
	$(Q)$(CC) $(MOD_LDFLAGS) $^ -o $@

example_objects = $(patsubst %.c,$(B)/%.o,$(filter examples/c/$(1)/%,$(EXAMPLE_SRC)))

# What the example's own Makefile names in PKGS, as flags.
example_flags = $(if $(example_pkgs),$(shell pkg-config $(1) $(example_pkgs)))
example_pkgs = $(shell sed -n 's/^PKGS *= *//p' examples/c/$(2)/Makefile)

$(B)/examples/c/%.o: examples/c/%.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(MOD_CFLAGS) $(call example_flags,--cflags,$(notdir $(@D))) -c $< -o $@

$(EXAMPLE_SO): $(B)/examples/%.so: $$(call example_objects,$$*)
	$(Q)$(CC) $(MOD_LDFLAGS) $^ $(call example_flags,--libs,$*) -o $@

$(BAD_CALL_SO:%.so=%.o): $(B)/tests/mods/bad_call_%.o: tests/mods/bad_call.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(MOD_CFLAGS) -DCALL=$* -c $< -o $@

# What these are refused for is done by the linker.
bad_flags = $(B)/tests/mods/bad_$(1).so: MOD_LDFLAGS +=
$(call bad_flags,stack) -Wl,-z,execstack
$(call bad_flags,segment) -Wl,--no-warn-rwx-segments
$(call bad_flags,rpath) -Wl,-rpath,/nowhere
$(call bad_flags,library) -Wl,--no-as-needed -luv
$(call bad_flags,nodelete) -Wl,-z,nodelete
$(call bad_flags,init) -Wl,-init,begin_here
$(call bad_flags,textrel) -Wl,-z,notext
$(call bad_flags,server) -Wl,-z,undefs
$(BAD_CALL_SO): MOD_LDFLAGS += -Wl,-z,undefs

$(TESTMOD_SO) $(RELEASE_SO): $(B)/%.so: $(B)/%.o
	$(Q)$(CC) $(MOD_LDFLAGS) $^ -o $@

$(FLOW): $(FLOW_OBJ) $(STAGE_OBJ) $(LIB) | examples
	$(Q)$(CC) $(LDFLAGS) $(FLOW_OBJ) $(STAGE_OBJ) $(LIB) $(LDLIBS) -o $@

$(STAVE_SDK): $(AUTHOR_OBJ) $(STAGE_OBJ) $(LIB)
	$(Q)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# what tests in C are linked with: of all that is in it they see sv_stage_*
$(STAGE_LIB): $(STAGE_OBJ) $(LIB) sdk/stage/libstave-stage.map
	$(Q)$(CC) -shared $(LDFLAGS) -Wl,-z,now,-z,relro,-soname,$(@F),--version-script,sdk/stage/libstave-stage.map \
	    $(STAGE_OBJ) $(LIB) $(LDLIBS) -o $@

$(SIM): $(SIM_OBJ) $(STAGE_OBJ) $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(SIM_OBJ) $(STAGE_OBJ) $(LIB) $(LDLIBS) -o $@

$(BENCH_BIN): $(B)/%: $(B)/%.o $(LOAD_OBJ) $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(LTO_$(KIND)) $< $(LOAD_OBJ) $(LIB) $(LDLIBS) -o $@

# runs modules of other releases (tests/suites/67-abi-modules)
$(TOOL_BIN): $(B)/%: $(B)/%.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) $< $(LIB) $(LDLIBS) -lcmocka -o $@

$(FUZZ_BIN): $(B)/%: $(B)/%.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(if $(filter fuzz,$(KIND)),-fsanitize=fuzzer) $< $(LIB) $(LDLIBS) -o $@

-include $(shell [ -d $(B) ] && find $(B) -name '*.d')
