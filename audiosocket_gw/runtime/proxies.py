"""The proxies of the machine's environment: tools' HTTP requests use them, the agent's connection doesn't.

``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are often set for a whole machine, for other
programs. An invalid one is named, without a traceback.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import httpx

from audiosocket_gw.runtime.http_pools import LIMITS, PoolPerHost

logger = logging.getLogger("audiosocket_gw.runtime")

_CREDENTIALS = re.compile(r"^(\w+://)?.*@")


def create_http_client_for_tools(context: ssl.SSLContext) -> httpx.AsyncClient:
    """Return the HTTP client of tools: with a pool per host, and the environment's proxies if they are
    usable.
    """
    uses_proxies = True
    try:
        httpx.AsyncClient(verify=context)
    except (ImportError, ValueError, httpx.InvalidURL):
        bad = ", ".join(_bad_proxies(context)) or _variable("NO_PROXY")
        logger.warning("tools' HTTP requests go without a proxy: %s can't be used", bad)
        uses_proxies = False

    def create() -> httpx.AsyncClient:
        return httpx.AsyncClient(verify=context, trust_env=uses_proxies, limits=LIMITS)

    return httpx.AsyncClient(transport=PoolPerHost(create))


def warn_of_unused_proxy(*urls: str | None) -> None:
    """Log once that connections to these hosts go direct although a proxy is set."""
    proxies = getproxies_environment()
    names = [name for name in ("https", "http", "all") if name in proxies]
    hosts = sorted({urlsplit(url).hostname or "" for url in urls if url})
    direct = [host for host in hosts if not _is_local(host) and not proxy_bypass(host)]
    if names and direct:
        logger.warning(
            "connections to %s go direct and don't use %s: without a direct route, calls end "
            "as agent-unreachable. Add the host to NO_PROXY to suppress this line",
            " and ".join(direct),
            _variable(f"{names[0]}_PROXY".upper()),
        )


def _bad_proxies(context: ssl.SSLContext) -> Iterator[str]:
    for scheme, url in getproxies_environment().items():
        if scheme == "no":
            continue
        try:
            httpx.AsyncClient(proxy=url if "://" in url else f"http://{url}", verify=context, trust_env=False)
        except ImportError:
            yield f"{_variable(f'{scheme}_PROXY'.upper())} (SOCKS needs the package socksio)"
        except (ValueError, httpx.InvalidURL):
            yield _variable(f"{scheme}_PROXY".upper())


def _variable(name: str) -> str:
    """Return name and value as they are set, in upper or lower case, without credentials."""
    name = name.lower() if name.lower() in os.environ else name
    value = _CREDENTIALS.sub(r"\1***@", os.environ.get(name, ""))
    return f"{name}={value!r}"


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
