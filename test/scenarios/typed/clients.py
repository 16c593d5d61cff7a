"""Typed clients of four vendors: every answer has to fit a Pydantic model before anything is done with it.

Argument: requests, httpx or aiohttp. Asks each vendor for assessments and for exports, one JSON object or one per line,
and counts what came of it, by kind. An export may be valid although half of it is missing, which is why its length is
looked at here: a program would not know. Prints {vendor: {kind: count}}.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from typing import List, Literal

import aiohttp
import httpx
import requests
from pydantic import BaseModel, ValidationError, confloat

VENDORS = {
    name: os.environ[f"{name.upper()}_URL"] for name in ("truncating", "chunked", "resetting", "html")
}
PATHS = [f"/v1/{what}?n={n}" for n in range(int(os.environ["CALLS"]) // 2) for what in ("assessments", "export")]
ROWS = 40


class Signal(BaseModel):
    code: str
    weight: confloat(ge=0, le=1)
    description: str


class Assessment(BaseModel):
    id: str
    vendor: str
    score: confloat(ge=0, le=1)
    decision: Literal["approve", "review", "decline"]
    signals: List[Signal]


class Row(BaseModel):
    id: str
    amount: int


def read(path, status, body):
    """The kind of an answer that came without an error of the client."""
    if status != 200:
        try:
            return f'told: {json.loads(body)["error"]}'
        except (ValueError, KeyError):
            return f"status {status}"
    try:
        if "/export" in path:
            rows = [Row.parse_raw(line) for line in body.splitlines()]
            return "ok" if len(rows) == ROWS else "half read"
        Assessment.parse_raw(body)
        return "ok"
    except ValidationError as error:
        # What parse_raw says of a text that is no JSON.
        return "not JSON" if error.errors()[0]["type"] == "value_error.jsondecode" else "wrong shape"


def with_requests(counts):
    with requests.Session() as session:
        for name, url in VENDORS.items():
            for path in PATHS:
                try:
                    response = session.get(url + path, timeout=10)
                    counts[name][read(path, response.status_code, response.text)] += 1
                except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                    counts[name]["cut"] += 1


def with_httpx(counts):
    with httpx.Client(timeout=10) as client:
        for name, url in VENDORS.items():
            for path in PATHS:
                try:
                    response = client.get(url + path)
                    counts[name][read(path, response.status_code, response.text)] += 1
                except (httpx.RemoteProtocolError, httpx.ReadError):
                    counts[name]["cut"] += 1


async def with_aiohttp(counts):
    async def ask(name, path):
        try:
            async with session.get(VENDORS[name] + path) as response:
                counts[name][read(path, response.status, await response.text())] += 1
        except (aiohttp.ClientPayloadError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            counts[name]["cut"] += 1

    async with aiohttp.ClientSession(trust_env=True) as session:
        await asyncio.gather(*(ask(name, path) for name in VENDORS for path in PATHS))


def main(client):
    counts = {name: Counter() for name in VENDORS}
    if client == "aiohttp":
        asyncio.run(with_aiohttp(counts))
    else:
        {"requests": with_requests, "httpx": with_httpx}[client](counts)
    print(json.dumps(counts))


main(sys.argv[1])
