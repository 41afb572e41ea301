"""A real kube-apiserver over a test's etcd, with users, rights and kubeconfig files as a cluster hands them out."""

import concurrent.futures
import http.client
import json
import secrets
import ssl
import threading

from .certificates import Authority
from .kubeconfig import write_kubeconfig
from .kubectl import kube_program
from .part import Part
from .ports import free_port
from .waiting import wait_until

_ADMIN = "admin"
_AUDIT_POLICY = ('{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],'
                 ' "rules": [{"level": "Metadata"}]}')


class ApiServer(Part):
    """Listens with TLS on a port it keeps over restarts; RBAC is on.

    users: names that get a token in the token file (read only at start). Each may nothing until grant().
    options: further flags, for instance "--watch-cache=false". audit: keep an audit log, for audited().
    """

    name = "kube-apiserver"

    def __init__(self, etcd, *, users=("restricted",), options=(), audit=False):
        super().__init__()
        self._etcd = etcd
        self._options = list(options)
        self._audit = audit
        self.port = free_port()
        self.tokens = {user: secrets.token_hex(16) for user in (_ADMIN, *users)}
        self.authority = None
        self._serving = None
        self._signer = None
        self._tls = None
        self._kept = threading.local()
        self._connections = []  # all of them, over all threads, to be closed at the end

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def prepare(self):
        if self.authority is not None:
            return
        self.authority = Authority(self.folder / "pki")
        self._serving = self.authority.server("kube-apiserver")
        self._tls = ssl.create_default_context(cafile=str(self.authority.certificate))
        # Any key pair will do; the certificate carries the public half.
        self._signer = self.authority.client("service-account-signer")
        rows = [f'{token},{user},{user},"system:masters"' if user == _ADMIN else f"{token},{user},{user}"
                for user, token in self.tokens.items()]
        (self.folder / "tokens.csv").write_text("\n".join(rows) + "\n")
        (self.folder / "audit-policy.json").write_text(_AUDIT_POLICY)

    def command(self):
        certificate, key = self._serving
        public, private = self._signer
        words = [kube_program("kube-apiserver"), f"--etcd-servers={self._etcd.url}", f"--secure-port={self.port}",
                 "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
                 f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}",
                 f"--client-ca-file={self.authority.certificate}", f"--token-auth-file={self.folder}/tokens.csv",
                 f"--service-account-key-file={public}", f"--service-account-signing-key-file={private}",
                 "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/24",
                 "--authorization-mode=RBAC",
                 # Accounts are made by a controller manager, which is not here.
                 "--disable-admission-plugins=ServiceAccount",
                 # Open watches would hold up a polite stop for a minute.
                 "--shutdown-delay-duration=0s", "--shutdown-send-retry-after=false"]
        if self._audit:
            words += [f"--audit-policy-file={self.folder}/audit-policy.json", f"--audit-log-path={self.folder}/audit.log"]
        return words + self._options

    def ready(self):
        try:
            if self.request("GET", "/readyz")[0] != 200:
                return False
            # /readyz precedes the first bookkeeping of namespaces by a moment.
            return self.request("GET", "/api/v1/namespaces/default")[0] == 200
        except http.client.HTTPException:
            return False

    def kill(self):
        super().kill()
        for connection in self._connections:
            connection.close()  # opens again by itself when used

    def kubeconfig(self, user=_ADMIN, credentials="token", namespace=None):
        """Path of a kubeconfig for this user. credentials: "token", "token-file" (rewrite it to rotate), "certificate"."""
        path = self.folder / f"kubeconfig-{user}-{credentials}"
        words = {"authority": self.authority.certificate, "namespace": namespace}
        if credentials == "token":
            words["token"] = self.tokens[user]
        elif credentials == "token-file":
            words["token_file"] = self.folder / f"token-{user}"
            words["token_file"].write_text(self.tokens[user])
        elif credentials == "certificate":
            group = "system:masters" if user == _ADMIN else None
            words["certificate"], words["key"] = self.authority.client(user, group)
        else:
            raise ValueError(f"credentials must be token, token-file or certificate, not {credentials!r}")
        return write_kubeconfig(path, self.url, **words)

    def grant(self, user, rules, namespace=None, credentials="token"):
        """Gives a user of `users` exactly these RBAC rules, in one namespace or in all; returns its kubeconfig.

        A second grant for the same user and namespace replaces the first one's rules; no rules means no rights. Returns
        when what was given is in force; what was taken away is so a moment later.
        """
        self._bind(user, rules, namespace, {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"})
        self._wait_for_rights(user, rules, namespace)
        return self.kubeconfig(user, credentials)

    def service_account(self, name, rules, namespace="default", cluster_wide=True, seconds=3600):
        """Makes a service account with these rules; returns the kubeconfig of a token it asks for, valid `seconds`."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.put(accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
        self._bind(f"{namespace}-{name}", rules, None if cluster_wide else namespace,
                   {"kind": "ServiceAccount", "name": name, "namespace": namespace})
        self._wait_for_rights(f"system:serviceaccount:{namespace}:{name}", rules, None if cluster_wide else namespace)
        answer = self.must("POST", f"{accounts}/{name}/token", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}})
        self.tokens[f"{namespace}-{name}"] = answer["status"]["token"]
        return self.kubeconfig(f"{namespace}-{name}", "token-file")

    def request(self, method, path, body=None, user=_ADMIN, content_type="application/json", accept="*/*"):
        """(status, parsed answer) of one request as this user, over a kept connection."""
        headers = {"Authorization": f"Bearer {self.tokens[user]}", "Content-Type": content_type, "Accept": accept}
        text = None if body is None else json.dumps(body)
        for retry in (True, False):
            connection = getattr(self._kept, "connection", None)
            if connection is None:
                connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self._tls, timeout=30)
                self._kept.connection = connection
                self._connections.append(connection)
            fresh = connection.sock is None
            try:
                connection.request(method, path, text, headers)
                answer = connection.getresponse()
                content = answer.read()
                break
            except (OSError, http.client.HTTPException):
                connection.close()
                # A kept connection may be one of the server before its restart; a fresh one tells the truth.
                if fresh or not retry:
                    raise
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, content.decode(errors="replace")

    def answer(self, method, path, user=_ADMIN, **headers):
        """(status, headers, body as bytes) of one request over a connection of its own: for what request() does not show."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self._tls, timeout=30)
        try:
            own = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers={"Authorization": f"Bearer {self.tokens[user]}", **own})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def must(self, method, path, body=None, **options):
        """The parsed answer; any status but 2xx is an AssertionError with the server's message."""
        status, answer = self.request(method, path, body, **options)
        if not 200 <= status < 300:
            message = answer.get("message") if isinstance(answer, dict) else answer
            raise AssertionError(f"{method} {path}: {status} {message}")
        return answer

    def put(self, collection, thing):
        """Creates the object, or replaces it if it exists; returns it."""
        status, answer = self.request("POST", collection, thing)
        if status == 409:
            return self.must("PUT", f"{collection}/{thing['metadata']['name']}", thing)
        assert 200 <= status < 300, f"POST {collection}: {status} {answer}"
        return answer

    def add_config_maps(self, count, namespace="default", prefix="item", size=256, labels=None, threads=4):
        """Creates `count` configmaps named PREFIX-00000 and up with about `size` bytes of data each, for load."""
        def add(number):
            self.must("POST", f"/api/v1/namespaces/{namespace}/configmaps", {
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": f"{prefix}-{number:05}", "labels": labels or {}},
                "data": {"number": str(number), "filling": secrets.token_hex(size // 2)}})
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(add, range(count)):
                pass

    def resource_version(self):
        """The newest resource version, from an empty list."""
        return int(self.must("GET", "/api/v1/configmaps?limit=1")["metadata"]["resourceVersion"])

    def audited(self):
        """The audit log so far: one dict per answered request (verb, requestURI, user, responseStatus, ...)."""
        assert self._audit, "start the ApiServer with audit=True"
        path = self.folder / "audit.log"
        if not path.exists():
            return []
        # The last line may be half written.
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def _bind(self, name, rules, namespace, subject):
        group = "rbac.authorization.k8s.io"
        kind = "Role" if namespace else "ClusterRole"
        root = f"/apis/{group}/v1" + (f"/namespaces/{namespace}" if namespace else "")
        self.put(f"{root}/{kind.lower()}s", {
            "apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": f"test-{name}"}, "rules": rules})
        self.put(f"{root}/{kind.lower()}bindings", {
            "apiVersion": f"{group}/v1", "kind": f"{kind}Binding", "metadata": {"name": f"test-{name}"},
            "roleRef": {"apiGroup": group, "kind": kind, "name": f"test-{name}"}, "subjects": [subject]})

    def _wait_for_rights(self, user, rules, namespace):
        for rule in rules:
            if not rule.get("resources"):
                continue
            asked = {"verb": rule["verbs"][0], "group": rule["apiGroups"][0], "resource": rule["resources"][0]}
            if namespace:
                asked["namespace"] = namespace
            review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                      "spec": {"user": user, "resourceAttributes": asked}}
            wait_until(lambda: self.must("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
                       ["status"]["allowed"], 10, f"{user} may {asked}")
