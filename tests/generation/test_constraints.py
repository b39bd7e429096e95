"""Constraints compared with plain RDKit code, and the diverse selection with a plain MaxMin loop."""

from __future__ import annotations

import pytest
from molecules import DRUGS
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams
from rdkit.Chem.Scaffolds import MurckoScaffold
from tiny_vae import SMALL

from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import Filters
from molvae.chem.precedence import PrecedenceTable
from molvae.data.parallel import SERIAL
from molvae.errors import InputError
from molvae.generation.analogs import SearchOptions, SeedSearch
from molvae.generation.constraint_checker import CheckedMolecule, ConstraintChecker
from molvae.generation.constraints import Constraints, select_diverse
from molvae.generation.similarity_target import DEFAULT_TARGET

ANALOGS = [Chem.CanonSmiles(smiles) for smiles in (
    "CC(=O)Oc1ccccc1C(=O)OC", "O=C(O)c1ccccc1", "O=C(O)c1ccccc1O", "CC(=O)Oc1ccncc1C(=O)O", "O=C1C=CC(=O)c2ccccc12",
    "Cc1ccc([N+](=O)[O-])cc1", "O=C(Cl)c1ccccc1", "c1ccc(-c2ccccc2)cc1", "CCCCCCCCCCCCCCCCCC(=O)O", "CN=[N+]=[N-]",
    "C[C@H](O)C(=O)O", "C[C@@H](O)C(=O)O", "OC1CCCCC1", "O=C(O)C1CCCCC1",
)]  # fmt: skip
POOL = list(dict.fromkeys([*map(Chem.CanonSmiles, DRUGS.values()), *SMALL, *ANALOGS]))
ASPIRIN = DRUGS["aspirin"]


def _has(molecule, smarts):
    return Chem.MolFromSmiles(molecule).HasSubstructMatch(Chem.MolFromSmarts(smarts), useChirality=True)


def _scaffold(smiles):
    scaffold = MurckoScaffold.GetScaffoldForMol(Chem.MolFromSmiles(smiles))
    Chem.RemoveStereochemistry(scaffold)
    return Chem.MolToSmiles(scaffold)


CATALOGS = {}


def _alerts(smiles, names):
    found = set()
    for name in names:
        if name not in CATALOGS:
            params = FilterCatalogParams()
            params.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
            CATALOGS[name] = FilterCatalog(params)
        matches = CATALOGS[name].GetMatches(Chem.MolFromSmiles(smiles))
        found |= {(name, match.GetProp("FilterSet"), match.GetDescription()) for match in matches}
    return found


def _checked(constraints, expected, seed=ASPIRIN):
    """The accepted molecules of the pool are those that the plain function accepts: some, but not all."""
    accepted = constraints.accepted(seed, POOL)
    assert accepted == [molecule for molecule in POOL if expected(molecule)]
    assert 0 < len(accepted) < len(POOL)
    assert constraints
    return accepted


# --- constraints ---


def test_no_constraints_accept_all():
    assert not Constraints()
    assert Constraints().accepted(ASPIRIN, POOL) == POOL
    assert Constraints(include_smarts=("C",)).accepted(ASPIRIN, []) == []


def test_property_filters():
    property_filters = ("mw<300", "logp 0:3", "qed>=0.4")
    _checked(
        Constraints(property_filters=tuple(map(PropertyFilter.from_text, property_filters))),
        lambda m: (
            Descriptors.MolWt(Chem.MolFromSmiles(m)) < 300
            and 0 <= Crippen.MolLogP(Chem.MolFromSmiles(m)) <= 3
            and QED.qed(Chem.MolFromSmiles(m)) >= 0.4
        ),
    )


def test_include_smarts():
    patterns = ("C(=O)[OX2H1]", "c1ccccc1")
    both = _checked(Constraints(include_smarts=patterns), lambda m: all(_has(m, p) for p in patterns))
    assert len(both) < len(Constraints(include_smarts=patterns[:1]).accepted(ASPIRIN, POOL))


def test_exclude_smarts():
    patterns = ("[#7]", "[F,Cl,Br,I]")
    _checked(Constraints(exclude_smarts=patterns), lambda m: not any(_has(m, p) for p in patterns))


def test_stereo_of_smarts():
    smarts = Chem.MolToSmarts(Chem.MolFromSmiles("C[C@H](O)C(=O)O"))
    accepted = _checked(Constraints(include_smarts=(smarts,)), lambda m: _has(m, smarts))
    assert len({"C[C@H](O)C(=O)O", "C[C@@H](O)C(=O)O"} & set(accepted)) == 1


@pytest.mark.parametrize("seed", [ASPIRIN, DRUGS["levodopa"], "CCO", DRUGS["testosterone"]])
def test_keep_scaffold(seed):
    """An acyclic seed accepts acyclic molecules only."""
    accepted = _checked(Constraints(keep_scaffold=True), lambda m: _scaffold(m) == _scaffold(seed), seed)
    assert Chem.CanonSmiles(seed) in accepted


