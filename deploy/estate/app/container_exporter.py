"""Memory and CPU of this project's containers under cAdvisor's metric names, from the Docker Engine's own statistics.

cAdvisor is not in Debian; the alert rules written for it should hold here unchanged. Only what they read is exported:
working set (usage less inactive file cache, as cAdvisor computes it), memory limit (0 = none) and CPU seconds.
It looks only at containers of the Compose project named by COMPOSE_PROJECT, or of every project when that is empty.
"""
import http.client
import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"


class Engine(http.client.HTTPConnection):
    """One connection to the Engine's socket, for one scrape."""

    def __init__(self):
        super().__init__("localhost", timeout=5)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.environ.get("ENGINE_SOCKET", "/run/engine.sock"))

    def get(self, path):
        self.request("GET", f"/v1.41{path}")
        answer = self.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError(f"the Engine answered {answer.status} to {path}")
        return json.loads(body)


def containers(engine):
    wanted = os.environ.get("COMPOSE_PROJECT", "")
    label = f"{PROJECT_LABEL}={wanted}" if wanted else PROJECT_LABEL
    return engine.get("/containers/json?filters=" + quote(json.dumps({"label": [label], "status": ["running"]})))


def quoted(value):
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def render():
    engine = Engine()
    try:
        return measure(engine)
    finally:
        engine.close()


def measure(engine):
    host_memory = engine.get("/info")["MemTotal"]
    rows = {"memory": [], "limit": [], "cpu": []}
    for container in containers(engine):
        try:
            stats = engine.get(f"/containers/{container['Id']}/stats?stream=false&one-shot=true")
        except OSError:
            continue  # it ended between the list and the look
        memory = stats.get("memory_stats", {})
        if "usage" not in memory:
            continue
        detail = memory.get("stats", {})
        cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
        limit = memory.get("limit", 0)
        labels = "{id=%s,image=%s,name=%s,container_label_com_docker_compose_project=%s,container_label_com_docker_compose_service=%s}" % (
            quoted("/docker/" + container["Id"]),
            quoted(container["Image"]),
            quoted(container["Names"][0].lstrip("/")),
            quoted(container["Labels"].get(PROJECT_LABEL, "")),
            quoted(container["Labels"].get(SERVICE_LABEL, "")),
        )
        rows["memory"].append(f"container_memory_working_set_bytes{labels} {max(memory['usage'] - cache, 0)}")
        rows["limit"].append(f"container_spec_memory_limit_bytes{labels} {0 if limit >= host_memory else limit}")
        rows["cpu"].append(f"container_cpu_usage_seconds_total{labels} {stats['cpu_stats']['cpu_usage']['total_usage'] / 1e9}")
    return "\n".join(
        ["# TYPE container_memory_working_set_bytes gauge", *rows["memory"]]
        + ["# TYPE container_spec_memory_limit_bytes gauge", *rows["limit"]]
        + ["# TYPE container_cpu_usage_seconds_total counter", *rows["cpu"], ""]
    ).encode()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, body = 200, render()
        except (OSError, ValueError, KeyError, http.client.HTTPException) as failed:
            status, body = 500, f"{type(failed).__name__}: {failed}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Silent: one line per scrape tells nobody anything."""


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), Answer).serve_forever()
