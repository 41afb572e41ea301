"""Catches an informer that claims to be proven equal while it is not.

The argument: between two equal lists of the API server its set did not change. Whoever says meanwhile "proven equal so
many seconds ago", for a moment in which the set was what it is and in which nothing older could still be under way, must
hold that set, and need not change any more: no line that its handler tells after that may lead away from it, and its
store may take no further change.
"""

import http.client
import time

from .waiting import wait_until


class Witness:
    """look() at a moment of one's own choosing, while nothing is changed by others.

    expected: {informer's name: function giving the set it must hold}; change: makes one change that all of them see.
    Seconds: digest, until that of all earlier changes has come, a second after the first of them: only then the last
    change has one of its own. on_its_way, within which what was said before that change has arrived where no fault holds
    it back. patience, for a claim; while messages get lost none may come. told_within, until lines come out after the
    store has taken a change.
    """

    def __init__(self, informers, expected, change, cluster, resource, *, digest=1.2, on_its_way=0.8, patience=4,
                 told_within=10):
        self._informers = informers
        self._expected = expected
        self._change = change
        self._cluster = cluster
        self._resource = resource
        self._digest = digest
        self._on_its_way = on_its_way
        self._patience = patience
        self._told_within = told_within
        self.claims = 0     # proofs that were held against the API server's set, and true
        self.silent = 0     # informers that claimed nothing while they were looked at,
        self.different = 0  # and how many of those had a set that was not the API server's
        self.discarded = 0  # the set changed in spite of all: a request that had been given up was carried out

    def look(self, not_before=0.0):
        """Fails if one lies. Proofs of moments before `not_before` (monotonic) count for nothing."""
        time.sleep(self._digest)  # The length of an interval of the protocol, not a wait for anything.
        self._change()
        before = {name: expected() for name, expected in self._expected.items()}
        threshold = max(not_before, time.monotonic()) + self._on_its_way
        end = time.monotonic() + self._patience
        waiting, lies, claims, silent, different = dict(self._informers), [], 0, 0, 0
        while waiting and time.monotonic() < end:
            for name, informer in list(waiting.items()):
                asked = time.monotonic()
                try:
                    said = informer.endpoint.metrics()
                except (OSError, http.client.HTTPException):
                    continue
                age = said.get("tinf_informer_proven_equal_age_seconds", -1)
                if age < 0 or asked - age <= threshold:
                    continue
                del waiting[name]
                claims += 1
                lie = self._lie(informer, said, before[name])
                if lie:
                    lies.append(f"{name} said it was proven equal {age:.2f} s ago: {lie}")
            time.sleep(0.05)
        for name, informer in waiting.items():
            silent += 1
            different += informer.copy.objects(self._cluster, self._resource) != before[name]
        if before != {name: expected() for name, expected in self._expected.items()}:
            self.discarded += 1
            return
        assert not lies, "\n".join(lies)
        self.claims += claims
        self.silent += silent
        self.different += different

    def _lie(self, informer, said, expected):
        """What is wrong with this claim, or None."""
        count = said.get("tinf_informer_objects")
        if count != len(expected):
            return f"it had {count:.0f} objects, the API server {len(expected)}"
        try:
            wait_until(lambda: informer.copy.objects(self._cluster, self._resource) == expected, self._told_within,
                       "its lines add up to the API server's set", every=0.05)
        except AssertionError as error:
            if "its lines" not in str(error):
                raise
            return "its lines did not add up to the API server's set"
        # The lines may be right because of what the store took after the claim.
        moved = informer.endpoint.metrics().get("tinf_reflector_events_total", 0) - said.get("tinf_reflector_events_total", 0)
        return f"its store took {moved:.0f} changes after that, of a set that did not change" if moved else None
