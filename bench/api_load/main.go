// What a client does to a Kubernetes API server, and how long it takes: pages, objects by name, watches that all hear the
// same; and how pods of 3.3 KiB get in. Whichever server it is, the requests are the same, over HTTP/1.1.
//
//	api_load --server URL [--ca F --token T] --connections 4 --seconds 10 read < paths       each path in turns
//	api_load …                                                            walk PATH          pages of 500 to the end, again and again
//	api_load … --connections 1000                                         watch PATH         until its input ends
//	api_load … --connections 8                                            fill COUNT BYTES   pods web-N in namespaces team-M
//
// Prints one line of JSON; watch prints "open" first, once all watches are.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const namespaces = 50

var (
	server      = flag.String("server", "", "")
	authority   = flag.String("ca", "", "file of the certificate that signs the server's")
	token       = flag.String("token", "", "")
	connections = flag.Int("connections", 4, "")
	seconds     = flag.Int("seconds", 10, "")
)

type client struct{ http.Client }

// One connection of its own.
func connect() *client {
	transport := &http.Transport{MaxConnsPerHost: 1, DisableCompression: true, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	if *authority != "" {
		certificate, err := os.ReadFile(*authority)
		if err != nil {
			log.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(certificate)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &client{http.Client{Transport: transport}}
}

func (c *client) send(method, path string, body []byte) *http.Response {
	request, err := http.NewRequest(method, *server+path, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	if *token != "" {
		request.Header.Set("Authorization", "Bearer "+*token)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	answer, err := c.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	if answer.StatusCode >= 300 && answer.StatusCode != http.StatusConflict {
		text, _ := io.ReadAll(answer.Body)
		log.Fatalf("%s %s: %s %s", method, path, answer.Status, text)
	}
	return answer
}

func (c *client) get(path string) []byte {
	answer := c.send("GET", path, nil)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatalf("%s: %v", path, err)
	}
	return body
}

type figures struct {
	Requests          int     `json:"requests"`
	Bytes             int64   `json:"bytes"`
	PerSecond         float64 `json:"perSecond"`
	P50Milliseconds   float64 `json:"p50Milliseconds"`
	P99Milliseconds   float64 `json:"p99Milliseconds"`
	EventsDelivered   int64   `json:"eventsDelivered,omitempty"`
	WatchesThatFailed int     `json:"watchesThatFailed,omitempty"`
}

// Each connection asks what next gives it, until the time is over.
func measure(next func(c *client, worker int) func() int) figures {
	var mutex sync.Mutex
	var took []float64
	var all figures
	began := time.Now()
	until := began.Add(time.Duration(*seconds) * time.Second)
	var group sync.WaitGroup
	for worker := range *connections {
		group.Add(1)
		go func() {
			defer group.Done()
			step := next(connect(), worker)
			step() // The connection is open from here on.
			var mine []float64
			var bytes int64
			for time.Now().Before(until) {
				start := time.Now()
				bytes += int64(step())
				mine = append(mine, time.Since(start).Seconds()*1000)
			}
			mutex.Lock()
			defer mutex.Unlock()
			took = append(took, mine...)
			all.Bytes += bytes
		}()
	}
	group.Wait()
	slices.Sort(took)
	all.Requests = len(took)
	all.PerSecond = float64(len(took)) / time.Since(began).Seconds()
	all.P50Milliseconds, all.P99Milliseconds = took[len(took)/2], took[len(took)*99/100]
	return all
}

func read() figures {
	var paths []string
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		paths = append(paths, lines.Text())
	}
	return measure(func(c *client, worker int) func() int {
		at := worker * len(paths) / *connections
		return func() int {
			at = (at + 1) % len(paths)
			return len(c.get(paths[at]))
		}
	})
}

// The token stands in metadata, in front of the objects or behind them.
func continuation(page []byte) string {
	const key = `"continue":"`
	for _, part := range [][]byte{page[:min(len(page), 2048)], page[max(0, len(page)-2048):]} {
		if _, rest, found := bytes.Cut(part, []byte(key)); found {
			text, _, _ := bytes.Cut(rest, []byte(`"`))
			return string(text)
		}
	}
	return ""
}

func walk(path string) figures {
	return measure(func(c *client, _ int) func() int {
		token := ""
		return func() int {
			page := c.get(path + "?limit=500&continue=" + url.QueryEscape(token))
			token = continuation(page)
			return len(page)
		}
	})
}

func watch(path string) figures {
	var delivered atomic.Int64
	var opened, ended sync.WaitGroup
	var over atomic.Bool
	var failed atomic.Int64
	streams := make([]io.Closer, *connections)
	for worker := range *connections {
		opened.Add(1)
		ended.Add(1)
		go func() {
			defer ended.Done()
			answer := connect().send("GET", path, nil)
			streams[worker] = answer.Body
			opened.Done()
			reader := bufio.NewReaderSize(answer.Body, 16<<10)
			for {
				line, err := reader.ReadSlice('\n')
				if err == nil {
					if !bytes.Contains(line[:min(len(line), 64)], []byte("BOOKMARK")) {
						delivered.Add(1)
					}
				} else if err != bufio.ErrBufferFull {
					if !over.Load() {
						failed.Add(1)
					}
					return
				}
			}
		}()
	}
	opened.Wait()
	fmt.Println("open")
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		fmt.Println(delivered.Load()) // Whoever asks with a line is told how many there are by now.
	}
	over.Store(true)
	for _, stream := range streams {
		stream.Close()
	}
	ended.Wait()
	return figures{EventsDelivered: delivered.Load(), WatchesThatFailed: int(failed.Load())}
}

func pod(number, bytes int) []byte {
	text := fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-%d","namespace":"team-%d","labels":{"app":"app-%d","tier":"web",`+
		`"version":"v%d","pod-template-hash":"h%d"},"annotations":{"filling":"`, number, number%namespaces, number%200, number%7, number/3)
	state := uint64(number) * 2654435761
	var filling strings.Builder
	for len(text)+filling.Len()+80 < bytes {
		state = state*6364136223846793005 + 1442695040888963407
		filling.WriteString("word" + strconv.FormatUint(state>>52, 10) + " ")
	}
	return []byte(text + filling.String() + `"}},"spec":{"containers":[{"name":"c","image":"web"}]}}`)
}

func fill(count, bytes int) figures {
	first := connect()
	for number := range namespaces {
		answer := first.send("POST", "/api/v1/namespaces", []byte(fmt.Sprintf(`{"metadata":{"name":"team-%d"}}`, number)))
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	var next atomic.Int64
	var group sync.WaitGroup
	began := time.Now()
	for range *connections {
		group.Add(1)
		go func() {
			defer group.Done()
			c := connect()
			for number := int(next.Add(1)) - 1; number < count; number = int(next.Add(1)) - 1 {
				answer := c.send("POST", fmt.Sprintf("/api/v1/namespaces/team-%d/pods", number%namespaces), pod(number, bytes))
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
		}()
	}
	group.Wait()
	return figures{Requests: count, PerSecond: float64(count) / time.Since(began).Seconds()}
}

func main() {
	flag.Parse()
	number := func(at int) int {
		value, err := strconv.Atoi(flag.Arg(at))
		if err != nil {
			log.Fatal(err)
		}
		return value
	}
	var found figures
	switch flag.Arg(0) {
	case "read":
		found = read()
	case "walk":
		found = walk(flag.Arg(1))
	case "watch":
		found = watch(flag.Arg(1))
	case "fill":
		found = fill(number(1), number(2))
	default:
		log.Fatalf("nothing to do: %q", flag.Arg(0))
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		log.Fatal(err)
	}
}
