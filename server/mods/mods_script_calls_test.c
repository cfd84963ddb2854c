/* What Lua calls: each function once, each error once, by scripts that look at what comes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mods/mods_script_world_test.h"
#include "xmpp/xmpp_account.h"

static const char TOOLS[] =
    "sv.script {summary = 'calls', changes = {'*'}, sends = {'*'}, stores = {'words'}}\n"
    "function raises(want, f, ...)\n"
    "  local done, why = pcall(f, ...)\n"
    "  if done or not tostring(why):find(want, 1, true) then error('wanted \"' .. want .. '\", got ' .. tostring(why), 2) end\n"
    "end\n"
    "function same(a, b) if a ~= b then error('\"' .. tostring(a) .. '\" is not \"' .. tostring(b) .. '\"', 2) end end\n"
    "function well() sv.log('info', 'all-well') end\n";

static const char READS[] =
    "local old_event, old_stanza, old_node, old_session, kept, address\n"
    "sv.on('message/resource {urn:t}t', function(ev)\n"
    "  local root, t = ev:root(), ev:root():find('t', 'urn:t')\n"
    "  same(ev:type(), 'chat') same(ev:subject(), '') same(ev:account_exists(), true)\n"
    "  same(root:name(), 'message') same(root:ns(), 'jabber:client') same(root:attr('type'), 'chat') same(root:attr('none'), nil)\n"
    "  same(root:attr_ns('lang', 'http://www.w3.org/XML/1998/namespace'), 'de') same(root:is('message', 'jabber:client'), true)\n"
    "  same(root:first():name(), 'body') same(root:next(root:first()):name(), 't') same(root:find('t'):ns(), 'urn:t') same(root:find('no'), nil)\n"
    "  same(root:first():text(), 'hello') same(root:has('t', 'urn:t'), true) same(root:has('t', 'urn:u'), false)\n"
    "  same(root:text_of('body'), 'hello') same(root:text_of('none'), nil) same(ev:payload():name(), 'body')\n"
    "  local names = {}\n"
    "  for child in root:children() do names[#names + 1] = child:name() end\n"
    "  same(table.concat(names, ' '), 'body t u')\n"
    "  for child in ev:stanza():children() do names[#names + 1] = child:name() end\n"
    "  same(#names, 6) same(ev:stanza():has('body'), true) same(ev:stanza():text_of('body'), 'hello') same(ev:stanza():root():name(), 'message')\n"
    "  local from, to = ev:from(), ev:to()\n"
    "  same(from.full, 'a@one.example/r') same(from.bare, 'a@one.example') same(from.node, 'a') same(from.domain, 'one.example')\n"
    "  same(from.resource, 'r') same(tostring(to), 'b@one.example/r') same(from == to, false) same(from == ev:jid_parse('a@one.example/r'), true)\n"
    "  same(ev:jid_parse('one.example').node, nil) same(ev:jid_parse('one.example').resource, nil) same(ev:jid_parse('@'), nil) same(from .. '!', 'a@one.example/r!')\n"
    "  same(ev:is_local('two.example'), false) same(ev:is_local(from), true) same(ev:is_admin('admin@one.example'), true) same(ev:is_admin(from), false)\n"
    "  same(ev:is_guest(from), false) same(ev:has_space(), true) same(#ev:random_hex(8), 16) same(ev:stamp(1000), '1970-01-01T00:00:01Z')\n"
    "  same(ev:digest('sha-1', ''), '2jmj7l5rSw0yVb/vlWAYkK/YBwk=') same(ev:digest('none', ''), nil)\n"
    "  same(sv.host(), 'one.example') same(sv.name, 'calls') same(math.type(sv.now_s()), 'integer') same(sv.now_ms() // 1000, sv.now_s()) same(sv.feature_at(false, 99), '')\n"
    "  same(tostring(ev), 'event') same(tostring(root), 'node') same(tostring(ev:stanza()), 'stanza') same(getmetatable(ev), 'event')\n"
    "  local s = ev:session()\n"
    "  same(s:jid(), from) same(s:presence(), nil) same(s:priority(), 0) same(s:item('calls-mine'), nil)\n"
    "  s:set_item('calls-mine', 'x') same(s:item('calls-mine'), 'x') s:set_item('calls-mine') same(s:item('calls-mine'), nil)\n"
    "  same(ev:session_find('b@one.example/r'):jid().full, 'b@one.example/r') same(ev:session_find('c@one.example/r'), nil)\n"
    "  local first = ev:session_next('a@one.example')\n"
    "  same(first:jid(), from) same(ev:session_next('a@one.example', first):jid().resource, 's')\n"
    "  ev:session_set_presence(s, {'presence', {'show', 'away'}}, 5)\n"
    "  same(s:presence():text_of('show'), 'away') same(s:priority(), 5)\n"
    "  local presence = s:presence() ev:session_set_presence(s) same(s:presence(), nil) same(presence:text_of('show'), 'away')\n"
    "  raises('session expected, got jid', function() s.jid(from) end)\n"
    "  raises('has no method', function() ev:nothing() end)\n"
    "  raises('has no method \"table\"', function() return ev[{}] end)\n"
    "  raises('a jid has node, domain', function() return from.nod end)\n"
    "  raises('event expected', function() ev.type(from) end)\n"
    "  raises('node expected', function() root.name(ev) end)\n"
    "  raises('is no address', function() ev:is_local('@@') end)\n"
    "  raises('jid or text expected', function() ev:is_local({}) end)\n"
    "  raises('it is no child', function() root:next(root) end)\n"
    "  raises('a session of another account', function() ev:session_next('b@one.example', first) end)\n"
    "  raises('is no name of items', function() s:set_item('A', 'x') end)\n"
    "  raises('more than 4096 bytes', function() s:set_item('calls', ('x'):rep(4097)) end)\n"
    "  raises('may be another module', function() s:set_item('blocking-list', '') end)\n"
    "  raises('may be another module', function() s:set_item('callsign', 'x') end)\n"
    "  s:set_item('calls/a', 'x') s:set_item('calls/a')\n"
    "  raises('more than 64 names of items', function() for i = 1, 70 do s:set_item('calls-i' .. i, 'x') end end)\n"
    "  raises('presence of jabber:client', function() ev:session_set_presence(s, {'message'}) end)\n"
    "  raises('is not from -128 to 127', function() ev:session_set_presence(s, nil, 128) end)\n"
    "  raises('is not from 1 to 4096', function() ev:random_hex(0) end)\n"
    "  raises('is not from', function() ev:stamp(math.maxinteger) end)\n"
    "  old_event, old_stanza, old_node, old_session, kept, address = ev, ev:stanza(), root, s, ev:stanza():keep(), from\n"
    "  same(kept:root():name(), 'message') same(kept:root():first():text(), 'hello')\n"
    "  well()\n"
    "end)\n"
    "sv.on('message/resource {urn:t}later', function(ev)\n"
    "  same(address.full, 'a@one.example/r') same(kept:text_of('body'), 'hello') same(kept:has('t'), true)\n"
    "  raises('event used after its handler returned', function() old_event:type() end)\n"
    "  raises('stanza used after its handler returned: ev:stanza():keep() takes a reference', function() old_stanza:root() end)\n"
    "  raises('node used after its handler returned: ev:stanza():keep()', function() old_node:name() end)\n"
    "  raises('session used after its handler returned', function() old_session:jid() end)\n"
    "  local node = kept:root():first() kept = nil for i = 1, 60 do local garbage = ('x'):rep(10000) .. i end\n"
    "  same(node:text(), 'hello')\n"
    "  well()\n"
    "end)\n"
    "local all = {}\n"
    "sv.on('message/resource {urn:t}keeps', function(ev)\n"
    "  local stanza = ev:stanza()\n"
    "  for i = 1, 100 do all[#all + 1] = stanza:keep() end\n"
    "  well()\n"
    "end)\n"
    "sv.on('message/resource {urn:t}full', function(ev)\n"
    "  same(#all, 1000)\n"
    "  raises('keeps 1000 stanzas already', function() ev:stanza():keep() end)\n"
    "  all = nil\n"
    "  pcall(function() local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end)\n"
    "  same(#('x'):rep(4000000), 4000000)\n" /* what filled the memory is garbage by now */
    "  same(ev:stanza():keep():root():name(), 'message')\n" /* what was let go of counts no more */
    "  well()\n"
    "end)\n";

