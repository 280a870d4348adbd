"""A container runtime that runs nothing, for a real kubelet: it says that it is ready, and has no containers.

Argument: the path of its socket. It ends when its standard input does. The messages are those of the CRI
(k8s.io/cri-api runtime/v1), written by hand: a kubelet without Pods asks for four that are not empty.
"""

from __future__ import annotations

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

grpc: Any = importlib.import_module("grpc")  # has no types of its own


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def field(number: int, value: bytes | str | int) -> bytes:
    """A field of a Protocol Buffers message: a number, a text or a message within."""
    if isinstance(value, int):
        return bytes((number << 3, *_varint(value)))
    data = value.encode() if isinstance(value, str) else value
    return bytes((number << 3 | 2, *_varint(len(data)))) + data


def _ready(condition: str) -> bytes:
    return field(1, field(1, condition) + field(2, 1))


_DISK = field(1, 1) + field(2, field(1, "/")) + field(3, field(1, 1)) + field(4, field(1, 1))
_RUNTIME = {
    "Version": field(1, "0.1.0") + field(2, "stand-in") + field(3, "1.0.0") + field(4, "v1"),
    "Status": field(1, _ready("RuntimeReady") + _ready("NetworkReady")),
    "RuntimeConfig": field(1, field(1, 1)),  # CGROUPFS
    **dict.fromkeys(("ListPodSandbox", "ListContainers", "ListPodSandboxStats", "ListContainerStats"), b""),
    "UpdateRuntimeConfig": b"",
}
_IMAGES = {"ImageFsInfo": field(1, _DISK) + field(2, _DISK), "ListImages": b""}


def _answering(answer: bytes) -> Any:
    return grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(4))
    for service, answers in (("RuntimeService", _RUNTIME), ("ImageService", _IMAGES)):
        methods = {name: _answering(answer) for name, answer in answers.items()}
        handler = grpc.method_handlers_generic_handler(f"runtime.v1.{service}", methods)
        server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"unix:{sys.argv[1]}")
    server.start()
    print("listening", flush=True)  # noqa: T201 -- whoever started it waits for this
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
