# SPDX-License-Identifier: BSD-3-Clause
"""Lists the mutants of a C file: single faults of some classes, found token by token. draw() picks some by a seed.

Used by tests/mutants.py. The C of lib/ is regular: no control flow in macros, one declaration a line, no K&R.
"""

import bisect
import re
from collections import namedtuple

# A fault: octets [start, end) of the file become `text`, which has as many lines. `where` is the function or the table,
# `line` the text that names the place, `change` says what was done.
Mutant = namedtuple("Mutant", "kind file number where line change start end text")

# How often each class is drawn.
WEIGHTS = {
    "negate": 2,
    "drop an operand": 2,
    "compare": 2,
    "off by one": 2,
    "skip": 3,
    "skip a wipe": 1,
    "swap": 2,
    "constant": 2,
    "early return": 2,
    "another": 2,
}

TOKEN = re.compile(
    r"""(?P<skip>\s+|/\*.*?\*/|//[^\n]*)
    |(?P<directive>^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<number>\d\w*)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<sign>->|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\.\.\.|.)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
Token = namedtuple("Token", "kind text start end")

ASSIGN = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="}
RELATIONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
LOOSE = ASSIGN | {",", ";", "?", ":", "return", "&&", "||"}
TYPE_WORDS = {"const", "static", "struct", "enum", "union", "unsigned", "signed", "bool", "char", "int", "long", "void",
              "size_t", "mkt_ntp", "inline", "_Atomic", "uint8_t", "uint16_t", "uint32_t", "uint64_t"}
KEYWORDS = {"if", "while", "for", "switch", "return", "sizeof", "do", "else", "case", "default", "break", "continue"}
WIPES = re.compile(r"wipe|release|free|clear")
# Whether two things are the same, and which is longer, is asked either way round: to swap the first two arguments
# changes nothing.
EITHER_WAY = {"mkt_id_equal", "mkt_span_equal", "mkt_policy_same", "mkt_same", "mbedtls_ct_memcmp", "memcmp", "same_word",
              "same_port", "longer"}


def tokens(text):
    found = []
    for match in TOKEN.finditer(text):
        if match.lastgroup not in ("skip", "directive"):
            found.append(Token(match.lastgroup, match.group(), match.start(), match.end()))
    return found


def pairs(toks):
    """For each bracket the index of its mate."""
    mate, stack = {}, []
    for i, tok in enumerate(toks):
        if tok.text in ("(", "[", "{"):
            stack.append(i)
        elif tok.text in (")", "]", "}"):
            mate[i] = stack.pop()
            mate[mate[i]] = i
    return mate


class Names:
    """Enumerators by their enum, and members of structs by struct and type, of all files."""

    def __init__(self):
        self.enums = []
        self.structs = []

    def read(self, text):
        toks = tokens(text)
        mate = pairs(toks)
        for i, tok in enumerate(toks):
            if tok.text not in ("enum", "struct", "union"):
                continue
            j = i + 1
            while j < len(toks) and toks[j].kind == "word":
                j += 1
            if j == len(toks) or toks[j].text != "{":
                continue
            if tok.text == "enum":
                names = [toks[k].text for k in range(j + 1, mate[j]) if toks[k - 1].text in ("{", ",")
                         and toks[k].kind == "word"]
                self.enums.append(names)
            else:
                self.structs.append(declared(toks, mate, j + 1, mate[j]))

    def constants(self, name):
        """Other enumerators of the enum of a name."""
        if name in ("true", "false"):
            return ["false" if name == "true" else "true"]
        return [other for names in self.enums if name in names for other in names if other != name]

    def members(self, name):
        """Other members of the same type, of every struct that has a member of that name."""
        found = []
        for struct in self.structs:
            kind = struct.get(name)
            found += [other for other in struct if kind and struct[other] == kind and other != name]
        return list(dict.fromkeys(found))


def commas(toks, mate, low, high):
    """The parts of [low, high) between commas, as pairs of indices."""
    parts, begin, i = [], low, low
    while i < high:
        if toks[i].text == ",":
            parts.append((begin, i))
            begin = i + 1
        elif toks[i].text in ("(", "[", "{"):
            i = mate[i]
        i += 1
    return parts + [(begin, high)] if begin < high else parts


def declared(toks, mate, low, high):
    """Names to types of the declarations in [low, high), each of which ends with a semicolon."""
    names, begin, i = {}, low, low
    while i < high:
        if toks[i].text == ";":
            names.update(declaration(toks, mate, begin, i))
            begin = i + 1
        elif toks[i].text in ("(", "[", "{"):
            i = mate[i]
        i += 1
    return names


def declaration(toks, mate, low, high):
    """Names to types of one declaration, without its semicolon."""
    names, base = {}, None
    for begin, end in commas(toks, mate, low, high):
        words, stars, name, array, i = [], "", None, "", begin
        while i < end and toks[i].text not in ASSIGN | {":"}:
            if toks[i].text == "*":
                stars += "*"
            elif toks[i].text == "[":
                array, i = "[]", mate[i]
            elif toks[i].text in ("(", "{"):
                i = mate[i]
            elif toks[i].kind == "word":
                if name is not None:
                    words.append(name)
                name = toks[i].text
            i += 1
        if base is None:
            base = " ".join(word for word in words if word not in ("const", "static"))
        if name is not None and base:
            names[name] = base + stars + array
    return names


class File:
    """One source file on its way to be a list of mutants."""

    def __init__(self, name, text, names):
        self.name, self.text, self.names = name, text, names
        self.toks = tokens(text)
        self.mate = pairs(self.toks)
        self.starts = [0] + [m.end() for m in re.finditer("\n", text)]
        self.lines = [" ".join(line.split()) for line in text.split("\n")]
        self.found = []
        self.where, self.span, self.result, self.scope = "", (0, 0), "", {}
        self.known = {}

    # ---- what a mutant is called ----

    def number(self, offset):
        return bisect.bisect_right(self.starts, offset)

    def line(self, offset):
        """The line at an offset, and those after it until no other place of the function looks so."""
        first, last = self.span
        at = self.number(offset)
        if at in self.known:
            return self.known[at]
        for n in range(1, last - at + 2):
            wanted = self.lines[at - 1:at - 1 + n]
            if sum(self.lines[k - 1:k - 1 + n] == wanted for k in range(first, last + 1)) == 1:
                break
        self.known[at] = " / ".join(wanted)
        return self.known[at]

    def add(self, kind, low, high, text, change=None):
        """The tokens [low, high) become a text; none are replaced if low is high."""
        start = self.toks[low].start
        end = self.toks[high - 1].end if high > low else start
        old = self.text[start:end]
        if change is None:
            change = "%s -> %s" % (" ".join(old.split()), " ".join(text.split()))
        text += "\n" * (old.count("\n") - text.count("\n"))
        self.found.append(Mutant(kind, self.name, self.number(start), self.where, self.line(start), change, start, end,
                                 text))

    def source(self, low, high):
        return self.text[self.toks[low].start:self.toks[high - 1].end] if high > low else ""

    # ---- expressions ----

    def left(self, i, stops):
        """The first token of the operand before token i."""
        while i > 0 and self.toks[i - 1].text not in stops and self.toks[i - 1].text not in ("(", "[", "{", "}"):
            i = self.mate[i - 1] if self.toks[i - 1].text in (")", "]") else i - 1
        return i

    def right(self, i, stops):
        """The token after the operand that begins at token i."""
        while self.toks[i].text not in stops and self.toks[i].text not in (")", "]", "}"):
            i = self.mate[i] + 1 if self.toks[i].text in ("(", "[", "{") else i + 1
        return i

    def negate(self, low, high):
        self.add("negate", low, high, "!(%s)" % self.source(low, high))

    def logic(self, i):
        """Token i is && or ||."""
        stops = LOOSE - {"&&"} if self.toks[i].text == "||" else LOOSE
        low, high = self.left(i, stops), self.right(i + 1, stops)
        for begin, end, rest in ((low, i, (i + 1, high)), (i + 1, high, (low, i))):
            self.add("drop an operand", low, high, self.source(*rest), "drop " + " ".join(self.source(begin, end).split()))
            self.negate(begin, end)

    def relation(self, i):
        sign = self.toks[i].text
        if self.toks[i - 1].text in ("(", ",") or self.toks[i + 1].kind == "sign" and self.toks[i + 1].text == ">":
            return
        self.add("negate" if sign in ("==", "!=") else "compare", i, i + 1, RELATIONS[sign])
        if sign in ("==", "!="):
            return
        end = self.right(i + 1, LOOSE | set(RELATIONS))
        self.one_more(i + 1, end)

    def one_more(self, low, high):
        if high - low == 1 and self.toks[low].kind == "number":
            return
        for sign in "+-":
            self.add("off by one", low, high, "%s %s 1" % (self.source(low, high), sign))

    def literal(self, i):
        match = re.fullmatch(r"(0[xX])?([0-9a-fA-F]+?)([uUlL]*)", self.toks[i].text)
        if match is None:
            return
        value = int(match.group(2), 16 if match.group(1) else 10)
        for other in (value + 1, value - 1):
            if other >= 0:
                self.add("off by one", i, i + 1, ("0x%x" if match.group(1) else "%d") % other + match.group(3))

    def arguments(self, i):
        """Token i opens the arguments of a call, or the elements of an initialiser."""
        parts = commas(self.toks, self.mate, i + 1, self.mate[i])
        if any(self.toks[low].text in (".", "[") and self.toks[i].text == "{" for low, _ in parts):
            return
        for k, (low, high) in enumerate(parts):
            for begin, end in parts[k + 1:] if self.result else []:
                one, two = self.source(low, high), self.source(begin, end)
                if one == two or self.toks[i - 1].text in EITHER_WAY and (begin, end) == parts[1]:
                    continue
                between = self.text[self.toks[high - 1].end:self.toks[begin].start]
                self.add("swap", low, end, two + between + one,
                         "swap %s and %s" % (" ".join(one.split()), " ".join(two.split())))
            if self.toks[high - 1].text == "n" and self.toks[high - 2].text in (".", "->"):
                self.one_more(low, high)

    def word(self, i):
        before = self.toks[i - 1].text
        name = self.toks[i].text
        if before in (".", "->"):
            for other in self.names.members(name):
                self.add("another", i, i + 1, other)
            return
        for other in self.names.constants(name):
            self.add("constant", i, i + 1, other)
        kind = self.scope.get(name)
        for other in self.scope:
            if kind is not None and other != name and self.scope[other] == kind:
                self.add("another", i, i + 1, other)

    def expressions(self, low, high):
        """Every fault in [low, high) that is no statement."""
        for i in range(low, high):
            tok, before = self.toks[i], self.toks[i - 1]
            if tok.text in ("&&", "||"):
                self.logic(i)
            elif tok.text in RELATIONS:
                self.relation(i)
            elif tok.text == "?":
                begin = self.left(i, LOOSE - {"&&", "||"})
                self.negate(begin, i)
            elif tok.text == "!":
                self.add("negate", i, i + 1, "", "drop !")
            elif tok.kind == "number":
                self.literal(i)
            elif tok.text == "(" and before.kind == "word" and before.text not in KEYWORDS:
                self.arguments(i)
            elif tok.text == "{" and before.text in ("=", ")", "{", ","):
                self.arguments(i)
            elif tok.text == "[" and before.kind == "word" and self.mate[i] > i + 1:
                self.one_more(i + 1, self.mate[i])
            elif tok.kind == "word" and tok.text not in KEYWORDS and tok.text not in TYPE_WORDS:
                self.word(i)

    # ---- statements ----

    def condition(self, low, high):
        if high > low:
            self.negate(low, high)

    def is_declaration(self, low, high):
        if self.toks[low].text in TYPE_WORDS:
            return True
        return high - low > 1 and self.toks[low].kind == "word" and self.toks[low + 1].kind == "word"

    def skip(self, low, high):
        text = self.source(low, high)
        wipe = self.toks[low].kind == "word" and self.toks[low + 1].text == "(" and WIPES.search(self.toks[low].text)
        self.add("skip a wipe" if wipe else "skip", low, high, "{}", "skip " + " ".join(text.split()))

    def semicolon(self, i):
        while self.toks[i].text != ";":
            i = self.mate[i] + 1 if self.toks[i].text in ("(", "[", "{") else i + 1
        return i

    def block(self, low, high):
        while low < high:
            begin = low
            text = self.toks[low].text
            low = self.statement(low)
            if text in ("case", "default") or self.is_declaration(begin, low):
                continue
            for value in self.values():
                self.add("early return", begin, begin, "return%s; " % value, "return%s before it" % value)

    def values(self):
        """What a function may return early."""
        if self.result == "void":
            return [""]
        if self.result == "enum mkt_err":
            return [" MKT_OK"]
        if self.result == "bool":
            return [" true", " false"]
        return [" NULL"] if self.result.endswith("*") else [" 0"]

    def statement(self, i):
        """Faults of the statement that begins at token i; returns the token after it."""
        text = self.toks[i].text
        if text == "{":
            self.block(i + 1, self.mate[i])
            return self.mate[i] + 1
        if text == "if":
            close = self.mate[i + 1]
            self.condition(i + 2, close)
            end = self.statement(close + 1)
            if self.toks[end].text == "else":
                return self.statement(end + 1)
            self.skip(i, end)
            return end
        if text in ("while", "switch"):
            if text == "while":
                self.condition(i + 2, self.mate[i + 1])
            end = self.statement(self.mate[i + 1] + 1)
            self.skip(i, end)
            return end
        if text == "for":
            first = self.semicolon(i + 2)
            second = self.semicolon(first + 1)
            self.condition(first + 1, second)
            end = self.statement(self.mate[i + 1] + 1)
            self.skip(i, end)
            return end
        if text == "do":
            end = self.statement(i + 1)
            self.condition(end + 2, self.mate[end + 1])
            return self.mate[end + 1] + 2
        if text == "case" or text == "default":
            return self.right(i + 1, {":"}) + 1
        end = self.semicolon(i) + 1
        if text == "return" and self.result == "bool" and self.toks[i + 1].text not in ("true", "false"):
            self.negate(i + 1, end - 1)
        if not self.is_declaration(i, end):
            self.skip(i, end)
        return end

    # ---- the file ----

    def enter(self, where, low, high, result):
        self.where, self.result = where, result
        self.span = (self.number(self.toks[low].start), self.number(self.toks[high].start))

    def function(self, open_, begin):
        """The function whose body opens at a token, and whose declaration begins at another."""
        close = open_ - 1
        name = self.mate[close] - 1
        words = [tok.text for tok in self.toks[begin:name] if tok.text not in ("const", "static", "inline", "MKT_API")]
        self.enter(self.toks[name].text, begin, self.mate[open_], " ".join(words))
        self.scope = {}
        for low, high in commas(self.toks, self.mate, name + 2, close):
            self.scope.update(declaration(self.toks, self.mate, low, high))
        i = open_ + 1
        while i < self.mate[open_]:
            if self.toks[i - 1].text in ("{", "}", ";", "(") and self.toks[i].kind == "word" and \
                    self.is_declaration(i, i + 2) and self.toks[i].text not in KEYWORDS:
                end = self.semicolon(i) if not self.crosses(i) else i
                self.scope.update(declaration(self.toks, self.mate, i, end))
            i += 1
        self.statement(open_)
        self.expressions(open_ + 1, self.mate[open_])

    def crosses(self, i):
        """True if a closing bracket comes before the next semicolon."""
        while self.toks[i].text not in (";", ")", "]", "}"):
            i = self.mate[i] + 1 if self.toks[i].text in ("(", "[", "{") else i + 1
        return self.toks[i].text != ";"

    def all(self):
        begin = i = 0
        while i < len(self.toks):
            text, before = self.toks[i].text, self.toks[i - 1].text
            if text == "{" and before == ")":
                self.function(i, begin)
                begin = i = self.mate[i] + 1
                continue
            if text == "{" and before == "=":
                name = i - 2
                while self.toks[name].text == "]":
                    name = self.mate[name] - 1
                self.enter(self.toks[name].text, begin, self.mate[i], "")
                self.scope = {}
                self.expressions(i, self.mate[i])
            if text in ("{", "(", "["):
                i = self.mate[i]
            elif text == ";":
                begin = i + 1
            i += 1
        return self.found


def mutants(name, text, names):
    """All mutants of a file. Those of one line that would be called the same are counted."""
    found, called = {}, {}
    for mutant in File(name, text, names).all():
        if (mutant.start, mutant.end, mutant.text) in found:
            continue
        key = (mutant.where, mutant.line, mutant.change)
        called[key] = called.get(key, 0) + 1
        if called[key] > 1:
            mutant = mutant._replace(change="%s (%d)" % (mutant.change, called[key]))
        found[mutant.start, mutant.end, mutant.text] = mutant
    return list(found.values())


def draw(everything, random):
    """Yields mutants until none is left: a class by its weight, then a place, then one of what can be wrong there."""
    classes = {}
    for mutant in everything:
        places = classes.setdefault(mutant.kind, {})
        places.setdefault((mutant.file, mutant.start, mutant.end), []).append(mutant)
    while classes:
        at = random.random() * sum(WEIGHTS[kind] for kind in classes)
        for kind in sorted(classes):
            at -= WEIGHTS[kind]
            if at < 0:
                break
        place = sorted(classes[kind])[int(random.random() * len(classes[kind]))]
        left = classes[kind][place]
        yield left.pop(int(random.random() * len(left)))
        if not left:
            del classes[kind][place]
        if not classes[kind]:
            del classes[kind]