static const char BUILDS[] =
    "local function bytes(ev, element) return ev:stanza_bytes(element) end\n"
    "sv.on('message/resource {urn:t}t', function(ev)\n"
    "  same(bytes(ev, {'message', to = ev:from()}), \"<message to='\" .. ev:from().full .. \"' xmlns='jabber:client'/>\")\n"
    "  same(bytes(ev, {'message', to = 'x@y', {'body', 'a<', 1, 2.0, 0.5}}), \"<message to='x@y' xmlns='jabber:client'><body>a&lt;120.5</body></message>\")\n"
    "  same(bytes(ev, {'q', xmlns = 'urn:q', a = true, b = false, {'r'}, false, nil, {'s', xmlns = 'urn:s', n = 5}}),\n"
    "       \"<q xmlns='urn:q' a='true'><r/><s xmlns='urn:s' n='5'/></q>\")\n"
    "  same(bytes(ev, {'q', xmlns = 'urn:q', ['xml:lang'] = 'de', ev:root():find('t')}), \"<q xmlns='urn:q' xml:lang='de'><t xmlns='urn:t'/></q>\")\n"
    "  same(bytes(ev, {'q', xmlns = 'urn:q', {'\\u{e9}t\\u{e9}'}}), \"<q xmlns='urn:q'><\\u{e9}t\\u{e9}/></q>\")\n"
    "  local copy = ev:stanza():table()\n"
    "  same(copy[1], 'message') same(copy.xmlns, 'jabber:client') same(copy.type, 'chat') same(copy['xml:lang'], 'de') same(copy[2][1], 'body') same(copy[2][2], 'hello')\n"
    "  same(copy[3].xmlns, 'urn:t') same(copy[2].xmlns, nil) same(ev:root():table().type, 'chat') copy.type = 'normal'\n"
    "  same(bytes(ev, copy):find(\"type='normal'\", 1, true) ~= nil, true)\n"
    "  same(bytes(ev, {'x', xmlns = 'urn:x', ev:stanza()}):find(\"<x xmlns='urn:x'><message xmlns='jabber:client'\", 1, true), 1)\n"
    "  local parsed = ev:stanza_parse(\"<message xmlns='jabber:client'><body>p</body></message>\")\n"
    "  same(parsed:text_of('body'), 'p')\n"
    "  local none, word = ev:stanza_parse('<a') same(none, nil) same(word, 'inval')\n"
    "  local with = ev:with_attrs(ev:stanza(), {type = false, id = 'i'}) same(with:root():attr('type'), nil) same(with:root():attr('id'), 'i')\n"
    "  same(ev:with_child(with, {'z', xmlns = 'urn:z'}):has('z', 'urn:z'), true) same(ev:with_child(with, {'z'}):has('z', 'jabber:client'), true)\n"
    "  raises('element {\"a b\"}: \"a b\" is no name', bytes, ev, {'a b', xmlns = 'urn:q'})\n"
    "  raises('\"1a\" is no name', bytes, ev, {'1a', xmlns = 'urn:q'})\n"
    "  raises('\"a:b\" is no name', bytes, ev, {'a:b', xmlns = 'urn:q'})\n"
    "  raises('\"\" is no name', bytes, ev, {'', xmlns = 'urn:q'})\n"
    "  raises('\"\\u{d7}\" is no name', bytes, ev, {'\\u{d7}', xmlns = 'urn:q'})\n"
    "  raises('begins with its name', bytes, ev, {xmlns = 'urn:q'})\n"
    "  raises('it takes an element such as', bytes, ev, 'text')\n"
    "  raises('it needs an xmlns', bytes, ev, {'q'})\n"
    "  raises('is no namespace of elements', bytes, ev, {'q', xmlns = 'http://www.w3.org/2000/xmlns/'})\n"
    "  raises('is no namespace of elements', bytes, ev, {'q', xmlns = ''})\n"
    "  raises('xmlns is a number, not a text', bytes, ev, {'q', xmlns = 5})\n"
    "  raises('attribute \"a b\" is no name', bytes, ev, {'q', xmlns = 'urn:q', ['a b'] = 'x'})\n"
    "  raises('attribute \"a\" is a table, not a text or a number', bytes, ev, {'q', xmlns = 'urn:q', a = {}})\n"
    "  raises('attribute \"a\" holds bytes that are no UTF-8', bytes, ev, {'q', xmlns = 'urn:q', a = '\\xff'})\n"
    "  raises('attribute \"a\" is no finite number', bytes, ev, {'q', xmlns = 'urn:q', a = 0/0})\n"
    "  raises('item holds bytes that are no UTF-8, or characters that XML forbids', bytes, ev, {'q', xmlns = 'urn:q', 'a\\0'})\n"
    "  raises('characters that XML forbids', bytes, ev, {'q', xmlns = 'urn:q', '\\u{fffe}'})\n"
    "  raises('item 2 is true', bytes, ev, {'q', xmlns = 'urn:q', true})\n"
    "  raises('an item is a function', bytes, ev, {'q', xmlns = 'urn:q', print or error})\n"
    "  raises('there is no item number', bytes, ev, {'q', xmlns = 'urn:q', [20000] = 'x'})\n"
    "  raises('a boolean is no name of an attribute', bytes, ev, {'q', xmlns = 'urn:q', [true] = 'x'})\n"
    "  local deep = {'d'} for i = 1, 70 do deep = {'d', deep} end deep.xmlns = 'urn:d'\n"
    "  raises('deeper in each other than 64', bytes, ev, deep)\n"
    "  local ring = {'r', xmlns = 'urn:r'} ring[2], ring[3] = ring, ring\n"
    "  raises('deeper in each other than 64', bytes, ev, ring)\n"
    "  raises('\"\\u{500}\" is no name', bytes, ev, {'\\u{500}', xmlns = 'urn:q'})\n"
    "  local stanza = ev:stanza_parse(('<a>'):rep(1099) .. ('</a>'):rep(1099))\n"
    "  same(#bytes(ev, {'q', xmlns = 'urn:q', stanza}) > 1099 * 3, true)\n"
    "  raises('deeper in each other than 1100', bytes, ev, {'q', xmlns = 'urn:q', {'r', stanza}})\n"
    "  raises('deeper in each other than 1100', function() ev:stanza_parse(('<a>'):rep(1101) .. ('</a>'):rep(1101)) end)\n"
    "  same(bytes(ev, {'q', xmlns = 'urn:q', d = 4, b = 2, c = 3, a = 1, e = 5}), \"<q xmlns='urn:q' a='1' b='2' c='3' d='4' e='5'/>\")\n"
    "  raises('more than 64 attributes', function() local t = {'q', xmlns = 'urn:q'} for i = 1, 64 do t['a' .. i] = i end bytes(ev, t) end)\n"
    "  raises('more than 64 attributes', function() local t = {} for i = 1, 65 do t['a' .. i] = 'x' end ev:with_attrs(ev:stanza(), t) end)\n"
    "  raises('is no name of an attribute', function() ev:with_attrs(ev:stanza(), {xmlns = 'x'}) end)\n"
    "  raises('names and values', function() ev:with_attrs(ev:stanza(), {'x'}) end)\n"
    "  raises('is a text, or false', function() ev:with_attrs(ev:stanza(), {a = 5}) end)\n"
    "  raises('with_attrs: a value holds bytes', function() ev:with_attrs(ev:stanza(), {a = '\\1'}) end)\n"
    "  raises('a text of more than 1048576 bytes', bytes, ev, {'q', xmlns = 'urn:q', ('x'):rep(1048577)})\n"
    "  well()\n"
    "end)\n"
    "sv.on('message/resource {urn:t}much', function(ev)\n"
    "  raises('makes more than 8388608 bytes', function()\n"
    "    local big = ev:with_child(ev:stanza(), {'x', xmlns = 'urn:x', ('x'):rep(100000)})\n"
    "    for i = 1, 100 do same(#bytes(ev, big) > 100000, true) end\n"
    "  end)\n"
    "  well()\n"
    "end)\n";

