"""A small stand-in of the HUB's HTTP interface, for tests: what `ikcli` and Ikomia's registry ask of it, in memory."""

import email
import email.policy
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Algorithm:
    """What was sent of one plugin."""

    information: dict[str, Any] = field(default_factory=dict)
    icon: bytes = b""
    packages: list[tuple[dict[str, Any], bytes]] = field(default_factory=list)
    workflows: list[bytes] = field(default_factory=list)
    published: dict[str, str] = field(default_factory=dict)


class HubStandIn:
    """Serves on a free port of the loopback while it is entered.

    Attributes:
        algorithms: by name, what was sent.
        requests: `METHOD path` of every request, in order.
    """

    def __init__(self, namespace: str, token: str) -> None:
        self.namespace, self.token = namespace, token
        self.algorithms: dict[str, Algorithm] = {}
        self.requests: list[str] = []
        hub = self

        class Handler(_Handler):
            stand_in = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubStandIn":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(  # noqa: PLR0911  (a table of routes)
        self, method: str, path: str, query: dict[str, str], fields: dict[str, Any]
    ) -> tuple[int, Any]:
        """Status and content; bytes are sent as they are, everything else as JSON."""
        where = path.strip("/").split("/")[1:]
        wanted = query.get("name")
        match method, where:
            case "GET", ["namespaces"]:
                names = [name for name in (self.namespace,) if wanted in (None, name)]
                return 200, _page([{"url": f"/v1/namespaces/{name}/", "name": name, "path": name} for name in names])
            case "POST", ["namespaces", self.namespace, "algos"]:
                return self._store(fields["name"], fields, 201)
            case "GET", ["algos"]:
                return 200, _page([self._algo(name) for name in self.algorithms if wanted in (None, name)])
            case "GET", ["algos", name] if name in self.algorithms:
                return 200, self._algo(name)
            case "PUT", ["algos", name] if name in self.algorithms:
                return self._store(name, fields, 200)
            case "POST", ["algos", name, "packages"]:
                content = fields.pop("file")
                self.algorithms[name].packages.append((fields, content))
                return 201, self._package(name, len(self.algorithms[name].packages) - 1)
            case "POST", ["algos", name, "demo-workflows"]:
                self.algorithms[name].workflows.append(fields["archive"])
                return 201, {"url": f"{path}0/", "name": name}
            case "GET", ["algos", name, "publish"]:
                return 200, {"license": self.algorithms[name].published.get("license"), "next_versions": {}}
            case "PUT", ["algos", name, "publish"]:
                self.algorithms[name].published = fields
                return 200, {"url": f"/v1/hub/{name}/"}
            case "GET", ["hub", name] if name in self.algorithms:
                return 200, self._algo(name, published=True)
            case "GET", ["hub"]:
                return 200, _page(
                    [self._algo(name, published=True) for name, sent in self.algorithms.items() if sent.published]
                )
            case "GET", ["packages", name, index, "download"]:
                return 200, self.algorithms[name].packages[int(index)][1]
        return 404, {"detail": f"{method} {path} is not known here"}

    def _store(self, name: str, fields: dict[str, Any], status: int) -> tuple[int, Any]:
        sent = self.algorithms.setdefault(name, Algorithm())
        sent.icon = fields.pop("icon", b"")
        sent.information = fields
        return status, self._algo(name)

    def _algo(self, name: str, published: bool = False) -> dict[str, Any]:
        sent = self.algorithms[name]
        return {
            **sent.information,
            **sent.published,
            "url": f"/v1/algos/{name}/",
            "path": f"{self.namespace}/{name}",
            "packages": [self._package(name, index, published) for index in range(len(sent.packages))],
        }

    def _package(self, name: str, index: int, published: bool = False) -> dict[str, Any]:
        sent = self.algorithms[name]
        fields = sent.packages[index][0]
        version = {"version": sent.published["version"]} if published else {"tag": "latest"}
        return {
            **version,
            "url": f"{self.url}/v1/packages/{name}/{index}/",
            "language": sent.information["language"],
            "platform": {
                "os": fields["os"],
                "architecture": fields["architecture"],
                "ikomia": f">={fields['ikomia_min_version']}",
                "python": f">={fields['python_min_version']}",
            },
        }


class _Handler(BaseHTTPRequestHandler):
    stand_in: HubStandIn

    def _handle(self) -> None:
        hub, parts = self.stand_in, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hub.requests.append(f"{self.command} {parts.path}")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        # Reading the public HUB needs no token.
        public = self.command == "GET" and parts.path.startswith(("/v1/hub/", "/v1/packages/"))
        if not public and self.headers.get("Authorization") != f"Token {hub.token}":
            status, content = 401, {"detail": "Invalid token."}
        else:
            status, content = hub.answer(self.command, parts.path, query, self._fields(body))
        binary = isinstance(content, bytes)
        data = content if binary else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if binary else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _handle  # noqa: N815  (the server's names)

    def _fields(self, body: bytes) -> dict[str, Any]:
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("application/json"):
            return dict(json.loads(body or b"{}"))
        if not kind.startswith("multipart/form-data"):
            return {}
        head = f"Content-Type: {kind}\r\n\r\n".encode()
        fields: dict[str, Any] = {}
        for part in email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts():
            content = part.get_payload(decode=True)
            if part.get_filename() is None:
                text = content.decode()
                content = json.loads(text) if part.get_content_type() == "application/json" else text
            fields[part.get_param("name", header="content-disposition")] = content
        return fields

    def log_message(self, *arguments: object) -> None:
        """Nothing: tests read `requests`."""


def _page(results: list[dict[str, Any]]) -> dict[str, Any]:
    return {"count": len(results), "next": None, "results": results}
