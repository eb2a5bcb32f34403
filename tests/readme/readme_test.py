"""Holds README.md and CONTRIBUTING.md to the tree: code, table, paths, variables, presets.

Run by ctest with ATTEND_CLI set to the built command line; without it the two tests that ask the registry are
skipped. `readme_test.py --write` renews the generated table.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLI = os.environ.get("ATTEND_CLI")
TABLE = re.compile(r"(<!-- attend info --markdown:.*?-->\n\n)(.*?)(\n<!-- end of attend info --markdown -->)", re.DOTALL)
PAGES = ("README.md", "CONTRIBUTING.md")
KERNEL = re.compile(r"(?!backends/)[a-z]\w*/(native|cuda|rocm)/\w+$")
NOT_IN_THE_TREE = re.compile(r"(build|out|attend)/")  # built, written, or <attend/...> as a user includes it


def text(path):
    return (ROOT / path).read_text()


def attend(*words):
    # Neither the overrides of the caller nor plugins that lie about may change what the table says.
    env = {key: value for key, value in os.environ.items() if not key.startswith("ATTEND_")}
    return subprocess.run([CLI, *words], env=env, check=True, capture_output=True, text=True).stdout


def table():
    return attend("info", "--markdown").strip() + "\n"


def of_backends(lines, backends):
    """The table as a build without some plugins prints it: what it cannot know is left out of both sides."""
    kept = []
    for line in lines.splitlines():
        cells = line.split(" | ")
        if len(cells) == 5 and not line.startswith("| operator"):  # | operator | also known as | native | cuda | rocm |
            cells[3:] = [cell if backend in backends else "-" for backend, cell in zip(("cuda", "rocm"), [cells[3], cells[4].rstrip(" |")])]
        kernel = re.match(r"\| `\w+/(\w+)/", line)
        if kernel is None or kernel[1] in backends:
            kept.append(" | ".join(cells))
    return kept


def in_backticks(page):
    """Words set as code, outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text(page), flags=re.DOTALL | re.MULTILINE))


def fenced(page):
    return re.findall(r"^ *```(\w*)\n(.*?)^ *```", text(page), flags=re.DOTALL | re.MULTILINE)


def sources(*suffixes):
    rooms = ("include", "ops", "metadata", "backends", "strategies", "tests", "bench", "tools", "python", "cmake")
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*")):
            if path.is_file() and (not suffixes or path.suffix in suffixes) and "__pycache__" not in path.parts and path.parent.name != "readme":
                yield path


