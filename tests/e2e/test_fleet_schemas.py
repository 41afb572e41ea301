"""What clients learn of kinds, of the fleet and of the devcluster, is what a real API server tells: OpenAPI in the hands of kubectl, old
and new, and what it is told where it tries more than reading."""

import gzip
import http.client
import importlib.machinery
import importlib.util
import json
import pathlib

from real import ApiServer, Daemon, Etcd, Kubectl, Mosquitto, ScenarioCase, wait_until

VERSIONS = ("new", "old")
_ROOT = pathlib.Path(__file__).resolve().parents[2]

WIDGETS = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.shop.example.com"},
           "spec": {"group": "shop.example.com", "scope": "Namespaced",
                    "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wi"]},
                    "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                        "type": "object", "description": "A widget of the shop.", "required": ["spec"], "properties": {
                            "spec": {"type": "object", "description": "What is wanted.", "required": ["size"], "properties": {
                                "size": {"type": "integer", "minimum": 1, "default": 3, "description": "How large."},
                                "maybe": {"type": "string", "nullable": True, "description": "May be null."},
                                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
                                "parts": {"type": "object", "additionalProperties": {"type": "number", "multipleOf": 0.5}}}}}}}}]}}

EXPLAINED = ("pods.spec.containers", "deployment.spec --recursive", "cm", "crd.spec", "ns", "svc --recursive", "pods.spec.nothing",
             "deployments.spec.strategy.rollingUpdate.maxSurge", "pod.spec.containers.resources.limits", "nothing", "wi", "wi --recursive",
             "widget.spec", "widget.spec.port", "widget.spec.maybe", "widget.spec.tags", "widget.spec.parts", "widget.spec.free")
# Of kinds that the devcluster does not have.
EXPLAINED_OF_CLUSTERS = ("ingress --recursive", "cronjobs.spec.jobTemplate.spec", "hpa --recursive", "pvc", "clusterroles.rules",
                         "flowschemas.spec", "csidrivers")

READ_ONLY = "read-only here: write to the cluster cluster1 itself, where the namespace is default"
# (words, what kubectl shows); all of them in the namespace cluster1.default.
REFUSED = (
    ("apply -f -", READ_ONLY), ("apply --server-side -f -", READ_ONLY), ("create -f -", READ_ONLY), ("replace -f -", READ_ONLY),
    ("delete cm settings", READ_ONLY), ("edit cm settings", READ_ONLY), ("annotate cm settings a=b", READ_ONLY),
    ("rollout restart deploy d", READ_ONLY), ("set image deploy/d i=j", READ_ONLY), ("run x --image=i", READ_ONLY),
    ("scale deploy d --replicas=2", "there is no deployments/scale here"),
    ("logs web", "there is no pods/log here, objects alone are mirrored from clusters: ask the cluster cluster1 itself"),
    ("exec web -- ls", "there is no pods/exec here"), ("attach web", "there is no pods/attach here"),
    ("debug web --image=i", "there is no pods/ephemeralcontainers here"), ("top pods", "Metrics API not available"),
)


def pod(name):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}


def config_map(name, **members):
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **members})