static const char VERDICTS[] =
    "local function on(name, f) sv.on('iq-set/host {urn:v}' .. name, f) end\n"
    "on('reply', function(ev) return ev:reply {'v', xmlns = 'urn:v', a = 'x', 'text', {'w', 1}} end)\n"
    "on('bare', function(ev) return ev:reply() end)\n"
    "on('echo', function(ev) return ev:reply(ev:payload()) end)\n"
    "on('parsed', function(ev) return ev:reply(ev:stanza_parse(\"<p xmlns='urn:p'>q<r/></p>\")) end)\n"
    "on('refuse', function(ev) return ev:refuse 'item-not-found' end)\n"
    "on('says', function(ev) return ev:refuse('conflict', 'not <now>') end)\n"
    "on('with', function(ev) return ev:refuse_with('forbidden', 'wait', {'own', xmlns = 'urn:own'}) end)\n"
    "on('with-nil', function(ev) return ev:refuse_with('forbidden', nil, {'own', xmlns = 'urn:own'}) end)\n"
    "on('drop', function(ev) return ev:drop 'a-rule' end)\n"
    "on('consume', function(ev) return ev:consume() end)\n"
    "on('stored', function(ev) return ev:stored() end)\n"
    "on('twice', function(ev)\n"
    "  ev:reply()\n"
    "  raises('something else has become of the stanza already', function() ev:refuse 'conflict' end)\n"
    "  raises('something else has become', function() ev:drop 'x' end)\n"
    "  raises('something else has become', function() ev:consume() end)\n"
    "  well()\n"
    "end)\n"
    "on('wrong', function(ev)\n"
    "  raises('is no condition of an error; they are: bad-request', function() ev:refuse 'bad' end)\n"
    "  raises('refuse: the text holds bytes', function() ev:refuse('conflict', '\\xff') end)\n"
    "  raises('is no type of an error; they are: auth cancel', function() ev:refuse_with('conflict', 'bad', {'x', xmlns = 'urn:x'}) end)\n"
    "  raises('it needs an xmlns', function() ev:refuse_with('conflict', nil, {'x'}) end)\n"
    "  raises('reply: it takes an element', function() ev:reply('x') end)\n"
    "  raises('it needs an xmlns', function() ev:reply {'x'} end)\n"
    "  raises('is no name of rules', function() ev:drop 'A rule' end)\n"
    "  raises('not the recipient', function() ev:deliver(ev:session_find(ev:from())) end)\n"
    "  raises('a message, presence or iq of jabber:client', function() ev:replace {'x', xmlns = 'urn:x'} end)\n"
    "  raises('of the same kind', function() ev:replace {'message'} end)\n"
    "  raises('of the same kind', function() ev:replace {'iq', type = 'get'} end)\n"
    "  raises('`to` is no address', function() ev:replace {'iq', type = 'set', to = '@'} end)\n"
    "  raises('only a command of the script\\'s own', function() ev:arg_text 'x' end)\n"
    "  raises('only a command', function() ev:arg_int 'x' end)\n"
    "  raises('only a command', function() ev:arg_jid 'x' end)\n"
    "  raises('only a command', function() ev:asked_from() end)\n"
    "  raises('only a command', function() ev:record() end)\n"
    "  raises('only a command', function() ev:field('x', 'y') end)\n"
    "  raises('only a command', function() ev:answer() end)\n"
    "  raises('only a command', function() ev:answer_more 'x' end)\n"
    "  raises('only a command', function() ev:fail('failed', 'x') end)\n"
    "  raises('declares: call it at the top level', function() sv.store 'words' end)\n"
    "  well()\n"
    "  return ev:reply()\n"
    "end)\n"
    "on('rules', function(ev)\n"
    "  raises('by more than 64 rules', function() for i = 1, 70 do pcall(ev.drop, ev, 'r' .. i) if i > 64 then ev:drop('q' .. i) end end end)\n"
    "  well()\n"
    "end)\n"
    "local root\n"
    "on('replace', function(ev)\n"
    "  local before = ev:root()\n"
    "  ev:replace {'iq', type = 'set', id = '1', to = 'one.example', from = ev:from().full, {'replace', xmlns = 'urn:v', {'second'}}}\n"
    "  local second = ev:payload()\n"
    "  same(second:has('second'), true) same(before:first():name(), 'replace') same(before:attr('id'), '1')\n"
    "  ev:replace(ev:with_child(ev:stanza(), {'more', xmlns = 'urn:more'}))\n"
    "  same(ev:stanza():has('more'), true)\n"
    "  ev:replace {'iq', type = 'set', id = '1', to = 'one.example', from = ev:from().full, {'replace', xmlns = 'urn:v', {'third'}}}\n"
    "  same(ev:payload():has('third'), true) same(second:has('second'), true) same(before:first():first():name(), 'y')\n"
    "  return ev:reply(ev:payload())\n"
    "end)\n"
    "on('later', function(ev)\n"
    "  local before = ev:root()\n"
    "  ev:sleep(10)\n"
    "  ev:replace {'iq', type = 'set', id = '1', to = 'one.example', from = ev:from().full, {'later', xmlns = 'urn:v'}}\n"
    "  same(before:first():text(), 'x') same(before:attr('id'), '1') same(ev:payload():text(), '')\n"
    "  return ev:reply {'was', xmlns = 'urn:was', before:first()}\n"
    "end)\n"
    "on('set', function(ev) ev:session_set_presence(ev:session(), {'presence', {'show', 'away'}}, 5) return ev:reply() end)\n"
    "on('unset', function(ev)\n"
    "  local presence = ev:session():presence()\n"
    "  ev:session_set_presence(ev:session())\n"
    "  same(ev:session():presence(), nil)\n"
    "  return ev:reply {'was', xmlns = 'urn:was', presence:text_of('show')}\n"
    "end)\n"
    "sv.on('message/resource {urn:v}m', function(ev)\n"
    "  raises('answers an IQ of type get or set', function() ev:reply() end)\n"
    "  return ev:deliver(ev:session_find(ev:to()))\n"
    "end)\n"
    "sv.on('message/account {urn:v}both', function(ev)\n"
    "  local s = ev:session_next(ev:to())\n"
    "  while s do ev:deliver(s) s = ev:session_next(ev:to(), s) end\n"
    "  raises('something else has become', function() ev:consume() end)\n"
    "  return 'done'\n"
    "end)\n"
    "sv.on('session/bound', function(ev)\n"
    "  for _, name in ipairs {'reply', 'refuse', 'refuse_with', 'drop', 'consume', 'stored', 'deliver', 'replace'} do\n"
    "    raises('there is no stanza at \"session/bound\"', function() ev[name](ev, 'conflict') end)\n"
    "  end\n"
    "  same(ev:stanza(), nil) same(ev:root(), nil) same(ev:payload(), nil)\n"
    "end)\n"
    "sv.on('account/removing', function(ev) if ev:from().node == 'stays' then return ev:refuse 'not-allowed' end end)\n"
    "sv.on('message/resource {urn:v}m', function(ev)\n"
    "  raises('the script may only look at', function() ev:drop 'x' end)\n"
    "end, {band = 'monitor'})\n";

