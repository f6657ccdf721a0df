"""Account plans for `relayctl apply`, written from plain values."""

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Smarthost:
    """Where a domain's mail goes out."""
    port: int
    host: str = "mail.acme.example"
    tls: str = "starttls"
    username: str = "relayd"
    password: str = ""
    reconnect_interval: str = "0s"
    connections: int = 2


@dataclass
class Domain:
    """A connected domain with its support addresses."""
    name: str
    addresses: list
    smarthost: Smarthost = None
    mode: str = "two-way"
    inbound: str = "standard"
    trusted_authserv_ids: list = None


@dataclass
class Tenant:
    """A tenant of the help desk, with its back end."""
    name: str
    backend_url: str
    domains: list = field(default_factory=list)
    format: str = "json"


def plan(directory, *tenants):
    """The TOML text; smarthost passwords go to files in the directory, as they would be kept."""
    lines = []
    for tenant in tenants:
        lines += ["[[tenant]]", _pair("name", tenant.name), "[tenant.backend]",
                  _pair("url", tenant.backend_url), _pair("format", tenant.format)]
        for domain in tenant.domains:
            lines += ["[[tenant.domain]]", _pair("name", domain.name), _pair("mode", domain.mode),
                      _pair("inbound", domain.inbound)]
            if domain.trusted_authserv_ids is not None:
                lines.append(_pair("trusted_authserv_ids", domain.trusted_authserv_ids))
            if domain.smarthost:
                lines += ["[tenant.domain.smarthost]", *_smarthost(directory, domain)]
            for address in domain.addresses:
                lines += ["[[tenant.domain.address]]", _pair("address", address)]
    return "\n".join(lines) + "\n"


def _smarthost(directory, domain):
    host = domain.smarthost
    for key in ("host", "port", "tls", "reconnect_interval", "connections"):
        yield _pair(key, getattr(host, key))
    if host.username:
        path = Path(directory) / f"{domain.name}.password"
        path.write_text(host.password + "\n")
        yield _pair("username", host.username)
        yield _pair("password_file", path.name)


def _pair(key, value):
    return f"{key} = {json.dumps(value)}"
