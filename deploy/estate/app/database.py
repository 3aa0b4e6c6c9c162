"""The backend's way to PostgreSQL: a small pool as a real service has, and the sessions that a leak leaves behind."""
import contextlib
import queue
import sys
import threading
import time

import psycopg2

import settings


def connect(application_name):
    """One session of the application's login, named so that it can be told apart in `pg_stat_activity`."""
    session = psycopg2.connect(settings.DATABASE_URL, application_name=application_name, connect_timeout=3)
    session.autocommit = True
    return session


class Pool:
    """At most `size` sessions, opened when first needed, replaced when found dead."""

    def __init__(self, size):
        self._free = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)

    @contextlib.contextmanager
    def session(self):
        held = self._free.get(timeout=10)
        try:
            if held is None or held.closed:
                held = connect("backend")
            yield held
        except psycopg2.OperationalError:
            if held is not None:
                held.close()
            held = None
            raise
        finally:
            self._free.put(held)

    def rows(self, statement, arguments=()):
        """Run one statement; a session that was ended while it lay in the pool is replaced once."""
        for attempt in (1, 2):
            try:
                with self.session() as session, session.cursor() as cursor:
                    cursor.execute(statement, arguments)
                    return cursor.fetchall() if cursor.description else []
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                if attempt == 2:
                    raise


class Leak:
    """Sessions that are opened and forgotten. With `refill`, those that get ended are opened again: a cure that does not last."""

    def __init__(self, in_transaction):
        self._in_transaction = in_transaction
        self._sessions = []
        self._refilling = threading.Event()

    def _open(self):
        session = connect("backend")
        if self._in_transaction:
            session.autocommit = False
            with session.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM test_cases")
        return session

    def on(self, n, refill):
        self.off()
        for _ in range(n):
            try:
                self._sessions.append(self._open())
            except psycopg2.OperationalError as refused:
                # No slot is left: the leak has all there were, which is what a large n asks for.
                print(f"ERROR database: {refused}".strip(), file=sys.stderr)
                break
        if refill:
            self._refilling.set()
            threading.Thread(target=self._refill, daemon=True).start()

    def _refill(self):
        while self._refilling.is_set():
            for place, session in enumerate(self._sessions):
                if not self._alive(session):
                    with contextlib.suppress(psycopg2.Error):
                        self._sessions[place] = self._open()
            time.sleep(1)

    @staticmethod
    def _alive(session):
        # poll() reads what the server has sent, a farewell included, without running a statement.
        with contextlib.suppress(psycopg2.Error):
            session.poll()
        return not session.closed

    def off(self):
        self._refilling.clear()
        for session in self._sessions:
            with contextlib.suppress(psycopg2.Error):
                session.close()
        self._sessions = []
