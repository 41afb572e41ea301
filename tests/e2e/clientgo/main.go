// Clientgo follows one server with everything that client-go has for following: shared informers (typed, dynamic, of
// metadata), a RetryWatcher, pagers, and a REST mapper over cached discovery. Once its informers are synced, it tells over
// HTTP what it holds, and what went wrong, as JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"

	"k8s.io/client-go/rest"
)

// state is one answer. Objects are by namespace/name; requests by the part that made them and its kind.
type state struct {
	Typed      map[string]any            `json:"typed"`
	Dynamic    map[string]any            `json:"dynamic"`
	Metadata   map[string]any            `json:"metadata"`
	Namespaces map[string]any            `json:"namespaces"`
	Watched    map[string]any            `json:"watched"`
	Paged      map[string]any            `json:"paged"`
	Mapped     []string                  `json:"mapped"`
	Requests   map[string]map[string]int `json:"requests"`
	Revived    int                       `json:"revived"`
	Rewatched  int                       `json:"rewatched"`
	Pagings    int                       `json:"pagings"`
	Errors     []string                  `json:"errors"`
}

func main() {
	server := flag.String("server", "", "URL of the server to follow, without credentials")
	listen := flag.String("listen", "", "address:port where it tells its state")
	flag.Parse()
	if err := run(*server, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "clientgo:", err)
		os.Exit(1)
	}
}

func run(server, listen string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	found := &findings{}
	counted := &requests{}
	config := func(part string) *rest.Config {
		c := &rest.Config{Host: server, QPS: -1} // its own rate limit is not what is looked at
		c.Wrap(counted.of(part))
		return c
	}
	informers, err := follow(ctx, config, found)
	if err != nil {
		return err
	}
	watching, err := watch(ctx, config("watcher"), found)
	if err != nil {
		return err
	}
	paging, err := page(ctx, config("pager"), found)
	if err != nil {
		return err
	}
	mapping, err := newMapping(config("mapper"))
	if err != nil {
		return err
	}

	http.HandleFunc("GET /", func(out http.ResponseWriter, _ *http.Request) {
		now := state{
			Typed: informers.typed(), Dynamic: informers.dynamic(), Metadata: informers.metadata(), Namespaces: informers.namespaces(),
			Watched: watching.objects(), Rewatched: watching.begun(),
			Requests: counted.all(), Revived: informers.revived(), Mapped: mapping.look(found),
		}
		now.Paged, now.Pagings = paging.last()
		now.Errors = found.all()
		_ = json.NewEncoder(out).Encode(now)
	})
	return http.ListenAndServe(listen, nil)
}
