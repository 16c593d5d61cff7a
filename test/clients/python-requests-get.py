"""requests as an application uses it, and not a word about the proxy. Arguments: URLs."""

import json
import sys

import requests

told = []
with requests.Session() as session:
    for url in sys.argv[1:]:
        response = session.get(url)
        told.append([response.status_code, response.text, response.headers.get("X-Request-Id")])
print(json.dumps(told))
