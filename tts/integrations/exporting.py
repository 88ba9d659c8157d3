"""Where spans go, if no application says so: a file, or a collector that speaks OTLP."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tts.errors import ConfigError
from tts.integrations._libraries import library
from tts.integrations.tracing import Tracing

_SECONDS = 5.0  # that a collector may take to be reached
_WAITING = 1 << 16  # spans that wait to be sent; what comes beyond them would be lost


def to_file(path: str, content: bool = False, service: str = "tts") -> Tracing:
    """Traces into a file, one span a line as JSON, behind what is there.

    Args:
        path: The file; its folder is made.
        content: Whether prompts and answers are kept.
        service: What the spans say they come from.

    Raises:
        ConfigError: The file cannot be written, or opentelemetry-sdk is not installed.
    """
    export = library("opentelemetry.sdk.trace.export", "tracking")
    try:
        Path(path).expanduser().parent.mkdir(parents=True, exist_ok=True)
        file = Path(path).expanduser().open("a")
    except OSError as error:
        raise ConfigError(
            f"tracing.path is {path}, which cannot be written to: {error.strerror}.",
            hint="Set tracing.path=spans.jsonl.",
        ) from error
    exporter = export.ConsoleSpanExporter(
        out=file, formatter=lambda span: f"{span.to_json(indent=None)}\n"
    )
    return _tracing(exporter, content, service, file.close)


def to_collector(
    endpoint: str = "http://localhost:4318/v1/traces", content: bool = False, service: str = "tts"
) -> Tracing:
    """Traces to a collector, by OTLP over HTTP.

    Args:
        endpoint: Its address, with the path. Headers and certificates are taken from the
            environment (`OTEL_EXPORTER_OTLP_HEADERS`, ...).
        content: Whether prompts and answers are kept.
        service: What the spans say they come from.

    Raises:
        ConfigError: Nobody is there, or a library is not installed.
    """
    otlp = library("opentelemetry.exporter.otlp.proto.http.trace_exporter", "tracking")
    _check_reachable(endpoint)
    return _tracing(otlp.OTLPSpanExporter(endpoint=endpoint), content, service, lambda: None)


def _tracing(exporter: Any, content: bool, service: str, then: Any) -> Tracing:
    """Traces through a provider of its own: that of the program is not touched."""
    sdk = library("opentelemetry.sdk.trace", "tracking")
    resources = library("opentelemetry.sdk.resources", "tracking")
    export = library("opentelemetry.sdk.trace.export", "tracking")
    provider = sdk.TracerProvider(resource=resources.Resource.create({"service.name": service}))
    provider.add_span_processor(export.BatchSpanProcessor(exporter, max_queue_size=_WAITING))

    def shutdown() -> None:
        provider.shutdown()
        then()

    return Tracing(provider.get_tracer("tts"), content=content, shutdown=shutdown)


def _check_reachable(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        if not parts.hostname:
            raise OSError("no address with a host")
        socket.create_connection((parts.hostname, port), _SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"No collector answers at {endpoint}: {error.strerror or error}.",
            hint="Start it, correct tracing.endpoint, or set tracing=none.",
        ) from error
