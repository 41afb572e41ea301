"""A test case that starts providers and informers with the flags every test repeats, and their copies."""

from .case import RealTestCase
from .copy import Copy
from .daemon import Daemon
from .endpoint import Endpoint
from .ports import free_port


class ScenarioCase(RealTestCase):
    """self.api and self.broker are the defaults of provider() and informer(); a test may give others."""

    api = None
    broker = None

    def provider(self, *flags, cluster="c1", broker=None, api=None, kubeconfig=None, **options):
        """Starts one for this test; its .endpoint is there."""
        return self.start(self.unstarted_provider(*flags, cluster=cluster, broker=broker or self.broker, api=api or self.api,
                                                  kubeconfig=kubeconfig, **options))

    def informer(self, *flags, broker=None, **options):
        """Starts one with JSON output for this test; its .endpoint and .copy are there."""
        return self.start(self.unstarted_informer(*flags, broker=broker or self.broker, **options))

    @classmethod
    def unstarted_provider(cls, *flags, cluster="c1", broker=None, api=None, kubeconfig=None, **options):
        endpoint = Endpoint(free_port())
        daemon = Daemon("provider", "--cluster", cluster, "--broker", (broker or cls.broker).url,
                        "--kubeconfig", kubeconfig or (api or cls.api).kubeconfig(), "--listen", endpoint.address,
                        *flags, label=f"provider-{cluster}", **options)
        daemon.endpoint = endpoint
        return daemon

    @classmethod
    def unstarted_informer(cls, *flags, broker=None, output="json", **options):
        endpoint = Endpoint(free_port())
        daemon = Daemon("informer", "--broker", (broker or cls.broker).url, "--output", output,
                        "--listen", endpoint.address, *flags, **options)
        daemon.endpoint = endpoint
        daemon.copy = Copy(daemon)
        return daemon

    def run_to_end(self, name, *flags, deadline=30, environment=None):
        """Runs a program that ends by itself; returns (exit status, its stdout lines, its stderr lines)."""
        daemon = self.start(Daemon(name, *flags, environment=environment))
        status = daemon.wait_for_exit(deadline)
        return status, daemon.lines, daemon.errors