static const char SENDS[] =
    "sv.on('message/resource {urn:s}send', function(ev)\n"
    "  local to = ev:session_find('b@one.example/r')\n"
    "  ev:push(to, {'message', {'body', 'pushed'}})\n"
    "  ev:push_copy(to, {'message', {'body', 'copied'}})\n"
    "  raises('a message, presence or iq', function() ev:push_copy(to, {'x', xmlns = 'urn:x'}) end)\n"
    "  ev:route {'message', to = 'b@one.example/r', {'body', 'routed'}}\n"
    "  ev:route_unasked {'message', to = 'b@one.example/r', from = 'a@one.example', {'body', 'unasked'}}\n"
    "  raises('a message, presence or iq', function() ev:push(to, {'x', xmlns = 'urn:x'}) end)\n"
    "  raises('a message, presence or iq', function() ev:route(ev:stanza_parse(\"<message xmlns='jabber:server' to='a@b'/>\")) end)\n"
    "  raises('needs a `to` that is an address', function() ev:route {'message'} end)\n"
    "  raises('needs a `to` that is an address', function() ev:route {'message', to = '@'} end)\n"
    "  raises('`from` is an address of the host', function() ev:route {'message', to = 'b@one.example', from = 'x@two.example'} end)\n"
    "  raises('`from` is an address of the host', function() ev:route {'message', to = 'b@one.example', from = '@'} end)\n"
    "  raises('session expected', function() ev:push('b@one.example/r', {'message'}) end)\n"
    "  raises('more than 10000 effects', function() for i = 1, 10001 do ev:session():set_item('calls', 'b') end end)\n"
    "  well()\n"
    "end)\n";

/* What is held back says itself whether it waits. */
static const char HOLDS[] =
    "sv.on('message/resource {urn:h}on', function(ev)\n"
    "  local to = ev:session_find(ev:to())\n"
    "  to:hold(10, 100000, 60000)\n"
    "  raises('it is from 1 to 1000000000', function() to:hold(0, 1, 1) end)\n"
    "  raises('at session/sending', function() ev:hold 'k' end)\n"
    "  well()\n"
    "end)\n"
    "sv.on('message/resource {urn:h}off', function(ev) ev:session_find(ev:to()):release() well() end)\n"
    "sv.on('session/sending {urn:h}wait', function(ev)\n"
    "  raises('more than 4096 bytes', function() ev:hold(('x'):rep(4097)) end)\n"
    "  return ev:hold(ev:attr 'id')\n"
    "end)\n";

