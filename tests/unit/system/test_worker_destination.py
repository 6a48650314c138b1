# ruff: noqa: RUF001
"""Where a callback may go, and every way in which somebody might try to have it go elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.ai_worker.destination import Address, Guard, RefusedError, Target, UnresolvedError, parse

SERVICES = {"api-gateway": "http://127.0.0.1:41234"}
PUBLIC = "93.184.216.34"


class Names:
    """A name server; the answer may be another one each time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        return [ip_address(each) for each in self.answers[min(len(self.asked), len(self.answers)) - 1]]


async def refusal(url: str, *found: str) -> str:
    with pytest.raises(RefusedError) as raised:
        await Guard(SERVICES, Names(found or [PUBLIC])).way(url)
    return str(raised.value)


ADDRESSES = {
    # IPv4: loopback, private, carriers', link-local with the metadata of clouds, test nets, multicast, everybody.
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.170.2", "192.0.0.192", "192.0.2.1", "198.18.0.1",
    "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "192.88.99.1",
    # IPv6: loopback, unspecified, link-local, site-local, unique local with the metadata of Amazon, multicast, unknown.
    "::1", "::", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "3fff::1", "100::1",
    "5f00::1", "4000::1", "fe80::a9fe:a9fe",
    # IPv4 within IPv6: mapped, compatible, 6to4, NAT64 of everybody and of a network, Teredo, translated.
    "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:93.184.216.34", "::127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2001:0:7f00:1::", "::ffff:0:7f00:1",
}  # fmt: skip


@pytest.mark.parametrize("address", sorted(ADDRESSES))
async def test_an_address_that_is_not_public_is_refused_written_out_and_behind_a_name(address: str) -> None:
    written = f"[{address}]" if ":" in address else address
    assert "no public address" in await refusal(f"https://{written}/hook")
    assert "no public address" in await refusal("https://hook.example.com/", address)
    assert "no public address" in await refusal("https://hook.example.com/", PUBLIC, address)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "017700000001", "0x7f000001", "0x7F.1", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1",
        "127.0.0.01", "0", "0x", "127.0.0.0x1", "127.0.0.1.", "1.2.3.4.5", "256.0.0.1", "4294967297",
        "hook.example.0x1", "1e3.1",
    ],
)  # fmt: skip
async def test_an_address_in_an_unusual_spelling_is_refused_whatever_it_means(host: str) -> None:
    await refusal(f"https://{host}/")
    await refusal(f"https://{host}:443/")


@pytest.mark.parametrize(
    "url",
    [
        "https://hook.example.com@127.0.0.1/", "https://127.0.0.1@hook.example.com/", "https://user:pw@hook.example.com/",
        "https://@hook.example.com/", "https://api-gateway@hook.example.com/", "http://api-gateway:3000@hook.example.com/",
        "https://hook.example.com#@127.0.0.1/", "https://hook.example.com\\@127.0.0.1/", "https://hook.example.com\\.a/",
        "https:\\\\hook.example.com/", "https:/hook.example.com/", "https:hook.example.com", "//hook.example.com/",
        "hook.example.com", "https://", "https:///path", "https://?x", "https://hook.example.com/#part",
        "https:// hook.example.com/", "https://hook.example.com/a b", "https://hook.example.com/\r\nHost: x",
        "https://hook.example.com/\x00", "https://hook.example.com\t/", "\nhttps://hook.example.com/",
        "https://127。0。0。1/", "https://①②⑦.0.0.1/", "https://１２７.0.0.1/", "https://ⓛⓞⓒⓐⓛhost/", "https://hoök.example.com/",
        "https://127.0.0.1%2f@hook.example.com/", "https://%31%32%37.0.0.1/", "https://hook.example.com%00.evil.org/",
        "https://[fe80::1%25eth0]/", "https://[::1", "https://::1/", "https://[::g]/", "https://[127.0.0.1]/",
        "https://[]/", "https://[v1.x]/", "https://hook..example.com/", "https://-hook.example.com/", "https://.example.com/",
        "https://hook.example.com./", "https://hook.example.com:/", "https://hook.example.com:443:443/",
        "https://hook.example.com:0443/", "https://hook.example.com:+443/", "https://hook.example.com:65536/",
        "https://" + "a" * 64 + ".com/", "https://" + ".".join(["a" * 60] * 5) + "/", "https://a.com/" + "x" * 2048,
    ],
)  # fmt: skip
async def test_an_address_that_two_readers_may_read_differently_is_refused(url: str) -> None:
    await refusal(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://hook.example.com/", "ftp://hook.example.com/", "file:///etc/passwd", "gopher://hook.example.com/",
        "dict://127.0.0.1:6379/info", "ldap://hook.example.com/", "data:text/plain,x", "javascript://hook.example.com/",
        "jar:https://hook.example.com/", "unix:///var/run/docker.sock", "redis://api-gateway:6379/", "",
    ],
)  # fmt: skip
async def test_another_scheme_is_refused(url: str) -> None:
    assert "https" in await refusal(url)


