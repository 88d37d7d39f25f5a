"""A real server in a process of its own, and what asks it."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass

from helpers import ROOT, environment


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def json(self):
        return json.loads(self.content)


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen
    url: str

    @property
    def port(self):
        return int(self.url.split(":")[2].split("/")[0])

    def ask(self, method, path, body=None, **headers):
        """The answer to one request; an underscore in a header's name is a hyphen."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, body, named)
            return answer_of(connection.getresponse())

    def post(self, path, body, content_type="image/png", **headers):
        return self.ask("POST", path, body, content_type=content_type, **headers)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def stop(self, how=signal.SIGTERM):
        """Its exit code."""
        self.process.send_signal(how)
        return self.process.wait(20)


def answer_of(response):
    return Answer(response.status, response.headers, response.read())


def answer_on(connection):
    """What comes back on a socket."""
    with http.client.HTTPResponse(connection) as response:
        response.begin()
        return answer_of(response)


@contextlib.contextmanager
def served(*options, program=("-m", "digitnet"), **variables):
    command = [sys.executable, *program, "serve", "--port", "0", *map(str, options)]
    env = {name: value for name, value in environment().items() if name != "DIGITNET_TOKEN"} | variables
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env)
    with process:
        try:
            yield Server(process, process.stdout.readline().strip())
        finally:
            process.kill()


def form(*pictures):
    """The body of a form with (name, content) pairs, and its content type."""
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in pictures
    ]
    return b"".join(parts) + b"--edge--\r\n", "multipart/form-data; boundary=edge"
