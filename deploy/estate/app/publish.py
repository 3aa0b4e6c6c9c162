"""Put N tasks on the queue and exit: `python3 publish.py 1500`. The way a backlog is made for a drill."""
import sys

from worker import app, execute

if __name__ == "__main__":
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(int(sys.argv[1])):
            execute.apply_async(producer=producer)
