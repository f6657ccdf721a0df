"""A certificate authority for tests, by the openssl command."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from tests.support.process import run

_EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Identity:
    """A server's certificate (with the issuer behind it) and its key, as PEM files."""
    certificate: Path
    key: Path


class Authority:
    """A private CA: `certificate` is what the others trust, issue() makes servers' identities."""

    def __init__(self, directory, name="Test CA"):
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self.certificate = self._directory / "ca.pem"
        self._key = self._directory / "ca.key"
        run("openssl", "req", "-x509", *_EC_KEY, "-days", "30", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
            "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self._key, "-out", self.certificate)

    def issue(self, *names):
        """An identity valid for the names given and for this host (localhost, 127.0.0.1)."""
        names = [*names, "localhost", "127.0.0.1"]
        request, extensions, certificate, key = (
            self._directory / f"{names[0]}.{end}" for end in ("csr", "ext", "pem", "key"))
        identity = Identity(certificate, key)
        extensions.write_text("basicConstraints=critical,CA:FALSE\n"
                              "extendedKeyUsage=serverAuth,clientAuth\n"
                              "subjectAltName=" + ",".join(map(_alternative_name, names)) + "\n")
        run("openssl", "req", *_EC_KEY, "-subj", f"/CN={names[0]}", "-keyout", identity.key,
            "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-days", "30", "-extfile", extensions, "-out", identity.certificate)
        return identity


def _alternative_name(name):
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"
