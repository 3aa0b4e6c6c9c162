"""The backend of the sample estate: a small FastAPI service that can be broken over HTTP.

It serves what the real one serves (`/health`, `/metrics`, `/docs`, `/api/v1/test-cases/`, `POST /api/v1/auth/login`), counts
test executions, and keeps a little traffic going against itself so that its rates are never empty. Its faults stand on a
port of their own (see `faults.py`). It deliberately has no users, no tokens and no real tests.
"""
import asyncio
import random
import subprocess
import sys
import threading
import time
import urllib.request

import redis
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel

import settings
from database import Leak, Pool, connect
from faults import Faults

app = FastAPI(title="voiceai backend (sample)")
pool = Pool(settings.POOL_SIZE)
cache = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
faults = Faults()

REQUESTS = Counter("http_requests", "Requests by outcome", ["method", "path", "status"])
LATENCY = Histogram(
    "api_response_time_seconds", "Time to answer a request", buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 7.5, 10, 30)
)
EXECUTIONS = Counter("test_executions", "Test executions by outcome", ["status"])
POOL_SIZE = Gauge("database_pool_size", "Sessions that the pool may open")
POOL_SIZE.set(settings.POOL_SIZE)


class State:
    """What the faults switch and the request path reads."""

    errors_share = 0.0
    slow_seconds = 0.0
    hanging = False
    unhealthy = False
    success_share = 0.995
    ballast = []
    burners = []
    slow_query = threading.Event()


class Credentials(BaseModel):
    email: str
    password: str


@app.middleware("http")
async def measured(request: Request, call_next):
    """Time and count each request of the API, and let the faults in."""
    while State.hanging:
        time.sleep(0.1)  # blocks the event loop on purpose: the port accepts and nobody answers
    if not request.url.path.startswith("/api/"):
        return await call_next(request)
    started = time.monotonic()
    if State.slow_seconds:
        await asyncio.sleep(State.slow_seconds)
    if random.random() < State.errors_share:
        response = JSONResponse({"detail": "internal error"}, status_code=500)
    else:
        try:
            response = await call_next(request)
        except Exception as failed:
            print(f"ERROR {request.method} {request.url.path}: {type(failed).__name__}: {failed}".strip(), file=sys.stderr)
            response = JSONResponse({"detail": "internal error"}, status_code=500)
    LATENCY.observe(time.monotonic() - started)
    REQUESTS.labels(request.method, request.url.path, str(response.status_code)).inc()
    return response


@app.get("/health")
async def health():
    """Alive, and nothing more: a health check that fails with its database would have healthy backends restarted."""
    if State.unhealthy:
        return JSONResponse({"status": "broken"}, status_code=500)
    return {"status": "ok"}


@app.get("/metrics")
async def metrics():
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@app.get("/api/v1/test-cases/")
def test_cases(limit: int = 20):
    rows = pool.rows("SELECT id, name, status FROM test_cases ORDER BY id LIMIT %s", (min(limit, 100),))
    return [{"id": row[0], "name": row[1], "status": row[2]} for row in rows]


@app.post("/api/v1/auth/login")
def login(who: Credentials):
    """Any password will do; the session lands in Redis like those of the real service."""
    token = f"{random.getrandbits(64):016x}"
    try:
        cache.set(f"session:{token}", who.email, ex=60)
    except redis.RedisError as failed:
        print(f"ERROR session store: {type(failed).__name__}: {failed}", file=sys.stderr)
        return JSONResponse({"detail": "session store unavailable"}, status_code=503)
    return {"access_token": token, "token_type": "bearer"}


def traffic(pause):
    """Ask our own port over and over, so that rates and quantiles have something to work on."""
    turn = 0
    while True:
        turn += 1
        url = "http://127.0.0.1:8000/api/v1/test-cases/?limit=5"
        body = None
        if turn % 4 == 0:
            url, body = "http://127.0.0.1:8000/api/v1/auth/login", b'{"email":"test@example.com","password":"password"}'
        try:
            request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=15).read()
        except OSError:
            pass  # the answer is counted where it is given
        time.sleep(pause)


def executions():
    """Pretend to run tests, ten a second, and count how they end."""
    while True:
        EXECUTIONS.labels("success" if random.random() < State.success_share else "failure").inc()
        time.sleep(0.1)


def set_state(name):
    return lambda value: setattr(State, name, value)


def leak_memory(mb):
    for _ in range(mb):
        State.ballast.append(bytearray(random.randbytes(1024)) * 1024)


def burn(processes):
    stop_burning()
    State.burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]


def stop_burning():
    for burner in State.burners:
        burner.kill()
        burner.wait()
    State.burners = []


def query_slowly(seconds):
    State.slow_query.set()

    def ask():
        session = connect("backend")
        # Touches each row and takes its time about it, like a sequential scan of something much larger.
        statement = "SELECT count(*) FROM test_cases WHERE status = 'active' AND pg_sleep(%s) IS NOT NULL"
        with session.cursor() as cursor:
            cursor.execute("SELECT greatest(count(*), 1) FROM test_cases WHERE status = 'active'")
            rows = cursor.fetchone()[0]
            while State.slow_query.is_set():
                cursor.execute(statement, (seconds / rows,))
        session.close()

    threading.Thread(target=ask, daemon=True, name="slow-query").start()


idle, in_transaction = Leak(in_transaction=False), Leak(in_transaction=True)
faults.add("leak-idle", "open n sessions and leave them idle; refill=1 opens ended ones again", idle.on, idle.off, n=30, refill=0)
faults.add(
    "leak-idle-in-transaction", "the same, each inside a transaction", in_transaction.on, in_transaction.off, n=30, refill=0
)
faults.add(
    "errors-500", "answer 500 to a share of API requests",
    lambda share: set_state("errors_share")(share), lambda: set_state("errors_share")(0.0), share=1.0,
)
faults.add("leak-memory", "keep this many MiB for ever", leak_memory, State.ballast.clear, mb=180)
faults.add(
    "slow", "take this long over each API request",
    lambda seconds: set_state("slow_seconds")(seconds), lambda: set_state("slow_seconds")(0.0), seconds=6.0,
)
faults.add(
    "hang", "stop answering on the main port, health check included",
    lambda: set_state("hanging")(True), lambda: set_state("hanging")(False),
)
faults.add(
    "unhealthy", "fail the health check; the API goes on",
    lambda: set_state("unhealthy")(True), lambda: set_state("unhealthy")(False),
)
faults.add("burn-cpu", "run this many busy processes", burn, stop_burning, processes=2)
faults.add(
    "low-success", "let only this share of test executions succeed",
    lambda share: set_state("success_share")(share), lambda: set_state("success_share")(0.995), share=0.5,
)
faults.add("slow-query", "run a query of this many seconds again and again", query_slowly, State.slow_query.clear, seconds=5.0)


@app.on_event("startup")
def started():
    faults.serve(settings.FAULTS_PORT)
    for _ in range(4):
        threading.Thread(target=traffic, args=(1.0,), daemon=True, name="traffic").start()
    threading.Thread(target=executions, daemon=True, name="executions").start()
