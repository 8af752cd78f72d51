"""Where a webhook may point: URLs that can be registered, and addresses that are ever called."""

from ipaddress import ip_address

import pytest

from berth.core.errors import Invalid
from berth.core.webhooks.rules import Rules, check_url, is_allowed, networks, target_of

STRICT = Rules()
LAB = Rules(allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://receiver.example/hook",
        "https://receiver.example",
        "https://receiver.example:8443/hook?token=a%20b&c=d",
        "https://93.184.216.34/hook",
        "https://[2606:2800:220:1::1]/hook",
        "https://bücher.example/hook",
        "https://receiver.example/ü",
        "https://receiver.example./hook",
        "HTTPS://RECEIVER.example/hook",
        "https://receiver.example/" + "a" * (2048 - 25),
    ],
)
def test_a_public_https_address_can_be_registered(url: str) -> None:
    check_url(url, STRICT)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "receiver.example/hook",
        "//receiver.example/hook",
        "http://receiver.example/hook",
        "ftp://receiver.example/hook",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///hook",
        "https://:443/hook",
        "https://user@receiver.example/hook",
        "https://user:secret@receiver.example/hook",
        "https://@receiver.example/hook",
        "https://receiver.example/hook#part",
        "https://receiver.example/hook#",
        "https://receiver.example:25/",
        "https://receiver.example:22/",
        "https://receiver.example:5432/",
        "https://receiver.example:0/",
        "https://receiver.example:65536/",
        "https://receiver.example:99999999999999999999/",
        "https://receiver.example:http/",
        "https://receiver.example/a b",
        "https://receiver.example/a\tb",
        "https://receiver.example/a\r\nHost: inside",
        "https://receiver.example/\x00",
        "https://receiver.example\\@inside.example/",
        "https://receiver.example/" + "a" * (2048 - 24),
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 127 + "example/",
        "https://-.example/",
        "https://a..example/",
        "https://localhost/hook",
        "https://intranet/hook",
        "https://127.0.0.1/hook",
        "https://127.1/hook",
        "https://2130706433/hook",
        "https://0x7f000001/hook",
        "https://0x7f.0.0.1/hook",
        "https://0177.0.0.1/hook",
        "https://0/hook",
        "https://10.0.0.1/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/hook",
        "https://[::ffff:127.0.0.1]/hook",
        "https://[fe80::1%25eth0]/hook",
        "https://[64:ff9b::7f00:1]/hook",
        "https://[v1.fe]/hook",
        "https://[/hook",
        "https://１２７.0.0.1/hook",
        "https://\u202ereceiver.example/",
    ],
)
def test_whatever_else_it_says_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_url(url, STRICT)
    assert refusal.value.code == "url_not_allowed"
    assert refusal.value.details["field"] == "url"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/hook", "http://localhost/", "https://10.0.0.1/", "http://[::1]:80/"]
)
def test_a_lab_may_use_plain_http_and_private_addresses(url: str) -> None:
    check_url(url, LAB)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/",
        "http://[fe80::a9fe:a9fe]/",
        "http://100.100.100.200/",
        "http://[fd00:ec2::254]/",
        "http://[fd20:ce::254]/",
        "http://168.63.129.16/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a00:1]/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://[fe80::1%251]/",
    ],
)
def test_even_a_lab_does_not_call_these(url: str) -> None:
    with pytest.raises(Invalid):
        check_url(url, LAB)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.255.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:93.184.216.34",
        "::ffff:0:127.0.0.1",
        "64:ff9b::5db8:d822",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_an_address_that_is_not_public_is_not_called(address: str) -> None:
    assert not is_allowed(ip_address(address), STRICT)


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "2606:2800:220:1::1",
        "2a00::1",
    ],
)
def test_a_public_address_is_called(address: str) -> None:
    assert is_allowed(ip_address(address), STRICT)


def test_an_operator_may_open_internal_networks() -> None:
    rules = Rules(allowed_networks=networks(" 10.1.0.0/16, fd00:1::/32,"))
    assert is_allowed(ip_address("10.1.2.3"), rules)
    assert is_allowed(ip_address("fd00:1::5"), rules)
    assert not is_allowed(ip_address("10.2.0.1"), rules)
    assert not is_allowed(ip_address("127.0.0.1"), rules)
    check_url("https://10.1.2.3/hook", rules)
    with pytest.raises(ValueError, match="10"):
        networks("10.1.0.0/99")


@pytest.mark.parametrize(
    ("url", "host", "port", "resource", "authority"),
    [
        ("https://Receiver.example", "receiver.example", 443, "/", "receiver.example"),
        ("https://receiver.example.:8443/a?b=c", "receiver.example", 8443, "/a?b=c", "receiver.example:8443"),
        ("https://bücher.example/ü", "xn--bcher-kva.example", 443, "/%C3%BC", "xn--bcher-kva.example"),
        ("https://[2606:2800:220:1::1]/", "2606:2800:220:1::1", 443, "/", "[2606:2800:220:1::1]"),
        ("https://receiver.example/a%2Fb/../c", "receiver.example", 443, "/a%2Fb/../c", "receiver.example"),
        ("http://receiver.example:80/?", "receiver.example", 80, "/", "receiver.example"),
    ],
)
def test_a_url_is_taken_apart_into_what_is_called(
    url: str, host: str, port: int, resource: str, authority: str
) -> None:
    target = target_of(url)
    assert (target.host, target.port, target.resource, target.authority) == (host, port, resource, authority)
