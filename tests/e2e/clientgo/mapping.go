package main

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// mapping knows kinds and short names from cached discovery.
type mapping struct {
	mapper *restmapper.DeferredDiscoveryRESTMapper
	client discovery.CachedDiscoveryInterface
}

func newMapping(config *rest.Config) (*mapping, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	cached := memory.NewMemCacheClient(client)
	return &mapping{mapper: restmapper.NewDeferredDiscoveryRESTMapper(cached), client: cached}, nil
}

// look asks the mapper, each time anew: what it says of a kind, of a short name, and of what is not there.
func (m *mapping) look(found *findings) []string {
	m.mapper.Reset()
	kind, err := m.mapper.RESTMapping(schema.GroupKind{Kind: "ConfigMap"})
	if err != nil {
		found.failed("mapper", err)
		return nil
	}
	expander := restmapper.NewShortcutExpander(m.mapper, m.client, func(string) {})
	short, err := expander.ResourceFor(schema.GroupVersionResource{Resource: "ns"})
	if err != nil {
		found.failed("mapper", err)
		return nil
	}
	if _, err := m.mapper.RESTMapping(schema.GroupKind{Group: "nosuch.example.com", Kind: "Nothing"}); err == nil {
		found.add("mapper", "it knows what is not there")
	}
	return []string{kind.Resource.String(), string(kind.Scope.Name()), short.String()}
}
