# SPDX-License-Identifier: BSD-3-Clause
"""Real data inside the package, so that examples, the demo and tests run without a network.

JapaneseVowels: M. Kudo, J. Toyama, M. Shimbo, "Japanese Vowels", UCI Machine Learning Repository, 1999,
https://doi.org/10.24432/C5NS47, licensed CC BY 4.0 (LICENSES/CC-BY-4.0.txt). Described in M. Kudo, J. Toyama,
M. Shimbo, "Multidimensional Curve Classification Using Passing-Through Regions", Pattern Recognition Letters
20 (11-13), 1999, 1103-1111.
"""

from .vowels import japanese_vowels

__all__ = ["japanese_vowels"]
