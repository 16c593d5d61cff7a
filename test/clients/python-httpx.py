"""httpx as an application uses it, and not a word about the proxy. Arguments: URL, bytes."""

import hashlib
import json
import sys

import httpx

url, size = sys.argv[1], int(sys.argv[2])
PIECE = bytes(range(256)) * 256


def pieces():
    left = size
    while left > 0:
        yield PIECE[:left]
        left -= len(PIECE)


told = {}
with httpx.Client(timeout=60) as client:
    response = client.get(url + "/hello")
    told["get"] = [response.status_code, response.text, response.headers["X-Request-Id"]]
    response = client.post(url + "/post", content=b"a=b")
    told["post"] = [response.status_code, response.json(), response.headers["X-Request-Id"]]
    digest, count = hashlib.sha256(), 0
    with client.stream("GET", f"{url}/bytes/{size}") as response:
        for chunk in response.iter_bytes(65536):
            digest.update(chunk)
            count += len(chunk)
    told["download"] = [count, digest.hexdigest()]
    told["upload"] = client.post(url + "/upload", content=pieces()).json()
print(json.dumps(told))
