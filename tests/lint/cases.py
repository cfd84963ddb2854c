"""Small trees for tools/lint: name, files, the breaches (`path:line: rule`) that must be found, no more, and
perhaps a text that must be printed.

A file's text is given without the opening comment that every C file needs; it is put before the text as line 1.
"""

HEADER = "/* Its job. */\n"


def lines(count, first="int f(void)\n{\n", last="}\n"):
    body = count - first.count("\n") - last.count("\n")
    return first + "    g();\n" * body + last


# A module table and its description: two functions, each of which a case may say otherwise.
PUT = "    /* Writes. */\n    sv_status (*put)(sv_event *ev, sv_str key);\n"
GET = "    /* Reads. */\n    void (*get)(sv_event *ev, sv_str key, sv_get_fn done);\n"
PUT_LUA = '{"put", "local", "event:put(key: string): status"}'
GET_LUA = '{"get", "message", "event:get(key: string): string?, status yields"}'
OWN = ', {name = "own", title = "Own", table = "sv_own", given_by = "svi_own", include = "own.h", %s}'
ENUM = '{name = "sv_e", header = "module.h", title = "E", text = "t", {%s}}'
FLAGS = '{name = "x", header = "module.h", title = "X", of = "sv_x.flags", {%s}}'
POINT = 'name = "a/b", meaning = "m", about = "h", done = "d", default = "e"'


def described(put=PUT, get=GET, put_lua=PUT_LUA, get_lua=GET_LUA, points="", more="", structs="", section="store: rows", groups="", enums="", flags=""):
    table = f"typedef struct sv_api {{\n    uint32_t size; /* its own */\n\n    /* -- {section} -- */\n\n{put}{get}}} sv_api;\n"
    return {"api/stave/module.h": table + more,
            "api/stave.lua": f"return {{major = 0, minor = 2, enums = {{{enums}}}, flags = {{{flags}}},\n"
                             f"points = {{{points}}}, structs = {{sv_api = \"size\"{structs}}},\n"
                             "groups = {{name = \"store\", title = \"Stores\",\n" + ",\n".join(filter(None, (put_lua, get_lua))) + "}" + groups + "}}\n"}


