"""slixmpp against certificates, passwords and long messages (chat.py has the rest of what it does)."""
import ssl
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import real  # noqa: E402


class Slixmpp(real.Friend):
    """As the other side, but with TLS 1.2, where all versions know a channel binding. (For 1.3, 1.8 takes tls-unique, too; 1.10 wants
    tls-exporter, which Python does not have, and tries all -PLUS mechanisms without one before the next.)"""

    def __init__(self, account):
        super().__init__(account)
        self.client.ssl_context.maximum_version = ssl.TLSVersion.TLSv1_2


if __name__ == "__main__":
    real.test(Slixmpp, mechanism=r"mechanism=SCRAM-SHA-\d+-PLUS binding=tls-unique")
