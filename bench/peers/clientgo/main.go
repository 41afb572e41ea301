// Clientgo-bench measures client-go's own shared informer in the same way as ours is measured: time to sync, memory per
// object, updates a second into a handler, and the latency of each from the firehose's annotation.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	sentAnnotation = "firehose.transport-informer.io/sent"
	keptLatencies  = 5_000_000 // 40 MB at most; beyond that the rate is the figure, not the latency
)

type report struct {
	Peer             string  `json:"peer"`
	Mode             string  `json:"mode"`
	Objects          int     `json:"objects"`
	SyncSeconds      float64 `json:"syncSeconds"`
	PeakBytes        int64   `json:"rssPeakBytes"`
	SettledBytes     int64   `json:"rssSettledBytes"`
	BytesPerObject   int64   `json:"rssSettledBytesPerObject"`
	WindowSeconds    float64 `json:"windowSeconds"`
	Updates          int     `json:"updates"`
	UpdatesPerSecond float64 `json:"updatesPerSecond"`
	LatencyP50       float64 `json:"latencyP50Milliseconds"`
	LatencyP99       float64 `json:"latencyP99Milliseconds"`
	LatencyMax       float64 `json:"latencyMaxMilliseconds"`
}

// window collects what the handler sees while it is open. Safe for concurrent use.
type window struct {
	mutex     sync.Mutex
	open      bool
	updates   int
	latencies []int64
}

func (w *window) update(object any) {
	now := time.Now().UnixNano()
	accessor, err := meta.Accessor(object)
	if err != nil {
		return
	}
	sent, _ := strconv.ParseInt(accessor.GetAnnotations()[sentAnnotation], 10, 64)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if !w.open {
		return
	}
	w.updates++
	if sent > 0 && len(w.latencies) < keptLatencies {
		w.latencies = append(w.latencies, now-sent)
	}
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the API server")
	server := flag.String("server", "", "URL of a server without credentials, instead of a kubeconfig")
	mode := flag.String("mode", "dynamic", "dynamic: unstructured over JSON; typed: structs over JSON; protobuf: structs over protobuf")
	length := flag.Duration("window", 10*time.Second, "how long updates are counted after the sync; 0 for none")
	trigger := flag.String("trigger", "", "URL to POST to once synced, such as the firehose's /firehose/start")
	flag.Parse()
	if err := run(*kubeconfig, *server, *mode, *trigger, *length); err != nil {
		fmt.Fprintln(os.Stderr, "clientgo-bench:", err)
		os.Exit(1)
	}
}

func run(kubeconfig, server, mode, trigger string, length time.Duration) error {
	config := &rest.Config{Host: server}
	if server == "" {
		var err error
		if config, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
			return err
		}
	}
	config.QPS = -1 // the client's own rate limit is not what is measured
	informer, err := newInformer(config, mode)
	if err != nil {
		return err
	}

	w := &window{}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, object any) { w.update(object) },
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	go informer.Run(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return fmt.Errorf("the informer did not sync")
	}
	r := report{Peer: "client-go v0.34.4", Mode: mode, SyncSeconds: time.Since(began).Seconds()}
	r.Objects = len(informer.GetStore().ListKeys())
	r.PeakBytes = memory("VmHWM:")
	r.SettledBytes = settled()
	r.BytesPerObject = r.SettledBytes / int64(max(r.Objects, 1))

	if length > 0 {
		if err := post(trigger); err != nil {
			return err
		}
		w.mutex.Lock()
		w.open = true
		w.mutex.Unlock()
		began = time.Now()
		time.Sleep(length)
		w.mutex.Lock()
		w.open = false
		r.WindowSeconds = time.Since(began).Seconds()
		w.mutex.Unlock()
		r.Updates = w.updates
		r.UpdatesPerSecond = float64(w.updates) / r.WindowSeconds
		sort.Slice(w.latencies, func(i, j int) bool { return w.latencies[i] < w.latencies[j] })
		r.LatencyP50, r.LatencyP99, r.LatencyMax = quantile(w.latencies, 0.5), quantile(w.latencies, 0.99), quantile(w.latencies, 1)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// settled is the resident memory once collecting garbage gains nothing any more: the fairest figure for the peer.
func settled() int64 {
	least := memory("VmRSS:")
	for tries := 0; tries < 10; tries++ {
		time.Sleep(time.Second) // lets the informer drop what only its first list needed
		debug.FreeOSMemory()    // collects garbage first
		now := memory("VmRSS:")
		if now > least-least/100 && tries > 1 {
			return min(now, least)
		}
		least = min(now, least)
	}
	return least
}

func newInformer(config *rest.Config, mode string) (cache.SharedIndexInformer, error) {
	switch mode {
	case "dynamic":
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		return dynamicinformer.NewDynamicSharedInformerFactory(client, 0).
			ForResource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Informer(), nil
	case "typed", "protobuf":
		if mode == "protobuf" {
			config.ContentType = "application/vnd.kubernetes.protobuf"
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		return informers.NewSharedInformerFactory(client, 0).Core().V1().ConfigMaps().Informer(), nil
	}
	return nil, fmt.Errorf("unknown --mode %q: dynamic, typed or protobuf", mode)
}

func post(url string) error {
	if url == "" {
		return nil
	}
	answer, err := http.Post(url, "", nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return fmt.Errorf("POST %s: %s", url, answer.Status)
	}
	return nil
}

func quantile(sorted []int64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(q*float64(len(sorted)-1))]) / 1e6
}

// memory is a line of this process's status, in bytes.
func memory(field string) int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if words := strings.Fields(line); len(words) > 1 && words[0] == field {
			kilobytes, _ := strconv.ParseInt(words[1], 10, 64)
			return kilobytes * 1024
		}
	}
	return 0
}
