# Builds a module. Its Makefile has three lines:
#
#   SRC  = NAME.c
#   PKGS =
#   include $(shell pkg-config --variable=sdkdir stave)/stave.mk
#
# SRC: the module's files (tests, *_test.c, are found by themselves). PKGS: names of libraries as pkg-config knows them,
# for engine modules. NAME is the folder's name unless the Makefile says NAME = ... before the include. CC, CFLAGS,
# CPPFLAGS and LDLIBS are the author's; CFLAGS is -O2 -g if it is not set.
#
# make             build/NAME.so, optimised; not there if the server would refuse it
# make tests       build/test/NAME.so with all that finds faults, and build/test/X_test for each X_test.c, linked with the
#                  module's objects and the stage (<stave/stage.h>)
# make test        builds these and runs them, the flow scripts and what else `stave test` does
# make check       what the module may do, as `stave check-module` tells it
# make install     `stave module install`
# make clean       removes build/
#
# V=1 shows the commands.

STAVE_SDK    := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
STAVE_PREFIX := $(abspath $(STAVE_SDK)/../../..)
STAVE        := $(STAVE_PREFIX)/bin/stave

# A NAME in the environment is about something else.
ifneq ($(filter undefined environment,$(origin NAME)),)
NAME := $(notdir $(CURDIR))
endif
ifneq ($(words $(CURDIR)),1)
$(error make can't build in a folder with a blank in its path: '$(CURDIR)'. Move the module)
endif
SRC := $(filter-out %_test.c,$(SRC))
ifeq ($(strip $(SRC)),)
$(error SRC is empty: name the module's .c files in $(firstword $(MAKEFILE_LIST)))
endif
ifneq ($(filter-out %.c,$(SRC)),)
$(error SRC: only files in C can be built here, not '$(firstword $(filter-out %.c,$(SRC)))')
endif

ifneq ($(strip $(PKGS)),)
PKGS_CFLAGS := $(shell pkg-config --cflags $(PKGS))
ifneq ($(.SHELLSTATUS),0)
$(error PKGS: pkg-config does not know all of '$(strip $(PKGS))'. On Debian a package lib...-dev brings one)
endif
PKGS_LIBS := $(shell pkg-config --libs $(PKGS))
endif

Q := $(if $(filter 1,$(V)),,@)
ifeq ($(origin CFLAGS),undefined)
CFLAGS := -O2 -g
endif

STAVE_WARN := -Wall -Wextra -Wshadow -Wconversion -Wvla -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
              -Wold-style-definition -Wundef -Wcast-qual -Wwrite-strings -Wformat=2
STAVE_CODE := -std=c11 -D_GNU_SOURCE $(STAVE_WARN) -fPIC -fvisibility=hidden -fno-strict-aliasing -fstack-protector-strong \
              -I$(STAVE_PREFIX)/include $(PKGS_CFLAGS) $(CPPFLAGS)
STAVE_LINK := -shared -Wl,-z,now,-z,relro

# An SDK that was installed from a build with sanitizers tests modules with them, too: KIND=asan make install-sdk.
STAVE_SANITIZE := @SANITIZE@

# For users / for tests: call sites stay apart, so that coverage can name them.
STAVE_FLAGS_so   = $(STAVE_CODE) $(if $(filter -O1 -O2 -O3 -Os,$(CFLAGS)),-D_FORTIFY_SOURCE=2) $(CFLAGS)
STAVE_FLAGS_test = $(STAVE_CODE) $(filter-out -O%,$(CFLAGS)) -O1 -g -fno-optimize-sibling-calls $(STAVE_SANITIZE)

STAVE_OBJ_so   := $(SRC:%.c=build/obj/%.o)
STAVE_OBJ_test := $(SRC:%.c=build/test/obj/%.o)
STAVE_TESTS    := $(patsubst %.c,build/test/%,$(wildcard *_test.c))

.DEFAULT_GOAL := all
.PHONY: all tests test check install clean STAVE_FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: build/$(NAME).so
tests: build/test/$(NAME).so $(STAVE_TESTS)
test: tests
	$(Q)$(STAVE) test .
check: build/$(NAME).so
	$(Q)$(STAVE) check-module $<
install: build/$(NAME).so
	$(Q)$(STAVE) module install $<
clean:
	$(Q)rm -rf build

# Written when the text changes only, so that what was built with other flags is built anew.
stave_text = mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' >$@
build/flags: STAVE_FORCE
	@$(call stave_text,$(STAVE_PREFIX) $(CC) $(STAVE_FLAGS_so) / $(SRC) $(PKGS_LIBS) $(LDFLAGS) $(LDLIBS))

build/obj/%.o: %.c build/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(STAVE_FLAGS_so) -MMD -MP -c $< -o $@
build/test/obj/%.o: %.c build/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(STAVE_FLAGS_test) -DSV_STAGE_MODULE='"$(NAME)"' -MMD -MP -c $< -o $@

STAVE_LINK_so   := -Wl,-z,defs
STAVE_LINK_test := $(if $(STAVE_SANITIZE),$(STAVE_SANITIZE),-Wl,-z,defs)

# Linked beside, looked at as the server does, and only then put in its place.
define stave_link
	@mkdir -p $(@D)/unchecked
	$(Q)$(CC) $(STAVE_LINK) $(STAVE_LINK_$(1)) $(filter -g% -O%,$(CFLAGS)) $(LDFLAGS) $(filter %.o,$^) $(LDLIBS) $(PKGS_LIBS) -o $(@D)/unchecked/$(@F)
	$(Q)$(STAVE) check-module $(@D)/unchecked/$(@F) >$(@D)/check.txt 2>&1 || { cat $(@D)/check.txt >&2; exit 1; }
	$(Q)mv $(@D)/unchecked/$(@F) $@
endef
build/$(NAME).so: $(STAVE_OBJ_so) build/flags
	$(call stave_link,so)
build/test/$(NAME).so: $(STAVE_OBJ_test) build/flags
	$(call stave_link,test)

$(STAVE_TESTS): build/test/%: build/test/obj/%.o $(STAVE_OBJ_test) build/flags
	$(Q)$(CC) $(STAVE_SANITIZE) $(LDFLAGS) $(filter %.o,$^) -L$(STAVE_PREFIX)/lib/stave -Wl,-rpath,$(STAVE_PREFIX)/lib/stave -lstave-stage \
	    $(LDLIBS) $(PKGS_LIBS) -o $@

-include $(STAVE_OBJ_so:.o=.d) $(STAVE_OBJ_test:.o=.d) $(patsubst %.c,build/test/obj/%.d,$(wildcard *_test.c))
