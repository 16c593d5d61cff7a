// net/http as an application uses it, and not a word about the proxy. Arguments: URL, bytes.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

type pieces struct {
	piece []byte
	at    int
	left  int
}

func (p *pieces) Read(into []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if len(into) > p.left {
		into = into[:p.left]
	}
	n := copy(into, p.piece[p.at:])
	p.at = (p.at + n) % len(p.piece)
	p.left -= n
	return n, nil
}

func read(response *http.Response) []byte {
	defer response.Body.Close()
	return must(io.ReadAll(response.Body))
}

func main() {
	url, size := os.Args[1], must(strconv.Atoi(os.Args[2]))
	told := map[string]any{}

	response := must(http.Get(url + "/hello"))
	told["get"] = []any{response.StatusCode, string(read(response)), response.Header.Get("X-Request-Id")}

	response = must(http.Post(url+"/post", "text/plain", strings.NewReader("a=b")))
	told["post"] = []any{response.StatusCode, json.RawMessage(read(response)), response.Header.Get("X-Request-Id")}

	response = must(http.Get(url + "/bytes/" + os.Args[2]))
	digest := sha256.New()
	count := must(io.Copy(digest, response.Body))
	response.Body.Close()
	told["download"] = []any{count, hex.EncodeToString(digest.Sum(nil))}

	piece := make([]byte, 65536)
	for i := range piece {
		piece[i] = byte(i)
	}
	response = must(http.Post(url+"/upload", "text/plain", &pieces{piece: piece, left: size}))
	told["upload"] = json.RawMessage(read(response))

	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		panic(err)
	}
}
