"""Labels of the metrics of a set on a page: what is a similarity, what is a distance, and which value is best."""

from __future__ import annotations

_SETS = {"Test": "the test set", "TestSF": "the scaffold test set", "Train": "the training set"}
_TO_REFERENCE = {
    "SNN": "mean similarity to the nearest molecule of {}",
    "Frag": "similarity of the fragment counts to those of {}, 1 is equal",
    "Scaf": "similarity of the scaffold counts to those of {}, 1 is equal",
    "FCD": "Fréchet ChemNet distance to {}, 0 is equal",
}
_PROPERTY_DISTANCES = {"logP": "logP", "SA": "SA", "QED": "QED", "weight": "molecular weight"}
_MOSES = {
    "valid": "share of valid molecules",
    "Novelty": "share of distinct molecules that are not in the training set",
    "IntDiv": "internal diversity, 1 minus the mean similarity",
    "IntDiv2": "internal diversity, from squared similarities",
    "Filters": "share that passes the filters of MOSES",
}
_GUACAMOL = {
    "validity": "share of valid molecules",
    "uniqueness": "share of distinct molecules",
    "novelty": "share that is not in the training set",
    "KL divergence": "score of the property distributions, 1 is best",
    "FCD score": "score of the Fréchet ChemNet distance, 1 is best",
}

_PLAUSIBILITY = {
    "plausible": "share without any of the following",
    "unprecedented ring system": "share with a ring system that no real molecule has",
    "unprecedented atom environment": "share with an atom environment of radius 1 that no real molecule has",
    "unstable group": "share with a group that decomposes or reacts readily",
}


def metric_label(section: str, name: str) -> tuple[str, str]:
    """Label and description of a metric.

    Parameters
    ----------
    section : str
        Section of the metrics, such as "MOSES".
    name : str
        Name of the metric.

    Returns
    -------
    (str, str)
        What is shown for the name, and a description; "" for a metric that is not known.

    Examples
    --------
    >>> metric_label("MOSES", "logP")
    ('logP distance', 'Wasserstein distance of the distributions to the test set, 0 is equal')
    >>> metric_label("MOSES", "FCD/Test")
    ('FCD/Test distance', 'Fréchet ChemNet distance to the test set, 0 is equal')
    """
    if section == "GuacaMol":
        return name, _GUACAMOL.get(name, "")
    if section == "Plausibility":
        share, _, reference = name.partition("/")
        of = {**_SETS, "held-out": "10,000 held-out real molecules"}.get(reference, "")
        return (f"{share}, {of}" if of else share), "" if of else _PLAUSIBILITY.get(share, "")
    if section != "MOSES":
        return name.replace("_", " "), ""
    if name in _PROPERTY_DISTANCES:
        label = _PROPERTY_DISTANCES[name]
        return f"{label} distance", "Wasserstein distance of the distributions to the test set, 0 is equal"
    metric, _, reference = name.partition("/")
    if metric in _TO_REFERENCE and reference:
        description = _TO_REFERENCE[metric]
        label = f"{name} distance" if metric == "FCD" else name
        return label, description.format(_SETS.get(reference, reference))
    if name.startswith("unique@"):
        return name, f"share of distinct molecules among the first {name[7:]}"
    return name, _MOSES.get(name, "")
