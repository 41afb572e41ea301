"""One cluster, and its copy in an informer with --serve: kubectl, old and new, cannot tell them apart but by what is meant."""

import collections
import concurrent.futures
import http.client
import itertools
import json
import pathlib
import re
import shlex
import threading

from real import (ApiServer, Etcd, Kubectl, Mosquitto, ScenarioCase, menagerie, transcript, wait_until)

VERSIONS = ("new", "old")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "api.md"

# All differences of words that are allowed, beyond the marks of the fleet. Each reason stands in docs/api.md as it does here.
Meant = collections.namedtuple("Meant", "reason pattern instead")
MEANT = (
    Meant("`metadata.resourceVersion` is the version here; the cluster's own is in the annotation", r"Resource Version: +\d+", "VERSION"),
    Meant("a server names its own address", r"https?://127\.0\.0\.1:\d+(?:/clusters/cluster1)?", "SERVER"),
    Meant("warnings about deprecated APIs are the API server's own", r"(?m)^Warning: v1 Endpoints is deprecated.*\n", ""),
    Meant("kubectl asks for a node's lease in `kube-node-lease`, which names no cluster, and is warned",
          r'(?m)^Warning: the namespace "kube-node-lease" names no cluster.*\n', ""),
    Meant("what is wrong with a selector or a token is said in other words", r"unable to parse .*|invalid selector: .*", "UNREADABLE"),
)

# Asked of both with both kubectls; what comes out is the same, line by line, and so is the exit code.
SAME = """
get pods
get pods -A
get pods -o wide
get pods -n shop
get pods -n nosuch
get pods running crashing
get pods running nosuch
get pods running nosuch --ignore-not-found
get pod nosuch
get pod/running svc/web cm/settings
get po,svc,deploy
get po,nosuch
get pods -o yaml
get pod running -o json
get pod running -o yaml --show-managed-fields
get pods -o name
get pods --no-headers --show-kind
get pods --show-labels
get pods -L app,tier
get pods -l app
get pods -l app==web,tier!=front
get pods -l 'tier in (front,back),app notin (db)'
get pods -l '!app'
get pods -l 'a b c'
get pods -A --field-selector metadata.namespace=default,status.phase!=Running
get pods --field-selector status.phase=Running,spec.nodeName=n1
get pods --field-selector metadata.name=running
get pods --field-selector 'status.phase='
get pods --field-selector a
get pods --sort-by=.metadata.name
get pods --sort-by=.status.phase
get pods --sort-by=.spec.nosuch
get pods --chunk-size=3
get pods --chunk-size=3 -o name
get pods -o 'jsonpath={range .items[*]}{.metadata.name}{"\\t"}{.status.phase}{"\\n"}{end}'
get pods -o 'custom-columns=NAME:.metadata.name,NODE:.spec.nodeName,IMAGES:.spec.containers[*].image'
get pods -o 'go-template={{range .items}}{{.metadata.name}} {{.metadata.uid}}{{"\\n"}}{{end}}'
get deployments.apps/web
get deployments.v1.apps web -o yaml
get deploy,rs,sts,ds,controllerrevisions,rc,podtemplates -o wide
get jobs,cronjobs,pdb,hpa -o wide
get services,endpoints,endpointslices,ingresses,ingressclasses,networkpolicies -o wide
get nodes
get nodes -o wide --show-labels -L zone
get nodes -o yaml
get nodes -l node-role.kubernetes.io/worker
get configmaps -A
get cm settings -o yaml
get cm settings -o 'jsonpath={.data.words}'
get cm huge -o json
get secret login -o yaml
get namespaces
get ns leaving -o json
get events
get events -o wide
get events -o yaml
get events --field-selector involvedObject.name=running,type!=Warning
get sa,secrets,limitranges,roles,rolebindings,leases -o wide
get quota -n shop
get clusterrolebindings,clusterroles,priorityclasses,runtimeclasses,apiservices -o wide
get sc,pv,pvc,volumeattachments,csidrivers,csinodes,csistoragecapacities -o wide
get mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings
get prioritylevelconfigurations,csr,deviceclasses,resourceclaims,ipaddresses,servicecidrs
get crd
get crd widgets.shop.example.com -o yaml
get widgets
get wi -A -o wide
get widgets full -o yaml
get plains,toys
get all
get all -A -o name
get nosuch
get nosuch.example.com
get pods.nosuch
describe pods
describe pod running
describe pod nosuch
describe deploy,rs,sts,ds,jobs,cronjobs
describe svc
describe ep,endpointslices,ingresses,netpol
describe nodes
describe cm empty
describe secrets,sa,limits,roles,rolebindings
describe ns shop default
describe pv,pvc,sc
describe pdb
describe quota -n shop
describe crd,widgets,plains
describe events,lease,priorityclasses
explain pods.spec.containers
explain deployments.spec.strategy --recursive
explain pods.spec.nosuch
explain nosuch
wait --for=condition=Ready pod/running --timeout=2s
wait --for=condition=Ready=false pod/crashing --timeout=2s
wait --for=condition=Available deploy/web --timeout=1s
wait --for=jsonpath={.status.phase}=Running pod/running --timeout=2s
wait --for=delete pod/nosuch --timeout=2s
wait --for=condition=Ready pod/nosuch --timeout=1s
rollout status deploy/idle --timeout=2s
rollout history deploy/web
top pods
top nodes
cluster-info
"""
# Of kubectl 1.34 alone: 1.20 does not know them, asks for a version of which there is no copy, or has no order in what it prints.
SAME_WITH_NEW = """
describe cm settings
describe hpa
events --for pod/running
events --types=Warning
get --raw /api/v1/namespaces/default/pods/nosuch
get --raw /api/v1/nosuch
get --raw /apis/nosuch.example.com
get --raw /nosuch
get --raw /livez
get --raw /readyz
"""