class WhatClientsLearn(ScenarioCase):
    """cluster1 is a real API server with all that it can serve, cluster2 a devcluster; both define the same widgets."""

    @classmethod
    def start_parts(cls):
        cls.broker = cls.start_for_all(Mosquitto())
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd()), options=["--runtime-config=api/all=true"]))
        cls.devcluster = cls.folder / "cluster2"
        cls.start_for_all(Daemon("devcluster", "--kubeconfig-out", cls.devcluster)).wait_for_line("devcluster serves")
        kubectl = Kubectl(cls.api.kubeconfig())
        kubectl.run("create", "serviceaccount", "default", check=False)  # No controller makes it.
        kubectl.apply(pod("web"), WIDGETS)
        kubectl.run("create", "deployment", "d", "--image=i")
        kubectl.run("create", "configmap", "settings", "--from-literal=a=b")
        Kubectl(cls.devcluster).apply(WIDGETS)
        for cluster, config in (("cluster1", cls.api.kubeconfig()), ("cluster2", cls.devcluster)):
            cls.start_for_all(cls.unstarted_provider(cluster=cluster, kubeconfig=config))
        cls.informer = cls.start_for_all(cls.unstarted_informer("--serve", "127.0.0.1:0", output="none"))
        cls.url = cls.informer.wait_for_error(r'url="?(http://[0-9.:]+)').group(1)
        cls.informer.endpoint.wait_ready()
        # The real server publishes a definition's schema some seconds after the definition.
        wait_until(lambda: "A widget of the shop." in kubectl.run("explain", "widgets", check=False).stdout, 30, "widgets are explained")
        old = Kubectl(cls.api.kubeconfig(), version="old")
        wait_until(lambda: "A widget of the shop." in old.run("explain", "widgets", check=False).stdout, 30, "in version 2, too")

    def fleet(self, version="new", path=""):
        return Kubectl(server=self.url + path, version=version)

    def get(self, path, method="GET", **headers):
        """(status, headers, body)"""
        connection = http.client.HTTPConnection(self.url.rpartition("/")[2], timeout=30)
        self.addCleanup(connection.close)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def test_the_schemas_in_the_program_are_those_of_the_api_server(self):
        loader = importlib.machinery.SourceFileLoader("openapi_schemas", str(_ROOT / "tools" / "openapi-schemas"))
        tool = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
        loader.exec_module(tool)
        self.assertTrue(tool.text_of(self.api) == tool.committed(), f"{tool.FILE} holds another text: run tools/openapi-schemas")

    def test_kinds_are_explained_as_by_the_cluster_itself(self):
        for version in VERSIONS:
            real = Kubectl(self.api.kubeconfig(), version=version)
            ours = {"fleet": self.fleet(version), "cluster": self.fleet(version, "/clusters/cluster1"),
                    "devcluster": Kubectl(self.devcluster, version=version)}
            for words in EXPLAINED + EXPLAINED_OF_CLUSTERS:
                expected = real.run("explain", *words.split(), check=False)
                for name, kubectl in ours.items():
                    if name == "devcluster" and words in EXPLAINED_OF_CLUSTERS:
                        continue
                    with self.subTest(version=version, words=words, of=name):
                        said = kubectl.run("explain", *words.split(), check=False)
                        self.assertEqual((said.returncode, said.stdout, said.stderr), (expected.returncode, expected.stdout, expected.stderr))

    def test_what_is_not_followed_is_not_explained(self):
        for version in VERSIONS:
            self.assertIn("the server doesn't have a resource type", self.fleet(version).run("explain", "secrets", check=False).stderr)
        self.assertNotIn("io.k8s.api.core.v1.Secret\"", self.get("/openapi/v2")[2].decode())

    def test_who_does_more_than_read_is_told_where(self):
        for version in VERSIONS:
            kubectl = self.fleet(version)
            for words, expected in REFUSED:
                if version == "old" and words.startswith("debug"):
                    continue  # It is "alpha debug" there.
                with self.subTest(version=version, words=words):
                    environment = {"EDITOR": "sed -i s/b$/c/"}
                    refused = kubectl.run("-n", "cluster1.default", *words.split(), check=False, environment=environment,
                                          stdin=config_map("settings", data={"a": "c"}) if "-f" in words else "")
                    self.assertNotEqual(refused.returncode, 0)
                    self.assertIn(expected, refused.stderr)
                    self.assertNotIn("panic", refused.stderr)

    def test_documents_are_kept_by_clients(self):
        index = json.loads(self.get("/openapi/v3")[2])["paths"]
        self.assertEqual(index.keys() & {"api/v1", "apis/shop.example.com/v1"}, {"api/v1", "apis/shop.example.com/v1"})
        address = index["apis/apps/v1"]["serverRelativeURL"]
        status, headers, body = self.get(address)
        self.assertEqual((status, headers["cache-control"]), (200, "public, immutable"))
        self.assertIn("expires", headers)
        operations = {method for path in json.loads(body)["paths"].values() for method in path}
        self.assertEqual(operations, {"get", "parameters"})
        self.assertEqual(self.get(address, If_None_Match=headers["etag"])[::2], (304, b""))
        self.assertEqual(self.get("/openapi/v3/apis/apps/v1?hash=0")[1]["location"], address)
        self.assertEqual(self.get(address, "HEAD")[0], 200)
        self.assertEqual(self.get(address, "POST")[0], 405)
        status, headers, packed = self.get(address, Accept_Encoding="gzip")
        self.assertEqual(headers["content-encoding"], "gzip")
        self.assertEqual(gzip.decompress(packed), body)
        self.assertLess(len(packed), len(body) / 3)

    def test_a_definition_that_changes_changes_its_document(self):
        kubectl = Kubectl(self.api.kubeconfig())
        other = json.loads(json.dumps(WIDGETS).replace("widgets", "gadgets").replace("widget", "gadget").replace("Widget", "Gadget")
                           .replace("wi\"", "ga\""))
        kubectl.apply(other)
        fleet = self.fleet()
        wait_until(lambda: "How large." in fleet.run("explain", "gadget.spec", check=False).stdout, 30, "gadgets are explained")
        kubectl.apply(json.loads(json.dumps(other).replace("How large.", "How heavy.")))
        for version in VERSIONS:
            wait_until(lambda v=version: "How heavy." in self.fleet(v).run("explain", "gadget.spec", check=False).stdout, 30, "as it is now")
        self.assertNotIn("How heavy.", self.get("/clusters/cluster2/openapi/v2")[2].decode())

    def test_forms_of_objects_are_those_of_the_api_server(self):
        place = "/api/v1/namespaces/default/configmaps"
        for path in (place, place + "/settings", place + "?includeObject=None", place + "?includeObject=Object", place + "?includeObject=All"):
            for kind in ("Table", "PartialObjectMetadataList" if "/settings" not in path else "PartialObjectMetadata"):
                accept = f"application/json;as={kind};v=v1;g=meta.k8s.io"
                with self.subTest(path=path, kind=kind):
                    real = self.api.answer("GET", path, Accept=accept)
                    ours = self.get("/clusters/cluster1" + path, Accept=accept)
                    self.assertEqual((ours[0], told(json.loads(ours[2]))), (real[0], told(json.loads(real[2]))))

    def test_a_list_in_parts_is_compressed_on_its_way(self):
        self.api.must("POST", "/api/v1/namespaces", {"metadata": {"name": "many"}})
        self.api.add_config_maps(700, namespace="many")
        path = "/api/v1/namespaces/cluster1.many/configmaps"
        wait_until(lambda: len(json.loads(self.get(path)[2])["items"]) == 700, 30, "all are copied")
        status, headers, packed = self.get(path, Accept_Encoding="gzip")
        self.assertEqual((status, headers["content-encoding"], headers["transfer-encoding"]), (200, "gzip", "chunked"))
        self.assertEqual(json.loads(gzip.decompress(packed))["items"], json.loads(self.get(path)[2])["items"])
        for version in VERSIONS:
            names = self.fleet(version).run("get", "cm", "-n", "cluster1.many", "--chunk-size=0", "-o", "name").stdout.split()
            self.assertEqual(len(names), 700)

    def test_methods_that_nothing_is_done_for_are_answered_as_by_the_api_server(self):
        for method in ("HEAD", "OPTIONS", "TRACE"):
            for path in ("/api/v1/configmaps", "/api/v1/namespaces/default/configmaps/settings", "/version"):
                with self.subTest(method=method, path=path):
                    real = self.api.answer(method, path)
                    ours = self.get("/clusters/cluster1" + path, method)
                    if path == "/version" and method == "HEAD":
                        self.assertEqual((ours[0], real[0]), (200, 405))  # Documents have a head here.
                        continue
                    self.assertEqual(ours[0], real[0])
                    if method != "HEAD":
                        self.assertEqual(json.loads(ours[2]), json.loads(real[2]))

    def test_people_get_lines_and_programs_do_not(self):
        path = "/api/v1/namespaces/default/configmaps/settings"
        for headers, query in (({"User_Agent": "curl/8"}, ""), ({"User_Agent": "Mozilla/5.0"}, ""), ({"User_Agent": "x"}, "?pretty=1"),
                               ({"User_Agent": "curl/8"}, "?pretty=0"), ({"User_Agent": "x"}, "")):
            with self.subTest(headers=headers, query=query):
                real = self.api.answer("GET", path + query, **headers)[2]
                ours = self.get("/clusters/cluster1" + path + query, **headers)[2]
                self.assertEqual(ours.startswith(b"{\n  \""), real.startswith(b"{\n  \""))

    def test_what_is_only_tried_on_the_devcluster_is_not_done(self):
        for version in VERSIONS:
            kubectl = Kubectl(self.devcluster, version=version)
            self.assertIn("(server dry run)", kubectl.run("create", "configmap", "tried", "--from-literal=a=b", "--dry-run=server").stdout)
            self.assertEqual(kubectl.run("get", "cm", "tried", check=False).returncode, 1)

    def test_the_devcluster_leaves_unknown_members_to_who_writes(self):
        for version in VERSIONS:
            refused = Kubectl(self.devcluster, version=version).run("apply", "-f", "-", stdin=config_map("x", dta={"a": "b"}), check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn('unknown field "dta"', refused.stderr)


def told(document):
    """Without what is ours alone, what no two servers have in common, and what columns are described as."""
    if isinstance(document, list):
        return [told(one) for one in document]
    if not isinstance(document, dict):
        return document
    kept = {}
    for name, value in document.items():
        if name in ("managedFields", "resourceVersion") or (name == "description" and "priority" in document):
            continue
        if name in ("labels", "annotations"):
            value = {key: one for key, one in value.items() if not key.startswith("fleet.transport-informer.io/")}
            if not value:
                continue
        if name == "cells":
            value = value[:-1]  # The age.
        kept[name] = told(value)
    return kept
