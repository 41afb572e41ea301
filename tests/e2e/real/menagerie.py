"""Objects of all shapes for one API server: what controllers and kubelets would make of them is written into their status.

Why: whoever shows objects shows the usual ones right; what is wrong, is wrong with the odd ones.
"""

import base64
import concurrent.futures

from .waiting import wait_until

_MERGE = "application/merge-patch+json"
_LONG_AGO = "2020-02-29T12:00:00Z"
_UNICODE = "grüße, 世界, emoji 🚀, quote \" backslash \\ tab\t, line\nbreak, <b>&amp;</b>, \u2028"
LONGEST = "x" + "-long" * 50 + "-y"  # 253 characters, as many as a name may have


def _meta(name, namespace="default", **more):
    return {"name": name, **({"namespace": namespace} if namespace else {}), **more}


def _state(name, *, ready=False, restarts=0, last=None, started=None, **state):
    status = {"name": name, "ready": ready, "restartCount": restarts, "image": "nginx:1.27", "imageID": "", "state": state}
    if started is not None:
        status["started"] = started
    if last:
        status["lastState"] = {"terminated": last}
    return status


def _ended(code, reason="", signal=0):
    return {"exitCode": code, **({"reason": reason} if reason else {}), **({"signal": signal} if signal else {}),
            "startedAt": _LONG_AGO, "finishedAt": _LONG_AGO}


_RUNNING = {"running": {"startedAt": _LONG_AGO}}


def _pod(name, status, spec=None, containers=("app",), meta=None, init=()):
    return ("/api/v1/namespaces/default/pods",
            {"apiVersion": "v1", "kind": "Pod", "metadata": _meta(name, **(meta or {})),
             "spec": {"containers": [{"name": one, "image": f"registry.example.com/{one}:v1"} for one in containers],
                      "nodeName": "n1", "initContainers": list(init), **(spec or {})}}, status)


def _condition(kind, status="True", reason=None, **more):
    return {"type": kind, "status": status, "lastTransitionTime": _LONG_AGO, **({"reason": reason} if reason else {}), **more}


