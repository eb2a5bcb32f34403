"""What tools/tally counts: cases inside test programs, crashes, tests that did not run."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

TALLY = pathlib.Path(__file__).resolve().parents[2] / "tools" / "tally"

CTEST = """<testsuite name="x" tests="6" failures="2" disabled="0" skipped="1">
  <testcase name="cases" status="run"/>
  <testcase name="broken" status="fail"><failure message=""/></testcase>
  <testcase name="crashed" status="fail"><failure message="SEGFAULT"/></testcase>
  <testcase name="leaked" status="fail"><failure message=""/></testcase>
  <testcase name="plain" status="run"/>
  <testcase name="elsewhere" status="notrun"><skipped message=""/></testcase>
</testsuite>"""
GTEST = {
    "cases": '<testsuites><testsuite><testcase name="a" status="run" result="completed"/>'
    '<testcase name="b" status="run" result="skipped"><skipped message="no"/></testcase></testsuite></testsuites>',
    "broken": '<testsuites><testsuite><testcase name="a" status="run"><failure/></testcase>'
    '<testcase name="b" status="run"/><testcase name="c" status="run"><failure/></testcase></testsuite></testsuites>',
    "leaked": '<testsuites><testsuite><testcase name="a" status="run"/></testsuite></testsuites>',
}
PYTEST = """<testsuites><testsuite errors="1" failures="1" skipped="1" tests="4">
  <testcase name="a"/><testcase name="b"><failure/></testcase>
  <testcase name="c"><skipped/></testcase><testcase name="d"><error/></testcase>
</testsuite></testsuites>"""


class Tally(unittest.TestCase):
    def counts(self, report, gtest=None):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "report.xml").write_text(report)
            for name, body in (gtest or {}).items():
                (folder / f"{name}.xml").write_text(body)
            words = [folder / "report.xml", *([folder] if gtest is not None else [])]
            return subprocess.run([sys.executable, TALLY, *words], check=True, capture_output=True, text=True).stdout

    def test_ctest_with_cases_inside(self):
        # passed: cases.a, broken.b, leaked.a, plain; failed: broken.a, broken.c, crashed, leaked; skipped: two
        self.assertEqual(self.counts(CTEST, GTEST), "4 4 2\n")

    def test_ctest_alone(self):
        self.assertEqual(self.counts(CTEST), "2 3 1\n")

    def test_pytest(self):
        self.assertEqual(self.counts(PYTEST), "1 2 1\n")


if __name__ == "__main__":
    unittest.main()
