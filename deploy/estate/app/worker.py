"""The Celery application of the sample estate: worker and beat, with faults that a worker can really have.

Run as `celery -A worker worker --concurrency=4` and `celery -A worker beat`. The faults' switches live in memory that the
parent shares with its forked children, so the parent keeps answering pings while its children hang, which is the trap that
`celery inspect ping` walks into. A clone of the worker starts without faults.
"""
import multiprocessing
import os
import time

from celery import Celery
from celery.signals import task_failure, task_success, worker_init
from kombu import Queue

import settings
from faults import Faults

app = Celery("worker", broker=settings.BROKER_URL, backend=settings.REDIS_URL)
app.conf.update(
    task_default_queue="celery",
    task_queues=[Queue("celery", durable=True)],
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=4,
    result_expires=300,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_send_task_events=False,
    # A dead connection is noticed within 20 s, on both sides.
    broker_heartbeat=10,
    beat_schedule={"heartbeat": {"task": "worker.execute", "schedule": 1.0, "options": {"expires": 30}}},
)

SLOW_SECONDS = multiprocessing.Value("d", 0.0)
HUNG = multiprocessing.Value("b", 0)
POISONED = multiprocessing.Value("b", 0)
PUBLISHING = multiprocessing.Value("b", 0)
FAILING_SHARE = multiprocessing.Value("d", 0.0)
SUCCEEDED = multiprocessing.Value("L", 0)
FAILED = multiprocessing.Value("L", 0)


TELLERS = []


def tell():
    """Publish and wait until the broker has it: under a memory or disk alarm, until that is over. One connection a child."""
    if not TELLERS:
        TELLERS.append(app.connection_for_write(transport_options={"confirm_publish": True}).Producer())
    try:
        # No queue goes by this key, so the broker confirms the message and drops it.
        TELLERS[0].publish({}, exchange="", routing_key="nobody")
    except Exception:
        TELLERS.clear()
        raise


@app.task(name="worker.execute")
def execute():
    """One piece of work: waits as long as the faults say, in small bites, so that a mend is felt at once."""
    started = time.monotonic()
    while HUNG.value or time.monotonic() - started < SLOW_SECONDS.value:
        time.sleep(0.1)
    if PUBLISHING.value:
        tell()
    # The count decides instead of dice, and spreads the share evenly: half of the tasks is every second one.
    count, share = SUCCEEDED.value + FAILED.value, FAILING_SHARE.value
    if int((count + 1) * share) > int(count * share):
        raise RuntimeError("the task was told to fail")


@app.task(name="worker.poison")
def poison():
    """Kills the child that runs it. With late acknowledgement the broker hands it out again, for as long as it is on."""
    if POISONED.value:
        with FAILED.get_lock():
            FAILED.value += 1
        os._exit(1)



@task_success.connect
def count_success(**_):
    with SUCCEEDED.get_lock():
        SUCCEEDED.value += 1


@task_failure.connect
def count_failure(**_):
    with FAILED.get_lock():
        FAILED.value += 1


def metrics():
    """Rendered by hand: the counters live in shared memory, which the client library's own registry does not know."""
    return (
        "# HELP celery_tasks_total Tasks finished by this worker, by outcome.\n"
        "# TYPE celery_tasks_total counter\n"
        f'celery_tasks_total{{state="success"}} {SUCCEEDED.value}\n'
        f'celery_tasks_total{{state="failure"}} {FAILED.value}\n'
    ).encode()


def put(value, wanted):
    with value.get_lock():
        value.value = wanted


def poison_on(messages):
    put(POISONED, 1)
    for _ in range(messages):
        poison.apply_async()


@worker_init.connect
def worker_started(**_):
    faults = Faults()
    faults.add("slow", "take this long over each task", lambda seconds: put(SLOW_SECONDS, seconds), lambda: put(SLOW_SECONDS, 0.0), seconds=5.0)
    faults.add("hung", "children hang in their task while the parent answers", lambda: put(HUNG, 1), lambda: put(HUNG, 0))
    faults.add("publishing", "each task sends a message and waits for the broker's word", lambda: put(PUBLISHING, 1), lambda: put(PUBLISHING, 0))
    faults.add(
        "failing", "this share of tasks raises", lambda share: put(FAILING_SHARE, share), lambda: put(FAILING_SHARE, 0.0), share=0.5
    )
    faults.add("poison", "send messages that kill the child which takes them", poison_on, lambda: put(POISONED, 0), messages=1)
    faults.serve(settings.FAULTS_PORT, metrics)
