"""Fetching by name, from a server of our own on this machine."""

from __future__ import annotations

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import tilegrn as grn
from tilegrn.datasets import _fetch

DATA = bytes(range(256)) * 5000
SHA = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/broken":
            self.send_error(503)
            return
        if self.path == "/once" and self.server.asked.count("/once") == 1:
            self.send_error(500)
            return
        body = {"/other": b"something else", "/page": b"<!DOCTYPE html><p>Log in first"}.get(self.path, DATA)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/half" else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TILEGRN_CACHE", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        it.asked = []
        it.url = f"http://127.0.0.1:{it.server_port}"
        thread = threading.Thread(target=it.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield it
        it.shutdown()
        thread.join()


def get(server, path="/good", known_hash=SHA, **kwargs):
    return grn.datasets.fetch("set.h5", url=server.url + path, known_hash=known_hash, progress=False, **kwargs)


def kept(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("known_hash", [SHA, f"sha256:{SHA}", f"SHA256:{SHA.upper()}", f"md5:{MD5}"])
def test_a_file_is_fetched_once(server, tmp_path, known_hash):
    path = get(server, known_hash=known_hash)
    assert path == tmp_path / "cache" / "set.h5"
    assert path.read_bytes() == DATA
    assert get(server, known_hash=known_hash) == path
    assert server.asked == ["/good"]
    assert kept(path.parent) == ["set.h5"]


def test_folder_is_where_asked(server, tmp_path):
    assert get(server, folder=tmp_path / "a" / "b") == tmp_path / "a" / "b" / "set.h5"
    assert not (tmp_path / "cache").exists()


def test_progress_is_shown_where_asked(server, capfd):
    grn.datasets.fetch("set.h5", url=f"{server.url}/good", known_hash=SHA)
    assert "100%" in capfd.readouterr().err


def test_a_second_try_mends_a_hiccup(server, caplog):
    assert get(server, "/once").read_bytes() == DATA
    assert server.asked == ["/once", "/once"]
    assert "the server answered 500" in caplog.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/broken", "the server answered 503"),
        ("/other", f"what came .14 bytes. has the sha256 .*, not {SHA}"),
        ("/page", "It is a web page"),
        ("/half", "could not be fetched"),
    ],
)
def test_what_goes_wrong_is_said_and_nothing_is_kept(server, tmp_path, path, words):
    with pytest.raises(grn.errors.ToolError, match=words) as error:
        get(server, path)
    told = str(error.value)
    assert server.url + path in told
    assert str(tmp_path / "cache" / "set.h5") in told
    assert f"sha256sum prints {SHA}" in told
    assert kept(tmp_path / "cache") == []


def test_without_a_network_a_file_put_there_by_hand_is_taken(server, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: nobody answers
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/set.h5"
        with pytest.raises(grn.errors.ToolError, match=r"ConnectionError.*Without a network"):
            grn.datasets.fetch("set.h5", url=url, known_hash=SHA, progress=False)
        (tmp_path / "cache" / "set.h5").write_bytes(DATA)
        path = grn.datasets.fetch("set.h5", url=url, known_hash=SHA, progress=False)
    assert path.read_bytes() == DATA


def test_a_damaged_file_is_replaced_and_left_alone_if_it_cannot_be(server, tmp_path):
    path = tmp_path / "cache" / "set.h5"
    path.parent.mkdir()
    path.write_bytes(b"cut off")
    with pytest.raises(grn.errors.ToolError, match="the file in the cache, which has another hash, is as it was"):
        get(server, "/broken")
    assert path.read_bytes() == b"cut off"
    get(server)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize(
    "name", ["../set.h5", "/etc/passwd", "a/b", "a\\b", "..", ".hidden", "", "a..b", "n\0", "x" * 300]
)
def test_names_stay_in_the_folder(server, tmp_path, name):
    with pytest.raises(grn.errors.InputError, match="no name of a file"):
        grn.datasets.fetch(name, url=f"{server.url}/good", known_hash=SHA)
    assert server.asked == []
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({}, "is none of human_brain_3k, pbmc_10k, pbmc_3k"),
        ({"url": "https://example.org/x"}, "known_hash is missing"),
        ({"url": "file:///etc/passwd", "known_hash": SHA}, "must begin with https"),
        ({"url": "https://", "known_hash": SHA}, "must begin with https"),
        ({"url": "https://example.org/x", "known_hash": SHA[:-1]}, "64 or 'md5:' and 32"),
        ({"url": "https://example.org/x", "known_hash": f"crc32:{SHA}"}, "64 or 'md5:' and 32"),
        ({"url": "https://example.org/x", "known_hash": "md5:" + "g" * 32}, "64 or 'md5:' and 32"),
    ],
)
def test_what_cannot_be_checked_is_refused(kwargs, words, monkeypatch, tmp_path):
    monkeypatch.setenv("TILEGRN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(grn.errors.InputError, match=words):
        grn.datasets.fetch("set.h5", **kwargs)
    assert kept(tmp_path) == []


def test_a_known_set_keeps_its_address():
    with pytest.raises(grn.errors.InputError, match="give your file another name"):
        grn.datasets.fetch("pbmc_3k", url="https://example.org/x", known_hash=SHA)


def test_a_folder_that_is_a_file(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(grn.errors.InputError, match=r"cannot be made.*TILEGRN_CACHE"):
        get(server, folder=tmp_path / "file" / "below")


def test_a_known_set_comes_from_the_registry(server, monkeypatch, tmp_path):
    entry = _fetch._Entry(file="stored.h5", url=f"{server.url}/good", hash=f"md5:{MD5}", bytes=len(DATA))
    monkeypatch.setattr(_fetch, "_registry", lambda: {"a_set": entry})
    assert grn.datasets.fetch("a_set", progress=False) == tmp_path / "cache" / "stored.h5"


def test_the_registry_holds_only_what_can_be_checked(monkeypatch, tmp_path):
    monkeypatch.setenv("TILEGRN_CACHE", str(tmp_path))
    table = grn.datasets.available()
    assert list(table.index) == sorted(table.index)
    assert {"pbmc_3k", "pbmc_10k"} <= set(table.index)
    for name, row in table.iterrows():
        assert _fetch._full_hash(row["hash"]) == row["hash"]
        assert row["url"].startswith("https://")
        assert row["bytes"] > 1e6
        assert all(row[column] for column in ("content", "licence", "citation", "hash_source"))
        module, _, call = row["reader"].removeprefix("grn.").partition(".")
        assert callable(getattr(getattr(grn, module), call)), name
        assert row["path"] == str(tmp_path / row["url"].split("/")[-1])


def test_the_cache_is_the_systems(monkeypatch, tmp_path):
    import pooch

    monkeypatch.delenv("TILEGRN_CACHE", raising=False)
    assert _fetch._folder(None) == pooch.os_cache("tilegrn")
