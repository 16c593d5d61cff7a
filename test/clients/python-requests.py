"""requests as an application uses it, and not a word about the proxy. Arguments: URL, bytes."""

import hashlib
import json
import sys

import requests

url, size = sys.argv[1], int(sys.argv[2])
PIECE = bytes(range(256)) * 256


def pieces():
    left = size
    while left > 0:
        yield PIECE[:left]
        left -= len(PIECE)


told = {}
with requests.Session() as session:
    response = session.get(url + "/hello")
    told["get"] = [response.status_code, response.text, response.headers["X-Request-Id"]]
    response = session.post(url + "/post", data=b"a=b")
    told["post"] = [response.status_code, response.json(), response.headers["X-Request-Id"]]
    digest, count = hashlib.sha256(), 0
    with session.get(f"{url}/bytes/{size}", stream=True) as response:
        for chunk in response.iter_content(65536):
            digest.update(chunk)
            count += len(chunk)
    told["download"] = [count, digest.hexdigest()]
    told["upload"] = session.post(url + "/upload", data=pieces()).json()
print(json.dumps(told))