static const char NARROW[] =
    "sv.script {summary = 'calls', changes = {'message/*', 'host/ready'}, sends = {'host'}, stores = {'words', 'other/words'}, after = 'other'}\n"
    "raises = function(want, f, ...)\n"
    "  local done, why = pcall(f, ...)\n"
    "  if done or not tostring(why):find(want, 1, true) then error('wanted \"' .. want .. '\", got ' .. tostring(why), 2) end\n"
    "end\n"
    "same = function(a, b) if a ~= b then error('\"' .. tostring(a) .. '\" is not \"' .. tostring(b) .. '\"', 2) end end\n"
    "well = function() sv.log('info', 'all-well') end\n"
    "local words, others = sv.store 'words', sv.store 'other/words'\n"
    "sv.on('message/resource {urn:s}t', function(ev)\n"
    "  raises('no right to send to \"two.example\"', function() ev:route {'message', to = 'x@two.example'} end)\n"
    "  ev:route {'message', to = 'b@one.example', {'body', 'in the host'}}\n"
    "  raises('may only read \"other/words\": say \"other/words write\"', function() others:put('a', 'k', 'v') end)\n"
    "  raises('may only read', function() others:del('a', 'k') end)\n"
    "  raises('may only read', function() others:del_owner('a') end)\n"
    "  raises('may only read', function() ev:push_stored(ev:session_find(ev:to()), {'message'}, others, 'a', 'k') end)\n"
    "  same(others:get('a', 'k'), nil)\n"
    "  well()\n"
    "end)\n"
    "sv.start(function()\n"
    "  raises('store:get needs an event', function() words:get('a') end)\n"
    "  raises('store:put needs an event', function() words:put('a', 'b', 'c') end)\n"
    "  raises('sv.begin needs an event', function() sv.begin('disco/changed') end)\n"
    "  raises('sv.accounts needs an event', function() sv.accounts(nil, 1) end)\n"
    "  same(sv.host_set_item('calls/one', 'x'), true) same(sv.host_item('calls/one'), 'x')\n"
    "  local none, word = sv.host_set_item('Calls', 'x') same(none, nil) same(word, 'inval')\n"
    "  none, word = sv.host_set_item('calls/two', ('x'):rep(20000)) same(word, 'limit')\n"
    "  same(sv.set_stream_feature(\"<f xmlns='urn:f'/>\"), true)\n"
    "  none, word = sv.set_stream_feature('<f') same(word, 'inval')\n"
    "  none, word = sv.set_stream_feature(('x'):rep(20000)) same(word, 'limit')\n"
    "end)\n"
    "sv.on('host/ready', function(ev)\n"
    "  same(ev:type(), '') same(ev:session(), nil) same(ev:stanza(), nil) same(ev:from(), nil)\n"
    "  sv.host_set_item('calls/one') same(sv.host_item('calls/one'), nil)\n"
    "  sv.log('debug', 'not-shown') sv.log('warn', 'has-fields', {b = 1, a = 'x', c = true, jid = ev:jid_parse('x@one.example')})\n"
    "  raises('is no level of the log', sv.log, 'loud', 'x')\n"
    "  raises('is no name of events of the log', sv.log, 'info', 'A b')\n"
    "  raises('the name of a field is', sv.log, 'info', 'x', {['A'] = 1})\n"
    "  raises('the field \"a\" is a table', sv.log, 'info', 'x', {a = {}})\n"
    "  raises('more than 15 fields', function() local f = {} for i = 1, 16 do f['f' .. i] = i end sv.log('info', 'x', f) end)\n"
    "  raises('table expected', sv.log, 'info', 'x', 'y')\n"
    "  raises('more than 1000 lines of one handler', function() for i = 1, 1001 do sv.log('debug', 'x') end end)\n"
    "end)\n"
    "sv.on('message/self', function(ev) end)\n";

static const char STORES[] =
    "local words = sv.store 'words'\n"
    "sv.on('message/resource {urn:k}write', function(ev)\n"
    "  same(words:put('a', 'k', 'v'), true) same(words:put('a', nil, 'empty'), true) same(words:put('b', 'x', 'y'), true)\n"
    "  same(words:put('a', 'gone', 'v'), true) same(words:del('a', 'gone'), true) same(words:put('c', 'x', 'y'), true) same(words:del_owner('c'), true)\n"
    "  local none, word = nil, nil\n"
    "  for i = 1, 5 do none, word = words:put('a', 'big' .. i, ('x'):rep(1000000)) end\n"
    "  same(none, nil) same(word, 'limit')\n"
    "  for i = 1, 5 do words:del('a', 'big' .. i) end\n"
    "  raises('a key of more than 3071 bytes', words.put, words, 'a', ('k'):rep(3072), 'v')\n"
    "  raises('an owner of more than 1023 bytes', words.get, words, ('k'):rep(1024))\n"
    "  raises('store expected', words.get, ev)\n"
    "  well()\n"
    "end)\n"
    "sv.on('message/resource {urn:k}read', function(ev)\n"
    "  local session = ev:session()\n"
    "  same(words:get('a', 'k'), 'v') same(words:get('a'), 'empty')\n"
    "  raises('session used after a wait: ask for it again', session.jid, session)\n"
    "  session = ev:session() same(session:jid().full, 'a@one.example/r')\n"
    "  local none, word = words:get('a', 'gone') same(none, nil) same(word, 'notfound')\n"
    "  local rows = words:rows('a')\n"
    "  same(rows:count(), 2) same(rows:row('k'), 'v') same(rows:row(''), 'empty') same(rows:row('none'), nil) same(rows:bytes(), 6)\n"
    "  local key, value = rows:next() same(key, '') same(value, 'empty') same(rows:next('k'), nil) same(rows:next(''), 'k')\n"
    "  same(rows:stored('k'), 'v') same(rows:added('k'), nil) same(rows:mark(), 0)\n"
    "  local all = {} for k, v in rows:pairs() do all[#all + 1] = k .. '=' .. v end\n"
    "  same(table.concat(all, ' '), '=empty k=v') same(words:held('a'), true) same(words:held('b'), false) same(tostring(rows), 'rows') same(tostring(words), 'store')\n"
    "  raises('a key of more than', rows.next, rows, ('k'):rep(3072))\n"
    "  local kept = words:keep(ev:session())\n"
    "  same(kept:count(), 2)\n"
    "  raises('rows used after a wait', rows.count, rows)\n"
    "  raises('can\\'t in a coroutine of the script\\'s own', coroutine.wrap(function() words:get('b') end))\n"
    "  ev:root():name()\n"
    "  ev:deliver(ev:session_find(ev:to()))\n"
    "  raises('can\\'t behind the verdict', words.get, words, 'a')\n"
    "  well()\n"
    "end)\n"
    "sv.on('message/resource {urn:k}monitor', function(ev)\n"
    "  raises('a MONITOR', words.get, words, 'a')\n"
    "  raises('band monitor only looks', words.put, words, 'a', 'b', 'c')\n"
    "  raises('band monitor only looks', ev.route, ev, {'message', to = 'a@one.example'})\n"
    "  raises('may only look', ev.fire, ev, 'disco/changed')\n"
    "  raises('may only look', function() ev:session():set_item('a', 'b') end)\n"
    "  well()\n"
    "end, {band = 'monitor'})\n"
    "sv.on('message/resource {urn:k}push', function(ev)\n"
    "  ev:push_stored(ev:session_find(ev:to()), {'message', {'body', 'from a row'}}, words, 'b', 'x')\n"
    "  well()\n"
    "end)\n"
    "sv.on('message/resource {urn:k}pushed', function(ev) same(words:get('b', 'x'), nil) well() end)\n"
    "local first, node\n"
    "sv.on('message/resource {urn:k}sleeps', function(ev) first, node = ev, ev:root() ev:sleep(1000) same(node:name(), 'message') same(ev:type(), 'chat') well() end)\n"
    "sv.on('message/resource {urn:k}other', function(ev)\n"
    "  raises('the node belongs to another handler that runs or waits', function() node:name() end)\n"
    "  raises('another', function() first:type() end)\n"
    "  well()\n"
    "end)\n"
    "sv.on('message/resource {urn:k}accounts', function(ev)\n"
    "  local names, more = sv.accounts(nil, 2)\n"
    "  same(table.concat(names, ' '), 'a b') same(more, true)\n"
    "  names, more = sv.accounts('b', 2)\n"
    "  same(table.concat(names, ' '), 'c') same(more, false)\n"
    "  raises('is not from 1 to 1000', sv.accounts, nil, 0)\n"
    "  raises('1023 bytes at most', sv.accounts, ('x'):rep(1024), 1)\n"
    "  well()\n"
    "end)\n";