# Asked for all clusters, with a cluster's names told as those of the fleet: what is in braces gets the cluster in front.
SAME_WITH_THE_FLEET = """
get pods -A -o wide --show-labels
get pods -n {default}
get pods -n {default} running nosuch
get pod running -n {default} -o yaml
get pods -n {default} -l 'tier in (front,back)' -o name
get pods -A --field-selector spec.nodeName=n1,status.phase=Running
get pods -n {default} --chunk-size=3 --sort-by=.metadata.name
get deploy,rs,sts,ds,jobs,cronjobs,svc,ingresses -A -o wide
get nodes,pv,sc,namespaces
get nodes {n1} -o yaml
get events -n {default} -o wide
get widgets -A -o wide
get all -n {default}
describe pod running -n {default}
describe deploy web -n {default}
describe cm settings -n {shop}
describe ns {shop}
describe node {nosuch}
describe node {n1}
explain ingresses.spec.rules
wait --for=condition=Ready pod/running -n {default} --timeout=2s
get nosuch
"""

ODD = """
/api/v1/namespaces/default/configmaps/nosuch
/api/v1/namespaces/nosuch/configmaps
/api/v1/configmaps/empty
/api/v1/nodes/nosuch
/api/v1/namespaces/default/nodes
/api/v1/nosuch
/api/v2
/apis/apps/v9
/apis/shop.example.com/v1/namespaces/default/widgets/nosuch
/api/v1/configmaps?limit=x
/api/v1/configmaps?limit=-1
/api/v1/configmaps?resourceVersion=x
/api/v1/configmaps?resourceVersion=999999999999999999
/api/v1/namespaces/default/configmaps/empty?resourceVersion=999999999999999999
/api/v1/configmaps?resourceVersionMatch=Exact
/api/v1/configmaps?resourceVersion=0&resourceVersionMatch=Exact
/api/v1/configmaps?resourceVersion=1&resourceVersionMatch=Odd
/api/v1/configmaps?sendInitialEvents=true
/api/v1/configmaps?watch=1&sendInitialEvents=true
/api/v1/configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=Exact
/api/v1/configmaps?watch=1&resourceVersionMatch=NotOlderThan
/api/v1/configmaps?watch=1&timeoutSeconds=x
/api/v1/configmaps?watch=x&timeoutSeconds=1&fieldSelector=metadata.name%3Dempty
/api/v1/configmaps?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dempty&resourceVersion=0
/api/v1/configmaps?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dempty&sendInitialEvents=true&resourceVersionMatch=NotOlderThan
/api/v1/configmaps?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dempty&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true
"""

