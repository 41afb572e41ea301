package main

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// watching holds what the events of one RetryWatcher after another add up to. Safe for concurrent use.
type watching struct {
	client *kubernetes.Clientset
	found  *findings

	mutex sync.Mutex
	held  map[string]any
	times int
}

func watch(ctx context.Context, config *rest.Config, found *findings) (*watching, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	w := &watching{client: client, found: found, held: map[string]any{}}
	go w.run(ctx)
	return w, nil
}

// run lists anew only after 410: everything else is the RetryWatcher's to get over.
func (w *watching) run(ctx context.Context) {
	for ctx.Err() == nil {
		list, err := w.client.CoreV1().ConfigMaps("").List(ctx, metav1.ListOptions{})
		if err != nil {
			w.found.failed("watcher", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		w.mutex.Lock()
		w.held = map[string]any{}
		for i := range list.Items {
			w.held[keyOf(&list.Items[i])] = plain(&list.Items[i])
		}
		w.times++
		w.mutex.Unlock()
		w.watch(ctx, list.ResourceVersion)
	}
}

func (w *watching) watch(ctx context.Context, from string) {
	source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (apiwatch.Interface, error) {
		return w.client.CoreV1().ConfigMaps("").Watch(ctx, options)
	}}
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, from, source)
	if err != nil {
		w.found.failed("watcher", err)
		return
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		if event.Type == apiwatch.Error {
			w.found.failed("watcher", apierrors.FromObject(event.Object))
			return
		}
		w.take(event.Type, event.Object)
	}
}

func (w *watching) take(kind apiwatch.EventType, object runtime.Object) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	key := keyOf(object)
	_, known := w.held[key]
	switch kind {
	case apiwatch.Added, apiwatch.Modified, apiwatch.Deleted:
		if known != (kind != apiwatch.Added) {
			w.found.add("watcher", string(kind)+" "+key+", which was not so before")
		}
	case apiwatch.Bookmark:
		return
	}
	if kind == apiwatch.Deleted {
		delete(w.held, key)
	} else {
		w.held[key] = plain(object)
	}
}

func (w *watching) objects() map[string]any {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	copied := make(map[string]any, len(w.held))
	for key, object := range w.held {
		copied[key] = object
	}
	return copied
}

// begun counts the lists that were needed.
func (w *watching) begun() int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.times
}
