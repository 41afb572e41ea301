"""A certificate authority of the test's own, made with openssl: for API servers, brokers and their clients."""

import pathlib
import subprocess


# Python 3.13 and other strict clients refuse certificates without these.
_STRICT = ("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
           "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")


class Authority:
    """Signs certificates for loopback servers and for clients. Files live in `folder`; keys are P-256."""

    def __init__(self, folder, name="test-ca"):
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self.certificate = self._folder / "ca.crt"
        self._key = self._folder / "ca.key"
        self._openssl("req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "7",
                      "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                      "-keyout", self._key, "-out", self.certificate)

    def server(self, name, addresses=("IP:127.0.0.1", "DNS:localhost"), days=7):
        """(certificate, key) paths of a server on these addresses."""
        return self._sign(name, f"/CN={name}", f"subjectAltName={','.join(addresses)}\nextendedKeyUsage=serverAuth", days)

    def client(self, name, organization=None, days=7):
        """(certificate, key) paths of a client; Kubernetes reads the user from the name, the group from organization."""
        subject = f"/O={organization}/CN={name}" if organization else f"/CN={name}"
        return self._sign(name, subject, "extendedKeyUsage=clientAuth", days)

    def _sign(self, name, subject, extensions, days):
        certificate, key, request, ext = (self._folder / f"{name}.{end}" for end in ("crt", "key", "csr", "ext"))
        ext.write_text(_STRICT + extensions + "\n")
        self._openssl("req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                      "-subj", subject, "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
                      "-days", str(days), "-extfile", ext, "-out", certificate)
        return certificate, key

    @staticmethod
    def _openssl(*words):
        done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"openssl {words[0]} failed: {done.stderr.strip()}")
