"""Kubeconfig files as clients find them in the wild: token, token file, or client certificate; TLS or plain."""

import pathlib


def write_kubeconfig(path, server, *, authority=None, token=None, token_file=None, certificate=None, key=None,
                     namespace=None, insecure=False):
    """Writes a one-context kubeconfig and returns its path. Files are named by path, not embedded."""
    lines = ["apiVersion: v1", "kind: Config", "current-context: test", "clusters:", "- name: test", "  cluster:",
             f"    server: {server}"]
    if authority:
        lines.append(f"    certificate-authority: {authority}")
    if insecure:
        lines.append("    insecure-skip-tls-verify: true")
    lines += ["contexts:", "- name: test", "  context:", "    cluster: test", "    user: test"]
    if namespace:
        lines.append(f"    namespace: {namespace}")
    user = {"token": token, "tokenFile": token_file, "client-certificate": certificate, "client-key": key}
    user = [f"    {word}: {value}" for word, value in user.items() if value]
    lines += ["users:", "- name: test"] + (["  user:"] + user if user else ["  user: {}"])
    path = pathlib.Path(path)
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path