class Readme(unittest.TestCase):
    def test_first_program_is_the_example(self):
        programs = [body for language, body in fenced("README.md") if language == "cpp"]
        self.assertEqual(programs, [text("examples/first_call.cc")])

    @unittest.skipUnless(CLI, "ATTEND_CLI is not set: build with ATTEND_TOOLS=ON")
    def test_table_is_the_registry(self):
        found = TABLE.search(text("README.md"))
        self.assertIsNotNone(found, "README.md has lost the markers of its table")
        self.assertIn("flash", found[2])
        backends = {backend["name"] for backend in json.loads(attend("info", "--json"))["backends"]}
        here, there = of_backends(found[2], backends), of_backends(table(), backends)
        self.assertEqual(here, there, "renew it with tests/readme/readme_test.py --write")

    @unittest.skipUnless(CLI, "ATTEND_CLI is not set: build with ATTEND_TOOLS=ON")
    def test_kernels_named_are_registered(self):
        info = attend("info", "--json")
        json.loads(info)
        backends = {backend["name"] for backend in json.loads(info)["backends"]}
        for page in PAGES:
            for word in filter(KERNEL.match, in_backticks(page)):
                if word.split("/")[1] not in backends:
                    continue  # its plugin is not built here
                self.assertIn(f'"{word}"', info, f"{page} names the kernel {word}")

    def test_paths_exist(self):
        seen = 0
        for page in PAGES:
            links = re.findall(r"\]\(([^)\s]+)\)", text(page))
            for link in links:
                if not link.startswith(("http", "#")):
                    self.assertTrue((ROOT / link.split("#")[0]).exists(), f"{page} links {link}")
                    seen += 1
            for word in in_backticks(page):
                if "/" not in word and not re.search(r"\.(h|cc|py|md|cmake|txt|toml)$", word):
                    continue
                if not re.fullmatch(r"[\w.<>*/+-]+", word) or KERNEL.match(word) or NOT_IN_THE_TREE.match(word):
                    continue
                path = re.sub(r"<op(erator)?>", "flash", word)
                found = list(ROOT.glob(path)) or ("/" not in path and list(ROOT.glob(f"*/**/{path}")))
                self.assertTrue(found, f"{page} names {word}, which does not exist")
                seen += 1
        self.assertGreater(seen, 20, "the pages name fewer paths than they did: does the search still work?")

    def test_commands_exist(self):
        shell = "\n".join(body for page in PAGES for language, body in fenced(page) if language == "sh")
        commands = set(re.findall(r"^\s*(tools/\w+)", shell, flags=re.MULTILINE))
        self.assertLessEqual({"tools/demo", "tools/test"}, commands)
        for command in commands:
            self.assertTrue(os.access(ROOT / command, os.X_OK), command)
        presets = {preset["name"] for preset in json.loads(text("CMakePresets.json"))["configurePresets"]}
        named = set(re.findall(r"--preset (\w+)", shell))
        self.assertTrue(named)
        self.assertLessEqual(named, presets)
        for name in re.findall(r"ctest .*-R (\w+)", shell):
            self.assertTrue(list(ROOT.glob(f"tests/*/{name}*_test.cc")), f"no test is called {name}")
        stages = text("tools/test")
        for stage in re.findall(r"--only (\w+)", shell):
            self.assertRegex(stages, rf'[("]"?{stage} ')

    def test_apt_line_is_the_set_up(self):
        line = re.search(r"^apt-get install (.*)$", text("README.md"), flags=re.MULTILINE)[1].split()
        setup = text("tools/setup")
        for package in line:
            self.assertRegex(setup, rf"[( ]{re.escape(package)}[ )\n]")

    def test_variables_are_those_of_the_code(self):
        read = re.compile(r'(?:getenv|environment_variable|from_environment|word)\(\s*"(ATTEND_\w+)"')
        in_code = {name for path in sources(".cc", ".h") for name in read.findall(path.read_text())}
        self.assertIn("ATTEND_DEVICE", in_code)
        cells = re.findall(r"^\| ((?:`ATTEND_\w+`(?:, )?)+) \|", text("README.md"), flags=re.MULTILINE)
        table = {name for cell in cells for name in re.findall(r"ATTEND_\w+", cell)}
        in_scripts = {"ATTEND_SKIP_SETUP"}
        self.assertEqual(table - in_scripts, in_code - {"ATTEND_CLI"})
        everything = "\n".join(path.read_text(errors="replace") for path in sources()) + text("CMakeLists.txt")
        for page in PAGES:
            for name in set(re.findall(r"ATTEND_[A-Z_]+[A-Z]", text(page))) - {"ATTEND_NAME"}:
                self.assertIn(name, everything, f"{page} names {name}")

    def test_figures_are_those_of_the_results(self):
        block = re.search(r"<!-- figures: (\S+\.json), checked.*?-->\n(.*?)<!-- end of figures -->", text("README.md"), re.DOTALL)
        measured = {(row["case"], row["dtype"], row["threads"]): row["ratio_best"] for row in json.loads(text(block[1]))["rows"]}
        rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in block[2].strip().splitlines()[2:]]
        self.assertEqual({row[0] for row in rows}, {case for case, _, _ in measured})
        columns = [(dtype, threads) for dtype in ("fp32", "bf16") for threads in (1, 2)]
        for case, *ratios in rows:
            self.assertEqual(ratios, [f"{measured[(case, *column)]:.2f}" for column in columns], case)

    def test_inner_loop_is_two_hops_away(self):
        links = re.findall(r"\]\((backends/\S+\.cc)\)", text("README.md"))
        self.assertEqual(links, ["backends/native/tiles.cc"])
        hops = re.findall(r"(?:backends/native/)?isa/[\w-]+\.h", text(links[0]))
        self.assertTrue(hops, f"{links[0]} does not name the file of the inner loop")
        for hop in hops:
            self.assertTrue((ROOT / "backends/native" / hop.removeprefix("backends/native/")).exists(), hop)


def write():
    page = ROOT / "README.md"
    page.write_text(TABLE.sub(lambda found: found[1] + table() + found[3], page.read_text()))


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        CLI = CLI or sys.exit("set ATTEND_CLI to the built command line")
        write()
    else:
        unittest.main()
