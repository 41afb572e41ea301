"""What make soak calls growth, and what it does not; the soak itself takes an hour."""

import pathlib
import sys
import unittest
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))

import figures  # noqa: E402


def samples(memory=lambda seconds: 20e6, files=lambda seconds: 10, threads=lambda seconds: 1):
    """Of an hour, one every five seconds."""
    return [{"seconds": seconds, "provider memory": memory(seconds), "provider files": files(seconds),
             "provider threads": threads(seconds), "provider cpu": seconds * 0.02} for seconds in range(0, 3600, 5)]


class Growth(unittest.TestCase):
    def grown(self, **what):
        return figures.growth(samples(**what), ["provider"])

    def test_warming_up_and_spikes_are_no_growth(self):
        self.assertEqual(self.grown(), [])
        self.assertEqual(self.grown(memory=lambda seconds: min(20e6, 1e6 + 40e3 * seconds)), [])
        self.assertEqual(self.grown(memory=lambda seconds: 60e6 if seconds % 180 < 20 else 20e6), [])
        self.assertEqual(self.grown(files=lambda seconds: 30 if seconds % 180 < 20 else 10), [])

    def test_a_slow_leak_is_growth(self):
        self.assertRegex(self.grown(memory=lambda seconds: 20e6 + 2e3 * seconds)[0], "provider: memory grew from .* to ")
        self.assertRegex(self.grown(files=lambda seconds: 10 + seconds // 180)[0], "provider: files grew from 17 to 27")
        self.assertRegex(self.grown(threads=lambda seconds: 1 + seconds // 600)[0], "provider: threads grew")

    def test_the_table_and_the_picture_tell_the_figures(self):
        self.assertEqual(figures.table(samples(), ["provider"])[2], "| provider | 20.0 MB | 20.0 MB | 20.0 MB | 10 → 10 | 1 → 1 | 2.0 % |")
        picture = xml.etree.ElementTree.fromstring(figures.plot(samples(), ["provider"], [180, 360], "an hour"))
        lines = [one for one in picture.iter() if one.tag.endswith("polyline")]
        self.assertEqual([len(one.get("points").split()) for one in lines], [720, 719])
