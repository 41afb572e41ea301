// Firehose is a stand-in API server: a real one writes about a thousand objects a second, too slow to show what a relay
// or an informer can carry. It lists configmaps and streams changes as fast as they are read, or at a set rate.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `firehose: a stand-in API server with configmaps that change.

It speaks plain HTTP on loopback, with discovery, lists in pages, and watches. Every event is a MODIFIED with the time
of the change (UnixNano) in the annotation ` + sentAnnotation + `.
Besides, POST /firehose/start begins the changes (with --start=request), POST /firehose/expire makes all versions before
now too old (410), GET /firehose/stats tells the statistics that are also printed, as JSON, at SIGTERM.

`

type options struct {
	objects        int
	namespaces     int
	managedFields  bool
	rate           float64
	events         int64
	duration       time.Duration
	start          string
	streamingLists bool
}

func main() {
	var o options
	listen := flag.String("listen", "127.0.0.1:0", "loopback address to listen on; port 0 picks a free one, which is printed")
	flag.IntVar(&o.objects, "objects", 100_000, "how many configmaps there are")
	flag.IntVar(&o.namespaces, "namespaces", 10, "over how many namespaces they are spread")
	flag.BoolVar(&o.managedFields, "managed-fields", false, "objects carry managedFields: 4.16 KB instead of 3.3 KiB")
	flag.Float64Var(&o.rate, "rate", 0, "changes a second; 0 means as fast as each watcher reads")
	flag.Int64Var(&o.events, "events", 0, "go quiet after so many changes; 0 means never")
	flag.DurationVar(&o.duration, "duration", 0, "go quiet so long after the start; 0 means never")
	flag.StringVar(&o.start, "start", "watch", "when changes begin: 'watch' at the first watch, 'request' at POST /firehose/start")
	flag.BoolVar(&o.streamingLists, "streaming-lists", false, "serve sendInitialEvents instead of refusing it with 422")
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage); flag.PrintDefaults() }
	flag.Parse()
	if err := o.check(*listen); err != nil {
		fmt.Fprintln(os.Stderr, "firehose:", err)
		os.Exit(2)
	}

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "firehose:", err)
		os.Exit(1)
	}
	server := newServer(o)
	fmt.Printf("listening on http://%s\n", listener.Addr())
	go http.Serve(listener, server)

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	listener.Close()
	json.NewEncoder(os.Stdout).Encode(server.stats())
}

func (o options) check(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--listen %s: not a loopback address; anybody could read and steer it there", listen)
	}
	if o.objects < 1 || o.objects > 10_000_000 {
		return fmt.Errorf("--objects %d: must be from 1 to 10000000", o.objects)
	}
	if o.namespaces < 1 || o.namespaces > o.objects || o.namespaces > 10_000 {
		return fmt.Errorf("--namespaces %d: must be from 1 to 10000 and not above --objects", o.namespaces)
	}
	if o.rate < 0 || o.events < 0 || o.duration < 0 {
		return fmt.Errorf("--rate, --events and --duration cannot be negative")
	}
	if o.start != "watch" && o.start != "request" {
		return fmt.Errorf("--start %q: must be watch or request", o.start)
	}
	return nil
}
