#!/usr/bin/env python3
"""tools/check-layers can fail: each rule is broken once, in a small tree of its own."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).with_name("check-layers")
TABLE = """
| layer | folder | holds |
| --- | --- | --- |
| 0 | `tinf/base/` | words |
| 2 | `tinf/wire/` | bytes |
| 3 | `tinf/store/{memory,versioned_memory}/` | objects |
| 3 | `tinf/transport/mqtt/` | messages |
| 3 | `tinf/kube/` | requests |
| 3 | `tinf/testing/` | virtual time |
| 5 | `tinf/sdk/` | the face |
| 6 | `daemons/` | mains |
"""


class CheckLayers(unittest.TestCase):
    def check(self, files, table=TABLE):
        """(status, output) of the tool on a tree of these files, {path: text}."""
        with tempfile.TemporaryDirectory() as root:
            for name, text in {"ARCHITECTURE.md": table, "tinf/base/task.h": "", **files}.items():
                path = pathlib.Path(root, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            done = subprocess.run([sys.executable, TOOL, root], text=True, capture_output=True, check=False)
            self.assertEqual(done.stderr, "")
            return done.returncode, done.stdout

    def assert_refused(self, files, *words, **options):
        status, output = self.check(files, **options)
        self.assertEqual(status, 1, output)
        for word in words:
            self.assertIn(word, output)

    def assert_accepted(self, files):
        status, output = self.check(files)
        self.assertEqual((status, output.count("\n")), (0, 1), output)

    def test_a_lower_layer_may_be_included(self):
        self.assert_accepted({"tinf/wire/codec.h": '#include "tinf/base/task.h"\n', "tinf/wire/codec.cpp": '#include "tinf/wire/codec.h"\n'})

    def test_a_higher_layer_may_not(self):
        self.assert_refused({"tinf/wire/codec.h": "", "tinf/base/clock.cpp": '\n#include "tinf/wire/codec.h"\n'},
                            "tinf/base/clock.cpp:2:", "may not look up")

    def test_folders_of_one_layer_never_meet(self):
        self.assert_refused({"tinf/store/memory/store.h": "", "tinf/kube/a.h": '#include "tinf/store/memory/store.h"\n'},
                            "tinf/kube/a.h:1:", "both stand on layer 3")

    def test_folders_in_braces_are_folders_of_their_own(self):
        self.assert_refused({"tinf/store/memory/store.h": "",
                             "tinf/store/versioned_memory/a.h": '#include "tinf/store/memory/store.h"\n'}, "both stand on layer 3")

    def test_an_include_in_angle_brackets_counts_as_well(self):
        self.assert_refused({"tinf/wire/codec.h": "", "tinf/base/a.h": "#  include <tinf/wire/codec.h>\n"}, "may not look up")

    def test_only_tests_include_the_scripted_peers(self):
        peer = {"tinf/testing/virtual_time.h": ""}
        self.assert_accepted({**peer, "tinf/base/clock_test.cpp": '#include "tinf/testing/virtual_time.h"\n'})
        self.assert_refused({**peer, "daemons/informer/main.cpp": '#include "tinf/testing/virtual_time.h"\n'}, "only tests may include")

    def test_tests_may_use_the_memory_store_but_no_other_neighbour(self):
        store = {"tinf/store/memory/store.h": "", "tinf/kube/rest.h": ""}
        self.assert_accepted({**store, "tinf/kube/a_test.cpp": '#include "tinf/store/memory/store.h"\n'})
        self.assert_refused({**store, "tinf/transport/mqtt/a_test.cpp": '#include "tinf/kube/rest.h"\n'}, "both stand on layer 3")

    def test_a_folder_that_is_built_needs_a_row(self):
        self.assert_refused({"tinf/fleet/CMakeLists.txt": ""}, "tinf/fleet/", "has no row")

    def test_a_file_outside_the_table_is_refused(self):
        self.assert_refused({"tinf/fleet/work.h": ""}, "tinf/fleet/work.h:1:", "no folder of the table")

    def test_an_include_of_a_folder_outside_the_table_is_refused(self):
        self.assert_refused({"tinf/wire/a.h": '#include "tinf/gone/b.h"\n'}, "tinf/wire/a.h:1:", "tinf/gone/b.h")

    def test_an_include_of_a_file_that_is_not_there_is_refused(self):
        self.assert_refused({"tinf/wire/a.h": '#include "tinf/base/b.h"\n'}, "does not exist")

    def test_the_library_does_not_stand_on_its_tests(self):
        self.assert_refused({"tinf/wire/a.cpp": '#include "tests/simulation/world.h"\n'}, "nothing outside tinf/")

    def test_a_third_party_belongs_to_its_driver(self):
        self.assert_accepted({"tinf/transport/mqtt/a.cpp": "#include <mosquitto.h>\n", "tinf/kube/a.cpp": "#include <curl/curl.h>\n"})
        for header in ("mosquitto.h", "curl/curl.h", "sqlite3.h", "libpq-fe.h", "boost/beast/http.hpp", "CLI/CLI.hpp", "yaml-cpp/yaml.h"):
            self.assert_refused({"tinf/wire/a.cpp": f"#include <{header}>\n"}, f"<{header}>")
        self.assert_refused({"tinf/kube/a.cpp": "#include <mosquitto.h>\n"}, "only tinf/transport/mqtt/ may")

    def test_simdjson_stays_out_of_headers(self):
        self.assert_accepted({"tinf/wire/a.cpp": "#include <simdjson.h>\n"})
        self.assert_refused({"tinf/wire/a.h": "#include <simdjson.h>\n"}, "only .cpp files may")

    def test_the_public_face_leads_to_no_third_party_not_even_through_other_headers(self):
        self.assert_accepted({"tinf/sdk/informer.h": '#include <memory>\n#include "tinf/base/task.h"\n'})
        self.assert_refused({"tinf/sdk/informer.h": "#include <boost/json.hpp>\n"}, "tinf/sdk/informer.h:1:")
        self.assert_refused({"tinf/base/task.h": "#include <boost/asio.hpp>\n", "tinf/base/clock.h": '#include "tinf/base/task.h"\n',
                             "tinf/sdk/informer.h": '#include "tinf/base/clock.h"\n'},
                            "tinf/sdk/informer.h:1: ", "-> tinf/base/clock.h:1 -> tinf/base/task.h:1")
        self.assert_accepted({"tinf/base/task.h": "#include <boost/asio.hpp>\n", "tinf/sdk/informer.cpp": '#include "tinf/base/task.h"\n'})

    def test_a_document_without_the_table_is_refused(self):
        self.assert_refused({}, "no table of layers", table="# Architecture\n")


if __name__ == "__main__":
    unittest.main()
