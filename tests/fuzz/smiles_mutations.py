"""Mutated SMILES: a small seeded mutator of real molecules, and molecules that are large, symmetric or dense."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from molvae.data.datasets import sample_library_path

MAX_LENGTH = 5200
"""Some inputs are longer than the limit of `parse`."""

TOKENS = (
    *"CNOPSFIBcnops*()[]=#$:/\\.~@+-%123456789 \t",
    "Cl", "Br", "->", "<-", ">>", ">", "%10", "%(123)", "%(99999)", "[H]", "[H+]", "[2H]", "[nH]", "[NH3+]", "[O-]",
    "[C@H]", "[C@@]", "[C@TH1]", "[C@AL1]", "[S@]", "[N@+]", "[P@@]", "[Fe@OH30]", "[Co@TB20]", "[Pt@SP3]", "[13C]",
    "[999C]", "[CH3:1]", "[C:99999]", "[Na+]", "[Cl-]", "[Cu+2]", "[Fe++]", "[Al+]", "[U]", "[#6]", "[#0]", "[#119]",
    "[se]", "[te]", "[as]", "[si]", "[b]", "[CH0]", "[CH9]", "[CH99]", "[C+15]", "[C-99]", "[C++++++++]", "[99999H99]",
    "[C;H3]", "[$(C)]", "[C,N]", "[]", "[", "]", "C1CC1", "c1ccccc1", "C=C", "/C=C/", "/C=C\\", "C#N", "N=[N+]=[N-]",
    "S(=O)(=O)", "[N+](=O)[O-]", "[S+]([O-])", "P(=O)(O)O", "C(F)(F)F", "c1cc2ccccc2[nH]1", "B(O)O", ".O", ".[Na+]",
    "C1~C~C~1", "N->[Cu]", "[Fe]<-O", "(C)(C)(C)(C)C",
)  # fmt: skip

EXTENSIONS = (
    "|r|", "|&1:1|", "|o1:1,2|", "|a:0,1,2|", "|wU:1.0|", "|wD:999.0|", "|$R1;;$|", "|$_AP1;;;_R99$|", "|^1:0|", "|",
    "|(0,0,0;1.0,0,0;;)|", "|(nan,nan,nan)|", "|atomProp:0.p.v:1.p.v|", "|lp:0:2|", "|m:0:1.2|", "|Sg:n:0,1::ht|", "||",
    "|LN:0:1.2|", "|SgD:0:a:b::::|", "|c:1,t:2|", "|&1:99999|", "|h|", "|$\N{GREEK SMALL LETTER ALPHA};;$|", "name",
    "|w:1.0,2.1|", "|C:0.0|", "|H:1.0|", "|Z:1.0|", "|THB:0:1:2|", "|PI:0.0|", "|ms|", "| |", "|$\n$|", "|1:|",
)  # fmt: skip

CHARACTERS = (
    "\x00", "\x01", "\x07", "\x08", "\x0b", "\x0c", "\r", "\n", "\x1b[31m", "\x1c", "\x1f", "\x7f", "\x85", "\xa0",
    "\xad", "\u041e", "\u0421", "\u0391", "\u0663", "\u200b", "\u200e", "\u202e", "\u2028", "\u2029", "\u2212",
    "\u3000", "\ufeff", "\ufffd", "\uff23", "\ud800", "\udc80", "\udcff", "\U0001f600", "\u0301", "\u2460", "{", "}",
    "^", "!", "&", "|", ",", ";", "_", "`", "'", '"', "<script>", "%s", "{0}", "=1+1", "\t",
)  # fmt: skip

_PIECE = re.compile(r"\[[^\]]*\]|%\d\d|Br|Cl|.", re.DOTALL)
_BRACKET = re.compile(r"\[[^\]]*\]")

Mutation = Callable[[Random, str, Sequence[str]], str]


def molecules() -> list[str]:
    """The SMILES of the sample library."""
    lines = sample_library_path().read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[0] for line in lines]


def mutated_smiles(random: Random, pool: Sequence[str]) -> str:
    """A random molecule of `pool` after one to four mutations, or a structured molecule; perhaps invalid."""
    if random.random() < 0.04:
        text = structured_smiles(random)
        if random.random() < 0.5:
            return text[:MAX_LENGTH]
    else:
        text = random.choice(pool)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        text = random.choices(MUTATIONS, WEIGHTS)[0](random, text, pool)
    return text[:MAX_LENGTH]


def _pieces(text: str) -> list[str]:
    return _PIECE.findall(text)


def _flip_byte(random: Random, text: str, _: Sequence[str]) -> str:
    """Invert a bit of a byte; bytes that are not UTF-8 become lone surrogates."""
    data = bytearray(text.encode("utf-8", "surrogateescape" if text.isascii() else "replace"))
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return data.decode("utf-8", "surrogateescape")


def _insert_token(random: Random, text: str, _: Sequence[str]) -> str:
    pieces = _pieces(text)
    pieces.insert(random.randint(0, len(pieces)), random.choice(TOKENS))
    return "".join(pieces)


def _replace_token(random: Random, text: str, _: Sequence[str]) -> str:
    pieces = _pieces(text)
    if pieces:
        pieces[random.randrange(len(pieces))] = random.choice(TOKENS)
    return "".join(pieces)


def _delete_token(random: Random, text: str, _: Sequence[str]) -> str:
    pieces = _pieces(text)
    if pieces:
        del pieces[random.randrange(len(pieces))]
    return "".join(pieces)


def _swap_tokens(random: Random, text: str, _: Sequence[str]) -> str:
    pieces = _pieces(text)
    if len(pieces) > 1:
        i, j = random.randrange(len(pieces)), random.randrange(len(pieces))
        pieces[i], pieces[j] = pieces[j], pieces[i]
    return "".join(pieces)


def _duplicate(random: Random, text: str, _: Sequence[str]) -> str:
    """Repeat a part of the text, sometimes often."""
    pieces = _pieces(text)
    start = random.randint(0, len(pieces))
    stop = min(len(pieces), start + random.choice((1, 2, 4, 8, 30)))
    times = random.choice((1, 1, 2, 3, 10, 40))
    return "".join([*pieces[:stop], *pieces[start:stop] * times, *pieces[stop:]])


def _repeat(random: Random, text: str, _: Sequence[str]) -> str:
    """The whole text several times, as a mixture or in a row."""
    return random.choice(("", ".", "~", "=", "(")).join([text] * random.choice((2, 3, 5, 30)))


def _cut(random: Random, text: str, _: Sequence[str]) -> str:
    """A part of the text."""
    start = random.randint(0, len(text))
    return text[start : start + random.randint(0, len(text))]


def _splice(random: Random, text: str, pool: Sequence[str]) -> str:
    """The beginning of the text and the end of another molecule."""
    pieces, other = _pieces(text), _pieces(random.choice(pool))
    return "".join(pieces[: random.randint(0, len(pieces))] + other[random.randint(0, len(other)) :])


def _join(random: Random, text: str, pool: Sequence[str]) -> str:
    return text + random.choice((".", "~", "->", "<-", "=", ">>", ">", " ", "")) + random.choice(pool)


def _bracket_atom(random: Random, text: str, _: Sequence[str]) -> str:
    """Replace an atom by a bracket atom with unusual isotope, parity, hydrogens, charge or atom map."""
    isotope = random.choice(("", "", "", "0", "1", "13", "999", "99999", "-1"))
    symbol = random.choice(("C", "N", "n", "c", "S", "s", "P", "O", "*", "Fe", "Al", "Si", "B", "H", "U", "se", "#7"))
    parity = random.choice(("", "", "", "@", "@@", "@TH2", "@AL2", "@SP4", "@TB21", "@OH31", "@@@"))
    hydrogens = random.choice(("", "", "H", "H0", "H2", "H4", "H9", "H12", "H99999"))
    charge = random.choice(("", "", "+", "-", "+2", "--", "+++", "+8", "-9", "+99", "-99999"))
    number = random.choice(("", "", "", ":0", ":1", ":999", ":99999999"))
    atom = f"[{isotope}{symbol}{parity}{hydrogens}{charge}{number}]"
    pieces = _pieces(text)
    atoms = [i for i, piece in enumerate(pieces) if piece.strip("[]%")[:1].isalpha()]
    if not atoms:
        return atom
    pieces[random.choice(atoms)] = atom
    return "".join(pieces)


def _bond(random: Random, text: str, _: Sequence[str]) -> str:
    pieces = _pieces(text)
    pieces.insert(random.randint(0, len(pieces)), random.choice(("->", "<-", "~", "$", ":", "=", "#", "-", "/", "\\")))
    return "".join(pieces)


def _ring_closure(random: Random, text: str, _: Sequence[str]) -> str:
    """Close further rings between two places, or leave them open."""
    pieces = _pieces(text)
    label = random.choice(("1", "2", "9", "0", "%10", "%99", "%00", "%(100)", "%(9999)", "%(99999)", "%1", "%", "%()"))
    for _ in range(random.choice((1, 2, 2, 2, 4))):
        pieces.insert(random.randint(0, len(pieces)), label)
    return "".join(pieces)


def _character(random: Random, text: str, _: Sequence[str]) -> str:
    """Insert a character that is not SMILES, often at an end."""
    position = random.choice((0, len(text), random.randint(0, len(text))))
    return text[:position] + random.choice(CHARACTERS) * random.choice((1, 1, 1, 2, 300)) + text[position:]


def _extension(random: Random, text: str, _: Sequence[str]) -> str:
    """Append a ChemAxon extension or a name."""
    return text + random.choice((" ", " ", "\t", "  ", "")) + random.choice(EXTENSIONS)


def _stereo(random: Random, text: str, _: Sequence[str]) -> str:
    """Mark atoms as stereocenters, whether or not they can be."""
    share = random.random()
    mark = random.choice(("@", "@@"))

    def marked(match: re.Match[str]) -> str:
        return f"[{match[0]}{mark}{random.choice(('', 'H'))}]" if random.random() < share else match[0]

    return re.sub(r"(?<![\[A-Za-z])[CNSP](?![a-z\]])", marked, text)


def _atom_maps(random: Random, text: str, _: Sequence[str]) -> str:
    return _BRACKET.sub(lambda match: f"{match[0][:-1]}:{random.randint(0, 1000)}]", text)


def _aromatic(random: Random, text: str, _: Sequence[str]) -> str:
    """Change the case of some atoms."""
    pieces = [piece.swapcase() if piece in "CNOSPcnosp" and random.random() < 0.2 else piece for piece in _pieces(text)]
    return "".join(pieces)


def _random_text(random: Random, _: str, __: Sequence[str]) -> str:
    return "".join(random.choice(TOKENS) for _ in range(random.randint(0, 40)))


MUTATIONS: tuple[Mutation, ...] = (
    _flip_byte, _insert_token, _replace_token, _delete_token, _swap_tokens, _duplicate, _repeat, _cut, _splice, _join,
    _bracket_atom, _bond, _ring_closure, _character, _extension, _stereo, _atom_maps, _aromatic, _random_text,
)  # fmt: skip
WEIGHTS = (4, 4, 4, 2, 2, 4, 1, 1, 2, 3, 8, 4, 4, 4, 3, 4, 1, 2, 1)


# --- molecules that are large, symmetric or dense --------------------------------------------------------------------


def structured_smiles(random: Random) -> str:
    """A chain, a mixture, a dendrimer, a lattice, a random regular graph, or another unusual molecule."""
    size = int(random.choice((5, 10, 20, 50, 150, 400, 1200)) * random.uniform(0.7, 1.4))
    atom = random.choice(("C", "C", "C", "c", "*", "[Si]", "N", "[C@H]", "[C@@]", "[Fe]", "[BH]", "B", "n"))
    kind = random.randrange(8)
    if kind == 0:
        return random.choice(UNITS) * min(size, 900)
    if kind == 1:
        return ".".join([random.choice(UNITS)] * size)
    if kind == 2:
        return dendrimer(random.randint(1, 8), atom, random.choice((2, 2, 3)))
    if kind == 3:
        side = max(2, int(size**0.5))
        return smiles_of_graph(lattice(side, random.randint(2, side + 1), random.random() < 0.3), atom)
    if kind == 4:
        return smiles_of_graph(random_regular(random, 2 * max(2, size // 4), random.choice((3, 3, 4, 5))), atom)
    if kind == 5:
        n = min(size, 30)
        return smiles_of_graph({(i, j) for i in range(n) for j in range(i)}, atom)
    if kind == 6:
        step = random.randint(2, 12)
        return smiles_of_graph({tuple(sorted((i, (i + k) % size))) for i in range(size) for k in (1, step)}, atom)
    return f"{atom}1{random.choice(UNITS) * size}{atom}1"


UNITS = (
    "C", "O", "*", "C=C", "C#C", "/C=C/C", "C(C)(C)", "CC(=O)N", "[C@H](O)", "[C@@H](C)C(=O)N", "c1ccc(cc1)", "OCC",
    "C([N+](=O)[O-])", "C(=O)O", "[Na+].[Cl-]", "CS(=O)", "N=N", "[Fe]", "C1CC1", "P(=O)(O)O", "[13CH2]", "C([2H])",
    "[NH3+].[O-]", "n1ccc2ccccc12", "C12C3C4C1C5C2C3C45", "S(=O)(=O)N", "[N+](C)(C)C", "C([H])([H])", "[CH]",
)  # fmt: skip

Edges = set[tuple[int, ...]]


def dendrimer(depth: int, atom: str, branches: int) -> str:
    """A perfect tree of atoms."""
    if not depth:
        return atom
    branch = dendrimer(depth - 1, atom, branches)
    return atom + f"({branch})" * (branches - 1) + branch


def lattice(width: int, height: int, periodic: bool) -> Edges:
    """A square lattice, on a torus if periodic."""
    edges: Edges = set()
    for x in range(width):
        for y in range(height):
            for dx, dy in ((1, 0), (0, 1)):
                if periodic or (x + dx < width and y + dy < height):
                    other = (x + dx) % width * height + (y + dy) % height
                    edges.add(tuple(sorted((x * height + y, other))))
    return {edge for edge in edges if edge[0] != edge[1]}


def random_regular(random: Random, size: int, degree: int) -> Edges:
    """A graph in which most atoms have `degree` neighbors."""
    ends = [atom for atom in range(size) for _ in range(degree)]
    random.shuffle(ends)
    pairs = zip(ends[::2], ends[1::2], strict=False)
    return {tuple(sorted(pair)) for pair in pairs if pair[0] != pair[1]}


def smiles_of_graph(edges: Edges, atom: str) -> str:
    """A SMILES of the component of atom 0, with every atom written as `atom`."""
    neighbors: dict[int, list[int]] = {0: []}
    for a, b in sorted(edges):
        neighbors.setdefault(a, []).append(b)
        neighbors.setdefault(b, []).append(a)
    parts: list[str] = []
    closures: dict[int, list[str]] = {}
    order: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    stack: list[tuple[int, int]] = [(0, -1)]
    n_closures = 0
    while stack:
        node, parent = stack.pop()
        if node in order:
            continue
        order[node] = len(order)
        if parent >= 0:
            children.setdefault(parent, []).append(node)
        for other in neighbors[node]:
            if other == parent:
                continue
            if other in order:
                n_closures += 1
                label = str(n_closures) if n_closures < 10 else f"%({n_closures})"
                closures.setdefault(node, []).append(label)
                closures.setdefault(other, []).append(label)
            else:
                stack.append((other, node))
    todo: list[int | str] = [0]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        parts += [atom, *closures.get(item, [])]
        branches = children.get(item, [])
        for index, child in enumerate(reversed(branches)):
            todo += [child] if index == 0 else [")", child, "("]
    return "".join(parts)
