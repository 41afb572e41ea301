// The HTTP side: discovery, lists in pages, single objects and watches, as far as an informer asks for them.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	piece         = 64 << 10 // bytes written at once: large enough that system calls do not count
	eventsInPiece = piece / plainSize
	bookmarkEvery = 10 * time.Second
)

type server struct {
	o options
	h *history
	c *objects

	lists, pages, listed, listBytes      int64 // atomic
	watches, open, events, bytes, relist int64 // atomic
	firstEvent, lastEvent                int64 // atomic, UnixNano
}

func newServer(o options) *server {
	h := newHistory(o)
	return &server{o: o, h: h, c: newObjects(o, h)}
}

type statistics struct {
	Objects         int     `json:"objects"`
	Lists           int64   `json:"lists"`
	Pages           int64   `json:"pages"`
	ObjectsListed   int64   `json:"objectsListed"`
	ListBytes       int64   `json:"listBytes"`
	Watches         int64   `json:"watches"`
	OpenWatches     int64   `json:"openWatches"`
	Events          int64   `json:"events"`
	EventBytes      int64   `json:"eventBytes"`
	EventsPerSecond float64 `json:"eventsPerSecond"`
	ResourceVersion string  `json:"resourceVersion"`
	Quiet           bool    `json:"quiet"`
}

