// A firehose that lost or invented changes would make every benchmark lie.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

type item struct {
	Metadata struct {
		Name, Namespace, ResourceVersion string
		Annotations                      map[string]string
	}
	Data map[string]string
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func list(t *testing.T, url string) map[string]string {
	t.Helper()
	state := map[string]string{}
	next := ""
	for {
		var page struct {
			Metadata struct{ Continue string }
			Items    []json.RawMessage
		}
		if err := json.NewDecoder(get(t, url+"/api/v1/configmaps?limit=7&continue="+next).Body).Decode(&page); err != nil {
			t.Fatal(err)
		}
		for _, raw := range page.Items {
			var one item
			if err := json.Unmarshal(raw, &one); err != nil {
				t.Fatal(err)
			}
			state[one.Metadata.Namespace+"/"+one.Metadata.Name] = string(raw)
		}
		if next = page.Metadata.Continue; next == "" {
			return state
		}
	}
}

func TestObjectsHaveTheMeasuredSizes(t *testing.T) {
	for _, managed := range []bool{false, true} {
		o := options{objects: 1000, namespaces: 10, managedFields: managed}
		size := len(newObjects(o, newHistory(o)).write(nil, 999, 0, false))
		wanted := plainSize
		if managed {
			wanted = managedSize
		}
		if size < wanted-16 || size > wanted+16 {
			t.Errorf("managedFields %v: an object has %d bytes, wanted about %d", managed, size, wanted)
		}
	}
}

func TestFollowingTheWatchEndsInTheListedState(t *testing.T) {
	for _, rate := range []float64{0, 20_000} {
		server := httptest.NewServer(newServer(options{objects: 40, namespaces: 3, rate: rate, events: 1007, start: "watch"}))
		state := list(t, server.URL)
		if len(state) != 40 {
			t.Fatalf("%d objects listed, wanted 40", len(state))
		}
		lines := bufio.NewReader(get(t, server.URL+"/api/v1/configmaps?watch=1&resourceVersion=1040&allowWatchBookmarks=true").Body)
		for events := 0; ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			var event struct {
				Type   string
				Object json.RawMessage
			}
			var one item
			if json.Unmarshal([]byte(line), &event) != nil || json.Unmarshal(event.Object, &one) != nil {
				t.Fatal(line)
			}
			if event.Type == "BOOKMARK" {
				if one.Metadata.ResourceVersion == text(1040+1007) {
					break
				}
				continue
			}
			if events++; one.Metadata.ResourceVersion != text(1040+int64(events)) {
				t.Fatalf("event %d has version %s", events, one.Metadata.ResourceVersion)
			}
			raw := strings.Replace(string(event.Object), `"kind":"ConfigMap","apiVersion":"v1",`, "", 1)
			state[one.Metadata.Namespace+"/"+one.Metadata.Name] = raw
		}
		for key, object := range list(t, server.URL) {
			if state[key] != object {
				t.Errorf("rate %v: %s differs between watch and list", rate, key)
			}
		}
		server.CloseClientConnections()
		server.Close()
	}
}

func TestAnExpiredVersionIsTooOld(t *testing.T) {
	server := httptest.NewServer(newServer(options{objects: 5, namespaces: 1, events: 10, start: "watch"}))
	defer server.Close()
	url := server.URL + "/api/v1/configmaps?watch=1&timeoutSeconds=1&resourceVersion=1005"
	if body, _ := io.ReadAll(get(t, url).Body); strings.Count(string(body), "MODIFIED") != 10 {
		t.Fatalf("wanted 10 changes: %.300s", body)
	}
	if _, err := http.Post(server.URL+"/firehose/expire", "", nil); err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(get(t, url).Body); !strings.Contains(string(body), `"code":410`) {
		t.Errorf("wanted an ERROR event with 410: %.300s", body)
	}
}

func TestAStartByRequestWaitsForIt(t *testing.T) {
	s := newServer(options{objects: 5, namespaces: 1, events: 10, start: "request"})
	server := httptest.NewServer(s)
	defer server.Close()
	answer := get(t, server.URL+"/api/v1/configmaps?watch=1&timeoutSeconds=3&resourceVersion=1005")
	if n := s.h.count(); n != 0 {
		t.Fatalf("%d changes before the start", n)
	}
	begin := time.Now().UnixNano()
	http.Post(server.URL+"/firehose/start", "", nil)
	line, _ := bufio.NewReader(answer.Body).ReadString('\n')
	var event struct{ Object item }
	if json.Unmarshal([]byte(line), &event) != nil || event.Object.Metadata.Annotations[sentAnnotation] < text(begin) {
		t.Errorf("wanted a change sent after the start: %.300s", line)
	}
}
