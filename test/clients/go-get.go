// net/http as an application uses it, and not a word about the proxy. Arguments: URLs.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
)

func main() {
	told := [][]any{}
	for _, url := range os.Args[1:] {
		response, err := http.Get(url)
		if err != nil {
			panic(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		var id any
		if value := response.Header.Get("X-Request-Id"); value != "" {
			id = value
		}
		told = append(told, []any{response.StatusCode, string(body), id})
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		panic(err)
	}
}
