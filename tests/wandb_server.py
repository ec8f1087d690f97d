"""A stand-in for the W&B server on 127.0.0.1: it keeps what wandb sends, and hands out the jobs of a sweep.

It speaks as much of the protocol as wandb 0.31 needs to follow a run online, to sync an offline one, and to run
`wandb sweep` and `wandb agent`. A request that it does not know is answered with an error and noted in `unknown`.
"""

import base64
import gzip
import json
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

ENTITY = "me"


@dataclass
class Run:
    """What the server knows of a run.

    Attributes:
        fields: What the client has said of it: project, displayName, groupName, tags, …
        config: Key → value.
        lines: What it has streamed: file → lines, each at the place that the client gave it.
        files: What it has uploaded: name → content.
        sweep: The sweep that it belongs to.
        exit_code: None until its process has said how it ended.
        lost: Whether its agent has stopped naming it although it has not said how it ended.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    sweep: str | None = None
    exit_code: int | None = None
    lost: bool = False

    @property
    def state(self) -> str:
        """`running`, `finished`, `failed`, or `crashed` if it is gone without a word."""
        if self.exit_code is None:
            return "crashed" if self.lost else "running"
        return "failed" if self.exit_code else "finished"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history, without the keys that wandb adds."""
        rows = [json.loads(line) for line in self.lines.get("wandb-history.jsonl", [])]
        return [{key: value for key, value in row.items() if key[0] != "_"} for row in rows]

    @property
    def summary(self) -> dict[str, Any]:
        """The newest summary."""
        return json.loads(self.lines["wandb-summary.json"][-1])


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a request.

    Attributes:
        where: A part of its path, or the operation of GraphQL.
        status: What it is answered with; None cuts the connection.
        done: Whether it is carried out nevertheless.
    """

    where: str
    status: int | None = None
    done: bool = False


@dataclass
class Sweep:
    """A sweep.

    Attributes:
        project: Its project.
        config: What the user has written.
        jobs: The parameters that agents will get, next one first.
        given: The parameters that agents got: run id → key → value.
    """

    project: str
    config: dict[str, Any]
    jobs: list[dict[str, Any]] = field(default_factory=list)
    given: dict[str, dict[str, Any]] = field(default_factory=dict)


class WandbServer:
    """The server; a context manager that serves in threads while it is entered.

    Attributes:
        url: Where it listens.
        key: The API key that it accepts.
        runs: The runs, by id.
        sweeps: The sweeps, by id.
        views: The saved workspaces, by name.
        faults: What will go wrong, each with the first request that fits.
        refusal: How a key that is not its own is answered.
        requests: What was asked for: method and path, or operation.
        unknown: The requests that it could not answer.
    """

    def __init__(self) -> None:
        self.key = "k" * 40
        self.runs: dict[str, Run] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.faults: list[Fault] = []
        self.refusal = 401
        self.requests: list[str] = []
        self.unknown: list[str] = []
        self._agents: dict[str, tuple[str, str | None]] = {}
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"wandb": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> "WandbServer":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def respond(self, method: str, path: str, body: bytes) -> tuple[int | None, Any]:
        """Answer a request with a status and what is sent back as JSON; without a status, the connection is cut."""
        with self._lock:
            name = _operation(body) if path == "/graphql" else path
            self.requests.append(name)
            fault = next((fault for fault in self.faults if fault.where in name), None)
            if fault is None:
                return self._respond(method, path, body)
            self.faults.remove(fault)
            if fault.done:
                self._respond(method, path, body)
            return fault.status, {"errors": [{"message": "a fault"}]}

    def _respond(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/graphql":
            return self._graphql(json.loads(body))
        if found := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            return 200, self._stream(self.runs[found[1]], json.loads(body))
        if method == "PUT" and (found := re.fullmatch(r"/upload/([^/]+)/(.+)", path)):
            self.runs[found[1]].files[found[2]] = body
            return 200, {}
        return self._cannot(f"{method} {path}")

    def _graphql(self, request: dict[str, Any]) -> tuple[int, Any]:
        operation = _operation(json.dumps(request).encode())
        answer = getattr(self, f"_on_{operation}", None)
        if answer is None:
            return self._cannot(operation)
        return 200, {"data": answer(request.get("variables") or {})}

    def _cannot(self, what: str) -> tuple[int, Any]:
        self.unknown.append(what)
        return 400, {"errors": [{"message": f"the stand-in does not know {what}"}]}

    def _stream(self, run: Run, body: dict[str, Any]) -> dict[str, Any]:
        for name, part in (body.get("files") or {}).items():
            lines, start = run.lines.setdefault(name, []), part["offset"]
            lines[start : start + len(part["content"])] = part["content"]
        if body.get("complete"):
            run.exit_code = body["exitcode"]
        return {"limits": {}}

    # Each operation of GraphQL is a method `_on_<Operation>`, from its variables to its data.

    def _on_Viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        viewer = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": None, "flags": "{}", "teams": {"edges": []}}
        return {"viewer": viewer}

    def _on_GetDefaultEntity(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "1", "entity": ENTITY}}

    def _on_Runs(self, said: dict[str, Any]) -> dict[str, Any]:
        """List the runs of a group, page by page."""
        every = [name for name, run in self.runs.items() if run.fields["project"] == said["project"]]
        if not every or said["entity"] != ENTITY:
            return {"project": None}
        group, start, size = json.loads(said["filters"])["group"], int(said["cursor"] or 0), said["perPage"]
        found = [name for name in every if self.runs[name].fields.get("groupName") == group]
        page = found[start : start + size]
        edges = [{"node": self._node(name), "cursor": str(start + i + 1)} for i, name in enumerate(page)]
        more = {"endCursor": str(start + size), "hasNextPage": start + size < len(found)}
        return {"project": {"runCount": len(found), "runs": {"edges": edges, "pageInfo": more}}}

    def _node(self, name: str) -> dict[str, Any]:
        run = self.runs[name]
        about = {"id": name, "name": name, "displayName": run.fields.get("displayName"), "state": run.state}
        return {**about, "tags": [], "historyLineCount": len(run.rows)}

    def _on_View(self, said: dict[str, Any]) -> dict[str, Any]:
        view = self.views.get(said["viewName"])
        return {"project": {"allViews": {"edges": [{"node": view}] if view else []}}}

    def _on_UpsertView2(self, said: dict[str, Any]) -> dict[str, Any]:
        """Save a workspace: under the id that is said, else as a new one."""
        new = said.get("id") is None
        view = {"id": said.get("id") or f"view{len(self.views)}", **said}
        self.views[said["name"]] = view
        return {"upsertView": {"view": {"id": view["id"], "name": view["name"]}, "inserted": new}}

    def _on_UpsertBucket(self, said: dict[str, Any]) -> dict[str, Any]:
        new = said["name"] not in self.runs
        run = self.runs.setdefault(said["name"], Run())
        run.fields |= {key: value for key, value in said.items() if value is not None}
        run.config |= {key: node["value"] for key, node in json.loads(said["config"] or "{}").items()}
        run.sweep = said["sweep"] or run.sweep
        bucket = {
            "id": said["name"],
            "name": said["name"],
            "displayName": run.fields.get("displayName"),
            "description": None,
            "config": said["config"],
            "sweepName": run.sweep,
            "project": _project(run.fields["project"]),
            "historyLineCount": len(run.rows),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def _on_CreateRunFiles(self, said: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{said['run']}/{name}"} for name in said["files"]]
        return {"createRunFiles": {"runID": said["run"], "uploadHeaders": [], "files": files}}

    def _on_UpsertSweep(self, said: dict[str, Any]) -> dict[str, Any]:
        name = f"sweep{len(self.sweeps)}"
        self.sweeps[name] = Sweep(said["projectName"], yaml.safe_load(said["config"]))
        sweep = {"name": name, "project": _project(said["projectName"])}
        return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}

    def _on_SweepWithRuns(self, said: dict[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps.get(said["sweep"])
        if sweep is None or (said["entity"], said["project"]) != (ENTITY, sweep.project):
            return {"project": None}
        node = {"id": said["sweep"], "name": said["sweep"], "state": "RUNNING", "runs": {"edges": []}}
        return {"project": {"sweep": {**node, "config": yaml.safe_dump(sweep.config)}}}

    def _on_CreateAgent(self, said: dict[str, Any]) -> dict[str, Any]:
        name = f"agent{len(self._agents)}"
        self._agents[name] = said["sweep"], None
        return {"createAgent": {"agent": {"id": name}}}

    def _on_Heartbeat(self, said: dict[str, Any]) -> dict[str, Any]:
        """Give an idle agent the next job; one whose run is gone has lost it."""
        name, (sweep_id, current) = said["id"], self._agents[said["id"]]
        commands: list[dict[str, Any]] = []
        if not (current and json.loads(said["runState"]).get(current)):
            if current:
                self.runs[current].lost = True
            sweep, current = self.sweeps[sweep_id], None
            if sweep.jobs:
                job, current = sweep.jobs.pop(0), f"run{len(self.runs)}"
                sweep.given[current] = job
                self.runs[current] = Run(sweep=sweep_id, fields={"project": sweep.project})
                args = {key: {"value": value} for key, value in job.items()}
                commands = [{"type": "run", "run_id": current, "program": sweep.config["program"], "args": args}]
            else:
                commands = [{"type": "exit"}]
            self._agents[name] = sweep_id, current
        return {"agentHeartbeat": {"agent": {"id": name}, "commands": json.dumps(commands)}}


def _operation(body: bytes) -> str:
    """Return the name of an operation of GraphQL."""
    return re.search(r"\b(?:query|mutation)\s+(\w+)", json.loads(body)["query"])[1]


def _project(name: str) -> dict[str, Any]:
    return {"id": name, "name": name, "entity": {"id": ENTITY, "name": ENTITY}}


class _Handler(BaseHTTPRequestHandler):
    """Pass requests on to the server that it belongs to."""

    wandb: WandbServer
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        key = base64.b64encode(f"api:{self.wandb.key}".encode()).decode()
        if self.command == "PUT" or self.headers.get("Authorization") == f"Basic {key}":  # an upload URL is the key
            status, answer = self.wandb.respond(self.command, self.path, body)
        else:
            status, answer = self.wandb.refusal, {"errors": [{"message": "invalid API key"}]}
        if status is None:
            self.close_connection = True
            return
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _answer

    def handle(self) -> None:
        """Serve a connection; a client that goes away without a farewell is no error."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