func (s *server) stats() statistics {
	get := atomic.LoadInt64
	t := statistics{Objects: s.o.objects, Lists: get(&s.lists), Pages: get(&s.pages), ObjectsListed: get(&s.listed),
		ListBytes: get(&s.listBytes), Watches: get(&s.watches), OpenWatches: get(&s.open), Events: get(&s.events),
		EventBytes: get(&s.bytes), ResourceVersion: text(s.h.version(s.h.count())), Quiet: s.h.isOver()}
	if seconds := float64(get(&s.lastEvent)-get(&s.firstEvent)) / 1e9; seconds > 0 {
		t.EventsPerSecond = float64(t.Events) / seconds
	}
	return t
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/version":
		fmt.Fprint(w, `{"major":"1","minor":"34","gitVersion":"v1.34.4-firehose","platform":"linux/amd64"}`)
	case "/api":
		fmt.Fprint(w, `{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[]}`)
	case "/apis":
		fmt.Fprint(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
	case "/api/v1":
		fmt.Fprint(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"configmaps","singularName":"configmap",`+
			`"namespaced":true,"kind":"ConfigMap","verbs":["get","list","watch"],"shortNames":["cm"]}]}`)
	case "/readyz", "/livez", "/healthz":
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "ok")
	case "/firehose/start", "/firehose/expire":
		if r.Method != http.MethodPost {
			refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "only POST "+r.URL.Path+" is served")
		} else if r.URL.Path == "/firehose/start" {
			s.h.start()
		} else {
			atomic.StoreInt64(&s.h.oldest, s.h.count())
		}
	case "/firehose/stats":
		json.NewEncoder(w).Encode(s.stats())
	default:
		s.configMaps(w, r)
	}
}

func (s *server) configMaps(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/api/v1/") {
		// Also what asks for permission: no such API means that there is nobody to forbid anything.
		refuse(w, http.StatusNotFound, "NotFound", "only /api/v1 is served")
		return
	}
	part := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/"), "/")
	if r.Method != http.MethodGet {
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", "the objects change by themselves; only GET is served")
		return
	}
	switch {
	case len(part) == 1 && part[0] == "configmaps":
		s.collection(w, r, "")
	case len(part) == 3 && part[0] == "namespaces" && part[2] == "configmaps":
		s.collection(w, r, part[1])
	case len(part) == 4 && part[0] == "namespaces" && part[2] == "configmaps":
		i := s.c.find(part[1], part[3])
		if i < 0 {
			refuse(w, http.StatusNotFound, "NotFound", fmt.Sprintf("configmaps %q not found", part[3]))
			return
		}
		w.Write(s.c.write(nil, i, s.h.latest(i, s.h.count()), true))
	default:
		refuse(w, http.StatusNotFound, "NotFound", "the server could not find "+r.URL.Path+": only configmaps are served")
	}
}

func (s *server) collection(w http.ResponseWriter, r *http.Request, namespace string) {
	q := r.URL.Query()
	for _, selector := range []string{"labelSelector", "fieldSelector"} {
		if q.Get(selector) != "" {
			refuse(w, http.StatusBadRequest, "BadRequest", selector+" is not served here")
			return
		}
	}
	if watch := q.Get("watch"); watch == "1" || watch == "true" {
		s.watch(w, r, namespace)
		return
	}
	s.list(w, r, namespace)
}

// place is where the next page begins, and in which state.
type place struct {
	Count int64 `json:"count"`
	Next  int64 `json:"next"`
}

func (s *server) list(w http.ResponseWriter, r *http.Request, namespace string) {
	q := r.URL.Query()
	first, end := s.c.rangeOf(namespace)
	at := place{Count: s.h.count(), Next: first}
	if token := q.Get("continue"); token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || json.Unmarshal(raw, &at) != nil || at.Next < first || at.Next > end || at.Count > s.h.count() {
			refuse(w, http.StatusBadRequest, "BadRequest", "continue is not a token of this server")
			return
		}
		if q.Get("resourceVersion") != "" {
			refuse(w, http.StatusBadRequest, "BadRequest", "continue and resourceVersion exclude each other")
			return
		}
		if at.Count < atomic.LoadInt64(&s.h.oldest) {
			refuse(w, http.StatusGone, "Expired", "the continue token is too old; list again")
			return
		}
	} else {
		atomic.AddInt64(&s.lists, 1)
	}
	if wanted, err := strconv.ParseInt(q.Get("resourceVersion"), 10, 64); err == nil && wanted > s.h.version(at.Count) {
		refuse(w, http.StatusGatewayTimeout, "Timeout", "Too large resource version: "+text(wanted))
		return
	}
	stop := end
	if limit, err := strconv.ParseInt(q.Get("limit"), 10, 64); err == nil && limit > 0 && at.Next+limit < end {
		stop = at.Next + limit
	}

	b := make([]byte, 0, piece+2*managedSize)
	b = append(b, `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"`+text(s.h.version(at.Count))+`"`...)
	if stop < end {
		token, _ := json.Marshal(place{at.Count, stop})
		b = append(b, `,"continue":"`+base64.RawURLEncoding.EncodeToString(token)+`","remainingItemCount":`+text(end-stop)...)
	}
	b = append(b, `},"items":[`...)
	for i := at.Next; i < stop; i++ {
		if i > at.Next {
			b = append(b, ',')
		}
		b = s.c.write(b, i, s.h.latest(i, at.Count), false)
		if len(b) >= piece {
			if _, err := w.Write(b); err != nil {
				return
			}
			atomic.AddInt64(&s.listBytes, int64(len(b)))
			b = b[:0]
		}
	}
	b = append(b, `]}`...)
	w.Write(b)
	atomic.AddInt64(&s.listBytes, int64(len(b)))
	atomic.AddInt64(&s.listed, stop-at.Next)
	atomic.AddInt64(&s.pages, 1)
}

func (s *server) watch(w http.ResponseWriter, r *http.Request, namespace string) {
	q := r.URL.Query()
	bookmarks := q.Get("allowWatchBookmarks") == "true" || q.Get("allowWatchBookmarks") == "1"
	streaming := q.Get("sendInitialEvents") == "true" || q.Get("sendInitialEvents") == "1"
	if q.Has("sendInitialEvents") && !s.o.streamingLists {
		refuse(w, http.StatusUnprocessableEntity, "Invalid",
			"sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled")
		return
	}
	if streaming && (!bookmarks || q.Get("resourceVersionMatch") != "NotOlderThan") {
		refuse(w, http.StatusUnprocessableEntity, "Invalid",
			"sendInitialEvents: requires allowWatchBookmarks=true and resourceVersionMatch=NotOlderThan")
		return
	}
	ends := time.Now().Add(time.Hour)
	if seconds, err := strconv.Atoi(q.Get("timeoutSeconds")); err == nil && seconds > 0 {
		ends = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	first, end := s.c.rangeOf(namespace)
	v := &watcher{s: s, w: w, flush: w.(http.Flusher).Flush, first: first, end: end, buffer: make([]byte, 0, 2*piece)}
	atomic.AddInt64(&s.watches, 1)
	atomic.AddInt64(&s.open, 1)
	defer atomic.AddInt64(&s.open, -1)

	from := q.Get("resourceVersion")
	if from == "" || from == "0" || streaming {
		v.at = s.h.count()
		if !v.sendState() {
			return
		}
		if streaming {
			v.bookmark(true)
		}
	} else {
		version, err := strconv.ParseInt(from, 10, 64)
		if err != nil {
			refuse(w, http.StatusBadRequest, "BadRequest", "resourceVersion must be a number, not "+strconv.Quote(from))
			return
		}
		v.at = version - s.h.base()
		if v.at < atomic.LoadInt64(&s.h.oldest) {
			v.fail(http.StatusGone, "Expired", "too old resource version: "+from)
			return
		}
		if v.at > s.h.count() {
			v.fail(http.StatusGatewayTimeout, "Timeout", "Too large resource version: "+from)
			return
		}
	}
	if s.o.start == "watch" {
		s.h.start()
	}
	v.send() // headers at once
	v.follow(r, ends, bookmarks)
}

// watcher is one open stream. Confined to its request's goroutine.
type watcher struct {
	s          *server
	w          http.ResponseWriter
	flush      func()
	first, end int64
	at         int64 // the last change that was sent, or skipped as of another namespace
	buffer     []byte
}

func (v *watcher) follow(r *http.Request, ends time.Time, bookmarks bool) {
	saidQuiet := false
	lastBookmark := time.Now()
	for time.Now().Before(ends) {
		n, wait := v.s.h.next(v.at, eventsInPiece)
		if n > 0 {
			if !v.sendChanges(n) {
				return
			}
			saidQuiet = false
			continue
		}
		quiet := wait == 0
		if bookmarks && ((quiet && !saidQuiet) || time.Since(lastBookmark) >= bookmarkEvery) {
			if !v.bookmark(false) {
				return
			}
			saidQuiet, lastBookmark = quiet, time.Now()
		}
		if !v.idle(r, quiet, wait, time.Until(ends)) {
			return
		}
	}
	if bookmarks {
		v.bookmark(false)
	}
}

// idle waits for the next change; false if the client is gone.
func (v *watcher) idle(r *http.Request, quiet bool, wait, rest time.Duration) bool {
	if quiet || wait > bookmarkEvery {
		wait = bookmarkEvery
	}
	if wait > rest {
		wait = rest
	}
	started := v.s.h.started
	if v.s.h.hasStarted() {
		started = nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		return false
	case <-timer.C:
	case <-started:
	}
	return true
}

func (v *watcher) sendChanges(n int64) bool {
	sent := int64(0)
	for change := v.at + 1; change <= v.at+n; change++ {
		i := (change - 1) % v.s.h.objects
		if i < v.first || i >= v.end {
			continue
		}
		v.buffer = append(v.buffer, `{"type":"MODIFIED","object":`...)
		v.buffer = v.s.c.write(v.buffer, i, change, true)
		v.buffer = append(v.buffer, "}\n"...)
		sent++
	}
	v.at += n
	v.s.h.reached(v.at)
	bytes := int64(len(v.buffer))
	if !v.send() {
		return false
	}
	now := time.Now().UnixNano()
	atomic.CompareAndSwapInt64(&v.s.firstEvent, 0, now)
	atomic.StoreInt64(&v.s.lastEvent, now)
	atomic.AddInt64(&v.s.events, sent)
	atomic.AddInt64(&v.s.bytes, bytes)
	return true
}

func (v *watcher) sendState() bool {
	for i := v.first; i < v.end; i++ {
		v.buffer = append(v.buffer, `{"type":"ADDED","object":`...)
		v.buffer = v.s.c.write(v.buffer, i, v.s.h.latest(i, v.at), true)
		v.buffer = append(v.buffer, "}\n"...)
		if len(v.buffer) >= piece && !v.send() {
			return false
		}
	}
	return v.send()
}

func (v *watcher) bookmark(endOfInitialEvents bool) bool {
	v.buffer = append(v.buffer, `{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"`+
		text(v.s.h.version(v.at))+`","creationTimestamp":null`...)
	if endOfInitialEvents {
		v.buffer = append(v.buffer, `,"annotations":{"k8s.io/initial-events-end":"true"}`...)
	}
	v.buffer = append(v.buffer, "}}}\n"...)
	return v.send()
}

func (v *watcher) fail(code int, reason, message string) {
	v.buffer = append(v.buffer, `{"type":"ERROR","object":`...)
	v.buffer = append(v.buffer, status(code, reason, message)...)
	v.buffer = append(v.buffer, "}\n"...)
	v.send()
}

func (v *watcher) send() bool {
	_, err := v.w.Write(v.buffer)
	v.flush()
	v.buffer = v.buffer[:0]
	return err == nil
}

func refuse(w http.ResponseWriter, code int, reason, message string) {
	w.WriteHeader(code)
	w.Write(status(code, reason, message))
}

func status(code int, reason, message string) []byte {
	b, _ := json.Marshal(map[string]any{"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure",
		"message": message, "reason": reason, "code": code})
	return b
}

func text(number int64) string { return strconv.FormatInt(number, 10) }
