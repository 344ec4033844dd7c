# SPDX-License-Identifier: BSD-3-Clause
"""Builds mutants of lib/ and says what finds them: the work of tests/mutants.sh, whose comment has the options."""

import argparse
import collections
import concurrent.futures
import copy
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import mutate

LEAST = 97  # per cent that must be found
QUICK = 1.5  # seconds of CPU time of a suite for --quick
PARTS = ["lib", "include", "examples", "tests", "fuzz", "meson.build", "meson_options.txt", "README.md"]
PLAIN = ["-Doptimization=2", "-Ddebug=false"]
SANITIZED = ["-Doptimization=g", "-Ddebug=true", "-Dexamples=false", "-Db_lundef=false",
             "-Db_sanitize=address,undefined", "-Dc_args=-fno-sanitize-recover=all"]
THREADS = ["-Doptimization=g", "-Ddebug=true", "-Dexamples=false", "-Db_lundef=false", "-Db_sanitize=thread"]
OF_THREADS = ("streams.c", "replay.c", "tls.c")  # what has locks or atomic variables
IN_TLS = ("tls", "streams", "announced", "ends", "null", "early", "lookups", "fuzz-tls", "fuzz-suites")
IN_X509 = ("x509", "refuse_pk", "vectors_pk", "threads", "null")
ONLY_IN = {"tls.c": IN_TLS, "streams.c": IN_TLS, "x509.c": IN_X509}  # what links the files of the other libraries

Program = collections.namedtuple("Program", "name suite argv env target")
Cost = collections.namedtuple("Cost", "wall cpu")


def die(text):
    print("mutants.sh: " + text, file=sys.stderr)
    sys.exit(2)


def limit(seconds):
    """A child has so many seconds of CPU time, and leaves no core file."""
    def setup():
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
    return setup


def run(argv, where, env, cost):
    """Runs a program; returns its exit status, negative for a signal, or "time-out", and what it took.

    The limits are far from what the program took without a mutant: 10 times its CPU time, 20 times its time. No cost:
    that is to be measured.
    """
    with tempfile.TemporaryDirectory(dir=where) as scratch:
        env = dict(os.environ, CK_TIMEOUT_MULTIPLIER="10", TMPDIR=scratch, **env)
        wall, cpu = (900, 900) if cost is None else (30 + 20 * cost.wall, 5 + 10 * cost.cpu)
        with open(os.path.join(where, "output"), "wb") as output:
            begin, pause = time.monotonic(), 0.001
            process = subprocess.Popen(argv, cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=limit(int(cpu) + 1))
            try:
                while time.monotonic() - begin < wall:
                    ended, status, usage = os.wait4(process.pid, os.WNOHANG)
                    if ended != 0:
                        process.returncode = os.waitstatus_to_exitcode(status)
                        return process.returncode, Cost(time.monotonic() - begin, usage.ru_utime + usage.ru_stime)
                    time.sleep(pause)
                    pause = min(2 * pause, 0.05)
                # Check passes SIGTERM on to the test that it runs, which is in a process group of its own.
                os.killpg(process.pid, signal.SIGTERM)
                time.sleep(1)
                return "time-out", Cost(wall, wall)
            finally:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                process.wait()


