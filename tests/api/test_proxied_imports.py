"""Settings of proxies and certificates, as imports, locations and the start of the service see them."""

from pathlib import Path

import pytest
from test_imports import DATA, begin, ended, new_image, show, working

import web
from certificates import Authority
from inprocess import Prepared, make_settings, running
from proxy import proxying
from tintype.configuration import load
from tintype.errors import StartError
from tintype.settings import ImportSettings, KeystoneSettings, Settings
from tintype.settings.stores import FileStore, HttpStore
from tintype.wiring.web import create_cloud_web, create_web


async def test_imports_and_locations_go_through_the_proxy(
    prepared: Prepared, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Both trust imports.cafile, too; neither logs nor answers have the proxy's password."""
    authority = Authority(tmp_path)
    tls = authority.context()
    with web.serving(lambda request: request.ranged(DATA), tls=tls) as server, proxying() as proxy:
        proxy.credentials = "user:s3cr3t"
        settings = ImportSettings(
            allowed_networks=("127.0.0.0/8",),
            ports=(server.server_port,),
            proxy={"https": proxy.url.replace("://", "://user:s3cr3t@")},
            cafile=str(authority.file),
        )
        stores = {"local": FileStore(), "web": HttpStore()}
        async with running(prepared, tmp_path, imports=settings, stores=stores) as service, working(service):
            imported, located = await new_image(service), await new_image(service)
            uri = f"{server.url}/disk"
            assert (await begin(service, imported, {"name": "web-download", "uri": uri})).status_code == 202
            answer = await service.call("alice", "POST", f"{located}/locations", json={"url": uri})
            assert answer.status_code == 202, answer.text
            for image in (imported, located):
                task = await ended(service, image)
                assert task["status"] == "success", task["message"]
            assert {seen[0] for seen in proxy.seen} == {"CONNECT"}
            proxy.refuses["127.0.0.2"] = 403
            uri = uri.replace("127.0.0.1", "127.0.0.2")
            refused = await new_image(service)
            await begin(service, refused, {"name": "web-download", "uri": f"{uri}?X-Amz-Signature=s1gn4ture"})
            message = (await ended(service, refused))["message"]
            assert message == (
                f"Cannot read {uri}: the proxy of imports.proxy refused to connect to the host "
                "(HTTP 403 Forbidden)."
            )
            assert (await show(service, refused))["os_glance_failed_reason"] == message
    logged = capfd.readouterr().err
    assert message in logged
    assert "s3cr3t" not in logged
    assert "s1gn4ture" not in logged


def check_web(settings: Settings) -> None:
    """Create both ways to the web, as a start does."""
    create_web(settings)
    create_cloud_web(settings)


def test_the_environment_has_json(tmp_path: Path) -> None:
    """A table per scheme is JSON there, and a list has commas."""
    settings = load(
        tmp_path,
        {
            "TINTYPE_IMPORTS_PROXY": '{"https": "http://proxy.example:3128"}',
            "TINTYPE_IMPORTS_NO_PROXY": "mirror.example, 10.0.0.0/8",
            "TINTYPE_KEYSTONE_PROXY": "http://proxy.example:3128",
        },
    )
    assert settings.imports.proxy == {"https": "http://proxy.example:3128"}
    assert settings.imports.no_proxy == ("mirror.example", "10.0.0.0/8")
    check_web(settings)


@pytest.mark.parametrize("section", ["imports", "keystone"])
@pytest.mark.parametrize(
    ("content", "says"), [(None, "cannot read"), ("not PEM", "has no certificates in PEM")]
)
def test_certificates_that_cannot_be(tmp_path: Path, section: str, content: str | None, says: str) -> None:
    """A file that is missing, or has no certificate, stops the start by the setting's name."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    kind = {"imports": ImportSettings, "keystone": KeystoneSettings}[section]
    with pytest.raises(StartError, match=rf"{says}.*|{section}\.cafile") as failed:
        check_web(make_settings(tmp_path, **{section: kind(cafile=str(file))}))
    assert f"{section}.cafile: " in failed.value.message
    assert str(file) in failed.value.message
    assert says in failed.value.message


def test_a_proxy_of_keystone_that_cannot_be(tmp_path: Path) -> None:
    """It stops the start, and its password is not repeated."""
    settings = make_settings(tmp_path, keystone=KeystoneSettings(proxy="user:s3cr3t@proxy:3128"))
    with pytest.raises(StartError, match=r"keystone\.proxy must be written like") as failed:
        check_web(settings)
    assert "s3cr3t" not in failed.value.message
