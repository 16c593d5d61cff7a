"""
Jobs through a vendor: a queue in SQLite (persist-queue), workers that are threads, and requests, which takes
its proxy from the environment.

Each job is one POST, with the name of the job as its Idempotency-Key. What fails is not tried again by the
worker: the queue delivers it once more, at most so many times, and then it is dead, as such queues are
configured. A job counts as done if the vendor said 200 and its receipt could be read.

Arguments: URL, jobs, workers, deliveries, folder of the queue. Prints its figures as one JSON object.
"""

import json
import sys
import threading
import time
from collections import Counter

import requests
from persistqueue import Empty, SQLiteAckQueue

URL, FOLDER = sys.argv[1], sys.argv[5]
JOBS, WORKERS, DELIVERIES = (int(number) for number in sys.argv[2:5])
POLL_S = 0.05


class Queue(SQLiteAckQueue):
    """Synchronous as SQLite recommends it with a write-ahead log: a crash of the program loses nothing."""

    def _new_db_connection(self, *args):
        connection = super()._new_db_connection(*args)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection


queue = Queue(FOLDER, multithreading=True)
finished = threading.Event()
lock = threading.Lock()
done, dead, failures = [], [], Counter()
deliveries = 0


def work(session, job):
    """The vendor's receipt, or an exception."""
    answer = session.post(URL, json={"job": job["name"]}, headers={"Idempotency-Key": job["name"]})
    answer.raise_for_status()
    return answer.json()["id"]


def worker():
    global deliveries
    session = requests.Session()
    while not finished.is_set():
        try:
            job = queue.get(timeout=POLL_S)
        except Empty:
            continue
        try:
            work(session, job)
            failure = None
        except Exception as error:
            response = getattr(error, "response", None)
            failure = type(error).__name__ if response is None else str(response.status_code)
        again = failure is not None and job["delivery"] < DELIVERIES
        # First the new place in the queue, then the old one is given up: a crash between them repeats, and loses nothing.
        if again:
            queue.put({**job, "delivery": job["delivery"] + 1})
        if failure is None:
            queue.ack(job)
        else:
            queue.ack_failed(job)
        with lock:
            deliveries += 1
            if failure is None:
                done.append(job["name"])
            else:
                failures[failure] += 1
                if not again:
                    dead.append(job["name"])
            if len(done) + len(dead) == JOBS:
                finished.set()


for n in range(JOBS):
    queue.put({"name": f"job-{n}", "delivery": 1})
began = time.monotonic()
threads = [threading.Thread(target=worker, daemon=True) for _ in range(WORKERS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(
    json.dumps(
        {
            "seconds": time.monotonic() - began,
            "done": done,
            "dead": dead,
            "deliveries": deliveries,
            "failures": failures,
        }
    )
)
