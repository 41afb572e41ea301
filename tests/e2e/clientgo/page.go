package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
)

const pageSize = 7 // so that a few dozen objects take many pages

// paging lists everything page by page, over and over. Safe for concurrent use.
type paging struct {
	client *kubernetes.Clientset
	found  *findings

	mutex sync.Mutex
	seen  map[string]any
	times int
}

func page(ctx context.Context, config *rest.Config, found *findings) (*paging, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	p := &paging{client: client, found: found}
	go func() {
		for ctx.Err() == nil {
			p.list(ctx)
			time.Sleep(20 * time.Millisecond) // leaves the machine to the others
		}
	}()
	return p, nil
}

func (p *paging) list(ctx context.Context) {
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return p.client.CoreV1().ConfigMaps("").List(ctx, options)
	})
	pages.PageSize = pageSize
	seen := map[string]any{}
	var last [2]string
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		one := object.(*corev1.ConfigMap)
		if here := [2]string{one.Namespace, one.Name}; slices.Compare(here[:], last[:]) <= 0 {
			p.found.add("pager", fmt.Sprintf("%v comes after %v", here, last))
		} else {
			last = here
		}
		seen[keyOf(object)] = plain(object)
		return nil
	})
	if err != nil {
		p.found.failed("pager", err)
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.seen, p.times = seen, p.times+1
}

// last gives the latest full list, and how many there were.
func (p *paging) last() (map[string]any, int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.seen, p.times
}
