"""aiohttp as an application uses it: trust_env, and not a word about the proxy. Arguments: URLs."""

import asyncio
import json
import sys

import aiohttp


async def main():
    told = []
    async with aiohttp.ClientSession(trust_env=True) as session:
        for url in sys.argv[1:]:
            async with session.get(url) as response:
                told.append([response.status, await response.text(), response.headers.get("X-Request-Id")])
    print(json.dumps(told))


asyncio.run(main())
