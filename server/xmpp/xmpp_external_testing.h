/* For tests of logins by certificate: a server that asks for certificates, and clients that show some. */
#ifndef SVI_XMPP_EXTERNAL_TESTING_H
#define SVI_XMPP_EXTERNAL_TESTING_H

#include "net/net_tls_peer_testing.h"
#include "xmpp/xmpp_stream_testing.h"

#define DIRECT ((setting){.mode = SVI_TLS_DIRECT, .is_public = true, .require_tls = true})
#define FAILED(name) "<failure xmlns='" SASL_NS "'><" name "/></failure>"
#define AUTH(text) "<auth xmlns='" SASL_NS "' mechanism='EXTERNAL'>" text "</auth>"
#define OFFER "<mechanism>EXTERNAL</mechanism>"

static issued root, other_root;
static char ca_file[64];

static inline svi_peers *peers_of(world *w, const issued *of_host, const issued *of_other)
{
    sv_err err;
    svi_peers *peers = svi_peers_new(&w->acct, &w->clock.plat);
    const issued *const cas[] = {of_host, of_other};
    static const char *const hosts[] = {"localhost", "other.test"};
    for (size_t i = 0; i < 2; i++) {
        if (!cas[i]) continue;
        write_pem(ca_file, &cas[i]->cert, 1, NULL);
        assert_int_equal(svi_peers_add(peers, sv_str_of(hosts[i]), sv_str_of(ca_file), &err), SV_OK);
    }
    (void)unlink(ca_file);
    return peers;
}

static inline void use_peers(world *w, svi_tls *tls, const issued *of_host, const issued *of_other)
{
    svi_peers *peers = peers_of(w, of_host, of_other);
    svi_tls_set_peers(tls, peers);
    svi_peers_unref(&peers);
}

/* A server that asks for certificates; the second host trusts another authority. */
static inline world *asking(setting s)
{
    world *w = world_new(s);
    use_peers(w, w->server_tls, &root, &other_root);
    return w;
}

/* A TLS connection that shows a certificate (NULL: none) and begins with a session (NULL: none). */
static inline client *shown(world *w, const issued *cert, SSL_SESSION *session)
{
    client *c = client_new(w);
    c->ssl = svi_tls_attach(w->client_tls, c->link, "localhost");
    if (cert && cert->cert) {
        assert_int_equal(SSL_use_certificate(c->ssl, cert->cert), 1);
        assert_int_equal(SSL_use_PrivateKey(c->ssl, cert->key), 1);
    }
    if (session) assert_int_equal(SSL_set_session(c->ssl, session), 1);
    run(w);
    return c;
}

/* With such a certificate, which is given up; at the step of features. */
static inline client *came_with(world *w, issued take)
{
    client *c = shown(w, &take, NULL);
    assert_true(c->shaken);
    say(w, c, STREAM);
    issued_free(&take);
    return c;
}

static inline client *came_as(world *w, const char *address)
{
    return came_with(w, issue_for(address, &root));
}

static inline int set_up(void **state)
{
    (void)state;
    (void)snprintf(ca_file, sizeof ca_file, "/tmp/stave-external-test.%ld.pem", (long)getpid());
    make_certificate();
    root = issue_ca("Root", NULL);
    other_root = issue_ca("Other root", NULL);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    remove_certificate();
    issued_free(&root);
    issued_free(&other_root);
    return 0;
}

#endif