# Begun before anything happens; what each prints of it is the same.
WATCHES = """
get cm -w --output-watch-events
get cm --watch-only -l shade=red -o wide --output-watch-events
get cm -A -w -o name
get cm --watch-only -o 'jsonpath={.metadata.name} {.metadata.labels.shade} {.data.a}{"\\n"}'
get cm -w --show-labels --no-headers --field-selector metadata.namespace=default
get cm -L shade -l 'shade notin (blue)' --watch-only --output-watch-events
get pods -w -o wide --output-watch-events
get pods -A --watch-only --field-selector status.phase=Pending --output-watch-events
get wi -w -L shade --output-watch-events
"""
MAPS, PODS = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods"
WIDGETS = "/apis/shop.example.com/v1/namespaces/default/widgets"
WATCHED = {MAPS: {"data": {"a": "1"}}, PODS: {"spec": {"containers": [{"name": "c", "image": "nginx"}]}},
           WIDGETS: {"apiVersion": "shop.example.com/v1", "kind": "Widget"}}

# Resources of the API server of which there can be no copy, or which are held under another group.
NOT_LISTED = {"bindings", "componentstatuses", "events", "events.events.k8s.io"}


def lines_of(text):
    return [line for line in text.splitlines() if line]


def meant(text):
    for one in MEANT:
        text = re.sub(one.pattern, one.instead, text)
    return text


class Printing:
    """A kubectl that goes on printing, and its lines so far: on stdout, or in another of its pipes."""

    def __init__(self, process, pipe=None):
        self._process = process
        self._pipe = pipe or process.stdout
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def says(self, word):
        return any(word in line for line in list(self.lines))

    def wait(self, seconds):
        """(exit code, stdout) of one whose lines are on stderr"""
        self._process.wait(seconds)
        return self._process.returncode, self._process.stdout.read()

    def stop(self):
        self._process.kill()
        self._reader.join()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            pipe.close()

    def _read(self):
        for line in self._pipe:
            self.lines.append(line.rstrip("\n"))


class Copied:
    """A real API server, a provider, and an informer that serves their copy; both kubectls for each."""

    def __init__(self, case):
        self.api = case.start_for_all(ApiServer(case.start_for_all(Etcd())))
        menagerie.populate(self.api)
        case.start_for_all(case.unstarted_provider("--allow", "secrets", "events", "leases", "--managed-fields", cluster="cluster1", api=self.api))
        self.informer = case.start_for_all(case.unstarted_informer("--serve", "127.0.0.1:0", output="none"))
        self.url = self.informer.wait_for_error(r'url="?(http://[0-9.:]+)').group(1)
        self.informer.endpoint.wait_ready()
        own = self.url + "/clusters/cluster1"
        self.source = {version: Kubectl(self.api.kubeconfig(), version=version) for version in VERSIONS}
        self.copy = {version: Kubectl(server=own, version=version) for version in VERSIONS}
        self.fleet = {version: Kubectl(server=self.url, version=version) for version in VERSIONS}
        # What is asked of discovery is kept in files, which are not to be written by many at once.
        all_of_them = [kubectl for some in (self.source, self.copy, self.fleet) for kubectl in some.values()]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for _ in pool.map(lambda kubectl: kubectl.run("api-resources"), all_of_them):
                pass
        self._connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        case.addClassCleanup(self._connection.close)

    def ask_copy(self, path, accept="*/*"):
        """(status, parsed answer) of /clusters/cluster1"""
        self._connection.request("GET", "/clusters/cluster1" + path, headers={"Accept": accept})
        answer = self._connection.getresponse()
        text = answer.read().decode()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def said(self, version, line, fleet=False):
        """What is different, as text; empty if nothing is."""
        words = shlex.split(re.sub(r"\{([a-z0-9]+)\}", r"\1", line) if fleet else line)
        asked = shlex.split(re.sub(r"\{([a-z0-9]+)\}", r"cluster1.\1", line)) if fleet else words
        expected = self.source[version].run(*words, check=False)
        found = (self.fleet if fleet else self.copy)[version].run(*asked, check=False)
        different = []
        if expected.returncode != found.returncode:
            different.append(f"exit code {found.returncode} instead of {expected.returncode}")
        for left, right in ((expected.stdout, found.stdout), (expected.stderr, found.stderr)):
            right = transcript.without_marks(right)
            if fleet:
                right = right.replace("cluster1.", "")
            different += transcript.differences(transcript.canonical(meant(left)), meant(right))
        return f"$ kubectl {line}   # {version}\n" + "\n".join(different) if different else ""


