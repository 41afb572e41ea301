package main

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/transport"
)

// findings is what should not have been. Safe for concurrent use.
type findings struct {
	mutex sync.Mutex
	texts []string
}

func (f *findings) add(who, what string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.texts = append(f.texts, who+": "+what)
}

func (f *findings) all() []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return append([]string{}, f.texts...)
}

// failed takes an error, unless the server was away or has just begun, or what was asked for is forgotten: clients live
// with all of these.
func (f *findings) failed(who string, err error) {
	if err == nil || isAway(err) || isBeginning(err) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	f.add(who, err.Error())
}

func isAway(err error) bool {
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || errors.Is(err, syscall.EPIPE)
}

// isBeginning: no cluster is there yet, or not this one.
func isBeginning(err error) bool {
	var status apierrors.APIStatus
	isUnknownCluster := errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "clusters"
	return apierrors.IsServiceUnavailable(err) || isUnknownCluster
}

// requests counts what goes out, by who asks and by what is asked. Safe for concurrent use.
type requests struct {
	mutex  sync.Mutex
	counts map[string]map[string]int
}

func (r *requests) of(part string) transport.WrapperFunc {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			query := request.URL.Query()
			kind := "list"
			switch {
			case !strings.HasSuffix(request.URL.Path, "s"):
				kind = "other"
			case query.Get("sendInitialEvents") == "true":
				kind = "watchlist"
			case query.Get("watch") == "true" || query.Get("watch") == "1":
				kind = "watch"
			}
			r.mutex.Lock()
			if r.counts == nil {
				r.counts = map[string]map[string]int{}
			}
			if r.counts[part] == nil {
				r.counts[part] = map[string]int{}
			}
			r.counts[part][kind]++
			r.mutex.Unlock()
			return next.RoundTrip(request)
		})
	}
}

func (r *requests) all() map[string]map[string]int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	copied := map[string]map[string]int{}
	for part, kinds := range r.counts {
		copied[part] = map[string]int{}
		for kind, count := range kinds {
			copied[part][kind] = count
		}
	}
	return copied
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }
