"""A feature pipeline: rows for a model, each made of what four services know of it, asked for in batches.

As many workers as WORKERS take batches one after the other; for each batch the four services are asked at once, and a
row is only whole with the features of all four. Prints how many rows there are, a checksum over all features, and
the time from the first request to the last row.
"""

import asyncio
import json
import os
import time

import aiohttp

SERVICES = {name: os.environ[f"{name.upper()}_URL"] for name in ("profile", "velocity", "device", "graph")}
ROWS, BATCH, WORKERS = (int(os.environ[name]) for name in ("ROWS", "BATCH", "WORKERS"))


async def ask(session, service, rows):
    query = ",".join(map(str, rows))
    async with session.get(f"{SERVICES[service]}/v1/features", params={"rows": query}) as response:
        response.raise_for_status()
        return (await response.json())["rows"]


async def main():
    table = {}
    batches = iter([range(first, first + BATCH) for first in range(0, ROWS, BATCH)])

    async def work(session):
        for rows in batches:
            answers = await asyncio.gather(*(ask(session, service, rows) for service in SERVICES))
            for of_each in zip(rows, *answers):
                row, *parts = of_each
                if any(part["row"] != str(row) for part in parts):
                    raise ValueError(f"row {row} is made of others")
                table[row] = {name: value for part in parts for name, value in part["features"].items()}

    began = time.perf_counter()
    async with aiohttp.ClientSession(trust_env=True) as session:
        await asyncio.gather(*(work(session) for _ in range(WORKERS)))
    seconds = time.perf_counter() - began
    checksum = sum(value for features in table.values() for value in features.values())
    print(json.dumps({"rows": len(table), "features": sum(map(len, table.values())), "checksum": round(checksum, 3), "seconds": seconds}))


asyncio.run(main())
