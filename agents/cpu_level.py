"""The x86-64 micro-architecture level of a host, from the feature words of `xl info`. Pure.

Xen prints the first eight words of its feature set (xen/include/public/arch-x86/cpufeatureset.h):
leaf 1 edx, leaf 1 ecx, 0x80000001 edx, 0x80000001 ecx, 0xd eax, leaf 7 ebx, leaf 7 ecx, 0x80000007.
The levels are those of the x86-64 psABI.
"""

from __future__ import annotations

LEAF_1_ECX, EXT_EDX, EXT_ECX, LEAF_7_EBX = 1, 2, 3, 5

LEVELS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((EXT_EDX, 29),),  # v1: long mode
    (  # v2: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT, LAHF
        (LEAF_1_ECX, 0),
        (LEAF_1_ECX, 9),
        (LEAF_1_ECX, 13),
        (LEAF_1_ECX, 19),
        (LEAF_1_ECX, 20),
        (LEAF_1_ECX, 23),
        (EXT_ECX, 0),
    ),
    (  # v3: FMA, MOVBE, OSXSAVE, AVX, F16C, LZCNT, BMI1, AVX2, BMI2
        (LEAF_1_ECX, 12),
        (LEAF_1_ECX, 22),
        (LEAF_1_ECX, 27),
        (LEAF_1_ECX, 28),
        (LEAF_1_ECX, 29),
        (EXT_ECX, 5),
        (LEAF_7_EBX, 3),
        (LEAF_7_EBX, 5),
        (LEAF_7_EBX, 8),
    ),
    # v4: AVX-512 F, DQ, CD, BW, VL
    tuple((LEAF_7_EBX, bit) for bit in (16, 17, 28, 30, 31)),
)


def levels(hw_caps: tuple[int, ...]) -> tuple[str, ...]:
    """`cpu:x86-64-v1` up to the highest level that the host has; empty where it is not known."""
    found = []
    for number, bits in enumerate(LEVELS, 1):
        if not all(word < len(hw_caps) and hw_caps[word] >> bit & 1 for word, bit in bits):
            break
        found.append(f"cpu:x86-64-v{number}")
    return tuple(found)