static const char COMMANDS[] =
    "local columns = {{'who'}, {'n', kind = 'int'}, {'yes', kind = 'bool'}, {'at', kind = 'time'}, {'all', kind = 'list'}}\n"
    "local function command(name, run)\n"
    "  sv.command {'calls ' .. name, summary = 'one of several', columns = columns, run = run,\n"
    "    args = {{'who', kind = 'account', required = true, manual = 'whose'}, {'n', kind = 'int', manual = 'how many'}}}\n"
    "end\n"
    "command('all', function(ev)\n"
    "  same(ev:arg_text('who'), 'a@one.example') same(ev:arg_int('n'), 5) same(ev:arg_jid('who').node, 'a') same(ev:arg_text('n'), '5') same(ev:asked_from(), '')\n"
    "  same(ev:arg_jid('n'), nil) same(ev:from().full, 'a@one.example')\n"
    "  raises('declares no argument \"none\"', function() ev:arg_text 'none' end)\n"
    "  raises('a record begins with event:record()', function() ev:field('who', 'x') end)\n"
    "  raises('a record is a table', function() ev:answer {'x'} end)\n"
    "  raises('there is no stanza', function() ev:reply() end)\n"
    "  same(ev:record(), true)\n"
    "  ev:field('who', 'me') ev:field('n', 3) ev:field('yes', true) ev:field('at', 1000) ev:field('all', {'x', 'y'})\n"
    "  raises('declares no column \"none\"', function() ev:field('none', 'x') end)\n"
    "  raises('\"n\" is a whole number, not a string', function() ev:field('n', 'x') end)\n"
    "  raises('\"n\" is a whole number, not a number', function() ev:field('n', 0.5) end)\n"
    "  raises('\"yes\" is a boolean, not a number', function() ev:field('yes', 1) end)\n"
    "  raises('\"who\" is a text, not a table', function() ev:field('who', {}) end)\n"
    "  raises('is a time in ms since 1970', function() ev:field('at', math.maxinteger) end)\n"
    "  raises('is no fault of a command; they are: usage not-found refused failed', function() ev:fail('bad', 'x') end)\n"
    "  raises('1 to 4096 bytes', function() ev:answer_more '' end)\n"
    "  local verdict = ev:answer {{who = 'you', n = 4, all = 'z'}, {yes = false}}\n"
    "  raises('the command was answered already', function() ev:answer() end)\n"
    "  raises('the command was answered already', function() ev:fail('failed', 'x') end)\n"
    "  well()\n"
    "  return verdict\n"
    "end)\n"
    "command('pages', function(ev)\n"
    "  local from = tonumber(ev:asked_from()) or 0\n"
    "  local records = {} for i = 1, 3 do records[i] = {n = from + i} end\n"
    "  if from == 0 then\n"
    "    ev:record() ev:field('n', 0)\n"
    "    return ev:answer_more '7'\n"
    "  end\n"
    "  return ev:answer(records)\n"
    "end)\n"
    "command('fails', function(ev) return ev:fail('not-found', '100% gone') end)\n"
    "command('full', function(ev)\n"
    "  local records = {} for i = 1, 5000 do records[i] = {n = i} end\n"
    "  raises('the page is full', function() ev:answer(records) end)\n"
    "  well()\n"
    "  return ev:answer()\n"
    "end)\n";

static const char OCCASIONS[] =
    "sv.on('disco/host-items', function(ev) same(ev:subject(), 'node') ev:offer('one') ev:offer('two')\n"
    "  raises('no line feed', function() ev:offer('a\\nb') end) raises('offer: the line holds bytes', function() ev:offer('\\1') end) end)\n"
    "sv.on('disco/changed', function(ev) sv.log('info', 'changed-heard', {subject = ev:subject()}) end)\n"
    "sv.on('roster/reshared', function(ev) sv.log('info', 'reshared-heard', {who = ev:from().bare}) end)\n"
    "sv.on('message/resource {urn:o}t', function(ev)\n"
    "  same(table.concat(ev:gather('disco/host-items', nil, 'node'), ' '), 'one two')\n"
    "  same(#ev:gather('disco/account-items', 'a@one.example'), 0)\n"
    "  ev:fire('disco/changed') ev:fire_after('roster/reshared', ev:from()) sv.begin('disco/changed', 'begun')\n"
    "  raises('is no occasion that scripts fire', function() ev:fire('account/removed', ev:from()) end)\n"
    "  raises('is no occasion that scripts fire', function() ev:gather('iq-get/host') end)\n"
    "  raises('the handlers of \"roster/reshared\" may wait: event:fire_after fires it', function() ev:fire('roster/reshared', ev:from()) end)\n"
    "  raises('is no occasion that scripts fire', function() ev:fire_after('host/timer') end)\n"
    "  raises('is about an account: say which', function() ev:fire_after('roster/reshared') end)\n"
    "  raises('is about the host: it takes no account', function() ev:fire('disco/changed', ev:from()) end)\n"
    "  raises('it is no account of the host', function() ev:fire_after('roster/reshared', 'a@two.example') end)\n"
    "  raises('it is no account of the host', function() ev:fire_after('roster/reshared', 'one.example') end)\n"
    "  raises('the subject holds bytes', function() ev:fire('disco/changed', nil, '\\xff') end)\n"
    "  raises('is no occasion about the host', function() sv.begin('roster/reshared') end)\n"
    "  raises('sv.begin: the subject holds bytes', function() sv.begin('disco/changed', '\\xff') end)\n"
    "  well()\n"
    "end)\n"
    "sv.on('iq-set/host {urn:o}asks', function(ev)\n"
    "  local full = {}\n"
    "  for i = 1, tonumber(ev:payload():attr('keeps')) or 0 do full[i] = ev:stanza():keep() end\n"
    "  local answer, why = ev:iq {'iq', type = 'get', to = 'b@one.example/r', {'q', xmlns = 'urn:q'}}\n"
    "  if #full > 0 then same(answer, nil) same(why, 'limit') well() return ev:reply() end\n"
    "  same(answer:root():attr('type'), 'result')\n"
    "  well()\n"
    "  return ev:reply(answer:root():first())\n"
    "end)\n";