@pytest.mark.parametrize("port", [1, 22, 25, 80, 3306, 5672, 6379, 9200, 11211, 65535])
async def test_a_port_where_no_receiver_listens_is_refused(port: int) -> None:
    assert f"port {port} is not one of 443, 8443" in await refusal(f"https://hook.example.com:{port}/")


@pytest.mark.parametrize(
    "host", ["localhost", "metadata", "user-svc", "store", "router", "api-gateway-2", "kubernetes"]
)
async def test_a_name_of_the_inside_that_takes_no_callbacks_is_refused(host: str) -> None:
    names = Names([PUBLIC])
    with pytest.raises(RefusedError, match="neither a service that takes callbacks nor a public name"):
        await Guard(SERVICES, names).way(f"https://{host}/")
    with pytest.raises(RefusedError):
        await Guard(SERVICES, names).way(f"http://{host}:3002/")
    assert names.asked == []


async def test_a_named_service_is_reached_at_its_own_address_and_no_other() -> None:
    names = Names([PUBLIC])
    for url in ("http://api-gateway:3000/webhook/summary?x=1", "HTTP://API-Gateway:22/webhook/summary?x=1"):
        way = await Guard(SERVICES, names).way(url)
        assert (way.service, way.base, way.address) == ("api-gateway", "http://127.0.0.1:41234", None)
        assert way.target.path == "/webhook/summary?x=1"
    assert names.asked == []
    with pytest.raises(RefusedError):
        await Guard({}, names).way("http://api-gateway:3000/webhook/summary")


async def test_a_public_receiver_is_connected_to_at_the_address_that_was_looked_at() -> None:
    names = Names([PUBLIC, "2606:2800:220:1::1"], ["127.0.0.1"])
    way = await Guard(SERVICES, names).way("https://Hook.Example.com/a/../b?c=http://127.0.0.1")
    assert way.address == ip_address(PUBLIC)
    assert way.target == Target("https", "hook.example.com", 443, "/a/../b?c=http://127.0.0.1")
    assert names.asked == ["hook.example.com"], "a second answer may be another one"


@pytest.mark.parametrize("url", [f"https://{PUBLIC}:8443/x", "https://[2606:2800:220:1:0::1]/x"])
async def test_a_public_address_needs_no_name(url: str) -> None:
    names = Names(["127.0.0.1"])
    way = await Guard(SERVICES, names).way(url)
    assert str(way.address) in (PUBLIC, "2606:2800:220:1::1")
    assert names.asked == []


async def test_a_name_without_an_address_may_have_one_later() -> None:
    with pytest.raises(UnresolvedError):
        await Guard({}, Names([])).way("https://hook.example.com/")
    with pytest.raises(UnresolvedError, match="cannot be resolved"):
        await Guard({}).way("https://no-such-host.invalid/")


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://a.com", "a.com"),
        ("https://a.com:443/", "a.com"),
        ("https://a.com:8443/", "a.com:8443"),
        ("http://a.com:80/", "a.com"),
        ("https://[2606::1]:8443/", "[2606::1]:8443"),
    ],
)
def test_the_host_header_is_as_a_browser_would_write_it(url: str, authority: str) -> None:
    assert parse(url).authority == authority


@given(st.text())
def test_any_text_is_refused_or_read(text: str) -> None:
    for url in (text, f"https://{text}", f"https://a.com/{text}"):
        try:
            target = parse(url)
        except RefusedError:
            continue
        assert target.path.startswith("/")
        assert target.host.isascii()


@given(st.ip_addresses(v=4))
def test_every_ipv4_address_that_the_registry_does_not_call_global_is_refused(address: Address) -> None:
    try:
        Guard({}).look(f"https://{address}/")
    except RefusedError:
        return
    assert address.is_global
    assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_is_a_way_to_ipv4(address: Address) -> None:
    try:
        Guard({}).look(f"https://[{address}]/")
    except RefusedError:
        return
    assert address.is_global
    assert address.ipv4_mapped is None  # type: ignore[union-attr]
    assert address.sixtofour is None  # type: ignore[union-attr]
    assert address.teredo is None  # type: ignore[union-attr]
