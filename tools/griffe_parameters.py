# SPDX-License-Identifier: BSD-3-Clause
"""For the documentation's reference: what a parameter's type and default are where one text serves several.

For ``kernel_initializer, bias_initializer : str`` griffe shows the first one's default for all, and for ``{"a", "b"}`` the first
choice. The signature above the list has the right ones: defaults are taken out of the list, and types that come from the
signature are each parameter's own.
"""

from __future__ import annotations

from typing import Any

import griffe


class OwnParameters(griffe.Extension):
    """mkdocs.yml names it among the extensions of mkdocstrings."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        _correct(pkg)


def _correct(obj: Any) -> None:
    if obj.docstring is not None:
        for section in obj.docstring.parsed:
            if section.kind is griffe.DocstringSectionKind.parameters:
                _correct_section(section, getattr(obj, "parameters", None))
    for member in obj.members.values():
        if not member.is_alias:
            _correct(member)


def _correct_section(section: Any, parameters: Any) -> None:
    signature = {p.name: p.annotation for p in parameters or ()}
    guessed = {id(annotation) for annotation in signature.values() if annotation is not None}
    for parameter in section.value:
        parameter.value = None
        if id(parameter.annotation) in guessed:
            parameter.annotation = signature.get(parameter.name.lstrip("*"))
        if str(parameter.annotation) == "Any":
            parameter.annotation = None
