"""Keys of other plugins on the HUB: those that mean the same as one of ours are translated, others lead to ours."""

from collections.abc import Collection, Mapping

SAME = {"model_weight_file": "weights", "workers": "num_workers", "lr": "learning_rate", "lr0": "learning_rate"}
"""Their key → ours, for keys that take the same values."""

CUDA = {"true": "auto", "1": "auto", "false": "cpu", "0": "cpu"}
"""`cuda` of other plugins is a wish: they use the CPU where there is no GPU, as `device = auto` does."""

STANDS_FOR = {**SAME, "cuda": "device"}


def translate_keys(
    values: Mapping[str, object], keys: Collection[str], defaults: Mapping[str, str]
) -> tuple[dict[str, object], list[str]]:
    """Values under our keys where theirs mean the same.

    Args:
        keys: ours. Keys that belong to neither stay as they are.
        defaults: of our keys; one of ours at its default yields to theirs.

    Returns:
        The values, and a sentence for each of their keys that cannot be translated.
    """
    ours, problems = dict(values), []
    for key in values:
        text = str(values[key]).strip()
        if key in keys:
            continue
        if STANDS_FOR.get(key) in keys:
            target = STANDS_FOR[key]
            del ours[key]
            if not text:
                continue  # the host lists it, and nobody set it
            meant = CUDA.get(text.lower()) if key == "cuda" else text
            current = str(ours.get(target, defaults[target]))
            if meant is None:
                problems.append(f"{key} = {text!r}: must be one of True, False; or set {target}")
            elif current not in (defaults[target], meant):
                problems.append(f"{target} = {current!r} and {key} = {text!r} contradict each other: set {target} only")
            else:
                ours[target] = meant
        elif hint := _near(key, text, keys):
            del ours[key]
            problems += [hint] if text else []
    return ours, problems


def _near(key: str, text: str, keys: Collection[str]) -> str:
    """What to set in the place of a key that means something else than any of ours; empty for other keys."""
    if key == "conf_thres" and "confidence_threshold" in keys:
        return (
            "'conf_thres' is not a parameter: did you mean 'confidence_threshold'? Answers below it are not left out, "
            "they become `unknown`"
        )
    if key == "dataset_split_ratio" and "val_fraction" in keys:
        return (
            "'dataset_split_ratio' is not a parameter: did you mean 'val_fraction'? It is the share of the images for "
            f"validation, not for training{_complement(text)}"
        )
    return ""


def _complement(text: str) -> str:
    try:
        share = float(text)
    except ValueError:
        return ""
    return f": val_fraction = {1 - share:.4g}" if 0 < share < 1 else ""


def other_keys(keys: Collection[str]) -> tuple[str, ...]:
    """Keys of other plugins that `translate_keys` knows for these of ours."""
    same = [key for key, target in STANDS_FOR.items() if target in keys]
    return (*same, *(key for key in ("conf_thres", "dataset_split_ratio") if _near(key, "", keys)))
