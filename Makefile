# Stave's build. `make help` lists the targets; sources are found by folder, nothing is listed by hand.
#
# KIND chooses the build: release (default), asan (ASan + UBSan), tsan, clang. Objects live in build/KIND.

KIND   ?= release
B      := build/$(KIND)
V      ?= 0
Q      := $(if $(filter 1,$(V)),,@)
CCACHE := $(shell command -v ccache 2>/dev/null)

CC_release := gcc
CC_asan    := gcc
CC_tsan    := gcc
CC_clang   := clang
CC         := $(CC_$(KIND))

WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wvla -Wpointer-arith -Wstrict-prototypes \
        -Wmissing-prototypes -Wold-style-definition -Wundef -Wcast-qual -Wwrite-strings -Wformat=2
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fno-strict-aliasing

SAN_release := -O2 -g $(HARDEN)
SAN_clang   := -O2 -g $(HARDEN)
SAN_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -DSVI_DEBUG=1
SAN_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread -DSVI_DEBUG=1

PKGS := libuv openssl expat lua5.4 lmdb libunistring libidn2
# evaluated when first used, so that `make deps` and `make help` work on a bare system
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)

CFLAGS  = -std=c11 -D_GNU_SOURCE $(WARN) $(SAN_$(KIND)) -Iapi -Iserver $(PKG_CFLAGS) -MMD -MP -fPIC -pthread
LDLIBS  = $(PKG_LIBS) -ldl -lm -pthread
LDFLAGS = $(filter -fsanitize=%,$(SAN_$(KIND)))

# The core: one static library that every main links. main/*_main.c hold the mains.
CORE_SRC := $(filter-out %_test.c %_main.c,$(wildcard server/*/*.c))
CORE_OBJ := $(CORE_SRC:%.c=$(B)/%.o)
LIB      := $(B)/libstave.a
UNIT_SRC := $(wildcard server/*/*_test.c)
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)

# A module is modules/NAME/*.c (without tests) and becomes build/KIND/modules/NAME.so.
MODULE_NAMES := $(notdir $(patsubst %/,%,$(dir $(wildcard modules/*/*.c))))
MODULE_NAMES := $(sort $(MODULE_NAMES))
MODULE_SO    := $(MODULE_NAMES:%=$(B)/modules/%.so)

.DEFAULT_GOAL := all
.SECONDEXPANSION:
.PHONY: all lib units modules
all: lib modules
lib: $(LIB)
units: $(UNIT_BIN)
modules: $(MODULE_SO)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(CFLAGS) -c $< -o $@

$(LIB): $(CORE_OBJ)
	@rm -f $@
	$(Q)ar crs $@ $^

# one test: make build/asan/server/base/base_str_test KIND=asan && build/asan/server/base/base_str_test
$(UNIT_BIN): $(B)/%: $(B)/%.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) $< $(LIB) $(LDLIBS) -lcmocka -o $@

MOD_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) $(SAN_$(KIND)) -Iapi -fPIC -fvisibility=hidden -MMD -MP
MOD_LDFLAGS = -shared $(LDFLAGS) -Wl,-z,now,-z,relro $(if $(filter asan tsan,$(KIND)),,-Wl,-z,defs)

$(B)/modules/%.so: $$(filter-out %_test.c,$$(wildcard modules/$$*/*.c)) $(wildcard api/stave/*.h)
	@mkdir -p $(@D)
	$(Q)$(CCACHE) $(CC) $(MOD_CFLAGS) $(MOD_LDFLAGS) $(filter %.c,$^) -o $@

-include $(CORE_OBJ:.o=.d) $(UNIT_BIN:=.d)
