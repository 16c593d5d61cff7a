"""aiohttp as an application uses it: trust_env, and not a word about the proxy. Arguments: URL, bytes."""

import asyncio
import hashlib
import json
import sys

import aiohttp

url, size = sys.argv[1], int(sys.argv[2])
PIECE = bytes(range(256)) * 256


async def pieces():
    left = size
    while left > 0:
        yield PIECE[:left]
        left -= len(PIECE)


async def main():
    told = {}
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get(url + "/hello") as response:
            told["get"] = [response.status, await response.text(), response.headers["X-Request-Id"]]
        async with session.post(url + "/post", data=b"a=b") as response:
            told["post"] = [response.status, await response.json(), response.headers["X-Request-Id"]]
        digest, count = hashlib.sha256(), 0
        async with session.get(f"{url}/bytes/{size}") as response:
            async for chunk in response.content.iter_chunked(65536):
                digest.update(chunk)
                count += len(chunk)
        told["download"] = [count, digest.hexdigest()]
        async with session.post(url + "/upload", data=pieces()) as response:
            told["upload"] = await response.json()
    print(json.dumps(told))


asyncio.run(main())