def _pods():
    ready = [_condition("Ready"), _condition("ContainersReady"), _condition("Initialized"), _condition("PodScheduled")]
    once = {"name": "setup", "image": "busybox"}
    sidecar = {"name": "proxy", "image": "envoy", "restartPolicy": "Always"}
    yield _pod("running", {"phase": "Running", "conditions": ready, "podIP": "10.1.2.3", "hostIP": "192.0.2.1",
                           "podIPs": [{"ip": "10.1.2.3"}, {"ip": "fd00::3"}], "startTime": _LONG_AGO, "qosClass": "BestEffort",
                           "containerStatuses": [_state("app", ready=True, restarts=3, last=_ended(137, "OOMKilled"), **_RUNNING),
                                                 _state("log", ready=True, restarts=1, **_RUNNING)]},
               containers=("app", "log"),
               meta={"labels": {"app": "web", "tier": "front", "release": "1.0"}, "annotations": {"words": _UNICODE, "empty": ""},
                     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "uid": "5d4f",
                                          "controller": True, "blockOwnerDeletion": True}]})
    yield _pod("crashing", {"phase": "Running", "conditions": [_condition("Ready", "False", "ContainersNotReady")],
                            "containerStatuses": [_state("app", restarts=12, last=_ended(1, "Error"), waiting={
                                "reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"})]},
               meta={"labels": {"app": "web", "tier": "back"}})
    yield _pod("no-image", {"phase": "Pending", "containerStatuses": [_state("app", waiting={"reason": "ImagePullBackOff"})]})
    yield _pod("succeeded", {"phase": "Succeeded", "containerStatuses": [_state("app", terminated=_ended(0, "Completed"))]})
    yield _pod("evicted", {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. "})
    yield _pod("killed", {"phase": "Failed", "containerStatuses": [_state("app", terminated=_ended(137, signal=9))]})
    yield _pod("exited", {"phase": "Running", "containerStatuses": [_state("app", terminated=_ended(3))]})
    yield _pod("half-done", {"phase": "Running", "conditions": [_condition("Ready", "False")], "containerStatuses": [
        _state("app", terminated=_ended(0, "Completed")), _state("log", ready=True, **_RUNNING)]}, containers=("app", "log"))
    yield _pod("init-waits", {"phase": "Pending", "initContainerStatuses": [_state("setup", waiting={"reason": "PodInitializing"})]},
               init=[once, {"name": "more", "image": "busybox"}])
    yield _pod("init-failed", {"phase": "Pending", "initContainerStatuses": [
        _state("setup", restarts=2, last=_ended(1), terminated=_ended(1, "Error"))]}, init=[once])
    yield _pod("init-crashes", {"phase": "Pending", "initContainerStatuses": [
        _state("setup", restarts=5, last=_ended(1), waiting={"reason": "CrashLoopBackOff"})]}, init=[once])
    yield _pod("init-signal", {"phase": "Pending", "initContainerStatuses": [_state("setup", terminated=_ended(9, signal=9))]}, init=[once])
    yield _pod("sidecar", {"phase": "Running", "conditions": ready, "initContainerStatuses": [
        _state("setup", terminated=_ended(0, "Completed")), _state("proxy", ready=True, started=True, restarts=4, last=_ended(1), **_RUNNING)],
        "containerStatuses": [_state("app", ready=True, **_RUNNING)]}, init=[once, sidecar])
    yield _pod("gated", None, spec={"nodeName": None, "schedulingGates": [{"name": "example.com/quota"}]})
    yield _pod("gates", {"phase": "Running", "nominatedNodeName": "n2", "conditions": [*ready, _condition("example.com/warm"),
                                                                                       _condition("example.com/fed", "False")]},
               spec={"readinessGates": [{"conditionType": f"example.com/{one}"} for one in ("warm", "fed", "unheard")]})
    yield _pod("unscheduled", {"phase": "Pending", "conditions": [_condition("PodScheduled", "False", "Unschedulable")]}, spec={"nodeName": None})
    for name, reason in (("leaving", ""), ("lost", "NodeLost")):
        yield _pod(name, {"phase": "Running", **({"reason": reason} if reason else {})}, meta={"finalizers": ["example.com/hold"]})
    yield _pod(LONGEST, {"phase": "Running"}, meta={"labels": {f"label-{n:03}.example.com/{'k' * 40}": "v" * 63 for n in range(60)}})


def _workloads():
    apps, batch = "/apis/apps/v1/namespaces/default/", "/apis/batch/v1/namespaces/default/"
    labels = {"app": "web"}
    template = {"metadata": {"labels": {**labels, "track": "stable"}},
                "spec": {"containers": [{"name": "app", "image": "nginx:1.27"}, {"name": "log", "image": "fluent/fluent-bit"}]}}
    picky = {"matchLabels": labels, "matchExpressions": [
        {"key": "track", "operator": "In", "values": ["stable", "canary"]}, {"key": "old", "operator": "DoesNotExist"},
        {"key": "app", "operator": "Exists"}, {"key": "zone", "operator": "NotIn", "values": ["b", "a"]}]}
    counts = {"replicas": 3, "readyReplicas": 2, "availableReplicas": 1, "observedGeneration": 1}
    yield (apps + "deployments", {"metadata": _meta("web", labels=labels, annotations={"deployment.kubernetes.io/revision": "3"}),
                                  "spec": {"replicas": 3, "selector": picky, "template": template}},
           {**counts, "updatedReplicas": 3, "unavailableReplicas": 2, "conditions": [
               _condition("Available", "False", "MinimumReplicasUnavailable", lastUpdateTime=_LONG_AGO),
               _condition("Progressing", "True", "ReplicaSetUpdated", lastUpdateTime=_LONG_AGO)]})
    yield (apps + "deployments", {"metadata": _meta("idle"), "spec": {
        "replicas": 0, "selector": {"matchLabels": labels}, "template": template}}, None)
    yield apps + "replicasets", {"metadata": _meta("web-5d4f", labels=labels), "spec": {
        "replicas": 3, "selector": picky, "template": template}}, {**counts, "fullyLabeledReplicas": 3}
    yield apps + "statefulsets", {"metadata": _meta("db"), "spec": {
        "serviceName": "db", "replicas": 3, "selector": {"matchLabels": labels}, "template": template}}, {
            **counts, "currentReplicas": 3, "currentRevision": "db-1", "updateRevision": "db-1"}
    yield apps + "daemonsets", {"metadata": _meta("agent"), "spec": {
        "selector": {"matchLabels": labels}, "template": {**template, "spec": {
            **template["spec"], "nodeSelector": {"zone": "b", "disk": "ssd"}}}}}, {
                "desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3, "updatedNumberScheduled": 2,
                "numberAvailable": 1, "numberMisscheduled": 0}
    yield apps + "controllerrevisions", {"metadata": _meta("db-1", ownerReferences=[
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "1", "controller": True}]), "revision": 7, "data": {}}, None
    once = {**template, "spec": {**template["spec"], "restartPolicy": "Never"}}
    started = {"startTime": _LONG_AGO}
    ended = {**started, "completionTime": "2020-02-29T12:34:56Z", "succeeded": 3, "conditions": [
        _condition("SuccessCriteriaMet"), _condition("Complete", lastProbeTime=_LONG_AGO)]}
    for name, spec, status in (("fresh", {}, None), ("several", {"parallelism": 2, "completions": None}, {**started, "active": 2}),
                               ("done", {"completions": 3}, ended), ("held", {"suspend": True}, {"conditions": [_condition("Suspended")]}),
                               ("failed", {}, {**started, "failed": 1, "conditions": [
                                   _condition("FailureTarget", reason="BackoffLimitExceeded"),
                                   _condition("Failed", reason="BackoffLimitExceeded")]})):
        yield batch + "jobs", {"metadata": _meta(name), "spec": {"template": once, **spec}}, status
    yield batch + "cronjobs", {"metadata": _meta("nightly"), "spec": {
        "schedule": "30 2 * * *", "timeZone": "Europe/Berlin", "jobTemplate": {"spec": {"template": once}}}}, {
            "lastScheduleTime": _LONG_AGO, "active": [{"kind": "Job", "name": "nightly-1", "namespace": "default", "apiVersion": "batch/v1"}]}
    yield batch + "cronjobs", {"metadata": _meta("never"), "spec": {
        "schedule": "@yearly", "suspend": True, "jobTemplate": {"spec": {"template": once}}}}, None
    yield "/api/v1/namespaces/default/replicationcontrollers", {"metadata": _meta("old"), "spec": {
        "replicas": 2, "selector": {"app": "web", "track": "stable"}, "template": template}}, {"replicas": 2, "readyReplicas": 1}
    yield "/api/v1/namespaces/default/podtemplates", {"metadata": _meta("mold"), "template": template}, None
    for name, spec in (("at-least", {"minAvailable": 2}), ("at-most", {"maxUnavailable": "25%"})):
        yield "/apis/policy/v1/namespaces/default/poddisruptionbudgets", {"metadata": _meta(name), "spec": {
            **spec, "selector": {"matchLabels": labels}}}, {"disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2,
                                                            "expectedPods": 3, "observedGeneration": 1}
    yield from _autoscalers()


def _autoscalers():
    def metric(kind, source, target, current=None, **more):
        status = {"type": kind, source: {**more, "current": current}} if current else None
        return {"type": kind, source: {**more, "target": target}}, status
    cpu = metric("Resource", "resource", {"type": "Utilization", "averageUtilization": 80}, {"averageUtilization": 42, "averageValue": "420m"}, name="cpu")
    memory = metric("Resource", "resource", {"type": "AverageValue", "averageValue": "512Mi"}, name="memory")
    queue = metric("External", "external", {"type": "Value", "value": "1500m"}, {"value": "3"}, metric={"name": "queue"})
    pods = metric("Pods", "pods", {"type": "AverageValue", "averageValue": "10"}, {"averageValue": "7"}, metric={"name": "hits"})
    boxed = metric("ContainerResource", "containerResource", {"type": "Utilization", "averageUtilization": 60}, name="cpu", container="app")
    for name, metrics in (("by-cpu", [cpu]), ("by-all", [queue, pods, cpu, memory]), ("by-box", [boxed, memory]), ("unmeasured", [])):
        statuses = [status for _, status in metrics if status]
        yield "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", {"metadata": _meta(name), "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 9,
            "metrics": [spec for spec, _ in metrics]}}, {"currentReplicas": 3, "desiredReplicas": 4, "currentMetrics": statuses or None}


