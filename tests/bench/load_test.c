/* What the generator's counts rest on: where stanzas end however they come, and the client's side of SCRAM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "load.h"

/* Each piece must come out whole, once, whatever prefix of the stream is there at first. */
static void pieces_are_found_at_every_split(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "<?xml version='1.0'?><stream:stream from='a' xmlns='jabber:client'>",
        "<stream:features><a xmlns='x>y'/><b>t</b></stream:features>",
        "<message id=\"it's > that\"><body>1 &gt; 0</body><message/></message>",
        "<presence/>",
        "<iq><query><item jid='a/>b'/></query></iq>",
        "</stream:stream>"};
    enum { PIECES = sizeof pieces / sizeof pieces[0] };
    char stream[1024] = "";
    size_t n = 0;
    for (size_t i = 0; i < PIECES; i++)
        n += (size_t)snprintf(stream + n, sizeof stream - n, "%s", pieces[i]);
    for (size_t split = 0; split <= n; split++) {
        load_scan scan = {.at = 0};
        size_t from = 0, found = 0;
        for (int part = 0; part < 2; part++) {
            const size_t here = part == 0 ? split : n;
            size_t length;
            while ((length = load_scan_next(&scan, stream + from, here - from)) > 0) {
                assert_in_range(found, 0, PIECES - 1);
                assert_int_equal(length, strlen(pieces[found]));
                assert_memory_equal(stream + from, pieces[found], length);
                from += length;
                found++;
            }
        }
        assert_int_equal(found, PIECES);
    }
}

/* RFC 7677 3, as far as the client's name and nonce are not ours: the proof and the server's signature. */
static void scram_is_that_of_rfc_7677(void **state)
{
    (void)state;
    static const char bare[] = "n=user,r=rOprNGfwEbeRWgbNEkqO";
    static const char challenge[] = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                    "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    /* 6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4= */
    static const uint8_t signature[32] = {0xea, 0xba, 0xe2, 0x4d, 0x10, 0x62, 0xdb, 0x75,
                                          0xa9, 0x45, 0x1f, 0xf0, 0xb6, 0xea, 0x7e, 0x98,
                                          0xc8, 0x54, 0x65, 0x49, 0xff, 0x74, 0x1e, 0x67,
                                          0x2d, 0x32, 0x51, 0xb2, 0x39, 0x7d, 0xe4, 0x6e};
    char out[512];
    uint8_t got[32];
    assert_true(
        load_scram_final("pencil", bare, challenge, sizeof challenge - 1, out, sizeof out, got));
    assert_string_equal(out, "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                             "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_memory_equal(got, signature, sizeof signature);
    assert_false(load_scram_final("pencil", bare, "r=x,i=4096", 10, out, sizeof out, got));
    assert_false(load_scram_final("pencil", bare, "r=x,s=!!!!,i=4096", 17, out, sizeof out, got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_found_at_every_split),
        cmocka_unit_test(scram_is_that_of_rfc_7677),
    };
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
