"""What two servers say to one client, held against each other line by line, with the differences that are meant.

The fleet's own marks are taken out of the one's words; nothing else about them is. An age may have grown between the two
questions, by no more than they were apart.
"""

import json
import re

LABEL = "fleet.transport-informer.io/cluster"
VERSION = "fleet.transport-informer.io/resource-version"
_SECONDS = {"y": 365 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
_AGE = re.compile(r"(?:\d+[ydhms])+")
_PATIENCE = 20  # Seconds between two questions on a busy machine; or one step of an age that is said less precisely.


def without_marks(text):
    """A text, YAML or JSON that kubectl printed of the fleet, as it would be of the cluster itself."""
    if _is_json(text):
        return json.dumps(unmarked(json.loads(text)), indent=1, ensure_ascii=False)
    for pattern, instead in _MARKS:
        text = re.sub(pattern, instead, text)
    return text


def canonical(text):
    """The same text where without_marks() only parses and writes it anew."""
    return json.dumps(json.loads(text), indent=1, ensure_ascii=False) if _is_json(text) else text


def _is_json(text):
    return text.startswith("{\n") or text.startswith('{"')


def unmarked(thing):
    """The same for parsed JSON: of an object, of a list, or of what holds some."""
    if isinstance(thing, list):
        return [unmarked(one) for one in thing]
    if not isinstance(thing, dict):
        return thing
    metadata = thing.get("metadata")
    if isinstance(metadata, dict) and VERSION in (metadata.get("annotations") or {}):
        kept = {"labels": {key: value for key, value in metadata.get("labels", {}).items() if key != LABEL},
                "annotations": {key: value for key, value in metadata["annotations"].items() if key != VERSION}}
        metadata = {key: kept.get(key, value) for key, value in metadata.items() if kept.get(key, value) != {}}
        metadata["resourceVersion"] = thing["metadata"]["annotations"][VERSION]
        thing = {**thing, "metadata": metadata}
    return {key: unmarked(value) for key, value in thing.items()}


_LABEL, _VERSION = re.escape(LABEL), re.escape(VERSION)
_MARKS = [
    # YAML: the annotation stands before the version in its map; a map that held nothing else is not there.
    (rf'(?m)^( *)  {_VERSION}: "(\d+)"\n((?:.*\n)*?)\1resourceVersion: "\d+"\n', r'\3\1resourceVersion: "\2"\n'),
    (rf"(?m)^ *{_LABEL}: \S+\n", ""),
    (r"(?m)^( *)(?:annotations|labels):\n(?!\1 )", ""),
    # describe: the first of several, one of the others, the only one.
    (rf"(?m)^((?:Labels|Annotations): +)(?:{_LABEL}=[a-z0-9-]+|{_VERSION}: \d+)\n +(?=\S)", r"\1"),
    (rf"(?m)^ +(?:{_LABEL}=[a-z0-9-]+|{_VERSION}: \d+)\n", ""),
    (rf"(?m)^((?:Labels|Annotations): +)(?:{_LABEL}=[a-z0-9-]+|{_VERSION}: \d+)$", r"\1<none>"),
    (rf"(?m)^(Annotations: +){_VERSION}=\d+,", r"\1"),
    (rf"(?m)^(Annotations: +){_VERSION}=\d+$", r"\1<none>"),
    # Tables with labels.
    (rf",{_LABEL}=[a-z0-9-]+", ""),
    (rf"{_LABEL}=[a-z0-9-]+,", ""),
    (rf"{_LABEL}=[a-z0-9-]+", "<none>"),
]


def _seconds(age):
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([ydhms])", age))


def is_same_line(one, other):
    """Words and the blanks between them; ages may differ a little, and with them how far columns are apart."""
    if one == other:
        return True
    words, others = one.split(), other.split()
    if len(words) != len(others):
        return False
    for left, right in zip(words, others):
        if left == right:
            continue
        left, right = left.strip("()"), right.strip("()")
        if not (_AGE.fullmatch(left) and _AGE.fullmatch(right)):
            return False
        if abs(_seconds(left) - _seconds(right)) > max(_PATIENCE, _SECONDS[left[-1]], _SECONDS[right[-1]]):
            return False
    return True


def differences(expected, found):
    """Lines that are not the same, as a diff; empty if there are none."""
    left, right = expected.splitlines(), found.splitlines()
    if len(left) == len(right):
        return [line for one, other in zip(left, right) if not is_same_line(one, other) for line in (f"- {one}", f"+ {other}")]
    return [f"{len(left)} lines instead of {len(right)}:"] + [f"- {one}" for one in left if one not in right] + [
        f"+ {other}" for other in right if other not in left]
