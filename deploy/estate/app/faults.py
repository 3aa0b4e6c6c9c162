"""Faults that are switched over HTTP, on a port of their own, so that a process can be broken and mended from outside.

`GET /faults` lists them with their state; `POST /faults/NAME/on?key=value` and `POST /faults/NAME/off` switch them.
The server runs in a thread with plain sockets: it keeps answering while the application's own port is made to hang.
A fault lives in memory only. A restarted process is a healthy one, as it would be after the real thing.
"""
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class Faults:
    """A table of named faults: what each does when switched on and off, and whether it is on."""

    def __init__(self):
        self._table = {}
        self._lock = threading.Lock()

    def add(self, name, help_text, on, off, **defaults):
        """`on` gets the numbers from the query (or `defaults`); `off` gets nothing."""
        self._table[name] = {"help": help_text, "on": on, "off": off, "defaults": defaults, "active": False, "with": {}}

    def switch(self, name, state, query):
        """Switch one fault; raises KeyError for an unknown name or parameter, ValueError for what is not a number."""
        fault = self._table[name]
        given = dict(fault["defaults"])
        for key, value in query.items():
            if key not in given:
                raise KeyError(f"{name} takes {sorted(given)}, not {key}")
            given[key] = type(given[key])(value)
        with self._lock:
            if state == "on":
                fault["on"](**given)
            else:
                fault["off"]()
            fault["active"] = state == "on"
            fault["with"] = given if state == "on" else {}
        return {"fault": name, "active": fault["active"], "with": fault["with"]}

    def list(self):
        return [
            {"fault": name, "active": f["active"], "with": f["with"], "defaults": f["defaults"], "help": f["help"]}
            for name, f in self._table.items()
        ]

    def serve(self, port, metrics=None):
        """Answer on `port` from a daemon thread. `metrics`, when given, renders the body of `GET /metrics`."""
        faults = self

        class Answer(BaseHTTPRequestHandler):
            def reply(self, status, body, kind="application/json"):
                data = body if isinstance(body, bytes) else (json.dumps(body) + "\n").encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                if self.path == "/faults":
                    self.reply(200, faults.list())
                elif self.path == "/metrics" and metrics is not None:
                    self.reply(200, metrics(), "text/plain; version=0.0.4")
                else:
                    self.reply(404, {"error": "GET /faults lists what there is"})

            def do_POST(self):
                url = urlsplit(self.path)
                parts = url.path.strip("/").split("/")
                if len(parts) != 3 or parts[0] != "faults" or parts[2] not in ("on", "off"):
                    self.reply(404, {"error": "POST /faults/NAME/on?key=value or /faults/NAME/off"})
                    return
                try:
                    self.reply(200, faults.switch(parts[1], parts[2], dict(parse_qsl(url.query))))
                except (KeyError, ValueError) as wrong:
                    self.reply(400, {"error": str(wrong)})
                except Exception as failed:  # the caller sees what went wrong instead of an empty answer
                    self.reply(500, {"error": f"{type(failed).__name__}: {failed}"})

            def log_message(self, *_):
                """Silent: the application's log is evidence, a scrape a second is not."""

        server = ThreadingHTTPServer(("0.0.0.0", port), Answer)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True, name="faults").start()