@pytest.mark.parametrize("names", [("PAINS",), ("BRENK",), ("NIH", "BRENK")])
def test_alerts(names):
    _checked(Constraints(alerts=names), lambda m: not _alerts(m, names), "CCO")


def test_alerts_of_the_seed_are_allowed():
    seed, names = DRUGS["metronidazole"], ("BRENK",)
    own = _alerts(seed, names)
    assert own
    accepted = _checked(Constraints(alerts=names), lambda m: _alerts(m, names) <= own, seed)
    assert "Cc1ccc([N+](=O)[O-])cc1" in accepted
    assert "Cc1ccc([N+](=O)[O-])cc1" not in Constraints(alerts=names).accepted("CCO", POOL)
    assert "CN=[N+]=[N-]" not in accepted


def test_known_molecules_are_rejected():
    calls: list[list[str]] = []

    def known(molecules):
        calls.append(list(molecules))
        return (molecule in SMALL for molecule in molecules)

    _checked(Constraints(known=known), lambda m: m not in SMALL)
    assert calls == [POOL]


def test_all_constraints():
    constraints = Constraints(
        property_filters=(PropertyFilter.from_text("mw<250"),),
        include_smarts=("C=O",),
        exclude_smarts=("[#7]",),
        keep_scaffold=True,
        alerts=("NIH",),
        known=lambda molecules: [m == "O=C(O)c1ccccc1" for m in molecules],
    )
    accepted = _checked(
        constraints,
        lambda m: (
            m != "O=C(O)c1ccccc1"
            and Descriptors.MolWt(Chem.MolFromSmiles(m)) < 250
            and _has(m, "C=O")
            and not _has(m, "[#7]")
            and _scaffold(m) == "c1ccccc1"
            and _alerts(m, ("NIH",)) <= _alerts(ASPIRIN, ("NIH",))
        ),
    )
    assert len(accepted) >= 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"include_smarts": ("C", "C(")}, r"cannot read SMARTS 'C\('"),
        ({"exclude_smarts": ("[Qq]",)}, "cannot read SMARTS"),
        ({"exclude_smarts": ("",)}, "it is empty"),
        ({"alerts": ("PAINS", "CHEMBL")}, "unknown set of alerts 'CHEMBL'"),
    ],
)
def test_invalid_constraints(options, message, capfd):
    with pytest.raises(InputError, match=message):
        Constraints(**options)
    assert capfd.readouterr().err == ""


def test_no_rdkit_output(capfd):
    constraints = Constraints(
        property_filters=tuple(map(PropertyFilter.from_text, ("qed>0", "sa :10", "np -9:9"))),
        include_smarts=("C",),
        keep_scaffold=True,
        alerts=("PAINS", "BRENK", "NIH"),
    )
    constraints.accepted(ASPIRIN, [*POOL, "[H]C", "C[H]", "C/C=C/C", "CC(C)(C)[Pt]"])
    assert capfd.readouterr() == ("", "")


# --- diverse selection ---


def _similarities(molecules):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(m)) for m in molecules]
    return [DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints]


def _max_min(similarity, size, count):
    """The selected positions in order; of ties the first."""
    selected = [0]
    while len(selected) < count:
        selected.append(
            min(set(range(size)) - set(selected), key=lambda i: (max(similarity[i][p] for p in selected), i))
        )
    return selected


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_select_diverse_is_max_min(count):
    molecules = list(DRUGS.values())
    selected = select_diverse(molecules, count)
    size = min(3 * count, len(molecules))
    similarity = _similarities(molecules[:size])
    assert len(set(selected)) == count
    assert selected == sorted(selected)
    assert selected[0] == 0
    assert max(selected) < size
    assert selected == sorted(_max_min(similarity, size, count))


def test_pool_factor():
    molecules = [smiles for smiles in DRUGS.values() if "." not in smiles]
    assert select_diverse(molecules, 4, pool_factor=1) == [0, 1, 2, 3]
    wide = select_diverse(molecules, 4, pool_factor=10)
    assert wide == sorted(_max_min(_similarities(molecules[:40]), 40, 4))
    assert max(wide) > 12


@pytest.mark.parametrize("count", [3, 4, 100])
def test_select_diverse_from_few_molecules(count):
    assert select_diverse(SMALL[:3], count) == [0, 1, 2]
    assert select_diverse([], count) == []


@pytest.mark.parametrize("count", [0, -1])
def test_select_diverse_with_invalid_count(count):
    with pytest.raises(InputError, match="must be 1 or more"):
        select_diverse(SMALL, count)


# --- plausibility, isomers and stereo ---


def _check(constraints, seed, molecules):
    return constraints.submit(seed, molecules, SERIAL)()


def test_change_scaffold():
    _checked(Constraints(change_scaffold=True), lambda m: _scaffold(m) != _scaffold(ASPIRIN))
    with pytest.raises(InputError, match="contradict each other"):
        Constraints(keep_scaffold=True, change_scaffold=True)


def _violated(constraints, seed, molecules):
    """The rule that each molecule violates."""
    rules = constraints.proposal_rules(seed)
    return {sample.smiles: rules.violated(sample) for sample in constraints.sample_parser()(molecules)}