CASES = [
    # includes: allowed ones first
    ("include-downward", {"server/xmpp/xmpp_a.c": '#include "store/store.h"\n#include "bus/bus.h"\n#include "xmpp/xmpp.h"\n',
                          "server/net/net_a.c": '#include "xml/xml.h"\n#include <uv.h>\n',
                          "server/main/main_a.c": '#include "mods/mods.h"\n'}, []),
    ("include-upward", {"server/base/base_a.c": '\n#include "xml/xml_a.h"\n'}, ["server/base/base_a.c:3: include"]),
    ("include-net-bus", {"server/net/net_a.c": '#include "bus/bus.h"\n', "server/bus/bus_a.c": '# include "net/net.h"\n'},
     ["server/bus/bus_a.c:2: include", "server/net/net_a.c:2: include"]),
    ("include-store-xml", {"server/store/store_a.c": '#include "xml/xml_a.h"\n'}, ["server/store/store_a.c:2: include"]),
    ("include-script-mods", {"server/script/script_a.c": '#include "mods/mods_a.h"\n'},
     ["server/script/script_a.c:2: include"]),
    ("include-in-test-too", {"server/xml/xml_a_test.c": '#include "bus/bus.h"\n'}, ["server/xml/xml_a_test.c:2: include"]),
    ("include-no-folder", {"server/base/base_a.c": '#include "base_b.h"\n'}, ["server/base/base_a.c:2: include"]),
    ("include-in-comment", {"server/base/base_a.c": '/*\n#include "main/main.h"\n*/\n'}, []),
    ("module-good", {"modules/m/m.c": '#include <stave/module.h>\n#include <string.h>\n#include "m.h"\n',
                     "modules/m/m_test.c": '#include "bus/bus.h"\n'}, []),
    ("module-reaches-in", {"modules/m/m.c": '#include "base/base_mem.h"\n#include <uv.h>\n#include "../n/n.h"\n',
                           "tests/mods/t.c": '#include "bus/bus.h"\n'},
     ["modules/m/m.c:2: include", "modules/m/m.c:3: include", "modules/m/m.c:4: include", "tests/mods/t.c:2: include"]),
    ("module-engine", {"tests/mods/e.c": "#include <stave/engine.h>\n#include <poll.h>\n#include <libpq-fe.h>\n",
                       "tests/mods/t.c": "#include <poll.h>\n/* <stave/engine.h> */\n",
                       "modules/m/m.c": '#include <stave/engine.h>\n#include "net/net.h"\n'},
     ["modules/m/m.c:3: include", "tests/mods/t.c:2: include"]),
    ("example-as-module", {"examples/c/m/m.c": '#include <stave/module.h>\n#include "base/base_mem.h"\nstatic int count;\n/* TODO: more */\n',
                           "examples/c/m/m_test.c": '#include "bus/bus.h"\n'},
     ["examples/c/m/m.c:3: include", "examples/c/m/m.c:4: global", "examples/c/m/m.c:5: word"]),
    ("api-reaches-out", {"api/stave/a.h": "#include <stave/types.h>\n#include <stdint.h>\n#include <uv.h>\n"},
     ["api/stave/a.h:4: include"]),
    # names of files
    ("file-name", {"server/base/str.c": "", "server/other/other_a.c": "", "server/loose.c": ""},
     ["server/base/str.c:1: file-name", "server/loose.c:1: file-name", "server/other/other_a.c:1: file-name"]),
    # banned functions
    ("banned", {"modules/m/m.c": "void f(char *a) { strcpy(a, b); }\n", "tests/flow/t.c": "int x = atoi (s);\n"},
     ["modules/m/m.c:2: banned", "tests/flow/t.c:2: banned"]),
    ("banned-in-server", {"server/base/base_a.c": "int x(void) { return rand(); }\n"}, ["server/base/base_a.c:2: banned"]),
    ("banned-looks-only", {"server/base/base_a.c": '/* strcpy(a, b) */\nconst char *s = "sprintf(x)";\n'
                           "int y(void) { return p->random(c) + my_atoi(s) + plat.random(c); }\n"}, []),
    ("banned-allowed", {"server/base/base_a.c": "/* lint: allow system (tests the shell) */\nint x = system(s);\n"}, []),
    ("banned-other-allowed", {"server/base/base_a.c": "/* lint: allow popen (x) */\nint x = system(s);\n"},
     ["server/base/base_a.c:3: banned"]),
    # lengths
    ("function-120", {"server/base/base_a.c": lines(120)}, []),
    ("function-121", {"server/base/base_a.c": lines(121)}, ["server/base/base_a.c:2: function-length"]),
    ("function-marked", {"server/base/base_a.c": "/* lint: long (a table) */\n" + lines(121)}, []),
    ("function-marked-without-reason", {"server/base/base_a.c": "/* lint: long () */\n" + lines(121)},
     ["server/base/base_a.c:3: function-length"]),
    ("file-1200", {"server/base/base_a.c": "int a;\n" * 1199}, []),
    ("file-1201", {"server/base/base_a.c": "int a;\n" * 1200}, ["server/base/base_a.c:1: file-length"]),
    # state that outlives a call
    ("global-good", {"server/net/net_a.c": "static const int a[] = {1};\nstatic const char *const names[] = {0};\n"
                     "extern int x(void);\nint f(void)\n{\n    static const int b = 1;\n    int c = b;\n    return c;\n}\n",
                     "server/base/base_a.c": "static int a;\n", "server/net/net_a_test.c": "static int a;\n"}, []),
    ("global-bad", {"server/net/net_a.c": "static int a;\nstatic const char *names[] = {0};\nint f(void)\n{\n"
                    "    static int b = 1;\n    static char buf[9];\n    return b;\n}\n", "modules/m/m.c": "int a = 1;\n"},
     ["modules/m/m.c:2: global"] + [f"server/net/net_a.c:{n}: global" for n in (2, 3, 6, 7)]),
    # form
    ("tab", {"server/base/base_a.c": "\tint a;\n"}, ["server/base/base_a.c:2: space"]),
    ("trailing-space", {"server/base/base_a.c": "int a; \n"}, ["server/base/base_a.c:2: space"]),
    ("carriage-return", {"server/base/base_a.c": "int a;\r\n"}, ["server/base/base_a.c:2: space"]),
    ("conflict", {"server/base/base_a.c": "int a;\n<<<<<<< HEAD\nint b;\n=======\nint c;\n>>>>>>> other\n", "doc/a.md": "x\n<<<<<<< y\n"},
     ["server/base/base_a.c:3: conflict", "server/base/base_a.c:7: conflict", "doc/a.md:2: conflict"]),
    ("no-newline", {"server/base/base_a.c": "int a;"}, ["server/base/base_a.c:2: space"]),
    # trends never fail; the text must appear in them
    ("width-120", {"server/base/base_a.c": "int " + "a" * 115 + ";\n"}, [], "lines over 120 columns             0"),
    ("width-121", {"server/base/base_a.c": "int " + "a" * 116 + ";\n"}, [], "over 120 columns: server/base/base_a.c:2\n"),
    ("function-60", {"server/base/base_a.c": lines(60)}, [], "60 / 60 of 1 "),
    ("function-61", {"server/base/base_a.c": lines(61)}, [], "over 60 lines: f (61) server/base/base_a.c:2\n"),
    ("file-601", {"server/base/base_a.c": "int a;\n" * 600}, [], "over 600 lines: server/base/base_a.c (601)\n"),
    ("asserts", {"server/base/base_a.c": "int a;\n" * 197 + "void f(void)\n{ SV_ASSERT(a); SV_CHECK(a, b); }\n"}, [],
     "in server/ 10.0 "),
    # comments
    ("first-comment", {"server/base/base_a.c": None}, ["server/base/base_a.c:1: first-comment"]),
    ("prototype-good", {"server/base/base_a.h":
                        "\n/* Makes one.\n *\n * Of two paragraphs. */\nint *a_new(int x);\nvoid a_free(int **x);\n\n"
                        "void b(void); /* beside */\n\ntypedef struct c { int (*f)(int); } c;\n"
                        "#define M(x) \\\n    f(x)\nextern int not_a_function;\n"
                        "static inline int g(void)\n{\n    return f(1);\n}\n"}, []),
    # api/stave.lua and the headers; put stands in line 8, get in line 10 of the header, in lines 4 and 5 of the description
    ("described", described(), []),
    ("described-not", described(put_lua=""), ["api/stave/module.h:8: description"]),
    ("described-too-much", described(get=""), ["api/stave.lua:5: description"]),
    ("described-twice", described(get_lua=PUT_LUA), ["api/stave.lua:4: description", "api/stave/module.h:10: description"]),
    ("described-without-comment", described(put=PUT.split("\n")[1] + "\n"), ["api/stave/module.h:7: prototype"]),
    ("described-by-another's-comment", described(get=GET.split("\n")[1] + "\n"), ["api/stave/module.h:9: prototype"]),
    ("described-together", described(put=PUT.replace("Writes.", "Writes / reads."), get=GET.split("\n")[1] + "\n"), []),
    ("described-in-another-group", described(section="items"), [f"api/stave/module.h:{n}: description" for n in (8, 10)]),
    ("described-mark", described(put_lua=PUT_LUA.replace("local", "far")), ["api/stave.lua:4: description"]),
    ("described-mark-of-a-callback", described(get_lua=GET_LUA.replace("message", "native")), ["api/stave.lua:5: description"]),
    ("described-of-a-later-minor", described(get_lua=GET_LUA[:-1] + ", since = 3}"), ["api/stave.lua:5: description"]),
    ("described-appended", described(get_lua=GET_LUA[:-1] + ", since = 2}"), []),
    ("described-in-between", described(put_lua=PUT_LUA[:-1] + ", since = 2}"), ["api/stave/module.h:10: description"]),
    ("described-lua-no-signature", described(put_lua='{"put", "local", "put()"}'), ["api/stave.lua:4: description"]),
    ("described-lua-missing", described(put_lua='{"put", "local"}'), ["api/stave.lua:4: description"]),
    ("described-lua-type", described(put_lua=PUT_LUA.replace("key: string", "key: integer")), ["api/stave.lua:4: description"]),
    ("described-lua-name", described(put_lua=PUT_LUA.replace("(key", "(owner")), ["api/stave.lua:4: description"]),
    ("described-lua-too-few", described(put_lua=PUT_LUA.replace("key: string", "")), ["api/stave.lua:4: description"]),
    ("described-lua-too-many", described(put_lua=PUT_LUA.replace("string)", "string, n: integer)")), ["api/stave.lua:4: description"]),
    ("described-lua-result", described(put_lua=PUT_LUA.replace("): status", ")")), ["api/stave.lua:4: description"]),
    ("described-lua-never-nil", described(get_lua=GET_LUA.replace("string?", "string")), ["api/stave.lua:5: description"]),
    ("described-lua-does-not-yield", described(get_lua=GET_LUA.replace(" yields", "")), ["api/stave.lua:5: description"]),
    ("described-lua-other-name", described(put_lua=PUT_LUA.replace("event:put", "event:store")), ["api/stave.lua:4: description"]),
    ("described-lua-by-hand", described(put_lua='{"put", "local", hand = "store:put(key: string, value: string): boolean?, word"}'), []),
    ("described-lua-by-hand-no-signature", described(put_lua='{"put", "local", hand = "put()"}'), ["api/stave.lua:4: description"]),
    ("described-lua-by-hand-and-not", described(put_lua=PUT_LUA[:-1] + ', hand = "event:put()"}'), ["api/stave.lua:4: description"]),
    ("described-lua-one-name-twice", described(put_lua='{"put", "local", hand = "event:get(key: string)"}'), ["api/stave.lua:5: description"]),
    ("described-lua-besides", described(groups='}, besides = {{"event:more()", "Does."}'), []),
    ("described-lua-besides-says-nothing", described(groups='}, besides = {{"event:more()"}'), ["api/stave.lua:5: description"]),
    ("described-point", described(points="{" + POINT + ", later = true}"), []),
    ("described-point-later", described(points="{" + POINT + "}"), ["api/stave.lua:1: description"]),
    ("described-point-default", described(points="{" + POINT.replace("default", "x") + ", later = true}"), ["api/stave.lua:1: description"]),
    ("described-point-about", described(points="{" + POINT.replace("about", "from") + ", later = true}"), ["api/stave.lua:1: description"]),
    ("described-struct", described(more="typedef struct s {\n    int a;\n} s;\n"), ["api/stave/module.h:12: description"]),
    ("described-struct-grows", described(more="typedef struct s {\n    int a;\n} s;\n", structs=', s = "never"'), []),
    ("described-struct-grows-how", described(structs=', sv_b = "ever"'), ["api/stave.lua:2: description"]),
    ("described-enum", described(more="typedef enum e { A = 1 } e;\n"), ["api/stave/module.h:12: description"]),
    ("described-values", described(enums=ENUM % '{name = "A", value = 1}, {name = "B", value = 1}'), ["api/stave.lua:1: description"]),
    ("described-flags", described(flags=FLAGS % '{name = "SV_X_A", value = 1}, {name = "SV_X_B", value = 2}', more="#define SV_X_A 1u\n"), []),
    ("described-flags-twice", described(flags=FLAGS % '{name = "SV_X_A", value = 1}, {name = "SV_X_B", value = 1}'), ["api/stave.lua:1: description"]),
    ("described-flags-of-two-bits", described(flags=FLAGS % '{name = "SV_X_A", value = 3}'), ["api/stave.lua:1: description"]),
    ("described-flags-not", described(flags=FLAGS % '{name = "SV_X_A", value = 1}', more="#define SV_X_B 2u\n"), ["api/stave/module.h:12: description"]),
    ("described-inline", described(more="static inline int a(void)\n{\n    return 1;\n}\n"), ["api/stave/module.h:12: prototype"]),
    ("described-helper", described(get_lua=GET_LUA[:-1] + ", since = 2}", more="/* Reads. */\nstatic inline void a(sv_event *ev)\n{\n"
                                   "    if (SV_HAS(get)) sv->get(ev, SV_STR_NONE, NULL);\n}\n"), []),
    ("described-helper-that-does-not-ask", described(get_lua=GET_LUA[:-1] + ", since = 2}", more="/* Reads. */\nstatic inline void a(sv_event *ev)\n{\n"
                                                     "    sv->get(ev, SV_STR_NONE, NULL);\n}\n"), ["api/stave/module.h:13: description"]),
    ("described-own-table", described(more="typedef struct sv_own {\n    uint32_t size; /* its own */\n    /* Does. */\n    void (*run)(void);\n} sv_own;\n",
                                      structs=', sv_own = "size"', groups=OWN % '{"run", "native", no_lua = "why"}'), []),
    ("described-own-table-not", described(more="typedef struct sv_own {\n    uint32_t size; /* its own */\n    /* Does. */\n    void (*run)(void);\n} sv_own;\n",
                                          structs=', sv_own = "size"', groups=OWN % ""), ["api/stave/module.h:15: description"]),
    ("described-own-table-by-nobody", described(groups=OWN % ""), ["api/stave.lua:5: description"]),
    ("described-version", described(more="#define SV_ABI_MINOR 1\n"), ["api/stave/module.h:12: description"]),
    ("described-unreadably", described(put="    /* Writes. */\n    int put : 1;\n"), ["api/stave/module.h:8: description"]),
    ("described-not-in-lua", {"api/stave.lua": "return {\n    oops oops\n}\n"}, ["api/stave.lua:2: description"]),
    ("prototype-bare", {"server/base/base_a.h": "\nint a(void);\n"}, ["server/base/base_a.h:3: prototype"]),
    ("prototype-after-gap", {"server/base/base_a.h": "/* One. */\nint a(void);\n\nint b(int x,\n      int y);\n"},
     ["server/base/base_a.h:5: prototype"]),
    ("prototype-attribute", {"server/base/base_a.h": "\n_Noreturn void a(int x) __attribute__((cold));\n"},
     ["server/base/base_a.h:3: prototype"]),
    ("prototype-member-of-table", {"api/stave/a.h": "\ntypedef struct t {\n    int size; /* own size */\n\n"
                                   "    void (*f)(int x);\n\n    void (*g)(int x); /* documented */\n} t;\n"},
     ["api/stave/a.h:6: prototype"]),
    # what server/ may know
    ("namespace-good", {"tools/lint-namespaces": "jabber:client RFC 6120\n",
                        "server/xmpp/xmpp_a.c": '#define A "jabber:client" "<x xmlns=\'jabber:client\'/>"\n'}, []),
    ("namespace-of-module", {"tools/lint-namespaces": "jabber:client RFC 6120\n",
                             "server/bus/bus_a.c": '#define A "iq-get/account {jabber:iq:last}query"\n',
                             "modules/m/m.c": '#define A "jabber:iq:last"\n'}, ["server/bus/bus_a.c:2: namespace"]),
    ("namespace-in-tests", {"server/bus/bus_a_test.c": '#define A "jabber:iq:last"\n',
                            "server/bus/bus_test_util.h": '#define A "jabber:iq:last"\n'}, []),
    ("log-name", {"server/base/base_log_names.h": '#define LOG_NAMES X("declared") Y("other")\n',
                  "server/net/net_a.c": 'void f(void)\n{\n    SV_LOG(SV_WARN, "declared");\n    SV_LOG(SV_WARN,\n'
                                        '           "unknown", LF_INT("ms", 1));\n}\n'}, ["server/net/net_a.c:5: log-name"]),
    ("log-name-unused", {"server/base/base_log_names.h": '\nSVI_LOG_NAME("a-b", "A.")\nSVI_LOG_NAME("c-d", "C.")\n',
                         "server/net/net_a.c": 'void f(void)\n{\n    SV_LOG(SV_WARN, "a-b");\n}\n'},
     ["server/base/base_log_names.h:4: log-name"]),
    ("ambient", {"server/bus/bus_a.c": "void f(void) { g(time(NULL)); }\nvoid h(void) { g(plat->time(0)); }\n",
                 "server/bus/bus_a_test.c": "void f(void) { g(time(NULL)); }\n",
                 "modules/m/m.c": "void f(void) { clock_gettime(0, 0); }\n"},
     ["modules/m/m.c:2: banned", "server/bus/bus_a.c:2: banned"]),
    ("flow-good", {"tests/flow/a.flow": "# A.\n# covers: RFC6120 1\nromeo receives <a/>\n",
                   "modules/m/b.flow": "# covers: XEP0001 1\neve is closed\n",
                   "lua/m/c.flow": "# covers: README\nserver can't start\n    no\n",
                   "lua/m/d.flow": "# covers: README\noperator can't run m set\n    no\n",
                   "lua/m/e.flow": "# covers: README\noperator runs m show\n    <row/>\n",
                   "lua/m/f.flow": "# covers: README\nlog has it\n"}, []),
    ("flow-empty", {"tests/flow/a.flow": "# A.\n# covers:\nromeo receives <a/>\n",
                    "modules/m/b.flow": "# covers: XEP0001 1\nromeo sends <a/>\n",
                    "lua/m/c.flow": "# covers: README\noperator runs m set\nserver restarts\noperator reloads m\n"},
     ["lua/m/c.flow:1: flow", "modules/m/b.flow:1: flow", "tests/flow/a.flow:1: flow"]),
    # words
    ("word-unfinished", {"server/base/base_a.c": "/* A stub, for now. */\nint stub;\n/* TODO: more */\n/* TODO(#12): x */\n"},
     ["server/base/base_a.c:2: word", "server/base/base_a.c:4: word"]),
    ("word-of-a-machine", {"doc/a.md": "See /root/x and ../shared/y.\n", "Makefile": "x:\n\tcp /home/me/x y\n"},
     ["Makefile:2: word", "doc/a.md:1: word"]),
]
