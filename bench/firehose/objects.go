// The configmaps: of a size, shape and compressibility as clusters have them, and cheap enough to write that the
// reader, not this program, is the limit.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
)

const (
	sentAnnotation = "firehose.transport-informer.io/sent"
	plainSize      = 3379 // 3.3 KiB: one object in a list, without managedFields
	managedSize    = 4160 // the same with managedFields
	fillings       = 256  // different texts, so that a compressor finds likeness but not one object over and over
)

// objects writes configmaps. Immutable after construction.
type objects struct {
	h          *history
	namespaces int64
	managed    string
	tails      []string // from the end of data.revision to the end of the object
}

func newObjects(o options, h *history) *objects {
	c := &objects{h: h, namespaces: int64(o.namespaces)}
	if o.managedFields {
		c.managed = managedFields()
	}
	random := rand.New(rand.NewSource(1))
	c.tails = []string{""}
	room := plainSize - (len(c.write(nil, 0, 1_000_000, false)) - len(c.managed))
	c.tails = make([]string, fillings)
	for i := range c.tails {
		c.tails[i] = filling(random, room)
	}
	return c
}

func (c *objects) namespace(i int64) string {
	return fmt.Sprintf("team-%04d", i*c.namespaces/c.h.objects)
}
func (c *objects) name(i int64) string { return fmt.Sprintf("settings-%07d", i) }

// find is the object of this name, or -1.
func (c *objects) find(namespace, name string) int64 {
	i, err := strconv.ParseInt(strings.TrimPrefix(name, "settings-"), 10, 64)
	if err != nil || i < 0 || i >= c.h.objects || c.name(i) != name || c.namespace(i) != namespace {
		return -1
	}
	return i
}

// rangeOf is the stretch of objects in a namespace ("": all); keys are in the order of their numbers.
func (c *objects) rangeOf(namespace string) (int64, int64) {
	if namespace == "" {
		return 0, c.h.objects
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(namespace, "team-"), 10, 64)
	if err != nil || n < 0 || n >= c.namespaces || fmt.Sprintf("team-%04d", n) != namespace {
		return 0, 0
	}
	first := func(n int64) int64 { return (n*c.h.objects + c.namespaces - 1) / c.namespaces }
	return first(n), first(n + 1)
}

// write appends object i as its change left it (0: untouched), with kind and apiVersion where the API has them.
func (c *objects) write(b []byte, i, change int64, typed bool) []byte {
	b = append(b, '{')
	if typed {
		b = append(b, `"kind":"ConfigMap","apiVersion":"v1",`...)
	}
	b = append(b, `"metadata":{"name":"settings-`...)
	b = appendPadded(b, i, 7)
	b = append(b, `","namespace":"team-`...)
	b = appendPadded(b, i*c.namespaces/c.h.objects, 4)
	b = append(b, `","uid":"5f0c8a3e-71d4-4b6a-9e02-`...)
	b = appendPadded(b, i, 12)
	b = append(b, `","resourceVersion":"`...)
	b = strconv.AppendInt(b, c.h.objectVersion(i, change), 10)
	b = append(b, `","creationTimestamp":"2024-03-07T11:25:42Z","labels":{"app.kubernetes.io/managed-by":"Helm",`+
		`"app.kubernetes.io/name":"service-`...)
	b = appendPadded(b, i%500, 3)
	b = append(b, `","app.kubernetes.io/part-of":"platform","tier":"backend"},"annotations":{"`+sentAnnotation+`":"`...)
	if change > 0 && c.h.begin > 0 {
		b = appendPadded(b, c.h.timeOf(change), 19)
	} else {
		b = append(b, "0000000000000000000"...)
	}
	b = append(b, `","meta.helm.sh/release-name":"platform","meta.helm.sh/release-namespace":"team-`...)
	b = appendPadded(b, i*c.namespaces/c.h.objects, 4)
	b = append(b, `"}`...)
	b = append(b, c.managed...)
	b = append(b, `},"data":{"revision":"`...)
	b = appendPadded(b, change, 12)
	b = append(b, '"')
	b = append(b, c.tails[i%int64(len(c.tails))]...)
	return append(b, `}}`...)
}

func appendPadded(b []byte, number int64, width int) []byte {
	var digits [20]byte
	at := len(digits)
	for n := 0; n < width || number > 0; n++ {
		at--
		digits[at] = byte('0' + number%10)
		number /= 10
	}
	return append(b, digits[at:]...)
}

// filling is further keys of data, `room` bytes in all: properties, YAML and JSON as applications keep them.
func filling(random *rand.Rand, room int) string {
	var properties, yaml strings.Builder
	words := []string{"cache", "client", "database", "endpoint", "feature", "gateway", "limit", "metrics", "pool", "queue",
		"retry", "session", "timeout", "tracing", "worker", "zone"}
	word := func() string { return words[random.Intn(len(words))] }
	for properties.Len() < room/2 {
		fmt.Fprintf(&properties, "%s.%s.%s=%d\n", word(), word(), word(), random.Intn(100_000))
	}
	for yaml.Len() < room/4 {
		fmt.Fprintf(&yaml, "- name: %s-%s\n  url: \"https://%s-%s.internal:%d/v1\"\n", word(), word(), word(), word(),
			1024+random.Intn(60_000))
	}
	text := `,"application.properties":` + quoted(properties.String()) + `,"endpoints.yaml":` + quoted(yaml.String())
	const opening, closing = `,"token-seed":"`, `"`
	missing := room - len(text) - len(opening) - len(closing)
	if missing < 0 {
		panic(fmt.Sprintf("the filling is %d bytes too long", -missing))
	}
	seed := make([]byte, missing)
	for i := range seed {
		seed[i] = "0123456789abcdef"[random.Intn(16)]
	}
	return text + opening + string(seed) + closing
}

func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

func managedFields() string {
	entry := func(manager, time, fields string) string {
		return `{"manager":"` + manager + `","operation":"Update","apiVersion":"v1","time":"` + time +
			`","fieldsType":"FieldsV1","fieldsV1":` + fields + `}`
	}
	helm := `{"f:data":{".":{},"f:application.properties":{},"f:endpoints.yaml":{},"f:token-seed":{}},"f:metadata":{` +
		`"f:annotations":{".":{},"f:meta.helm.sh/release-name":{},"f:meta.helm.sh/release-namespace":{}},"f:labels":{".":{},` +
		`"f:app.kubernetes.io/managed-by":{},"f:app.kubernetes.io/name":{},"f:app.kubernetes.io/part-of":{},"f:tier":{}}}}`
	changer := `{"f:data":{"f:revision":{}},"f:metadata":{"f:annotations":{"f:` + sentAnnotation + `":{}}}}`
	list := `,"managedFields":[` + entry("helm", "2024-03-07T11:25:42Z", helm) + `,` +
		entry("%s", "2024-03-09T08:01:17Z", changer) + `]`
	manager := "configuration-controller"
	for len(list)-len("%s")+len(manager) < managedSize-plainSize {
		manager += "-x"
	}
	return strings.Replace(list, "%s", manager, 1)
}
