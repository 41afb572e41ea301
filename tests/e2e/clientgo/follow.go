package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

var configMaps = corev1.SchemeGroupVersion.WithResource("configmaps")

// following is a set of shared informers. Safe for concurrent use.
type following struct {
	maps, spaces, raw, meta cache.SharedIndexInformer

	mutex   sync.Mutex
	gone    map[string]bool // By uid.
	returns int
}

// follow returns when all caches are there.
func follow(ctx context.Context, config func(string) *rest.Config, found *findings) (*following, error) {
	asControllers := config("typed")
	// They would rather have protobuf, and take JSON.
	asControllers.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	typed, err := kubernetes.NewForConfig(asControllers)
	if err != nil {
		return nil, err
	}
	raw, err := dynamic.NewForConfig(config("dynamic"))
	if err != nil {
		return nil, err
	}
	about, err := metadata.NewForConfig(config("metadata"))
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(typed, 0)
	f := &following{
		maps: factory.Core().V1().ConfigMaps().Informer(), spaces: factory.Core().V1().Namespaces().Informer(),
		raw:  dynamicinformer.NewDynamicSharedInformerFactory(raw, 0).ForResource(configMaps).Informer(),
		meta: metadatainformer.NewSharedInformerFactory(about, 0).ForResource(configMaps).Informer(),
		gone: map[string]bool{},
	}
	for name, informer := range map[string]cache.SharedIndexInformer{"typed": f.maps, "namespaces": f.spaces, "dynamic": f.raw, "metadata": f.meta} {
		if err := informer.SetWatchErrorHandler(func(_ *cache.Reflector, err error) { found.failed(name, err) }); err != nil {
			return nil, err
		}
	}
	if _, err := f.maps.AddEventHandler(f.handler(found)); err != nil {
		return nil, err
	}
	for _, informer := range []cache.SharedIndexInformer{f.maps, f.spaces, f.raw, f.meta} {
		go informer.RunWithContext(ctx)
	}
	if !cache.WaitForCacheSync(ctx.Done(), f.maps.HasSynced, f.spaces.HasSynced, f.raw.HasSynced, f.meta.HasSynced) {
		return nil, fmt.Errorf("the informers did not sync")
	}
	return f, nil
}

// handler holds each word against those before it: no version goes back while an object lives.
func (f *following) handler(found *findings) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			f.mutex.Lock()
			defer f.mutex.Unlock()
			if uid := string(object.(*corev1.ConfigMap).UID); f.gone[uid] {
				delete(f.gone, uid)
				f.returns++
			}
		},
		UpdateFunc: func(before, after any) {
			one, other := before.(*corev1.ConfigMap), after.(*corev1.ConfigMap)
			if one.UID == other.UID && len(one.ResourceVersion) == len(other.ResourceVersion) && one.ResourceVersion > other.ResourceVersion {
				found.add("typed", fmt.Sprintf("%s/%s went back from %s to %s", one.Namespace, one.Name, one.ResourceVersion, other.ResourceVersion))
			}
		},
		DeleteFunc: func(object any) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			f.mutex.Lock()
			defer f.mutex.Unlock()
			f.gone[string(object.(*corev1.ConfigMap).UID)] = true
		},
	}
}

func (f *following) typed() map[string]any      { return held(f.maps.GetStore()) }
func (f *following) namespaces() map[string]any { return held(f.spaces.GetStore()) }
func (f *following) dynamic() map[string]any    { return held(f.raw.GetStore()) }
func (f *following) metadata() map[string]any   { return held(f.meta.GetStore()) }

// revived counts objects that were told of as deleted, and then as added.
func (f *following) revived() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.returns
}

func held(store cache.Store) map[string]any {
	all := map[string]any{}
	for _, key := range store.ListKeys() {
		if object, exists, _ := store.GetByKey(key); exists {
			all[key] = plain(object)
		}
	}
	return all
}

// plain is an object as JSON reads it, so that typed and dynamic ones can be held against each other.
func plain(object any) any {
	text, err := json.Marshal(object)
	if err != nil {
		return err.Error()
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return err.Error()
	}
	return tree
}

func keyOf(object runtime.Object) string {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err.Error()
	}
	return cache.MetaObjectToName(accessor).String()
}
