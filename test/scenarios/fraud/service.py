"""The fraud service of the incident: scores a payment by what five vendors say of it.

Its HTTP client is set up as it was then: one session, 20 connections for all vendors together, no timeout
anywhere, and HTTP_PROXY from the environment. A vendor that gives no answer is left out of the score.

It binds a port of its own, prints {"port":N}, and also tells what it saw of each call: GET /calls.
"""

import asyncio
import json
import os
import socket
import time

import aiohttp
import uvicorn
from fastapi import FastAPI

VENDORS = {
    name: os.environ[name.upper() + "_URL"] for name in ("device", "identity", "network", "email", "sanctions")
}

app = FastAPI()
calls = []


@app.on_event("startup")
async def start():
    app.state.session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=20),
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=True,
    )


@app.on_event("shutdown")
async def stop():
    await app.state.session.close()


async def ask(name, payment):
    call = {"vendor": name, "at": time.time() * 1000, "ms": None, "outcome": None}
    calls.append(call)
    began = time.perf_counter()
    try:
        async with app.state.session.get(f"{VENDORS[name]}/v1/score", params={"payment": payment}) as response:
            if response.status != 200:
                call["outcome"] = f"status {response.status}"
                return None
            score = (await response.json())["score"]
            call["outcome"] = "ok"
            return score
    except (aiohttp.ClientError, ValueError) as error:
        call["outcome"] = type(error).__name__
        return None
    finally:
        call["ms"] = (time.perf_counter() - began) * 1000


@app.get("/score")
async def score(payment: str):
    scores = dict(zip(VENDORS, await asyncio.gather(*(ask(name, payment) for name in VENDORS))))
    given = [value for value in scores.values() if value is not None]
    return {
        "score": sum(given) / len(given) if given else 1.0,
        "missing": [name for name, value in scores.items() if value is None],
    }


@app.get("/calls")
async def seen():
    return calls


if __name__ == "__main__":
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
