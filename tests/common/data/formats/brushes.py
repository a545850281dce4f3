"""Packs masks as Label Studio does (RLE-Pack), to test what reads them."""

import itertools

import numpy as np


def packed(mask_HW, *, lengths=(3, 4, 8, 16), literal_share=0.0, chance=None) -> list[int]:
    """Return the bytes of a mask.

    Args:
        mask_HW: True or False, or alpha.
        lengths: Bits of the lengths of four kinds of runs.
        literal_share: Part of the runs of equal words that are written one by one.
        chance: For that; runs are cut at random then, so that others are written so, too.
    """
    alpha_HW = mask_HW * 255 if mask_HW.dtype == bool else mask_HW
    words = np.repeat(alpha_HW.ravel(), 4).tolist()
    bits = [f"{len(words):032b}", f"{7:05b}", *(f"{length - 1:04b}" for length in lengths)]
    for run in _runs(words, 1 << max(lengths), chance):
        kind = min((k for k in range(4) if len(run) <= 1 << lengths[k]), key=lambda k: lengths[k])
        same = len(set(run)) == 1 and (chance is None or chance.random() >= literal_share)
        bits.append("1" if same else "0")
        bits.append(f"{kind:02b}{len(run) - 1:0{lengths[kind]}b}")
        bits += [f"{word:08b}" for word in (run[:1] if same else run)]
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def _runs(words, most, chance):
    if chance:
        start = 0
        while start < len(words):
            end = start + chance.randint(1, min(most, 9))
            yield words[start:end]
            start = end
        return
    for _, group in itertools.groupby(words):
        run = list(group)
        for start in range(0, len(run), most):
            yield run[start : start + most]