def _network():
    core, networking = "/api/v1/namespaces/default/", "/apis/networking.k8s.io/v1/"
    port = {"name": "http", "port": 80, "targetPort": "web"}
    balancer = {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"ip": "198.51.100.7"}, {"hostname": "lb.example.com"}]}}
    for name, spec, status in (
            ("web", {"ports": [port, {"name": "dns", "port": 53, "protocol": "UDP"}], "selector": {"tier": "front", "app": "web"}}, None),
            ("headless", {"clusterIP": "None"}, None), ("node-port", {"type": "NodePort", "ports": [port], "externalIPs": ["192.0.2.10"]}, None),
            ("pending", {"type": "LoadBalancer", "ports": [port]}, None), ("balanced", {"type": "LoadBalancer", "ports": [port]}, balancer),
            ("both", {"type": "LoadBalancer", "ports": [port], "externalIPs": ["192.0.2.11"]}, balancer),
            ("elsewhere", {"type": "ExternalName", "externalName": "db.example.com"}, None)):
        yield core + "services", {"metadata": _meta(name), "spec": spec}, status
    addresses = [{"ip": f"10.1.0.{n}"} for n in range(1, 6)]
    for name, subsets in (("web", [{"addresses": addresses, "ports": [{"port": 80, "protocol": "TCP"}]}]),
                          ("two", [{"addresses": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}]}]), ("none", [])):
        yield core + "endpoints", {"metadata": _meta(name), "subsets": subsets}, None
    for name, ports, count in (("web-1", [{"name": "http", "port": 80}, {"name": "any", "port": None}], 4), ("web-2", [], 0)):
        yield "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
            "metadata": _meta(name, labels={"kubernetes.io/service-name": "web"}), "addressType": "IPv4", "ports": ports,
            "endpoints": [{"addresses": [f"10.1.0.{n + 1}"]} for n in range(count)]}, None

    def rule(host):
        path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
        return {**({"host": host} if host else {}), "http": {"paths": [path]}}
    for name, hosts, more, status in (("plain", ["a.example.com"], {"ingressClassName": "nginx"}, None),
                                      ("many", [f"{one}.example.com" for one in "abcde"], {"tls": [{"hosts": ["a.example.com"]}]}, balancer),
                                      ("any", [""], {}, None)):
        yield networking + "namespaces/default/ingresses", {"metadata": _meta(name), "spec": {
            "rules": [rule(host) for host in hosts], **more}}, status
    yield networking + "ingressclasses", {"metadata": _meta("nginx", None), "spec": {"controller": "example.com/nginx", "parameters": {
        "apiGroup": "example.com", "kind": "Tuning", "name": "fast"}}}, None
    yield networking + "namespaces/default/networkpolicies", {"metadata": _meta("front-only"), "spec": {
        "podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]}}, None
    yield networking + "namespaces/default/networkpolicies", {"metadata": _meta("all"), "spec": {"podSelector": {}}}, None


def _storage():
    claim = {"accessModes": ["ReadWriteOnce", "ReadWriteMany"], "resources": {"requests": {"storage": "10Gi"}}, "storageClassName": "fast"}
    core, storage = "/api/v1/", "/apis/storage.k8s.io/v1/"
    yield storage + "storageclasses", {"metadata": _meta("fast", None, annotations={"storageclass.kubernetes.io/is-default-class": "true"}),
                                       "provisioner": "example.com/disk", "allowVolumeExpansion": True}, None
    yield storage + "storageclasses", {"metadata": _meta("slow", None), "provisioner": "example.com/tape", "reclaimPolicy": "Retain",
                                       "volumeBindingMode": "WaitForFirstConsumer"}, None
    yield core + "persistentvolumes", {"metadata": _meta("pv-1", None), "spec": {
        "capacity": {"storage": "0.5Ti"}, "accessModes": ["ReadWriteOncePod"], "hostPath": {"path": "/data"}, "storageClassName": "fast",
        "claimRef": {"namespace": "default", "name": "bound"}}}, {"phase": "Bound"}
    yield core + "persistentvolumes", {"metadata": _meta("pv-2", None), "spec": {
        "capacity": {"storage": "1000M"}, "accessModes": ["ReadOnlyMany"], "hostPath": {"path": "/data"}}}, {
            "phase": "Failed", "reason": "RecycleFailed", "message": "no"}
    yield core + "namespaces/default/persistentvolumeclaims", {"metadata": _meta("bound"), "spec": {**claim, "volumeName": "pv-1"}}, {
        "phase": "Bound", "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "capacity": {"storage": "10Gi"}}
    yield core + "namespaces/default/persistentvolumeclaims", {"metadata": _meta("waits"), "spec": claim}, None
    yield storage + "volumeattachments", {"metadata": _meta("att", None), "spec": {
        "attacher": "disk.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "pv-1"}}}, {"attached": True}
    yield storage + "csidrivers", {"metadata": _meta("disk.example.com", None), "spec": {
        "attachRequired": False, "volumeLifecycleModes": ["Persistent", "Ephemeral"], "tokenRequests": [{"audience": "a"}, {"audience": "b"}]}}, None
    yield storage + "csinodes", {"metadata": _meta("n1", None), "spec": {"drivers": [
        {"name": "disk.example.com", "nodeID": "1", "topologyKeys": []}]}}, None
    yield storage + "namespaces/default/csistoragecapacities", {"metadata": _meta("room"), "storageClassName": "fast", "capacity": "3Gi"}, None


def _cluster():
    core, rbac = "/api/v1/", "/apis/rbac.authorization.k8s.io/v1/"
    info = {key: "" for key in ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion",
                                "kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture")}
    capacity = {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    for name, spec, labels, status in (
            ("n1", {"podCIDR": "10.1.0.0/24", "taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]},
             {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/edge": "", "zone": "a"},
             {"conditions": [_condition("MemoryPressure", "False"), _condition("Ready", "True", "KubeletReady", message="kubelet is posting")],
              "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "192.0.2.1"},
                            {"type": "ExternalIP", "address": "203.0.113.1"}], "capacity": capacity, "allocatable": capacity,
              "nodeInfo": {**info, "kubeletVersion": "v1.34.4", "osImage": "Debian GNU/Linux 12 (bookworm)", "kernelVersion": "6.1.0",
                           "containerRuntimeVersion": "containerd://2.0.0", "operatingSystem": "linux", "architecture": "amd64"},
              "images": [{"names": ["nginx:1.27"], "sizeBytes": 70000000}]}),
            ("n2", {"unschedulable": True}, {"kubernetes.io/role": "control"}, {"conditions": [_condition("Ready", "Unknown", "NodeStatusUnknown")]}),
            ("n3", {}, {}, None)):
        yield core + "nodes", {"metadata": _meta(name, None, labels=labels), "spec": spec}, status
    yield core + "namespaces/default/configmaps", {"metadata": _meta("settings", labels={"app": "web"}), "data": {
        "a": "1", "words": _UNICODE}, "binaryData": {"b": base64.b64encode(bytes(range(256))).decode()}}, None
    yield core + "namespaces/default/configmaps", {"metadata": _meta("empty")}, None
    yield core + "namespaces/default/configmaps", {"metadata": _meta("huge"), "data": {
        f"part-{n}": f"{n:0100000}" for n in range(9)}}, None
    yield core + "namespaces/shop/configmaps", {"metadata": _meta("settings", "shop"), "data": {"a": "2"}}, None
    yield core + "namespaces/default/secrets", {"metadata": _meta("login"), "type": "kubernetes.io/basic-auth", "stringData": {"password": "p"}}, None
    yield core + "namespaces/default/serviceaccounts", {"metadata": _meta("robot"), "secrets": [{"name": "login"}]}, None
    yield core + "namespaces/default/limitranges", {"metadata": _meta("small"), "spec": {"limits": [
        {"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "500m"}}]}}, None
    hard = {"pods": "10", "requests.cpu": "4", "limits.memory": "8Gi", "count/jobs.batch": "5"}
    yield core + "namespaces/shop/resourcequotas", {"metadata": _meta("budget", "shop"), "spec": {"hard": hard}}, {
        "hard": hard, "used": {"pods": "3", "requests.cpu": "1500m", "limits.memory": "2Gi"}}
    subjects = [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"},
                {"kind": "Group", "name": "dev", "apiGroup": "rbac.authorization.k8s.io"},
                {"kind": "ServiceAccount", "name": "robot", "namespace": "default"},
                {"kind": "ServiceAccount", "name": "other", "namespace": "shop"}]
    yield rbac + "namespaces/default/roles", {"metadata": _meta("reader"), "rules": [
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"], "resourceNames": ["running"]}]}, None
    for where, kind, name in (("namespaces/default/rolebindings", "Role", "reader"), ("clusterrolebindings", "ClusterRole", "view")):
        yield rbac + where, {"metadata": _meta("readers", "default" if "/" in where else None), "subjects": subjects,
                             "roleRef": {"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}}, None
    yield "/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": _meta("urgent", None), "value": 100000, "description": "soon"}, None
    yield "/apis/node.k8s.io/v1/runtimeclasses", {"metadata": _meta("gvisor", None), "handler": "runsc"}, None
    yield "/apis/coordination.k8s.io/v1/namespaces/default/leases", {"metadata": _meta("leader"), "spec": {"holderIdentity": "one"}}, None
    yield from _events()
    yield from _extensions()


def _events():
    where = "/api/v1/namespaces/default/events"
    for name, more in (
            ("running.1", {"count": 7, "firstTimestamp": _LONG_AGO, "lastTimestamp": "2021-03-01T00:00:00Z", "source": {
                "component": "kubelet", "host": "n1"}, "message": "  Pulled\n", "type": "Normal", "reason": "Pulled"}),
            ("running.2", {"eventTime": "2021-03-01T00:00:00.123456Z", "reportingComponent": "example.com/watch", "reportingInstance": "w-1",
                           "action": "Watch", "type": "Warning", "reason": "Odd", "message": _UNICODE,
                           "series": {"count": 4, "lastObservedTime": "2022-03-01T00:00:00.000000Z"}}),
            ("running.3", {"type": "Normal", "reason": "Bare", "message": ""})):
        yield where, {"metadata": _meta(name), "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "name": "running", "namespace": "default", "fieldPath": "spec.containers{app}"}, **more}, None
    yield where, {"metadata": _meta("n1.1"), "involvedObject": {"kind": "Node", "name": "n1", "uid": "n1"}, "type": "Normal",
                  "reason": "Starting", "message": "Starting kubelet.", "lastTimestamp": _LONG_AGO, "firstTimestamp": _LONG_AGO}, None


def _extensions():
    hook = {"name": "check.example.com", "clientConfig": {"url": "https://127.0.0.1:1/"}, "sideEffects": "None", "failurePolicy": "Ignore",
            "admissionReviewVersions": ["v1"], "rules": [{"apiGroups": ["none.example.com"], "apiVersions": ["v1"], "resources": ["nones"],
                                                          "operations": ["CREATE"]}]}
    admission = "/apis/admissionregistration.k8s.io/v1/"
    for kind in ("mutating", "validating"):
        yield f"{admission}{kind}webhookconfigurations", {"metadata": _meta("checks", None), "webhooks": [hook]}, None
    match = {"resourceRules": [{"apiGroups": ["none.example.com"], "apiVersions": ["v1"], "resources": ["nones"], "operations": ["CREATE"]}]}
    yield admission + "validatingadmissionpolicies", {"metadata": _meta("rules", None), "spec": {
        "matchConstraints": match, "validations": [{"expression": "true"}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}}, None
    yield admission + "validatingadmissionpolicybindings", {"metadata": _meta("rules", None), "spec": {
        "policyName": "rules", "validationActions": ["Audit"], "paramRef": {"name": "settings", "namespace": "shop",
                                                                            "parameterNotFoundAction": "Allow"}}}, None
    yield "/apis/resource.k8s.io/v1/deviceclasses", {"metadata": _meta("gpu", None), "spec": {}}, None
    yield "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims", {"metadata": _meta("one-gpu"), "spec": {
        "devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}}}, None


_COLUMNS = [("Size", "integer", ".spec.size", 0), ("Ratio", "number", ".spec.ratio", 0), ("Hot", "boolean", ".spec.hot", 0),
            ("Colour", "string", ".spec.colour", 0), ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
            ("Since", "date", ".spec.since", 0), ("First", "string", ".spec.parts[0]", 1), ("All", "string", ".spec.parts", 1),
            ("Any", "string", ".spec.parts[*]", 1), ("Note", "string", r".metadata.annotations.example\.com/note", 1),
            ("Map", "string", ".spec.map", 1), ("Wrong", "integer", ".spec.colour", 1), ("Age", "date", ".metadata.creationTimestamp", 0)]
_WIDGETS = {"metadata": _meta("widgets.shop.example.com", None), "spec": {
    "group": "shop.example.com", "scope": "Namespaced",
    "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wi"], "categories": ["all", "toys"]},
    "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                  "additionalPrinterColumns": [{"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}
                                               for name, kind, path, wide in _COLUMNS],
                  "schema": {"openAPIV3Schema": {"type": "object", "description": "A thing that is sold.", "properties": {
                      part: {"type": "object", "x-kubernetes-preserve-unknown-fields": True} for part in ("spec", "status")}}}}]}}
_PLAIN = {"metadata": _meta("plains.shop.example.com", None), "spec": {
    "group": "shop.example.com", "scope": "Cluster", "names": {"plural": "plains", "kind": "Plain"},
    "versions": [{"name": "v1alpha1", "served": True, "storage": True,
                  "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


def _custom():
    where = "/apis/shop.example.com/v1/namespaces/default/widgets"
    widget, plain = ({"apiVersion": f"shop.example.com/{version}", "kind": kind} for version, kind in (("v1", "Widget"), ("v1alpha1", "Plain")))
    yield where, {**widget, "metadata": _meta("full", annotations={"example.com/note": "words"}), "spec": {
        "size": 5, "ratio": 0.25, "hot": True, "colour": "red", "since": _LONG_AGO, "parts": ["a", "b"], "map": {"k": "v"}}}, {
            "conditions": [_condition("Synced"), _condition("Ready", "False")]}
    yield where, {**widget, "metadata": _meta("odd"), "spec": {"size": 1.9, "ratio": 3, "hot": "yes", "colour": 7, "since": "yesterday", "parts": []}}, None
    yield where, {**widget, "metadata": _meta("bare")}, None
    yield "/apis/shop.example.com/v1alpha1/plains", {**plain, "metadata": _meta("p", None), "spec": {"x": 1}}, None


def populate(api):
    """Makes all of them, in the namespaces default, shop and one that is being deleted."""
    spaces = "/api/v1/namespaces"
    for name in ("shop", "leaving"):
        api.put(spaces, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    api.must("DELETE", f"{spaces}/leaving")  # No controller empties it, so it stays as it is.
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for definition in (_WIDGETS, _PLAIN):
        api.put(definitions, definition)

    def make(thing):
        collection, body, status = thing
        made = api.put(collection, body)
        if status is not None:
            api.must("PATCH", f"{collection}/{made['metadata']['name']}/status", {"status": status}, content_type=_MERGE)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in pool.map(make, [*_pods(), *_workloads(), *_network(), *_storage(), *_cluster()]):
            pass
    for thing in _custom():
        _until_served(api, thing[0])
        make(thing)
    for name in ("leaving", "lost"):
        api.must("DELETE", f"/api/v1/namespaces/default/pods/{name}")


def _until_served(api, collection):
    wait_until(lambda: api.request("GET", collection)[0] == 200, 20, f"{collection} is served")


def collections(api):
    """{path of a collection over all namespaces: kind} of all that can be listed and watched, in each group's preferred version."""
    found = {}
    versions = ["/api/v1"] + [f"/apis/{group['preferredVersion']['groupVersion']}" for group in api.must("GET", "/apis")["groups"]]
    for root in versions:
        for resource in api.must("GET", root)["resources"]:
            if {"list", "watch"} <= set(resource["verbs"]) and "/" not in resource["name"]:
                found[f"{root}/{resource['name']}"] = resource["kind"]
    return found
