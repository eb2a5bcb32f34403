"""What compare and engine share: sides that answer over a pipe, one process each, and the words and files of a comparison."""

import datetime
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

import report

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = pathlib.Path(sys.argv[0]).name


def names_in(folder):
    return sorted({path.stem for path in (HERE / folder).glob("*.py")} - {"case"})


class Process:
    """A process that answers a JSON object a line with another."""

    def __init__(self, name, command, threads):
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ATTEND_NUM_THREADS"), str(threads))
        self.name, self.threads, self.errors = name, threads, tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env=os.environ | counts)

    def ask(self, **words):
        try:
            self.process.stdin.write(json.dumps(words) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"ok": False, "error": self.last_words()}

    def last_words(self):
        self.errors.seek(0)
        lines = self.errors.read().split("\n")
        return ": ".join([f"exit status {self.process.wait()}", *[line.strip()[:300] for line in lines if line.strip()][-1:]])

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def add_arguments(parser, peers):
    """The words that every comparison takes."""
    parser.add_argument("--peer", default="", help="all, or with commas some of " + ", ".join(peers))
    parser.add_argument("--python", action="append", default=[], metavar="PEER=INTERPRETER", help="default: .compare/PEER/bin/python")
    parser.add_argument("--exec", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--threads", default=f"1,{len(os.sched_getaffinity(0))}")
    parser.add_argument("--machine", help="the machine's name in the results; default: what the CPU calls itself")
    parser.add_argument("--note", help="a sentence for the end of the table")
    parser.add_argument("--out", help="folder for <date>-<machine>.json, .md and .png, in which rows of the same day stay until measured "
                        "again; default: the table alone is printed")


def pairs(words, what):
    for word in words:
        if "=" not in word:
            raise SystemExit(f"{PROGRAM}: {what} is '{word}', expected NAME=VALUE")
    return dict(word.split("=", 1) for word in words)


def commands(args, peers, script):
    """The command of every peer: `script` with its name, in the environment that tools/setup made for it."""
    pythons, found = pairs(args.python, "--python"), {}
    for peer in peers if args.peer == "all" else filter(None, args.peer.split(",")):
        if peer not in peers:
            raise SystemExit(f"{PROGRAM}: --peer names '{peer}', expected all or some of {', '.join(peers)}; others: --exec")
        installed = HERE.parent / ".compare" / peer / "bin" / "python"
        python = pythons.get(peer, str(installed) if installed.exists() else sys.executable)
        found[peer] = [python, str(HERE / script), peer]
    found |= {name: shlex.split(command) for name, command in pairs(args.exec, "--exec").items()}
    for name, command in found.items():
        if not command or shutil.which(command[0]) is None:
            raise SystemExit(f"{PROGRAM}: the command of {name} is '{shlex.join(command)}', expected a program to begin it")
    return found


class Results:
    """The results of one run, together with those of the same day and machine where they are written."""

    def __init__(self, args, program):
        self.out, self.peaks_of = args.out, str(pathlib.Path(program).with_name("machine_peak"))
        self.words = {"peaks": {}, "load": [load_average()] * 2}
        self.measure_peaks()
        cpu = next(iter(self.words["peaks"].values()))["cpu"]
        self.words |= {"machine": args.machine or cpu, "cpu": cpu, "cpus": os.cpu_count(), "date": datetime.date.today().isoformat(),
                       "rows": [], "note": args.note}
        if self.out:
            self.words = report.resume(self.words, self.out)
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True)
        self.commit = commit.stdout.strip()

    def measure_peaks(self):
        for line in subprocess.run([self.peaks_of], check=True, capture_output=True, text=True).stdout.splitlines():
            p = json.loads(line)
            report.keep_best(self.words["peaks"], str(p["threads"]), p)

    def add(self, part, row, key):
        """A row in place of the one with the same key."""
        rows = [r for r in self.words.get(part, []) if key(r) != key(row)] + [row | {"attend": self.commit}]
        self.words[part] = sorted(rows, key=key)
        self.words["attend"] = sorted({r["attend"] for name in ("rows", "engine") for r in self.words.get(name, []) if "attend" in r})
        self.words["load"] = [f(*self.words["load"], load_average()) for f in (min, max)]
        if self.out:
            report.write(self.words, self.out)

    def finish(self):
        print(report.table(self.words))
        if self.out:
            print("wrote", report.write(self.words, self.out))


def load_average():
    return round(os.getloadavg()[0], 1)
