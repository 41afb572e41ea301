#!/usr/bin/env python3
"""Follows a resource over all clusters and misses nothing while it is away: one line a change.

    follow_fleet.py http://127.0.0.1:8080 /api/v1/configmaps last-version

It keeps no copy of anything. What it has to remember is one version, in a file: the server's log has what was changed
since. A change is told at least once, the first time in the order in which they were made.
"""
import http.client
import json
import os
import sys
import time
import urllib.parse
import urllib.request

server, path, file = sys.argv[1:4]


def remembered():
    return open(file).read() if os.path.exists(file) else ""


def remember(version):
    with open(file + ".new", "w") as new:
        new.write(version)
    os.replace(file + ".new", file)  # All of it or nothing, whenever this program is killed.


def changes(version):
    """Without a version: everything that there is, as ADDED, and a bookmark behind the last of it."""
    options = {"watch": 1, "allowWatchBookmarks": "true"}
    options |= {"resourceVersion": version} if version else {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    with urllib.request.urlopen(f"{server}{path}?{urllib.parse.urlencode(options)}", timeout=180) as lines:
        for line in lines:
            yield json.loads(line)


def follow():
    version = remembered()
    for change in changes(version):
        metadata = change["object"]["metadata"]
        if change["type"] == "ERROR":  # 410: it was away for longer than the log reaches back.
            print("EXPIRED", change["object"]["message"], flush=True)
            return remember("")
        if change["type"] != "BOOKMARK":
            print(change["type"], f"{metadata.get('namespace', '')}/{metadata['name']}", metadata["resourceVersion"], flush=True)
        elif "k8s.io/initial-events-end" in metadata.get("annotations", {}):
            version = metadata["resourceVersion"]
        if version:  # What there is at first comes in no order: until its end there is nothing to go on from.
            remember(metadata["resourceVersion"])


while True:
    try:
        follow()
    except (OSError, ValueError, http.client.HTTPException) as why:  # Refused, cut off, also in the middle of a line.
        print(why, file=sys.stderr)
    time.sleep(0.2)
