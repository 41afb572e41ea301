"""Objects of a real API server travel through a real broker into an informer's copy: what a user sees on a good day."""

import json

from real import ApiServer, Etcd, Kubectl, Mosquitto, ScenarioCase, served, wait_until

WIDGETS = "widgets.shop.example.com"


def config_map(name, value="v", namespace="default", labels=None):
    return {"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, "labels": labels or {}}, "data": {"key": value}}


def deployment(name, image="busybox"):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "one", "image": image}]}}}}


def widget_definition(group="shop.example.com", plural="widgets", kind="Widget"):
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced",
                     "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "shortNames": [kind[:2].lower()]},
                     "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                         "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


class OneCluster(ScenarioCase):
    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))
        cls.broker = cls.start_for_all(Mosquitto())
        cls.kubectl = Kubectl(cls.api.kubeconfig())
        cls.main = cls.start_for_all(cls.unstarted_provider(cluster="c1"))

    def setUp(self):
        self.main.endpoint.wait_ready()

    def namespace(self, name):
        self.api.put("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return f"/api/v1/namespaces/{name}/configmaps"

    def offered_once(self, *flags, cluster="c1"):
        """The resources that an informer which takes everything is offered."""
        informer = self.informer("--cluster", cluster, "--once", *flags)
        self.assertEqual(informer.wait_for_exit(30), 0)
        return {resource for _, resource in informer.copy.refresh().synced}

    def test_creates_updates_and_deletes_of_a_config_map_arrive_in_this_order(self):
        informer = self.informer("-r", "configmaps")
        informer.copy.wait_synced("c1", "configmaps")
        self.kubectl.apply(config_map("ordered", "one"))
        informer.copy.wait_for("ADDED", "ordered")
        self.kubectl.apply(config_map("ordered", "two"))
        informer.copy.wait_for("MODIFIED", "ordered")
        self.assertEqual(informer.copy.objects("c1", "configmaps")["default", "ordered"]["data"], {"key": "two"})
        self.kubectl.run("delete", "configmap", "ordered")
        informer.copy.wait_for("DELETED", "ordered")
        self.assertEqual([change for change, key in informer.copy.changes if key[3] == "ordered"],
                         ["ADDED", "MODIFIED", "DELETED"])
        informer.copy.wait_until_equal(lambda: served(self.api, "configmaps"), "c1", "configmaps")

    def test_a_deployment_travels_with_spec_and_status(self):
        informer = self.informer("-r", "deployments")
        informer.copy.wait_synced("c1", "deployments.apps")
        path = "/apis/apps/v1/namespaces/default/deployments"
        self.api.put(path, deployment("web"))
        informer.copy.wait_for("ADDED", "web")
        self.api.must("PATCH", f"{path}/web/status", {"status": {"observedGeneration": 1, "replicas": 1}},
                      content_type="application/merge-patch+json")
        informer.copy.wait_until_equal(lambda: served(self.api, "deployments.v1.apps"), "c1", "deployments.apps")
        self.assertEqual(informer.copy.objects("c1", "deployments.apps")["default", "web"]["status"]["replicas"], 1)
        self.kubectl.run("delete", "deployment", "web")
        informer.copy.wait_for("DELETED", "web")

    def test_a_definition_made_meanwhile_is_offered_without_a_restart_and_withdrawn_when_it_goes(self):
        informer = self.informer("--cluster", "c1")
        informer.copy.wait_synced("c1", "configmaps")
        self.kubectl.apply(widget_definition())
        self.kubectl.run("wait", "--for=condition=Established", f"crd/{WIDGETS}")
        self.kubectl.apply({"apiVersion": "shop.example.com/v1alpha1", "kind": "Widget",
                            "metadata": {"name": "w1", "namespace": "default"}, "spec": {"size": 1.50}})
        informer.copy.wait_synced("c1", WIDGETS, deadline=60)
        informer.copy.wait_for("ADDED", "w1")
        self.kubectl.run("annotate", "widget", "w1", "note=later")
        informer.copy.wait_for("MODIFIED", "w1")
        informer.copy.wait_until_equal(lambda: served(self.api, "widgets.v1alpha1.shop.example.com"), "c1", WIDGETS)
        self.kubectl.run("delete", "crd", WIDGETS)
        informer.copy.wait_for("DELETED", "w1")
        informer.wait_for_error(f"no longer offered.*{WIDGETS}", deadline=60)
        wait_until(lambda: informer.endpoint.metric("tinf_informer_objects", resource=WIDGETS) is None, 10,
                   "its metrics are gone with it")
        informer.endpoint.wait_ready()

    def test_a_definition_that_comes_back_is_followed_again(self):
        # Deleted and made anew, perhaps between two looks at what there is.
        definition = widget_definition("again.example.com", "gadgets", "Gadget")
        path = "/apis/again.example.com/v1/namespaces/default/gadgets"
        definition["spec"]["versions"][0]["name"] = "v1"
        informer = self.informer("--cluster", "c1")
        informer.copy.wait_synced("c1", "configmaps")
        for number in range(2):
            self.kubectl.apply(definition)
            self.kubectl.run("wait", "--for=condition=Established", "crd/gadgets.again.example.com")
            self.api.must("POST", path, {"apiVersion": "again.example.com/v1", "kind": "Gadget",
                                         "metadata": {"name": f"g{number}"}})
            informer.copy.wait_for("ADDED", f"g{number}", deadline=60)
            if number == 0:
                self.kubectl.run("delete", "crd", "gadgets.again.example.com")
                informer.copy.wait_for("DELETED", "g0", deadline=60)
        informer.copy.wait_until_equal(lambda: served(self.api, "gadgets.v1.again.example.com"), "c1",
                                       "gadgets.again.example.com")
        self.kubectl.run("delete", "crd", "gadgets.again.example.com")

    def test_a_definition_that_changes_its_version_is_followed_in_the_new_one(self):
        definition = widget_definition("versions.example.com", "gizmos", "Gizmo")
        self.kubectl.apply(definition)
        self.kubectl.run("wait", "--for=condition=Established", "crd/gizmos.versions.example.com")
        self.api.must("POST", "/apis/versions.example.com/v1alpha1/namespaces/default/gizmos",
                      {"apiVersion": "versions.example.com/v1alpha1", "kind": "Gizmo", "metadata": {"name": "versioned"}})
        informer = self.informer("--cluster", "c1")
        informer.wait_for_line('"version":"v1alpha1","resource":"gizmos".*"name":"versioned"', deadline=60)
        versions = definition["spec"]["versions"]
        versions.append({**versions[0], "name": "v1", "storage": False})
        self.kubectl.apply(definition)
        informer.wait_for_line('"type":"SYNCED".*"version":"v1","resource":"gizmos"', deadline=60)
        informer.wait_for_line('"type":"ADDED".*"version":"v1","resource":"gizmos".*"name":"versioned"')
        informer.endpoint.wait_ready()
        self.assertEqual(informer.endpoint.metric("tinf_informer_objects", resource="gizmos.versions.example.com"), 1)
        self.kubectl.run("delete", "crd", "gizmos.versions.example.com")

    def test_a_definition_that_comes_back_with_another_scope_is_followed_under_it(self):
        definition, name = widget_definition("scopes.example.com", "gears", "Gear"), "gears.scopes.example.com"
        gear = {"apiVersion": "scopes.example.com/v1alpha1", "kind": "Gear", "metadata": {"name": "g"}}
        root = "/apis/scopes.example.com/v1alpha1"
        self.kubectl.apply(definition)
        self.kubectl.run("wait", "--for=condition=Established", f"crd/{name}")
        self.api.must("POST", f"{root}/namespaces/default/gears", gear)
        wait_until(lambda: name in self.offered_once(), 60, "it is offered")
        informer = self.informer("-r", name, "-n", "default")
        informer.copy.wait_for("ADDED", "g")
        self.kubectl.run("delete", "crd", name)
        definition["spec"]["scope"] = "Cluster"
        self.kubectl.apply(definition)  # Perhaps between two looks at what there is.
        self.kubectl.run("wait", "--for=condition=Established", f"crd/{name}")
        self.api.must("POST", f"{root}/gears", {**gear, "metadata": {"name": "wide"}})
        self.assertEqual(informer.copy.wait_for("ADDED", "wide", deadline=60), ("c1", name, "", "wide"))
        informer.endpoint.wait_ready()
        self.kubectl.run("delete", "crd", name)

    def test_a_resource_whose_group_prefers_a_version_without_it_is_followed_too(self):
        old, new = (widget_definition("mixed.example.com", *names) for names in (("bolts", "Bolt"), ("nuts", "Nut")))
        new["spec"]["versions"][0]["name"] = "v1"
        self.kubectl.apply(old, new)
        for plural in ("bolts", "nuts"):
            self.kubectl.run("wait", "--for=condition=Established", f"crd/{plural}.mixed.example.com")
        wait_until(lambda: {"bolts.mixed.example.com", "nuts.mixed.example.com"} <= self.offered_once(), 60, "both come by themselves")
        self.kubectl.run("delete", "crd", "bolts.mixed.example.com", "nuts.mixed.example.com")

    def test_roles_may_have_names_that_json_escapes(self):
        informer = self.informer("-r", "roles", "-r", "clusterroles")
        informer.copy.wait_synced("c1", "roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io")
        names = ["a&b", "<tag>", '"quoted"', "back\\slash", "two words", "line\nend", "caf\u00e9"]
        for name in names:
            for kind, path in (("Role", "namespaces/default/roles"), ("ClusterRole", "clusterroles")):
                self.api.must("POST", f"/apis/rbac.authorization.k8s.io/v1/{path}",
                              {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "rules": []})
        for resource in ("roles", "clusterroles"):
            informer.copy.wait_until_equal(lambda: served(self.api, f"{resource}.v1.rbac.authorization.k8s.io"), "c1",
                                           f"{resource}.rbac.authorization.k8s.io")
        for name in names:
            self.kubectl.run("delete", "role", name)
            self.kubectl.run("delete", "clusterrole", name)
            informer.copy.wait_for("DELETED", name)
        informer.endpoint.wait_ready()

    def test_cluster_scoped_objects_travel_without_a_namespace(self):
        informer = self.informer("-r", "ns", "-r", "clusterroles")
        informer.copy.wait_synced("c1", "namespaces", "clusterroles.rbac.authorization.k8s.io")
        self.namespace("scoped")
        self.kubectl.run("create", "clusterrole", "scoped", "--verb=get", "--resource=pods")
        self.assertEqual(informer.copy.wait_for("ADDED", "scoped"), ("c1", "namespaces", "", "scoped"))
        for resource in ("namespaces", "clusterroles.v1.rbac.authorization.k8s.io"):
            name, _, rest = resource.partition(".v1.")
            informer.copy.wait_until_equal(lambda: served(self.api, resource), "c1", f"{name}.{rest}" if rest else name)
        self.kubectl.run("delete", "clusterrole", "scoped")
        informer.copy.wait_for("DELETED", "scoped")

    def test_whatever_is_there_at_once_is_equal_in_every_resource(self):
        informer = self.informer("--cluster", "c1", "--once")
        self.assertEqual(informer.wait_for_exit(30), 0)
        for resource in ("configmaps", "namespaces", "serviceaccounts", "services"):
            informer.copy.wait_until_equal(lambda: served(self.api, resource), "c1", resource)
        for name, version, group in (("clusterroles", "v1", "rbac.authorization.k8s.io"), ("apiservices", "v1", "apiregistration.k8s.io"),
                                     ("flowschemas", "v1", "flowcontrol.apiserver.k8s.io")):
            informer.copy.wait_until_equal(lambda: served(self.api, f"{name}.{version}.{group}"), "c1", f"{name}.{group}")

    def test_a_label_selector_follows_objects_in_and_out(self):
        path = self.namespace("labels")
        informer = self.informer("-r", "cm", "-l", "app in (a, b),tier!=cache", "-n", "labels")
        informer.copy.wait_synced("c1", "configmaps")
        self.api.put(path, config_map("in", namespace="labels", labels={"app": "a"}))
        self.api.put(path, config_map("out", namespace="labels", labels={"app": "a", "tier": "cache"}))
        self.api.put(path, config_map("comes", namespace="labels", labels={"app": "c"}))
        informer.copy.wait_for("ADDED", "in")
        self.kubectl.run("label", "-n", "labels", "configmap", "comes", "app=b", "--overwrite")
        informer.copy.wait_for("ADDED", "comes")
        self.kubectl.run("label", "-n", "labels", "configmap", "in", "app-")
        informer.copy.wait_for("DELETED", "in")
        informer.copy.wait_until_equal(
            lambda: served(self.api, "configmaps", "labels", "labelSelector=app%20in%20(a,b),tier!=cache"), "c1", "configmaps")
        self.assertEqual(informer.copy.names("c1", "configmaps"), ["comes"])

    def test_a_field_selector_gives_one_object(self):
        path = self.namespace("fields")
        for name in ("this", "that"):
            self.api.put(path, config_map(name, namespace="fields"))
        informer = self.informer("-r", "cm", "--field-selector", "metadata.name=this,metadata.namespace=fields", "--once")
        self.assertEqual(informer.wait_for_exit(30), 0)
        self.assertEqual(list(informer.copy.objects("c1", "configmaps")), [("fields", "this")])

    def test_a_field_selector_that_the_resource_does_not_know_is_told_with_the_servers_words(self):
        informer = self.informer("-r", "cm", "--field-selector", "spec.nodeName=n", "--once", "--timeout", "5s", exit_status=1)
        self.assertEqual(informer.wait_for_exit(30), 1)
        self.assertRegex(informer.errors[-1], r"--timeout: configmaps of c1 .*spec\.nodeName. is not a known field selector")

    def test_a_namespace_confines_and_leaves_out_what_has_none(self):
        for name in ("here", "there"):
            self.api.put(self.namespace(name), config_map("twin", namespace=name))
        informer = self.informer("-n", "here", "--once")
        self.assertEqual(informer.wait_for_exit(30), 0)
        informer.copy.refresh()
        self.assertEqual({key[2] for _, key in informer.copy.changes}, {"here"})
        self.assertEqual(informer.copy.names("c1", "configmaps"), ["twin"])
        self.assertNotIn(("c1", "namespaces"), informer.copy.synced)

    def test_a_namespace_that_comes_later_is_followed(self):
        informer = self.informer("-n", "later", "-r", "cm")
        informer.copy.wait_synced("c1", "configmaps")
        self.api.put(self.namespace("later"), config_map("first", namespace="later"))
        informer.copy.wait_for("ADDED", "first")

    def test_metadata_only_leaves_spec_and_data_with_the_provider(self):
        path = self.namespace("meta")
        self.api.put(path, config_map("m", "secretly", "meta", {"a": "b"}))
        informer = self.informer("-r", "cm", "-r", "deploy", "-n", "meta", "--metadata-only")
        informer.copy.wait_synced("c1", "configmaps", "deployments.apps")
        informer.copy.wait_for("ADDED", "m")
        self.api.must("PUT", f"{path}/m", config_map("m", "secretly two", "meta", {"a": "c"}))
        informer.copy.wait_for("MODIFIED", "m")
        now = informer.copy.objects("c1", "configmaps")["meta", "m"]
        self.assertEqual(set(now), {"apiVersion", "kind", "metadata"})
        self.assertEqual(now["metadata"], served(self.api, "configmaps", "meta")["meta", "m"]["metadata"])
        self.assertNotIn("secretly", "".join(informer.lines))

    def test_managed_fields_travel_only_if_both_sides_want_them(self):
        path = self.namespace("managed")
        self.api.put(path, config_map("m", namespace="managed"))
        keeping = self.provider("--managed-fields", "--offer", "configmaps", cluster="keeping")
        keeping.endpoint.wait_ready()
        for cluster, flags, wanted in (("keeping", ["--managed-fields"], True), ("keeping", [], False),
                                       ("c1", ["--managed-fields"], False)):
            with self.subTest(cluster=cluster, flags=flags):
                informer = self.informer("--cluster", cluster, "-r", "cm", "-n", "managed", "--once", *flags)
                self.assertEqual(informer.wait_for_exit(30), 0)
                informer.copy.wait_until_equal(
                    lambda: served(self.api, "configmaps", "managed", managed_fields=wanted), cluster, "configmaps")

    def test_a_resource_is_understood_in_every_spelling_of_kubectls(self):
        roles, deployments = "clusterroles.rbac.authorization.k8s.io", "deployments.apps"
        spellings = {"configmaps": "configmaps", "configmap": "configmaps", "cm": "configmaps", "ConfigMap": "configmaps",
                     "configmaps.v1.": "configmaps", "deployments": deployments, "deployment": deployments,
                     "deploy": deployments, "Deployment": deployments, "deployments.apps": deployments,
                     "deploy.apps": deployments, "deployments.v1.apps": deployments, "Deployment.v1.apps": deployments,
                     "DEPLOY": deployments, "clusterrole.rbac.authorization.k8s.io": roles,
                     "clusterroles.v1.rbac.authorization.k8s.io": roles}
        informers = {spelling: self.informer("--cluster", "c1", "-r", spelling, "--once", "--timeout", "30s")
                     for spelling in spellings}
        for spelling, informer in informers.items():
            with self.subTest(spelling):
                self.assertEqual(informer.wait_for_exit(60), 0)
                self.assertEqual(informer.copy.refresh().synced, {("c1", spellings[spelling])})

    def test_a_resource_in_another_version_is_followed_in_that_version(self):
        informer = self.informer("-r", "horizontalpodautoscalers.v1.autoscaling", "--once")
        self.assertEqual(informer.wait_for_exit(30), 0)
        self.assertEqual({json.loads(line)["version"] for line in informer.lines}, {"v1"})
        informer = self.informer("-r", "hpa", "--once")
        self.assertEqual(informer.wait_for_exit(30), 0)
        self.assertEqual({json.loads(line)["version"] for line in informer.lines}, {"v2"})

    def test_once_gives_up_after_its_timeout_and_says_what_is_missing(self):
        status, _, errors = self.run_to_end("informer", "--broker", self.broker.url, "--cluster", "nowhere", "--once",
                                            "--timeout", "2s")
        self.assertEqual(status, 1)
        self.assertRegex(errors[-1], "informer: .*--timeout.*cluster nowhere")

    def test_json_lines_have_the_documented_members_in_their_order(self):
        informer = self.informer("-r", "apiservices", "--once")
        self.assertEqual(informer.wait_for_exit(30), 0)
        informer.copy.refresh()  # Checks the members of every line.
        first = json.loads(informer.lines[0])
        self.assertEqual((first["type"], first["cluster"], first["group"], first["version"], first["resource"], first["namespace"]),
                         ("ADDED", "c1", "apiregistration.k8s.io", "v1", "apiservices", ""))

    def test_text_lines_name_cluster_change_resource_object_and_version(self):
        self.api.put(self.namespace("lines"), config_map("m", namespace="lines"))
        informer = self.informer("-r", "cm", "-n", "lines", output="lines")
        informer.wait_for_line(r"^c1  ADDED  configmaps  lines/m  rv=\d+$")
        informer.wait_for_line(r"^c1  SYNCED  configmaps  1 object$")
        self.kubectl.run("delete", "configmap", "-n", "lines", "m")
        informer.wait_for_line(r"^c1  DELETED  configmaps  lines/m  rv=\d+$")

    def test_output_none_says_nothing(self):
        informer = self.informer("-r", "cm", "--once", output="none")
        self.assertEqual(informer.wait_for_exit(30), 0)
        self.assertEqual(informer.lines, [])

    def test_resync_prints_again_what_is_there(self):
        self.api.put(self.namespace("resync"), config_map("m", namespace="resync"))
        informer = self.informer("-r", "cm", "-n", "resync", "--resync", "500ms")
        wait_until(lambda: [change for change, _ in informer.copy.refresh().changes].count("MODIFIED") >= 2, 20, "two resyncs")

    def test_secrets_events_and_leases_stay_where_they_are_unless_allowed(self):
        offered = self.offered_once()
        self.assertIn("configmaps", offered)
        self.assertFalse(offered & {"secrets", "events", "events.events.k8s.io", "leases.coordination.k8s.io"})
        status, _, errors = self.run_to_end("informer", "--broker", self.broker.url, "--cluster", "c1", "-r", "secrets", deadline=40)
        self.assertEqual(status, 1)
        self.assertRegex(errors[-1], '"secrets" is offered.*--allow secrets')

    def test_an_allowed_secret_travels(self):
        self.provider("--allow", "secrets", cluster="open").endpoint.wait_ready()
        self.api.put("/api/v1/namespaces/default/secrets", {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "p"}})
        offered = self.offered_once(cluster="open")
        self.assertIn("secrets", offered)
        self.assertFalse(offered & {"events", "leases.coordination.k8s.io"})
        informer = self.informer("--cluster", "open", "-r", "secrets", "--once")
        self.assertEqual(informer.wait_for_exit(30), 0)
        informer.copy.wait_until_equal(lambda: served(self.api, "secrets"), "open", "secrets")

    def test_offer_names_all_there_is_and_deny_takes_away(self):
        self.provider("--offer", "cm", "deployments.apps", "--offer", "leases", cluster="few").endpoint.wait_ready()
        self.provider("--deny", "configmaps", "--deny", "Deployment", cluster="less").endpoint.wait_ready()
        self.assertEqual(self.offered_once(cluster="few"), {"configmaps", "deployments.apps", "leases.coordination.k8s.io"})
        less = self.offered_once(cluster="less")
        self.assertFalse(less & {"configmaps", "deployments.apps"})
        self.assertIn("namespaces", less)

    def test_what_the_account_may_not_read_is_not_offered(self):
        reader = self.api.grant("restricted", [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
                                               {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list"]}])
        self.provider(cluster="restricted", kubeconfig=reader).endpoint.wait_ready()
        self.assertEqual(self.offered_once(cluster="restricted"), {"configmaps"})

    def test_a_large_and_odd_object_arrives_as_it_is(self):
        path = self.namespace("odd")
        thing = config_map("odd", namespace="odd")
        thing["metadata"]["annotations"] = {"unicode": "ä€😀\u2028\u0007", "quote": "\"\\/\n\t", "managedFields": "[1]"}
        thing["data"] = {"large": "0123456789abcdef" * 60000}  # More than one message of the broker's can hold.
        informer = self.informer("-r", "cm", "-n", "odd")
        informer.copy.wait_synced("c1", "configmaps")
        self.api.put(path, thing)
        informer.copy.wait_for("ADDED", "odd")
        thing["data"]["more"] = "x"
        self.api.must("PUT", f"{path}/odd", thing)
        informer.copy.wait_until_equal(lambda: served(self.api, "configmaps", "odd"), "c1", "configmaps")
        again = self.informer("-r", "cm", "-n", "odd", "--once")
        self.assertEqual(again.wait_for_exit(30), 0)
        again.copy.wait_until_equal(lambda: served(self.api, "configmaps", "odd"), "c1", "configmaps")
