"""`digitnet serve`, asked over real connections."""

import base64
import contextlib
import html
import io
import json
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import segno
from helpers import ROOT, encoded, environment, page_of, run_python
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from server_process import answer_on, form, served

from digitnet import cli
from digitnet.evaluation.labelled import labels
from digitnet.serving.guard import host_name
from digitnet.serving.server import Address

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
GOOD = HEAD + b"Content-Length: %d\r\n\r\n%s"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder of corrections, in a folder of its own."""
    return tmp_path_factory.mktemp("corrections") / "kept"


@pytest.fixture(scope="module")
def server(kept):
    with served("--corrections", kept) as server:
        yield server


@pytest.fixture(scope="module")
def strict():
    """A server with limits that are soon reached."""
    with served(*("--max-megabytes", 0.25, "--max-megapixels", 0.1, "--max-files", 3, "--timeout", 1)) as server:
        yield server


@pytest.fixture(scope="module")
def guarded():
    with served("--allowed-host", "digits.example", "--max-requests", 2, DIGITNET_TOKEN="a secret") as server:
        yield server


@pytest.fixture(scope="module")
def png(seven):
    return encoded(seven, "PNG")


@pytest.fixture(scope="module")
def odd_seven():
    """A 7 with a loop at its top that DigitNet could take for a 9."""
    image = Image.new("L", (120, 120), 255)
    loop = [(41, 41), (60, 30), (75, 40), (71, 57), (46, 54), (75, 45), (70, 95)]
    ImageDraw.Draw(image).line(loop, fill=0, width=8, joint="curve")
    return encoded(image, "PNG")


@pytest.fixture(scope="module")
def page(mnist_digits):
    grey, _ = page_of(mnist_digits, ["314", "271"])
    return encoded(Image.fromarray((grey * 255).astype(np.uint8)), "PNG")


def answers_on(connection, count):
    """The JSON of answers that come one after the other."""
    with connection.makefile("rb") as stream:
        for _ in range(count):
            head = b"".join(iter(stream.readline, b"\r\n")).lower()
            yield json.loads(stream.read(int(re.search(rb"content-length: (\d+)", head)[1])))


def is_problem(answer, status, words=""):
    told = answer.json
    assert (answer.status, told["status"], answer.headers["content-type"]) == (
        status,
        status,
        "application/problem+json",
    )
    assert {"type", "title", "status", "detail"} == set(told)
    assert words in told["detail"]
    return True


def size_of(path):
    with Image.open(path) as image:
        return image.size


def goes_on(server, png):
    return server.post("/v1/predict", png).json["digit"] == 7


def is_right_by_now(server, png):
    """Whether it is answered; where it is not, some time goes by."""
    with contextlib.suppress(OSError):
        if (answer := server.post("/v1/predict", png)).status == 200:
            return answer.json["digit"] == 7
    time.sleep(0.1)
    return False


# What it answers


def test_a_picture_is_answered_as_the_command_line_does(server, reader, png):
    answer = server.post("/v1/predict?name=7.png", png)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == json.loads(json.dumps({"file": "7.png", **reader.predict(png).to_dict()}))


def test_a_form_is_answered_in_order_with_an_error_in_its_place(server, png):
    blank = encoded(Image.new("L", (40, 40), 255), "PNG")
    answer = server.post("/v1/predict", *form(("b.png", blank), ("x.png", b"no picture"), ("a/7.png", png)))
    first, second, third = answer.json
    assert (first["file"], first["reason"]) == ("b.png", "blank")
    assert second == {"file": "x.png", "error": second["error"]}
    assert second["error"].startswith("x.png: not a picture of a known format")
    assert (third["file"], third["digit"]) == ("a/7.png", 7)


def test_what_the_model_saw_is_told_when_asked_for(server, reader, png):
    told = server.post("/v1/predict?seen=true", png).json
    examination = reader.examine(png)
    kind, _, content = told["seen"].partition(",")
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))) / 255
    assert kind == "data:image/png;base64"
    assert np.abs(seen - examination.normalised.image).max() < 1 / 255
    box = examination.digit.box
    assert told["box"] == [box.x, box.y, box.width, box.height]


def test_nothing_was_seen_of_a_blank_picture(server):
    told = server.post("/v1/predict?seen=true", encoded(Image.new("L", (40, 40), 255), "PNG")).json
    assert (told["seen"], told["box"], told["reason"]) == (None, None, "blank")


def test_a_large_picture_of_one_digit_is_read_like_a_small_one(server, seven):
    assert server.post("/v1/predict", encoded(seven.resize((2400, 2400)), "PNG")).json["digit"] == 7


def test_a_page_is_read_as_the_command_line_does(server, reader, page):
    told = server.post("/v1/read?name=note", page).json
    assert told == json.loads(json.dumps({"file": "note", **reader.read(page).to_dict()}))
    guesses = [[digit["best_guess"] for digit in line["digits"]] for line in told["lines"]]
    assert guesses == [[3, 1, 4], [2, 7, 1]]


def test_each_digit_of_a_page_shows_what_the_model_saw(server, page):
    told = server.post("/v1/read?seen=true", *form(("note", page))).json[0]
    seen = [digit["seen"] for line in told["lines"] for digit in line["digits"]]
    assert len(set(seen)) == 6
    first = np.asarray(Image.open(io.BytesIO(base64.b64decode(seen[0].partition(",")[2]))))
    assert first.shape == (28, 28)
    assert first.max() > 200


def test_what_is_known_of_a_number_holds(server, page):
    told = server.post("/v1/read?length=4&lines=1", page).json
    assert "likeliest 1 kept" in told["note"]
    assert "length 4" in told["lines"][0]["note"]


@pytest.mark.parametrize(
    ("query", "words"),
    [("pattern=%5B", "pattern"), ("length=0", "length"), ("check=luck", "check"), ("lines=x", "lines")],
)
def test_what_cannot_be_asked_is_refused(server, page, query, words):
    assert is_problem(server.post(f"/v1/read?{query}", page), 400, words)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/read", "/v1/corrections?label=3"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a picture of a known format"),
        (b"/etc/passwd", "not a picture of a known format"),
        (b"http://127.0.0.1/7.png", "not a picture of a known format"),
        (encoded(Image.new("L", (5, 5)), "PNG"), "too small to read"),
        (encoded(Image.effect_noise((300, 300), 90), "PNG")[:9000], "damaged or truncated"),
    ],
)
def test_what_is_no_picture_is_refused_in_the_words_of_the_command_line(server, path, content, words):
    assert is_problem(server.post(path, content), 422, words)


def test_about_tells_what_the_server_is(server, guarded):
    told = server.ask("GET", "/v1/about").json
    assert (told["corrections"], told["token"]) == (True, False)
    assert told["limits"] == {"bytes": 32 * 2**20, "pixels": 64_000_000, "files": 64, "seconds": 30}
    told = guarded.ask("GET", "/v1/about", authorization="Bearer a secret").json
    assert (told["corrections"], told["token"]) == (False, True)


def test_it_is_alive_and_ready_and_counts(server, png):
    assert server.ask("GET", "/healthz").status == server.ask("GET", "/readyz").status == 200
    count = re.compile(r'digitnet_request_seconds_count{path="/v1/predict",status="200"} (\d+)')
    before = count.search(server.ask("GET", "/metrics").content.decode())
    server.post("/v1/predict", png)
    after = count.search(server.ask("GET", "/metrics").content.decode())
    assert int(after[1]) == (int(before[1]) if before else 0) + 1


def test_the_docs_page_needs_nothing_from_elsewhere(server):
    docs = server.ask("GET", "/docs").content.decode()
    for path in server.ask("GET", "/openapi.json").json["paths"]:
        assert path in docs
    assert "<script" not in docs
    assert "style=" not in docs
    assert not re.search(r'(src|href)="(?![/#])', docs)
    assert server.ask("GET", "/web/docs.css").status == 200


@pytest.mark.parametrize("is_guarded", [False, True])
def test_the_commands_in_the_docs_work(server, guarded, png, tmp_path, is_guarded):
    asked = guarded if is_guarded else server
    page = asked.ask("GET", "/docs").content.decode()
    commands = [html.unescape(command) for command in re.findall("<pre>(curl .*?)</pre>", page)]
    assert len(commands) == 11
    (tmp_path / "7.png").write_bytes(png)
    for command in commands:
        told = subprocess.run(
            ["sh", "-c", command + " --silent --write-out '\n%{http_code}'"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "DIGITNET_TOKEN": "a secret"},
            capture_output=True,
            text=True,
        ).stdout
        # The correction of the example is not there, and the guarded server keeps none.
        expected = ("404", "403") if "/corrections/" in command else ("403",) if "/corrections" in command else ()
        assert told.splitlines()[-1] in (*expected, "200", "201"), (command, told)


def test_the_docs_begin_with_their_contents(server):
    page = server.ask("GET", "/docs").content.decode()
    links = re.findall('<li><a href="#(.*?)"', page)
    places = re.findall('<section id="(.*?)"', page)
    assert [unquote(link) for link in links] == places
    assert len(places) == 11


# What it does not do


def test_every_answer_has_safe_headers(server):
    for path in ("/", "/web/docs.css", "/nowhere", "/healthz"):
        headers = server.ask("GET", path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_the_page_is_fetched_again_only_when_it_changed(server):
    tag = server.ask("GET", "/").headers["etag"]
    assert server.ask("GET", "/", if_none_match=tag).status == 304
    assert server.ask("GET", "/", if_none_match='"other"').status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/web/../server.py",
        "/web/%2e%2e%2fserver.py",
        "/web//etc/passwd",
        "/web/%2fetc%2fpasswd",
        "/web/",
        "/nil",
        "/web/server.py",
    ],
)
def test_only_the_files_of_the_page_can_be_had(server, path):
    assert is_problem(server.ask("GET", path), 404)


@pytest.mark.parametrize("path", ["/", "/web/app.js", "/docs", "/healthz", "/v1/about"])
def test_what_can_be_got_can_be_asked_about(server, path):
    head, whole = server.ask("HEAD", path), server.ask("GET", path)
    assert (head.status, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))


def test_a_parameter_that_is_not_known_is_named(server, page):
    told = "lenght is not a parameter of /v1/read: it takes always, check"
    assert is_problem(server.post("/v1/read?lenght=3", page), 400, told)
    told = "deep is not a parameter of /v1/about: it takes none"
    assert is_problem(server.ask("GET", "/v1/about?deep=1"), 400, told)


@pytest.mark.parametrize("path", ["/?utm_source=x", "/web/app.js?v=2", "/docs?x", "/healthz?deep=1", "/metrics?x=1"])
def test_outside_of_the_api_any_parameter_is_ignored(server, path):
    assert server.ask("GET", path).status == 200


def test_a_wrong_method_is_told_which_is_right(server):
    answer = server.ask("GET", "/v1/predict")
    assert is_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ("127.0.0.1", "localhost:99", "[::1]:8000", "LocalHost")),
        *((host, 421) for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "localhost@evil.example")),
        *((host, 421) for host in ("localhost:evil.example", "localhost:8000:evil", "[::1]@evil.example")),
    ],
)
def test_only_its_own_names_are_answered(server, host, status):
    assert server.ask("GET", "/healthz", host=host).status == status


def test_a_request_without_a_host_or_with_two_is_refused(server):
    for hosts in (b"", b"Host: 127.0.0.1\r\nHost: evil.example\r\n", b"Host: localhost:8\r\nHost: evil\r\n"):
        with server.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n" + hosts + b"\r\n")
            assert is_problem(answer_on(connection), 421)


@pytest.mark.parametrize(
    ("allowed", "host"), [("box.local:8921", "box.local"), ("Box.local", "box.local:1"), ("fd00::2", "[fd00::2]:8000")]
)
def test_names_are_compared_without_their_ports(allowed, host):
    assert host_name(host) in Address(names=[allowed]).hosts


def test_a_name_that_was_allowed_is_answered(guarded):
    assert guarded.ask("GET", "/healthz", host="digits.example").status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"origin": "http://localhost", "host": "localhost"}, 200),
    ],
)
def test_other_sites_cannot_post(server, png, headers, status):
    assert server.post("/v1/predict", png, **headers).status == status


@pytest.mark.parametrize("path", ["/v1/about", "/metrics"])
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer a secre", "Bearer A secret", "Basic a secret", "\xff"])
def test_without_the_token_nothing_is_told(guarded, path, authorization):
    answer = guarded.ask("GET", path, authorization=authorization)
    assert is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_with_the_token_the_api_is_open_and_the_page_always_is(guarded, png):
    assert guarded.post("/v1/predict", png, authorization="Bearer a secret").json["digit"] == 7
    assert [guarded.ask("GET", path).status for path in ("/", "/healthz", "/readyz", "/docs")] == [200] * 4
    assert guarded.url.endswith("/#token=a%20secret")


def test_elsewhere_than_on_loopback_a_token_is_demanded():
    with served("--host", "0.0.0.0") as server:
        _, _, token = server.url.partition("#token=")
        assert len(token) > 30
        assert is_problem(server.ask("GET", "/v1/about"), 401)
        assert server.ask("GET", "/v1/about", authorization=f"Bearer {token}").status == 200
        assert server.ask("GET", "/healthz", host="192.168.1.2:8000").status == 200
        assert server.ask("GET", "/healthz", host="evil.example").status == 421


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_terminal_shows_a_code_for_the_phone_where_a_phone_can_reach_the_server(host):
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "digitnet", "serve", "--port", "0", "--host", host]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, text=True, env=environment()) as server:
        url = server.stdout.readline().strip()
        shown = io.StringIO()
        segno.make(url, error="L").terminal(shown, compact=True)
        told = b""
        while host == "0.0.0.0" and shown.getvalue() not in told.decode(errors="ignore").replace("\r\n", "\n"):
            told += os.read(master, 2**16)
        server.terminate()
    os.write(terminal, b"the end")
    while not told.endswith(b"the end"):
        told += os.read(master, 2**16)
    os.close(terminal)
    os.close(master)
    assert (shown.getvalue() in told.decode().replace("\r\n", "\n")) == (host == "0.0.0.0")


# What it withstands


def test_a_damaged_body_is_refused_at_once(server, png):
    with server.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnot a number\r\n")
        assert is_problem(answer_on(connection), 400)
    assert goes_on(server, png)


def test_a_body_that_is_announced_as_too_large_is_refused_unread(strict, png):
    with strict.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 999999999999\r\n\r\n")
        assert is_problem(answer_on(connection), 413, "0.25 MiB")
    assert goes_on(strict, png)


def test_a_body_without_an_announcement_is_refused_as_soon_as_it_is_too_large(strict, png):
    with strict.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):  # and no end
            connection.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
        assert is_problem(answer_on(connection), 413, "0.25 MiB")
    assert goes_on(strict, png)


@pytest.mark.parametrize("rest", [b"", b"\r\n"])
def test_a_connection_that_is_cut_does_no_harm(strict, png, rest):
    with strict.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 5000\r\n" + rest + png[:100])
    assert goes_on(strict, png)


def test_more_than_was_announced_is_not_read_as_the_picture(server, png):
    with server.connect() as connection:
        connection.sendall(GOOD % (len(png) // 2, png))
        assert is_problem(answer_on(connection), 422)
    assert goes_on(server, png)


def test_a_bomb_is_refused_by_its_header(server, png):
    side = 30_000
    packed = zlib.compress(bytes(side))
    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    bomb = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", packed * 100), (b"IEND", b"")):
        bomb += len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    assert is_problem(server.post("/v1/predict", bomb), 413, "64 million pixels")
    assert is_problem(server.post("/v1/read", bomb), 413, "64 million pixels")
    assert goes_on(server, png)


def test_a_picture_of_more_pixels_than_allowed_is_refused(strict):
    answer = strict.post("/v1/predict", encoded(Image.new("L", (400, 300), 255), "PNG"))
    assert is_problem(answer, 413, "400x300 is more than 0.1 million pixels")


def test_more_files_than_allowed_are_refused_before_they_are_all_there(strict, png):
    body, content_type = form(*[("7.png", png)] * 3)
    assert [told["digit"] for told in strict.post("/v1/predict", body, content_type).json] == [7, 7, 7]
    body, content_type = form(*[("7.png", png)] * 4)
    assert is_problem(strict.post("/v1/predict", body, content_type), 413, "more than 3 files")


@pytest.mark.parametrize(
    "content_type", ["text/html", "application/json", "application/x-www-form-urlencoded", "multipart/mixed", "picture"]
)
def test_a_wrong_content_type_is_refused(server, png, content_type):
    assert is_problem(server.post("/v1/predict", png, content_type), 415, content_type)


def test_a_packed_body_is_refused(server, png):
    assert is_problem(server.post("/v1/predict", zlib.compress(png), content_encoding="deflate"), 415, "deflate")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=edge"),
        (b"", "multipart/form-data"),
        (b"--edge--\r\n", "multipart/form-data; boundary=edge"),
        (form(("6.png", b"x"), ("7.png", b"x"))[0][:-12], "multipart/form-data; boundary=edge"),
        (b"--edge\r\n" + b"x" * 70_000, "multipart/form-data; boundary=edge"),
        (b"garbage" * 100, "multipart/form-data; boundary=edge"),
        (b"x", "multipart/form-data; boundary=" + "e" * 5000),
        (form(("7.png", b"x"))[0].replace(b"; filename", b"; no"), "multipart/form-data; boundary=edge"),
    ],
)
def test_a_damaged_form_is_refused(server, body, content_type):
    assert is_problem(server.post("/v1/predict", body, content_type), 400)


@pytest.mark.parametrize(
    ("start", "words"), [(HEAD, "headers"), (HEAD + b"Content-Length: 500\r\n\r\nx", "body"), (b"POST /", "headers")]
)
def test_a_slow_sender_is_told_so_while_others_go_on(strict, png, start, words):
    with strict.connect() as first, strict.connect() as second, strict.connect() as third:
        for connection in (first, second, third):
            connection.sendall(start)
        assert goes_on(strict, png)
        first.sendall(b"x")  # a sign of life is not enough
        for connection in (first, second, third):
            assert is_problem(answer_on(connection), 408, words)


def test_a_silent_connection_is_closed(strict):
    with strict.connect() as connection:
        assert connection.recv(1) == b""


@pytest.mark.parametrize("endless", [b"GET / HTTP/1.1\r\nx: " + b"y" * 400_000, b"GET /" + b"y" * 400_000])
def test_a_head_without_end_is_refused(strict, png, endless):
    with strict.connect() as connection:
        connection.sendall(endless)
        assert is_problem(answer_on(connection), 431)
    assert goes_on(strict, png)


def test_what_is_not_http_is_refused(server):
    with server.connect() as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert is_problem(answer_on(connection), 400)


def test_more_requests_at_once_than_allowed_are_told_to_try_again(guarded, page):
    token = "Bearer a secret"
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: guarded.post("/v1/read", page, authorization=token), range(24)))
    assert {answer.status for answer in answers} == {200, 503}
    for answer in answers:
        assert answer.status == 200 or is_problem(answer, 503)
        assert answer.status == 200 or int(answer.headers["retry-after"]) >= 1


def test_a_thousand_idle_connections_stop_nobody(server, png):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    connections = [server.connect() for _ in range(1000)]
    try:
        for connection in connections[::2]:
            connection.sendall(HEAD)
        assert goes_on(server, png)
    finally:
        for connection in connections:
            connection.close()


def test_more_connections_than_the_system_has_room_for_are_told_to_try_again(png):
    few = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)); from digitnet import cli; "
    with served(program=["-c", f"{few}sys.exit(cli.main())"]) as server:
        connections = [server.connect() for _ in range(150)]
        try:
            assert is_problem(answer_on(connections[-1]), 503)
        finally:
            for connection in connections:
                connection.close()
        assert any(is_right_by_now(server, png) for _ in range(100))  # once it has seen that they are closed


def test_with_few_open_files_allowed_it_serves_or_says_how_to_allow_more(png):
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (%d,) * 2); from digitnet import cli; "
    with served(program=["-c", f"{limited % 40}sys.exit(cli.main())"]) as server:
        assert goes_on(server, png)
        assert server.post("/v1/read", png).status == 200
    finished = run_python("-c", f"{limited % 20}sys.exit(cli.main())", "serve", "--port", "0")
    assert finished.returncode == 2
    assert "20 open files" in finished.stderr
    assert "ulimit" in finished.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_is_told_from_other_addresses(host):
    assert Address(host).is_loopback
    assert not Address(f"{host}.example").is_loopback
    assert not Address("0.0.0.0").is_loopback


def test_requests_in_one_go_on_one_connection_are_answered_in_order(server, png):
    with server.connect() as connection:
        connection.sendall(GOOD % (len(png), png) + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        first, second = answers_on(connection, 2)
        assert (first["digit"], second["status"]) == (7, "alive")


def test_an_offer_of_another_protocol_is_ignored(server, png):
    offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABkAAQAoAAAAAIAAAAA"}
    assert server.post("/v1/predict", png, **offer).json["digit"] == 7
    assert server.post("/v1/predict", *form(("7.png", png)), **offer).json[0]["digit"] == 7


@pytest.mark.parametrize("cut", [b"\r\n", b"\r", b"\r\nUpgr", b"\r\nUpgrade: h2c"])
def test_an_offer_of_another_protocol_is_ignored_in_whatever_packets_it_comes(server, png, cut):
    head = HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(png)
    first = head[: head.index(b"\r\nUpgrade:")] + cut
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(first)
        assert goes_on(server, png)  # so the first packet has arrived
        connection.sendall(head[len(first) :] + png)
        assert answer_on(connection).json["digit"] == 7


@pytest.mark.parametrize("packet", [None, 1, 50, 1000])
def test_an_offer_of_another_protocol_is_ignored_in_each_request_of_a_connection(server, png, packet):
    offering = HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    whole = offering + b"Content-Length: %d\r\n\r\n%s" % (len(png), png)
    chunked = offering + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(png), png)
    sent = GOOD % (len(png), png) + whole + chunked + whole
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), packet or len(sent)):
            connection.sendall(sent[start : start + (packet or len(sent))])
        assert [answer["digit"] for answer in answers_on(connection, 4)] == [7] * 4


def test_a_tunnel_is_refused(server, png):
    with server.connect() as connection:
        connection.sendall(b"CONNECT /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer_on(connection).status in (400, 405)
    assert goes_on(server, png)


def test_of_requests_without_end_on_one_connection_only_some_are_answered(server, png):
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError):  # it is closed while they are sent
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50_000)
        answers = b""
        with contextlib.suppress(ConnectionError):
            while some := connection.recv(2**16):
                answers += some
    assert answers.count(b"HTTP/1.1 200") <= 9
    assert goes_on(server, png)


def is_cut_off(connection):
    """Whether the connection is closed when one more request is sent; if not, waits a little."""
    try:
        connection.sendall(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    except ConnectionError:
        return True
    time.sleep(0.01)
    return False


def test_who_asks_on_and_on_and_reads_no_answer_is_cut_off(strict, png):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", strict.port))
        assert any(is_cut_off(connection) for _ in range(1500))
    assert goes_on(strict, png)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["/v1/predict", "/v1/read", "/v1/predict?seen=1", "/v1/corrections?label=1&box=1,1,9,9"]),
    st.sampled_from(["image/png", "application/octet-stream", "multipart/form-data; boundary=edge", "text/plain"]),
    st.data(),
)
def test_no_body_makes_it_fail(server, png, path, content_type, data):
    whole = data.draw(st.sampled_from([png, form(("a", png), ("b", png[:200]))[0], b""]))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    body = whole[:start] + data.draw(st.binary(max_size=200)) + whole[end:]
    answer = server.post(path, body, content_type)
    assert answer.status < 500 or answer.status == 503
    assert answer.status < 400 or is_problem(answer, answer.status)


def test_the_api_is_as_its_openapi_says(server, guarded, tmp_path):
    """All checks but one: a schema cannot say that bytes are a picture of at least 8x8, so some that it allows fail."""
    command = [Path(sys.executable).with_name("schemathesis"), "run", "--max-examples", "15", "--no-color"]
    command += ["--exclude-checks", "positive_data_acceptance"]
    running = [
        subprocess.Popen(
            [*command, *options, f"http://127.0.0.1:{asked.port}/openapi.json"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        for asked, options in ((server, []), (guarded, ["--header", "Authorization: Bearer a secret"]))
    ]
    for process in running:
        told, _ = process.communicate(timeout=120)
        assert process.returncode == 0, told
        assert "Tested: 11" in told


# Corrections


def test_a_correction_is_kept_as_the_test_command_reads_it(server, kept, seven):
    answer = server.post("/v1/corrections?label=7", encoded(seven, "JPEG"), "image/jpeg")
    assert answer.status == 201
    assert labels(kept)[-1] == (answer.json["file"], 7)
    assert size_of(kept / answer.json["file"]) == (120, 120)
    assert size_of(kept / "seen" / answer.json["file"]) == (28, 28)
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]


def test_no_name_leads_a_correction_out_of_its_folder(server, kept, seven):
    answer = server.post("/v1/corrections?label=7", *form(("../../x.png", encoded(seven, "PNG"))))
    assert is_problem(server.post("/v1/corrections?label=7&name=../../x", encoded(seven, "PNG")), 400, "name")
    assert labels(kept)[-1] == (answer.json["file"], 7)
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]


def test_of_a_digit_on_a_page_only_its_part_is_kept(server, kept, page):
    x, y, width, height = server.post("/v1/read", page).json["lines"][0]["digits"][1]["box"]
    answer = server.post(f"/v1/corrections?label=1&box={x},{y},{width},{height}", page)
    assert is_problem(server.post("/v1/corrections?label=1&box=9000,1,2,2", page), 400, "not in the picture")
    assert is_problem(server.post("/v1/corrections?label=1&box=1,2", page), 400, "box")
    assert is_problem(server.post("/v1/corrections?label=10", page), 400, "label")
    kept_width, kept_height = size_of(kept / answer.json["file"])
    assert width < kept_width < 2 * height
    assert height < kept_height < 2 * height


def test_corrections_sent_at_once_all_land(server, kept, png):
    before = len(labels(kept)) if (kept / "labels.csv").exists() else 0
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda label: server.post(f"/v1/corrections?label={label}", png), range(8)))
    assert sorted(labels(kept)[before:]) == sorted((answer.json["file"], n) for n, answer in enumerate(answers))


def test_corrections_are_listed_shown_relabelled_and_deleted(server, kept, png):
    file = server.post("/v1/corrections?label=7", png).json["file"]
    entry = server.ask("GET", "/v1/corrections").json[-1]
    assert (entry["file"], entry["label"]) == (file, 7)
    assert server.ask("GET", entry["picture"]).content == (kept / file).read_bytes()
    answer = server.ask("PATCH", f"/v1/corrections/{file}?label=1")
    assert answer.json == {"file": file, "learned_from": None, "reason": None}
    assert labels(kept)[-1] == (file, 1)
    assert is_problem(server.ask("PATCH", f"/v1/corrections/{file}?label=12"), 400, "label")
    assert server.ask("DELETE", f"/v1/corrections/{file}").status == 200
    assert file not in dict(labels(kept))
    for method in ("GET", "PATCH", "DELETE"):
        query = "?label=1" if method == "PATCH" else ""
        for name in (file, "labels.csv", "..%2Flabels.csv", "..%2F..%2Fetc%2Fpasswd"):
            assert is_problem(server.ask(method, f"/v1/corrections/{name}{query}"), 404)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_page_of_another_site_cannot_change_corrections(server, kept, png, method):
    file = server.post("/v1/corrections?label=7", png).json["file"]
    answer = server.ask(method, f"/v1/corrections/{file}?label=1", Origin="http://evil.example")
    assert is_problem(answer, 403, "another site")
    assert labels(kept)[-1] == (file, 7)


def test_corrections_are_off_unless_asked_for(strict, png):
    assert is_problem(strict.post("/v1/corrections?label=7", png), 403, "--corrections DIR")
    assert is_problem(strict.ask("GET", "/v1/corrections"), 403, "--corrections DIR")


def test_a_correction_changes_the_next_reading_until_it_is_deleted_and_outlives_a_kill(tmp_path, odd_seven):
    with served("--corrections", tmp_path, "--learn", OMP_NUM_THREADS="1") as server:
        before = server.post("/v1/predict", odd_seven).json
        kept = server.post("/v1/corrections?label=7", odd_seven).json
        assert (kept["learned_from"], kept["reason"]) == (1, None)
        assert before["digit"] != server.post("/v1/predict", odd_seven).json["digit"] == 7
        assert server.ask("DELETE", f"/v1/corrections/{kept['file']}").json["learned_from"] == 0
        assert server.post("/v1/predict", odd_seven).json == before
        kept = server.post("/v1/corrections?label=7", odd_seven).json
        server.stop(signal.SIGKILL)
    assert labels(tmp_path) == [(kept["file"], 7)]


def test_learning_without_a_folder_for_corrections_is_wrong_usage(capsys):
    assert cli.main(["serve", "--learn"]) == 2
    assert "--corrections DIR" in capsys.readouterr().err


# Its start and end


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_request_in_flight_ends_and_the_port_is_free_again(png, how, code):
    with served() as server:
        port = server.port
        with server.connect() as connection:
            connection.sendall(GOOD % (len(png), png[:-1]))
            assert goes_on(server, png)  # so the first request has arrived
            stopping = threading.Thread(target=server.process.send_signal, args=(how,))
            stopping.start()
            while port_answers(port):
                time.sleep(0.02)
            connection.sendall(png[-1:])
            assert answer_on(connection).json["digit"] == 7
        assert server.process.wait(10) == code
        stopping.join()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def port_answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_port_in_use_is_named(server, capsys):
    assert cli.main(["serve", "--port", str(server.port)]) == 1
    assert f"port {server.port} of 127.0.0.1 is in use" in capsys.readouterr().err


def test_of_two_servers_started_together_on_one_port_one_is_told():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "digitnet", "serve", "--port", str(port)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    try:
        assert any(any(one.poll() == 1 for one in both) or time.sleep(0.1) for _ in range(200))
    finally:
        for process in both:
            process.kill()
    assert "in use" in "".join(process.communicate()[1] for process in both)


@pytest.mark.parametrize(
    "option",
    [
        ["--host", "no.such.host.invalid"],
        ["--port", "99999"],
        ["--timeout", "0"],
        ["--host", "a..b"],
        ["--max-megapixels", "1e-9"],
    ],
)
def test_what_cannot_be_served_is_wrong_usage(option, capsys):
    assert cli.main(["serve", "--port", "0", *option]) == 2
    told = capsys.readouterr().err
    assert told.startswith("digitnet: ")
    assert len(told.splitlines()) == 1


def test_serving_never_loads_torch():
    script = (
        "import sys\nfrom digitnet.serving import server\nfrom digitnet.reader import Reader\n"
        "reader = Reader()\nserver._warm_up(reader, learn=True)\nserver.application(reader)\n"
        "assert not {'torch', 'torchvision', 'onnx'} & set(sys.modules)"
    )
    finished = run_python("-c", script)
    assert finished.returncode == 0, finished.stderr
