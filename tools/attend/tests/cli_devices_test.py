"""The command line on devices that are stood in for: rows checked, calls run, and host execution named everywhere."""

import json
import unittest

from support import CLI, REAL, Case

SIMT = {"ATTEND_SIMT": "1"}


@unittest.skipUnless(CLI, "ATTEND_CLI is not set")
class Devices(Case):
    def backends(self):
        info = json.loads(self.attend("info", "--json", env=SIMT).stdout)
        return [b["name"] for b in info["backends"] if b["devices"] > 0 and b["name"] != "native"]

    def test_info_names_host_execution(self):
        text = self.attend("info", env=SIMT).stdout
        for backend in self.backends():
            self.assertRegex(text, rf"{backend}:0 .*\(host execution\)")
            self.assertRegex(text, rf"flash/{backend}/portable \(host execution\) +0  yes")
        self.assertNotIn("host execution", self.attend("info", env={"ATTEND_BACKENDS": "native"}).stdout)

    def test_check_on_all_devices(self):
        done = json.loads(self.attend("check", "--device", "all", "--op", "merge,append", "--json", env=SIMT).stdout)
        self.assertTrue(done["ok"])
        kernels = {row["kernel"]: row for row in done["rows"]}
        self.assertIn("merge/native/portable", kernels)
        for backend in self.backends():
            for op in ("merge", "append"):
                row = kernels[f"{op}/{backend}/portable"]
                self.assertEqual((row["failed"], row["refused"]), (0, 0))
                self.assertGreater(row["ran"], 50)
                self.assertIn("(host execution)", row["device"])
        text = self.attend("check", "--device", "all", "--op", "flash", "--case", "b2_sq17_sk", env=SIMT).stdout
        for backend in self.backends():
            self.assertRegex(text, rf"flash/{backend}/portable \(host execution\)")

    def test_a_call_on_a_device(self):
        for backend in self.backends():
            text = self.attend("run", "flash", REAL, "--prefix", "layer0.", "--device", backend, "--repeat", 0, env=SIMT).stdout
            self.assertRegex(text, rf"kernel  flash/{backend}/\w+ \(host execution\)")
            self.assertRegex(text, rf"device  {backend}:0, .* \(host execution\)")
        calls = json.loads(self.attend("check", self.two_tokens(), "--device", "all", "--json", env=SIMT).stdout)
        self.assertEqual([call["device"].split(":")[0] for call in calls], ["native", *self.backends()])
        self.assertTrue(all(call["ok"] for call in calls))

    def test_without_a_device_there_is_a_reason(self):
        for backend in self.backends():
            self.refused("check", self.two_tokens(), "--device", f"{backend}:7", text="expected one of 1", env=SIMT)


if __name__ == "__main__":
    unittest.main()
