"""httpx as an application uses it, and not a word about the proxy. Arguments: URLs."""

import json
import sys

import httpx

told = []
with httpx.Client(timeout=60) as client:
    for url in sys.argv[1:]:
        response = client.get(url)
        told.append([response.status_code, response.text, response.headers.get("X-Request-Id")])
print(json.dumps(told))
