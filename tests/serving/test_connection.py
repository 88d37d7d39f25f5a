"""The parts of uvicorn that `connection.py` uses and that uvicorn does not document."""

import asyncio
import inspect

from uvicorn import Config
from uvicorn.protocols.http import httptools_impl
from uvicorn.server import ServerState

OVERRIDDEN = {
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "_unset_keepalive_if_required": ["self"],
    "on_headers_complete": ["self"],
    "on_body": ["self", "body"],
    "on_message_complete": ["self"],
    "pause_writing": ["self"],
    "resume_writing": ["self"],
    "send_400_response": ["self", "msg"],
    "_start_asgi_task": ["self", "cycle", "app"],
}
USED = {"connections", "cycle", "headers", "loop", "parser", "pipeline", "server_state", "transport"}
USED_OF_A_CYCLE = {"disconnected", "keep_alive", "message_event", "more_body", "response_complete", "response_started"}


def test_uvicorn_still_has_every_private_part_that_is_used():
    async def parts():
        protocol = httptools_impl.HttpToolsProtocol(Config(app=None, log_config=None), ServerState(), {})
        arguments = inspect.signature(httptools_impl.RequestResponseCycle).parameters
        cycle = httptools_impl.RequestResponseCycle(**dict.fromkeys(arguments))
        return vars(protocol), vars(cycle)

    of_a_protocol, of_a_cycle = asyncio.run(parts())
    assert USED - set(of_a_protocol) == set()
    assert USED_OF_A_CYCLE - set(of_a_cycle) == set()
    assert httptools_impl.STATUS_LINE[431].startswith(b"HTTP/1.1 431 ")
    for name, parameters in OVERRIDDEN.items():
        method = getattr(httptools_impl.HttpToolsProtocol, name)
        assert list(inspect.signature(method).parameters) == parameters, name
