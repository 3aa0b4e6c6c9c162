"""Memory, CPU and health of this project's containers under cAdvisor's metric names: names and health from the Engine, numbers
from control groups.

cAdvisor is not in Debian; the alert rules written for it should hold here unchanged. Only what they read is exported:
working set (usage less inactive file cache, as cAdvisor computes it), memory limit (0 = none), CPU seconds, CPU quota, and the
verdict of the health check (1 healthy, 0 unhealthy). The Engine's own statistics would do, but take up to a second per container,
longer than a drill's scrape may. It looks only at containers of the Compose project named by COMPOSE_PROJECT, or of every project
when that is empty.
"""
import http.client
import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
CONTROL_GROUPS = os.environ.get("CONTROL_GROUPS", "/host/cgroup")


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


def number(path):
    """The one number in a control file; `max` and what is not there are 0."""
    try:
        with open(path) as file:
            text = file.read().strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def field(path, name):
    """One line `name number` of a statistics file."""
    with open(path) as file:
        for line in file:
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0


FOUND = {}


def control_group(controller, container):
    """The container's folder below a controller, wherever the Engine's driver puts it. Found once, then remembered."""
    known = FOUND.get((controller, container))
    if known and os.path.isdir(known):
        return known
    root = os.path.join(CONTROL_GROUPS, controller)
    for place in (f"docker/{container}", f"system.slice/docker-{container}.scope"):
        if os.path.isdir(os.path.join(root, place)):
            break
    else:
        place = next((os.path.relpath(folder, root) for folder, _, _ in os.walk(root) if container in folder), None)
        if place is None:
            raise OSError(f"no control group of {container}")
    FOUND[(controller, container)] = os.path.join(root, place)
    return FOUND[(controller, container)]


def measure(container):
    """(working set, limit, CPU seconds, quota and period in microseconds), from control groups of version 1 or 2."""
    if os.path.isdir(os.path.join(CONTROL_GROUPS, "memory")):
        memory, cpu = control_group("memory", container), control_group("cpuacct", container)
        usage = number(f"{memory}/memory.usage_in_bytes")
        cache = field(f"{memory}/memory.stat", "total_inactive_file")
        limit = number(f"{memory}/memory.limit_in_bytes")
        seconds = number(f"{cpu}/cpuacct.usage") / 1e9
        schedule = control_group("cpu", container)
        quota, period = number(f"{schedule}/cpu.cfs_quota_us"), number(f"{schedule}/cpu.cfs_period_us")
    else:
        folder = control_group("", container)
        usage = number(f"{folder}/memory.current")
        cache = field(f"{folder}/memory.stat", "inactive_file")
        limit = number(f"{folder}/memory.max")
        seconds = field(f"{folder}/cpu.stat", "usage_usec") / 1e6
        with open(f"{folder}/cpu.max") as file:
            quota, period = (int(word) if word.isdigit() else 0 for word in file.read().split())
    # Without a limit version 1 shows the largest number of pages there is.
    return max(usage - cache, 0), limit if limit < 1 << 60 else 0, seconds, quota, period


def health(container):
    """The health check's verdict, from the words of the list. None where there is no check, and while it is not decided yet."""
    return next((value for word, value in (("(healthy)", 1), ("(unhealthy)", 0)) if word in container["Status"]), None)


def render():
    engine = Engine()
    try:
        listed = containers(engine)
    finally:
        engine.close()
    rows = {"memory": [], "limit": [], "cpu": [], "quota": [], "period": [], "health": []}
    for container in listed:
        try:
            working_set, limit, seconds, quota, period = measure(container["Id"])
        except OSError:
            continue  # it ended between the list and the look
        labels = "{id=%s,image=%s,name=%s,container_label_com_docker_compose_project=%s,container_label_com_docker_compose_service=%s}" % (
            quoted("/docker/" + container["Id"]),
            quoted(container["Image"]),
            quoted(container["Names"][0].lstrip("/")),
            quoted(container["Labels"].get(PROJECT_LABEL, "")),
            quoted(container["Labels"].get(SERVICE_LABEL, "")),
        )
        rows["memory"].append(f"container_memory_working_set_bytes{labels} {working_set}")
        rows["limit"].append(f"container_spec_memory_limit_bytes{labels} {limit}")
        rows["cpu"].append(f"container_cpu_usage_seconds_total{labels} {seconds}")
        if quota:  # cAdvisor shows these two only where there is a quota
            rows["quota"].append(f"container_spec_cpu_quota{labels} {quota}")
            rows["period"].append(f"container_spec_cpu_period{labels} {period}")
        if health(container) is not None:
            rows["health"].append(f"container_health_state{labels} {health(container)}")
    return "\n".join(
        ["# TYPE container_memory_working_set_bytes gauge", *rows["memory"]]
        + ["# TYPE container_spec_memory_limit_bytes gauge", *rows["limit"]]
        + ["# TYPE container_cpu_usage_seconds_total counter", *rows["cpu"]]
        + ["# TYPE container_spec_cpu_quota gauge", *rows["quota"]]
        + ["# TYPE container_spec_cpu_period gauge", *rows["period"]]
        + ["# TYPE container_health_state gauge", *rows["health"], ""]
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
