// The history of all changes as arithmetic: change number e modifies object (e-1) modulo the number of objects, so any
// state can be listed and any stretch replayed without keeping one event.
package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// The version of the state before the first change leaves room below for the objects' own initial versions.
const versionsBelow = 1000

// history knows how many changes have happened. Safe for concurrent use.
type history struct {
	objects int64
	rate    float64
	events  int64 // 0: without end
	length  time.Duration

	once    sync.Once
	started chan struct{} // closed at the start
	begin   int64         // UnixNano; written before started is closed
	newest  int64         // atomic; only without a rate: the furthest that any watcher has come
	oldest  int64         // atomic; watches from before this change are too old

	mutex sync.Mutex
	times []int64 // per object: when its latest change was first sent (without a rate)
	last  []int64 // per object: the number of that change
}

func newHistory(o options) *history {
	h := &history{objects: int64(o.objects), rate: o.rate, events: o.events, length: o.duration, started: make(chan struct{})}
	if o.rate == 0 {
		h.times = make([]int64, o.objects)
		h.last = make([]int64, o.objects)
	}
	return h
}

func (h *history) start() {
	h.once.Do(func() {
		h.begin = time.Now().UnixNano()
		close(h.started)
	})
}

func (h *history) hasStarted() bool {
	select {
	case <-h.started:
		return true
	default:
		return false
	}
}

// count is the number of changes up to now.
func (h *history) count() int64 {
	if !h.hasStarted() {
		return 0
	}
	if h.rate == 0 {
		return atomic.LoadInt64(&h.newest)
	}
	elapsed := time.Now().UnixNano() - h.begin
	if h.length > 0 && elapsed > int64(h.length) {
		elapsed = int64(h.length)
	}
	n := int64(float64(elapsed) * h.rate / 1e9)
	if h.events > 0 && n > h.events {
		n = h.events
	}
	return n
}

// next says how many of the changes after `after` a watcher may send now, at most `limit`; 0 with a time to wait, or 0
// with 0 when there will be none any more.
func (h *history) next(after, limit int64) (int64, time.Duration) {
	if !h.hasStarted() {
		return 0, time.Hour
	}
	if h.rate > 0 {
		if n := h.count() - after; n > 0 {
			return min64(n, limit), 0
		}
		if h.isOver() {
			return 0, 0
		}
		return 0, time.Duration(h.timeOf(after+1) - time.Now().UnixNano() + 1)
	}
	if n := atomic.LoadInt64(&h.newest) - after; n > 0 {
		return min64(n, limit), 0
	}
	if h.isOver() {
		return 0, 0
	}
	n := limit
	if h.events > 0 {
		n = min64(n, h.events-after)
	}
	return n, 0
}

// isOver says whether the last change has happened.
func (h *history) isOver() bool {
	if !h.hasStarted() {
		return false
	}
	if h.length > 0 && time.Now().UnixNano()-h.begin > int64(h.length) {
		return true
	}
	return h.events > 0 && h.count() >= h.events
}

// timeOf is when the change happened (with a rate: exactly; without: when it was first sent, which may be now).
func (h *history) timeOf(change int64) int64 {
	if h.rate > 0 {
		return h.begin + int64(float64(change)*1e9/h.rate)
	}
	i := (change - 1) % h.objects
	now := time.Now().UnixNano()
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.last[i] == change {
		return h.times[i]
	}
	if h.last[i] < change {
		h.last[i], h.times[i] = change, now
	}
	return now
}

// reached notes that a watcher has sent everything up to this change.
func (h *history) reached(change int64) {
	for {
		newest := atomic.LoadInt64(&h.newest)
		if newest >= change || atomic.CompareAndSwapInt64(&h.newest, newest, change) {
			return
		}
	}
}

// latest is the number of the last change of an object in the state after `count` changes; 0 if there was none.
func (h *history) latest(object, count int64) int64 {
	if count <= object {
		return 0
	}
	return (count-1-object)/h.objects*h.objects + object + 1
}

func (h *history) base() int64 { return versionsBelow + h.objects }

// version of the state after `count` changes, as clients see it.
func (h *history) version(count int64) int64 { return h.base() + count }

func (h *history) objectVersion(object, change int64) int64 {
	if change == 0 {
		return versionsBelow + object
	}
	return h.version(change)
}

func min64(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}