class Build:
    """A copy of the tree, and a build directory for it."""

    def __init__(self, work, top, options):
        self.work, self.tree, self.dir = work, os.path.join(work, "tree"), os.path.join(work, "build")
        os.makedirs(self.tree)
        for part in PARTS:
            source, target = os.path.join(top, part), os.path.join(self.tree, part)
            if os.path.isdir(source):
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)
        self.must(["meson", "setup", "-Dwerror=true", "-Dtests=enabled"] + options + [self.dir, self.tree])
        self.must(["ninja", "-C", self.dir])
        self.objects = self.hashes()
        self.costs, self.finds = {}, collections.Counter()  # both are shared with the copies
        told = json.loads(subprocess.check_output(["meson", "introspect", "--tests", self.dir]))
        self.programs = [self.program(test) for test in sorted(told, key=lambda test: test["name"])]
        self.programs = [program for program in self.programs if program.suite != "network"]  # each takes minutes

    def quick(self):
        return [program for program in self.programs if program.suite != "scripts"]

    def copy(self, work):
        """Both once more, in another directory; all that ninja knows of them is relative or never runs again."""
        shutil.copytree(self.work, work, symlinks=True)
        other = copy.copy(self)
        other.work, other.tree, other.dir = work, os.path.join(work, "tree"), os.path.join(work, "build")
        other.programs = [Program(program.name, program.suite, [word.replace(self.work, work) for word in program.argv],
                                  {name: value.replace(self.work, work) for name, value in program.env.items()},
                                  program.target) for program in self.programs]
        return other

    def must(self, argv):
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.stdout.buffer.write(done.stdout)
            die("%s does not build" % self.dir)

    def program(self, test):
        target = os.path.relpath(test["cmd"][0], self.dir)
        return Program(test["name"], test["suite"][0].split(":")[-1], test["cmd"], test["env"], target)

    def ninja(self, *targets):
        return subprocess.run(["ninja", "-C", self.dir, *targets], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def hashes(self):
        """The object files of all libraries."""
        found = {}
        for directory in sorted(os.listdir(self.dir)):
            if directory.startswith("libmikeyticket") and directory.endswith(".p"):
                for name in os.listdir(os.path.join(self.dir, directory)):
                    path = os.path.join(directory, name)
                    with open(os.path.join(self.dir, path), "rb") as file:
                        found[path] = file.read()
        return found

    def plant(self, mutant):
        self.path = os.path.join(self.tree, "lib", mutant.file)
        with open(self.path, encoding="ascii") as file:
            self.text = file.read()
        with open(self.path, "w", encoding="ascii") as file:
            file.write(self.text[:mutant.start] + mutant.text + self.text[mutant.end:])

    def restore(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write(self.text)

    def compiles(self, mutant):
        """Whether a mutant that was planted compiles, and whether that gives other object files."""
        objects = list(self.objects)
        if mutant.file.endswith(".c"):
            objects = [path for path in objects if path.endswith("lib_%s.o" % mutant.file)]
        if not self.ninja(*objects):
            return False, False
        for path in objects:
            with open(os.path.join(self.dir, path), "rb") as file:
                if file.read() != self.objects[path]:
                    return True, True
        return True, False

    def passes(self, program):
        status, _ = run(program.argv, self.dir, program.env, self.costs[program.name])
        return status in (0, 77), status

    def control(self, programs, all_must_pass):
        """Runs programs without a mutant and measures them; returns those that pass."""
        good = []
        for program in programs:
            status, self.costs[program.name] = run(program.argv, self.dir, program.env, None)
            if status == 0:
                good.append(program)
            elif all_must_pass:
                with open(os.path.join(self.dir, "output"), "rb") as output:
                    sys.stdout.buffer.write(output.read())
                die("%s fails without a mutant: %s" % (program.name, status))
        return good

    def first_to_find(self, programs):
        for program in programs:
            passed, status = self.passes(program)
            if not passed:
                self.finds[program.name] += 1
                how = "" if isinstance(status, int) and status > 0 else ", " + str(
                    status if isinstance(status, str) else signal.Signals(-status).name)
                return "%s %s%s" % ({"modules": "suite", "fuzz": "corpus", "scripts": "script"}[program.suite],
                                    program.name, how)
        return None


def in_order(programs, build, mutant):
    """The suite of the file's own name first, then what is cheap and has found much so far, the corpora after the suites.
    """
    own = {"span.c": "io", "io.h": "io", "sdp.h": "sdp", "crypto-mbedtls.c": "crypto"}.get(mutant.file, mutant.file.rsplit(".", 1)[0])
    if mutant.file in ONLY_IN:
        programs = [program for program in programs if program.name in ONLY_IN[mutant.file]]
    return sorted(programs, key=lambda program: (
        program.name != own or build.costs[own].cpu > QUICK, program.suite != "modules",
        (0.1 + build.costs[program.name].wall) / (1 + build.finds[program.name])))


def in_parts(programs, build, mutant):
    """The same in parts: each is linked only if those before it have found nothing."""
    programs = in_order(programs, build, mutant)
    suites = [program for program in programs if program.suite == "modules"]
    return suites[:1], suites[1:6], suites[6:], [program for program in programs if program.suite == "fuzz"]


def first_of(build, parts):
    """Builds and runs one part after the other; returns "compiler", what finds the mutant, or None."""
    for part in parts:
        if part and not build.ninja(*(program.target for program in part)):
            return "compiler"
        found = build.first_to_find(part)
        if found is not None:
            return found
    return None


def try_mutant(build, mutant):
    """Returns "compiler", "no change", what finds it, or None."""
    build.plant(mutant)
    try:
        compiled, differs = build.compiles(mutant)
        if not compiled or not differs:
            return "no change" if compiled else "compiler"
        return first_of(build, in_parts(build.quick(), build, mutant))
    finally:
        build.restore()


class Late:
    """What finds the mutants that no suite and no corpus did. Two threads may look at the same ones."""

    def __init__(self, left):
        self.left, self.found = left, {}

    def look(self, build, mutants, find, what):
        for mutant in mutants:
            if self.by(mutant) is not None:
                continue
            build.plant(mutant)
            found = find(mutant)
            build.restore()
            if found not in (None, "compiler"):  # with other options it may not compile: nothing has found it then
                self.found.setdefault(key(mutant), what + found)

    def by(self, mutant):
        return self.found.get(key(mutant))

    def scripts(self, build):
        scripts = build.control([program for program in build.programs if program.suite == "scripts"], False)
        print("== %d left; scripts: %s" % (len(self.left), ", ".join(program.name for program in scripts)), flush=True)
        self.look(build, self.left, lambda _: build.first_to_find(scripts) if build.ninja() else "compiler", "")

    def sanitizers(self, work, top):
        build = Build(os.path.join(work, "sanitized"), top, SANITIZED)
        programs = build.control(build.quick(), True)
        print("== %d left; sanitizers" % len(self.left), flush=True)
        self.look(build, self.left, lambda mutant: first_of(build, in_parts(programs, build, mutant)), "sanitizers: ")
        shared = [mutant for mutant in self.left if mutant.file in OF_THREADS and self.by(mutant) is None]
        if not shared:
            return
        threads = Build(os.path.join(work, "threads"), top, THREADS)
        some = threads.control([program for program in threads.programs
                                if program.name in ("threads", "streams", "announced", "tls", "replay")], False)
        print("== %d left; ThreadSanitizer" % len(shared), flush=True)
        self.look(threads, shared, lambda _: first_of(threads, [some]), "sanitizers: ")


class Listed:
    """tests/survivors.txt: a line FILE FUNCTION: LINE with 4 spaces before it, then changes with 8. A LINE or the end of a
    change may be *, for any."""

    def __init__(self, path):
        self.entries, self.used, place = {}, set(), None
        with open(path, encoding="ascii") as file:
            for line in file:
                line = line.rstrip("\n")
                if line.startswith(" " * 8):
                    self.entries.setdefault(place[:2], []).append((place[2], line.strip()))
                elif line.startswith(" " * 4):
                    what, text = line.strip().split(": ", 1)
                    place = tuple(what.split(" ")) + (text,)

    def __contains__(self, mutant):
        place = (mutant.file, mutant.where)
        for line, change in self.entries.get(place, []):
            if line in ("*", mutant.line) and (change == mutant.change or
                                               change.endswith("*") and mutant.change.startswith(change[:-1])):
                self.used.add(place + (line, change))
                return True
        return False

    def stale(self, everything):
        """Entries that name no mutant."""
        for mutant in everything:
            mutant in self
        return sorted({place + entry for place in self.entries for entry in self.entries[place]} - self.used)


def key(mutant):
    return mutant.file, mutant.where, mutant.line, mutant.change


def entry(mutant):
    return "    %s %s: %s\n        %s" % key(mutant)


def main():
    tests = os.path.dirname(os.path.abspath(__file__))
    top = os.path.dirname(tests)
    parser = argparse.ArgumentParser(prog="mutants.sh")
    parser.add_argument("-s", "--seed", type=int, default=int(time.strftime("%Y%m%d")))
    parser.add_argument("-n", "--number", type=int, default=150)
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count())
    parser.add_argument("-w", "--work", default=os.path.join(top, "build", "mutants"))
    parser.add_argument("--listed", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("file", nargs="*")
    options = parser.parse_args()

    names, sources = mutate.Names(), {}
    for directory in ("include", "include/mikeyticket", "lib"):
        for name in sorted(os.listdir(os.path.join(top, directory))):
            if name.endswith((".c", ".h")):
                with open(os.path.join(top, directory, name), encoding="ascii") as file:
                    text = file.read()
                names.read(text)
                if directory == "lib" and name != "crypto-nettle.c":  # which is not built here
                    sources[name] = text
    everything = [mutant for name in sources for mutant in mutate.mutants(name, sources[name], names)]
    listed = Listed(os.path.join(tests, "survivors.txt"))
    stale = listed.stale(everything)
    for place in stale:
        print("tests/survivors.txt: there is no such mutant; mend the entry: %s %s: %s: %s" % place)
    chosen = [os.path.basename(name) for name in options.file] or list(sources)
    for name in chosen:
        if name not in sources:
            die("no file lib/" + name)
    everything = [mutant for mutant in everything if mutant.file in chosen]
    if options.listed:
        drawn = iter([mutant for mutant in everything if mutant in listed])
        options.number = len(everything)
    else:
        drawn = mutate.draw(everything, random.Random(options.seed))

    begin = time.monotonic()
    shutil.rmtree(options.work, ignore_errors=True)
    first = Build(os.path.join(options.work, "0"), top, PLAIN)
    if options.quick:
        first.programs = [program for program in first.programs if program.suite == "modules"]
    first.control(first.quick(), True)
    if options.quick:
        first.programs = [program for program in first.programs if first.costs[program.name].cpu < QUICK]
    builds = [first] + [first.copy(os.path.join(options.work, str(n))) for n in range(1, options.jobs)]
    print("== %d places and ways, %d listed; control run after %d s" %
          (len(everything), len(listed.used), time.monotonic() - begin), flush=True)

    results = []  # mutants that compile and differ, with what finds them
    counts = collections.Counter()
    free = list(builds)

    def work(mutant):
        if mutant in listed and not options.listed:
            return "listed"
        build = free.pop()
        try:
            return try_mutant(build, mutant)
        finally:
            free.append(build)

    def say(mutant, found):
        print("lib/%s:%d %s: %s: %s: %s" % (mutant.file, mutant.number, mutant.where, mutant.kind,
                                             mutant.change[:160], found or "not found yet"), flush=True)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        waiting = collections.deque()
        while len(results) < options.number:
            while len(waiting) < 8 * options.jobs: # so that nobody waits for a slow one
                mutant = next(drawn, None)
                if mutant is None:
                    break
                waiting.append((mutant, pool.submit(work, mutant)))
            if not waiting:
                break
            mutant, future = waiting.popleft()
            found = future.result()
            if found in ("compiler", "no change"):
                counts[found] += 1
                continue
            results.append((mutant, found))
            say(mutant, found)
        for mutant, future in waiting:
            future.cancel()

    left = [mutant for mutant, found in results if found is None]
    late = Late(left)
    print("== %d left after %d s" % (len(left), time.monotonic() - begin), flush=True)
    if left and not options.quick:
        # most scripts wait for something: meanwhile the other core has the sanitizers
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for part in (pool.submit(late.scripts, first), pool.submit(late.sanitizers, options.work, top)):
                part.result()

    for mutant, found in results:
        by = found or late.by(mutant)
        if found is None:
            say(mutant, by or "SURVIVED")
        counts["listed" if by == "listed" else "survived" if by is None else by.split(" ")[0].rstrip(":")] += 1
    alive = [mutant for mutant, found in results if (found or late.by(mutant)) is None]
    if alive:
        print("\n".join(["== survivors, as tests/survivors.txt has them"] + [entry(mutant) for mutant in alive]))
    change = len(results) - counts["listed"]
    hit = change - counts["survived"]
    print("== not mutants: %d by the compiler, %d with the same object code" % (counts["compiler"], counts["no change"]))
    print("== " + ", ".join("%s %d" % (name, counts[name]) for name in
                            ("suite", "corpus", "script", "sanitizers", "survived", "listed")))
    print("seed %d, %d seconds: found %d of %d that change something: %.1f %%" %
          (options.seed, time.monotonic() - begin, hit, change, 100 * hit / max(change, 1)))
    if options.listed:
        for mutant, found in results:
            if found or late.by(mutant):
                print("tests/survivors.txt: is found; take it out: %s %s: %s: %s" % key(mutant))
        return 1 if stale or hit else 0
    return 1 if stale or 100 * hit < LEAST * change else 0


if __name__ == "__main__":
    sys.exit(main())
