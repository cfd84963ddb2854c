/* Infos of the examples of XEP-0115 and XEP-0390, with their hashes. */
#ifndef CAPS_EXAMPLES_TEST_H
#define CAPS_EXAMPLES_TEST_H

/* XEP-0115 5.2 (the info of 1.2); 5.3 */
#define EXODUS_VER "QgayPKawpkPSDYmwT/WM94uAlu0="
#define PSI_VER "q07IKJEyjvHSyhy//CH0CxmKi8w="
/* XEP-0390 4.5.1; 4.5.2 */
#define BOMBUS_SHA_256 "kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8="
#define BOMBUS_SHA3_256 "79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q="
#define TKABBER_SHA_256 "u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY="
#define TKABBER_SHA3_256 "XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg="

static const char exodus[] =
    "<query xmlns='http://jabber.org/protocol/disco#info'><feature var='http://jabber.org"
    "/protocol/muc'/><feature var='http://jabber.org/protocol/caps'/><identity category='"
    "client' name='Exodus 0.9.1' type='pc'/><feature var='http://jabber.org/protocol/disc"
    "o#items'/><feature var='http://jabber.org/protocol/disco#info'/></query>";

static const char psi[] =
    "<query xmlns='http://jabber.org/protocol/disco#info'>"
    "<identity xml:lang='en' category='client' name='Psi 0.11' type"
    "='pc'/><identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/><feature v"
    "ar='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco"
    "#info'/><feature var='http://jabber.org/protocol/disco#items'/><feature var='http://"
    "jabber.org/protocol/muc'/><x xmlns='jabber:x:data' type='result'><field var='FORM_TY"
    "PE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field><field var='"
    "ip_version' type='text-multi'><value>ipv4</value><value>ipv6</value></field><field v"
    "ar='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></fie"
    "ld><field var='software'><value>Psi</value></field><field var='software_version'><va"
    "lue>0.11</value></field></x></query>";

static const char bombus[] =
    "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' nam"
    "e='BombusMod' type='mobile'/><feature var='http://jabber.org/protocol/si'/><feature "
    "var='http://jabber.org/protocol/bytestreams'/><feature var='http://jabber.org/protoc"
    "ol/chatstates'/><feature var='http://jabber.org/protocol/disco#info'/><feature var='"
    "http://jabber.org/protocol/disco#items'/><feature var='urn:xmpp:ping'/><feature var="
    "'jabber:iq:time'/><feature var='jabber:iq:privacy'/><feature var='jabber:iq:version'"
    "/><feature var='http://jabber.org/protocol/rosterx'/><feature var='urn:xmpp:time'/><"
    "feature var='jabber:x:oob'/><feature var='http://jabber.org/protocol/ibb'/><feature "
    "var='http://jabber.org/protocol/si/profile/file-transfer'/><feature var='urn:xmpp:re"
    "ceipts'/><feature var='jabber:iq:roster'/><feature var='jabber:iq:last'/></query>";

static const char tkabber[] =
    "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' nam"
    "e='Tkabber' type='pc' xml:lang='en'/><identity category='client' name='Ткаббер' type"
    "='pc' xml:lang='ru'/><feature var='games:board'/><feature var='http://jabber.org/pro"
    "tocol/activity'/><feature var='http://jabber.org/protocol/activity+notify'/><feature"
    " var='http://jabber.org/protocol/bytestreams'/><feature var='http://jabber.org/proto"
    "col/chatstates'/><feature var='http://jabber.org/protocol/commands'/><feature var='h"
    "ttp://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disc"
    "o#items'/><feature var='http://jabber.org/protocol/evil'/><feature var='http://jabbe"
    "r.org/protocol/feature-neg'/><feature var='http://jabber.org/protocol/geoloc'/><feat"
    "ure var='http://jabber.org/protocol/geoloc+notify'/><feature var='http://jabber.org/"
    "protocol/ibb'/><feature var='http://jabber.org/protocol/iqibb'/><feature var='http:/"
    "/jabber.org/protocol/mood'/><feature var='http://jabber.org/protocol/mood+notify'/><"
    "feature var='http://jabber.org/protocol/rosterx'/><feature var='http://jabber.org/pr"
    "otocol/si'/><feature var='http://jabber.org/protocol/si/profile/file-transfer'/><fea"
    "ture var='http://jabber.org/protocol/tune'/><feature var='http://www.facebook.com/xm"
    "pp/messages'/><feature var='http://www.xmpp.org/extensions/xep-0084.html#ns-metadata"
    "+notify'/><feature var='jabber:iq:avatar'/><feature var='jabber:iq:browse'/><feature"
    " var='jabber:iq:dtcp'/><feature var='jabber:iq:filexfer'/><feature var='jabber:iq:ib"
    "b'/><feature var='jabber:iq:inband'/><feature var='jabber:iq:jidlink'/><feature var="
    "'jabber:iq:last'/><feature var='jabber:iq:oob'/><feature var='jabber:iq:privacy'/><f"
    "eature var='jabber:iq:roster'/><feature var='jabber:iq:time'/><feature var='jabber:i"
    "q:version'/><feature var='jabber:x:data'/><feature var='jabber:x:event'/><feature va"
    "r='jabber:x:oob'/><feature var='urn:xmpp:avatar:metadata+notify'/><feature var='urn:"
    "xmpp:ping'/><feature var='urn:xmpp:receipts'/><feature var='urn:xmpp:time'/><x xmlns"
    "='jabber:x:data' type='result'><field type='hidden' var='FORM_TYPE'><value>urn:xmpp:"
    "dataforms:softwareinfo</value></field><field var='software'><value>Tkabber</value></"
    "field><field var='software_version'><value>0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)</v"
    "alue></field><field var='os'><value>Windows</value></field><field var='os_version'><"
    "value>XP</value></field></x></query>";

#endif