static const char HOSTS[] =
    "local kept\n"
    "sv.on('message/resource {urn:h}keep', function(ev) kept = ev:stanza():keep() same(kept:root():attr('id'), 'k') well() end)\n"
    "sv.on('message/resource {urn:h}other', function(ev) raises('the stanza was kept on another host', kept.root, kept) well() end)\n"
    "sv.on('message/resource {urn:h}item', function(ev)\n"
    "  raises('the session is one of another host', function() ev:session_find('a@one.example/r'):set_item('calls', 'x') end) well() end)\n"
    "sv.on('message/resource {urn:h}ended', function(ev) raises('kept on a host where the script has ended', kept.root, kept) well() end)\n";

/* A world with one script, of which both texts are part. */
static world *world_of(const char *script)
{
    static char text[40000];
    world *w = script_world();
    const int n = snprintf(text, sizeof text, "%s%s", TOOLS, script);
    assert_in_range(n, 1, sizeof text - 1);
    write_script(w, "calls", text);
    w->script_cpu_us = 5000000; /* what is slow here is the build */
    start_scripts(w, "\"calls\"", "");
    return w;
}

static void world_over(world *w)
{
    assert_has_not(&w->log, "script-error");
    assert_has_not(&w->log, "handler-fault");
    remove_script(w, "calls");
    world_free(w);
}

/* Says it; the script must have come to its end with it. */
static void says_well(world *w, client *c, const char *text)
{
    svi_buf_clear(&w->log);
    say(w, c, text);
    assert_has_not(&w->log, "script-error");
    assert_has(&w->log, "all-well");
}

#define MESSAGE "<message to='b@one.example/r' type='chat' xml:lang='de'><body>hello</body>"

static void test_reads(void **state)
{
    (void)state;
    world *w = world_of(READS);
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    (void)join(w, "a@one.example/s");
    says_well(w, a, MESSAGE "<t xmlns='urn:t'/><u xmlns='urn:u'/></message>");
    says_well(w, a, "<message to='b@one.example/r'><later xmlns='urn:t'/></message>");
    assert_has(&b->in, "later");
    for (int i = 0; i < 10; i++) says_well(w, a, "<message to='b@one.example/r'><keeps xmlns='urn:t'/></message>");
    says_well(w, a, "<message to='b@one.example/r'><full xmlns='urn:t'/></message>");
    world_over(w);
}

static void test_builds(void **state)
{
    (void)state;
    world *w = world_of(BUILDS);
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    says_well(w, a, MESSAGE "<t xmlns='urn:t'/></message>");
    says_well(w, a, MESSAGE "<much xmlns='urn:t'/></message>");
    world_over(w);
}

/* What comes of a set with that element. */
static void asks(world *w, client *c, const char *name, const char *want)
{
    char text[256];
    snprintf(text, sizeof text, "<iq type='set' id='1' to='one.example'><%s xmlns='urn:v'>x<y/></%s></iq>", name, name);
    say(w, c, text);
    assert_has(&c->in, want);
}

static void test_verdicts(void **state)
{
    (void)state;
    world *w = world_of(VERDICTS);
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    asks(w, a, "reply", "<v xmlns='urn:v' a='x'>text<w>1</w></v></iq>");
    asks(w, a, "bare", "type='result'");
    asks(w, a, "echo", "<echo xmlns='urn:v'>x<y/></echo></iq>");
    asks(w, a, "parsed", "<p xmlns='urn:p'>q<r");
    asks(w, a, "refuse", "<item-not-found ");
    asks(w, a, "says", "not &lt;now&gt;");
    asks(w, a, "with", "<error type='wait'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><own xmlns='urn:own'/>");
    asks(w, a, "with-nil", "<error type='auth'>");
    asks(w, a, "drop", "<service-unavailable ");
    asks(w, a, "replace", "<third");
    asks(w, a, "set", "type='result'");
    asks(w, a, "unset", "<was xmlns='urn:was'>away</was>");
    say(w, a, "<iq type='set' id='1' to='one.example'><later xmlns='urn:v'>x<y/></later></iq>");
    assert_int_equal(a->in.len, 0);
    pass_time(w, 20000);
    assert_has(&a->in, "<was xmlns='urn:was'><later xmlns='urn:v'>x<y/></later></was>");
    svi_buf_clear(&w->log);
    asks(w, a, "twice", "type='result'");
    assert_has(&w->log, "all-well");
    svi_buf_clear(&w->log);
    asks(w, a, "wrong", "type='result'");
    assert_has(&w->log, "all-well");
    svi_buf_clear(&w->log);
    say(w, a, "<iq type='set' id='1' to='one.example'><rules xmlns='urn:v'/></iq>");
    assert_has(&w->log, "all-well");
    say(w, a, "<iq type='set' id='1' to='one.example'><consume xmlns='urn:v'/></iq>");
    say(w, a, "<iq type='set' id='1' to='one.example'><stored xmlns='urn:v'/></iq>");
    say(w, a, "<message to='b@one.example/r'><m xmlns='urn:v'/></message>");
    assert_has(&b->in, "<m ");
    client *c = join(w, "b@one.example/s");
    say(w, a, "<message to='b@one.example'><both xmlns='urn:v'/></message>");
    assert_has(&b->in, "<both ");
    assert_has(&c->in, "<both ");
    world_over(w);
}

static void test_sends(void **state)
{
    (void)state;
    world *w = world_of(SENDS);
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    says_well(w, a, "<message to='b@one.example/r'><send xmlns='urn:s'/></message>");
    assert_has(&b->in, "<message to='b@one.example/r'><body>pushed</body>");
    assert_has(&b->in, "<message to='b@one.example/r'><body>copied</body>");
    assert_has(&b->in, "<message to='b@one.example/r' from='one.example'><body>routed</body>");
    assert_has(&b->in, "unasked");
    world_over(w);
}

static void test_holds(void **state)
{
    (void)state;
    world *w = world_of(HOLDS);
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    says_well(w, a, "<message to='b@one.example/r'><on xmlns='urn:h'/></message>");
    svi_buf_clear(&b->in);
    say(w, a, "<message to='b@one.example/r' id='1'><wait xmlns='urn:h'>old</wait></message>"
              "<message to='b@one.example/r' id='1'><wait xmlns='urn:h'>new</wait></message>");
    assert_int_equal(b->in.len, 0);
    says_well(w, a, "<message to='b@one.example/r'><off xmlns='urn:h'/></message>");
    assert_has(&b->in, "new");
    assert_has_not(&b->in, "old");
    world_over(w);
}