class InTheHandsOfBothKubectls(ScenarioCase):
    """Of all kinds of objects, and of odd ones."""

    @classmethod
    def start_parts(cls):
        cls.broker = cls.start_for_all(Mosquitto())
        cls.world = Copied(cls)

    def assert_same(self, asked, fleet=False):
        """asked: (version, line) pairs"""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            different = [words for words in pool.map(lambda one: self.world.said(*one, fleet=fleet), asked) if words]
        self.assertFalse(different, "\n" + "\n".join(different)[:20000])

    def test_of_one_cluster(self):
        self.assert_same([(version, line) for version in VERSIONS for line in lines_of(SAME)] + [("new", line) for line in lines_of(SAME_WITH_NEW)])

    def test_of_all_clusters(self):
        self.assert_same([(version, line) for version in VERSIONS for line in lines_of(SAME_WITH_THE_FLEET)], fleet=True)

    def test_every_collection_in_every_form(self):
        """What kubectl shows is made of Tables; what other clients get, of lists and of metadata."""
        for path, kind in menagerie.collections(self.world.api).items():
            if path in ("/apis/events.k8s.io/v1/events", "/api/v1/componentstatuses"):
                continue  # Followed as v1 alone; made up by the API server at each request.
            with self.subTest(path):
                self._compare_lists(path, kind)
                self._compare_tables(path)
                expected, found = (self._items(ask(path, accept=METADATA)[1]) for ask in (self._ask_source, self.world.ask_copy))
                self.assertEqual(expected, found)

    def test_what_is_asked_in_odd_ways(self):
        """Codes, and documents of failures; of watches, all that they tell within a second."""
        for path in lines_of(ODD):
            with self.subTest(path):
                (status, expected), (other, found) = self._ask_source(path), self.world.ask_copy(path)
                self.assertEqual((status, self._told(expected)), (other, self._told(found)))

    @staticmethod
    def _told(answer):
        """With the versions of either server made one; of a list that was granted, only that it was."""
        if isinstance(answer, str):
            answer = [json.loads(line) for line in answer.splitlines()]
        if isinstance(answer, dict) and str(answer.get("kind")).endswith("List"):
            return answer["kind"]
        if isinstance(answer, dict) and not answer.get("details"):
            answer.pop("details", None)
        text = json.dumps(transcript.unmarked(answer), sort_keys=True)
        return re.sub(r'current: \d+|(?<="annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": ")\d+', "N", text)

    def _ask_source(self, path, accept="*/*"):
        return self.world.api.request("GET", path, accept=accept)

    @staticmethod
    def _items(answer):
        named = {}
        for item in transcript.unmarked(answer["items"] or []):  # Null, of no metadata.
            # An internal conversion adds this one to the object, but not to its metadata alone.
            (item["metadata"].get("annotations") or {}).pop("deprecated.daemonset.template.generation", None)
            if not item["metadata"].get("annotations"):
                item["metadata"].pop("annotations", None)
            named[(item["metadata"].get("namespace"), item["metadata"]["name"])] = item
        return named

    def _compare_lists(self, path, kind):
        (status, expected), (other, found) = self._ask_source(path, "application/json"), self.world.ask_copy(path)
        self.assertEqual((status, other), (200, 200))
        self.assertEqual((expected["kind"], expected["apiVersion"]), (found["kind"], found["apiVersion"]))
        of_kind = {"kind": kind, "apiVersion": expected["apiVersion"]}
        expected, found = self._items(expected), self._items(found)
        # Items of typed lists do not say what they are.
        self.assertEqual({key: {**of_kind, **item} for key, item in expected.items()}, found)

    def _compare_tables(self, path):
        expected, found = (ask(path, accept=TABLE)[1] for ask in (self._ask_source, self.world.ask_copy))
        shown = ("name", "type", "format", "priority")
        columns = [[one[part] for part in shown] for one in expected["columnDefinitions"]]
        self.assertEqual(columns, [[one[part] for part in shown] for one in found["columnDefinitions"]])
        rows = {}
        for row in found["rows"]:
            metadata = row["object"]["metadata"]
            rows[(metadata.get("namespace"), metadata["name"])] = row
        self.assertEqual(len(rows), len(expected["rows"]))
        for row in expected["rows"]:
            metadata = row["object"]["metadata"]
            other = rows[(metadata.get("namespace"), metadata["name"])]
            self.assertEqual(row.get("conditions"), other.get("conditions"))
            for column, left, right in zip(columns, row["cells"], other["cells"]):
                same = left == right if not isinstance(left, str) else transcript.is_same_line(left, str(right))
                self.assertTrue(same, f"{metadata['name']}: {column[0]} is {right!r} instead of {left!r}")

    def test_resources_are_those_of_the_cluster_with_the_verbs_of_reading(self):
        for version in VERSIONS:
            with self.subTest(version):
                for words in ((), ("--namespaced=false",), ("--api-group=apps",), ("--verbs=list,watch",), ("-o", "name")):
                    source, copy = (self._table(kubectl[version], *words) for kubectl in (self.world.source, self.world.copy))
                    self.assertEqual([line for line in source if line in copy], copy)
                    left_out = {line[0] for line in source if line not in copy}
                    self.assertLessEqual({name for name in left_out if not re.search(r"reviews(\.|$)", name)}, NOT_LISTED)
                for line in self._table(self.world.copy[version], "-o", "wide"):
                    self.assertRegex(" ".join(line), r"get,list,watch|\[get list watch\]")
                versions = [set(kubectl[version].run("api-versions").stdout.split()) for kubectl in (self.world.source, self.world.copy)]
                self.assertLessEqual(versions[1], versions[0])
                self.assertEqual(versions[0] - versions[1], {"authentication.k8s.io/v1", "authorization.k8s.io/v1", "autoscaling/v1", "events.k8s.io/v1"})

    @staticmethod
    def _table(kubectl, *words):
        return [line.split() for line in kubectl.run("api-resources", "--no-headers", *words).stdout.splitlines()]

    def test_watches(self):
        """Begun at both before anything happens to what is marked; over when each has told of the end."""
        pairs = []
        for version in VERSIONS:
            for line in lines_of(WATCHES):
                pair = [Printing(kubectl.start(*shlex.split(line))) for kubectl in (self.world.source[version], self.world.copy[version])]
                for printing in pair:
                    self.addCleanup(printing.stop)
                pairs.append((f"{version}: {line}", *pair))
        every = [printing for _, *pair in pairs for printing in pair]
        turns = itertools.count()

        def have_begun():
            self._make(f"begin-{next(turns)}")
            return all(printing.says("begin-") for printing in every)
        wait_until(have_begun, 30, "all watches have begun", every=0.3)
        self._happen("marked")
        self._make("the-end")
        wait_until(lambda: all(printing.says("the-end") for printing in every), 20, "all watches have told everything")
        for line, source, copy in pairs:
            with self.subTest(line):
                expected, found = ("\n".join(one for one in printing.lines if "marked" in one) for printing in (source, copy))
                self.assertTrue(expected)
                self.assertEqual(transcript.differences(expected, transcript.without_marks(found)), [])

    def _make(self, name):
        """Of each kind that is watched."""
        for collection, body in WATCHED.items():
            self.world.api.put(collection, {**body, "metadata": {"name": name, "labels": {"shade": "red"}}})

    def _happen(self, name):
        self._make(name)
        for collection in WATCHED:
            for shade in ("blue", None, "red"):
                self._change(f"{collection}/{name}", {"metadata": {"labels": {"shade": shade}}})
        self._change(f"{PODS}/{name}", {"status": {"phase": "Running", "podIPs": [{"ip": "10.1.1.1"}]}}, "/status")
        self._change(f"{WIDGETS}/{name}", {"spec": {"size": 7}})
        for collection in WATCHED:
            self.world.api.must("DELETE", f"{collection}/{name}?gracePeriodSeconds=0")

    def _change(self, path, patch, subresource=""):
        """Returns when the copy has it: of an object that changes faster than it is sent, only the last state is."""
        wait_until(lambda: self.world.ask_copy(path)[0] == 200, 20, f"{path} is copied")
        made = self.world.api.must("PATCH", path + subresource, patch, content_type="application/merge-patch+json")
        wait_until(lambda: transcript.unmarked(self.world.ask_copy(path)[1])["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"],
                   20, f"the change of {path} is copied")

    def test_what_waits_for_a_deletion_ends_with_it(self):
        self.world.api.put(MAPS, {"metadata": {"name": "passing"}})
        wait_until(lambda: self.world.ask_copy(f"{MAPS}/passing")[0] == 200, 20, "it is copied")
        waiting = []
        for version in VERSIONS:
            for kubectl in (self.world.source, self.world.copy):
                process = kubectl[version].start("wait", "--for=delete", "cm/passing", "--timeout=30s", "-v=6")
                waiting.append(Printing(process, process.stderr))
                self.addCleanup(waiting[-1].stop)
        wait_until(lambda: all(printing.says("watch=true") for printing in waiting), 20, "all of them watch")
        self.world.api.must("DELETE", f"{MAPS}/passing")
        for printing in waiting:
            self.assertEqual(printing.wait(20), (0, "configmap/passing condition met\n"), printing.lines)

    def test_what_is_not_the_same_is_said(self):
        for version in VERSIONS:
            with self.subTest(version):
                copy = self.world.copy[version]
                self.assertRegex(copy.run("version").stdout, r"v1\.34\.\d+\+transport-informer")
                for words, said in ((("get", "componentstatuses"), 'the server doesn\'t have a resource type "componentstatuses"'),
                                    (("delete", "pod", "running"), "read-only here: write to the cluster cluster1 itself"),
                                    (("annotate", "cm", "settings", "a=b"), "read-only here: write to the cluster cluster1 itself"),
                                    (("get", "--raw", "/clusters/cluster1/apis/autoscaling/v1"), "the server could not find the requested resource")):
                    done = copy.run(*words, check=False)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn(said, done.stderr)
                # Fields beyond those that kube-apiserver selects by.
                self.assertEqual(copy.run("get", "pods", "--field-selector", "spec.containers=x", "-o", "name").stdout, "")
                self.assertEqual(copy.run("get", "svc", "--field-selector", "spec.type=ExternalName", "-o", "name").stdout, "service/elsewhere\n")


class ReasonsStandInTheDocumentation(ScenarioCase):
    def test_each(self):
        text = " ".join(_DOCS.read_text().split())
        for one in MEANT:
            self.assertIn(one.reason, text)