def test_implausible_molecules():
    """A ring system, an environment and a group that no real molecule has are rejected, unless the seed has them."""
    flaws = {
        "C1=CC2(C1)CCC21CO1": "unprecedented ring system",
        "CCOOOCC": "unprecedented atom environment",
        "CCC(=O)Cl": "unstable group",
    }
    constraints = Constraints(plausible=True)
    assert _violated(constraints, ASPIRIN, [*flaws, "CN1CCNCC1"]) == {**flaws, "CN1CCNCC1": ""}
    for smiles in flaws:
        assert set(_violated(constraints, smiles, ["C" + smiles, smiles]).values()) == {""}


def test_table_of_the_user(tmp_path):
    """With a table of two molecules, every other ring system is unprecedented."""
    file = tmp_path / "own.npz"
    PrecedenceTable.from_molecules(["CCc1ccccc1", "CCO"]).save(file)
    reasons = _violated(Constraints(plausible=True, precedence_file=file), "", POOL)
    for smiles in (smiles for smiles, reason in reasons.items() if not reason):
        assert _scaffold(smiles) in ("", "c1ccccc1")
    assert set(reasons.values()) == {"", "unprecedented atom environment"}
    with pytest.raises(InputError, match="does not exist"):
        Constraints(precedence_file=tmp_path / "none.npz")


@pytest.mark.parametrize("seed", ["C[C@H](N)C(=O)O", "CC(N)C(=O)O"])
def test_isomers_of_the_seed(seed):
    isomers = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O", "CC([NH3+])C(=O)[O-]", "[2H]C(C)(N)C(=O)O"]
    others = ["NCCC(=O)O", "CC[C@H](N)C(=O)O"]
    violated = _violated(Constraints(one_per_isomer=True), seed, isomers + others)
    assert list(violated.values()) == ["isomer of the seed"] * 5 + ["", ""]
    assert set(_violated(Constraints(), seed, isomers + others).values()) == {""}


def test_stereo_of_the_seed():
    """The center whose surroundings stay is set to the configuration of the seed, a new one is left as it is."""
    seed = "C[C@H](NC(=O)c1ccccc1)C(=O)OC"
    results = _check(
        Constraints(keep_stereo=True),
        seed,
        ["CC(NC(=O)c1ccc(F)cc1)C(=O)OC", "C[C@@H](NC(=O)c1ccncc1)C(=O)OC", "CC(N)CC(=O)OC"],
    )
    assert [result.smiles for result in results.values()] == [
        Chem.CanonSmiles("C[C@H](NC(=O)c1ccc(F)cc1)C(=O)OC"),
        Chem.CanonSmiles("C[C@H](NC(=O)c1ccncc1)C(=O)OC"),
        "CC(N)CC(=O)OC",
    ]


def test_constraints_apply_to_the_stereo_that_is_returned():
    seed, flat = "C[C@H](NC(=O)c1ccccc1)C(=O)OC", "CC(NC(=O)c1ccc(F)cc1)C(=O)OC"
    defined = (PropertyFilter.from_text("open_stereocenters<1"),)
    for constraints in (
        Constraints(property_filters=defined, keep_stereo=True),
        Constraints(core="*N[C@@H](C)C(=O)OC", keep_stereo=True),
    ):
        assert constraints.accepted(seed, [flat]) == [Chem.CanonSmiles("C[C@H](NC(=O)c1ccc(F)cc1)C(=O)OC")]
    assert Constraints(property_filters=defined).accepted(seed, [flat]) == []


def test_one_molecule_of_isomers_is_added():
    """Of two tautomers the first is a proposal; it is replaced if it is outside of the range and the other is not."""
    constraints = Constraints(one_per_isomer=True)
    smiles = ["Oc1ccccn1", "O=c1cccc[nH]1", "CCN"]
    samples = [(sample, -1.0) for sample in constraints.sample_parser()(smiles)]
    accepted = {text: CheckedMolecule(text) for text in smiles}
    for target, expected in ((None, ["Oc1ccccn1", "CCN"]), (DEFAULT_TARGET, ["O=c1cccc[nH]1", "CCN"])):
        options = SearchOptions(10, target=target)
        search = SeedSearch("CCO", options, rules=constraints.proposal_rules("CCO"))
        search.similarity = {"Oc1ccccn1": 0.3, "O=c1cccc[nH]1": 0.5, "CCN": 0.5}
        search.add_round(samples, search.next_strategies()[:3], accepted)
        assert (list(search.molecules), list(search.outside)) == (expected, [])
        assert search.rejected["isomer of another analog"] == (target is None)


def test_molecule_whose_alerts_cannot_be_searched_is_rejected_alone():
    checker = ConstraintChecker(Filters(), alerts=("PAINS",))
    first, large, last = checker(["CCO", "C" * 1200, "CCN"])
    assert (first.reason, last.reason) == ("", "")
    assert "1,200 atoms, more than 1,000" in large.reason