/* With few rights, and beside another script. */
static void test_rights_and_start(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "other", "sv.script {summary = 'other', stores = 'words'} sv.store 'words'\n");
    write_script(w, "calls", NARROW);
    start_scripts(w, "\"other\", \"calls\"", "");
    turn(w);
    assert_has(&w->log, "has-fields a=x b=1 c=true jid=x@one.example");
    assert_has_not(&w->log, "not-shown");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    says_well(w, a, "<message to='b@one.example/r'><t xmlns='urn:s'/></message>");
    assert_has_not(&b->in, "two.example");
    remove_script(w, "other");
    world_over(w);
}

static void test_stores(void **state)
{
    (void)state;
    world *w = world_of(STORES);
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    says_well(w, a, "<message to='b@one.example/r'><write xmlns='urn:k'/></message>");
    says_well(w, a, "<message to='b@one.example/r'><read xmlns='urn:k'/></message>");
    assert_has(&b->in, "<read ");
    says_well(w, a, "<message to='b@one.example/r'><monitor xmlns='urn:k'/></message>");
    says_well(w, a, "<message to='b@one.example/r'><push xmlns='urn:k'/></message>");
    assert_has(&b->in, "from a row");
    says_well(w, a, "<message to='b@one.example/r'><pushed xmlns='urn:k'/></message>");
    world_over(w);
}

static void test_views_of_one_that_waits(void **state)
{
    (void)state;
    world *w = world_of(STORES);
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, "<message type='chat' to='b@one.example/r'><sleeps xmlns='urn:k'/></message>");
    assert_has_not(&w->log, "all-well");
    says_well(w, b, "<message to='a@one.example/r'><other xmlns='urn:k'/></message>");
    svi_buf_clear(&w->log);
    pass_time(w, 1100000);
    assert_has(&w->log, "all-well");
    world_over(w);
}

static void w_status(void *ctx, sv_status status)
{
    *(int *)ctx = status;
}

static void add_accounts(world *w)
{
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        svi_scram_keys keys;
        int status = 1;
        assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys), SV_OK);
        svi_account_set(svi_host_find(w->server, SV_STR("one.example")), sv_str_of(names[i]), &keys, 1, false, w_status, &status);
        turn(w);
        assert_int_equal(status, SV_OK);
    }
}

static void test_accounts(void **state)
{
    (void)state;
    world *w = world_of(STORES);
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    add_accounts(w);
    says_well(w, a, "<message to='b@one.example/r'><accounts xmlns='urn:k'/></message>");
    world_over(w);
}

static void test_commands(void **state)
{
    (void)state;
    world *w = world_of(COMMANDS);
    const char *answer = run_command(w, "calls all", "'who':'a@one.example','n':5");
    assert_non_null(strstr(answer, "{\"who\":\"me\",\"n\":3,\"yes\":true,\"at\":\"1970-01-01T00:00:01Z\",\"all\":[\"x\",\"y\"]}"));
    assert_non_null(strstr(answer, "{\"who\":\"you\",\"n\":4,\"yes\":null,\"at\":null,\"all\":[\"z\"]}"));
    assert_has(&w->log, "all-well");
    answer = run_command(w, "calls pages", "'who':'a@one.example'");
    assert_non_null(strstr(answer, "\"more\":\"7\""));
    answer = run_command(w, "calls pages", "'who':'a@one.example','from':'7'");
    assert_non_null(strstr(answer, "\"n\":10"));
    answer = run_command(w, "calls fails", "'who':'a@one.example'");
    assert_non_null(strstr(answer, "100% gone"));
    svi_buf_clear(&w->log);
    (void)run_command(w, "calls full", "'who':'a@one.example'");
    assert_has(&w->log, "all-well");
    world_over(w);
}

/* A client that answers what the script asks. */
static void answers_well(world *w, client *asker, client *answerer, const char *attrs)
{
    char text[200];
    snprintf(text, sizeof text, "<iq type='set' id='9' to='one.example'><asks xmlns='urn:o'%s/></iq>", attrs);
    svi_buf_clear(&answerer->in);
    say(w, asker, text);
    const char *id = memmem(answerer->in.data, answerer->in.len, " id='", 5);
    assert_non_null(id);
    snprintf(text, sizeof text, "<iq type='result' id='%.24s' to='one.example'><q xmlns='urn:q'/></iq>", id + 5);
    says_well(w, answerer, text);
    assert_has(&asker->in, "id='9'");
}

static void test_occasions(void **state)
{
    (void)state;
    world *w = world_of(OCCASIONS);
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    says_well(w, a, "<message to='b@one.example/r'><t xmlns='urn:o'/></message>");
    assert_has(&w->log, "changed-heard subject=\"\"");
    assert_has(&w->log, "changed-heard subject=begun");
    assert_has(&w->log, "reshared-heard who=a@one.example");
    answers_well(w, a, b, "");
    assert_has(&a->in, "<q xmlns='urn:q'/>");
    answers_well(w, a, b, " keeps='1000'");
    world_over(w);
}

/* One state serves all hosts; what is kept is one host's. */
static void test_kept_on_two_hosts(void **state)
{
    (void)state;
    static char text[40000];
    world *w = script_world();
    add_host(w, "two.example");
    snprintf(text, sizeof text, "%s%s", TOOLS, HOSTS);
    write_script(w, "calls", text);
    start(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"calls\" }\nVirtualHost \"two.example\"\nmodules_enabled = { \"calls\" }\n");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@two.example/r");
    says_well(w, a, "<message id='k' to='a@one.example/r'><keep xmlns='urn:h'/></message>");
    says_well(w, b, "<message to='b@two.example/r'><other xmlns='urn:h'/></message>");
    says_well(w, b, "<message to='b@two.example/r'><item xmlns='urn:h'/></message>");
    assert_int_equal(reload(w, "VirtualHost \"one.example\"\nmodules_enabled = { }\nVirtualHost \"two.example\"\nmodules_enabled = { \"calls\" }\n"), SV_OK);
    says_well(w, b, "<message to='b@two.example/r'><ended xmlns='urn:h'/></message>");
    world_over(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_builds),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_sends),
        cmocka_unit_test(test_holds),
        cmocka_unit_test(test_rights_and_start),
        cmocka_unit_test(test_stores),
        cmocka_unit_test(test_views_of_one_that_waits),
        cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_occasions),
        cmocka_unit_test(test_kept_on_two_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
