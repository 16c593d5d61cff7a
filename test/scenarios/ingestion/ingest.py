"""Ingests the records of five REST APIs, page by page, all pages at once: 1,000 gathers.

Argument: naive, which is how such a tool is first written: no semaphore, no retry, every answer taken for granted.
Or careful, the same after a month of operation: a semaphore for each API (PERMITS, as name=number pairs), and a retry
with backoff that minds Retry-After. Prints how many records came, how many pages did not, and how long it took.
"""

import asyncio
import json
import os
import random
import sys
import time

import aiohttp

APIS = {name: os.environ[f"{name.upper()}_URL"] for name in ("orders", "customers", "payments", "invoices", "shipments")}
PAGE = 50
ATTEMPTS = 6


class Naive:
    def __init__(self, session):
        self.session = session

    async def fetch(self, api, page):
        async with self.session.get(f"{APIS[api]}/v1/records", params={"page": page, "size": PAGE}) as response:
            response.raise_for_status()
            return await response.json()


class Careful(Naive):
    def __init__(self, session):
        super().__init__(session)
        pairs = (pair.split("=") for pair in os.environ["PERMITS"].split(","))
        self.permits = {api: asyncio.Semaphore(int(number)) for api, number in pairs}

    async def fetch(self, api, page):
        async with self.permits[api]:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return await super().fetch(api, page)
                except aiohttp.ClientResponseError as error:
                    if attempt == ATTEMPTS or error.status not in (429, 502, 503, 504):
                        raise
                    least = float(error.headers.get("Retry-After", 0))
                except aiohttp.ClientConnectionError:
                    if attempt == ATTEMPTS:
                        raise
                    least = 0
                await asyncio.sleep(least + random.uniform(0, 0.1 * 2**attempt))


async def main(tool):
    began = time.perf_counter()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None), trust_env=True
    ) as session:
        fetch = tool(session).fetch
        firsts = dict(zip(APIS, await asyncio.gather(*(fetch(api, 1) for api in APIS))))
        rest = [(api, page) for api, first in firsts.items() for page in range(2, first["total"] // PAGE + 1)]
        answers = await asyncio.gather(*(fetch(api, page) for api, page in rest), return_exceptions=True)
    seconds = time.perf_counter() - began
    records = {item["id"] for first in firsts.values() for item in first["items"]}
    failures = {}
    for answer in answers:
        if isinstance(answer, BaseException):
            kind = str(getattr(answer, "status", type(answer).__name__))
            failures[kind] = failures.get(kind, 0) + 1
        else:
            records.update(item["id"] for item in answer["items"])
    print(json.dumps({"gathers": len(rest), "records": len(records), "failures": failures, "seconds": seconds}))


asyncio.run(main({"naive": Naive, "careful": Careful}[sys.argv[1]]))
